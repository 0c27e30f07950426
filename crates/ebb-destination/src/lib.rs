//! Destinations: a declaration of what a service takes, and pure translations between records and its HTTP API.
//!
//! A destination does no I/O. It declares its objects ([`Spec`]), and for a write it returns a step machine
//! ([`Steps`]): each step is a request to send or the outcomes of the records. The engine makes, limits, journals,
//! logs and retries every call, and attaches the secret only for the host it belongs to.
//!
//! What it must never do: sleep, retry, read a clock, an environment or a file, build an HTTP client, put a cell's
//! value into a reason.
//!
//! Start reading at [`Destination`], then `vitally/mod.rs`; `conformance.rs` is the suite every destination passes.

#[cfg(test)]
mod conformance;
mod host;
mod http;
mod reply;
mod spec;
pub mod vitally;

pub use host::{HostFault, pin};
pub use http::{Answer, Auth, HeaderText, LostCall, Method, Repeat, Reply, Request};
pub use reply::{Verdict, judge_status, retry_after};
pub use spec::{Api, FieldSpec, ObjectSpec, OneOf, Spec};

pub use ebb_row::{FieldType, Nulls};

use std::sync::Arc;

use chrono::{DateTime, Utc};
use ebb_row::{Hash128, Object, Outcome, Record, RowKey, SyncMode};

/// Who is written to, apart from how: keys snapshots, plans, look-ups and ownership.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DestinationId(pub String);

impl std::fmt::Display for DestinationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One rate budget of a destination: its host and token, and the limit that its vendor documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Host and keyed hash of the token; two destinations with one token share it.
    pub key: String,
    /// Units a minute, at most.
    pub per_minute: u32,
}

/// How a sync writes: fixed for a whole run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WritePlan {
    /// The destination's object, for instance `account`.
    pub object: String,
    /// Which API carries it.
    pub api: Api,
    /// What may be sent.
    pub mode: SyncMode,
    /// The destination field by which an existing record is found (`externalId`, `id`, `email`); `None` for events.
    pub match_field: Option<String>,
}

/// One record to write.
#[derive(Clone, Debug)]
pub struct WriteRecord {
    /// The row.
    pub key: RowKey,
    /// What is to be there; look-ups are resolved (a list field holds the destination's ids).
    pub record: Arc<Record>,
    /// What the destination accepted last for this row, if anything.
    pub previous: Option<Arc<Object>>,
    /// The destination's own id of the object, where it is known.
    pub id: Option<String>,
    /// Stable over retries and crashes; becomes the message id where the API has one.
    pub message_id: String,
    /// Digest of the record.
    pub digest: Hash128,
}

/// A service that ebb writes to.
pub trait Destination: std::fmt::Debug + Send + Sync {
    /// Returns the declaration.
    fn spec(&self) -> &'static Spec;

    /// Returns who is written to.
    fn identity(&self) -> DestinationId;

    /// Returns the budgets; a [`Request`] names one by its position.
    fn budgets(&self) -> Vec<Budget>;

    /// Returns how many records one write may carry under `plan`: 1 for single calls.
    fn batch_size(&self, plan: &WritePlan) -> usize;

    /// Starts the write of up to [`Destination::batch_size`] records.
    fn write(&self, plan: &WritePlan, records: Vec<WriteRecord>) -> Box<dyn Steps<Vec<Outcome>>>;

    /// Judges a record before it is sent: the rules that depend on the row. Look-ups may still be symbolic.
    ///
    /// # Errors
    /// Why the row is rejected, in the user's words; carries no cell value.
    fn judge_record(&self, plan: &WritePlan, record: &Record) -> Result<(), String> {
        let _ = (plan, record);
        Ok(())
    }

    /// Starts to resolve your ids of `object` to the destination's; the result has one entry for each, `None` where
    /// there is no such object.
    ///
    /// A look-up that cannot be answered (no token, a refusal, no usable answer) ends with [`Step::Split`]: nothing is
    /// known of its ids, for the reason given.
    fn look_up(&self, object: &str, external_ids: Vec<Arc<str>>) -> Box<dyn Steps<Vec<Option<String>>>>;

    /// Returns how many ids one look-up may carry.
    fn look_up_size(&self, object: &str) -> usize;

    /// Starts a check of the credentials that writes nothing: one line of text for each token.
    fn check(&self) -> Vec<Box<dyn Steps<CheckLine>>>;
}

/// Returns the declarations of all destinations, in the order in which they are listed to users.
pub fn specs() -> &'static [&'static Spec] {
    static SPECS: &[&Spec] = &[&vitally::SPEC];
    SPECS
}

/// One thing that is wrong with a sync's mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingFault {
    /// The destination field it is about; `None` where it is about several.
    pub field: Option<String>,
    /// In the words that users know.
    pub message: String,
}

/// Returns what is wrong with a mapping to the destination of type `kind` that fills the top-level fields `mapped`, the
/// match field included: unknown object, mode or match, required fields, groups of which one is needed. All faults at
/// once; none for an unknown `kind`.
pub fn mapping_faults(kind: &str, plan: &WritePlan, mapped: &[&str]) -> Vec<MappingFault> {
    match kind {
        "vitally" => vitally::mapping_faults(plan, mapped),
        _ => Vec::new(),
    }
}

/// What `ebb check` reports of one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckLine {
    /// Which token or API.
    pub what: String,
    /// Whether it works; `None` when that cannot be told without writing.
    pub works: Option<bool>,
    /// In words.
    pub text: String,
}

/// A write or look-up that takes one or more dependent calls.
///
/// The engine calls `step(Answer::Start, now)` first, sends what it returns, and calls again with the reply until
/// [`Step::Done`] or [`Step::Split`]. `now` is the wall time of the call about to be made.
pub trait Steps<T>: Send {
    /// Returns what to do next.
    fn step(&mut self, answer: Answer<'_>, now: DateTime<Utc>) -> Step<T>;
}

/// What a step machine wants.
#[derive(Debug)]
pub enum Step<T> {
    /// Send this and come back with the answer.
    Send(Request),
    /// The batch was refused as a whole for a fault of some record in it: write its halves apart.
    Split {
        /// The reason, used when the batch holds one record only.
        reason: String,
    },
    /// Finished.
    Done(T),
}
