//! `ebb run`: runs syncs in their order. `retry` and `adopt` are runs of one sync.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use ebb_engine::{Engine, EngineError, ReadySync, RunRequest, RunStatus, Scope};
use ebb_row::RowKey;
use ebb_state::{CallFilter, CallLog, PlanReader, Store};

use super::{Context, due, rejected};
use crate::exit::{Exit, Failure};
use crate::output::progress::Bar;
use crate::output::run::{Ended, next_steps, write_json, write_table, write_text};
use crate::output::{Out, call, escape};
use crate::ready::{self, Purpose};
use crate::retention::remove_old_logs;
use crate::workspace::{Workspace, exit_of, git_commit};

/// Rejected rows that a run names; `ebb rejected` lists all.
const REJECTIONS_SHOWN: usize = 5;

/// Rejected rows among which those of a run are looked for.
const REJECTIONS_READ: u32 = 1_000;

/// Which rows, and what may pass this once.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ScopeArgs {
    /// Only the row with this primary key; a JSON array where the key has several columns.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Ignore the snapshot and send every record again; never what was inserted once.
    #[arg(long)]
    full: bool,
    /// Only the first rows of the model.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Let this guard pass once: empty, removed, added, changed or rejected.
    #[arg(long, value_name = "NAME", value_parser = ["empty", "removed", "added", "changed", "rejected"])]
    override_guard: Vec<String>,
    /// What the first run of a sync of events does with the rows there are: send them, or take them as sent.
    #[arg(long, value_name = "WHAT", value_enum)]
    first_run: Option<FirstRunChoice>,
}

/// `--first-run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FirstRunChoice {
    /// Send them.
    Send,
    /// Take them as sent.
    Adopt,
}

impl ScopeArgs {
    /// Returns the scope for the engine.
    ///
    /// # Errors
    /// `--key` with several syncs.
    pub(crate) fn scope(&self, syncs: &[String]) -> Result<Scope, Failure> {
        if self.key.is_some() && syncs.len() != 1 {
            return Err(Failure::usage("`--key` needs the name of one sync"));
        }
        Ok(Scope {
            key: self.key.as_deref().map(RowKey::new),
            limit: self.limit,
            full: self.full,
            adopt: false,
            first_run_send: self.first_run.map(|choice| choice == FirstRunChoice::Send),
        })
    }

    /// Returns the guards that pass.
    pub(crate) fn override_guards(&self) -> Vec<String> {
        self.override_guard.clone()
    }
}

/// Runs syncs: reads, compares, sends what differs, and says what became of every row.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Syncs to run; all of them where none is named. Their order is that of `after` and look-ups.
    #[arg(value_name = "SYNC")]
    syncs: Vec<String>,
    #[command(flatten)]
    scope: ScopeArgs,
    /// Run exactly this plan, made by `ebb plan --out`; once.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "full", "limit"])]
    plan: Option<PathBuf>,
    /// Only what is due by its `schedule`, or by the syncs in its `after`; for an outside cron.
    #[arg(long, conflicts_with_all = ["plan", "key", "full", "limit", "override_guard", "first_run"])]
    due: bool,
    /// Fail at once where someone else runs the sync, instead of waiting for them.
    #[arg(long)]
    no_wait: bool,
}

/// Why a sync that was due is left out after all.
const OVERTAKEN: &str = "someone else ran it meanwhile";

/// Ends the trigger of a run of some rows only.
const IN_PART: &str = ", in part";

/// A request to run syncs.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    /// Which rows.
    pub(crate) scope: Scope,
    /// Guards that pass.
    pub(crate) override_guards: Vec<String>,
    /// A sealed plan.
    pub(crate) plan: Option<PathBuf>,
    /// What caused the runs.
    pub(crate) trigger: &'static str,
    /// Do not wait for a lease.
    pub(crate) no_wait: bool,
}

