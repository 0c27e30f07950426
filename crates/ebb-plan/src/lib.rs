//! The diff and the decisions: batches against the sorted index give candidates, candidates and their records give
//! operations, counts and guards give a verdict.
//!
//! Pure: no I/O, no async, no clock. Files are lent as [`Spill`], the prior snapshot as an iterator of [`Prior`]s.
//! What it must never do: know a destination, a template or a store.
//!
//! Start reading at [`Fingerprinter`] (columns to hashes), then [`Buckets`] and [`merge()`] (hashes to differences), then
//! [`decide()`] (a record to an operation) and [`Guards`].

mod buckets;
mod decide;
mod fingerprint;
mod guards;
mod merge;
mod seen;

pub use buckets::{Buckets, Entry, Parts, Spill, SpillError};
pub use decide::{Accepted, Decision, decide, merge_records};
pub use fingerprint::{FingerprintError, Fingerprinter, HASH_VERSION, Hashes};
pub use guards::{GuardCounts, Guards, Limit, Refusal};
pub use merge::{Difference, MergeCounts, Prior, merge};
pub use seen::SeenSet;
