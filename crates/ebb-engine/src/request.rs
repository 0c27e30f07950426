use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ebb_destination::{Destination, WritePlan};
use ebb_mapping::Mapping;
use ebb_plan::Guards;
use ebb_row::{Hash128, RowKey};
use ebb_source::Source;
use ebb_state::RunId;

/// A sync, ready to plan or run: everything that its project files say, resolved.
#[derive(Clone, Debug)]
pub struct ReadySync {
    /// The sync's name.
    pub name: String,
    /// Where its rows come from.
    pub source: Arc<dyn Source>,
    /// The model's SQL.
    pub sql: String,
    /// The columns that name a row.
    pub primary_key: Vec<String>,
    /// For append-only models: the cursor column and how far to look back.
    pub cursor: Option<(String, Duration)>,
    /// The longest the model's statement may take.
    pub statement_timeout: Duration,
    /// Where its records go.
    pub destination: Arc<dyn Destination>,
    /// How they are written.
    pub write: WritePlan,
    /// How rows become records.
    pub mapping: Mapping,
    /// What refuses a plan.
    pub guards: Guards,
    /// What happens to rows that leave the model.
    pub on_removed: OnRemoved,
    /// Take the rows of the first run as accepted and send nothing (`first_run: adopt`).
    pub adopt_first: bool,
    /// In how many runs a rejected row is tried before it is quarantined.
    pub rejected_tries: u32,
    /// Writes in flight at once.
    pub concurrency: usize,
    /// The longest a request may take; 12 s at most, so that a lease outlives it.
    pub request_timeout: Duration,
    /// Digest of the configuration (model, sync, destination), for plans and reports.
    pub config: Hash128,
    /// The namespace of message ids where the project has one.
    pub project: Option<String>,
    /// Fields whose values are masked in the log of calls, by path.
    pub redact: Vec<String>,
    /// Bodies in the log of calls are cut after this many bytes.
    pub body_cap: usize,
    /// Remember the destination's ids of this object, since another sync looks them up.
    pub remember_ids: bool,
}

/// What happens to a row that leaves the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRemoved {
    /// Nothing.
    Ignore,
}

/// Which rows a plan or run is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only this row.
    pub key: Option<RowKey>,
    /// Only the first rows read.
    pub limit: Option<u64>,
    /// Ignore the snapshot: send every record again (never the keys of insert mode).
    pub full: bool,
    /// Take what would be added as accepted, and send nothing.
    pub adopt: bool,
    /// For the first run of a sync of events: `Some(true)` sends, `Some(false)` adopts.
    pub first_run_send: Option<bool>,
}

/// What to plan.
#[derive(Clone, Debug, Default)]
pub struct PlanRequest {
    /// Which rows.
    pub scope: Scope,
    /// Guards that do not refuse this time.
    pub override_guards: Vec<String>,
    /// Where the plan file goes; it must not exist.
    pub file: PathBuf,
}

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct RunRequest {
    /// Which rows; not used with a plan.
    pub scope: Scope,
    /// Guards that do not refuse this time.
    pub override_guards: Vec<String>,
    /// A sealed plan to run exactly.
    pub plan: Option<PathBuf>,
    /// What caused the run (`run`, `retry`, `demo`).
    pub trigger: String,
    /// The project's git commit.
    pub commit: Option<String>,
    /// Fail at once when the lease is held, instead of waiting for it.
    pub no_wait: bool,
    /// Which run the caller took for the newest when it decided to run; looked at under the lease.
    pub follows: Follows,
}

/// The newest run of a sync, not of some rows only, that a caller knew of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Follows {
    /// It does not matter.
    #[default]
    Anything,
    /// There was none.
    Nothing,
    /// This one.
    Run(RunId),
}
