use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use ebb_row::{Column, Created, Hash128, RowKey};

/// Why state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The lease was taken by someone else; nothing was written.
    #[error("the lease on {scope} was lost")]
    LeaseLost {
        /// What was leased.
        scope: String,
    },
    /// The state belongs to another version, another user, or is damaged; the message says what to do.
    #[error("{0}")]
    Unusable(String),
    /// The disk or database failed.
    #[error("state: {0}")]
    Storage(String),
}

/// A run's id: a UUID version 7 as text, so that ids sort by time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub Arc<str>);

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A sync's number in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SyncId(pub i64);

/// A snapshot entry's number within its sync; a newer version of an entry has a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub u64);

/// What a sync's snapshot belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncIdentity {
    /// The sync.
    pub name: String,
    /// The destination's identity (`DestinationId` as text).
    pub destination: String,
    /// The object.
    pub object: String,
    /// The match field; `None` for events.
    pub match_field: Option<String>,
}

/// What the store knows of a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncState {
    /// Its number.
    pub id: SyncId,
    /// The identity that its snapshot was made for; differs from the asked one after an edit, which the engine refuses.
    pub identity: SyncIdentity,
    /// Raised by `reset`; part of message ids.
    pub generation: u32,
    /// Whether the snapshot was ever written to or adopted (a sync of events without it needs `--first-run`).
    pub has_history: bool,
    /// Entries that are live.
    pub live: u64,
    /// The highest entry id given out; 0 when none.
    pub last_entry: EntryId,
    /// Canonical text of the cursor's high-water mark.
    pub cursor: Option<String>,
    /// Digest of the mapping of the last run that read everything.
    pub mapping: Option<Hash128>,
    /// Raised by each run that changed anything; plans are bound to it.
    pub counter: u64,
}

/// One entry of the sorted index that the diff merges with: 40 bytes on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Hash of the row key.
    pub key: Hash128,
    /// Fingerprint of the columns when the record was last found equal to the accepted one.
    pub seen: Hash128,
    /// The entry.
    pub id: EntryId,
    /// Whether the row was in the model at the last full read that knew of it.
    pub live: bool,
}

/// A sync's entries in ascending order of key, each key once.
pub trait PriorIndex: Send {
    /// Returns how many entries there are, live or gone.
    fn len(&self) -> u64;

    /// Returns whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the next entries, up to some thousands, to `out` (cleared first); leaves it empty at the end.
    ///
    /// # Errors
    /// [`StateError::Storage`].
    fn next_block(&mut self, out: &mut Vec<IndexEntry>) -> Result<(), StateError>;

    /// Starts over.
    ///
    /// # Errors
    /// [`StateError::Storage`].
    fn rewind(&mut self) -> Result<(), StateError>;
}

/// A snapshot entry: what the destination accepted for a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub id: EntryId,
    /// The row.
    pub key: RowKey,
    /// See [`IndexEntry::seen`].
    pub seen: Hash128,
    /// Digest of the accepted record; zero where what the destination holds is uncertain, so that it is sent again.
    pub digest: Hash128,
    /// The accepted record as JSON, look-ups symbolic.
    pub record: Arc<str>,
    /// The destination's own id of the object.
    pub destination_id: Option<String>,
    /// How often the key was accepted.
    pub revision: u32,
    /// See [`IndexEntry::live`].
    pub live: bool,
    /// Taken over by `adopt`: never deleted or unset by ebb.
    pub adopted: bool,
}

/// A request about to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Unique within the run.
    pub id: u64,
    /// The run.
    pub run: RunId,
    /// The lease's epoch.
    pub epoch: u64,
    /// When.
    pub time: DateTime<Utc>,
    /// What it does (`account.put`).
    pub operation: String,
    /// Whether it writes.
    pub writes: bool,
    /// The rows it carries.
    pub keys: Vec<RowKey>,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
}

/// One line of the log of calls, ready to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallEntry {
    /// The run whose folder takes it.
    pub run: RunId,
    /// One JSON object on one line, without the line feed (design.md §13 lists its fields).
    pub line: Vec<u8>,
    /// Hashes of the row keys it carries, for the sidecar index.
    pub keys: Vec<Hash128>,
}

