//! `ebb run --due`: runs what is due, for an outside cron.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ebb_daemon::LastRuns;
use ebb_engine::{Follows, ReadySync, RunRequest};
use ebb_schedule::{Due, Verdict};
use ebb_state::Store;

use super::Context;
use super::pause::desk;
use super::run::{Invocation, is_good, left_out, prepare, request, run_one, show_end, tried};
use crate::exit::{Exit, Failure};
use crate::output::due::{paused, sentence};
use crate::output::run::{Ended, write_due_json, write_text};
use crate::retention::remove_old_logs;
use crate::workspace::{Workspace, exit_of, git_commit};

/// What became of each sync, and why it ran or did not.
#[derive(Debug)]
struct Told {
    ended: Vec<Ended>,
    verdicts: Vec<Verdict>,
    exit: Exit,
}

/// Runs those of the syncs that are due, one after the other, and says of each why it ran or did not.
///
/// # Errors
/// The project does not fit the models of those that are due.
pub(super) async fn run_and_show(
    context: &Context,
    workspace: &Workspace,
    store: &Arc<dyn Store>,
    names: &[String],
    invocation: &Invocation,
) -> Result<Exit, Failure> {
    let is_json = context.is_json()?;
    let mut out = context.out();
    let mut show = |ended: &Ended, verdict: &Verdict| {
        if !is_json {
            write_text(&mut out, ended);
            if matches!(ended, Ended::Run(_)) {
                out.line(format_args!("  {}", sentence(verdict)));
            }
            out.flush();
        }
    };
    let told = run_due(context, (workspace, store), names, invocation, &mut show).await?;
    if is_json {
        write_due_json(&mut out, &told.ended, &told.verdicts);
    } else {
        let ran: Vec<Ended> = told.ended.into_iter().filter(|one| matches!(one, Ended::Run(_))).collect();
        show_end(&mut out, workspace, store.as_ref(), &ran).await?;
    }
    out.finish()?;
    Ok(told.exit)
}

async fn run_due(
    context: &Context,
    (workspace, store): (&Workspace, &Arc<dyn Store>),
    names: &[String],
    invocation: &Invocation,
    each: &mut (dyn FnMut(&Ended, &Verdict) + Send),
) -> Result<Told, Failure> {
    let wanted = candidates(workspace, store, names).await?;
    let jobs = prepare(context, workspace, store, &wanted).await?;
    let mut jobs: BTreeMap<String, Result<ReadySync, Failure>> = wanted.into_iter().zip(jobs).collect();
    let engine = workspace.engine(context, Arc::clone(store))?;
    let commit = git_commit(&workspace.root);
    let pauses = desk(workspace, store).pauses().await?;
    let mut failed: BTreeSet<&str> = BTreeSet::new();
    let mut told = Told { ended: Vec::new(), verdicts: Vec::new(), exit: Exit::Done };
    for name in names {
        // Judged only now, since a sync before it may have run meanwhile.
        let last = LastRuns::read(store.as_ref()).await?;
        let verdict = last.verdict(workspace.sync(name)?, workspace.clock.now());
        if let Some(pause) = pauses.get(name) {
            told.add(left_out(name, paused(pause)), verdict, Exit::Done, each);
            continue;
        }
        let blocker = workspace.sync(name)?.after.iter().find(|before| failed.contains(before.as_str()));
        let (ready, due) = match (&verdict, jobs.remove(name), blocker) {
            (Verdict::Due(due), Some(Ok(ready)), None) => (ready, *due),
            (Verdict::Due(_), Some(Err(failure)), None) => {
                context.notes().failure(&failure);
                told.add(tried(name, &failure), verdict, exit_of(&failure, context), each);
                failed.insert(name);
                continue;
            }
            (Verdict::Due(_), _, Some(before)) => {
                let reason = format!("sync `{before}`, which it runs after, failed");
                told.add(left_out(name, reason), verdict, Exit::Done, each);
                failed.insert(name);
                continue;
            }
            (Verdict::Due(_), None, None) => {
                let reason = "it became due while others ran, and is for the next `ebb run --due`".to_owned();
                told.add(left_out(name, reason), verdict, Exit::Done, each);
                continue;
            }
            _ => {
                told.add(left_out(name, sentence(&verdict)), verdict, Exit::Done, each);
                continue;
            }
        };
        let mut follows = last.follows(name);
        for _ in 0..due.runs {
            if context.stop.exit().is_some() {
                told.add(left_out(name, "stopped by a signal".to_owned()), Verdict::Due(due), Exit::Done, each);
                break;
            }
            let asked = RunRequest { follows, ..request(invocation, commit.clone()) };
            let (one, code) = run_one(context, (&engine, store.as_ref()), &ready, asked).await;
            follows = match &one {
                Ended::Run(report) => Follows::Run(report.id.clone()),
                Ended::NotRun { .. } => Follows::Anything,
            };
            let went_well = is_good(&one);
            // Who was overtaken did not fail: the syncs after it are judged by what the other one does.
            let is_left_out = matches!(one, Ended::NotRun { status: "not_run", .. });
            told.add(one, Verdict::Due(due), code, each);
            if !went_well {
                if !is_left_out {
                    failed.insert(name);
                }
                break;
            }
        }
    }
    if let Some(signal) = context.stop.exit() {
        told.exit = told.exit.worst(signal);
    }
    remove_old_logs(&workspace.state_directory(), workspace.project.logs_keep(), workspace.clock.now());
    Ok(told)
}

impl Told {
    fn add(&mut self, ended: Ended, verdict: Verdict, exit: Exit, each: &mut (dyn FnMut(&Ended, &Verdict) + Send)) {
        each(&ended, &verdict);
        self.exit = self.exit.worst(exit);
        self.ended.push(ended);
        self.verdicts.push(verdict);
    }
}

/// Returns the syncs that are due, and those that may be once these have run; in the order in which they run.
async fn candidates(workspace: &Workspace, store: &Arc<dyn Store>, names: &[String]) -> Result<Vec<String>, Failure> {
    let mut wanted: Vec<String> = Vec::new();
    let last = LastRuns::read(store.as_ref()).await?;
    let pauses = desk(workspace, store).pauses().await?;
    for name in names.iter().filter(|name| !pauses.contains_key(*name)) {
        let may_run = match last.verdict(workspace.sync(name)?, workspace.clock.now()) {
            Verdict::Due(Due { .. }) => true,
            Verdict::Waiting { on } => on.iter().any(|before| wanted.contains(before)),
            Verdict::Blocked { by } => wanted.contains(&by),
            Verdict::NotDue { .. } | Verdict::Running | Verdict::Unscheduled => false,
        };
        if may_run {
            wanted.push(name.clone());
        }
    }
    Ok(wanted)
}
