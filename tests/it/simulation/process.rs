//! A process: the store and the transport as one engine sees them. Every call counts as two steps, one before and one
//! after it, and something can be made to happen at a step.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use ebb_destination::{Reply, Request};
use ebb_engine::{Transport, TransportError};
use ebb_row::{Column, Hash128, RowKey};
use ebb_state::{
    Acquire, CallEntry, ClosedRun, Document, Entry, EntryId, Expect, HistoryEntry, Intent, Lease, LeaseTerm,
    MemoryStore, NewRun, PriorIndex, Rejection, RunFilter, RunId, RunRecord, Settlement, Share, StateError, Store,
    SyncId, SyncIdentity, SyncState,
};
use tokio::sync::watch;

use crate::simulation::wire::Wire;

/// What happens at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The process dies; `provably`, when others on its host can tell, and else its lease has to run out.
    Crash { provably: bool },
    /// The process is told to stop.
    Stop,
    /// A call to the store does nothing and fails (the step must be one before a call).
    Fail,
    /// A call to the store does its work and fails all the same (the step must be one after a call).
    FailAfter,
    /// The process stands still for so many seconds.
    Freeze(u64),
}

/// A call by its name, and what happens there.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) what: &'static str,
    pub(super) when: &'static str,
    /// How many of the kind go by before.
    pub(super) skipped: u64,
    pub(super) action: Action,
}

/// One process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) number: u64,
    steps: AtomicU64,
    at: Mutex<Option<(u64, Action)>>,
    at_call: Mutex<Option<Call>>,
    pub(super) crashed: watch::Sender<bool>,
    pub(super) provably: Mutex<bool>,
    pub(super) stop: watch::Sender<bool>,
    frozen_until: Mutex<Option<tokio::time::Instant>>,
    happened: Mutex<Option<String>>,
}

impl Process {
    pub(super) fn new(number: u64) -> Arc<Self> {
        Arc::new(Self {
            number,
            steps: AtomicU64::new(0),
            at: Mutex::new(None),
            at_call: Mutex::new(None),
            crashed: watch::Sender::new(false),
            provably: Mutex::new(false),
            stop: watch::Sender::new(false),
            frozen_until: Mutex::new(None),
            happened: Mutex::new(None),
        })
    }

    /// Lets something happen so many steps from now; 1 is the next.
    pub(super) fn plan(&self, at: Option<(u64, Action)>) {
        let now = self.steps.load(Ordering::Relaxed);
        *self.at.lock().unwrap() = at.map(|(step, action)| (now + step, action));
    }

    /// Lets something happen at a call.
    pub(super) fn plan_at(&self, call: Call) {
        *self.at_call.lock().unwrap() = Some(call);
    }

    fn action(&self, step: u64, what: &str, when: &str) -> Option<Action> {
        if let Some((_, action)) = self.at.lock().unwrap().filter(|(at, _)| *at == step) {
            return Some(action);
        }
        let mut planned = self.at_call.lock().unwrap();
        let call = planned.as_mut().filter(|call| call.what == what && call.when == when)?;
        if call.skipped > 0 {
            call.skipped -= 1;
            return None;
        }
        planned.take().map(|call| call.action)
    }

    /// Returns how many steps were taken.
    pub(super) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Returns what happened, and before or after what, if something did.
    pub(super) fn happened(&self) -> Option<String> {
        self.happened.lock().unwrap().take()
    }

    /// Stands still from now on, whatever step it is at.
    pub(super) fn freeze(&self, seconds: u64) {
        *self.frozen_until.lock().unwrap() = Some(tokio::time::Instant::now() + Duration::from_secs(seconds));
    }

    /// Returns once the process is dead; `true` when others can tell.
    pub(super) async fn death(&self) -> bool {
        self.crashed.subscribe().wait_for(|crashed| *crashed).await.expect("the process owns the sender");
        *self.provably.lock().unwrap()
    }

    /// Takes a step; returns whether the call at it is to fail. Never returns once the process is dead.
    async fn step(&self, what: &str, when: &str) -> bool {
        loop {
            let until = *self.frozen_until.lock().unwrap();
            match until.filter(|until| *until > tokio::time::Instant::now()) {
                Some(until) => tokio::time::sleep_until(until).await,
                None => break,
            }
        }
        if *self.crashed.borrow() {
            std::future::pending::<()>().await;
        }
        let step = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        let Some(action) = self.action(step, what, when) else { return false };
        *self.happened.lock().unwrap() = Some(format!("{action:?} {when} {what}"));
        match action {
            Action::Crash { provably } => {
                *self.provably.lock().unwrap() = provably;
                self.crashed.send_replace(true);
                std::future::pending().await
            }
            Action::Stop => {
                self.stop.send_replace(true);
                false
            }
            Action::Fail => when == "before",
            Action::FailAfter => when == "after",
            Action::Freeze(seconds) => {
                self.freeze(seconds);
                Box::pin(self.step(what, when)).await
            }
        }
    }
}

