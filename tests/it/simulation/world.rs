//! One simulated world: a model, a source, a store, a network, a service, and processes that come and go.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ebb_engine::{
    Engine, EngineError, EngineOptions, Follows, ReadySync, RunReport, RunRequest, RunStatus, Scope, Silent,
};
use ebb_row::Clock;
use ebb_state::{MemoryStore, Store};
use ebb_testkit::{Content, Exchange, FaultPlan, Model, Random, Service, ServiceSettings, VirtualClock};

use crate::simulation::process::{Action, Call, Process, SimStore, SimTransport};
use crate::simulation::ready::{Bounds, Kind, ready};
use crate::simulation::source::{SimSource, SourceFault};
use crate::simulation::wire::Wire;

/// A run that takes longer is stuck.
const LONGEST_RUN: Duration = Duration::from_hours(12);

/// Before each run: the destination tells creations from updates by the second (see docs/reliability.md).
pub(super) const PAUSE: Duration = Duration::from_secs(5);

/// How a world begins.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) kind: Kind,
    pub(super) rows: u64,
    pub(super) bounds: Bounds,
    pub(super) batch_rows: usize,
    pub(super) spill_budget: usize,
    pub(super) refused_keys: BTreeSet<String>,
}

impl Setting {
    pub(super) fn small(kind: Kind) -> Self {
        Self {
            kind,
            rows: 6,
            bounds: Bounds { concurrency: 2, per_minute: 1000, analytics_per_minute: 60 },
            batch_rows: 4,
            spill_budget: 1 << 20,
            refused_keys: BTreeSet::new(),
        }
    }
}

/// What one run meets.
#[derive(Clone, Debug)]
pub(super) struct Weather {
    pub(super) source: SourceFault,
    pub(super) action: Option<(u64, Action)>,
    pub(super) override_guards: Vec<String>,
}

impl Weather {
    pub(super) fn fine() -> Self {
        Self { source: SourceFault::None, action: None, override_guards: Vec::new() }
    }

    pub(super) fn with(step: u64, action: Action) -> Self {
        Self { action: Some((step, action)), ..Self::fine() }
    }
}

/// How a run ended.
#[derive(Debug)]
pub(super) enum End {
    Crashed,
    Finished(Box<Result<RunReport, EngineError>>),
}

impl End {
    /// Returns why a run could not be done.
    pub(super) fn error(self) -> EngineError {
        match self {
            Self::Finished(result) => result.expect_err("the run cannot be done"),
            Self::Crashed => panic!("the process crashed"),
        }
    }

    /// Returns the report, if the run made one.
    fn made(self) -> Option<RunReport> {
        match self {
            Self::Finished(result) => result.ok(),
            Self::Crashed => None,
        }
    }

    /// Returns the report of a run that made one.
    pub(super) fn report(self) -> RunReport {
        match self {
            Self::Finished(result) => result.expect("the run can be done"),
            Self::Crashed => panic!("the process crashed"),
        }
    }
}

/// A process with its engine.
pub(super) struct Alive {
    pub(super) process: Arc<Process>,
    pub(super) handle: Arc<MemoryStore>,
    pub(super) engine: Engine,
}

/// The world.
pub(super) struct World {
    pub(super) setting: Setting,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) random: Random,
    pub(super) store: Arc<MemoryStore>,
    pub(super) wire: Arc<Wire>,
    pub(super) source: SimSource,
    pub(super) model: Model,
    /// Keys that the service knew before ebb came.
    pub(super) planted: BTreeSet<String>,
    pub(super) ready: ReadySync,
    /// What happened, for people.
    pub(super) history: Vec<String>,
    /// What is wrong.
    pub(super) faults: Vec<String>,
    /// Deaths, lost leases and failed store calls: each allows as many resends as were in flight.
    pub(super) interruptions: usize,
    pub(super) runs: usize,
    pub(super) steps: u64,
    alive: Option<Alive>,
    processes: u64,
    directory: PathBuf,
    _keeps: tempfile::TempDir,
}

impl World {
    /// Makes a world; must be called within a runtime whose time is paused.
    pub(super) fn new(setting: Setting, mut random: Random) -> Self {
        let origin: DateTime<Utc> = "2026-01-05T10:00:00Z".parse().expect("a time");
        let clock = Arc::new(VirtualClock::starting_at(origin));
        let shared: Arc<dyn Clock> = clock.clone();
        let limit = |limit: u32| usize::try_from(limit).expect("a small number");
        let service = Service::new(ServiceSettings {
            per_minute: [limit(setting.bounds.per_minute), limit(setting.bounds.analytics_per_minute)],
            refused_keys: setting.refused_keys.clone(),
        });
        let wire = Wire::new(Arc::clone(&clock), service, FaultPlan::calm(random.fork()));
        let source = SimSource::new(setting.batch_rows);
        let model = Model::of(setting.rows, &mut random);
        let planted = plant(&wire, setting.kind.object(), &model, &mut random);
        let keeps = memory_directory();
        Self {
            ready: ready("simulated", setting.kind, &source, &setting.bounds),
            setting,
            clock,
            random,
            store: MemoryStore::new(shared),
            wire,
            source,
            model,
            planted,
            history: Vec::new(),
            faults: Vec::new(),
            interruptions: 0,
            runs: 0,
            steps: 0,
            alive: None,
            processes: 0,
            directory: keeps.path().to_owned(),
            _keeps: keeps,
        }
    }

