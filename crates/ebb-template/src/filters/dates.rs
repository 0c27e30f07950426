//! Filters on dates and times.

use std::borrow::Cow;

use chrono::{
    DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Offset, SecondsFormat, TimeZone, Utc,
};
use chrono_tz::{OffsetName, Tz};
use ebb_row::Value;

use crate::error::Fault;
use crate::filters::parse_date::{Moment, moment_of};
use crate::filters::strftime::{Zoned, strftime};
use crate::filters::{Arguments, Call, Filter, named, owned};
use crate::print::text_of;

const AT: &str = r#"{"at":"2024-07-01T10:00:00Z"}"#;

pub(super) const FILTERS: &[Filter] = &[
    Filter::new(
        "date",
        "Formats a date or time by strftime, in UTC or the given time zone. What is not a date passes through unchanged.",
        date,
    )
    .takes("format[, zone]", 1, 1)
    .checked(check_date)
    .shows("{{ at | date: '%Y-%m-%d %H:%M %Z', 'Europe/Berlin' }}", r#"{"at":"2024-07-01T10:00:00Z"}"#, r#""2024-07-01 12:00 CEST""#),
    Filter::new("date_to_xmlschema", "Formats a date or time as `date: '%Y-%m-%dT%H:%M:%S%:z'` does.", date_to_xmlschema)
        .shows("{{ at | date_to_xmlschema }}", AT, r#""2024-07-01T10:00:00+00:00""#),
    Filter::new("date_to_rfc822", "Formats a date or time as `date: '%a, %d %b %Y %H:%M:%S %z'` does.", date_to_rfc822)
        .shows("{{ at | date_to_rfc822 }}", AT, r#""Mon, 01 Jul 2024 10:00:00 +0000""#),
    Filter::new(
        "date_to_string",
        "Formats a date as `01 Jul 2024`; with `'ordinal'` as `1st Jul 2024`, and with `'US'` behind it as `Jul 1st, 2024`.",
        date_to_string,
    )
    .takes("[\"ordinal\"[, \"US\"]]", 0, 2)
    .shows("{{ at | date_to_string: 'ordinal', 'US' }}", AT, r#""Jul 1st, 2024""#),
    Filter::new(
        "date_to_long_string",
        "Formats a date as `01 July 2024`; with `'ordinal'` as `1st July 2024`, and with `'US'` behind it as `July 1st, 2024`.",
        date_to_long_string,
    )
    .takes("[\"ordinal\"[, \"US\"]]", 0, 2)
    .shows("{{ at | date_to_long_string }}", AT, r#""01 July 2024""#),
    Filter::new("to_datetime", "Reads a date or time by a strptime format; gives RFC 3339 in UTC.", to_datetime)
        .takes("format", 1, 0)
        .shows("{{ at | to_datetime: '%d/%m/%Y' }}", r#"{"at":"31/01/2024"}"#, r#""2024-01-31T00:00:00.000Z""#),
];

type Output<'v> = Result<Cow<'v, Value>, Fault>;

fn check_date(arguments: &[Option<&Value>]) -> Result<(), Fault> {
    let text = |at: usize| arguments.get(at).copied().flatten().and_then(Value::as_text);
    if text(0).is_some_and(|format| !format.is_empty() && !format.contains('%')) {
        let fault = Fault::new("date: the format has no directive such as `%Y`");
        return Err(fault.hint("a year, a month and a day are written `%Y-%m-%d`"));
    }
    text(1).map_or(Ok(()), |zone| read_zone(zone).map(|_| ()).map_err(|fault| named("date", fault)))
}

fn read_zone(name: &str) -> Result<Tz, Fault> {
    name.parse().map_err(|_| Fault::new("the time zone is unknown").hint("use a name like `Europe/Berlin` or `UTC`"))
}

fn date<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let format = arguments.text(0)?;
    if input.is_null() || format.is_empty() {
        return Ok(input);
    }
    let zone = match arguments.get(1) {
        Some(zone) if !zone.is_null() => Some(read_zone(&text_of(zone)?)?),
        _ => None,
    };
    match shown_moment(call, &input, zone)? {
        Some(zoned) => strftime(&zoned, &format, call.budget).map(owned),
        None => Ok(input),
    }
}

/// Returns what a value means as a date or time, in the zone; `None` of what is no date.
fn shown_moment(call: &Call<'_>, input: &Value, zone: Option<Tz>) -> Result<Option<Zoned>, Fault> {
    let moment = match named_moment(call, input)? {
        Some(now) => Some(Moment::Instant(now.fixed_offset())),
        None => moment_of(input),
    };
    Ok(moment.and_then(|moment| zoned(moment, zone)))
}

fn formatted<'v>(call: &Call<'_>, input: Cow<'v, Value>, format: &str) -> Output<'v> {
    match shown_moment(call, &input, None)? {
        Some(zoned) => strftime(&zoned, format, call.budget).map(owned),
        None => Ok(input),
    }
}

fn date_to_xmlschema<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    formatted(call, input, "%Y-%m-%dT%H:%M:%S%:z")
}

fn date_to_rfc822<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    formatted(call, input, "%a, %d %b %Y %H:%M:%S %z")
}

fn date_to_string<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    day_month_year(call, input, arguments, "%b")
}

fn date_to_long_string<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    day_month_year(call, input, arguments, "%B")
}

fn day_month_year<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>, month: &str) -> Output<'v> {
    let Some(zoned) = shown_moment(call, &input, None)? else { return Ok(input) };
    let format = if arguments.text(0)? == "ordinal" {
        let day = zoned.time.day();
        let ending = match (day % 10, day) {
            (1, 1 | 21 | 31) => "st",
            (2, 2 | 22) => "nd",
            (3, 3 | 23) => "rd",
            _ => "th",
        };
        if arguments.text(1)? == "US" { format!("{month} %-d{ending}, %Y") } else { format!("%-d{ending} {month} %Y") }
    } else {
        format!("%d {month} %Y")
    };
    strftime(&zoned, &format, call.budget).map(owned)
}

