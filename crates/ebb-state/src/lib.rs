//! State: what survives a run. Snapshots, runs, rejected rows, leases, look-ups, the intent journal, the log of calls
//! and plan files.
//!
//! The truth of a snapshot is a table of the [`Store`], written in the confirm transaction of each group of rows. The
//! sorted index that the diff reads is a derived file beside it, folded forward from the table and rebuildable at any
//! time. Every write of a run is conditional on its lease's epoch, in the same transaction.
//!
//! What it must never do: decide what is sent, wait for anything but the disk, keep a secret.
//!
//! Start reading at [`Store`], then [`SqliteStore`]; [`MemoryStore`] serves the simulation, and both pass
//! `conformance.rs`.

mod calls;
mod columns;
mod disk;
mod index;
mod journal;
mod memory;
mod merge;
mod plan_file;
mod sqlite;
mod store;

pub use calls::{CallFilter, CallLines, CallLog, CallStatus};
pub use memory::MemoryStore;
pub use plan_file::{PlanCounts, PlanFileError, PlanFooter, PlanHeader, PlanKind, PlanReader, PlanRow, PlanWriter};
pub use sqlite::SqliteStore;
pub use store::{
    Acquire, CallEntry, ClosedRun, Document, Entry, EntryChange, EntryId, Expect, HistoryEntry, IndexEntry, Intent,
    Lease, LeaseTerm, NewRun, PriorIndex, Rejection, RejectionKind, RowSettlement, RunFilter, RunId, RunRecord,
    Settlement, Share, StateError, Store, SyncId, SyncIdentity, SyncState,
};

#[cfg(test)]
mod tests;
