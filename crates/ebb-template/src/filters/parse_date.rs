//! Reads what people write as dates.

use bigdecimal::ToPrimitive;
use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, TimeDelta, Timelike};
use ebb_row::Value;

/// A point in time with the offset it was written with, or a calendar date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Instant(DateTime<FixedOffset>),
    Date(NaiveDate),
}

/// Returns the moment that a value means: a time, epoch seconds, or a written date.
pub(super) fn moment_of(value: &Value) -> Option<Moment> {
    match value {
        Value::Instant(time) => Some(Moment::Instant(time.fixed_offset())),
        Value::LocalTime(time) => Some(Moment::Instant(time.and_utc().fixed_offset())),
        Value::Date(date) => Some(Moment::Date(*date)),
        Value::Int(seconds) => epoch(i64::try_from(*seconds).ok()?, 0),
        Value::Float(seconds) => {
            let nanos = (seconds.rem_euclid(1.0) * 1e9).round().to_u32()?;
            epoch(seconds.div_euclid(1.0).to_i64()?, nanos.min(999_999_999))
        }
        Value::Decimal(seconds) => {
            let whole = seconds.with_scale_round(0, bigdecimal::RoundingMode::Floor);
            let nanos = ((&**seconds - &whole) * 1_000_000_000_i64).to_u32()?;
            epoch(whole.to_i64()?, nanos)
        }
        Value::Text(text) => written(text.trim()),
        Value::Null | Value::Bool(_) | Value::Bytes(_) | Value::List(_) | Value::Object(_) | Value::Lookup(_) => None,
    }
}

fn epoch(seconds: i64, nanos: u32) -> Option<Moment> {
    let time = DateTime::from_timestamp(seconds, nanos)?.fixed_offset();
    // Years of more than four digits do not come from epoch seconds that anyone means.
    (-62_167_219_200..=253_402_300_799).contains(&seconds).then_some(Moment::Instant(time))
}

/// With an offset behind a blank or at once. A blank matches none as well.
const WITH_OFFSET: [&str; 6] = [
    "%Y-%m-%d %H:%M:%S%.f %z",
    "%Y-%m-%dT%H:%M:%S%.f %z",
    "%Y-%m-%dT%H:%M %z",
    "%Y-%m-%d %H:%M %z",
    "%d %B %Y %H:%M:%S %z",
    "%B %d %H:%M:%S %z %Y",
];

const WITH_TIME: [&str; 18] = [
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %I:%M %p",
    "%Y-%m-%d %I:%M:%S %p",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%B %d, %Y %I:%M %p",
    "%B %d, %Y %I:%M:%S %p",
    "%B %d, %Y %H:%M:%S",
    "%B %d, %Y %H:%M",
    "%d %B %Y %I:%M %p",
    "%d %B %Y %I:%M:%S %p",
    "%d %B %Y %H:%M:%S",
    "%d %B %Y %H:%M",
    "%B %d %H:%M:%S %Y",
    "%Y%m%dT%H%M%S",
];

const ONLY_DATE: [&str; 8] =
    ["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%B %d, %Y", "%B %d %Y", "%d %B %Y", "%d-%B-%Y"];

/// The zones that mail knows by name (RFC 822, section 5.1). Other names mean different zones to different people.
const ZONES: [(&str, &str); 8] = [
    ("EST", "-0500"),
    ("EDT", "-0400"),
    ("CST", "-0600"),
    ("CDT", "-0500"),
    ("MST", "-0700"),
    ("MDT", "-0600"),
    ("PST", "-0800"),
    ("PDT", "-0700"),
];

const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Reads a date with year, month and day, or epoch seconds. A year has four digits.
fn written(text: &str) -> Option<Moment> {
    if text.len() < 6 && !is_digits(text) || text.len() > 64 {
        return None;
    }
    if is_digits(text) {
        return epoch(text.parse().ok()?, 0);
    }
    if !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(Moment::Instant(without_leap(time)));
    }
    let plain = plain_words(text);
    let has_year = |date: NaiveDate| plain.contains(&format!("{:04}", date.year()));
    if let Some(date) = ONLY_DATE.iter().find_map(|format| NaiveDate::parse_from_str(&plain, format).ok()) {
        return has_year(date).then_some(Moment::Date(date));
    }
    let time = WITH_TIME.iter().find_map(|format| NaiveDateTime::parse_from_str(&plain, format).ok());
    let time = time.map(|time| time.and_utc().fixed_offset()).or_else(|| {
        let with_minutes = postgres_offset(&plain);
        let with_minutes = with_minutes.as_deref().unwrap_or(&plain);
        let time = WITH_OFFSET.iter().find_map(|format| DateTime::parse_from_str(with_minutes, format).ok());
        time.filter(|time| time.offset().local_minus_utc().abs() <= 50_400)
    });
    let Some(time) = time else { return end_of_day(&plain) };
    has_year(time.date_naive()).then(|| Moment::Instant(without_leap(time)))
}

/// Takes the leap second as the first of the next minute.
fn without_leap(time: DateTime<FixedOffset>) -> DateTime<FixedOffset> {
    let beyond = time.nanosecond().checked_sub(1_000_000_000);
    beyond.and_then(|nanos| (time + TimeDelta::seconds(1)).with_nanosecond(nanos)).unwrap_or(time)
}

/// Writes a date more plainly: without the weekday, the `th` of a day and the name of UTC, and with offsets for other zones.
fn plain_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, word) in text.split_whitespace().enumerate() {
        let bare = word.trim_end_matches([',', '.']);
        let is_weekday = || WEEKDAYS.iter().any(|day| bare.len() >= 3 && day.starts_with(&bare.to_ascii_lowercase()));
        if index == 0 && is_weekday() || ["UTC", "GMT", "Z"].contains(&word) {
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        let zone = ZONES.iter().find(|(name, _)| *name == word);
        let day = ["st", "nd", "rd", "th"].iter().find_map(|end| bare.strip_suffix(end)).filter(|day| is_digits(day));
        if let Some((_, offset)) = zone {
            out.push_str(offset);
        } else if let Some(day) = day {
            out.push_str(day);
            out.push_str(if word.ends_with(',') { "," } else { "" });
        } else if bare.eq_ignore_ascii_case("sept") {
            out.push_str("Sep");
        } else if bare.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            out.push_str(bare);
        } else {
            out.push_str(word);
        }
    }
    let ends_in_zone = out.strip_suffix('Z').filter(|rest| rest.ends_with(|last: char| last.is_ascii_digit()));
    ends_in_zone.map(str::to_owned).unwrap_or(out)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Completes an offset of hours alone, as Postgres prints it: `2024-01-01 10:00:00+02`.
fn postgres_offset(text: &str) -> Option<String> {
    let (_, hours) = text.rsplit_once(['+', '-'])?;
    (hours.len() == 2 && is_digits(hours) && text.contains(':')).then(|| format!("{text}00"))
}

/// Reads `24:00:00`, the end of a day, which is the start of the next.
fn end_of_day(text: &str) -> Option<Moment> {
    let day = text.strip_suffix(" 24:00:00").or_else(|| text.strip_suffix("T24:00:00"))?;
    let date = NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()?;
    let next = date.checked_add_signed(TimeDelta::days(1))?;
    Some(Moment::Instant(next.and_hms_opt(0, 0, 0)?.and_utc().fixed_offset()))
}
