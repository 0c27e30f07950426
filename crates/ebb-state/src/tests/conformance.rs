//! What every store does; each test runs on both.

use std::sync::Arc;
use std::time::Duration;

use ebb_row::{Column, ColumnType, Created, Hash128, RowKey};

use crate::store::{
    Acquire, ClosedRun, EntryChange, EntryId, RejectionKind, RowSettlement, RunFilter, Settlement, StateError,
};
use crate::tests::{Scene, TERM, accept, call, held, identity, index, intent, new_run, on_both, reject, run_id};

fn change(key: &str, change: EntryChange) -> RowSettlement {
    RowSettlement { key: RowKey::new(key), change }
}

fn ended(status: &str, read_everything: bool) -> ClosedRun {
    ClosedRun {
        status: status.to_owned(),
        finished_at: chrono::DateTime::from_timestamp(1_700_000_100, 0).unwrap(),
        summary: r#"{"accepted":1}"#.to_owned(),
        mapping: Some(Hash128::of(b"mapping")),
        cursor: Some("42".to_owned()),
        read_everything,
    }
}

#[test]
fn a_lease_is_held_by_one_until_it_is_given_back() {
    on_both(async |world| {
        let (one, two) = (world.open(), world.open());
        let (lease, after_expiry) = held(one.store().acquire("s", TERM).await.unwrap());
        assert!(!after_expiry && lease.epoch == 1);
        for store in [one.store(), two.store()] {
            let Acquire::Busy { expires_in, .. } = store.acquire("s", TERM).await.unwrap() else { panic!("busy") };
            assert_eq!(expires_in, TERM.ttl);
        }
        let (_, other) = held(two.store().acquire("another scope", TERM).await.unwrap());
        assert!(!other);
        one.store().release(&lease).await.unwrap();
        let (next, after_expiry) = held(two.store().acquire("s", TERM).await.unwrap());
        assert!(!after_expiry && next.epoch == 2);
        assert!(matches!(one.store().renew(&lease, TERM).await, Err(StateError::LeaseLost { .. })));
        one.store().release(&lease).await.unwrap();
        two.store().renew(&next, TERM).await.unwrap();
    });
}

#[test]
fn a_lease_of_a_dead_process_is_taken_at_once_and_of_a_silent_one_after_it_ran_out() {
    on_both(async |world| {
        let (dead, silent, other) = (world.open(), world.open(), world.open());
        held(dead.store().acquire("dead", TERM).await.unwrap());
        let (old, _) = held(silent.store().acquire("silent", TERM).await.unwrap());
        dead.crash();
        let (lease, after_expiry) = held(other.store().acquire("dead", TERM).await.unwrap());
        assert!(!after_expiry && lease.epoch == 2);
        world.clock().advance(TERM.ttl / 2);
        silent.store().renew(&old, TERM).await.unwrap();
        world.clock().advance(TERM.ttl / 2);
        assert!(matches!(other.store().acquire("silent", TERM).await.unwrap(), Acquire::Busy { .. }));
        world.clock().advance(TERM.ttl / 2);
        let (lease, after_expiry) = held(other.store().acquire("silent", TERM).await.unwrap());
        assert!(after_expiry && lease.epoch == 2);
        assert!(matches!(silent.store().renew(&old, TERM).await, Err(StateError::LeaseLost { .. })));
    });
}