/// What a settled row does to the snapshot and the rejected rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryChange {
    /// The destination accepted the record (or it was adopted): the entry is new or replaced, its rejection forgotten.
    Accept {
        /// The entry it replaces; that one moves to the history.
        replaces: Option<EntryId>,
        /// Fingerprint of the columns.
        seen: Hash128,
        /// Digest of the record.
        digest: Hash128,
        /// The record as JSON.
        record: Arc<str>,
        /// The destination's id.
        destination_id: Option<String>,
        /// Whether the write created the object.
        created: Created,
        /// Taken over without sending.
        adopted: bool,
        /// The new revision.
        revision: u32,
    },
    /// The re-mapped record equals the accepted one: only the fingerprint is refreshed, and the entry is live.
    Refresh {
        /// The entry.
        replaces: EntryId,
        /// The new fingerprint.
        seen: Hash128,
    },
    /// The row left the model and that was settled: the entry is gone (its accepted facts are kept).
    Gone {
        /// The entry.
        replaces: EntryId,
    },
    /// What the destination now holds is uncertain: the entry's digest becomes zero, and its fingerprint too, so that a row
    /// which went back to what was accepted before is sent again; nothing where there is no entry.
    Uncertain {
        /// The entry.
        replaces: Option<EntryId>,
    },
    /// The mapping or the destination refused the row: kept with its reason, tries counted by runs.
    Reject {
        /// What refused it.
        kind: RejectionKind,
        /// Fingerprint of the columns; another one resets the tries.
        seen: Hash128,
        /// Why.
        reason: String,
    },
    /// Nothing (skipped, pending).
    Keep,
}

/// What refused a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectionKind {
    /// The mapping, or a rule before sending.
    Mapping,
    /// The destination.
    Destination,
    /// Sent without a known outcome, and not to be repeated by itself; counts as pending, not as rejected.
    Unknown,
    /// A repeated primary key.
    Key,
}

impl RejectionKind {
    /// Returns the word used in output and state.
    pub fn word(self) -> &'static str {
        match self {
            Self::Mapping => "mapping",
            Self::Destination => "destination",
            Self::Unknown => "unknown",
            Self::Key => "key",
        }
    }

    /// Reads what [`RejectionKind::word`] returns.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Mapping, Self::Destination, Self::Unknown, Self::Key].into_iter().find(|kind| kind.word() == word)
    }
}

/// A row and what happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowSettlement {
    /// The row.
    pub key: RowKey,
    /// The change.
    pub change: EntryChange,
}

/// Everything of one finished write, made durable in this order: log lines, then the rows in one transaction, then the
/// closing marks of the intents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// The calls.
    pub calls: Vec<CallEntry>,
    /// The rows.
    pub rows: Vec<RowSettlement>,
    /// Intents that are closed.
    pub intents: Vec<u64>,
    /// Ids to remember: object, your id, the destination's id.
    pub ids: Vec<(String, String, String)>,
}

/// A rejected (or unknown) row as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The row.
    pub key: RowKey,
    /// What refused it.
    pub kind: RejectionKind,
    /// Fingerprint of its columns then.
    pub seen: Hash128,
    /// Why.
    pub reason: String,
    /// In how many runs it was refused with this fingerprint.
    pub tries: u32,
    /// The first and the last run.
    pub first_run: RunId,
    /// The last run that saw it.
    pub last_run: RunId,
    /// When it was refused last.
    pub time: DateTime<Utc>,
}

/// A held lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What is leased: `sync:accounts`, `object:vitally:acme:account`.
    pub scope: String,
    /// Raised at each take-over.
    pub epoch: u64,
    /// Who holds it, in words: process, host.
    pub holder: String,
}

/// How long leases last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerm {
    /// From a renewal to the expiry.
    pub ttl: Duration,
}

/// The result of asking for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquire {
    /// It is held now.
    Held {
        /// The lease.
        lease: Lease,
        /// It ran out under another holder that is not known to be dead: wait for its last request before sending.
        after_expiry: bool,
    },
    /// Someone else holds it.
    Busy {
        /// In words.
        holder: String,
        /// Until it runs out, if it is not renewed.
        expires_in: Duration,
    },
}

/// A run that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// The sync's name.
    pub sync: String,
    /// When.
    pub started_at: DateTime<Utc>,
    /// What caused it: `run`, `retry`, `demo`, `schedule`; with what the engine needs to know of it later.
    pub trigger: String,
    /// The project's git commit, with `-dirty` where the work tree differs; `None` outside git.
    pub commit: Option<String>,
    /// Digest of the configuration that runs.
    pub config: Hash128,
    /// It is of some rows only (`--key`, `--limit`), so that it does not count as a run of its sync's schedule.
    pub in_part: bool,
    /// Which process runs it, in words: process and host.
    pub worker: String,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedRun {
    /// `succeeded`, `partial`, `failed`, `refused`, `interrupted`.
    pub status: String,
    /// When.
    pub finished_at: DateTime<Utc>,
    /// Counts and messages, a JSON document whose shape the engine documents.
    pub summary: String,
    /// Digest of the mapping, where the run read everything.
    pub mapping: Option<Hash128>,
    /// The cursor's new high-water mark.
    pub cursor: Option<String>,
    /// Rejections that this run did not see again are forgotten (it read everything).
    pub read_everything: bool,
}