    pub(super) fn set_faults(&self, faults: FaultPlan) {
        self.wire.lock().faults = faults;
    }

    pub(super) fn calm(&mut self) {
        let faults = FaultPlan::calm(self.random.fork());
        self.set_faults(faults);
    }

    /// Starts a process.
    pub(super) fn start(&mut self) -> Alive {
        self.processes += 1;
        let process = Process::new(self.processes);
        let handle = self.store.new_process();
        let store = Arc::new(SimStore { process: Arc::clone(&process), inner: Arc::clone(&handle) });
        let engine = Engine::new(EngineOptions {
            store,
            clock: self.clock.clone(),
            transport: Arc::new(SimTransport { process: Arc::clone(&process), wire: Arc::clone(&self.wire) }),
            work_directory: self.directory.clone(),
            spill_budget: self.setting.spill_budget,
            patience: Duration::from_mins(15),
            stop: process.stop.subscribe(),
            version: "simulation".to_owned(),
            worker: "simulation".to_owned(),
        })
        .seeded(self.random.bits());
        Alive { process, handle, engine }
    }

    /// Returns what a run asks for.
    pub(super) fn request(weather: &Weather) -> RunRequest {
        RunRequest {
            scope: Scope { first_run_send: Some(true), ..Scope::default() },
            override_guards: weather.override_guards.clone(),
            trigger: "run".to_owned(),
            ..RunRequest::default()
        }
    }

    /// Runs the sync once in a process of one's own choice.
    pub(super) async fn run_in(&self, alive: &Alive) -> Result<RunReport, EngineError> {
        self.run_after(alive, Follows::Anything).await
    }

    /// Runs the sync once in a process of one's own choice, if this is still its newest run.
    pub(super) async fn run_after(&self, alive: &Alive, follows: Follows) -> Result<RunReport, EngineError> {
        let ready = self.ready.clone();
        let request = RunRequest { follows, ..Self::request(&Weather::fine()) };
        Box::pin(alive.engine.run(&ready, &request, &Silent)).await
    }

    /// Runs the sync once in a new process, until something happens at a call.
    pub(super) async fn run_until(&mut self, call: Call) -> End {
        let alive = self.start();
        alive.process.plan_at(call);
        self.alive = Some(alive);
        self.run(&Weather::fine()).await
    }

    /// Runs the sync once, in the process that lives or in a new one.
    pub(super) async fn run(&mut self, weather: &Weather) -> End {
        let alive = match self.alive.take() {
            Some(alive) => alive,
            None => self.start(),
        };
        self.source.set(&self.model.rows, weather.source);
        alive.process.plan(weather.action);
        let sent_before = self.wire.lock().exchanges.len();
        let steps_before = alive.process.steps();
        let started = self.clock.elapsed();
        let request = Self::request(weather);
        tokio::time::sleep(PAUSE).await;
        let end = {
            let run = Box::pin(alive.engine.run(&self.ready, &request, &Silent));
            tokio::select! {
                biased;
                _ = alive.process.death() => End::Crashed,
                result = tokio::time::timeout(LONGEST_RUN, run) => {
                    End::Finished(Box::new(result.expect("a run is not stuck")))
                }
            }
        };
        self.runs += 1;
        self.steps += alive.process.steps() - steps_before;
        let sent = self.wire.lock().exchanges.len() - sent_before;
        let happened = alive.process.happened();
        self.history.push(format!(
            "run {} of process {} from {:?}: source {:?}, {} requests, {}, {}",
            self.runs,
            alive.process.number,
            started,
            weather.source,
            sent,
            happened.as_deref().unwrap_or("nothing happened"),
            describe(&end),
        ));
        self.interruptions += usize::from(happened.is_some());
        self.check_end(&end, sent);
        self.bury(alive, &end).await;
        end
    }

    /// A dead process is forgotten; one that was stopped has ended; any other may run again.
    async fn bury(&mut self, alive: Alive, end: &End) {
        let Alive { process, handle, engine } = alive;
        if matches!(end, End::Crashed) {
            if *process.provably.lock().unwrap() {
                handle.kill();
            }
            drop(engine);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        } else if !*process.stop.borrow() && self.random.chance(50) {
            self.alive = Some(Alive { process, handle, engine });
        }
    }