pub(super) async fn main(context: &Context, args: RunArgs) -> Result<Exit, Failure> {
    context.is_json()?;
    let workspace = Workspace::open(context)?;
    let names = match &args.plan {
        Some(file) => vec![planned_sync(file, &args.syncs)?],
        None => selected(&workspace, &args.syncs)?,
    };
    let invocation = Invocation {
        scope: args.scope.scope(&names)?,
        override_guards: args.scope.override_guards(),
        plan: args.plan,
        trigger: "run",
        no_wait: args.no_wait,
    };
    let store = workspace.store()?;
    if args.due {
        let invocation = Invocation { trigger: "schedule", ..invocation };
        return due::run_and_show(context, &workspace, &store, &names, &invocation).await;
    }
    run_and_show(context, &workspace, &store, &names, &invocation).await
}

/// Returns the named syncs, or all, in the order in which they run.
///
/// # Errors
/// A name that no sync has, and a project without syncs.
pub(super) fn selected(workspace: &Workspace, names: &[String]) -> Result<Vec<String>, Failure> {
    for name in names {
        workspace.sync(name)?;
    }
    if workspace.project.syncs().len() == 0 {
        return Err(Failure::usage("the project has no syncs").hint("a sync is a file in `syncs/`"));
    }
    Ok(workspace.project.order(names).iter().map(|sync| sync.name.clone()).collect())
}

/// Returns the sync of a plan.
fn planned_sync(file: &Path, named: &[String]) -> Result<String, Failure> {
    let sync = PlanReader::open(file, None)?.header().sync.clone();
    if named.iter().any(|name| *name != sync) {
        return Err(Failure::usage(format!("{} is a plan of the sync `{sync}`", file.display())));
    }
    Ok(sync)
}

/// Runs syncs and shows what became of them.
///
/// # Errors
/// The project does not fit its models.
pub(super) async fn run_and_show(
    context: &Context,
    workspace: &Workspace,
    store: &Arc<dyn Store>,
    names: &[String],
    invocation: &Invocation,
) -> Result<Exit, Failure> {
    let is_json = context.is_json()?;
    let mut out = context.out();
    let show = |out: &mut Out, ended: &Ended| {
        if !is_json {
            write_text(out, ended);
            out.flush();
        }
    };
    let (ended, exit) =
        run_syncs(context, (workspace, store), names, invocation, &mut |one| show(&mut out, one)).await?;
    if is_json {
        write_json(&mut out, &ended);
    } else {
        if invocation.scope.key.is_some() {
            show_calls(&mut out, workspace, &ended, invocation)?;
        }
        show_end(&mut out, workspace, store.as_ref(), &ended).await?;
    }
    out.finish()?;
    Ok(exit)
}

/// Says of all syncs together what became of them: a table, the first rejected rows, what to do next.
pub(super) async fn show_end(
    out: &mut Out,
    workspace: &Workspace,
    store: &dyn Store,
    ended: &[Ended],
) -> Result<(), Failure> {
    if ended.len() > 1 {
        out.line("");
        write_table(out, ended);
    }
    show_rejected(out, workspace, store, ended).await?;
    let steps = next_steps(ended);
    if !steps.is_empty() {
        out.line("");
        for step in &steps {
            out.line(format_args!("next: {step}"));
        }
    }
    Ok(())
}

