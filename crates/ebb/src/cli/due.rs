//! `ebb run --due`: runs what is due, for an outside cron.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ebb_engine::ReadySync;
use ebb_schedule::{Due, LastRun, Outcome, Sync, Verdict, judge};
use ebb_state::{RunFilter, RunRecord, Store};

use super::Context;
use super::run::{Invocation, is_good, left_out, prepare, request, run_one, show_end, tried};
use crate::exit::{Exit, Failure};
use crate::output::due::sentence;
use crate::output::run::{Ended, write_due_json, write_text};
use crate::retention::remove_old_logs;
use crate::workspace::{Workspace, exit_of, git_commit};

/// Runs of a sync among which the last whole one is looked for.
const RUNS_READ: u32 = 100;

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
    let wanted = candidates(workspace, store.as_ref(), names).await?;
    let jobs = prepare(context, workspace, store, &wanted).await?;
    let mut jobs: BTreeMap<String, Result<ReadySync, Failure>> = wanted.into_iter().zip(jobs).collect();
    let engine = workspace.engine(context, Arc::clone(store))?;
    let commit = git_commit(&workspace.root);
    let mut failed: BTreeSet<&str> = BTreeSet::new();
    let mut told = Told { ended: Vec::new(), verdicts: Vec::new(), exit: Exit::Done };
    for name in names {
        // Judged only now, since a sync before it may have run meanwhile.
        let verdict = verdict(workspace, store.as_ref(), name).await?;
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
        for _ in 0..due.runs {
            if context.stop.exit().is_some() {
                told.add(left_out(name, "stopped by a signal".to_owned()), Verdict::Due(due), Exit::Done, each);
                break;
            }
            let asked = request(invocation, commit.clone());
            let (one, code) = run_one(context, (&engine, store.as_ref()), &ready, asked).await;
            let went_well = is_good(&one);
            told.add(one, Verdict::Due(due), code, each);
            if !went_well {
                failed.insert(name);
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
async fn candidates(workspace: &Workspace, store: &dyn Store, names: &[String]) -> Result<Vec<String>, Failure> {
    let mut wanted: Vec<String> = Vec::new();
    for name in names {
        let may_run = match verdict(workspace, store, name).await? {
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

/// Judges one sync by what the state holds now.
async fn verdict(workspace: &Workspace, store: &dyn Store, name: &str) -> Result<Verdict, Failure> {
    let sync = workspace.sync(name)?;
    let last = last_run(store, name).await?;
    let mut after = Vec::new();
    for before in &sync.after {
        after.push((before.as_str(), last_run(store, before).await?));
    }
    let asked = Sync { name, schedule: sync.schedule.as_ref(), last: last.as_ref(), after: &after };
    Ok(judge(asked, workspace.clock.now()))
}

/// Returns the newest run that was not of some rows only.
async fn last_run(store: &dyn Store, sync: &str) -> Result<Option<LastRun>, Failure> {
    let runs = store.runs(&RunFilter { sync: Some(sync.to_owned()), limit: RUNS_READ, ..RunFilter::default() }).await?;
    Ok(runs.iter().find(|run| !run.run.in_part).map(of_record))
}

fn of_record(record: &RunRecord) -> LastRun {
    let started_at = record.run.started_at;
    let outcome = match record.status.as_str() {
        "running" => Outcome::Running,
        "succeeded" | "partial" => Outcome::Good { finished_at: record.finished_at.unwrap_or(started_at) },
        "interrupted" => Outcome::Interrupted,
        _ => Outcome::Bad,
    };
    LastRun { started_at, outcome }
}
