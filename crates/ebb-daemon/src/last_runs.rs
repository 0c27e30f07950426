use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ebb_engine::Follows;
use ebb_project::Sync;
use ebb_schedule::{LastRun, Outcome, Verdict, judge};
use ebb_state::{RunId, RunRecord, StateError, Store};

/// The newest run of every sync that was not of some rows only: what syncs are judged by.
#[derive(Clone, Debug, Default)]
pub struct LastRuns {
    by_sync: BTreeMap<String, (RunId, LastRun)>,
}

impl LastRuns {
    /// Takes the newest runs, one for each sync.
    pub fn of(records: &[RunRecord]) -> Self {
        let each = records.iter().map(|record| (record.run.sync.clone(), (record.run.id.clone(), last_run(record))));
        Self { by_sync: each.collect() }
    }

    /// Reads them from the state.
    ///
    /// # Errors
    /// The state failed.
    pub async fn read(store: &dyn Store) -> Result<Self, StateError> {
        Ok(Self::of(&store.latest_runs(None).await?))
    }

    /// Judges whether a sync is due.
    pub fn verdict(&self, sync: &Sync, now: DateTime<Utc>) -> Verdict {
        let after: Vec<(&str, Option<LastRun>)> =
            sync.after.iter().map(|before| (before.as_str(), self.of_sync(before).cloned())).collect();
        let asked = ebb_schedule::Sync {
            name: &sync.name,
            schedule: sync.schedule.as_ref(),
            last: self.of_sync(&sync.name),
            after: &after,
        };
        judge(asked, now)
    }

    /// Returns which run a run that is begun for such a verdict follows.
    pub fn follows(&self, sync: &str) -> Follows {
        self.by_sync.get(sync).map_or(Follows::Nothing, |(id, _)| Follows::Run(id.clone()))
    }

    fn of_sync(&self, sync: &str) -> Option<&LastRun> {
        self.by_sync.get(sync).map(|(_, last)| last)
    }
}

fn last_run(record: &RunRecord) -> LastRun {
    let started_at = record.run.started_at;
    let outcome = match record.status.as_str() {
        "running" => Outcome::Running,
        "succeeded" | "partial" => Outcome::Good { finished_at: record.finished_at.unwrap_or(started_at) },
        "interrupted" => Outcome::Interrupted,
        _ => Outcome::Bad,
    };
    LastRun { started_at, outcome }
}
