use chrono::{DateTime, Utc};

use crate::schedule::{Missed, ON_TIME, Schedule, Times};

/// Runs that make up for missed times under [`Missed::CatchUp`], at most.
pub const MAX_CATCH_UP: u32 = 100;

/// The newest run of a sync that read all of its model, or began to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRun {
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It runs now.
    Running,
    /// It ended well, rejected and pending rows included.
    Good {
        /// When.
        finished_at: DateTime<Utc>,
    },
    /// It failed, or a guard refused it.
    Bad,
    /// It was stopped, or its process died.
    Interrupted,
}

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Sync<'a> {
    /// Its name.
    pub name: &'a str,
    /// When it runs, if it says so.
    pub schedule: Option<&'a Schedule>,
    /// The newest run.
    pub last: Option<&'a LastRun>,
    /// The syncs that it runs after, each with its newest run.
    pub after: &'a [(&'a str, Option<LastRun>)],
}

/// Whether a sync is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Due(Due),
    /// Not now.
    NotDue {
        /// When it will be; `None` past the calendar's end.
        next: Option<DateTime<Utc>>,
    },
    /// These syncs have not run well since it ran itself, or run now; in the order of `after`, never empty.
    Waiting {
        /// Their names.
        on: Vec<String>,
    },
    /// The last run of a sync that it runs after did not end well.
    Blocked {
        /// That sync's name.
        by: String,
    },
    /// It runs now.
    Running,
    /// It has neither a schedule nor syncs to run after, so that it never is.
    Unscheduled,
}

/// Why, since when, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Why.
    pub reason: Reason,
    /// Since when; never later than the time of the question.
    pub since: DateTime<Utc>,
    /// How many runs in a row: 1 to [`MAX_CATCH_UP`].
    pub runs: u32,
}

/// Why a sync is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A time of its schedule has come.
    Time,
    /// It never ran.
    NeverRan,
    /// Its last run was interrupted.
    Interrupted,
    /// The syncs that it runs after have run well.
    After,
}

/// Judges whether a sync is due at `now`.
///
/// The schedule says when; with syncs in `after`, it is due when its time has come and each of them has ended well since its
/// own last run began. Without a schedule the latter alone decides. A failed run counts as a run. An interrupted one is due
/// at once, unless a sync in `after` runs or did not end well.
pub fn judge(sync: Sync<'_>, now: DateTime<Utc>) -> Verdict {
    if sync.schedule.is_none() && sync.after.is_empty() {
        return Verdict::Unscheduled;
    }
    let since = match sync.last {
        None => None,
        Some(LastRun { outcome: Outcome::Running, .. }) => return Verdict::Running,
        Some(LastRun { started_at, outcome: Outcome::Interrupted }) => {
            // The syncs in `after` had run before it began, and need not again.
            let due = Due { reason: Reason::Interrupted, since: (*started_at).min(now), runs: 1 };
            return before(sync.after, None).err().unwrap_or(Verdict::Due(due));
        }
        Some(last) => Some(last.started_at),
    };
    let by_time = match sync.schedule.map(|schedule| due_by_time(sync.name, schedule, since, now)) {
        Some(Verdict::Due(due)) => Some(due),
        Some(other) => return other,
        None => None,
    };
    match before(sync.after, since) {
        Err(verdict) => verdict,
        Ok(ended) => {
            let after = Due { reason: Reason::After, since: ended.unwrap_or(now).min(now), runs: 1 };
            Verdict::Due(by_time.unwrap_or(after))
        }
    }
}

/// Judges by the schedule alone; `last` is when the last run began.
fn due_by_time(name: &str, schedule: &Schedule, last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Verdict {
    // Where the last run's clock was ahead, its time counts until it has passed.
    let not_due = || Verdict::NotDue { next: schedule.next_after(name, last.map_or(now, |last| last.max(now))) };
    let waits_for_its_time = schedule.missed == Missed::Skip && matches!(schedule.times, Times::Cron { .. });
    let from = match last {
        None if !waits_for_its_time => {
            return Verdict::Due(Due { reason: Reason::NeverRan, since: now, runs: 1 });
        }
        last => last,
    };
    let earliest = now - ON_TIME;
    let from = match (schedule.missed, from) {
        (Missed::Skip, Some(last)) => last.max(earliest),
        (_, Some(last)) => last,
        (_, None) => earliest,
    };
    let mut times = std::iter::successors(schedule.next_after(name, from), |time| schedule.next_after(name, *time))
        .take_while(|time| *time <= now);
    let Some(since) = times.next() else { return not_due() };
    let runs = match schedule.missed {
        Missed::RunOnce | Missed::Skip => 1,
        Missed::CatchUp => (1..MAX_CATCH_UP).zip(times).map(|(count, _)| count + 1).last().unwrap_or(1),
    };
    Verdict::Due(Due { reason: Reason::Time, since, runs })
}

/// Returns when the last of the syncs ended that another runs after.
///
/// # Errors
/// The verdict where one did not end well, or has not since `since`.
fn before(after: &[(&str, Option<LastRun>)], since: Option<DateTime<Utc>>) -> Result<Option<DateTime<Utc>>, Verdict> {
    let mut on = Vec::new();
    let mut ended = None;
    for (name, last) in after {
        match last.as_ref().map(|last| last.outcome) {
            Some(Outcome::Bad | Outcome::Interrupted) => return Err(Verdict::Blocked { by: (*name).to_owned() }),
            Some(Outcome::Good { finished_at }) if since.is_none_or(|since| finished_at > since) => {
                ended = ended.max(Some(finished_at));
            }
            Some(Outcome::Good { .. } | Outcome::Running) | None => on.push((*name).to_owned()),
        }
    }
    if on.is_empty() { Ok(ended) } else { Err(Verdict::Waiting { on }) }
}
