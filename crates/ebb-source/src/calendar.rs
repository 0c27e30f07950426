//! Dates and times as numbers and texts, without allocation.

use std::io::Write as _;

/// Microseconds of a day.
pub(crate) const DAY_MICROS: i64 = 86_400_000_000;
/// The days from 1970-01-01 that lie in the years 1 to 9999, which RFC 3339 can write.
pub(crate) const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;
/// The microseconds from 1970-01-01 that lie in the years 1 to 9999.
pub(crate) const MICROS: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// A date and time as a text gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// Days since 1970-01-01.
    pub(crate) days: i64,
    /// Microseconds since midnight, of the text's own zone.
    pub(crate) time: i64,
    /// Seconds east of UTC, when the text told.
    pub(crate) offset: Option<i64>,
}

impl Parsed {
    /// Returns the microseconds since 1970-01-01T00:00:00, in UTC where the text told its offset.
    pub(crate) fn micros(self) -> i64 {
        self.days * DAY_MICROS + self.time - self.offset.unwrap_or(0) * 1_000_000
    }
}

/// Reads `YYYY-MM-DD`, alone or followed by a space or `T` and `HH:MM[:SS[.digits]]` and an offset (`Z`, `+HH`,
/// `+HHMM`, `+HH:MM`). Digits beyond microseconds are dropped.
pub(crate) fn parse(text: &[u8]) -> Option<Parsed> {
    let (date, rest) = text.split_at_checked(10)?;
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else { return None };
    let days = days(two(y1, y2)? * 100 + two(y3, y4)?, two(m1, m2)?, two(d1, d2)?)?;
    let Some((separator, rest)) = rest.split_first() else { return Some(Parsed { days, time: 0, offset: None }) };
    if !matches!(separator, b' ' | b'T' | b't') {
        return None;
    }
    let (time, rest) = parse_time(rest)?;
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let offset = if rest.is_empty() { None } else { Some(parse_offset(rest)?) };
    Some(Parsed { days, time, offset })
}

fn parse_time(text: &[u8]) -> Option<(i64, &[u8])> {
    let (&[h1, h2, b':', m1, m2], mut rest) = text.split_first_chunk::<5>()? else { return None };
    let (hour, minute) = (two(h1, h2)?, two(m1, m2)?);
    let mut second = 0;
    let mut micros = 0;
    if let Some((&[b':', s1, s2], after)) = rest.split_first_chunk::<3>() {
        second = two(s1, s2)?;
        rest = after;
        if let Some(digits) = rest.strip_prefix(b".") {
            let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (digits, after) = digits.split_at_checked(count)?;
            if digits.is_empty() {
                return None;
            }
            for place in 0..6 {
                micros = micros * 10 + digits.get(place).map_or(0, |digit| i64::from(digit - b'0'));
            }
            rest = after;
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some((((hour * 60 + minute) * 60 + second) * 1_000_000 + micros, rest))
}

fn parse_offset(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'Z' | b'z'] => return Some(0),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match *digits {
        [h1, h2] => (two(h1, h2)?, 0),
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => (two(h1, h2)?, two(m1, m2)?),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    Some(sign * (hours * 60 + minutes) * 60)
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    if tens.is_ascii_digit() && ones.is_ascii_digit() {
        Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
    } else {
        None
    }
}

/// Returns the days from 1970-01-01 to a date of the Gregorian calendar in the years 1 to 9999; `None` when there is
/// no such date.
pub(crate) fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=9999).contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": the year starts in March.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

/// Appends `HH:MM:SS`, with the digits of a fraction that is not zero.
pub(crate) fn write_time(micros: i64, out: &mut Vec<u8>) {
    let seconds = micros / 1_000_000;
    let fraction = micros % 1_000_000;
    write(out, format_args!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
    if fraction != 0 {
        write(out, format_args!(".{fraction:06}"));
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// Appends the fields of a duration as ISO 8601 (`P1Y2M3DT4H5M6.5S`), each with its own sign; nothing is `PT0S`.
pub(crate) fn write_duration(months: i64, days: i64, micros: i64, out: &mut Vec<u8>) {
    if months == 0 && days == 0 && micros == 0 {
        out.extend_from_slice(b"PT0S");
        return;
    }
    out.push(b'P');
    for (count, unit) in [(months / 12, 'Y'), (months % 12, 'M'), (days, 'D')] {
        if count != 0 {
            write(out, format_args!("{count}{unit}"));
        }
    }
    if micros == 0 {
        return;
    }
    out.push(b'T');
    let seconds = micros / 1_000_000;
    for (count, unit) in [(seconds / 3600, 'H'), (seconds / 60 % 60, 'M')] {
        if count != 0 {
            write(out, format_args!("{count}{unit}"));
        }
    }
    let (second, fraction) = (seconds % 60, (micros % 1_000_000).abs());
    if second != 0 || fraction != 0 {
        let sign = if micros < 0 { "-" } else { "" };
        write(out, format_args!("{sign}{}", second.abs()));
        if fraction != 0 {
            write(out, format_args!(".{fraction:06}"));
            while out.last() == Some(&b'0') {
                out.pop();
            }
        }
        out.push(b'S');
    }
}

/// Appends formatted text.
pub(crate) fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory never fails");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_the_instants_that_chrono_says() {
        for (text, rfc) in [
            ("2024-02-29", "2024-02-29T00:00:00Z"),
            ("2024-02-29 23:59", "2024-02-29T23:59:00Z"),
            ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
            ("0001-01-01 00:00:00", "0001-01-01T00:00:00Z"),
            ("9999-12-31 23:59:59.9999999", "9999-12-31T23:59:59.999999Z"),
            ("2024-03-10 01:02:03.5 +05:30", "2024-03-10T01:02:03.5+05:30"),
            ("2024-03-10T01:02:03-0800", "2024-03-10T01:02:03-08:00"),
            ("2024-03-10T01:02:03+02", "2024-03-10T01:02:03+02:00"),
        ] {
            let expected = chrono::DateTime::parse_from_rfc3339(rfc).unwrap().timestamp_micros();
            assert_eq!(parse(text.as_bytes()).map(Parsed::micros), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "2024",
            "2023-02-29",
            "2024-13-01",
            "2024-00-01",
            "0000-00-00",
            "2024-01-01 24:00",
            "2024-01-01 1:00",
            "2024-01-01 10:00:00.",
            "2024-01-01 10:00:00 CET",
            "2024-01-01x10:00",
            "2024-01-01 10:00+2",
            "20240101",
            "٢٠٢٤-01-01",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_bounds_are_those_of_the_years_1_to_9999() {
        assert_eq!(days(1, 1, 1), Some(*DAYS.start()));
        assert_eq!(days(9999, 12, 31), Some(*DAYS.end()));
        assert_eq!(DAYS.start() * DAY_MICROS, *MICROS.start());
        assert_eq!((DAYS.end() + 1) * DAY_MICROS - 1, *MICROS.end());
    }

    #[test]
    fn durations_are_iso_8601() {
        let check = |months, days, micros, expected: &str| {
            let mut out = Vec::new();
            write_duration(months, days, micros, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(0, 0, 0, "PT0S");
        check(14, 3, 14_706_500_000, "P1Y2M3DT4H5M6.5S");
        check(-14, -3, -14_706_500_000, "P-1Y-2M-3DT-4H-5M-6.5S");
        check(0, 0, -1, "PT-0.000001S");
        check(0, 400, 0, "P400D");
        check(0, 0, 90_000_000_000, "PT25H");
    }
}
