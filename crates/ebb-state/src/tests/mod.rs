//! Tests of the crate at its boundary.

mod calls;
mod conformance;
mod damage;
mod documents;
mod plan_file;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use ebb_row::{Clock, Created, Hash128, RowKey};

use crate::store::{
    Acquire, CallEntry, EntryChange, EntryId, IndexEntry, Intent, Lease, LeaseTerm, NewRun, RejectionKind,
    RowSettlement, RunId, Settlement, Store, SyncId, SyncIdentity,
};
use crate::{CallFilter, CallLog, MemoryStore, SqliteStore};

/// How long leases of tests last.
pub(crate) const TERM: LeaseTerm = LeaseTerm { ttl: Duration::from_secs(30) };

/// A clock that stands still until it is put forward.
#[derive(Debug)]
pub(crate) struct TestClock(Mutex<Duration>);

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Duration::from_secs(1_700_000_000))))
    }

    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

pub(crate) fn identity(name: &str) -> SyncIdentity {
    SyncIdentity {
        name: name.to_owned(),
        destination: "vitally:acme".to_owned(),
        object: "account".to_owned(),
        match_field: Some("externalId".to_owned()),
    }
}

pub(crate) fn run_id(name: &str) -> RunId {
    RunId(name.into())
}

pub(crate) fn new_run(id: &RunId, clock: &TestClock) -> NewRun {
    NewRun {
        id: id.clone(),
        sync: "accounts".to_owned(),
        started_at: clock.now(),
        trigger: "run".to_owned(),
        commit: Some("abc123-dirty".to_owned()),
        config: Hash128::of(b"config"),
        in_part: false,
        worker: "test".to_owned(),
    }
}

pub(crate) fn held(acquired: Acquire) -> (Lease, bool) {
    match acquired {
        Acquire::Held { lease, after_expiry } => (lease, after_expiry),
        Acquire::Busy { holder, .. } => panic!("busy: {holder}"),
    }
}

/// A state that processes come to and crash on.
#[derive(Debug)]
pub(crate) enum World {
    Sqlite { folder: tempfile::TempDir, clock: Arc<TestClock> },
    Memory { first: Arc<MemoryStore>, clock: Arc<TestClock> },
}

/// A process that has the state open.
#[derive(Debug)]
pub(crate) enum Process {
    Sqlite(Arc<SqliteStore>),
    Memory(Arc<MemoryStore>),
}

impl World {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite { folder: tempfile::tempdir().unwrap(), clock: TestClock::new() }
    }

    pub(crate) fn memory() -> Self {
        let clock = TestClock::new();
        let lent: Arc<dyn Clock> = clock.clone();
        Self::Memory { first: MemoryStore::new(lent), clock }
    }

    pub(crate) fn clock(&self) -> &Arc<TestClock> {
        match self {
            Self::Sqlite { clock, .. } | Self::Memory { clock, .. } => clock,
        }
    }

    pub(crate) fn open(&self) -> Process {
        match self {
            Self::Sqlite { folder, clock } => {
                let lent: Arc<dyn Clock> = clock.clone();
                Process::Sqlite(SqliteStore::open(&folder.path().join(".ebb"), lent).unwrap())
            }
            Self::Memory { first, .. } => Process::Memory(first.new_process()),
        }
    }

    /// Returns the lines of a run's log of calls.
    pub(crate) fn call_lines(&self, run: &RunId) -> Vec<String> {
        match self {
            Self::Sqlite { folder, .. } => {
                let log = CallLog::open(&folder.path().join(".ebb"), run).unwrap();
                log.lines(&CallFilter::default()).unwrap().map(Result::unwrap).collect()
            }
            Self::Memory { first, .. } => {
                first.call_lines(run).into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
            }
        }
    }
}

impl Process {
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => store.clone(),
            Self::Memory(store) => store.clone(),
        }
    }

    /// Ends the process with whatever it held.
    pub(crate) fn crash(self) {
        match self {
            Self::Sqlite(store) => drop(Arc::into_inner(store).expect("the last user of the store")),
            Self::Memory(store) => store.kill(),
        }
    }
}

pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

