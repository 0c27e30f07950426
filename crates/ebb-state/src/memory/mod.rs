//! A store in memory: the same semantics, for simulations on a virtual clock.

mod interface;
mod settle;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use ebb_row::{Clock, Column, Created, Hash128, RowKey};

use crate::store::{
    Document, Entry, EntryId, IndexEntry, Intent, NewRun, PriorIndex, Rejection, RunId, RunRecord, StateError, SyncId,
    SyncIdentity, SyncState,
};

/// A process's handle on a store in memory; see [`MemoryStore::new_process`].
#[derive(Debug)]
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
    clock: Arc<dyn Clock>,
    holder: u64,
    /// Users of a budget at the last call, by budget.
    users: Mutex<HashMap<String, u32>>,
}

/// What all processes see.
#[derive(Debug, Default)]
struct Shared {
    syncs: BTreeMap<SyncId, SyncRows>,
    runs: Vec<StoredRun>,
    leases: BTreeMap<String, StoredLease>,
    calls: BTreeMap<RunId, Vec<Vec<u8>>>,
    ids: BTreeMap<(String, String), BTreeMap<Arc<str>, String>>,
    budgets: BTreeMap<String, BTreeMap<u64, DateTime<Utc>>>,
    columns: BTreeMap<Hash128, Vec<Column>>,
    plans: BTreeSet<String>,
    secrets: BTreeMap<String, [u8; 32]>,
    documents: BTreeMap<(String, String), Document>,
    versions: u64,
    kept_plans: BTreeMap<RunId, PathBuf>,
    holders: u64,
    dead: BTreeSet<u64>,
    failures: u32,
}

/// A sync and its rows.
#[derive(Debug)]
struct SyncRows {
    state: SyncState,
    entries: BTreeMap<Hash128, StoredEntry>,
    history: Vec<Replaced>,
    rejections: Vec<Rejection>,
    dirty: BTreeMap<Hash128, RowKey>,
    journal: Vec<Intent>,
}

#[derive(Clone, Debug)]
struct StoredEntry {
    entry: Entry,
    run: RunId,
    created: Created,
    replaces: Option<EntryId>,
}

/// An entry that was replaced, and by which run.
#[derive(Clone, Debug)]
struct Replaced {
    before: StoredEntry,
    by: RunId,
}

#[derive(Debug)]
struct StoredRun {
    record: RunRecord,
    scope: String,
    epoch: u64,
    is_changed: bool,
}

#[derive(Clone, Debug)]
struct StoredLease {
    epoch: u64,
    is_held: bool,
    holder: u64,
    expires_at: DateTime<Utc>,
}

impl SyncRows {
    fn new(id: SyncId, identity: &SyncIdentity) -> Self {
        let state = SyncState {
            id,
            identity: identity.clone(),
            generation: 0,
            has_history: false,
            live: 0,
            last_entry: EntryId(0),
            cursor: None,
            mapping: None,
            counter: 0,
        };
        Self {
            state,
            entries: BTreeMap::new(),
            history: Vec::new(),
            rejections: Vec::new(),
            dirty: BTreeMap::new(),
            journal: Vec::new(),
        }
    }

    fn next_entry(&mut self) -> EntryId {
        self.state.last_entry.0 += 1;
        self.state.last_entry
    }

    fn is_live(&self, hash: Hash128) -> bool {
        self.entries.get(&hash).is_some_and(|stored| stored.entry.live)
    }
}

impl MemoryStore {
    /// Makes an empty store and the handle of its first process.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::handle(Arc::default(), clock)
    }

    fn handle(shared: Arc<Mutex<Shared>>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let mut locked = shared.lock().unwrap_or_else(PoisonError::into_inner);
        locked.holders += 1;
        let holder = locked.holders;
        drop(locked);
        Arc::new(Self { shared, clock, holder, users: Mutex::default() })
    }

    /// Returns the handle of another process on the same state.
    pub fn new_process(&self) -> Arc<Self> {
        Self::handle(Arc::clone(&self.shared), Arc::clone(&self.clock))
    }

    /// Kills this handle's process: each further call on it fails and does nothing, and others know that it is dead, so
    /// that they take its leases at once. A handle that is only dropped is not known to be dead.
    pub fn kill(&self) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.dead.insert(self.holder);
    }

    /// Lets the next `count` writes (of any process) fail with [`StateError::Storage`] and do nothing.
    pub fn fail_next(&self, count: u32) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).failures = count;
    }

    /// Returns the lines of a run's log of calls.
    pub fn call_lines(&self, run: &RunId) -> Vec<Vec<u8>> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.calls.get(run).cloned().unwrap_or_default()
    }

    /// Returns every entry of a sync, in the order of key hashes.
    pub fn entries_all(&self, sync: SyncId) -> Vec<Entry> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = shared.syncs.get(&sync).map(|sync| &sync.entries);
        entries.into_iter().flatten().map(|(_, stored)| stored.entry.clone()).collect()
    }

    /// Takes the state to read it; fails where this process is dead.
    fn read(&self) -> Result<MutexGuard<'_, Shared>, StateError> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.dead.contains(&self.holder) {
            return Err(StateError::Storage("this process was killed".to_owned()));
        }
        Ok(shared)
    }

    /// Takes the state to change it; fails where that was asked for.
    fn write(&self) -> Result<MutexGuard<'_, Shared>, StateError> {
        let mut shared = self.read()?;
        if shared.failures > 0 {
            shared.failures -= 1;
            return Err(StateError::Storage("a write was made to fail".to_owned()));
        }
        Ok(shared)
    }
}

impl Shared {
    fn sync(&mut self, id: SyncId) -> Result<&mut SyncRows, StateError> {
        self.syncs.get_mut(&id).ok_or_else(|| StateError::Storage(format!("there is no sync {}", id.0)))
    }

    fn find(&mut self, name: &str) -> Option<&mut SyncRows> {
        self.syncs.values_mut().find(|sync| sync.state.identity.name == name)
    }
}

/// A sorted index in memory.
#[derive(Debug)]
struct MemoryIndex {
    entries: Vec<IndexEntry>,
    at: usize,
}

/// How many entries a block has: few, so that simulations meet blocks that end in the middle.
const BLOCK_ENTRIES: usize = 64;

impl PriorIndex for MemoryIndex {
    fn len(&self) -> u64 {
        u64::try_from(self.entries.len()).unwrap_or(u64::MAX)
    }

    fn next_block(&mut self, out: &mut Vec<IndexEntry>) -> Result<(), StateError> {
        out.clear();
        out.extend(self.entries.iter().skip(self.at).take(BLOCK_ENTRIES));
        self.at += out.len();
        Ok(())
    }

    fn rewind(&mut self) -> Result<(), StateError> {
        self.at = 0;
        Ok(())
    }
}

/// Makes the record of a run that begins.
fn begun(run: &NewRun, scope: &str, epoch: u64) -> StoredRun {
    let record =
        RunRecord { run: run.clone(), status: "running".to_owned(), finished_at: None, summary: String::new() };
    StoredRun { record, scope: scope.to_owned(), epoch, is_changed: false }
}
