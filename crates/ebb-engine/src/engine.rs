use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ebb_destination::Api;
use ebb_row::{Clock, RowKey, SyncMode};
use ebb_state::{
    CallEntry, ClosedRun, NewRun, PlanCounts, PlanFooter, PlanHeader, PlanReader, RunId, Store, SyncState,
};
use tokio::sync::watch;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::TRACE;
use crate::budget::BudgetGate;
use crate::call_log::{LineStyle, unfinished_line};
use crate::error::EngineError;
use crate::execute::{Run, Suspects};
use crate::ids::Ids;
use crate::lease::{LeaseKeeper, Waiting};
use crate::planning::{ADOPTING, PlanFor};
use crate::report::{PlanSummary, Progress, RunCounts, RunReport, RunStatus};
use crate::request::{Follows, PlanRequest, ReadySync, RunRequest};
use crate::sealed;
use crate::transport::Transport;
use crate::write::{Caller, Halt};

/// What an engine is made of.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Snapshots, runs, leases.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// HTTP.
    pub transport: Arc<dyn Transport>,
    /// Where working files go (`.ebb/work`); made when missing.
    pub work_directory: PathBuf,
    /// Bytes that a diff keeps in memory before it spills.
    pub spill_budget: usize,
    /// The longest `Retry-After`, and the longest outage, that a run waits for; 15 min by default.
    pub patience: Duration,
    /// Becomes true when the process is to stop: runs end cleanly as `interrupted`.
    pub stop: watch::Receiver<bool>,
    /// ebb's version.
    pub version: String,
    /// This process, in words, as runs name it: process and host.
    pub worker: String,
}

/// Plans and runs syncs. Runs of one engine share its rate budgets.
#[derive(Debug)]
pub struct Engine {
    pub(crate) options: EngineOptions,
    pub(crate) ids: Ids,
    budgets: Mutex<BTreeMap<String, Arc<BudgetGate>>>,
}

/// The largest plan file that is kept with its run.
const KEPT_PLAN_BYTES: u64 = 64 << 20;

/// How long a sealed plan may be run.
const PLAN_LIFE: TimeDelta = TimeDelta::hours(24);

/// How an executed or refused run ended, before it is closed.
struct Ended {
    status: RunStatus,
    counts: RunCounts,
    messages: Vec<String>,
    plan: PlanCounts,
    cursor: Option<String>,
    read_everything: bool,
}

/// A plan to execute, and the fresh one's verdict.
struct Prepared {
    footer: PlanFooter,
    header: PlanHeader,
    file: PathBuf,
}

/// A run that holds its leases.
struct Begun<'a> {
    sync: &'a ReadySync,
    request: &'a RunRequest,
    id: RunId,
    time: DateTime<Utc>,
    since: Duration,
    state: SyncState,
    progress: &'a dyn Progress,
    /// No earlier run was one of the same sealed plan.
    first_of_plan: bool,
}

impl Engine {
    /// Makes an engine.
    pub fn new(options: EngineOptions) -> Self {
        Self { options, ids: Ids::default(), budgets: Mutex::new(BTreeMap::new()) }
    }

    /// Takes ids, and with them the jitter of pauses, from a seed, so that a simulation repeats. Engines on one store need
    /// different seeds.
    #[must_use]
    pub fn seeded(mut self, seed: u64) -> Self {
        self.ids = Ids::seeded(seed);
        self
    }

    /// Plans a sync into a file: reads the model, compares, maps, judges the guards. Sends nothing and changes no
    /// snapshot. A refusal by a guard is in the footer, not an error.
    ///
    /// # Errors
    /// Every variant of [`EngineError`] but `Busy`, `Overtaken`, `Credentials` and `Sum`.
    pub async fn plan(
        &self,
        sync: &ReadySync,
        request: &PlanRequest,
        progress: &dyn Progress,
    ) -> Result<PlanSummary, EngineError> {
        self.make_plan(&PlanFor {
            sync,
            scope: &request.scope,
            override_guards: &request.override_guards,
            run: self.ids.run(self.options.clock.now()).to_string(),
            time: self.options.clock.now(),
            file: &request.file,
            progress,
        })
        .await
    }