/// Returns the run's time where the text is `now` or `today` and the template says so itself.
fn named_moment(call: &Call<'_>, input: &Value) -> Result<Option<DateTime<Utc>>, Fault> {
    let Value::Text(text) = input else { return Ok(None) };
    if !call.knows_now || !is_now(text) {
        return Ok(None);
    }
    match (call.now)() {
        Some(now) => Ok(Some(now)),
        None => Err(Fault::new("`'now'` has no time here, outside of a run")),
    }
}

/// Returns whether a text names the time of the run.
pub(crate) fn is_now(text: &str) -> bool {
    text.eq_ignore_ascii_case("now") || text.eq_ignore_ascii_case("today")
}

/// Puts a moment into a zone; a plain date is midnight there.
fn zoned(moment: Moment, zone: Option<Tz>) -> Option<Zoned> {
    let Some(zone) = zone else {
        let time = match moment {
            Moment::Instant(time) => time,
            Moment::Date(date) => date.and_time(NaiveTime::MIN).and_utc().fixed_offset(),
        };
        let is_utc = time.offset().local_minus_utc() == 0;
        return Some(Zoned { time, zone: is_utc.then(|| "UTC".to_owned()) });
    };
    let time = match moment {
        Moment::Instant(time) => time.with_timezone(&zone),
        Moment::Date(date) => {
            let midnight = date.and_time(NaiveTime::MIN);
            // Where a clock change skips midnight, the day begins an hour later.
            let local = zone.from_local_datetime(&midnight).earliest();
            local.or_else(|| zone.from_local_datetime(&(midnight + chrono::TimeDelta::hours(1))).earliest())?
        }
    };
    let abbreviation = time.offset().abbreviation().map(str::to_owned);
    let offset: FixedOffset = time.offset().fix();
    Some(Zoned { time: time.with_timezone(&offset), zone: abbreviation })
}

fn to_datetime<'v>(_: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    if input.is_null() {
        return Ok(input);
    }
    let (text, format) = (text_of(&input)?, arguments.text(0)?);
    let instant = DateTime::parse_from_str(&text, &format)
        .map(|time| time.to_utc())
        .or_else(|_| NaiveDateTime::parse_from_str(&text, &format).map(|time| time.and_utc()))
        .or_else(|_| NaiveDate::parse_from_str(&text, &format).map(|date| date.and_time(NaiveTime::MIN).and_utc()))
        .map_err(|_| Fault::new("the text does not fit the format"))?;
    Ok(owned(instant.to_rfc3339_opts(SecondsFormat::Millis, true)))
}
