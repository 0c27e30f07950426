use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{at, cron, every};
use crate::{Due, LastRun, Missed, Outcome, Reason, Schedule, Sync, Verdict, judge};

const NOON: &str = "2026-06-01T12:00:00Z";

fn ran(started_at: &str, outcome: Outcome) -> LastRun {
    LastRun { started_at: at(started_at), outcome }
}

fn good(started_at: &str) -> LastRun {
    let started_at = at(started_at);
    LastRun { started_at, outcome: Outcome::Good { finished_at: started_at + TimeDelta::minutes(1) } }
}

fn by_schedule(schedule: &Schedule, last: Option<&LastRun>, now: &str) -> Verdict {
    judge(Sync { name: "accounts", schedule: Some(schedule), last, after: &[] }, at(now))
}

fn due(reason: Reason, since: &str, runs: u32) -> Verdict {
    Verdict::Due(Due { reason, since: at(since), runs })
}

fn not_due(next: &str) -> Verdict {
    Verdict::NotDue { next: Some(at(next)) }
}

#[test]
fn an_interval_is_a_grid_and_due_at_once_without_a_run() {
    let quarter = every(Duration::from_mins(15));
    assert_eq!(by_schedule(&quarter, None, NOON), due(Reason::NeverRan, NOON, 1));
    let last = good("2026-06-01T12:00:02Z");
    assert_eq!(by_schedule(&quarter, Some(&last), "2026-06-01T12:14:59Z"), not_due("2026-06-01T12:15:00Z"));
    // Begun two seconds late, and still due on the minute.
    assert_eq!(
        by_schedule(&quarter, Some(&last), "2026-06-01T12:15:00Z"),
        due(Reason::Time, "2026-06-01T12:15:00Z", 1)
    );
    let second = every(Duration::from_secs(1));
    assert_eq!(by_schedule(&second, Some(&last), "2026-06-01T12:00:03Z"), due(Reason::Time, "2026-06-01T12:00:03Z", 1));
}

#[test]
fn missed_times_are_made_up_for_once_or_each_or_not() {
    let nightly = |missed| Schedule { missed, ..cron("0 2 * * *", chrono_tz::Tz::UTC) };
    let last = good("2026-05-28T02:00:00Z");
    let since = "2026-05-29T02:00:00Z";
    assert_eq!(by_schedule(&nightly(Missed::RunOnce), Some(&last), NOON), due(Reason::Time, since, 1));
    assert_eq!(by_schedule(&nightly(Missed::CatchUp), Some(&last), NOON), due(Reason::Time, since, 4));
    assert_eq!(by_schedule(&nightly(Missed::Skip), Some(&last), NOON), not_due("2026-06-02T02:00:00Z"));

    let on_time = |now| by_schedule(&nightly(Missed::Skip), Some(&last), now);
    assert_eq!(on_time("2026-06-01T02:14:59Z"), due(Reason::Time, "2026-06-01T02:00:00Z", 1));
    assert_eq!(on_time("2026-06-01T02:15:01Z"), not_due("2026-06-02T02:00:00Z"));

    let each = Schedule { missed: Missed::CatchUp, ..every(Duration::from_secs(1)) };
    assert_eq!(by_schedule(&each, Some(&last), NOON), due(Reason::Time, "2026-05-28T02:00:01Z", 100));
}

#[test]
fn a_sync_that_never_ran_is_due_at_once_unless_it_skips() {
    let nightly = |missed| Schedule { missed, ..cron("0 2 * * *", chrono_tz::Tz::UTC) };
    assert_eq!(by_schedule(&nightly(Missed::RunOnce), None, NOON), due(Reason::NeverRan, NOON, 1));
    assert_eq!(by_schedule(&nightly(Missed::CatchUp), None, NOON), due(Reason::NeverRan, NOON, 1));
    assert_eq!(by_schedule(&nightly(Missed::Skip), None, NOON), not_due("2026-06-02T02:00:00Z"));
    let two = "2026-06-01T02:00:00Z";
    assert_eq!(by_schedule(&nightly(Missed::Skip), None, two), due(Reason::Time, two, 1));
    let skips = Schedule { missed: Missed::Skip, ..every(Duration::from_hours(24)) };
    assert_eq!(by_schedule(&skips, None, NOON), due(Reason::NeverRan, NOON, 1));
}

#[test]
fn how_the_last_run_ended_counts() {
    let hourly = cron("0 * * * *", chrono_tz::Tz::UTC);
    let (began, now) = ("2026-06-01T11:00:00Z", "2026-06-01T11:30:00Z");
    let verdict = |outcome, now| by_schedule(&hourly, Some(&ran(began, outcome)), now);
    assert_eq!(verdict(Outcome::Bad, now), not_due(NOON), "a failed run is a run");
    assert_eq!(verdict(Outcome::Bad, NOON), due(Reason::Time, NOON, 1));
    assert_eq!(verdict(Outcome::Interrupted, now), due(Reason::Interrupted, began, 1));
    assert_eq!(verdict(Outcome::Running, "2026-06-01T15:00:00Z"), Verdict::Running);
    // A time that came while it ran is not lost.
    let long = Outcome::Good { finished_at: at("2026-06-01T12:40:00Z") };
    assert_eq!(verdict(long, "2026-06-01T12:45:00Z"), due(Reason::Time, NOON, 1));
}

