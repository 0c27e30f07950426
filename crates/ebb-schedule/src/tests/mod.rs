//! Wall clocks that jump, laws of all schedules, and what is due.

mod due;
mod laws;
mod wall_clock;

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::{Cron, Missed, Schedule, Times};

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap_or_else(|error| panic!("{text}: {error}")).with_timezone(&Utc)
}

fn cron(expression: &str, zone: Tz) -> Schedule {
    let cron = Cron::parse(expression).unwrap_or_else(|why| panic!("{expression}: {why}"));
    Schedule { times: Times::Cron { cron, zone }, jitter: Duration::ZERO, missed: Missed::RunOnce }
}

fn every(interval: Duration) -> Schedule {
    Schedule { times: Times::Every(interval), jitter: Duration::ZERO, missed: Missed::RunOnce }
}

/// The first `count` times after one.
fn times(schedule: &Schedule, after: &str, count: usize) -> Vec<DateTime<Utc>> {
    let next = |time: &DateTime<Utc>| schedule.next_after("accounts", *time);
    std::iter::successors(next(&at(after)), next).take(count).collect()
}
