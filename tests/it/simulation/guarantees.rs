//! The guarantees that a simulation can show, by number.

use std::time::Duration;

use ebb_engine::{EngineError, Follows, RunReport, RunStatus};
use ebb_row::Clock as _;
use ebb_state::{RunFilter, RunId, Store as _};
use ebb_testkit::{Exchange, FaultKind, FaultPlan, Random};

use crate::simulation::check::{check_all, resends};
use crate::simulation::process::{Action, Call};
use crate::simulation::ready::{Kind, REQUEST_TIMEOUT, ready};
use crate::simulation::source::SourceFault;
use crate::simulation::world::{End, PAUSE, Setting, Weather, World, in_virtual_time};

fn world(kind: Kind, rows: u64) -> World {
    World::new(Setting { rows, ..Setting::small(kind) }, Random::new(11))
}

fn sent(world: &World) -> Vec<Exchange> {
    world.wire.lock().exchanges.clone()
}

async fn run(world: &mut World) -> RunReport {
    world.run(&Weather::fine()).await.report()
}

/// Settles down, checks everything, and fails with the history when something is wrong.
async fn finish(mut world: World) {
    let last = world.settle_down().await;
    check_all(&mut world, last.as_ref()).await;
    world.tell_exchanges();
    assert!(world.faults.is_empty(), "{}\n--\n{}", world.faults.join("\n"), world.history.join("\n"));
}

