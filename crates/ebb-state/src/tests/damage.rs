//! What the store on disk does about damage, other owners and other versions.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ebb_row::{Clock, RowKey};
use proptest::prelude::{Strategy, prop};
use proptest::test_runner::{Config, TestRunner};

use crate::store::{EntryChange, EntryId, Intent, RejectionKind, RowSettlement, StateError, Store};
use crate::tests::{Process, Scene, TestClock, World, accept, block_on, index, intent, reject};
use crate::{IndexEntry, MemoryStore, SqliteStore};

fn state(world: &World) -> PathBuf {
    let World::Sqlite { folder, .. } = world else { panic!("a store on disk") };
    folder.path().join(".ebb")
}

fn open(path: &Path) -> Result<Arc<SqliteStore>, StateError> {
    let clock: Arc<dyn Clock> = TestClock::new();
    SqliteStore::open(path, clock)
}

fn rows(keys: std::ops::Range<u32>) -> Vec<RowSettlement> {
    keys.map(|key| accept(&key.to_string(), None, 1)).collect()
}

#[test]
fn state_is_private_to_the_user() {
    let world = World::sqlite();
    block_on(async {
        let process = world.open();
        let scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        scene.settle(rows(0..10)).await;
        scene.store.log_calls(scene.sync, vec![crate::tests::call(&scene.run, &["a"], "x")], Vec::new()).await.unwrap();
        scene.store.intend(scene.sync, &[intent(&scene.run, 1, &["a"], world.clock())], false).await.unwrap();
        scene.index().await;
        let mut folders = vec![state(&world)];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700, "{}", folder.display());
            for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files += 1;
                    let mode = fs::metadata(&path).unwrap().permissions().mode();
                    assert_eq!(mode & 0o777, 0o600, "{}", path.display());
                }
            }
        }
        assert!(files >= 7, "{files} files");
    });
}

#[test]
fn state_that_others_may_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".ebb");
    drop(open(&path).unwrap());
    fs::set_permissions(path.join("state.db"), fs::Permissions::from_mode(0o660)).unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(&error, StateError::Unusable(text) if text.contains("can be written by others")), "{error}");
    fs::set_permissions(path.join("state.db"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o770)).unwrap();
    assert!(matches!(open(&path), Err(StateError::Unusable(_))));
}

#[test]
fn state_of_a_newer_ebb_and_what_is_no_state_are_refused_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".ebb");
    drop(open(&path).unwrap());
    let connection = rusqlite::Connection::open(path.join("state.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = open(&path).unwrap_err().to_string();
    assert!(error.contains("state was written by a newer ebb"), "{error}");

    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o700)).unwrap();
    let connection = rusqlite::Connection::open(other.join("state.db")).unwrap();
    connection.execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    drop(connection);
    fs::set_permissions(other.join("state.db"), fs::Permissions::from_mode(0o600)).unwrap();
    let before = fs::read(other.join("state.db")).unwrap();
    assert!(matches!(open(&other), Err(StateError::Unusable(text)) if text.contains("is not a state file of ebb")));
    assert_eq!(fs::read(other.join("state.db")).unwrap(), before);

    fs::write(other.join("state.db"), "no database at all, but long enough to have a header of its own".repeat(20))
        .unwrap();
    assert!(matches!(open(&other), Err(StateError::Unusable(text)) if text.contains("damaged")));
}

#[test]
fn processes_that_open_new_state_at_once_share_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".ebb");
    let stores: Vec<Arc<SqliteStore>> = std::thread::scope(|scope| {
        let opening: Vec<_> = (0..8).map(|_| scope.spawn(|| open(&path).unwrap())).collect();
        opening.into_iter().map(|opening| opening.join().unwrap()).collect()
    });
    block_on(async {
        let first = stores[0].installation().await.unwrap();
        for store in &stores {
            assert_eq!(store.installation().await.unwrap(), first);
        }
    });
}

#[test]
fn a_new_run_has_no_part_in_what_a_removed_one_made() {
    block_on(async {
        let world = World::sqlite();
        let process = world.open();
        let mut scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        scene.settle(rows(0..3)).await;
        let end = crate::ClosedRun {
            status: "succeeded".to_owned(),
            finished_at: world.clock().now(),
            summary: String::new(),
            mapping: None,
            cursor: None,
            read_everything: true,
        };
        scene.store.end_run(&scene.lease, scene.sync, &scene.run, &end).await.unwrap();
        let later = world.clock().now() + chrono::TimeDelta::days(31);
        assert_eq!(scene.store.remove_runs_before(later).await.unwrap(), 1);
        scene.next_run("run-2").await;
        assert!(scene.store.history(scene.sync, &scene.run, 0, 0).await.unwrap().is_empty());
        let before = scene.store.find_sync("accounts").await.unwrap().unwrap().counter;
        scene.settle(rows(3..4)).await;
        assert_eq!(scene.store.history(scene.sync, &scene.run, 0, 0).await.unwrap().len(), 1);
        assert_eq!(scene.store.find_sync("accounts").await.unwrap().unwrap().counter, before + 1);
    });
}