    /// Runs a sync: plans it (or takes a sealed plan), judges the guards, sends, confirms row by row, reports.
    ///
    /// May be cancelled by dropping it at any instant: the next run continues from what was confirmed. A run that began
    /// is closed with its status; a refusal by a guard, refused credentials or an interruption is a report, not an error.
    ///
    /// # Errors
    /// Every variant of [`EngineError`] but `Credentials`.
    pub async fn run(
        &self,
        sync: &ReadySync,
        request: &RunRequest,
        progress: &dyn Progress,
    ) -> Result<RunReport, EngineError> {
        let (store, clock) = (&self.options.store, &self.options.clock);
        let since = clock.elapsed();
        let sealed = match &request.plan {
            Some(path) => Some(self.open_sealed(sync, path).await?),
            None => None,
        };
        let scopes =
            [format!("sync:{}", sync.name), format!("object:{}:{}", sync.destination.identity(), sync.write.object)];
        let waiting = Waiting { no_wait: request.no_wait, request_timeout: sync.request_timeout, progress };
        let keeper = LeaseKeeper::take(store, clock, &sync.name, &scopes, waiting).await?;
        if let Err(error) = self.check_follows(&sync.name, &request.follows).await {
            give_back(&keeper).await;
            return Err(error);
        }
        let earlier = match &sealed {
            Some(header) => store.find_runs(&header.run).await?,
            None => Vec::new(),
        };
        let (id, time) = match &sealed {
            Some(header) if earlier.is_empty() => (RunId(header.run.as_str().into()), header.time),
            _ => (RunId(self.ids.run(clock.now()).to_string().into()), clock.now()),
        };
        let state = store.sync(&sync.identity()).await?;
        // A plan that was refused was not run.
        let first_of_plan = earlier.iter().all(|run| run.status == RunStatus::Refused.word());
        let begun = Begun { sync, request, id, time, since, state, progress, first_of_plan };
        let span =
            tracing::info_span!(target: TRACE, "run", sync = %sync.name, run = %begun.id, status = Empty, rows = Empty);
        let (result, keeper) = self.run_leased(&begun, sealed.as_ref(), keeper).instrument(span.clone()).await;
        if let Ok(report) = &result {
            span.record("status", report.status.word()).record("rows", report.counts.read);
        }
        give_back(&keeper).await;
        result
    }

    /// Compares the newest run with the one that the caller knew. Under the lease, so that none begins afterwards.
    async fn check_follows(&self, sync: &str, known: &Follows) -> Result<(), EngineError> {
        let known = match known {
            Follows::Anything => return Ok(()),
            Follows::Nothing => None,
            Follows::Run(id) => Some(id),
        };
        let newest = self.options.store.latest_runs(Some(sync)).await?;
        let newest = newest.first().map(|record| &record.run.id);
        if newest == known { Ok(()) } else { Err(EngineError::Overtaken { sync: sync.to_owned() }) }
    }

    async fn open_sealed(&self, sync: &ReadySync, path: &Path) -> Result<PlanHeader, EngineError> {
        let key = self.options.store.secret_key("plan").await?;
        let reader = PlanReader::open(path, Some(key))?;
        let header = reader.header().clone();
        let refused = |message: String| EngineError::Refused { sync: sync.name.clone(), message };
        if header.sync != sync.name {
            return Err(refused(format!("the plan is of sync `{}`", header.sync)));
        }
        if header.version != self.options.version {
            return Err(refused(format!("the plan was made by ebb {}; plan again", header.version)));
        }
        if self.options.clock.now() - header.time > PLAN_LIFE {
            return Err(refused("the plan is older than 24 hours; plan again".to_owned()));
        }
        Ok(header)
    }

