//! A run: lease, read, diff, map, plan and guards, execute, confirm, report.
//!
//! This crate alone waits, retries and limits rates. It is handed everything it touches: a source, a
//! destination's declaration, a compiled mapping, a [`Store`](ebb_state::Store), a [`Clock`](ebb_row::Clock) and a
//! [`Transport`]; a simulation hands it virtual ones.
//!
//! The order that makes the guarantees hold is in `write.rs`: intent, send, log line, confirm in one transaction, free
//! the slot. What it must never do: confirm a batch as a whole, print, read the environment.
//!
//! Start reading at [`Engine::plan`] and [`Engine::run`].

mod budget;
mod call_log;
mod candidates;
mod engine;
mod error;
mod execute;
mod first_pass;
mod ids;
mod lease;
mod look_up;
mod mapper;
mod planning;
mod report;
mod request;
mod sealed;
mod staging;
mod transport;
mod write;

/// The target of the spans of a run: `run`, and in it `read`, `diff`, `map`, `send` and a `call` for each request. They carry
/// names, counts and statuses; no key, no cell value, no URL.
pub const TRACE: &str = "ebb::trace";

pub use engine::{Engine, EngineOptions};
pub use error::{EngineError, with_causes};
pub use report::{Phase, PlanSummary, Progress, RunCounts, RunReport, RunStatus, Silent, Snapshot};
pub use request::{Follows, OnRemoved, PlanRequest, ReadySync, RunRequest, Scope};
pub use transport::{HttpTransport, SystemClock, Transport, TransportError};
