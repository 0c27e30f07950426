//! Documents, kept plans and the newest runs, on every store.

use std::sync::Arc;
use std::time::Duration;

use crate::RunFilter;
use crate::store::{ClosedRun, Document, Expect, NewRun};
use crate::tests::{Scene, new_run, on_both, run_id};

fn ended(status: &str) -> ClosedRun {
    ClosedRun {
        status: status.to_owned(),
        finished_at: chrono::DateTime::from_timestamp(1_700_000_001, 0).unwrap(),
        summary: "{}".to_owned(),
        mapping: None,
        cursor: None,
        read_everything: false,
    }
}

#[test]
fn a_document_is_written_where_what_is_expected_holds() {
    on_both(async |world| {
        let (one, two) = (world.open(), world.open());
        let (one, two) = (one.store(), two.store());
        let first = one.put_document("pause", "accounts", Expect::Absent, "1").await.unwrap().expect("there was none");
        assert_eq!(two.put_document("pause", "accounts", Expect::Absent, "2").await.unwrap(), None);
        assert_eq!(two.put_document("pause", "accounts", Expect::Version(first + 1), "2").await.unwrap(), None);
        let second = two.put_document("pause", "accounts", Expect::Version(first), "2").await.unwrap().unwrap();
        assert!(second > first);
        assert_eq!(one.put_document("pause", "accounts", Expect::Version(first), "3").await.unwrap(), None);
        let kept = Document { key: "accounts".to_owned(), version: second, body: "2".to_owned() };
        assert_eq!(one.documents("pause", "", 0).await.unwrap(), [kept]);
        assert!(one.documents("trigger", "", 0).await.unwrap().is_empty());

        assert!(!one.remove_document("pause", "accounts", Expect::Version(first)).await.unwrap());
        assert!(one.remove_document("pause", "accounts", Expect::Version(second)).await.unwrap());
        assert!(!one.remove_document("pause", "accounts", Expect::Anything).await.unwrap());
        let again = two.put_document("pause", "accounts", Expect::Anything, "4").await.unwrap().unwrap();
        assert!(again > second, "a version is never given out twice");
    });
}

#[test]
fn documents_of_a_kind_come_page_by_page_in_the_order_of_their_keys() {
    on_both(async |world| {
        let process = world.open();
        let store = process.store();
        for key in ["b", "a", "B", "c"] {
            store.put_document("k", key, Expect::Absent, "{}").await.unwrap();
        }
        store.put_document("other", "a", Expect::Absent, "{}").await.unwrap();
        let keys = async |after: &str, limit| {
            let found = store.documents("k", after, limit).await.unwrap();
            found.into_iter().map(|document| document.key).collect::<Vec<_>>()
        };
        assert_eq!(keys("", 0).await, ["B", "a", "b", "c"]);
        assert_eq!(keys("", 2).await, ["B", "a"]);
        assert_eq!(keys("a", 2).await, ["b", "c"]);
        assert!(keys("c", 2).await.is_empty());
    });
}

#[test]
fn the_newest_run_of_a_sync_is_one_of_all_its_rows() {
    on_both(async |world| {
        let process = world.open();
        let mut scene = Scene::begin(process.store(), world.clock(), "0190-a").await;
        let store = Arc::clone(&scene.store);
        let end = ended("failed");
        store.end_run(&scene.lease, scene.sync, &scene.run, &end).await.unwrap();
        world.clock().advance(Duration::from_secs(1));
        scene.run = run_id("0190-b");
        let run = NewRun { in_part: true, ..new_run(&scene.run, world.clock()) };
        store.begin_run(&scene.lease, &run).await.unwrap();

        let latest = store.latest_runs(None).await.unwrap();
        assert_eq!(store.latest_runs(Some("accounts")).await.unwrap(), latest);
        assert!(store.latest_runs(Some("users")).await.unwrap().is_empty());
        let words: Vec<(&str, &str)> = latest.iter().map(|run| (&*run.run.id.0, &*run.status)).collect();
        assert_eq!(words, [("0190-a", "failed")]);
        let all = store.runs(&RunFilter::default()).await.unwrap();
        assert!(all[0].run.in_part && all[0].run.worker == "test");
    });
}

#[test]
fn a_plan_is_kept_with_its_run_and_goes_with_it() {
    on_both(async |world| {
        let process = world.open();
        let scene = Scene::begin(process.store(), world.clock(), "0190-a").await;
        assert_eq!(scene.store.kept_plan(&scene.run).await.unwrap(), None);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.plan");
        std::fs::write(&file, "the plan").unwrap();
        scene.store.keep_plan(&scene.run, &file).await.unwrap();
        let kept = scene.store.kept_plan(&scene.run).await.unwrap().expect("it was kept");
        assert_eq!(std::fs::read_to_string(kept).unwrap(), "the plan");
        assert_eq!(scene.store.kept_plan(&run_id("0190-b")).await.unwrap(), None);
        let end = ended("succeeded");
        scene.store.end_run(&scene.lease, scene.sync, &scene.run, &end).await.unwrap();
        let later = end.finished_at + chrono::TimeDelta::seconds(1);
        assert_eq!(scene.store.remove_runs_before(later).await.unwrap(), 1);
        assert_eq!(scene.store.kept_plan(&scene.run).await.unwrap(), None);
    });
}