    /// Runs under the leases, and gives them back with the result.
    async fn run_leased(
        &self,
        begun: &Begun<'_>,
        sealed: Option<&PlanHeader>,
        keeper: LeaseKeeper,
    ) -> (Result<RunReport, EngineError>, LeaseKeeper) {
        let file = self.options.work_directory.join(format!("{}.plan", begun.id));
        let (result, keeper) = match self.begin(begun, &keeper).await {
            Ok(()) => match self.prepare(begun, sealed, &file).await {
                Ok(prepared) => self.carry_out(begun, &prepared, keeper).await,
                Err(error) => (Err(error), keeper),
            },
            Err(error) => (Err(error), keeper),
        };
        self.keep_or_remove(begun, &file).await;
        let result = match result {
            Ok(ended) => self.close(begun, ended, &keeper).await,
            Err(error) => {
                let ended = failed(&error);
                match self.close(begun, ended, &keeper).await {
                    Ok(_) => Err(error),
                    Err(closing) => {
                        tracing::error!(error = %closing, "the run could not be closed");
                        Err(error)
                    }
                }
            }
        };
        (result, keeper)
    }

    /// Keeps the plan of a run, so that people see later what it was about; not one that is very large.
    async fn keep_or_remove(&self, begun: &Begun<'_>, file: &Path) {
        let Ok(found) = std::fs::metadata(file) else { return };
        if found.len() <= KEPT_PLAN_BYTES {
            match self.options.store.keep_plan(&begun.id, file).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, run = %begun.id, "the plan of the run could not be kept"),
            }
        }
        drop(std::fs::remove_file(file));
    }

    /// Opens the run, and settles what an earlier run left in flight.
    async fn begin(&self, begun: &Begun<'_>, keeper: &LeaseKeeper) -> Result<(), EngineError> {
        let store = &self.options.store;
        let lease = keeper.lease()?;
        let adopts = self.adopts(begun.sync, &begun.request.scope, &begun.state, &begun.id.0).await.unwrap_or(false);
        let run = NewRun {
            id: begun.id.clone(),
            sync: begun.sync.name.clone(),
            started_at: self.options.clock.now(),
            trigger: format!("{}{}", begun.request.trigger, if adopts { ADOPTING } else { "" }),
            commit: begun.request.commit.clone(),
            config: begun.sync.config,
            in_part: begun.request.scope.key.is_some() || begun.request.scope.limit.is_some(),
            worker: self.options.worker.clone(),
        };
        store.begin_run(lease, &run).await?;
        let open = store.open_intents(begun.state.id).await?;
        if !open.is_empty() {
            let calls = open
                .iter()
                .map(|intent| CallEntry {
                    run: intent.run.clone(),
                    line: unfinished_line(intent, &begun.sync.name),
                    keys: intent.keys.iter().map(RowKey::hash).collect(),
                })
                .collect();
            store.log_calls(begun.state.id, calls, Vec::new()).await?;
            let keys: Vec<RowKey> =
                open.into_iter().filter(|intent| intent.writes).flat_map(|intent| intent.keys).collect();
            store.mark_dirty(begun.state.id, &keys).await?;
        }
        // Fenced first: a worker that woke up too late must not empty its successor's journal.
        store.apply_dirty(lease, begun.state.id).await?;
        store.clear_journal(begun.state.id).await?;
        Ok(())
    }

    /// Makes the plan that is executed, or compares the sealed one with a fresh one.
    async fn prepare(
        &self,
        begun: &Begun<'_>,
        sealed: Option<&PlanHeader>,
        file: &Path,
    ) -> Result<Prepared, EngineError> {
        let fresh = self
            .make_plan(&PlanFor {
                sync: begun.sync,
                scope: &begun.request.scope,
                override_guards: &begun.request.override_guards,
                run: begun.id.to_string(),
                time: begun.time,
                file,
                progress: begun.progress,
            })
            .await?;
        let (Some(header), Some(path)) = (sealed, &begun.request.plan) else {
            return Ok(Prepared { footer: fresh.footer, header: fresh.header, file: fresh.file });
        };
        let refused = |message: String| EngineError::Refused { sync: begun.sync.name.clone(), message };
        let moved = sealed::what_moved(path, file, header, &fresh.header)?;
        if !moved.is_empty() {
            if !begun.first_of_plan {
                return Err(refused("the plan was run before; each plan runs once".to_owned()));
            }
            return Err(refused(format!("the plan no longer holds: {}", moved.join("; "))));
        }
        Ok(Prepared { footer: fresh.footer, header: header.clone(), file: path.clone() })
    }

    /// Judges the guards and executes.
    async fn carry_out(
        &self,
        begun: &Begun<'_>,
        prepared: &Prepared,
        keeper: LeaseKeeper,
    ) -> (Result<Ended, EngineError>, LeaseKeeper) {
        let footer = &prepared.footer;
        let counts = &footer.counts;
        let mut ended = Ended {
            status: RunStatus::Refused,
            counts: RunCounts { read: counts.read, removed: counts.gone, ..RunCounts::default() },
            messages: footer.refusals.iter().map(|(guard, message)| format!("guard `{guard}`: {message}")).collect(),
            plan: counts.clone(),
            cursor: begun.state.cursor.clone(),
            read_everything: prepared.header.read_everything,
        };
        if !ended.messages.is_empty() {
            ended.counts.unchanged = counts.unchanged;
            ended.counts.rejected = counts.rejected + counts.null_keys;
            ended.counts.pending = counts.read - ended.counts.unchanged - ended.counts.rejected;
            ended.read_everything = false;
            return (Ok(ended), keeper);
        }
        if begun.request.plan.is_some() {
            let refused =
                |message: &str| EngineError::Refused { sync: begun.sync.name.clone(), message: message.to_owned() };
            match self.options.store.use_plan(&prepared.header.id).await {
                Ok(true) => {}
                Ok(false) => return (Err(refused("the plan was run before; each plan runs once")), keeper),
                Err(error) => return (Err(error.into()), keeper),
            }
        }
        let run = match self.run_of(begun, footer, keeper).await {
            Ok(run) => Arc::new(run),
            Err((error, keeper)) => return (Err(error), keeper),
        };
        let executed = match PlanReader::open(&prepared.file, None) {
            Ok(mut reader) => {
                let span = tracing::info_span!(target: TRACE, "send", calls = Empty);
                let executed = run.execute(&mut reader, begun.progress).instrument(span.clone()).await;
                span.record("calls", run.caller.calls.load(std::sync::atomic::Ordering::Relaxed));
                executed
            }
            Err(error) => Err(error.into()),
        };
        let Some(run) = Arc::into_inner(run) else {
            unreachable!("every task of the run has ended");
        };
        let halt = run.caller.halted();
        for gate in &run.caller.budgets {
            if let Err(error) = gate.leave().await {
                tracing::warn!(%error, "the rate budget is given back late");
            }
        }
        ended.counts = *run.counts.lock().unwrap_or_else(PoisonError::into_inner);
        ended.counts.removed = counts.gone;
        ended.counts.calls = run.caller.calls.load(std::sync::atomic::Ordering::Relaxed);
        if let Err(error) = executed {
            return (Err(error), run.caller.keeper);
        }
        if !ended.counts.holds() {
            let known = ended.counts.unchanged + ended.counts.accepted + ended.counts.rejected;
            let known = known + ended.counts.skipped + ended.counts.pending;
            let sum = EngineError::Sum { sync: begun.sync.name.clone(), read: ended.counts.read, known };
            return (Err(sum), run.caller.keeper);
        }
        let last_failure = run.caller.last_failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        finish(&mut ended, halt, footer, begun);
        if let (true, Some(reason)) = (ended.counts.pending > 0, last_failure) {
            ended.messages.push(format!("the last call that failed: {reason}"));
        }
        (Ok(ended), run.caller.keeper)
    }

    async fn run_of(
        &self,
        begun: &Begun<'_>,
        footer: &PlanFooter,
        keeper: LeaseKeeper,
    ) -> Result<Run, (EngineError, LeaseKeeper)> {
        let sync = begun.sync;
        let namespace = match &sync.project {
            Some(project) => project.clone(),
            None => match self.options.store.installation().await {
                Ok(installation) => installation,
                Err(error) => return Err((error.into(), keeper)),
            },
        };
        let namespace = uuid::Uuid::parse_str(&namespace)
            .unwrap_or_else(|_| uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, namespace.as_bytes()));
        let plan = &footer.counts;
        let counts = RunCounts {
            read: plan.read,
            unchanged: plan.unchanged,
            rejected: plan.null_keys,
            pending: plan.unknown,
            ..RunCounts::default()
        };
        let (halt, _) = watch::channel(None);
        let caller = Caller {
            store: Arc::clone(&self.options.store),
            clock: Arc::clone(&self.options.clock),
            transport: Arc::clone(&self.options.transport),
            budgets: self.gates(sync),
            apis: vec![Api::Rest, Api::Analytics],
            keeper,
            run: begun.id.clone(),
            sync_name: sync.name.clone(),
            sync: begun.state.id,
            request_timeout: sync.request_timeout,
            patience: self.options.patience,
            style: LineStyle::new(sync.body_cap, sync.redact.clone()),
            stop: self.options.stop.clone(),
            halt,
            next_intent: AtomicU64::new(1),
            calls: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            last_failure: Mutex::new(None),
            note: Mutex::new(None),
        };
        Ok(Run {
            sync: sync.clone(),
            caller,
            namespace,
            generation: begun.state.generation,
            counts: Mutex::new(counts),
            changed: AtomicBool::new(false),
            suspects: Mutex::new(Suspects::default()),
            operations: plan.add + plan.change + plan.remove,
            forgotten: Mutex::default(),
            matched: Mutex::default(),
        })
    }

    /// Returns the gates of a destination's budgets; destinations with one token share theirs.
    fn gates(&self, sync: &ReadySync) -> Vec<Arc<BudgetGate>> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        sync.destination
            .budgets()
            .iter()
            .map(|budget| {
                let make = || {
                    let (clock, store) = (Arc::clone(&self.options.clock), Arc::clone(&self.options.store));
                    Arc::new(BudgetGate::new(budget, clock, store))
                };
                Arc::clone(budgets.entry(budget.key.clone()).or_insert_with(make))
            })
            .collect()
    }

    async fn close(&self, begun: &Begun<'_>, mut ended: Ended, keeper: &LeaseKeeper) -> Result<RunReport, EngineError> {
        let took = self.options.clock.elapsed().saturating_sub(begun.since);
        ended.counts.duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let plan = &ended.plan;
        let summary = serde_json::json!({
            "counts": ended.counts,
            "messages": ended.messages,
            "plan": { "add": plan.add, "change": plan.change, "remove": plan.remove, "gone": plan.gone },
        });
        let closed = ClosedRun {
            status: ended.status.word().to_owned(),
            finished_at: self.options.clock.now(),
            summary: summary.to_string(),
            mapping: ended.read_everything.then(|| begun.sync.mapping.digest()),
            cursor: ended.cursor.clone(),
            read_everything: ended.read_everything,
        };
        let closing = self.options.store.end_run(keeper.lease()?, begun.state.id, &begun.id, &closed).await;
        if let Err(error) = closing {
            // Whoever holds the lease now shows this run as interrupted.
            if ended.status != RunStatus::Interrupted {
                return Err(error.into());
            }
        }
        Ok(RunReport {
            id: begun.id.clone(),
            sync: begun.sync.name.clone(),
            status: ended.status,
            counts: ended.counts,
            messages: ended.messages,
            plan: ended.plan,
        })
    }

    /// Checks a destination's tokens without writing: one line for each.
    ///
    /// # Errors
    /// [`EngineError::State`].
    pub async fn check_destination(
        &self,
        destination: &dyn ebb_destination::Destination,
        request_timeout: Duration,
    ) -> Result<Vec<ebb_destination::CheckLine>, EngineError> {
        let mut lines = Vec::new();
        for mut steps in destination.check() {
            let mut answer_of: Option<ebb_destination::Reply> = None;
            loop {
                let answer = match &answer_of {
                    Some(reply) => ebb_destination::Answer::Reply(reply),
                    None => ebb_destination::Answer::Start,
                };
                match steps.step(answer, self.options.clock.now()) {
                    ebb_destination::Step::Done(line) => {
                        lines.push(line);
                        break;
                    }
                    ebb_destination::Step::Split { .. } => break,
                    ebb_destination::Step::Send(request) => {
                        match self.options.transport.send(&request, request_timeout).await {
                            Ok(reply) => answer_of = Some(reply),
                            Err(error) => {
                                lines.push(ebb_destination::CheckLine {
                                    what: request.operation.to_owned(),
                                    works: Some(false),
                                    text: error.reason,
                                });
                                break;
                            }
                        }
                    }
                }
            }
        }
        Ok(lines)
    }
}

