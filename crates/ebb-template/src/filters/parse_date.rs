//! Reads what people write as dates.

use bigdecimal::ToPrimitive;
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, TimeDelta};
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

/// With an offset behind a blank or at once.
const WITH_OFFSET: [&str; 7] = [
    "%Y-%m-%d %H:%M:%S%.f %z",
    "%Y-%m-%d %H:%M:%S%.f%z",
    "%Y-%m-%dT%H:%M:%S%.f%z",
    "%Y-%m-%dT%H:%M%z",
    "%Y-%m-%d %H:%M %z",
    "%a, %d %b %Y %H:%M:%S %z",
    "%a %b %d %H:%M:%S %z %Y",
];

const WITH_TIME: [&str; 17] = [
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%B %d, %Y %I:%M %p",
    "%B %d, %Y %I:%M:%S %p",
    "%B %d, %Y %H:%M:%S",
    "%B %d, %Y %H:%M",
    "%d %B %Y %H:%M:%S",
    "%d %B %Y %H:%M",
    "%d %b %Y %H:%M:%S",
    "%a, %d %b %Y %H:%M:%S",
    "%a %b %d %H:%M:%S %Y",
    "%Y%m%dT%H%M%S",
    "%b %d, %Y %I:%M %p",
];

const ONLY_DATE: [&str; 10] = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%B %d, %Y",
    "%B %d %Y",
    "%b %d, %Y",
    "%d %B %Y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%A, %B %d, %Y",
    "%a, %d %b %Y",
];

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
        return Some(Moment::Instant(time));
    }
    let bare = ["Z", " UTC", " GMT", " Z"].iter().find_map(|zone| text.strip_suffix(zone)).unwrap_or(text);
    if let Some(date) = ONLY_DATE.iter().find_map(|format| NaiveDate::parse_from_str(bare, format).ok()) {
        return Some(Moment::Date(date));
    }
    if let Some(time) = WITH_TIME.iter().find_map(|format| NaiveDateTime::parse_from_str(bare, format).ok()) {
        return Some(Moment::Instant(time.and_utc().fixed_offset()));
    }
    let with_minutes = postgres_offset(text);
    let with_minutes = with_minutes.as_deref().unwrap_or(text);
    let offset = WITH_OFFSET.iter().find_map(|format| DateTime::parse_from_str(with_minutes, format).ok());
    offset.filter(|time| time.offset().local_minus_utc().abs() <= 50_400).map(Moment::Instant).or_else(|| leap(bare))
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
fn leap(text: &str) -> Option<Moment> {
    let day = text.strip_suffix(" 24:00:00").or_else(|| text.strip_suffix("T24:00:00"))?;
    let date = NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()?;
    let next = date.checked_add_signed(TimeDelta::days(1))?;
    Some(Moment::Instant(next.and_hms_opt(0, 0, 0)?.and_utc().fixed_offset()))
}
