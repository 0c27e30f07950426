//! A plan as a file: written while the model is mapped, judged when it is whole, executed from; `plan --out` is the
//! same file, sealed.
//!
//! JSON lines: a header, a line for each row, a footer, and a seal, which is an HMAC-SHA256 over everything before it.
//! Records stand in their lines as JSON, digit for digit as they were mapped.

mod line;
mod read;
mod write;

pub use read::PlanReader;
pub use write::PlanWriter;

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use ebb_row::{Hash128, OperationKind, RowKey};

use crate::store::EntryId;

/// Why a plan file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    /// It is no plan file, of another version, cut short, or altered.
    #[error("{path}: {reason}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The disk failed.
    #[error("{path}: {reason}")]
    Storage {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
}

/// What a plan is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanHeader {
    /// A UUID; each plan runs once.
    pub id: String,
    /// ebb's version.
    pub version: String,
    /// The sync.
    pub sync: String,
    /// The run id that messages and templates see.
    pub run: String,
    /// The run's time, likewise.
    pub time: DateTime<Utc>,
    /// The destination's identity.
    pub destination: String,
    /// The object.
    pub object: String,
    /// The mode's word.
    pub mode: String,
    /// The API's word.
    pub api: String,
    /// Digest of the configuration.
    pub config: Hash128,
    /// The mapping's digest.
    pub mapping: Hash128,
    /// The sync's counter when it was planned ([`crate::SyncState::counter`]).
    pub counter: u64,
    /// The sync's generation.
    pub generation: u32,
    /// Whether every row was read (no key, limit or cursor).
    pub read_everything: bool,
}

/// What is to happen to one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanKind {
    /// Send it.
    Operation(OperationKind),
    /// The mapped record equals the accepted one: refresh the fingerprint.
    Refresh,
    /// Take it as accepted without sending.
    Adopt,
    /// The row left the model and nothing is sent for it.
    Gone,
    /// The mapping refused it, or it is quarantined.
    Reject,
    /// Sent earlier without a known outcome: not sent by itself.
    Unknown,
}

impl PlanKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Operation(OperationKind::Add),
        Self::Operation(OperationKind::Change),
        Self::Operation(OperationKind::Remove),
        Self::Refresh,
        Self::Adopt,
        Self::Gone,
        Self::Reject,
        Self::Unknown,
    ];

    /// Returns the word used in output and in the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Operation(kind) => kind.word(),
            Self::Refresh => "refresh",
            Self::Adopt => "adopt",
            Self::Gone => "gone",
            Self::Reject => "reject",
            Self::Unknown => "unknown",
        }
    }

    /// Reads what [`PlanKind::word`] returns.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// One row of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanRow {
    /// The row.
    pub key: RowKey,
    /// What is to happen.
    pub kind: PlanKind,
    /// Fingerprint of its columns; zero for removals.
    pub seen: Hash128,
    /// Digest of the record; zero where there is none.
    pub digest: Hash128,
    /// The snapshot entry that it replaces.
    pub entry: Option<EntryId>,
    /// The revision that acceptance gives it.
    pub revision: u32,
    /// The record as JSON, look-ups symbolic.
    pub record: Option<Arc<str>>,
    /// The accepted record as JSON.
    pub previous: Option<Arc<str>>,
    /// The destination's id.
    pub destination_id: Option<String>,
    /// Why it is rejected.
    pub reason: Option<String>,
    /// What refused it: a [`crate::RejectionKind`] word.
    pub rejected_by: Option<String>,
}

/// The counts of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanCounts {
    /// Rows read.
    pub read: u64,
    /// Rows whose fingerprint or record is as accepted.
    pub unchanged: u64,
    /// Operations by kind.
    pub add: u64,
    /// See [`PlanCounts::add`].
    pub change: u64,
    /// Rows that left the model and are acted on.
    pub remove: u64,
    /// Rows that left the model in all.
    pub gone: u64,
    /// Rows refused before sending: by the mapping, repeated keys, quarantine. Without null keys.
    pub rejected: u64,
    /// Rows whose key is null.
    pub null_keys: u64,
    /// Rows that stay unknown.
    pub unknown: u64,
    /// Rows adopted.
    pub adopt: u64,
    /// Live entries before.
    pub live: u64,
}

/// The end of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanFooter {
    /// The counts.
    pub counts: PlanCounts,
    /// Guards that refuse it: name and message.
    pub refusals: Vec<(String, String)>,
    /// Notes for the reader of the plan ("the mapping changed since the last run").
    pub notes: Vec<String>,
    /// The cursor's high-water mark after this plan.
    pub cursor: Option<String>,
    /// Positions (from 1) of some of the rows with a null key.
    pub null_key_rows: Vec<u64>,
}
