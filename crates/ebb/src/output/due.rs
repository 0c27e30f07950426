//! Whether a sync is due, in words and for machines.

use ebb_daemon::Pause;
use ebb_schedule::{Reason, Verdict};
use serde::Serialize;

use super::number::{json_time, time};

/// A verdict for machines.
#[derive(Debug, Serialize)]
pub(crate) struct DueDocument<'a> {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    on: Vec<&'a str>,
}

/// Returns a verdict for machines.
pub(crate) fn document(verdict: &Verdict) -> DueDocument<'_> {
    let state = |state| DueDocument { state, reason: None, since: None, next: None, on: Vec::new() };
    match verdict {
        Verdict::Due(due) => {
            let reason = match due.reason {
                Reason::Time => "time",
                Reason::NeverRan => "never_ran",
                Reason::Interrupted => "interrupted",
                Reason::After => "after",
            };
            DueDocument { reason: Some(reason), since: Some(json_time(&due.since)), ..state("due") }
        }
        Verdict::NotDue { next } => DueDocument { next: next.as_ref().map(json_time), ..state("not_due") },
        Verdict::Waiting { on } => DueDocument { on: on.iter().map(String::as_str).collect(), ..state("waiting") },
        Verdict::Blocked { by } => DueDocument { on: vec![by], ..state("blocked") },
        Verdict::Running => state("running"),
        Verdict::Unscheduled => state("unscheduled"),
    }
}

/// Returns why a sync does not run by itself.
pub(crate) fn paused(pause: &Pause) -> String {
    let note = if pause.note.is_empty() { String::new() } else { format!(": {}", pause.note) };
    format!("paused by {} since {}{note}", pause.by, time(&pause.at))
}

/// Returns why a sync is due or is not; it stands after the sync's name.
pub(crate) fn sentence(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Due(due) => match due.reason {
            Reason::Time => format!("due since {}", time(&due.since)),
            Reason::NeverRan => "due, since it never ran".to_owned(),
            Reason::Interrupted => format!("due, since its run of {} was interrupted", time(&due.since)),
            Reason::After => format!("due since {}, when the syncs that it runs after had ended", time(&due.since)),
        },
        Verdict::NotDue { next: Some(next) } => format!("not due until {}", time(next)),
        Verdict::NotDue { next: None } => "not due any more".to_owned(),
        Verdict::Waiting { on } => {
            let names: Vec<String> = on.iter().map(|name| format!("`{name}`")).collect();
            format!("waits for a good run of {}", names.join(" and "))
        }
        Verdict::Blocked { by } => format!("the last run of sync `{by}`, which it runs after, did not end well"),
        Verdict::Running => "it runs now".to_owned(),
        Verdict::Unscheduled => "never due, without `schedule` and `after`".to_owned(),
    }
}
