use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use ebb_engine::Follows;
use ebb_project::{Project, Sync};
use ebb_schedule::{Due, Verdict};

use crate::last_runs::LastRuns;

/// Runs of one process at once, at most.
pub(crate) const MAX_RUNS: usize = 8;

/// What keeps a sync from being begun although it is due.
#[derive(Clone, Debug, Default)]
pub struct Busy {
    /// The syncs that this process runs now, with the object that each writes ([`Busy::object`]).
    pub running: BTreeMap<String, String>,
    /// The syncs that do not run by themselves now: paused, or left alone for a while after they could not run.
    pub idle: BTreeSet<String>,
}

impl Busy {
    /// Returns the object that a sync writes, in words: one run of it at a time.
    pub fn object(sync: &Sync) -> String {
        format!("{}:{}", sync.destination, sync.object)
    }
}

/// A sync to begin now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The sync.
    pub sync: String,
    /// Why, and how many runs.
    pub due: Due,
    /// Which run the first of them follows.
    pub follows: Follows,
}

/// What is to be done now, and when to look again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// What to begin, most overdue first; no two of one sync, nor of one object.
    pub start: Vec<Start>,
    /// When the next sync is due by its schedule that is not now, paused ones apart.
    pub next: Option<DateTime<Utc>>,
}

impl Outlook {
    /// Judges every sync of a project.
    pub fn at(now: DateTime<Utc>, project: &Project, last: &LastRuns, busy: &Busy) -> Self {
        let mut next: Option<DateTime<Utc>> = None;
        let mut due: Vec<(Due, &Sync)> = Vec::new();
        // In the order of `after` and look-ups, which syncs that are due since the same time keep.
        for sync in project.order(&[]) {
            if busy.idle.contains(&sync.name) || busy.running.contains_key(&sync.name) {
                continue;
            }
            match last.verdict(sync, now) {
                Verdict::Due(why) => due.push((why, sync)),
                Verdict::NotDue { next: Some(time) } => next = Some(next.map_or(time, |next| next.min(time))),
                Verdict::NotDue { next: None }
                | Verdict::Waiting { .. }
                | Verdict::Blocked { .. }
                | Verdict::Running
                | Verdict::Unscheduled => {}
            }
        }
        due.sort_by_key(|(why, _)| why.since);
        let mut objects: BTreeSet<String> = busy.running.values().cloned().collect();
        let room = MAX_RUNS.saturating_sub(busy.running.len());
        let ready: Vec<(Due, &Sync)> =
            due.iter().filter(|(why, sync)| !waits(sync, why.since, &due, busy)).copied().collect();
        let free = ready.into_iter().filter(|(_, sync)| objects.insert(Busy::object(sync)));
        let start = free.take(room).map(|(due, sync)| Start {
            sync: sync.name.clone(),
            due,
            follows: last.follows(&sync.name),
        });
        Self { start: start.collect(), next }
    }
}

