//! Numbers, durations and times for people.

use chrono::{DateTime, SecondsFormat, Utc};

/// Returns digits in groups of three: `1,204`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Returns a count with its noun: `1 row`, `1,204 rows`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// Returns a duration as `850 ms`, `1.2 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..60_000 => format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1_000),
        _ => format!("{} h {} min", milliseconds / 3_600_000, milliseconds % 3_600_000 / 60_000),
    }
}

/// Returns fractional milliseconds: `1.5 ms`, `1.2 s`.
pub(crate) fn milliseconds(milliseconds: f64) -> String {
    if milliseconds < 1_000.0 { format!("{milliseconds:.1} ms") } else { format!("{:.1} s", milliseconds / 1_000.0) }
}

/// Returns a time for a table: `2026-03-01 09:30:00Z`.
pub(crate) fn time(time: &DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Returns a time for JSON: RFC 3339 in UTC with milliseconds.
pub(crate) fn json_time(time: &DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_easily() {
        assert_eq!([0, 12, 999, 1_000, 1_234_567].map(grouped), ["0", "12", "999", "1,000", "1,234,567"]);
        assert_eq!([counted(1, "row"), counted(0, "row")], ["1 row", "0 rows"]);
        assert_eq!(
            [850, 1_250, 59_999, 200_000, 7_500_000].map(duration),
            ["850 ms", "1.2 s", "59.9 s", "3 min 20 s", "2 h 5 min"]
        );
    }
}
