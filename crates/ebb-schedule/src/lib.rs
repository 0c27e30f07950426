//! When a sync is due.
//!
//! A [`Schedule`] names times: by a [`Cron`] expression in a time zone, or on the grid of an interval. [`judge`] compares it
//! and the syncs that a sync runs after with what ran last, and gives a [`Verdict`].
//!
//! Everything here is a function of its arguments: who asks brings the time and the last runs. What it must never do:
//! read a clock or the state, run anything.
//!
//! Start reading at [`judge`].

mod cron;
mod due;
mod schedule;
#[cfg(test)]
mod tests;

pub use cron::Cron;
pub use due::{Due, LastRun, MAX_CATCH_UP, Outcome, Reason, Sync, Verdict, judge};
pub use schedule::{Missed, ON_TIME, Schedule, Times};