#[test]
fn lock_files_of_dead_holders_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".ebb");
    let locks = || fs::read_dir(path.join("locks")).unwrap().count();
    let alive = open(&path).unwrap();
    fs::write(path.join("locks/00.lock"), "").unwrap();
    let other = open(&path).unwrap();
    assert_eq!(locks(), 2);
    drop((alive, other));
    assert_eq!(locks(), 0);
}

/// Opens a store, makes an index of `count` entries, and damages it before it is read again.
async fn after_damage(count: u32, damage: impl Fn(&mut Vec<u8>)) -> (Vec<IndexEntry>, Vec<IndexEntry>) {
    let world = World::sqlite();
    let process = world.open();
    let scene = Scene::begin(process.store(), world.clock(), "run-1").await;
    scene.settle(rows(0..count)).await;
    let before = scene.index().await;
    let path = state(&world).join("index").join(format!("{}.idx", scene.sync.0));
    let mut bytes = fs::read(&path).unwrap();
    damage(&mut bytes);
    fs::write(&path, bytes).unwrap();
    (before, scene.index().await)
}

#[test]
fn a_damaged_index_is_made_anew() {
    block_on(async {
        for at in [0_usize, 9, 20, 44, 51, 52, 90, 4000] {
            let (before, after) = after_damage(200, |bytes| bytes[at] ^= 1).await;
            assert_eq!(before, after, "byte {at}");
        }
        for length in [0_usize, 30, 52, 5000] {
            let (before, after) = after_damage(200, |bytes| bytes.truncate(length)).await;
            assert_eq!(before, after, "{length} bytes");
        }
        let (before, after) = after_damage(200, |bytes| bytes.extend([0; 44])).await;
        assert_eq!(before, after, "longer");
    });
}

#[test]
fn damage_in_a_later_block_is_met_while_reading_and_repeats_no_entry() {
    block_on(async {
        let (before, after) = after_damage(10_000, |bytes| {
            let at = bytes.len() - 100;
            bytes[at] ^= 1;
        })
        .await;
        assert_eq!(before.len(), 10_000);
        assert_eq!(before, after);
    });
}

#[test]
fn damage_is_found_when_newer_entries_are_folded_in() {
    block_on(async {
        let world = World::sqlite();
        let process = world.open();
        let scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        scene.settle(rows(0..5000)).await;
        scene.index().await;
        let path = state(&world).join("index").join(format!("{}.idx", scene.sync.0));
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.len() - 100;
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        scene.settle(rows(5000..5010)).await;
        assert_eq!(scene.index().await.len(), 5010);
        let leftovers = fs::read_dir(state(&world).join("index")).unwrap().count();
        assert_eq!(leftovers, 1, "no temporary file is left");
    });
}

#[test]
fn a_key_that_was_accepted_twice_as_new_is_one_entry_in_the_end() {
    block_on(async {
        let world = World::sqlite();
        let process = world.open();
        let scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        scene.settle(vec![accept("a", None, 1), accept("b", None, 1)]).await;
        scene.index().await;
        scene.settle(vec![accept("a", None, 2)]).await;
        let entries = scene.index().await;
        assert_eq!(entries.len(), 2);
        // The correction is made behind the index: a write that follows it finds it done.
        scene.settle(vec![accept("c", None, 1)]).await;
        assert_eq!(scene.store.find_sync("accounts").await.unwrap().unwrap().live, 3);
        assert_eq!(scene.store.entries(scene.sync, &[EntryId(1)]).await.unwrap(), [None]);
        assert_eq!(scene.index().await.len(), 3);
    });
}

/// What a run may do to one of a few keys.
#[derive(Clone, Copy, Debug)]
enum Step {
    Accept,
    Refresh,
    Gone,
    Uncertain,
    Reject,
    Fold,
}