/// Runs a test on each implementation.
pub(crate) fn on_both(test: impl AsyncFn(World)) {
    block_on(test(World::sqlite()));
    block_on(test(World::memory()));
}

/// A sync with a lease and an open run.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sync: SyncId,
    pub(crate) lease: Lease,
    pub(crate) run: RunId,
    pub(crate) clock: Arc<TestClock>,
}

impl Scene {
    pub(crate) async fn begin(store: Arc<dyn Store>, clock: &Arc<TestClock>, run: &str) -> Self {
        let sync = store.sync(&identity("accounts")).await.unwrap().id;
        let (lease, _) = held(store.acquire("sync:accounts", TERM).await.unwrap());
        let run = run_id(run);
        store.begin_run(&lease, &new_run(&run, clock)).await.unwrap();
        Self { store, sync, lease, run, clock: Arc::clone(clock) }
    }

    /// Opens another run under the same lease.
    pub(crate) async fn next_run(&mut self, run: &str) {
        self.run = run_id(run);
        self.store.begin_run(&self.lease, &new_run(&self.run, &self.clock)).await.unwrap();
    }

    pub(crate) async fn settle(&self, rows: Vec<RowSettlement>) {
        let settlement = Settlement { rows, ..Settlement::default() };
        self.store.settle(&self.lease, self.sync, &self.run, settlement).await.unwrap();
    }

    pub(crate) async fn index(&self) -> Vec<IndexEntry> {
        index(&*self.store, self.sync).await
    }

    pub(crate) async fn entry_of(&self, key: &str) -> Option<EntryId> {
        let hash = RowKey::new(key).hash();
        self.index().await.into_iter().find(|entry| entry.key == hash).map(|entry| entry.id)
    }
}

pub(crate) async fn index(store: &dyn Store, sync: SyncId) -> Vec<IndexEntry> {
    let mut index = store.index(sync).await.unwrap();
    let mut all = Vec::new();
    let mut block = Vec::new();
    loop {
        index.next_block(&mut block).unwrap();
        if block.is_empty() {
            break;
        }
        all.extend_from_slice(&block);
    }
    assert_eq!(u64::try_from(all.len()).unwrap(), index.len());
    assert!(all.is_sorted_by(|one, two| one.key < two.key), "sorted, each key once");
    all
}

/// An accepted row whose record says which version it is.
pub(crate) fn accept(key: &str, replaces: Option<EntryId>, version: u32) -> RowSettlement {
    let record = format!(r#"{{"key":"{key}","version":{version}}}"#);
    RowSettlement {
        key: RowKey::new(key),
        change: EntryChange::Accept {
            replaces,
            seen: Hash128::of(format!("seen {record}").as_bytes()),
            digest: Hash128::of(record.as_bytes()),
            record: record.into(),
            destination_id: Some(format!("id-{key}")),
            created: if replaces.is_none() { Created::Yes } else { Created::No },
            adopted: false,
            revision: version,
        },
    }
}

pub(crate) fn reject(key: &str, kind: RejectionKind, seen: &str, reason: &str) -> RowSettlement {
    let change = EntryChange::Reject { kind, seen: Hash128::of(seen.as_bytes()), reason: reason.to_owned() };
    RowSettlement { key: RowKey::new(key), change }
}

pub(crate) fn intent(run: &RunId, id: u64, keys: &[&str], clock: &TestClock) -> Intent {
    Intent {
        id,
        run: run.clone(),
        epoch: 1,
        time: clock.now(),
        operation: "account.put".to_owned(),
        writes: true,
        keys: keys.iter().map(|key| RowKey::new(*key)).collect(),
        attempt: 1,
        method: "PUT".to_owned(),
        url: "https://127.0.0.1/\"quoted\"".to_owned(),
    }
}

pub(crate) fn call(run: &RunId, keys: &[&str], outcome: &str) -> CallEntry {
    let quoted: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
    let line = format!(r#"{{"keys":[{}],"status":200,"outcome":"{outcome}"}}"#, quoted.join(","));
    let hashes = keys.iter().map(|key| RowKey::new(*key).hash()).collect();
    CallEntry { run: run.clone(), line: line.into_bytes(), keys: hashes }
}