#[test]
fn g1_an_accepted_row_is_sent_again_only_when_its_record_changes() {
    for kind in [Kind::Accounts, Kind::Organizations, Kind::AccountBatches] {
        in_virtual_time(async {
            let mut world = world(kind, 8);
            assert_eq!(run(&mut world).await.counts.accepted, 8);
            let before = sent(&world).len();
            assert_eq!(run(&mut world).await.counts.unchanged, 8);
            assert_eq!(sent(&world).len(), before);
            world.model.rows[3].seats += 5;
            assert_eq!(run(&mut world).await.counts.accepted, 1);
            world.model.rows[3].seats -= 5;
            assert_eq!(run(&mut world).await.counts.accepted, 1);
            let ids: Vec<_> = sent(&world)
                .iter()
                .flat_map(|exchange| exchange.items.clone())
                .filter(|item| Some(&item.key) == world.model.rows[3].id.as_ref())
                .filter_map(|item| item.message_id)
                .collect();
            // A, B and A again are three messages.
            if kind.is_batched() {
                assert!(ids.len() == 3 && ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
            }
            finish(world).await;
        });
    }
}

#[test]
fn g1_after_a_crash_no_more_is_sent_again_than_was_in_flight() {
    in_virtual_time(async {
        let mut world = world(Kind::Accounts, 40);
        world.setting.bounds.concurrency = 4;
        world.ready = ready("simulated", Kind::Accounts, &world.source, &world.setting.bounds);
        let end = world.run(&Weather::with(200, Action::Crash { provably: true })).await;
        assert!(matches!(end, End::Crashed));
        let accepted = run(&mut world).await.counts.accepted;
        assert!((1..40).contains(&accepted), "{accepted}");
        let again = resends(Kind::Accounts, &sent(&world));
        assert!(again <= 4, "{again} records were sent again");
        finish(world).await;
    });
}

#[test]
fn g2_a_row_whose_answer_was_lost_is_sent_again() {
    for kind in [FaultKind::ResetAfter, FaultKind::TimeoutAfter, FaultKind::HtmlAfter, FaultKind::Truncated] {
        in_virtual_time(async {
            let mut world = world(Kind::Accounts, 5);
            world.set_faults(FaultPlan::only(Random::new(1), kind, 1000));
            let report = run(&mut world).await;
            assert_eq!((report.counts.accepted, report.counts.pending, report.status), (0, 5, RunStatus::Partial));
            world.calm();
            assert_eq!(run(&mut world).await.counts.accepted, 5);
            finish(world).await;
        });
    }
}

/// The record that was sent without an answer is not the one that was accepted, though the row looks as it did then.
#[test]
fn g2_a_row_that_changed_unheard_and_changed_back_is_sent_again() {
    for fault in [FaultKind::HtmlAfter, FaultKind::ResetAfter] {
        in_virtual_time(async {
            let mut world = world(Kind::Accounts, 3);
            run(&mut world).await;
            world.model.rows[1].seats += 7;
            world.set_faults(FaultPlan::only(Random::new(1), fault, 1000));
            assert_eq!(run(&mut world).await.counts.pending, 1);
            world.model.rows[1].seats -= 7;
            world.calm();
            assert_eq!(run(&mut world).await.counts.accepted, 1);
            finish(world).await;
        });
    }
}

/// As before, but the run ends between the try without an answer and the next: by a signal, or since its lease ran out.
#[test]
fn g2_an_end_between_two_tries_does_not_forget_that_the_first_may_be_applied() {
    for action in [Action::Stop, Action::Freeze(40)] {
        in_virtual_time(async {
            let mut world = world(Kind::Accounts, 3);
            run(&mut world).await;
            world.model.rows[1].seats += 7;
            world.set_faults(FaultPlan::only(Random::new(1), FaultKind::ResetAfter, 1000));
            let report = world.run_until(Call { what: "sending", when: "after", skipped: 0, action }).await.report();
            assert_eq!((report.status, report.counts.pending), (RunStatus::Interrupted, 1));
            world.model.rows[1].seats -= 7;
            world.calm();
            assert_eq!(run(&mut world).await.counts.accepted, 1);
            finish(world).await;
        });
    }
}

#[test]
fn g3_every_row_has_one_fate() {
    in_virtual_time(async {
        let mut world = world(Kind::Accounts, 9);
        let refused = world.model.rows[4].id.clone().expect("a key");
        world.setting.refused_keys.insert(refused.clone());
        world.wire.lock().service.refuse(&refused);
        let again = world.model.rows[0].clone();
        world.model.rows.push(again);
        world.model.rows[7].id = None;
        let counts = run(&mut world).await.counts;
        assert_eq!((counts.read, counts.accepted, counts.rejected, counts.pending), (10, 6, 4, 0));
        world.model.rows[2].seats += 1;
        let counts = run(&mut world).await.counts;
        assert_eq!((counts.read, counts.unchanged, counts.accepted, counts.rejected), (10, 5, 1, 4));
        finish(world).await;
    });
}

#[test]
fn g4_two_runs_of_one_sync_never_overlap() {
    in_virtual_time(async {
        let mut world = world(Kind::Accounts, 12);
        world.source.set(&world.model.rows, SourceFault::None);
        let (one, two) = (world.start(), world.start());
        let (first, second) = tokio::join!(world.run_in(&one), world.run_in(&two));
        let mut accepted = [first.expect("it ran").counts.accepted, second.expect("it ran").counts.accepted];
        accepted.sort_unstable();
        assert_eq!(accepted, [0, 12]);
        let exchanges = sent(&world);
        assert!(exchanges.iter().all(|exchange| exchange.process == exchanges[0].process), "only one of them sent");
        finish(world).await;
    });
}

#[test]
fn g4_a_run_that_was_overtaken_does_nothing() {
    in_virtual_time(async {
        let mut world = world(Kind::Accounts, 6);
        world.source.set(&world.model.rows, SourceFault::None);
        let (one, two) = (world.start(), world.start());
        // Both decided to run when nothing had run yet.
        let nothing = || Follows::Nothing;
        let (first, second) = tokio::join!(world.run_after(&one, nothing()), world.run_after(&two, nothing()));
        let (ran, overtaken) = if first.is_ok() { (first, second) } else { (second, first) };
        assert!(matches!(overtaken, Err(EngineError::Overtaken { .. })), "{overtaken:?}");
        let newest = ran.expect("one of them ran").id;
        assert_eq!(one.handle.runs(&RunFilter::default()).await.expect("read").len(), 1);
        let late = world.run_after(&two, Follows::Run(RunId("another".into()))).await;
        assert!(matches!(late, Err(EngineError::Overtaken { .. })), "{late:?}");
        world.run_after(&two, Follows::Run(newest)).await.expect("nobody ran meanwhile, and the lease is free");
        finish(world).await;
    });
}

#[test]
fn g4_a_dead_holders_lease_runs_out_and_its_last_request_is_waited_for() {
    in_virtual_time(async {
        let mut world = world(Kind::Accounts, 6);
        let call = Call { what: "sending", when: "before", skipped: 3, action: Action::Crash { provably: false } };
        assert!(matches!(world.run_until(call).await, End::Crashed));
        let (died, before) = (world.clock.now(), sent(&world).len());
        assert_eq!(run(&mut world).await.counts.pending, 0);
        let wait = (sent(&world)[before].sent_at - died).to_std().expect("it is later");
        assert!(wait > REQUEST_TIMEOUT && wait < Duration::from_secs(47), "{wait:?}");
        finish(world).await;
    });
}

#[test]
fn g5_alone_on_a_key_no_request_is_throttled_and_the_rate_is_used() {
    for (per_minute, way_ms) in [(60, 20), (60, 1000), (1000, 20), (1000, 500)] {
        in_virtual_time(async {
            let mut world = world(Kind::Accounts, u64::from(per_minute) * 2);
            world.set_faults(FaultPlan::calm(Random::new(2)).with_ways(way_ms));
            world.setting.bounds.concurrency = 32;
            world.setting.bounds.per_minute = per_minute;
            let limits = world.setting.bounds.clone();
            world.wire.lock().service.limit_to(usize::try_from(per_minute).expect("small"));
            world.ready = ready("simulated", Kind::Accounts, &world.source, &limits);
            let before = world.clock.elapsed() + PAUSE;
            run(&mut world).await;
            let took = world.clock.elapsed().saturating_sub(before).as_secs_f64();
            let rate = f64::from(u32::try_from(sent(&world).len()).expect("few")) / took * 60.0;
            assert!(rate > f64::from(per_minute) * 0.93, "{rate} of {per_minute} a minute");
            finish(world).await;
        });
    }
}

#[test]
fn g5_two_processes_on_one_key_share_its_rate() {
    in_virtual_time(async {
        let mut world = world(Kind::Accounts, 120);
        world.setting.bounds.per_minute = 60;
        world.wire.lock().service.limit_to(60);
        world.source.set(&world.model.rows, SourceFault::None);
        let (one, two) = (world.start(), world.start());
        let accounts = ready("accounts", Kind::Accounts, &world.source, &world.setting.bounds);
        let organizations = ready("organizations", Kind::Organizations, &world.source, &world.setting.bounds);
        let request = World::request(&Weather::fine());
        let (first, second) = tokio::join!(
            Box::pin(one.engine.run(&accounts, &request, &ebb_engine::Silent)),
            Box::pin(two.engine.run(&organizations, &request, &ebb_engine::Silent)),
        );
        assert_eq!(first.expect("it ran").counts.accepted, 120);
        assert_eq!(second.expect("it ran").counts.accepted, 120);
        let throttled = sent(&world).iter().filter(|exchange| exchange.is_over_limit).count();
        assert_eq!(throttled, 0);
    });
}

#[test]
fn g5_where_others_use_the_key_ebb_waits_and_finishes() {
    in_virtual_time(async {
        let mut world = world(Kind::Accounts, 40);
        world.set_faults(FaultPlan::only(Random::new(3), FaultKind::Throttled, 200));
        assert_eq!(run(&mut world).await.counts.accepted, 40);
        finish(world).await;
    });
}

#[test]
fn g6_an_event_keeps_its_message_id_over_retries_and_crashes() {
    in_virtual_time(async {
        let mut world = world(Kind::Events, 5);
        world.set_faults(FaultPlan::only(Random::new(1), FaultKind::TimeoutAfter, 1000));
        let crash = Call { what: "sending", when: "after", skipped: 1, action: Action::Crash { provably: true } };
        assert!(matches!(world.run_until(crash).await, End::Crashed));
        world.calm();
        assert_eq!(run(&mut world).await.counts.accepted, 5);
        let exchanges = sent(&world);
        assert_eq!(exchanges.len(), 3);
        let ids = |exchange: &Exchange| -> Vec<_> {
            exchange.items.iter().map(|item| (item.key.clone(), item.message_id.clone())).collect()
        };
        assert!(exchanges.iter().all(|exchange| ids(exchange) == ids(&exchanges[0])));
        assert!(exchanges[1..].iter().all(|exchange| exchange.items.iter().all(|item| !item.changed)));
        finish(world).await;
    });
}

/// A record that is sent without an answer, replaced by another without an answer, and sent again is no repetition to the
/// service: a run's message ids are its own (seed 9643).
#[test]
fn g2_a_batched_record_that_came_back_unheard_is_not_dropped_as_a_repetition() {
    in_virtual_time(async {
        let mut world = world(Kind::AccountBatches, 3);
        run(&mut world).await;
        for (seats, is_heard) in [(7, false), (8, false), (7, true)] {
            world.model.rows[1].seats = seats;
            world.set_faults(FaultPlan::only(Random::new(1), FaultKind::HtmlAfter, if is_heard { 0 } else { 1000 }));
            run(&mut world).await;
        }
        let last = world.settle_down().await;
        check_all(&mut world, last.as_ref()).await;
        assert_eq!(world.faults, Vec::<String>::new());
    });
}

#[test]
fn g7_a_read_that_fails_sends_nothing_and_changes_nothing() {
    for fault in [
        SourceFault::Away,
        SourceFault::Cut(0),
        SourceFault::Cut(9),
        SourceFault::Hang(5),
        SourceFault::Vanished,
        SourceFault::FlippedMidway,
    ] {
        in_virtual_time(async {
            let mut world = world(Kind::Accounts, 12);
            run(&mut world).await;
            for row in &mut world.model.rows {
                row.seats += 3;
            }
            let (before, entries) = (sent(&world).len(), entries(&world).await);
            let end = world.run(&Weather { source: fault, ..Weather::fine() }).await;
            let error = end.error();
            assert!(matches!(error, EngineError::Source { .. } | EngineError::Project { .. }), "{fault:?}: {error}");
            assert_eq!((sent(&world).len(), self::entries(&world).await), (before, entries));
            finish(world).await;
        });
    }
}

async fn entries(world: &World) -> Vec<ebb_state::Entry> {
    let state = world.sync_state().await.expect("the sync is known");
    world.store.entries_all(state.id)
}

#[test]
fn g7_a_refused_guard_sends_nothing_and_changes_nothing() {
    in_virtual_time(async {
        let mut world = world(Kind::Accounts, 20);
        run(&mut world).await;
        let (before, known) = (sent(&world).len(), entries(&world).await);
        let end = world.run(&Weather { source: SourceFault::Empty, ..Weather::fine() }).await;
        assert_eq!(end.report().status, RunStatus::Refused);
        let rows = world.model.rows.clone();
        world.model.rows.truncate(10);
        world.model.rows[0].seats += 1;
        assert_eq!(run(&mut world).await.status, RunStatus::Refused);
        assert_eq!((sent(&world).len(), entries(&world).await), (before, known));
        world.model.rows = rows;
        finish(world).await;
    });
}

#[test]
fn g7_another_destination_under_the_same_name_is_refused() {
    in_virtual_time(async {
        let mut world = world(Kind::Accounts, 4);
        run(&mut world).await;
        let before = sent(&world).len();
        world.ready = ready("simulated", Kind::Organizations, &world.source, &world.setting.bounds);
        let error = world.run(&Weather::fine()).await.error();
        assert!(matches!(error, EngineError::Refused { .. }), "{error}");
        assert_eq!(sent(&world).len(), before);
        world.ready = ready("simulated", Kind::Accounts, &world.source, &world.setting.bounds);
        finish(world).await;
    });
}

#[test]
fn g10_a_row_that_leaves_the_model_sends_nothing_and_nothing_when_it_returns() {
    in_virtual_time(async {
        let mut world = world(Kind::Accounts, 12);
        run(&mut world).await;
        let before = sent(&world).len();
        let gone = world.model.rows.remove(5);
        let report = run(&mut world).await;
        assert_eq!((report.counts.read, report.counts.removed, report.status), (11, 1, RunStatus::Succeeded));
        assert_eq!(run(&mut world).await.counts.removed, 0);
        world.model.rows.push(gone);
        assert_eq!(run(&mut world).await.counts.unchanged, 12);
        assert_eq!(sent(&world).len(), before);
        finish(world).await;
    });
}

#[test]
fn g12_every_request_has_its_line_whatever_becomes_of_it() {
    for kind in FaultKind::ALL {
        in_virtual_time(async {
            let mut world = world(Kind::Accounts, 10);
            world.set_faults(FaultPlan::only(Random::new(5), kind, 400));
            drop(world.run(&Weather::fine()).await);
            assert!(!sent(&world).is_empty());
            finish(world).await;
        });
    }
}

#[test]
fn g13_a_worker_that_lost_its_lease_confirms_nothing_and_its_successor_sends_it_again() {
    in_virtual_time(async {
        let mut world = world(Kind::Accounts, 6);
        world.source.set(&world.model.rows, SourceFault::None);
        let (old, new) = (world.start(), world.start());
        // It stands still with an answer in its hands, for longer than its lease lasts.
        old.process.plan_at(Call { what: "sending", when: "after", skipped: 2, action: Action::Freeze(120) });
        // What was in flight is sent by the successor, and once more for the mark of the one that woke up.
        world.interruptions += 2;
        let late = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            world.run_in(&new).await.expect("the successor runs")
        };
        let (lost, taken) = tokio::join!(world.run_in(&old), late);
        let lost = lost.expect("it ends");
        assert_eq!(lost.status, RunStatus::Interrupted);
        let confirmed_before = lost.counts.accepted;
        assert_eq!(taken.counts.accepted + taken.counts.unchanged, 6);
        assert_eq!(taken.counts.unchanged, confirmed_before, "what it confirmed late does not count");
        let of = |process: u64| -> Vec<String> {
            let of_process = sent(&world).into_iter().filter(|exchange| exchange.process == process);
            of_process.flat_map(|exchange| exchange.items).map(|item| item.key).collect()
        };
        let (by_old, by_new) = (of(old.process.number), of(new.process.number));
        let unconfirmed = by_old.iter().skip(usize::try_from(confirmed_before).expect("few"));
        assert!(unconfirmed.clone().count() > 0);
        assert!(by_old.iter().filter(|key| by_new.contains(key)).count() >= unconfirmed.count());
        finish(world).await;
    });
}
