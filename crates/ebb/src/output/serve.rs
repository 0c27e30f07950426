//! What the daemon tells, a line each.

use std::path::Path;

use chrono::{DateTime, Utc};
use ebb_daemon::News;
use ebb_schedule::Verdict;
use serde_json::{Value, json};

use super::due::{self, paused, sentence};
use super::number::{counted, json_time, time};
use super::run::{one_line, run_document};
use super::{Out, escape};
use crate::cli::validate::fault_line;

/// Writes one line for people.
pub(crate) fn write_text(out: &mut Out, root: &Path, now: &DateTime<Utc>, news: &News<'_>) {
    let paint = out.paint;
    let name = |sync: &str| paint.strong(&escape::terminal(sync)).into_owned();
    let said = match news {
        News::Serving { syncs, next } => {
            let next = match next {
                Some(next) if next <= now => "one is due now".to_owned(),
                Some(next) => format!("the next is due at {}", time(next)),
                None => "none is due by a schedule".to_owned(),
            };
            let root = root.display().to_string();
            format!("serving {}: {}, {next}", escape::terminal(&root), count(*syncs, "sync"))
        }
        News::Begun { sync, due } => format!("{}: begins, {}", name(sync), sentence(&Verdict::Due(*due))),
        News::Ended(report) => one_line(report, paint),
        News::NotRun { sync, status, reason } => {
            format!("{}: {}: {}", name(sync), paint.bad(status), escape::terminal(reason))
        }
        News::Paused { sync, pause } => format!("{}: {}", name(sync), escape::terminal(&paused(pause))),
        News::Resumed { sync } => format!("{}: resumed", name(sync)),
        News::Wrong(faults) => {
            let faults = count(faults.0.len(), "fault");
            format!("the project's files changed and have {faults}: the project as it was goes on")
        }
        News::Loaded { was_wrong: true } => "the project's files are right again, and are used from now on".to_owned(),
        News::Loaded { was_wrong: false } => "the project's files changed, and are used from now on".to_owned(),
        News::StateFailed(error) => format!("nothing new runs: {}", escape::terminal(&error.to_string())),
        News::StateWorks => "the state can be read again".to_owned(),
        News::Draining { runs, longest } => {
            format!("stopping: {} to end, within {} s", count(*runs, "run"), longest.as_secs())
        }
        News::Abandoned { syncs } => {
            format!("left without an end: {}; their next runs go on from what was accepted", syncs.join(", "))
        }
    };
    out.line(format_args!("{} {said}", time(now)));
}

/// Writes one line for machines.
pub(crate) fn write_json(out: &mut Out, root: &Path, now: &DateTime<Utc>, news: &News<'_>) {
    let line = |what: &str, more: Value| {
        let mut line = json!({ "time": json_time(now), "what": what });
        if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
            line.extend(more);
        }
        line
    };
    let line = match news {
        News::Serving { syncs, next } => {
            let (project, next) = (root.display().to_string(), next.as_ref().map(json_time));
            line("serving", json!({ "project": project, "syncs": syncs, "next": next }))
        }
        News::Begun { sync, due } => line("begun", json!({ "sync": sync, "due": due::document(&Verdict::Due(*due)) })),
        News::Ended(report) => line("ended", json!(run_document(report))),
        News::NotRun { sync, status, reason } => {
            line("not_run", json!({ "sync": sync, "status": status, "messages": [reason] }))
        }
        News::Paused { sync, pause } => {
            let since = json_time(&pause.at);
            line("paused", json!({ "sync": sync, "by": pause.by, "since": since, "note": pause.note }))
        }
        News::Resumed { sync } => line("resumed", json!({ "sync": sync })),
        News::Wrong(faults) => {
            let faults: Vec<_> = faults.0.iter().map(fault_line).collect();
            line("project_wrong", json!({ "faults": faults }))
        }
        News::Loaded { was_wrong } => line("project_loaded", json!({ "was_wrong": was_wrong })),
        News::StateFailed(error) => line("state_failed", json!({ "messages": [error.to_string()] })),
        News::StateWorks => line("state_works", json!({})),
        News::Draining { runs, longest } => line("draining", json!({ "runs": runs, "longest_s": longest.as_secs() })),
        News::Abandoned { syncs } => line("abandoned", json!({ "syncs": syncs })),
    };
    out.json(&line);
}

fn count(number: usize, noun: &str) -> String {
    counted(number.try_into().unwrap_or(u64::MAX), noun)
}
