//! Cron expressions: five fields, each a list of numbers, names, ranges and steps; and the times that they name.

use chrono::{DateTime, Datelike, MappedLocalTime, NaiveDate, NaiveDateTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The longest way from one time of an expression to the next, in days: a leap day that is a certain day of the week
/// comes every 28 years, and every 40 across a year such as 2100.
const HORIZON_DAYS: u32 = 41 * 366;

/// The longest that clocks were ever put forward by, in minutes: a day, where a country crossed the date line.
const LONGEST_GAP_MINUTES: i64 = 24 * 60;

struct Part {
    name: &'static str,
    lowest: u32,
    highest: u32,
    names: &'static [&'static str],
}

const MINUTE: Part = Part { name: "minute", lowest: 0, highest: 59, names: &[] };
const HOUR: Part = Part { name: "hour", lowest: 0, highest: 23, names: &[] };
const DAY: Part = Part { name: "day of month", lowest: 1, highest: 31, names: &[] };
const MONTH: Part = Part { name: "month", lowest: 1, highest: 12, names: MONTHS };
const WEEKDAY: Part = Part { name: "day of week", lowest: 0, highest: 7, names: DAYS };

/// A cron expression that was read.
///
/// A day has to fit both the day of month and the day of week where one of them begins with `*`, and one of the two where
/// neither does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

/// The numbers that a field names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    /// One bit a number.
    numbers: u64,
    /// Whether it begins with `*`.
    is_any: bool,
}

impl Field {
    fn has(self, number: u32) -> bool {
        number < u64::BITS && self.numbers & (1 << number) != 0
    }
}

impl Cron {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it, as a hint for people: the number of fields, a number out of bounds, a step that is larger
    /// than its range, a day that never comes.
    pub fn parse(expression: &str) -> Result<Self, String> {
        let fields: Vec<&str> = expression.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(format!(
                "a cron expression has five fields (minute, hour, day of month, month, day of week), and this one {}",
                fields.len()
            ));
        };
        let mut cron = Self {
            minute: field(minute, &MINUTE)?,
            hour: field(hour, &HOUR)?,
            day: field(day, &DAY)?,
            month: field(month, &MONTH)?,
            weekday: field(weekday, &WEEKDAY)?,
        };
        if cron.weekday.has(7) {
            cron.weekday.numbers |= 1;
        }
        let start = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap_or_default();
        if cron.days_from(start).next().is_none() {
            return Err("no month of it has such a day, so it never comes".to_owned());
        }
        Ok(cron)
    }

    /// Returns the first time after `after`, by the wall clock of a zone.
    ///
    /// Where clocks are put forward or back: with an hour field that begins with `*`, times of the skipped hour are left out
    /// and those of the repeated hour come twice, so that the distances stay as they are. With hours that are named, each
    /// time comes once: one that is skipped as soon as the clocks are forward, one that is repeated the first time.
    ///
    /// `None` past the calendar's end.
    pub fn next_after(&self, after: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        // Clocks that go back over midnight bring a date back, so the search begins a day early and ends a day late.
        let start = after.with_timezone(&zone).date_naive().pred_opt()?;
        let mut best: Option<DateTime<Utc>> = None;
        let mut last_day = None;
        for day in self.days_from(start) {
            if last_day.is_some_and(|last| day > last) {
                break;
            }
            best = self.first_of(day, zone, after).into_iter().chain(best).min();
            if best.is_some() && last_day.is_none() {
                last_day = day.succ_opt();
            }
        }
        best
    }

    /// Returns the days that fit, from `start` on, as far as the horizon.
    fn days_from(&self, start: NaiveDate) -> impl Iterator<Item = NaiveDate> {
        start.iter_days().zip(0..HORIZON_DAYS).map(|(day, _)| day).filter(|day| {
            let (in_month, in_week) = (self.day.has(day.day()), self.weekday.has(day.weekday().num_days_from_sunday()));
            let fits = if self.day.is_any || self.weekday.is_any { in_month && in_week } else { in_month || in_week };
            fits && self.month.has(day.month())
        })
    }

    /// Returns the first time of a day that is after `after`.
    fn first_of(&self, day: NaiveDate, zone: Tz, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut best: Option<DateTime<Utc>> = None;
        for hour in (0..24).filter(|hour| self.hour.has(*hour)) {
            for minute in (0..60).filter(|minute| self.minute.has(*minute)) {
                let [first, second] = self.instants(day.and_hms_opt(hour, minute, 0)?, zone);
                if let (Some(best), Some(first)) = (best, first)
                    && first > best
                {
                    return Some(best);
                }
                best = [best, first, second].into_iter().flatten().filter(|time| *time > after).min();
            }
        }
        best
    }

    /// Returns when the wall clock shows a time, as far as that counts.
    fn instants(&self, wall: NaiveDateTime, zone: Tz) -> [Option<DateTime<Utc>>; 2] {
        let utc = |time: DateTime<Tz>| Some(time.with_timezone(&Utc));
        match zone.from_local_datetime(&wall) {
            MappedLocalTime::Single(time) => [utc(time), None],
            MappedLocalTime::Ambiguous(first, second) => {
                [utc(first), if self.hour.is_any { utc(second) } else { None }]
            }
            MappedLocalTime::None if self.hour.is_any => [None, None],
            MappedLocalTime::None => {
                let mut later = (1..=LONGEST_GAP_MINUTES).map(|minutes| wall + TimeDelta::minutes(minutes));
                [later.find_map(|wall| zone.from_local_datetime(&wall).earliest()).and_then(utc), None]
            }
        }
    }
}