/// Runs syncs one after the other; tells `each` as they end. Nothing is sent before all of them were checked against
/// their models' columns.
///
/// # Errors
/// The project does not fit its models.
pub(crate) async fn run_syncs(
    context: &Context,
    (workspace, store): (&Workspace, &Arc<dyn Store>),
    names: &[String],
    invocation: &Invocation,
    each: &mut (dyn FnMut(&Ended) + Send),
) -> Result<(Vec<Ended>, Exit), Failure> {
    let jobs = prepare(context, workspace, store, names).await?;
    let engine = workspace.engine(context, Arc::clone(store))?;
    let commit = git_commit(&workspace.root);
    let mut failed = BTreeSet::new();
    let mut ended = Vec::new();
    let mut exit = Exit::Done;
    for (name, ready) in names.iter().zip(jobs) {
        let blocker = workspace.sync(name)?.after.iter().find(|before| failed.contains(before.as_str()));
        let (one, code) = match (ready, blocker) {
            (_, Some(before)) => (left_out(name, format!("sync `{before}`, which it runs after, failed")), Exit::Done),
            (Err(failure), None) => {
                context.notes().failure(&failure);
                (tried(name, &failure), exit_of(&failure, context))
            }
            (Ok(_), None) if context.stop.exit().is_some() => {
                (left_out(name, "stopped by a signal".to_owned()), Exit::Done)
            }
            (Ok(ready), None) => {
                run_one(context, (&engine, store.as_ref()), &ready, request(invocation, commit.clone())).await
            }
        };
        if !is_good(&one) {
            failed.insert(name.as_str());
        }
        exit = exit.worst(code);
        each(&one);
        ended.push(one);
    }
    if let Some(signal) = context.stop.exit() {
        exit = exit.worst(signal);
    }
    remove_old_logs(&workspace.state_directory(), workspace.project.logs_keep(), workspace.clock.now());
    Ok((ended, exit))
}

/// Builds the syncs, in the order of their names, each checked against its model's columns. Faults of the project end
/// everything; a source that cannot be reached fails its syncs only.
///
/// # Errors
/// The project does not fit its models; a signal.
pub(super) async fn prepare(
    context: &Context,
    workspace: &Workspace,
    store: &Arc<dyn Store>,
    names: &[String],
) -> Result<Vec<Result<ReadySync, Failure>>, Failure> {
    tokio::select! {
        jobs = check_and_build(context, workspace, store, names) => jobs,
        () = context.stop.wait() => Err(Failure::Stopped),
    }
}

async fn check_and_build(
    context: &Context,
    workspace: &Workspace,
    store: &Arc<dyn Store>,
    names: &[String],
) -> Result<Vec<Result<ReadySync, Failure>>, Failure> {
    let mut jobs = Vec::new();
    let mut faults = Vec::new();
    for name in names {
        let sync = workspace.sync(name)?;
        let ready = match workspace.check_columns(sync, store.as_ref()).await {
            Ok(_) => ready::build(workspace, sync, store.as_ref(), Purpose::Run).await,
            Err(failure) => Err(failure),
        };
        match ready {
            Err(Failure::Faults(found)) => faults.extend(found.0),
            Err(failure) if exit_of(&failure, context) == Exit::Wrong => return Err(failure),
            ready => jobs.push(ready),
        }
    }
    if faults.is_empty() {
        return Ok(jobs);
    }
    let mut once: Vec<ebb_project::Fault> = Vec::new();
    for fault in faults {
        if !once.contains(&fault) {
            once.push(fault);
        }
    }
    Err(Failure::Faults(ebb_project::Faults(once)))
}

/// Returns what the engine is asked for.
pub(super) fn request(invocation: &Invocation, commit: Option<String>) -> RunRequest {
    let in_part = invocation.scope.key.is_some() || invocation.scope.limit.is_some();
    RunRequest {
        scope: invocation.scope.clone(),
        override_guards: invocation.override_guards.clone(),
        plan: invocation.plan.clone(),
        trigger: format!("{}{}", invocation.trigger, if in_part { IN_PART } else { "" }),
        commit,
        no_wait: invocation.no_wait,
        ..RunRequest::default()
    }
}

/// Runs one sync, with its progress.
pub(super) async fn run_one(
    context: &Context,
    (engine, store): (&Engine, &dyn Store),
    ready: &ReadySync,
    request: RunRequest,
) -> (Ended, Exit) {
    let bar = Bar::start(&ready.name, context.shows_progress());
    let result = Box::pin(engine.run(ready, &request, &bar)).await;
    bar.finish();
    match result {
        Ok(report) => {
            let signal = context.stop.exit().filter(|_| report.status == RunStatus::Interrupted);
            let exit = signal.unwrap_or(Exit::of_run(report.status));
            (Ended::Run(report), exit)
        }
        Err(EngineError::Overtaken { .. }) => (left_out(&ready.name, OVERTAKEN.to_owned()), Exit::Done),
        Err(error) => {
            let failure = of_engine(error, ready, store).await;
            context.notes().failure(&failure);
            (tried(&ready.name, &failure), failure.exit())
        }
    }
}