    /// What holds of every run by itself: the sum, and that one which could not be done sent nothing.
    fn check_end(&mut self, end: &End, sent: usize) {
        let End::Finished(result) = end else { return };
        match &**result {
            Ok(report) => {
                let counts = report.counts;
                if !counts.holds() {
                    self.faults.push(format!("G3: the sum of run {} does not hold: {counts:?}", self.runs));
                }
                if report.status == RunStatus::Refused && sent > 0 {
                    self.faults.push(format!("G7: run {} was refused and sent {sent} requests", self.runs));
                }
                let rows = u64::try_from(self.source.rows()).expect("few rows");
                if counts.read != rows {
                    self.faults.push(format!("G3: run {} read {} of {rows} rows", self.runs, counts.read));
                }
            }
            Err(
                error @ (EngineError::Source { .. }
                | EngineError::Project { .. }
                | EngineError::Refused { .. }
                | EngineError::Stopped { .. }),
            ) => {
                if sent > 0 {
                    self.faults.push(format!("G7: run {} sent {sent} requests and failed: {error}", self.runs));
                }
            }
            Err(error @ EngineError::Sum { .. }) => self.faults.push(format!("G3: {error}")),
            Err(
                EngineError::State(_)
                | EngineError::PlanFile(_)
                | EngineError::Storage(_)
                | EngineError::Busy { .. }
                | EngineError::Overtaken { .. }
                | EngineError::Credentials { .. },
            ) => {}
        }
    }

    /// Lets time pass.
    pub(super) async fn wait(&mut self, duration: Duration) {
        self.history.push(format!("{} s pass", duration.as_secs()));
        tokio::time::sleep(duration).await;
    }

    /// Without faults, runs until nothing is pending, and once more; returns the last report.
    pub(super) async fn settle_down(&mut self) -> Option<RunReport> {
        self.calm();
        let weather = Weather { override_guards: vec!["removed".into(), "empty".into()], ..Weather::fine() };
        for _ in 0..3 {
            if self.run(&weather).await.made().is_none_or(|report| !is_quiet(&report)) {
                continue;
            }
            let last = self.run(&weather).await.made();
            if last.as_ref().is_none_or(|last| last.counts.accepted > 0 || !is_quiet(last)) {
                self.faults.push("G1: a run after a quiet one still had something to do".to_owned());
            }
            return last;
        }
        self.faults.push("liveness: without faults, three runs did not settle everything".to_owned());
        None
    }

    /// Adds every request to the history.
    pub(super) fn tell_exchanges(&mut self) {
        self.history.extend(self.wire.lock().exchanges.iter().map(describe_exchange));
    }

    /// Returns the sync as the store knows it.
    pub(super) async fn sync_state(&self) -> Option<ebb_state::SyncState> {
        self.store.find_sync(&self.ready.name).await.expect("the store works")
    }
}

/// Lets the service know some keys of the model before ebb does.
fn plant(wire: &Wire, object: &str, model: &Model, random: &mut Random) -> BTreeSet<String> {
    let mut planted = BTreeSet::new();
    for id in model.rows.iter().filter_map(|row| row.id.as_ref()) {
        if object != "message" && random.chance(30) {
            let content = Content::from([("traits.plan".to_owned(), "old".into())]);
            wire.lock().service.plant("2025-06-01T00:00:00Z".parse().expect("a time"), object, id, &content);
            planted.insert(id.clone());
        }
    }
    planted
}

fn is_quiet(report: &RunReport) -> bool {
    matches!(report.status, RunStatus::Succeeded | RunStatus::Partial) && report.counts.pending == 0
}

pub(super) fn describe(end: &End) -> String {
    match end {
        End::Crashed => "crashed".to_owned(),
        End::Finished(result) => {
            let report = match &**result {
                Ok(report) => report,
                Err(error) => return format!("error: {error}"),
            };
            let counts = &report.counts;
            format!(
                "{}: read {} = {} unchanged + {} accepted + {} rejected + {} skipped + {} pending; {}",
                report.status,
                counts.read,
                counts.unchanged,
                counts.accepted,
                counts.rejected,
                counts.skipped,
                counts.pending,
                report.messages.join("; "),
            )
        }
    }
}

/// One request for people: when, what, what happened to it, how it ended.
fn describe_exchange(exchange: &Exchange) -> String {
    let request = &exchange.request;
    let keys: Vec<_> = exchange.items.iter().map(|item| item.key.as_str()).collect();
    let content: Vec<_> = exchange.items.iter().take(2).map(|item| format!("{:?}", item.content)).collect();
    format!(
        "{} process {} {} {keys:?} {:?}: {}, answer {:?} at {:?}; {}",
        exchange.sent_at.format("%H:%M:%S%.3f"),
        exchange.process,
        request.operation,
        exchange.fault.kind,
        if exchange.applied { "applied" } else { "not applied" },
        exchange.reply.as_ref().map(|reply| reply.status),
        exchange.ended_at.map(|time| time.format("%H:%M:%S%.3f").to_string()),
        content.join(" "),
    )
}

/// Working files live in memory where the system offers that.
fn memory_directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}

/// Runs a future in virtual time.
pub(super) fn in_virtual_time<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(future)
}
