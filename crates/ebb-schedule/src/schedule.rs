use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use ebb_row::Hash128;

use crate::cron::Cron;

/// How late a time may be noticed and still be on time, for [`Missed::Skip`].
pub const ON_TIME: TimeDelta = TimeDelta::minutes(15);

/// When a sync runs by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The times, before their delay.
    pub times: Times,
    /// Each sync's times come later by a delay of its own, this at most: 0 to a day.
    pub jitter: Duration,
    /// What becomes of times at which nothing ran.
    pub missed: Missed,
}

/// The times of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Times {
    /// Those that a cron expression names.
    Cron {
        /// The expression.
        cron: Cron,
        /// By whose wall clock.
        zone: Tz,
    },
    /// The multiples of an interval since 1970-01-01T00:00:00Z, so that they are the same on every machine and a run that
    /// begins late moves none of them. From a second.
    Every(Duration),
}

/// What becomes of times at which nothing ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// One run makes up for all of them.
    RunOnce,
    /// They are left out; a time is missed when it was not noticed within [`ON_TIME`].
    Skip,
    /// Each has its run, up to [`MAX_CATCH_UP`](crate::MAX_CATCH_UP).
    CatchUp,
}

impl Schedule {
    /// Returns the first time of a sync after `after`, its delay included. Strictly later; `None` past the calendar's end.
    pub fn next_after(&self, sync: &str, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let delay = self.delay(sync);
        let after = after.checked_sub_signed(delay)?;
        let next = match &self.times {
            Times::Cron { cron, zone } => cron.next_after(after, *zone),
            Times::Every(every) => {
                let every = i64::try_from(every.as_millis()).ok().filter(|every| *every > 0)?;
                let passed = after.timestamp_millis().div_euclid(every);
                DateTime::from_timestamp_millis(passed.checked_add(1)?.checked_mul(every)?)
            }
        };
        next?.checked_add_signed(delay)
    }

    /// Returns the delay of a sync: whole seconds from 0 to the jitter, from its name alone.
    fn delay(&self, sync: &str) -> TimeDelta {
        let choices = u128::from(self.jitter.as_secs()) + 1;
        let seconds = i64::try_from(Hash128::of(sync.as_bytes()).0 % choices).unwrap_or(0);
        TimeDelta::try_seconds(seconds).unwrap_or_default()
    }
}