#[test]
fn a_lost_lease_writes_nothing_but_its_log_lines() {
    on_both(async |world| {
        let (slow, quick) = (world.open(), world.open());
        let scene = Scene::begin(slow.store(), world.clock(), "run-1").await;
        scene.settle(vec![accept("a", None, 1)]).await;
        world.clock().advance(TERM.ttl);
        held(quick.store().acquire("sync:accounts", TERM).await.unwrap());
        let late = Settlement {
            calls: vec![call(&scene.run, &["b"], "accepted")],
            rows: vec![accept("b", None, 1), reject("c", RejectionKind::Mapping, "1", "no")],
            ids: vec![("account".to_owned(), "b".to_owned(), "id-b".to_owned())],
            intents: Vec::new(),
        };
        let lost = scene.store.settle(&scene.lease, scene.sync, &scene.run, late).await;
        assert!(matches!(lost, Err(StateError::LeaseLost { scope }) if scope == "sync:accounts"));
        let end = scene.store.end_run(&scene.lease, scene.sync, &scene.run, &ended("succeeded", true)).await;
        assert!(matches!(end, Err(StateError::LeaseLost { .. })));
        let reset = scene.store.reset(&scene.lease, &identity("accounts")).await;
        assert!(matches!(reset, Err(StateError::LeaseLost { .. })));
        let begun = scene.store.begin_run(&scene.lease, &new_run(&run_id("run-2"), world.clock())).await;
        assert!(matches!(begun, Err(StateError::LeaseLost { .. })));
        let store = quick.store();
        assert_eq!(index(&*store, scene.sync).await.len(), 1);
        assert!(store.rejections(scene.sync, 0).await.unwrap().is_empty());
        assert_eq!(store.known_ids("vitally:acme", "account", &["b".into()]).await.unwrap(), [None]);
        assert_eq!(world.call_lines(&scene.run).len(), 1);
    });
}

#[test]
fn settlements_of_a_lost_and_a_held_lease_that_wait_together_are_told_apart() {
    on_both(async |world| {
        let process = world.open();
        let store = process.store();
        let scene = Scene::begin(Arc::clone(&store), world.clock(), "run-1").await;
        world.clock().advance(TERM.ttl);
        let (new, _) = held(store.acquire("sync:accounts", TERM).await.unwrap());
        store.begin_run(&new, &new_run(&run_id("run-2"), world.clock())).await.unwrap();
        let mut waiting = Vec::new();
        for number in 0..60_u32 {
            let (store, run) = (Arc::clone(&store), run_id(if number % 2 == 0 { "run-1" } else { "run-2" }));
            let lease = if number % 2 == 0 { scene.lease.clone() } else { new.clone() };
            let sync = scene.sync;
            waiting.push(tokio::spawn(async move {
                let rows = vec![accept(&format!("k{number}"), None, 1)];
                store.settle(&lease, sync, &run, Settlement { rows, ..Settlement::default() }).await.is_ok()
            }));
        }
        for (number, waiting) in waiting.into_iter().enumerate() {
            assert_eq!(waiting.await.unwrap(), number % 2 == 1);
        }
        assert_eq!(scene.index().await.len(), 30);
    });
}

#[test]
fn what_is_settled_survives_a_crash() {
    on_both(async |world| {
        let process = world.open();
        let scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        scene.settle(vec![accept("a", None, 1), accept("b", None, 1)]).await;
        let settlement = Settlement {
            calls: vec![call(&scene.run, &["c"], "accepted")],
            rows: vec![accept("c", None, 1)],
            intents: Vec::new(),
            ids: vec![("account".to_owned(), "c".to_owned(), "id-c".to_owned())],
        };
        scene.store.settle(&scene.lease, scene.sync, &scene.run, settlement).await.unwrap();
        let (sync, run) = (scene.sync, scene.run.clone());
        drop(scene);
        process.crash();
        let process = world.open();
        let store = process.store();
        let state = store.find_sync("accounts").await.unwrap().unwrap();
        assert_eq!((state.live, state.last_entry, state.counter, state.has_history), (3, EntryId(3), 1, true));
        let ids: Vec<EntryId> = index(&*store, sync).await.into_iter().map(|entry| entry.id).collect();
        let entries = store.entries(sync, &ids).await.unwrap();
        let mut keys: Vec<&str> = entries.iter().flatten().map(|entry| entry.key.text()).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["a", "b", "c"]);
        assert_eq!(store.known_ids("vitally:acme", "account", &["c".into()]).await.unwrap(), [Some("id-c".to_owned())]);
        assert_eq!(world.call_lines(&run).len(), 1);
        let runs = store.runs(&RunFilter::default()).await.unwrap();
        assert_eq!(runs[0].status, "interrupted");
    });
}

