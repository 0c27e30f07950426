//! `ebb logs`: every call that was made.

use clap::Args;
use ebb_row::RowKey;
use ebb_state::{CallFilter, CallLog, CallStatus, RunFilter, RunId, Store};

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output::number::counted;
use crate::output::{Out, call};
use crate::workspace::{Workspace, find_run};

/// Calls that are shown to people without `--limit`.
const MOST_SHOWN: u64 = 100;

/// Shows the calls of a run, or of all runs of a sync, oldest first. With `--key`, each call whole.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// A run's id or the beginning of it, or a sync.
    #[arg(value_name = "RUN|SYNC")]
    target: String,
    /// Only calls for the row with this primary key.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only calls with this status: 404, 4xx, or `none` for calls without an answer.
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<CallStatus>,
    /// Only calls with this outcome: accepted, rejected, skipped, retry, unknown.
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// Only the newest calls; 0 shows all. Without it people see 100, machines all.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

fn status(text: &str) -> Result<CallStatus, String> {
    let class =
        text.strip_suffix("xx").and_then(|digit| digit.parse::<u16>().ok()).filter(|class| (1..=5).contains(class));
    let exact = || text.parse::<u16>().ok().filter(|status| (100..=599).contains(status));
    match (text, class) {
        ("none", _) => Ok(CallStatus::NoAnswer),
        (_, Some(class)) => Ok(CallStatus::Class(class)),
        (_, None) => exact().map(CallStatus::Exactly).ok_or_else(|| "it is like 404, 4xx, or none".to_owned()),
    }
}

pub(super) async fn main(context: &Context, args: LogsArgs) -> Result<Exit, Failure> {
    let is_json = context.is_json()?;
    let workspace = Workspace::open(context)?;
    let none = || Failure::usage("nothing was run yet").hint("`ebb run` runs the project's syncs");
    let store = workspace.existing_store()?.ok_or_else(none)?;
    let runs = runs(&workspace, store.as_ref(), &args.target).await?;
    let limit = args.limit.unwrap_or(if is_json { 0 } else { MOST_SHOWN });
    let filter = CallFilter {
        key: args.key.as_deref().map(RowKey::new),
        status: args.status,
        outcome: args.outcome,
        ..CallFilter::default()
    };
    let is_whole = filter.key.is_some();
    let mut out = context.out();
    let show = |out: &mut Out, line: &str| {
        if is_json {
            out.line(crate::output::escape::json(line));
        } else {
            call::write_text(out, line, is_whole);
        }
    };
    if limit == 0 {
        for run in runs.iter().rev() {
            for line in CallLog::open(&workspace.state_directory(), run)?.lines(&filter)? {
                show(&mut out, &line?);
                if out.is_closed() {
                    return Ok(Exit::Done);
                }
            }
        }
    } else {
        let (lines, has_more) = newest(&workspace, &runs, &filter, limit)?;
        if has_more {
            context.notes().say(format_args!("the newest {}; --limit shows more", counted(limit, "call")));
        }
        lines.iter().rev().for_each(|line| show(&mut out, line));
        if lines.is_empty() {
            context.notes().say("no calls");
        }
    }
    out.finish()?;
    Ok(Exit::Done)
}

/// Returns the newest lines, newest first, and whether there are more.
fn newest(
    workspace: &Workspace,
    runs: &[RunId],
    filter: &CallFilter,
    limit: u64,
) -> Result<(Vec<String>, bool), Failure> {
    let mut lines = Vec::new();
    let mut left = limit.saturating_add(1);
    for run in runs {
        let filter = CallFilter { limit: left, newest: true, ..filter.clone() };
        for line in CallLog::open(&workspace.state_directory(), run)?.lines(&filter)? {
            lines.push(line?);
            left -= 1;
        }
        if left == 0 {
            lines.pop();
            return Ok((lines, true));
        }
    }
    Ok((lines, false))
}

/// Returns the runs of a sync, or the one run, newest first.
async fn runs(workspace: &Workspace, store: &dyn Store, target: &str) -> Result<Vec<RunId>, Failure> {
    let is_sync = workspace.project.sync(target).is_some() || store.find_sync(target).await?.is_some();
    if is_sync {
        let runs = store.runs(&RunFilter { sync: Some(target.to_owned()), limit: 0 }).await?;
        return Ok(runs.into_iter().map(|run| run.run.id).collect());
    }
    Ok(vec![find_run(store, target).await?.run.id])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_exact_classes_or_none() {
        assert_eq!(status("404"), Ok(CallStatus::Exactly(404)));
        assert_eq!(status("4xx"), Ok(CallStatus::Class(4)));
        assert_eq!(status("none"), Ok(CallStatus::NoAnswer));
        for wrong in ["", "4", "xx", "9xx", "99", "6000", "ok"] {
            assert!(status(wrong).is_err(), "{wrong}");
        }
    }
}