/// Returns whether syncs may run that run after this one.
pub(super) fn is_good(ended: &Ended) -> bool {
    let Ended::Run(report) = ended else { return false };
    match report.status {
        RunStatus::Succeeded | RunStatus::Partial => true,
        RunStatus::Failed | RunStatus::Refused | RunStatus::Interrupted => false,
    }
}

/// Returns why the engine did not do it. A snapshot that belongs to another destination, object or match field is a
/// fault of the project (exit 2), any other refusal is not.
pub(super) async fn of_engine(error: EngineError, ready: &ReadySync, store: &dyn Store) -> Failure {
    let is_refusal = matches!(error, EngineError::Refused { .. });
    let known = if is_refusal { store.find_sync(&ready.name).await.ok().flatten() } else { None };
    match (known, Failure::from(error)) {
        (Some(state), Failure::Message { message, hint, .. }) if state.identity != ready.identity() => {
            Failure::Message { exit: Exit::Wrong, message, hint }
        }
        (_, failure) => failure,
    }
}

/// A sync that was not begun.
pub(super) fn left_out(sync: &str, reason: String) -> Ended {
    Ended::NotRun { sync: sync.to_owned(), status: "not_run", reason }
}

/// A sync that ended without a report.
pub(super) fn tried(sync: &str, failure: &Failure) -> Ended {
    let status = if failure.exit() == Exit::Refused { "refused" } else { "failed" };
    let reason = message_of(failure);
    let reason = reason.strip_prefix(&format!("sync `{sync}`: ")).map(str::to_owned).unwrap_or(reason);
    Ended::NotRun { sync: sync.to_owned(), status, reason }
}

/// Returns why something could not be done, in one sentence.
pub(super) fn message_of(failure: &Failure) -> String {
    match failure {
        Failure::Message { message, .. } => message.clone(),
        Failure::Faults(faults) => faults.0.first().map(|fault| fault.message.clone()).unwrap_or_default(),
        Failure::Stopped => "stopped by a signal".to_owned(),
    }
}

/// Shows the calls that were made for the one row of `--key`.
fn show_calls(out: &mut Out, workspace: &Workspace, ended: &[Ended], invocation: &Invocation) -> Result<(), Failure> {
    for one in ended {
        let Ended::Run(report) = one else { continue };
        let filter = CallFilter { key: invocation.scope.key.clone(), ..CallFilter::default() };
        let log = CallLog::open(&workspace.state_directory(), &report.id)?;
        let mut count = 0;
        for line in log.lines(&filter)? {
            out.line("");
            call::write_text(out, &line?, true);
            count += 1;
        }
        if count == 0 {
            out.line(if report.counts.read == 0 {
                "  the model has no row with this key"
            } else {
                "  no call was made for this row"
            });
        }
    }
    Ok(())
}

/// Says of the first rows that a run rejected why.
async fn show_rejected(
    out: &mut Out,
    workspace: &Workspace,
    store: &dyn Store,
    ended: &[Ended],
) -> Result<(), Failure> {
    for one in ended {
        let Ended::Run(report) = one else { continue };
        if report.counts.rejected == 0 {
            continue;
        }
        let Some(state) = store.find_sync(&report.sync).await? else { continue };
        let rejections = store.rejections(state.id, REJECTIONS_READ).await?;
        let primary_key = &workspace.model(&workspace.sync(&report.sync)?.model)?.primary_key;
        let of_run = rejections.iter().filter(|rejection| rejection.last_run == report.id);
        for (index, rejection) in of_run.take(REJECTIONS_SHOWN).enumerate() {
            if index == 0 {
                out.line("");
            }
            let sentence = rejected::sentence(&report.sync, primary_key, rejection);
            out.line(format_args!("{}: {}", out.paint.bad("rejected"), escape::terminal(&sentence)));
        }
    }
    Ok(())
}
