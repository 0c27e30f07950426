//! The log of calls: `.ebb/runs/<run>/calls.jsonl`, one line an attempt, and its sidecar `calls.keys`, which finds the
//! lines of a row key without reading the log. The sidecar is derived: damage is found and it is made again.

mod read;
mod sidecar;
mod write;

pub use read::{CallFilter, CallLines, CallLog, CallStatus};
pub(crate) use write::CallWriters;

/// The name of the log in a run's folder.
const LOG_FILE: &str = "calls.jsonl";

/// The name of its sidecar.
const KEYS_FILE: &str = "calls.keys";
