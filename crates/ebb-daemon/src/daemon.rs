use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ebb_engine::Engine;
use ebb_project::Project;
use ebb_row::Hash128;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};

use crate::desk::{Desk, DeskError, Pause};
use crate::files;
use crate::holds::Holds;
use crate::host::{Host, News};
use crate::last_runs::LastRuns;
use crate::outlook::{Busy, Outlook, Start};
use crate::running::{Conclusion, carry_out, stopped};

/// How often the state and the project's files are looked at, at least.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The shortest pause between two looks, so that a clock that lags behind the timer makes no busy loop.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// How often what is no longer kept is removed.
const SWEEP_EVERY: Duration = Duration::from_hours(1);

/// What a daemon is made of.
#[derive(Debug)]
pub struct Daemon {
    /// The state, and time.
    pub desk: Desk,
    /// What runs syncs; it watches `stop` too.
    pub engine: Arc<Engine>,
    /// The program.
    pub host: Arc<dyn Host>,
    /// The project's folder.
    pub root: PathBuf,
    /// The [`digest`](crate::digest) of its files, made before the project was loaded.
    pub files: Hash128,
    /// Becomes true when the process is to stop.
    pub stop: watch::Receiver<bool>,
    /// How long runs that are going on are waited for when it is to stop.
    pub drain: Duration,
}

impl Daemon {
    /// Runs syncs when they are due, beginning with this project, until `stop`; then waits for the runs that are going on,
    /// which the engine ends. May be cancelled by dropping it, like [`Engine::run`].
    pub async fn serve(self, project: Arc<Project>) {
        let mut rounds = Rounds {
            seen: self.files,
            daemon: Arc::new(self),
            project,
            is_wrong: false,
            is_serving: false,
            is_state_bad: false,
            running: BTreeMap::new(),
            holds: Holds::default(),
            pauses: BTreeMap::new(),
            tasks: JoinSet::new(),
            syncs: HashMap::new(),
            swept: None,
            checked: Duration::ZERO,
        };
        Box::pin(rounds.go_on()).await;
        rounds.drain().await;
    }
}

/// The loop: what it knows from one look to the next.
#[derive(Debug)]
struct Rounds {
    daemon: Arc<Daemon>,
    /// The last project without a fault.
    project: Arc<Project>,
    /// Digest of the files that were loaded last, right or wrong.
    seen: Hash128,
    is_wrong: bool,
    is_serving: bool,
    is_state_bad: bool,
    /// See [`Busy::running`].
    running: BTreeMap<String, String>,
    holds: Holds,
    pauses: BTreeMap<String, Pause>,
    tasks: JoinSet<Conclusion>,
    /// The syncs of the tasks.
    syncs: HashMap<Id, String>,
    swept: Option<Duration>,
    /// When the files were looked at.
    checked: Duration,
}

impl Rounds {
    async fn go_on(&mut self) {
        let stop = self.daemon.stop.clone();
        while !*stop.borrow() {
            self.sweep();
            if self.elapsed() >= self.checked + LOOK_EVERY {
                self.reload().await;
                self.checked = self.elapsed();
            }
            let looked = self.look().await;
            let next = self.note_state(looked);
            let now = self.daemon.desk.clock.now();
            let pause = next.and_then(|next| (next - now).to_std().ok()).unwrap_or(LOOK_EVERY);
            tokio::select! {
                Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.conclude(ended),
                () = tokio::time::sleep(pause.clamp(SHORTEST_PAUSE, LOOK_EVERY)) => {}
                () = stopped(stop.clone()) => {}
            }
        }
    }

    fn elapsed(&self) -> Duration {
        self.daemon.desk.clock.elapsed()
    }

    /// Begins what is due, and returns when the next sync is.
    async fn look(&mut self) -> Result<Option<DateTime<Utc>>, DeskError> {
        let pauses = self.daemon.desk.pauses().await?;
        self.tell_pauses(&pauses);
        self.pauses = pauses;
        let last = LastRuns::read(self.daemon.desk.store.as_ref()).await?;
        let mut idle = self.holds.held(self.elapsed());
        idle.extend(self.pauses.keys().cloned());
        let busy = Busy { running: self.running.clone(), idle };
        let now = self.daemon.desk.clock.now();
        let Outlook { start, next } = Outlook::at(now, &self.project, &last, &busy);
        if !self.is_serving {
            self.is_serving = true;
            let next = if start.is_empty() { next } else { Some(now) };
            self.daemon.host.tell(&News::Serving { syncs: self.project.syncs().len(), next });
        }
        for one in start {
            self.begin(one);
        }
        Ok(next)
    }