async fn give_back(keeper: &LeaseKeeper) {
    if let Err(error) = keeper.release().await {
        tracing::warn!(%error, "the lease ends by itself, since it could not be given back");
    }
}

/// Settles the status from the fates and what halted the run.
fn finish(ended: &mut Ended, halt: Option<Halt>, footer: &PlanFooter, begun: &Begun<'_>) {
    let (state, updates) = (&begun.state, begun.sync.write.mode == SyncMode::Update);
    let counts = &ended.counts;
    let clean = counts.rejected == 0 && counts.pending == 0;
    // A row that is pending was not judged: what is kept of its rejections stays.
    ended.read_everything &= halt.is_none() && counts.pending == 0;
    // A cursor moves only with the rows under it: a row that is not accepted must be read again.
    let passed_over = updates && counts.skipped > 0;
    ended.cursor = if clean && !passed_over && halt.is_none() { footer.cursor.clone() } else { state.cursor.clone() };
    let (status, message) = match halt {
        None if clean => (RunStatus::Succeeded, None),
        None => (RunStatus::Partial, None),
        Some(Halt::Stopped) => (RunStatus::Interrupted, Some("stopped by a signal".to_owned())),
        Some(Halt::LeaseLost) => {
            (RunStatus::Interrupted, Some("the lease was lost: another process took the sync over".to_owned()))
        }
        Some(Halt::Credentials(api, status)) => {
            let error = EngineError::Credentials { api, status };
            (RunStatus::Failed, Some(error.to_string()))
        }
        Some(Halt::Patience(text)) => (RunStatus::Partial, Some(text)),
        Some(Halt::Systemic(text) | Halt::State(text)) => (RunStatus::Failed, Some(text)),
    };
    ended.status = status;
    if counts.rejected > 0 {
        ended.messages.push(rows(counts.rejected, "was rejected", "were rejected"));
    }
    if counts.pending > 0 {
        ended.messages.push(rows(counts.pending, "is pending", "are pending"));
    }
    if let Some(message) = message {
        ended.messages.insert(0, message);
    }
}

/// Counts rows in words.
fn rows(count: u64, one: &str, several: &str) -> String {
    if count == 1 { format!("1 row {one}") } else { format!("{count} rows {several}") }
}

/// The end of a run that an error stopped before anything was sent.
fn failed(error: &EngineError) -> Ended {
    let status = match error {
        EngineError::Refused { .. } => RunStatus::Refused,
        EngineError::Stopped { .. } => RunStatus::Interrupted,
        EngineError::Project { .. }
        | EngineError::Source { .. }
        | EngineError::State(_)
        | EngineError::PlanFile(_)
        | EngineError::Storage(_)
        | EngineError::Busy { .. }
        | EngineError::Overtaken { .. }
        | EngineError::Credentials { .. }
        | EngineError::Sum { .. } => RunStatus::Failed,
    };
    let mut messages = vec![error.to_string()];
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        messages.push(inner.to_string());
        cause = inner.source();
    }
    Ended {
        status,
        counts: RunCounts::default(),
        messages,
        plan: PlanCounts::default(),
        cursor: None,
        read_everything: false,
    }
}
