use std::fmt;
use std::path::PathBuf;

use ebb_row::Fate;
use ebb_state::{PlanFooter, PlanHeader, RunId};
use serde::Serialize;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for the lease.
    Waiting,
    /// Reading the model.
    Reading,
    /// Comparing with the snapshot, mapping candidates.
    Planning,
    /// Sending.
    Sending,
    /// Done.
    Finished,
}

/// A look at a run in progress.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The phase.
    pub phase: Phase,
    /// Rows read so far.
    pub read: u64,
    /// Operations of the plan; 0 until it is whole.
    pub operations: u64,
    /// Operations whose fate is known.
    pub settled: u64,
    /// Calls made.
    pub calls: u64,
    /// A line for people, where there is something to say (waiting for whom, throttled until when).
    pub note: Option<String>,
}

/// Told of a run's progress, a few times a second at most.
pub trait Progress: Send + Sync {
    /// Takes a look.
    fn update(&self, snapshot: &Snapshot);
}

/// Progress that nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn update(&self, _snapshot: &Snapshot) {}
}

/// How a run ended: the closed set promised to pollers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Every row is unchanged, accepted or skipped.
    Succeeded,
    /// Some row was rejected or is pending.
    Partial,
    /// The run could not be done: source, credentials, state, a systemic failure.
    Failed,
    /// A guard refused the plan, or it moved; nothing was sent.
    Refused,
    /// Stopped by a signal or a lost lease; what was accepted is kept.
    Interrupted,
}

impl RunStatus {
    /// Returns the word used in output and state.
    pub fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The rows of a run by fate. `read` is the sum of the five fates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunCounts {
    /// Rows read.
    pub read: u64,
    /// See [`Fate::Unchanged`].
    pub unchanged: u64,
    /// See [`Fate::Accepted`].
    pub accepted: u64,
    /// See [`Fate::Rejected`].
    pub rejected: u64,
    /// See [`Fate::Skipped`].
    pub skipped: u64,
    /// See [`Fate::Pending`].
    pub pending: u64,
    /// Of the unchanged: adopted in this run.
    pub adopted: u64,
    /// Rows that left the model.
    pub removed: u64,
    /// Calls made, every attempt counted.
    pub calls: u64,
    /// Milliseconds from the start to the end.
    pub duration_ms: u64,
}

impl RunCounts {
    /// Adds one row of a fate.
    pub fn add(&mut self, fate: Fate, rows: u64) {
        *match fate {
            Fate::Unchanged => &mut self.unchanged,
            Fate::Accepted => &mut self.accepted,
            Fate::Rejected => &mut self.rejected,
            Fate::Skipped => &mut self.skipped,
            Fate::Pending => &mut self.pending,
        } += rows;
    }

    /// Returns whether every row read has exactly one fate.
    pub fn holds(&self) -> bool {
        self.read == self.unchanged + self.accepted + self.rejected + self.skipped + self.pending
    }
}

/// A plan that was made.
#[derive(Clone, Debug)]
pub struct PlanSummary {
    /// The file; read it with [`ebb_state::PlanReader`].
    pub file: PathBuf,
    /// What it is bound to.
    pub header: PlanHeader,
    /// Counts, refusals, notes.
    pub footer: PlanFooter,
}

/// A run that ended.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// Its id.
    pub id: RunId,
    /// The sync.
    pub sync: String,
    /// How it ended.
    pub status: RunStatus,
    /// The rows by fate.
    pub counts: RunCounts,
    /// Why it is not `succeeded`, in words, most important first; for a refusal, the guards or what moved.
    pub messages: Vec<String>,
    /// The plan's counts.
    pub plan: ebb_state::PlanCounts,
}