fn field(text: &str, part: &Part) -> Result<Field, String> {
    let mut numbers = 0;
    for one in text.split(',') {
        let bits = range(one, part)?.ok_or_else(|| {
            format!(
                "`{one}` is no {}: that takes {} to {}, ranges, and steps such as `*/5`",
                part.name, part.lowest, part.highest
            )
        })?;
        numbers |= bits;
    }
    Ok(Field { numbers, is_any: text.starts_with('*') })
}

/// Reads one element of a field's list; `None` where it is none.
///
/// # Errors
/// A step that does not go with its range.
fn range(text: &str, part: &Part) -> Result<Option<u64>, String> {
    let (range, step) = match text.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (text, None),
    };
    let Some((from, to)) = bounds(range, part) else { return Ok(None) };
    let step = match step {
        None => 1,
        Some(step) if !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) => {
            if range != "*" && !range.contains('-') {
                return Err(format!("`{text}` has a step and no range: write `{range}-{}/{step}`", part.highest));
            }
            match step.parse::<u32>() {
                Ok(step) if step > 0 && step <= to - from => step,
                Ok(_) | Err(_) => {
                    return Err(format!("`{text}` is no {}: its step takes 1 to {}", part.name, to - from));
                }
            }
        }
        Some(_) => return Ok(None),
    };
    Ok(Some((from..=to).filter(|number| (number - from).is_multiple_of(step)).map(|number| 1_u64 << number).sum()))
}

fn bounds(range: &str, part: &Part) -> Option<(u32, u32)> {
    if range == "*" {
        // Sunday is both 0 and 7, and counts once.
        return Some((part.lowest, part.highest.min(if part.name == WEEKDAY.name { 6 } else { part.highest })));
    }
    let Some((from, to)) = range.split_once('-') else { return number(range, part).map(|number| (number, number)) };
    let (from, mut to_number) = (number(from, part)?, number(to, part)?);
    if part.name == WEEKDAY.name && to.eq_ignore_ascii_case("sun") {
        to_number = 7;
    }
    (from <= to_number).then_some((from, to_number))
}

fn number(text: &str, part: &Part) -> Option<u32> {
    let named = part.names.iter().position(|name| name.eq_ignore_ascii_case(text));
    if let Some(index) = named {
        return u32::try_from(index).ok().map(|index| index + part.lowest);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number| (part.lowest..=part.highest).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_fields_within_their_bounds() {
        for good in [
            "*/15 * * * *",
            "0 6 * * mon-fri",
            "0,30 8-18/2 1 jan,JUL 0",
            "5 4 * * 7",
            "0 0 29 2 *",
            "*/59 * * * *",
            "0 0 31 2 fri",
            "0 0 * * fri-sun",
            "0 0 29 feb */6",
        ] {
            assert!(Cron::parse(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("* * * *", "has five fields (minute, hour, day of month, month, day of week), and this one 4"),
            ("60 * * * *", "`60` is no minute: that takes 0 to 59"),
            ("* 24 * * *", "`24` is no hour"),
            ("* * 0 * *", "`0` is no day of month"),
            ("*/0 * * * *", "its step takes 1 to 59"),
            ("*/75 * * * *", "`*/75` is no minute: its step takes 1 to 59"),
            ("0 */24 * * *", "its step takes 1 to 23"),
            ("0 0 */31 * *", "its step takes 1 to 30"),
            ("10-20/30 * * * *", "its step takes 1 to 10"),
            ("*/99999999999 * * * *", "its step takes 1 to 59"),
            ("5/15 * * * *", "write `5-59/15`"),
            ("5-1 * * * *", "`5-1` is no minute"),
            ("a * * * *", "`a` is no minute"),
            ("*/a * * * *", "`*/a` is no minute"),
            ("*/ * * * *", "`*/` is no minute"),
            (", * * * *", "`` is no minute"),
            ("@daily", "this one 1"),
            ("* * * foo *", "`foo` is no month"),
            ("+5 * * * *", "`+5` is no minute"),
            ("0 0 30 2 *", "never comes"),
            ("0 0 31 4,6,sep,nov *", "never comes"),
        ] {
            let said = Cron::parse(bad).expect_err(bad);
            assert!(said.contains(why), "{bad}: {said}");
        }
    }
}
