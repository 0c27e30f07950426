use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::{cron, every};
use crate::{Due, LastRun, MAX_CATCH_UP, Missed, Outcome, Reason, Schedule, Sync, Verdict, judge};

const NAME: &str = "accounts";

/// Zones whose clocks move by an hour, by half of one, at midnight, and never.
const ZONES: [Tz; 5] = [
    Tz::UTC,
    chrono_tz::Europe::Berlin,
    chrono_tz::America::New_York,
    chrono_tz::Australia::Lord_Howe,
    chrono_tz::America::St_Johns,
];

/// When clocks change in one of them, in seconds since 1970.
const CHANGES: [i64; 7] =
    [1_774_746_000, 1_792_890_000, 1_772_953_200, 1_793_512_800, 1_775_314_800, 1_791_037_800, 1_225_593_060];

fn field(highest: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        (1..=highest.min(12)).prop_map(|step| format!("*/{step}")),
        prop::collection::vec(1..=highest, 1..4).prop_map(|numbers| numbers
            .iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(",")),
    ]
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let crons = (field(59), field(23), prop::sample::select(&["*", "*/2", "1-28", "29"][..]), 0..ZONES.len()).prop_map(
        |(minute, hour, day, zone)| {
            cron(&format!("{minute} {hour} {day} * *"), ZONES.get(zone).copied().unwrap_or(Tz::UTC))
        },
    );
    let intervals = (1_u64..200_000).prop_map(|seconds| every(Duration::from_secs(seconds)));
    (prop_oneof![crons, intervals], 0_u64..7_200, prop::bool::ANY).prop_map(|(schedule, jitter, all)| Schedule {
        jitter: Duration::from_secs(jitter),
        missed: if all { Missed::CatchUp } else { Missed::RunOnce },
        ..schedule
    })
}

/// Within a week of a change of the clocks of one of the zones, or anywhere in 40 years.
fn instant() -> impl Strategy<Value = DateTime<Utc>> {
    let near = (prop::sample::select(&CHANGES[..]), -600_000_i64..600_000).prop_map(|(time, by)| time + by);
    prop_oneof![3 => near, 1 => 946_684_800_i64..2_200_000_000]
        .prop_map(|seconds| DateTime::from_timestamp(seconds, 0).unwrap_or_default())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn times_are_strictly_increasing_and_none_lies_between(schedule in schedule(), start in instant(), part in 0_i32..1_000) {
        let mut time = start;
        for _ in 0..8 {
            let Some(next) = schedule.next_after(NAME, time) else { break };
            prop_assert!(next > time);
            // Asked from anywhere between two times, the next one is the same.
            let between = time + (next - time) * part / 1_000;
            prop_assert_eq!(schedule.next_after(NAME, between), Some(next));
            time = next;
        }
    }

    /// Asked at any times, what ran covers every time that came: each has a run at or after it that began because of it,
    /// and no run begins without one.
    #[test]
    fn no_time_is_skipped_and_none_is_made_up(
        schedule in schedule(),
        start in instant(),
        waits in prop::collection::vec(0_i64..100_000, 1..12),
    ) {
        let mut last = LastRun { started_at: start, outcome: Outcome::Bad };
        let mut now = start;
        for wait in waits {
            now += TimeDelta::seconds(wait);
            let asked = Sync { name: NAME, schedule: Some(&schedule), last: Some(&last), after: &[] };
            let first = schedule.next_after(NAME, last.started_at);
            let verdict = judge(asked, now);
            if let Verdict::Due(Due { reason, since, runs }) = verdict {
                prop_assert_eq!((reason, Some(since)), (Reason::Time, first));
                prop_assert!(since <= now);
                let came = std::iter::successors(first, |time| schedule.next_after(NAME, *time));
                let came = came.take_while(|time| *time <= now).take(100).count();
                let expected = if schedule.missed == Missed::CatchUp { came } else { 1 };
                prop_assert_eq!(usize::try_from(runs), Ok(expected));
                prop_assert!(runs <= MAX_CATCH_UP);
                last.started_at = now;
            } else {
                prop_assert_eq!(verdict, Verdict::NotDue { next: first });
                prop_assert!(first.is_none_or(|first| first > now));
            }
        }
    }

    #[test]
    fn reading_an_expression_never_panics(text in "[-*/,0-9a-z ]{0,24}|(([0-9*]{1,2}([-/,][0-9]{1,2}){0,2}) ){4}[0-9*]") {
        if let Ok(cron) = crate::Cron::parse(&text) {
            prop_assert!(cron.next_after(DateTime::UNIX_EPOCH, chrono_tz::Europe::Berlin).is_some());
        }
    }
}