/// The network as a process sees it.
#[derive(Debug)]
pub(super) struct SimTransport {
    pub(super) process: Arc<Process>,
    pub(super) wire: Arc<Wire>,
}

#[async_trait]
impl Transport for SimTransport {
    async fn send(&self, request: &Request, timeout: Duration) -> Result<Reply, TransportError> {
        self.process.step("sending", "before").await;
        let (number, result) = Arc::clone(&self.wire).send(&self.process, request, timeout).await;
        self.process.step("sending", "after").await;
        self.wire.ended(number, result.as_ref().ok());
        result
    }
}

/// The store as a process sees it.
#[derive(Debug)]
pub(super) struct SimStore {
    pub(super) process: Arc<Process>,
    pub(super) inner: Arc<MemoryStore>,
}

impl SimStore {
    async fn around<T>(&self, what: &str, call: impl Future<Output = Result<T, StateError>>) -> Result<T, StateError> {
        let failed = || Err(StateError::Storage(format!("{what} was made to fail")));
        if self.process.step(what, "before").await {
            return failed();
        }
        let result = call.await;
        if self.process.step(what, "after").await {
            return failed();
        }
        result
    }
}

#[async_trait]
impl Store for SimStore {
    async fn installation(&self) -> Result<String, StateError> {
        self.around("installation", self.inner.installation()).await
    }

    async fn secret_key(&self, name: &str) -> Result<[u8; 32], StateError> {
        self.around("secret_key", self.inner.secret_key(name)).await
    }

    async fn acquire(&self, scope: &str, term: LeaseTerm) -> Result<Acquire, StateError> {
        self.around("acquire", self.inner.acquire(scope, term)).await
    }