#[test]
fn an_entry_holds_what_was_accepted_and_gets_a_new_number_with_each_change() {
    on_both(async |world| {
        let process = world.open();
        let mut scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        scene.settle(vec![accept("a", None, 1)]).await;
        let first = scene.entry_of("a").await;
        let entry = scene.store.entries(scene.sync, &[first.unwrap()]).await.unwrap().remove(0).unwrap();
        assert_eq!(&*entry.record, r#"{"key":"a","version":1}"#);
        assert_eq!((entry.revision, entry.live, entry.adopted), (1, true, false));
        assert_eq!(entry.destination_id.as_deref(), Some("id-a"));

        scene.next_run("run-2").await;
        let seen = Hash128::of(b"new columns");
        scene.settle(vec![change("a", EntryChange::Refresh { replaces: first.unwrap(), seen })]).await;
        let second = scene.entry_of("a").await.unwrap();
        let refreshed = scene.store.entries(scene.sync, &[first.unwrap(), second]).await.unwrap();
        assert_eq!(refreshed[0], None);
        assert_eq!(refreshed[1], Some(crate::Entry { id: second, seen, ..entry.clone() }));

        scene.settle(vec![change("a", EntryChange::Gone { replaces: second })]).await;
        let third = scene.entry_of("a").await.unwrap();
        assert!(!scene.index().await[0].live);
        assert_eq!(scene.store.find_sync("accounts").await.unwrap().unwrap().live, 0);

        scene.settle(vec![change("a", EntryChange::Uncertain { replaces: Some(third) })]).await;
        let fourth = scene.entry_of("a").await.unwrap();
        let uncertain = scene.store.entries(scene.sync, &[fourth]).await.unwrap().remove(0).unwrap();
        let expected = crate::Entry { id: fourth, seen: Hash128(0), digest: Hash128(0), live: false, ..entry };
        assert_eq!(uncertain, expected);
        scene
            .settle(vec![change("b", EntryChange::Uncertain { replaces: None }), change("c", EntryChange::Keep)])
            .await;
        assert_eq!(scene.index().await.len(), 1);
        assert_eq!(scene.store.find_sync("accounts").await.unwrap().unwrap().last_entry, fourth);
    });
}

#[test]
fn a_row_that_was_uncertain_is_accepted_over_the_number_its_plan_knows() {
    on_both(async |world| {
        let process = world.open();
        let scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        scene.settle(vec![accept("a", None, 1), accept("b", None, 1)]).await;
        let planned = scene.entry_of("a").await;
        scene.settle(vec![change("a", EntryChange::Uncertain { replaces: planned })]).await;
        scene.settle(vec![accept("a", planned, 2)]).await;
        scene.settle(vec![accept("a", planned, 3)]).await;
        assert_eq!(scene.index().await.len(), 2);
        let state = scene.store.find_sync("accounts").await.unwrap().unwrap();
        assert_eq!(state.live, 2);
        let latest = scene.entry_of("a").await.unwrap();
        let entry = scene.store.entries(scene.sync, &[latest]).await.unwrap().remove(0).unwrap();
        assert_eq!(entry.revision, 3);
    });
}

#[test]
fn tries_are_counted_by_runs_and_begin_anew_with_other_columns() {
    on_both(async |world| {
        let process = world.open();
        let mut scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        let refuse = |seen: &str| vec![reject("a", RejectionKind::Destination, seen, "refused")];
        scene.settle(refuse("one")).await;
        scene.settle(refuse("one")).await;
        let of = async |scene: &Scene| {
            let hash = RowKey::new("a").hash();
            scene.store.rejections_of(scene.sync, &[Hash128(9), hash]).await.unwrap().remove(1).unwrap()
        };
        assert_eq!(of(&scene).await.tries, 1);
        scene.next_run("run-2").await;
        scene.settle(refuse("one")).await;
        let second = of(&scene).await;
        assert_eq!((second.tries, second.first_run, second.last_run), (2, run_id("run-1"), run_id("run-2")));
        scene.next_run("run-3").await;
        scene.settle(refuse("two")).await;
        let third = of(&scene).await;
        assert_eq!((third.tries, third.first_run, &*third.reason), (1, run_id("run-3"), "refused"));
        assert_eq!(scene.store.retry_rejections(scene.sync, Some(&RowKey::new("b"))).await.unwrap(), 0);
        assert_eq!(scene.store.retry_rejections(scene.sync, None).await.unwrap(), 1);
        assert_eq!(of(&scene).await.tries, 0);
        scene.settle(vec![accept("a", None, 1)]).await;
        assert!(scene.store.rejections(scene.sync, 0).await.unwrap().is_empty());
    });
}

#[test]
fn a_run_that_read_everything_forgets_rejections_it_did_not_see_but_not_unknown_ones() {
    on_both(async |world| {
        let process = world.open();
        let mut scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        let rows = vec![
            reject("left", RejectionKind::Mapping, "1", "no"),
            reject("stays", RejectionKind::Key, "1", "no"),
            reject("unknown", RejectionKind::Unknown, "1", "no answer"),
        ];
        scene.settle(rows).await;
        scene.store.end_run(&scene.lease, scene.sync, &scene.run, &ended("partial", true)).await.unwrap();
        assert_eq!(scene.store.rejections(scene.sync, 0).await.unwrap().len(), 3);
        scene.next_run("run-2").await;
        scene.settle(vec![reject("stays", RejectionKind::Key, "1", "no")]).await;
        scene.store.end_run(&scene.lease, scene.sync, &scene.run, &ended("partial", false)).await.unwrap();
        assert_eq!(scene.store.rejections(scene.sync, 0).await.unwrap().len(), 3);
        scene.next_run("run-3").await;
        scene.settle(vec![reject("stays", RejectionKind::Key, "1", "no")]).await;
        scene.store.end_run(&scene.lease, scene.sync, &scene.run, &ended("partial", true)).await.unwrap();
        let kept = scene.store.rejections(scene.sync, 0).await.unwrap();
        let words: Vec<(&str, &str)> = kept.iter().map(|kept| (kept.key.text(), kept.kind.word())).collect();
        assert_eq!(words, [("stays", "key"), ("unknown", "unknown")]);
        assert_eq!(scene.store.rejections(scene.sync, 1).await.unwrap().len(), 1);
        assert_eq!(scene.store.retry_rejections(scene.sync, Some(&RowKey::new("unknown"))).await.unwrap(), 1);
        assert_eq!(scene.store.rejections(scene.sync, 0).await.unwrap()[1].kind, RejectionKind::Destination);
    });
}

#[test]
fn the_counter_rises_once_for_each_run_that_changed_something() {
    on_both(async |world| {
        let process = world.open();
        let mut scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        let counter = async |scene: &Scene| scene.store.find_sync("accounts").await.unwrap().unwrap().counter;
        scene.settle(vec![change("a", EntryChange::Keep)]).await;
        assert_eq!(counter(&scene).await, 0);
        scene.settle(vec![accept("a", None, 1)]).await;
        scene.settle(vec![accept("b", None, 1), reject("c", RejectionKind::Mapping, "1", "no")]).await;
        assert_eq!(counter(&scene).await, 1);
        scene.next_run("run-2").await;
        scene.settle(vec![reject("c", RejectionKind::Mapping, "1", "no")]).await;
        assert_eq!(counter(&scene).await, 1, "the same refusal again changes no plan");
        scene.settle(vec![reject("c", RejectionKind::Unknown, "1", "no answer")]).await;
        assert_eq!(counter(&scene).await, 2);
        scene.store.retry_rejections(scene.sync, None).await.unwrap();
        assert_eq!(counter(&scene).await, 3);
    });
}

#[test]
fn a_run_keeps_how_it_ended_and_moves_cursor_and_mapping() {
    on_both(async |world| {
        let process = world.open();
        let mut scene = Scene::begin(process.store(), world.clock(), "0190-a").await;
        let store = Arc::clone(&scene.store);
        assert_eq!(store.runs(&RunFilter::default()).await.unwrap()[0].status, "running");
        store.end_run(&scene.lease, scene.sync, &scene.run, &ended("succeeded", true)).await.unwrap();
        world.clock().advance(Duration::from_secs(1));
        scene.next_run("0190-b").await;
        let none = ClosedRun { cursor: None, mapping: None, ..ended("failed", false) };
        store.end_run(&scene.lease, scene.sync, &scene.run, &none).await.unwrap();
        let state = store.find_sync("accounts").await.unwrap().unwrap();
        assert_eq!((state.cursor.as_deref(), state.mapping), (Some("42"), Some(Hash128::of(b"mapping"))));
        let runs = store.runs(&RunFilter { sync: Some("accounts".to_owned()), limit: 0 }).await.unwrap();
        let words: Vec<(&str, &str)> = runs.iter().map(|run| (&*run.run.id.0, &*run.status)).collect();
        assert_eq!(words, [("0190-b", "failed"), ("0190-a", "succeeded")]);
        let begun = crate::NewRun { started_at: runs[1].run.started_at, ..new_run(&run_id("0190-a"), &scene.clock) };
        assert_eq!(runs[1].run, begun);
        assert_eq!(runs[0].summary, r#"{"accepted":1}"#);
        assert_eq!(store.runs(&RunFilter { sync: None, limit: 1 }).await.unwrap().len(), 1);
        assert!(store.runs(&RunFilter { sync: Some("users".to_owned()), limit: 0 }).await.unwrap().is_empty());
        assert_eq!(store.find_runs("0190-").await.unwrap().len(), 2);
        assert_eq!(store.find_runs("0190-a").await.unwrap().len(), 1);
        assert!(store.find_runs("%").await.unwrap().is_empty());
    });
}

#[test]
fn intents_are_open_until_a_settlement_closes_them_and_across_a_crash() {
    on_both(async |world| {
        let process = world.open();
        let scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        let all: Vec<_> = (1..=5).map(|id| intent(&scene.run, id, &["a", "b\n\"é"], world.clock())).collect();
        scene.store.intend(scene.sync, &all[..3], false).await.unwrap();
        scene.store.intend(scene.sync, &all[3..], true).await.unwrap();
        let settlement = Settlement { intents: vec![1, 3], rows: vec![accept("a", None, 1)], ..Settlement::default() };
        scene.store.settle(&scene.lease, scene.sync, &scene.run, settlement).await.unwrap();
        scene.store.log_calls(scene.sync, vec![call(&scene.run, &["b"], "retry")], vec![4]).await.unwrap();
        let sync = scene.sync;
        drop(scene);
        process.crash();
        let process = world.open();
        let store = process.store();
        assert_eq!(store.open_intents(sync).await.unwrap(), [all[1].clone(), all[4].clone()]);
        store.log_calls(sync, Vec::new(), vec![2]).await.unwrap();
        assert_eq!(store.open_intents(sync).await.unwrap(), [all[4].clone()]);
        store.clear_journal(sync).await.unwrap();
        assert!(store.open_intents(sync).await.unwrap().is_empty());
        store.intend(sync, &all[..1], false).await.unwrap();
        assert_eq!(store.open_intents(sync).await.unwrap(), [all[0].clone()]);
    });
}

#[test]
fn open_intents_of_a_run_that_ended_stay_open() {
    on_both(async |world| {
        let process = world.open();
        let scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        let open = intent(&scene.run, 1, &["a"], world.clock());
        scene.store.intend(scene.sync, std::slice::from_ref(&open), false).await.unwrap();
        scene.store.end_run(&scene.lease, scene.sync, &scene.run, &ended("interrupted", false)).await.unwrap();
        assert_eq!(scene.store.open_intents(scene.sync).await.unwrap(), [open]);
    });
}

#[test]
fn reset_forgets_the_snapshot_and_raises_the_generation() {
    on_both(async |world| {
        let process = world.open();
        let scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        scene.settle(vec![accept("a", None, 1), reject("b", RejectionKind::Mapping, "1", "no")]).await;
        scene.store.intend(scene.sync, &[intent(&scene.run, 1, &["a"], world.clock())], false).await.unwrap();
        scene.store.mark_dirty(scene.sync, &[RowKey::new("a")]).await.unwrap();
        assert_eq!(scene.index().await.len(), 1);
        let other = crate::SyncIdentity { object: "user".to_owned(), ..identity("accounts") };
        assert_eq!(scene.store.sync(&other).await.unwrap().identity, identity("accounts"), "an identity stays");
        let state = scene.store.reset(&scene.lease, &other).await.unwrap();
        assert_eq!((state.id, state.generation, state.counter, state.live), (scene.sync, 1, 2, 0));
        assert_eq!((state.has_history, state.last_entry, &state.identity), (false, EntryId(0), &other));
        assert!(scene.index().await.is_empty());
        assert!(scene.store.rejections(scene.sync, 0).await.unwrap().is_empty());
        assert!(scene.store.open_intents(scene.sync).await.unwrap().is_empty());
        assert!(scene.store.apply_dirty(&scene.lease, scene.sync).await.unwrap().is_empty());
        scene.settle(vec![accept("a", None, 1)]).await;
        assert_eq!(scene.index().await.len(), 1);
    });
}

#[test]
fn dirty_keys_become_uncertain_once() {
    on_both(async |world| {
        let process = world.open();
        let scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        scene.settle(vec![accept("a", None, 1), accept("b", None, 1)]).await;
        let before = scene.entry_of("b").await;
        let keys = [RowKey::new("b"), RowKey::new("new")];
        scene.store.mark_dirty(scene.sync, &keys).await.unwrap();
        assert_eq!(scene.store.apply_dirty(&scene.lease, scene.sync).await.unwrap(), keys);
        assert!(scene.store.apply_dirty(&scene.lease, scene.sync).await.unwrap().is_empty());
        let after = scene.entry_of("b").await;
        assert!(after > before);
        let entries = scene.store.entries(scene.sync, &[after.unwrap()]).await.unwrap();
        assert_eq!(entries[0].as_ref().unwrap().digest, Hash128(0));
        scene.settle(vec![accept("b", before, 2)]).await;
        assert_eq!(scene.index().await.len(), 2);
    });
}

#[test]
fn history_tells_what_a_run_replaced_page_by_page() {
    on_both(async |world| {
        let process = world.open();
        let mut scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        scene.settle(vec![accept("a", None, 1), accept("b", None, 1), accept("c", None, 1)]).await;
        let (a, b) = (scene.entry_of("a").await, scene.entry_of("b").await);
        scene.next_run("run-2").await;
        scene.settle(vec![accept("a", a, 2), accept("d", None, 1)]).await;
        let again = scene.entry_of("a").await;
        scene.settle(vec![accept("a", again, 3)]).await;
        scene.settle(vec![change("b", EntryChange::Gone { replaces: b.unwrap() })]).await;
        scene.next_run("run-3").await;
        let d = scene.entry_of("d").await;
        scene.settle(vec![accept("d", d, 2)]).await;
        let all = scene.store.history(scene.sync, &run_id("run-2"), 0, 0).await.unwrap();
        let told: Vec<(&str, Option<u32>, Created)> = all
            .iter()
            .map(|entry| (entry.key.text(), entry.before.as_ref().map(|before| before.revision), entry.created))
            .collect();
        assert_eq!(told, [("d", None, Created::Yes), ("a", Some(1), Created::No)]);
        let page = scene.store.history(scene.sync, &run_id("run-2"), 0, 1).await.unwrap();
        assert_eq!(page, all[..1]);
        let rest = scene.store.history(scene.sync, &run_id("run-2"), page[0].entry.0, 10).await.unwrap();
        assert_eq!(rest, all[1..]);
        assert_eq!(scene.store.history(scene.sync, &run_id("run-1"), 0, 0).await.unwrap().len(), 3);
        assert!(scene.store.history(scene.sync, &run_id("no"), 0, 0).await.unwrap().is_empty());
    });
}

#[test]
fn old_runs_are_removed_with_their_logs_and_history_but_not_what_they_made() {
    on_both(async |world| {
        let process = world.open();
        let mut scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        scene.settle(vec![accept("a", None, 1)]).await;
        scene.store.log_calls(scene.sync, vec![call(&scene.run, &["a"], "accepted")], Vec::new()).await.unwrap();
        scene.store.end_run(&scene.lease, scene.sync, &scene.run, &ended("succeeded", true)).await.unwrap();
        scene.next_run("run-2").await;
        let later = ended("succeeded", true).finished_at + chrono::TimeDelta::seconds(1);
        scene.store.renew(&scene.lease, TERM).await.unwrap();
        assert_eq!(scene.store.remove_runs_before(later).await.unwrap(), 1, "a run that is not over stays");
        let runs = scene.store.runs(&RunFilter::default()).await.unwrap();
        assert_eq!(runs.iter().map(|run| run.run.id.clone()).collect::<Vec<_>>(), [run_id("run-2")]);
        assert!(world.call_lines(&run_id("run-1")).is_empty());
        assert_eq!(scene.index().await.len(), 1);
        assert_eq!(scene.store.remove_runs_before(later).await.unwrap(), 0);
    });
}

#[test]
fn ids_columns_plans_and_keys_are_remembered() {
    on_both(async |world| {
        let (one, two) = (world.open(), world.open());
        let (store, other) = (one.store(), two.store());
        store.learn_id("vitally:acme", "organization", "o1", Some("uuid-1")).await.unwrap();
        store.learn_id("vitally:acme", "organization", "o2", Some("uuid-2")).await.unwrap();
        store.learn_id("vitally:acme", "organization", "o2", Some("uuid-3")).await.unwrap();
        store.learn_id("vitally:acme", "organization", "o1", None).await.unwrap();
        let asked = ["o2".into(), "o1".into(), "o2".into()];
        let found = other.known_ids("vitally:acme", "organization", &asked).await.unwrap();
        assert_eq!(found, [Some("uuid-3".to_owned()), None, Some("uuid-3".to_owned())]);
        assert_eq!(other.known_ids("vitally:eu", "organization", &asked).await.unwrap(), [None, None, None]);

        let column = |name: &str, kind| Column { name: name.to_owned(), kind, source_type: "\"t\"".to_owned() };
        let columns: Vec<Column> = ColumnType::ALL.into_iter().map(|kind| column(kind.word(), kind)).collect();
        store.remember_columns(Hash128(1), &columns[1..]).await.unwrap();
        store.remember_columns(Hash128(1), &columns).await.unwrap();
        assert_eq!(other.columns(Hash128(1)).await.unwrap(), Some(columns));
        assert_eq!(other.columns(Hash128(2)).await.unwrap(), None);

        assert!(store.use_plan("p").await.unwrap());
        assert!(!other.use_plan("p").await.unwrap());
        assert_eq!(store.installation().await.unwrap(), other.installation().await.unwrap());
        let key = store.secret_key("plan").await.unwrap();
        assert_eq!(other.secret_key("plan").await.unwrap(), key);
        assert_ne!(other.secret_key("budget").await.unwrap(), key);
    });
}

#[test]
fn a_budget_is_shared_by_those_who_use_it_now() {
    on_both(async |world| {
        let (one, two) = (world.open(), world.open());
        let ttl = Duration::from_secs(10);
        let share = one.store().share_budget("b", ttl).await.unwrap();
        assert_eq!((share.users, share.changed), (1, false));
        let share = two.store().share_budget("b", ttl * 3).await.unwrap();
        assert_eq!((share.users, share.changed), (2, false));
        let share = one.store().share_budget("b", ttl).await.unwrap();
        assert_eq!((share.users, share.changed), (2, true));
        assert_eq!(one.store().share_budget("another", ttl).await.unwrap().users, 1);
        world.clock().advance(ttl * 2);
        let share = two.store().share_budget("b", ttl).await.unwrap();
        assert_eq!((share.users, share.changed), (1, true));
    });
}

#[test]
fn an_index_can_be_read_again_from_its_beginning() {
    on_both(async |world| {
        let process = world.open();
        let scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        let rows: Vec<RowSettlement> = (0..10_000_u32).map(|number| accept(&number.to_string(), None, 1)).collect();
        for rows in rows.chunks(1000) {
            scene.settle(rows.to_vec()).await;
        }
        let mut index = scene.store.index(scene.sync).await.unwrap();
        let mut block = Vec::new();
        index.next_block(&mut block).unwrap();
        let first = block.clone();
        index.next_block(&mut block).unwrap();
        assert_ne!(block, first);
        index.rewind().unwrap();
        index.next_block(&mut block).unwrap();
        assert_eq!(block, first);
        assert_eq!((index.len(), index.is_empty()), (10_000, false));
        assert_eq!(scene.index().await.len(), 10_000);
    });
}

#[test]
fn a_run_that_was_never_begun_settles_nothing() {
    on_both(async |world| {
        let process = world.open();
        let scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        let settlement = Settlement { rows: vec![accept("a", None, 1)], ..Settlement::default() };
        let refused = scene.store.settle(&scene.lease, scene.sync, &run_id("none"), settlement).await;
        assert!(matches!(refused, Err(StateError::Storage(_))));
        assert!(scene.index().await.is_empty());
    });
}