/// A run as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// What began.
    pub run: NewRun,
    /// `running`, or as it ended. A run whose lease is gone without an end is `interrupted`.
    pub status: String,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// See [`ClosedRun::summary`]; empty while it runs.
    pub summary: String,
}

/// Which runs to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of this sync only.
    pub sync: Option<String>,
    /// At most this many; 0 is all.
    pub limit: u32,
}

/// A small JSON document that the processes of a project share: a pause, a trigger, the hash of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Unique within its kind.
    pub key: String,
    /// Never the same for two versions of a document, also after it was removed and made again; a later one is higher.
    pub version: u64,
    /// JSON text, of 1 MiB at most.
    pub body: String,
}

/// What must hold for a document to be written or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Anything,
    /// There is none of that key.
    Absent,
    /// It has this version.
    Version(u64),
}

impl Expect {
    /// Returns whether it holds of a document of this version; `None` where there is no document.
    pub(crate) fn holds(self, version: Option<u64>) -> bool {
        match self {
            Self::Anything => true,
            Self::Absent => version.is_none(),
            Self::Version(wanted) => version == Some(wanted),
        }
    }
}

/// What a run replaced, for undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The entry that the run made: what `after` of the next page begins from.
    pub entry: EntryId,
    /// The entry before the run; `None` where the run made the first one.
    pub before: Option<Entry>,
    /// The entry after the run.
    pub key: RowKey,
    /// Whether the run created the object.
    pub created: Created,
}

/// This process's part of a rate budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// How many processes use the budget now, this one included.
    pub users: u32,
    /// Whether others joined or left since the last call.
    pub changed: bool,
}

/// The store of one project. Every method may be called from many tasks; writes of one process are grouped.
///
/// Methods that take a [`Lease`] write nothing and return [`StateError::LeaseLost`] when its epoch is no longer the
/// store's, checked in the transaction that writes.
#[async_trait]
pub trait Store: std::fmt::Debug + Send + Sync {
    /// Returns the namespace of message ids where the project has none, made at first use: a UUID.
    async fn installation(&self) -> Result<String, StateError>;

    /// Returns a key of 32 bytes kept in the store, made at first use, by name (`plan`, `budget`).
    async fn secret_key(&self, name: &str) -> Result<[u8; 32], StateError>;

    /// Asks for a lease, or takes over one that ran out or whose holder is provably dead.
    async fn acquire(&self, scope: &str, term: LeaseTerm) -> Result<Acquire, StateError>;

    /// Renews; the new term starts at the start of this call.
    async fn renew(&self, lease: &Lease, term: LeaseTerm) -> Result<(), StateError>;

    /// Gives a lease back; a lost one is no error.
    async fn release(&self, lease: &Lease) -> Result<(), StateError>;

    /// Returns a sync's state, making it for `identity` when it is new.
    async fn sync(&self, identity: &SyncIdentity) -> Result<SyncState, StateError>;

    /// Returns a sync's state by name without making it.
    async fn find_sync(&self, name: &str) -> Result<Option<SyncState>, StateError>;

    /// Forgets a sync's snapshot, rejections, cursor and identity; generation and revisions survive (revisions by the
    /// raised generation). Binds it to `identity`.
    async fn reset(&self, lease: &Lease, identity: &SyncIdentity) -> Result<SyncState, StateError>;

    /// Returns the sorted index, brought up to date with the table.
    async fn index(&self, sync: SyncId) -> Result<Box<dyn PriorIndex>, StateError>;

    /// Returns entries by id, in the order asked; `None` for one that was replaced meanwhile.
    async fn entries(&self, sync: SyncId, ids: &[EntryId]) -> Result<Vec<Option<Entry>>, StateError>;

    /// Returns the rejections of these keys, in the order asked.
    async fn rejections_of(&self, sync: SyncId, keys: &[Hash128]) -> Result<Vec<Option<Rejection>>, StateError>;

    /// Returns a sync's rejections, oldest first, at most `limit` (0 is all).
    async fn rejections(&self, sync: SyncId, limit: u32) -> Result<Vec<Rejection>, StateError>;

    /// Sets the tries of rejections to 0 and turns unknown ones into plain ones, so that the next run sends them; all, or
    /// one key's. Returns how many.
    async fn retry_rejections(&self, sync: SyncId, key: Option<&RowKey>) -> Result<u64, StateError>;

    /// Opens a run: makes its row and its folder (private to the user).
    async fn begin_run(&self, lease: &Lease, run: &NewRun) -> Result<(), StateError>;

    /// Closes a run, and folds the index forward.
    async fn end_run(&self, lease: &Lease, sync: SyncId, run: &RunId, end: &ClosedRun) -> Result<(), StateError>;

