//! The daemon: runs syncs when they are due, until it is told to stop.
//!
//! A loop looks each second, or when something is due or has ended: it loads the project again where its files changed,
//! judges every sync by `ebb-schedule`, and runs with `ebb-engine` what is due, several syncs at once and never two runs
//! of one. Processes that share a state share this work: which run a run follows is looked at under the lease, and
//! pauses are documents of the store.
//!
//! What it must never do: print, read the environment, decide what is sent. It is lent a [`Host`] that loads projects,
//! makes syncs ready, and tells people.
//!
//! Start reading at [`Daemon::serve`], then [`Outlook`].

mod daemon;
mod desk;
mod files;
mod holds;
mod host;
mod last_runs;
mod outlook;
mod running;

pub use daemon::Daemon;
pub use desk::{Desk, DeskError, Pause};
pub use files::digest;
pub use host::{Host, News, NotReady};
pub use last_runs::LastRuns;
pub use outlook::{Busy, Outlook, Start};
