use ebb_schedule::Cron;

use super::{Shape, nearest};
use crate::units;

/// What a scalar should have been.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Completes "must be ...".
    pub(super) expected: String,
    pub(super) hint: Option<String>,
}

fn check(fits: bool, expected: impl Into<String>) -> Result<(), Misfit> {
    if fits { Ok(()) } else { Err(Misfit { expected: expected.into(), hint: None }) }
}

/// Judges the text of a scalar; shapes that are no scalars take any text that is not blank.
pub(super) fn judge(shape: &Shape, text: &str) -> Result<(), Misfit> {
    match shape {
        Shape::Integer(lowest, highest) => {
            let expected = if lowest == highest {
                format!("{lowest}")
            } else {
                format!("a whole number from {lowest} to {highest}")
            };
            check(text.parse::<u64>().is_ok_and(|number| (*lowest..=*highest).contains(&number)), expected)
        }
        Shape::Duration(lowest, highest) => {
            let ms = units::duration(text).and_then(|time| u64::try_from(time.as_millis()).ok());
            let bounds = format!("{} to {}", units::duration_text(*lowest), units::duration_text(*highest));
            let fits = ms.is_some_and(|ms| (*lowest..=*highest).contains(&ms));
            check(fits, format!("a time with its unit, such as `15m`, from {bounds}"))
        }
        Shape::Percent => {
            check(units::percent(text).is_some_and(|percent| percent > 0), "a percentage from `1%` to `100%`")
        }
        Shape::Limit => check(units::limit(text).is_some(), "a percentage such as `30%`, or a count"),
        Shape::Size => check(units::size(text).is_some(), "a size with its unit, such as `64KiB`"),
        Shape::Uuid => check(uuid::Uuid::try_parse(text).is_ok(), "a UUID, as `ebb init` writes it"),
        Shape::Url => {
            let url = url::Url::parse(text);
            check(url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()), "an `https://` URL")
        }
        Shape::TimeZone => {
            let zones = || chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
            let fits = zones().any(|zone| zone == text);
            check(fits, "a time zone such as `Europe/Berlin`").map_err(|misfit| {
                let hint = nearest(text, zones()).map(|zone| format!("did you mean `{zone}`?"));
                Misfit { hint, ..misfit }
            })
        }
        Shape::Cron => Cron::parse(text)
            .map(|_| ())
            .map_err(|why| Misfit { expected: "a cron expression such as `*/15 * * * *`".to_owned(), hint: Some(why) }),
        Shape::Text
        | Shape::Secret
        | Shape::Words(_)
        | Shape::Boolean
        | Shape::Texts
        | Shape::Section(_)
        | Shape::WordsOr(..)
        | Shape::Named(_)
        | Shape::Typed(..)
        | Shape::Columns
        | Shape::Fields
        | Shape::Match
        | Shape::Later => check(!text.trim().is_empty(), "text"),
    }
}