/// Returns whether a sync looks up what another one writes now, or is to write that is due as long: ids that are not there yet
/// would reject its rows. One that becomes due again meanwhile is not waited for, so that nobody waits for ever.
fn waits(sync: &Sync, since: DateTime<Utc>, due: &[(Due, &Sync)], busy: &Busy) -> bool {
    let looked_up: Vec<String> = sync
        .mapping
        .lookups()
        .iter()
        .filter(|object| **object != sync.object)
        .map(|object| format!("{}:{object}", sync.destination))
        .collect();
    let is_earlier = |(why, other): &(Due, &Sync)| why.since <= since && looked_up.contains(&Busy::object(other));
    busy.running.values().any(|object| looked_up.contains(object)) || due.iter().any(is_earlier)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use chrono::TimeDelta;
    use ebb_project::Environment;
    use ebb_row::{Clock as _, Hash128};
    use ebb_state::{NewRun, RunId, RunRecord};
    use ebb_testkit::VirtualClock;
    use tempfile::TempDir;

    use super::*;

    const SETTINGS: &str = "
version: 1
sources: { warehouse: { type: sqlite, path: warehouse.db } }
destinations:
  vitally: { type: vitally, subdomain: sandbox, rest_token: x, analytics_token: x }
  other: { type: vitally, subdomain: other, rest_token: x, analytics_token: x }
";

    fn project(syncs: &[(&str, &str, &str)]) -> (TempDir, Project) {
        let folder = tempfile::tempdir().expect("a folder");
        for inner in ["models", "syncs"] {
            fs::create_dir(folder.path().join(inner)).expect("made");
        }
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).expect("written");
        write("ebb.yaml", SETTINGS);
        write("models/accounts.sql", "/*\nprimary_key: id\n*/\nselect id, name from accounts\n");
        for (name, target, more) in syncs {
            let (destination, object) = target.split_once(':').expect("a destination and an object");
            let head = format!("model: accounts\ndestination: {destination}\nobject: {object}\n");
            let fields = if more.contains("fields:") { "" } else { "fields: { name: name }\n" };
            write(&format!("syncs/{name}.yaml"), &format!("{head}match: {{ externalId: id }}\n{fields}{more}"));
        }
        let project = ebb_project::load(folder.path(), &Environment::default()).expect("no faults");
        (folder, project)
    }

    fn run(sync: &str, status: &str, started_at: DateTime<Utc>) -> RunRecord {
        let run = NewRun {
            id: RunId(format!("{sync}-1").as_str().into()),
            sync: sync.to_owned(),
            started_at,
            trigger: "schedule".to_owned(),
            commit: None,
            config: Hash128::of(b""),
            in_part: false,
            worker: "test".to_owned(),
        };
        let finished_at = (status != "running").then_some(started_at);
        RunRecord { run, status: status.to_owned(), finished_at, summary: String::new() }
    }

    fn names(outlook: &Outlook) -> Vec<&str> {
        outlook.start.iter().map(|start| start.sync.as_str()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_begins_once_and_the_next_time_is_known() {
        let clock = VirtualClock::starting_at(DateTime::UNIX_EPOCH);
        let (_folder, project) = project(&[
            ("accounts", "vitally:account", "schedule: { every: 10s }"),
            ("groups", "vitally:organization", "after: [accounts]"),
            ("slow", "other:account", "schedule: { every: 1h }\n"),
        ]);
        let mut busy = Busy::default();
        let first = Outlook::at(clock.now(), &project, &LastRuns::default(), &busy);
        assert_eq!((names(&first), first.next), (vec!["accounts", "slow"], None));
        assert!(first.start.iter().all(|start| start.follows == Follows::Nothing && start.due.runs == 1));

        // Running here, whatever the state says, and running elsewhere.
        busy.running.insert("slow".to_owned(), "other:account".to_owned());
        let last = LastRuns::of(&[run("accounts", "running", clock.now())]);
        assert_eq!(names(&Outlook::at(clock.now(), &project, &last, &busy)), Vec::<&str>::new());

        // It ended: who runs after it is due, and it itself when its time has come.
        busy.running.clear();
        let ended = clock.now();
        let mut runs = [run("accounts", "succeeded", ended), run("slow", "failed", ended)];
        let outlook = Outlook::at(clock.now(), &project, &LastRuns::of(&runs), &busy);
        assert_eq!((names(&outlook), outlook.next), (vec!["groups"], Some(ended + TimeDelta::seconds(10))));
        tokio::time::advance(std::time::Duration::from_secs(10)).await;
        let outlook = Outlook::at(clock.now(), &project, &LastRuns::of(&runs), &busy);
        assert_eq!((names(&outlook), outlook.next), (vec!["groups", "accounts"], Some(ended + TimeDelta::hours(1))));
        assert_eq!(outlook.start[1].follows, Follows::Run(RunId("accounts-1".into())));

        // What is paused, or could not run, does not count at all.
        busy.idle.insert("accounts".to_owned());
        runs[0].status = "interrupted".to_owned();
        let outlook = Outlook::at(clock.now(), &project, &LastRuns::of(&runs), &busy);
        assert_eq!(names(&outlook), Vec::<&str>::new(), "groups are blocked");
    }

    #[test]
    fn what_is_looked_up_is_written_first_and_waited_for_once() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::hours(1);
        let looks_up = "fields: { name: name, organizationId: { $lookup: organization, externalId: id } }\n";
        let accounts = format!("{looks_up}schedule: {{ every: 10m }}");
        let (_folder, project) = project(&[
            ("accounts", "vitally:account", &accounts),
            ("groups", "vitally:organization", "schedule: { every: 1m }"),
        ]);
        let mut busy = Busy::default();
        assert_eq!(names(&Outlook::at(now, &project, &LastRuns::default(), &busy)), ["groups"]);
        busy.running.insert("groups".to_owned(), "vitally:organization".to_owned());
        assert_eq!(names(&Outlook::at(now, &project, &LastRuns::default(), &busy)), Vec::<&str>::new());
        busy.running.clear();
        let last = LastRuns::of(&[run("groups", "succeeded", now)]);
        assert_eq!(names(&Outlook::at(now, &project, &last, &busy)), ["accounts"]);
        // Due since an earlier time than the groups' next one.
        let last = LastRuns::of(&[
            run("accounts", "succeeded", now - TimeDelta::minutes(3)),
            run("groups", "succeeded", now + TimeDelta::seconds(1)),
        ]);
        let later = now + TimeDelta::minutes(2);
        assert_eq!(names(&Outlook::at(later, &project, &last, &busy)), ["accounts", "groups"]);
    }

    #[test]
    fn one_run_for_each_object_and_eight_at_most() {
        let now = DateTime::UNIX_EPOCH;
        let every = "schedule: { every: 1h }";
        let (_folder, project) = project(&[
            ("a", "vitally:account", every),
            ("b", "vitally:account", every),
            ("c", "vitally:organization", every),
        ]);
        let mut busy = Busy::default();
        assert_eq!(names(&Outlook::at(now, &project, &LastRuns::default(), &busy)), ["a", "c"]);
        busy.running.insert("a".to_owned(), "vitally:account".to_owned());
        assert_eq!(names(&Outlook::at(now, &project, &LastRuns::default(), &busy)), ["c"]);
        // The one that waits longer goes first.
        let last = LastRuns::of(&[
            run("a", "succeeded", now - TimeDelta::hours(1)),
            run("b", "succeeded", now - TimeDelta::hours(9)),
        ]);
        assert_eq!(names(&Outlook::at(now, &project, &last, &Busy::default())), ["b", "c"]);
        busy.running.extend((1..MAX_RUNS).map(|number| (format!("other-{number}"), format!("other:{number}"))));
        assert_eq!(names(&Outlook::at(now, &project, &LastRuns::default(), &busy)), Vec::<&str>::new());
    }
}
