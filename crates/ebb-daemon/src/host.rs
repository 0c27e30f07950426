use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use ebb_engine::{ReadySync, RunReport};
use ebb_project::{Faults, Project};
use ebb_schedule::Due;

use crate::desk::{DeskError, Pause};

/// What the daemon is lent by the program that it is a part of.
#[async_trait]
pub trait Host: Debug + Send + Sync {
    /// Loads the project from its files. Called where blocking is allowed.
    ///
    /// # Errors
    /// Every fault of its files.
    fn load(&self) -> Result<Project, Faults>;

    /// Makes a sync ready to run, checked against its model's columns.
    ///
    /// # Errors
    /// Why it cannot run now.
    async fn prepare(&self, project: &Arc<Project>, sync: &str) -> Result<ReadySync, NotReady>;

    /// Returns the project's git commit, as runs name it. Called where blocking is allowed.
    fn commit(&self) -> Option<String>;

    /// Removes what is no longer kept. Called every hour, where blocking is allowed.
    fn sweep(&self, project: &Project);

    /// Tells people, or machines, what happened.
    fn tell(&self, news: &News<'_>);
}

/// Why a sync cannot run now: a lower-case fragment for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReady(pub String);

/// What happened.
#[derive(Debug)]
pub enum News<'a> {
    /// The daemon looked for the first time, and goes on looking.
    Serving {
        /// Syncs of the project.
        syncs: usize,
        /// When the next one is due by its schedule, if any is: not later than now where one is due already.
        next: Option<DateTime<Utc>>,
    },
    /// A run began.
    Begun {
        /// The sync.
        sync: &'a str,
        /// Why.
        due: Due,
    },
    /// A run ended.
    Ended(&'a RunReport),
    /// A sync that is due could not be run, or its run ended before it had sent anything.
    NotRun {
        /// The sync.
        sync: &'a str,
        /// `failed`, `refused` or `interrupted`.
        status: &'static str,
        /// Why.
        reason: String,
    },
    /// Someone paused a sync.
    Paused {
        /// The sync.
        sync: &'a str,
        /// Who, when and why.
        pause: &'a Pause,
    },
    /// Someone resumed a sync.
    Resumed {
        /// The sync.
        sync: &'a str,
    },
    /// The project's files changed and are wrong: the last project without a fault goes on being used.
    Wrong(&'a Faults),
    /// The project's files changed, and are used from now on.
    Loaded {
        /// Before this, they were wrong.
        was_wrong: bool,
    },
    /// The state cannot be read; nothing new runs until it can.
    StateFailed(&'a DeskError),
    /// The state can be read again.
    StateWorks,
    /// No new runs begin; those that are going on are ended.
    Draining {
        /// Their number.
        runs: usize,
        /// How long they are waited for.
        longest: Duration,
    },
    /// Runs did not end in time, and are left as they are: the next run of their syncs goes on from what was confirmed.
    Abandoned {
        /// Their syncs.
        syncs: Vec<String>,
    },
}