async fn take(scene: &Scene, step: Step, key: u8, version: u32) {
    let text = format!("key {key}");
    let entry = scene.entry_of(&text).await;
    let change = match (step, entry) {
        (Step::Accept, _) => return scene.settle(vec![accept(&text, entry, version)]).await,
        (Step::Reject, _) => {
            return scene.settle(vec![reject(&text, RejectionKind::Destination, &version.to_string(), "no")]).await;
        }
        (Step::Fold, _) | (_, None) => return,
        (Step::Refresh, Some(replaces)) => EntryChange::Refresh { replaces, seen: ebb_row::Hash128(version.into()) },
        (Step::Gone, Some(replaces)) => EntryChange::Gone { replaces },
        (Step::Uncertain, replaces @ Some(_)) => EntryChange::Uncertain { replaces },
    };
    scene.settle(vec![RowSettlement { key: RowKey::new(text), change }]).await;
}

#[test]
fn both_stores_agree_and_a_folded_index_equals_one_made_anew() {
    let steps = prop::sample::select(vec![
        Step::Accept,
        Step::Accept,
        Step::Refresh,
        Step::Gone,
        Step::Uncertain,
        Step::Reject,
        Step::Fold,
    ]);
    let histories = prop::collection::vec((steps, 0..6_u8), 1..40);
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    runner
        .run(&histories.prop_map(|steps| steps), |steps| {
            block_on(async {
                let (disk, memory) = (World::sqlite(), World::memory());
                let (one, two) = (disk.open(), memory.open());
                let on_disk = Scene::begin(one.store(), disk.clock(), "run-1").await;
                let in_memory = Scene::begin(two.store(), memory.clock(), "run-1").await;
                for (version, (step, key)) in (1..).zip(&steps) {
                    take(&on_disk, *step, *key, version).await;
                    take(&in_memory, *step, *key, version).await;
                }
                let folded = on_disk.index().await;
                assert_eq!(folded, in_memory.index().await);
                let ids: Vec<EntryId> = folded.iter().map(|entry| entry.id).collect();
                let entries = on_disk.store.entries(on_disk.sync, &ids).await.unwrap();
                assert_eq!(entries, in_memory.store.entries(in_memory.sync, &ids).await.unwrap());
                let rejections = on_disk.store.rejections(on_disk.sync, 0).await.unwrap();
                assert_eq!(rejections, in_memory.store.rejections(in_memory.sync, 0).await.unwrap());
                let history = on_disk.store.history(on_disk.sync, &on_disk.run, 0, 0).await.unwrap();
                assert_eq!(history, in_memory.store.history(in_memory.sync, &in_memory.run, 0, 0).await.unwrap());
                let states = (on_disk.store.find_sync("accounts").await, in_memory.store.find_sync("accounts").await);
                assert_eq!(states.0.unwrap(), states.1.unwrap());
                let file = state(&disk).join("index").join(format!("{}.idx", on_disk.sync.0));
                if !folded.is_empty() {
                    fs::remove_file(file).unwrap();
                }
                assert_eq!(on_disk.index().await, folded);
            });
            Ok(())
        })
        .unwrap();
}

/// Writes intents, damages the journal, and reads what a next process finds open.
async fn open_after(damage: impl Fn(Vec<u8>) -> Vec<u8>) -> (Vec<Intent>, Vec<Intent>) {
    let world = World::sqlite();
    let process = world.open();
    let scene = Scene::begin(process.store(), world.clock(), "run-1").await;
    let (sync, run) = (scene.sync, scene.run.clone());
    let written: Vec<Intent> = (0..3).map(|id| intent(&run, id, &["a", "b"], world.clock())).collect();
    for intent in &written {
        scene.store.intend(sync, std::slice::from_ref(intent), false).await.unwrap();
    }
    drop(scene);
    process.crash();
    let path = state(&world).join("journal").join(format!("{}.journal", sync.0));
    fs::write(&path, damage(fs::read(&path).unwrap())).unwrap();
    let process = world.open();
    let found = process.store().open_intents(sync).await.unwrap();
    let later = intent(&run, 9, &["c"], world.clock());
    process.store().intend(sync, std::slice::from_ref(&later), false).await.unwrap();
    let after = process.store().open_intents(sync).await.unwrap();
    assert_eq!(after.last(), Some(&later), "what is written after the damage is whole");
    assert_eq!(after.len(), found.len() + 1);
    (written, found)
}

#[test]
fn a_torn_tail_of_the_journal_loses_only_a_line_that_is_not_whole() {
    block_on(async {
        for (cut, whole) in [(1_usize, 3_usize), (2, 2), (20, 2)] {
            let (written, found) = open_after(|mut bytes| {
                bytes.truncate(bytes.len() - cut);
                bytes
            })
            .await;
            assert_eq!(found, written[..whole], "{cut} bytes");
        }
    });
}