#[test]
fn a_delay_is_the_sync_s_own_and_within_its_bound() {
    let hourly = Schedule { jitter: Duration::from_mins(10), ..cron("0 * * * *", chrono_tz::Tz::UTC) };
    let mut delays = Vec::new();
    for number in 0..40 {
        let name = format!("sync_{number}");
        let next = |after: DateTime<Utc>| hourly.next_after(&name, after).expect("there is one");
        let first = next(at("2026-06-01T11:30:00Z"));
        let delay = first - at(NOON);
        assert!((TimeDelta::zero()..=TimeDelta::minutes(10)).contains(&delay), "{name}: {delay}");
        assert_eq!(next(first) - first, TimeDelta::hours(1), "the same each time");
        delays.push(delay);
    }
    // The same on every machine and in every version.
    let seconds: Vec<i64> = delays.iter().take(3).map(TimeDelta::num_seconds).collect();
    assert_eq!(seconds, [581, 202, 65]);
    delays.sort();
    delays.dedup();
    assert!(delays.len() > 20, "they differ: {delays:?}");
}

#[test]
fn after_waits_for_all_and_is_blocked_by_one() {
    let verdict = |last: Option<&LastRun>, after: &[(&str, Option<LastRun>)]| {
        judge(Sync { name: "users", schedule: None, last, after }, at(NOON))
    };
    let own = good("2026-06-01T10:00:00Z");
    let (older, newer, newest) =
        (good("2026-06-01T09:00:00Z"), good("2026-06-01T11:00:00Z"), good("2026-06-01T11:30:00Z"));
    let waiting = |names: &[&str]| Verdict::Waiting { on: names.iter().map(|name| (*name).to_owned()).collect() };
    let both = |a: &LastRun, b: &LastRun| [("a", Some(a.clone())), ("b", Some(b.clone()))];

    assert_eq!(verdict(None, &[]), Verdict::Unscheduled);
    assert_eq!(verdict(None, &[("a", None)]), waiting(&["a"]));
    assert_eq!(verdict(None, &both(&older, &older)), due(Reason::After, "2026-06-01T09:01:00Z", 1));
    assert_eq!(verdict(Some(&own), &both(&older, &newer)), waiting(&["a"]));
    assert_eq!(verdict(Some(&own), &both(&newest, &newer)), due(Reason::After, "2026-06-01T11:31:00Z", 1));
    // One that began before it and ended later counts; one that ended as it began does not.
    assert_eq!(verdict(Some(&own), &both(&good("2026-06-01T09:59:00Z"), &newer)), waiting(&["a"]));
    let since = due(Reason::After, "2026-06-01T11:01:00Z", 1);
    assert_eq!(verdict(Some(&own), &both(&good("2026-06-01T09:59:01Z"), &newer)), since);

    for outcome in [Outcome::Bad, Outcome::Interrupted] {
        let after = both(&newest, &ran("2026-06-01T09:30:00Z", outcome));
        assert_eq!(verdict(Some(&own), &after), Verdict::Blocked { by: "b".to_owned() });
    }
    assert_eq!(verdict(Some(&own), &both(&newest, &ran("2026-06-01T11:59:00Z", Outcome::Running))), waiting(&["b"]));

    let stopped = ran("2026-06-01T10:00:00Z", Outcome::Interrupted);
    let again = due(Reason::Interrupted, "2026-06-01T10:00:00Z", 1);
    assert_eq!(verdict(Some(&stopped), &both(&older, &older)), again, "they had run before it began");
    let failed = both(&older, &ran("2026-06-01T11:00:00Z", Outcome::Bad));
    assert_eq!(verdict(Some(&stopped), &failed), Verdict::Blocked { by: "b".to_owned() });
}

#[test]
fn with_both_the_time_has_to_come_and_the_others_have_to_run() {
    let daily = cron("0 12 * * *", chrono_tz::Tz::UTC);
    let own = good("2026-05-31T12:00:00Z");
    let verdict = |before: &LastRun, now: &str| {
        let after = [("a", Some(before.clone()))];
        judge(Sync { name: "users", schedule: Some(&daily), last: Some(&own), after: &after }, at(now))
    };
    assert_eq!(verdict(&good("2026-06-01T11:00:00Z"), "2026-06-01T11:30:00Z"), not_due(NOON));
    assert_eq!(verdict(&good("2026-06-01T11:00:00Z"), NOON), due(Reason::Time, NOON, 1));
    assert_eq!(verdict(&good("2026-05-31T11:00:00Z"), NOON), Verdict::Waiting { on: vec!["a".to_owned()] });
    let failed = ran("2026-06-01T11:00:00Z", Outcome::Bad);
    assert_eq!(verdict(&failed, NOON), Verdict::Blocked { by: "a".to_owned() });
}
