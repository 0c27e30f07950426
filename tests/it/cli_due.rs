//! `ebb run --due`, against the stand-in. An interval of a year stands for one that does not end during the test, and the
//! state's own times are put back instead of waiting.

use std::fs;

use serde_json::Value;

use crate::cli::Project;

const YEAR: i64 = 366;

fn sync(object: &str, more: &str) -> String {
    format!(
        "model: accounts\ndestination: vitally\nobject: {object}\nmatch: {{ externalId: id }}\nfields: {{ name: name }}\n{more}\n"
    )
}

/// Accounts by a schedule, organizations after them, and a sync that has neither.
fn project(schedule: &str) -> Project {
    let project = Project::new("[]");
    write(&project, "accounts", &sync("account", &format!("schedule: {schedule}")));
    write(&project, "groups", &sync("organization", "after: [accounts]"));
    write(&project, "idle", &sync("account", ""));
    project
}

fn write(project: &Project, name: &str, text: &str) {
    fs::write(project.root().join(format!("syncs/{name}.yaml")), text).expect("written");
}

fn state(project: &Project, statement: &str) {
    let connection = rusqlite::Connection::open(project.root().join(".ebb/state.db")).expect("opened");
    connection.execute_batch(statement).expect(statement);
}

fn put_back(project: &Project, days: i64) {
    let by = days * 86_400_000_000;
    state(project, &format!("update run set started_at = started_at - {by}, finished_at = finished_at - {by}"));
}

/// Runs what is due: the exit code, and each sync with its status, its state, and why it is due or whom it waits for.
fn due(project: &Project, arguments: &[&str]) -> (i32, Vec<String>) {
    let (code, document) = project.json(&[&["run", "--due"], arguments].concat());
    let runs = document.pointer("/runs").and_then(Value::as_array).expect("a list");
    let told = runs.iter().map(|run| {
        let word = |place| run.pointer(place).and_then(Value::as_str);
        let words = ["/sync", "/status", "/due/state", "/due/reason", "/due/on/0"].map(word);
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    });
    (code, told.collect())
}

fn run_count(project: &Project) -> usize {
    project.ebb(&["runs", "--output", "json"]).1.lines().count()
}

const NOTHING: [&str; 3] = ["accounts not_run not_due", "groups not_run waiting accounts", "idle not_run unscheduled"];

#[test]
fn what_is_due_runs_once_and_each_sync_is_told_why() {
    let project = project("{ every: 366d }");
    let (code, told) = due(&project, &[]);
    let first = ["accounts succeeded due never_ran", "groups succeeded due after", "idle not_run unscheduled"];
    assert_eq!((code, told), (0, first.map(str::to_owned).to_vec()));
    assert_eq!(due(&project, &[]), (0, NOTHING.map(str::to_owned).to_vec()));
    let (code, stdout, _) = project.ebb(&["run", "--due"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("accounts: not run: not due until "), "{stdout}");
    assert!(stdout.contains("groups: not run: waits for a good run of `accounts`"), "{stdout}");
    assert_eq!(run_count(&project), 2);

    // A run of some rows counts for nothing, one of all rows by hand does.
    assert_eq!(project.ebb(&["run", "accounts", "--key", "a-01"]).0, 0);
    assert_eq!(due(&project, &[]), (0, NOTHING.map(str::to_owned).to_vec()));
    assert_eq!(project.ebb(&["run", "accounts"]).0, 0);
    let (code, stdout, _) = project.ebb(&["run", "--due"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("groups: succeeded") && stdout.contains("  due since "), "{stdout}");
    assert_eq!(run_count(&project), 5);
    let newest: Value =
        serde_json::from_str(project.ebb(&["runs", "--output", "json"]).1.lines().next().expect("one")).expect("JSON");
    assert_eq!((newest["sync"].as_str(), newest["trigger"].as_str()), (Some("groups"), Some("schedule")));

    // Named ones only; and what the command does not take.
    put_back(&project, YEAR);
    assert_eq!(due(&project, &["groups", "idle"]), (0, vec![NOTHING[1].to_owned(), NOTHING[2].to_owned()]));
    assert_eq!(due(&project, &["accounts"]), (0, vec!["accounts succeeded due time".to_owned()]));
    for wrong in [&["run", "--due", "nope"][..], &["run", "--due", "--limit", "1"], &["run", "--due", "--full"]] {
        assert_eq!(project.ebb(wrong).0, 2, "{wrong:?}");
    }
}

#[test]
fn missed_times_and_runs_that_did_not_end_well() {
    let project = project("{ every: 366d, missed: catch_up }");
    assert_eq!(due(&project, &[]).0, 0);
    put_back(&project, 3 * YEAR);
    let (_, told) = due(&project, &[]);
    let each = ["accounts succeeded due time"; 3].into_iter().chain(["groups succeeded due after", NOTHING[2]]);
    assert_eq!(told, each.map(str::to_owned).collect::<Vec<_>>());
    write(&project, "accounts", &sync("account", "schedule: { every: 366d }"));
    put_back(&project, 3 * YEAR);
    let (_, told) = due(&project, &[]);
    assert_eq!(told, ["accounts succeeded due time", "groups succeeded due after", NOTHING[2]].map(str::to_owned));

    // A run whose process died.
    state(
        &project,
        "update run set status = 'running', finished_at = null
         where started_at = (select max(started_at) from run where sync = 'accounts')",
    );
    let (_, told) = due(&project, &[]);
    assert_eq!(
        told,
        ["accounts succeeded due interrupted", "groups succeeded due after", NOTHING[2]].map(str::to_owned)
    );

    // A run that a guard refused is a run, and blocks.
    project.sql("delete from accounts");
    put_back(&project, YEAR);
    let (code, told) = due(&project, &[]);
    let refused = ["accounts refused due time", "groups not_run blocked accounts", NOTHING[2]];
    assert_eq!((code, told), (4, refused.map(str::to_owned).to_vec()));
    let blocked = [NOTHING[0], "groups not_run blocked accounts", NOTHING[2]];
    assert_eq!(due(&project, &[]), (0, blocked.map(str::to_owned).to_vec()));
    assert_eq!(project.ebb(&["run", "accounts", "--override-guard", "empty", "--override-guard", "removed"]).0, 0);
    let (_, told) = due(&project, &[]);
    assert_eq!(told.get(1).map(String::as_str), Some("groups refused due after"), "its own guard: {told:?}");
}