    async fn renew(&self, lease: &Lease, term: LeaseTerm) -> Result<(), StateError> {
        self.around("renew", self.inner.renew(lease, term)).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StateError> {
        self.around("release", self.inner.release(lease)).await
    }

    async fn sync(&self, identity: &SyncIdentity) -> Result<SyncState, StateError> {
        self.around("sync", self.inner.sync(identity)).await
    }

    async fn find_sync(&self, name: &str) -> Result<Option<SyncState>, StateError> {
        self.around("find_sync", self.inner.find_sync(name)).await
    }

    async fn reset(&self, lease: &Lease, identity: &SyncIdentity) -> Result<SyncState, StateError> {
        self.around("reset", self.inner.reset(lease, identity)).await
    }

    async fn index(&self, sync: SyncId) -> Result<Box<dyn PriorIndex>, StateError> {
        self.around("index", self.inner.index(sync)).await
    }

    async fn entries(&self, sync: SyncId, ids: &[EntryId]) -> Result<Vec<Option<Entry>>, StateError> {
        self.around("entries", self.inner.entries(sync, ids)).await
    }

    async fn rejections_of(&self, sync: SyncId, keys: &[Hash128]) -> Result<Vec<Option<Rejection>>, StateError> {
        self.around("rejections_of", self.inner.rejections_of(sync, keys)).await
    }

    async fn rejections(&self, sync: SyncId, limit: u32) -> Result<Vec<Rejection>, StateError> {
        self.around("rejections", self.inner.rejections(sync, limit)).await
    }

    async fn retry_rejections(&self, sync: SyncId, key: Option<&RowKey>) -> Result<u64, StateError> {
        self.around("retry_rejections", self.inner.retry_rejections(sync, key)).await
    }

    async fn begin_run(&self, lease: &Lease, run: &NewRun) -> Result<(), StateError> {
        self.around("begin_run", self.inner.begin_run(lease, run)).await
    }

    async fn end_run(&self, lease: &Lease, sync: SyncId, run: &RunId, end: &ClosedRun) -> Result<(), StateError> {
        self.around("end_run", self.inner.end_run(lease, sync, run, end)).await
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StateError> {
        self.around("runs", self.inner.runs(filter)).await
    }

    async fn latest_runs(&self, of: Option<&str>) -> Result<Vec<RunRecord>, StateError> {
        self.around("latest_runs", self.inner.latest_runs(of)).await
    }

    async fn keep_plan(&self, run: &RunId, file: &Path) -> Result<(), StateError> {
        self.around("keep_plan", self.inner.keep_plan(run, file)).await
    }

    async fn kept_plan(&self, run: &RunId) -> Result<Option<PathBuf>, StateError> {
        self.around("kept_plan", self.inner.kept_plan(run)).await
    }

    async fn documents(&self, kind: &str, after: &str, limit: u32) -> Result<Vec<Document>, StateError> {
        self.around("documents", self.inner.documents(kind, after, limit)).await
    }

    async fn put_document(&self, kind: &str, key: &str, expect: Expect, body: &str) -> Result<Option<u64>, StateError> {
        self.around("put_document", self.inner.put_document(kind, key, expect, body)).await
    }

    async fn remove_document(&self, kind: &str, key: &str, expect: Expect) -> Result<bool, StateError> {
        self.around("remove_document", self.inner.remove_document(kind, key, expect)).await
    }

    async fn find_runs(&self, prefix: &str) -> Result<Vec<RunRecord>, StateError> {
        self.around("find_runs", self.inner.find_runs(prefix)).await
    }

    async fn intend(&self, sync: SyncId, intents: &[Intent], durable: bool) -> Result<(), StateError> {
        self.around("intend", self.inner.intend(sync, intents, durable)).await
    }

    async fn open_intents(&self, sync: SyncId) -> Result<Vec<Intent>, StateError> {
        self.around("open_intents", self.inner.open_intents(sync)).await
    }

    async fn clear_journal(&self, sync: SyncId) -> Result<(), StateError> {
        self.around("clear_journal", self.inner.clear_journal(sync)).await
    }

    /// In the three parts that a store makes durable one after the other: log lines, rows, closing marks.
    async fn settle(&self, lease: &Lease, sync: SyncId, run: &RunId, settlement: Settlement) -> Result<(), StateError> {
        let Settlement { calls, rows, intents, ids } = settlement;
        let has_intents = !intents.is_empty();
        self.around("the lines of settle", self.inner.log_calls(sync, calls, Vec::new())).await?;
        let rows = Settlement { rows, ids, ..Settlement::default() };
        self.around("the rows of settle", self.inner.settle(lease, sync, run, rows)).await?;
        if has_intents {
            self.around("the marks of settle", self.inner.log_calls(sync, Vec::new(), intents)).await?;
        }
        Ok(())
    }

    async fn log_calls(&self, sync: SyncId, calls: Vec<CallEntry>, intents: Vec<u64>) -> Result<(), StateError> {
        self.around("the lines of log_calls", self.inner.log_calls(sync, calls, Vec::new())).await?;
        self.around("the marks of log_calls", self.inner.log_calls(sync, Vec::new(), intents)).await
    }

    async fn mark_dirty(&self, sync: SyncId, keys: &[RowKey]) -> Result<(), StateError> {
        self.around("mark_dirty", self.inner.mark_dirty(sync, keys)).await
    }

    async fn apply_dirty(&self, lease: &Lease, sync: SyncId) -> Result<Vec<RowKey>, StateError> {
        self.around("apply_dirty", self.inner.apply_dirty(lease, sync)).await
    }

    async fn known_ids(
        &self,
        destination: &str,
        object: &str,
        external_ids: &[Arc<str>],
    ) -> Result<Vec<Option<String>>, StateError> {
        self.around("known_ids", self.inner.known_ids(destination, object, external_ids)).await
    }

    async fn learn_id(
        &self,
        destination: &str,
        object: &str,
        external_id: &str,
        id: Option<&str>,
    ) -> Result<(), StateError> {
        self.around("learn_id", self.inner.learn_id(destination, object, external_id, id)).await
    }

    async fn share_budget(&self, key: &str, ttl: Duration) -> Result<Share, StateError> {
        self.around("share_budget", self.inner.share_budget(key, ttl)).await
    }

    async fn remember_columns(&self, query: Hash128, columns: &[Column]) -> Result<(), StateError> {
        self.around("remember_columns", self.inner.remember_columns(query, columns)).await
    }

    async fn columns(&self, query: Hash128) -> Result<Option<Vec<Column>>, StateError> {
        self.around("columns", self.inner.columns(query)).await
    }

    async fn use_plan(&self, plan: &str) -> Result<bool, StateError> {
        self.around("use_plan", self.inner.use_plan(plan)).await
    }

    async fn history(
        &self,
        sync: SyncId,
        run: &RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, StateError> {
        self.around("history", self.inner.history(sync, run, after, limit)).await
    }

    async fn remove_runs_before(&self, cutoff: DateTime<Utc>) -> Result<u64, StateError> {
        self.around("remove_runs_before", self.inner.remove_runs_before(cutoff)).await
    }
}