#[test]
fn a_damaged_line_of_the_journal_is_passed_over() {
    block_on(async {
        for at in [0_usize, 8, 9, 60] {
            let (written, found) = open_after(|mut bytes| {
                bytes[at] ^= 1;
                bytes
            })
            .await;
            assert_eq!(found, written[1..], "byte {at}");
        }
        let (_, found) = open_after(|_| Vec::new()).await;
        assert!(found.is_empty());
    });
}

#[test]
fn a_run_leaves_its_row_as_a_file() {
    block_on(async {
        let world = World::sqlite();
        let process = world.open();
        let scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        let end = crate::ClosedRun {
            status: "succeeded".to_owned(),
            finished_at: world.clock().now(),
            summary: r#"{"accepted":1}"#.to_owned(),
            mapping: None,
            cursor: None,
            read_everything: true,
        };
        scene.store.end_run(&scene.lease, scene.sync, &scene.run, &end).await.unwrap();
        let text = fs::read_to_string(state(&world).join("runs/run-1/run.json")).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["status"], "succeeded");
        assert_eq!(document["summary"]["accepted"], 1);
        assert_eq!(document["started_at"], "2023-11-14T22:13:20.000Z");
    });
}

#[test]
fn a_full_log_folder_fails_the_settlement_and_changes_no_row() {
    block_on(async {
        let world = World::sqlite();
        let process = world.open();
        let scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        // A folder where the log should be: it cannot be opened, as on a disk that fails.
        fs::create_dir(state(&world).join("runs/run-1/calls.jsonl")).unwrap();
        let settlement = crate::Settlement {
            calls: vec![crate::tests::call(&scene.run, &["a"], "accepted")],
            rows: rows(0..1),
            ..crate::Settlement::default()
        };
        let failed = scene.store.settle(&scene.lease, scene.sync, &scene.run, settlement).await;
        assert!(matches!(failed, Err(StateError::Storage(_))));
        assert!(index(&*scene.store, scene.sync).await.is_empty());
        scene.settle(rows(0..1)).await;
        assert_eq!(scene.index().await.len(), 1);
        let Process::Sqlite(store) = &process else { panic!("on disk") };
        assert_eq!(store.directory(), state(&world));
    });
}

#[test]
fn a_long_journal_is_rewritten_with_its_open_intents() {
    block_on(async {
        let world = World::sqlite();
        let process = world.open();
        let scene = Scene::begin(process.store(), world.clock(), "run-1").await;
        let long = |id| Intent { url: "u".repeat(1 << 20), ..intent(&scene.run, id, &["a"], world.clock()) };
        for id in 0..66 {
            scene.store.intend(scene.sync, &[long(id)], false).await.unwrap();
            if id % 30 != 0 {
                let closing = crate::Settlement { intents: vec![id], ..crate::Settlement::default() };
                scene.store.settle(&scene.lease, scene.sync, &scene.run, closing).await.unwrap();
            }
        }
        let path = state(&world).join("journal").join(format!("{}.journal", scene.sync.0));
        assert!(fs::metadata(path).unwrap().len() < 10 << 20);
        let found = scene.store.open_intents(scene.sync).await.unwrap();
        assert_eq!(found, [long(0), long(30), long(60)]);
    });
}

#[test]
fn a_killed_process_of_the_store_in_memory_does_nothing_more() {
    block_on(async {
        let (world, clock) = (World::memory(), TestClock::new());
        let lent: Arc<dyn Clock> = clock;
        let first = MemoryStore::new(lent);
        let second = first.new_process();
        let scene = Scene::begin(first.clone(), world.clock(), "run-1").await;
        first.fail_next(2);
        for _ in 0..2 {
            let failing = crate::Settlement { rows: rows(0..2), ..crate::Settlement::default() };
            let failed = scene.store.settle(&scene.lease, scene.sync, &scene.run, failing).await;
            assert!(matches!(failed, Err(StateError::Storage(_))));
            assert!(scene.index().await.is_empty());
        }
        scene.settle(rows(0..2)).await;
        assert_eq!(second.entries_all(scene.sync).len(), 2);
        first.kill();
        let late = crate::Settlement { rows: rows(2..3), ..crate::Settlement::default() };
        assert!(scene.store.settle(&scene.lease, scene.sync, &scene.run, late).await.is_err());
        assert_eq!(index(&*second, scene.sync).await.len(), 2);
    });
}