    fn begin(&mut self, start: Start) {
        let Some(sync) = self.project.sync(&start.sync) else { return };
        self.running.insert(start.sync.clone(), Busy::object(sync));
        let name = start.sync.clone();
        let running = carry_out(Arc::clone(&self.daemon), Arc::clone(&self.project), start);
        let task = self.tasks.spawn(Box::pin(running));
        self.syncs.insert(task.id(), name);
    }

    /// Takes note of a sync that ran.
    fn conclude(&mut self, ended: Result<(Id, Conclusion), JoinError>) {
        let (id, conclusion) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "bug: a run died; please report this");
                (error.id(), Conclusion::Again)
            }
        };
        let Some(sync) = self.syncs.remove(&id) else { return };
        self.running.remove(&sync);
        match conclusion {
            Conclusion::Ran => self.holds.end(&sync),
            Conclusion::Briefly => self.holds.briefly(&sync, self.daemon.desk.clock.elapsed()),
            Conclusion::Again => self.holds.grow(&sync, self.daemon.desk.clock.elapsed()),
        }
    }

    fn tell_pauses(&self, now: &BTreeMap<String, Pause>) {
        let host = &self.daemon.host;
        for (sync, pause) in now.iter().filter(|(sync, pause)| self.pauses.get(*sync) != Some(*pause)) {
            host.tell(&News::Paused { sync, pause });
        }
        for sync in self.pauses.keys().filter(|sync| !now.contains_key(*sync)) {
            host.tell(&News::Resumed { sync });
        }
    }

    /// Says once that the state fails, and once that it works again.
    fn note_state(&mut self, looked: Result<Option<DateTime<Utc>>, DeskError>) -> Option<DateTime<Utc>> {
        let was_bad = std::mem::replace(&mut self.is_state_bad, looked.is_err());
        match looked {
            Ok(next) => {
                if was_bad {
                    self.daemon.host.tell(&News::StateWorks);
                }
                next
            }
            Err(error) => {
                if !was_bad {
                    self.daemon.host.tell(&News::StateFailed(&error));
                }
                None
            }
        }
    }

    /// Loads the project again if its files changed.
    async fn reload(&mut self) {
        let (daemon, seen) = (Arc::clone(&self.daemon), self.seen);
        let loading = tokio::task::spawn_blocking(move || {
            // Looked at first, so that what changes while it is loaded is noticed the next time.
            let found = files::digest(&daemon.root);
            (found != seen).then(|| (found, daemon.host.load()))
        });
        let (found, loaded) = match loading.await {
            Ok(Some(loaded)) => loaded,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "bug: loading the project died; please report this");
                return;
            }
        };
        self.seen = found;
        match loaded {
            Ok(project) => {
                self.project = Arc::new(project);
                self.holds.clear();
                let was_wrong = std::mem::replace(&mut self.is_wrong, false);
                self.daemon.host.tell(&News::Loaded { was_wrong });
            }
            Err(faults) => {
                self.is_wrong = true;
                self.daemon.host.tell(&News::Wrong(&faults));
            }
        }
    }

    /// Removes what is no longer kept, beside everything else.
    fn sweep(&mut self) {
        let now = self.elapsed();
        if self.swept.is_none_or(|swept| now >= swept + SWEEP_EVERY) {
            self.swept = Some(now);
            let (host, project) = (Arc::clone(&self.daemon.host), Arc::clone(&self.project));
            drop(tokio::task::spawn_blocking(move || host.sweep(&project)));
        }
    }

    /// Waits for the runs that are going on; the engine ends them.
    async fn drain(mut self) {
        if self.tasks.is_empty() {
            return;
        }
        let longest = self.daemon.drain;
        self.daemon.host.tell(&News::Draining { runs: self.tasks.len(), longest });
        let all = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                self.conclude(ended);
            }
        };
        if tokio::time::timeout(longest, all).await.is_err() {
            let syncs = self.running.into_keys().collect();
            self.daemon.host.tell(&News::Abandoned { syncs });
        }
    }
}