    /// Lists runs.
    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StateError>;

    /// Returns the newest run of every sync, or of one, that was not of some rows only; in the order of the syncs' names. Costs
    /// one look into an index for each sync that the store knows ([`Store::sync`]), however many runs it has had.
    async fn latest_runs(&self, of: Option<&str>) -> Result<Vec<RunRecord>, StateError>;

    /// Finds runs by a prefix of their id.
    async fn find_runs(&self, prefix: &str) -> Result<Vec<RunRecord>, StateError>;

    /// Appends intents to the sync's journal before the requests are sent; with `durable`, not before they are on disk.
    async fn intend(&self, sync: SyncId, intents: &[Intent], durable: bool) -> Result<(), StateError>;

    /// Returns the intents of the sync's journal that were never closed.
    async fn open_intents(&self, sync: SyncId) -> Result<Vec<Intent>, StateError>;

    /// Empties the sync's journal after its open intents were settled.
    async fn clear_journal(&self, sync: SyncId) -> Result<(), StateError>;

    /// Makes a settlement durable (see [`Settlement`]). Several calls in flight are one disk write.
    async fn settle(&self, lease: &Lease, sync: SyncId, run: &RunId, settlement: Settlement) -> Result<(), StateError>;

    /// Appends log lines for calls that settle nothing yet, and closes their intents.
    async fn log_calls(&self, sync: SyncId, calls: Vec<CallEntry>, intents: Vec<u64>) -> Result<(), StateError>;

    /// Keeps the plan file of a run with its log of calls; the file is moved or removed.
    async fn keep_plan(&self, run: &RunId, file: &Path) -> Result<(), StateError>;

    /// Returns the plan file that was kept for a run; `None` where there is none (any more).
    async fn kept_plan(&self, run: &RunId) -> Result<Option<PathBuf>, StateError>;

    /// Returns the documents of a kind whose keys come after `after` (empty to begin), in the order of the keys' bytes, at
    /// most `limit` (0 is all).
    async fn documents(&self, kind: &str, after: &str, limit: u32) -> Result<Vec<Document>, StateError>;

    /// Writes a document and returns its new version; `None`, and nothing written, where what is expected does not hold.
    async fn put_document(&self, kind: &str, key: &str, expect: Expect, body: &str) -> Result<Option<u64>, StateError>;

    /// Removes a document. Returns whether one was removed.
    async fn remove_document(&self, kind: &str, key: &str, expect: Expect) -> Result<bool, StateError>;

    /// Marks keys whose late confirm was refused: their entries become uncertain when the next run starts. Not fenced.
    async fn mark_dirty(&self, sync: SyncId, keys: &[RowKey]) -> Result<(), StateError>;

    /// Turns entries of dirty keys uncertain and empties the list. Returns the keys.
    async fn apply_dirty(&self, lease: &Lease, sync: SyncId) -> Result<Vec<RowKey>, StateError>;

    /// Returns remembered ids of `object` at `destination`, in the order asked.
    async fn known_ids(
        &self,
        destination: &str,
        object: &str,
        external_ids: &[Arc<str>],
    ) -> Result<Vec<Option<String>>, StateError>;

    /// Remembers (`Some`) or forgets (`None`) an id.
    async fn learn_id(
        &self,
        destination: &str,
        object: &str,
        external_id: &str,
        id: Option<&str>,
    ) -> Result<(), StateError>;

    /// Counts this process among the users of a budget for `ttl`, and says how many there are.
    async fn share_budget(&self, key: &str, ttl: Duration) -> Result<Share, StateError>;

    /// Remembers the columns of a model's query, by a digest of the query.
    async fn remember_columns(&self, query: Hash128, columns: &[Column]) -> Result<(), StateError>;

    /// Returns remembered columns.
    async fn columns(&self, query: Hash128) -> Result<Option<Vec<Column>>, StateError>;

    /// Marks a plan as used; `false` when it was used before.
    async fn use_plan(&self, plan: &str) -> Result<bool, StateError>;

    /// Returns what a run changed, page by page: entries after `after` (0 to begin), at most `limit`.
    ///
    /// `after` is the id of the last entry of the page before ([`HistoryEntry::entry`]).
    async fn history(&self, sync: SyncId, run: &RunId, after: u64, limit: u32)
    -> Result<Vec<HistoryEntry>, StateError>;

    /// Removes runs that ended before `cutoff`: their folders with the logs of calls, and what they replaced. A run that
    /// is not over stays. Returns how many.
    async fn remove_runs_before(&self, cutoff: DateTime<Utc>) -> Result<u64, StateError> {
        let _ = cutoff;
        Ok(0)
    }
}
