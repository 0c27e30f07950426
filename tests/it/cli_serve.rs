//! `ebb serve`, `ebb pause` and `ebb resume`, against the stand-in. The daemon's lines are what is waited for.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::cli::Project;

const SYNC: &str = "model: accounts
destination: vitally
object: account
match: { externalId: id }
fields: { name: name }
schedule: { every: 1s }
";

fn project(faults: &str) -> Project {
    let project = Project::new(faults);
    write(&project, "syncs/accounts.yaml", SYNC);
    project
}

fn write(project: &Project, file: &str, text: &str) {
    fs::write(project.root().join(file), text).expect("written");
}

/// A daemon in a process of its own, stopped when dropped.
struct Daemon {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Daemon {
    /// Starts one; its stderr goes to a file of the project.
    fn start(project: &Project) -> Self {
        let errors = File::create(project.root().join("errors.txt")).expect("made");
        let mut command = project.command(&["serve", "--output", "json"]);
        let mut process = command.stdout(Stdio::piped()).stderr(errors).spawn().expect("the daemon starts");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut daemon = Self { process, lines };
        let first = daemon.until("serving");
        assert_eq!(first.len(), 1, "nothing comes before it: {first:?}");
        daemon
    }

    fn line(&mut self) -> Option<Value> {
        let line = self.lines.next()?.expect("UTF-8");
        Some(serde_json::from_str(&line).expect("JSON"))
    }

    /// Waits for a line of this kind; returns all lines up to and with it.
    fn until(&mut self, what: &str) -> Vec<Value> {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|line: &Value| line["what"] != what) {
            let line = self.line().unwrap_or_else(|| panic!("it ended before it said `{what}`: {seen:?}"));
            seen.push(line);
        }
        seen
    }

    /// Sends a signal; returns the exit code, and what was said until then.
    fn stop(mut self, signal: &str) -> (Option<i32>, Vec<Value>) {
        let process = self.process.id().to_string();
        let sent = Command::new("kill").args([format!("-{signal}"), process]).status().expect("kill runs");
        assert!(sent.success());
        let seen = std::iter::from_fn(|| self.line()).collect();
        (self.process.wait().expect("it ends").code(), seen)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn count(lines: &[Value], what: &str) -> usize {
    lines.iter().filter(|line| line["what"] == what).count()
}

/// The runs that the state knows, oldest first.
fn runs(project: &Project) -> Vec<Value> {
    let (_, stdout, _) = project.ebb(&["runs", "--limit", "0", "--output", "json"]);
    let mut runs: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    runs.reverse();
    runs
}

#[test]
fn serve_runs_what_is_due_again_and_again_and_two_daemons_share_the_work() {
    let project = project("[]");
    let mut daemons = [Daemon::start(&project), Daemon::start(&project)];
    project.sql("update accounts set name = 'Another' where id = 'a-01'");
    while runs(&project).len() < 5 {
        // One of them runs at least once a second.
        std::thread::yield_now();
    }
    for daemon in &mut daemons {
        let begun = daemon.until("ended");
        assert_eq!(count(&begun, "begun"), 1, "{begun:?}");
    }
    for daemon in daemons {
        let (code, seen) = daemon.stop("INT");
        assert_eq!(code, Some(130), "{seen:?}");
        assert!(seen.iter().all(|line| line["what"] != "not_run"), "{seen:?}");
    }
    let runs = runs(&project);
    let text = |run: &Value, name: &str| run[name].as_str().expect("text").to_owned();
    for pair in runs.windows(2) {
        let [before, after] = pair else { unreachable!("windows of two") };
        assert!(text(before, "finished_at") <= text(after, "started_at"), "they overlap: {before} {after}");
        let second = |run| text(run, "started_at").split('.').next().expect("seconds").to_owned();
        assert!(second(before) < second(after), "one time, two runs: {before} {after}");
    }
    assert!(runs.iter().all(|run| run["trigger"] == "schedule"), "{runs:?}");
    let accepted: u64 = runs.iter().filter_map(|run| run["counts"]["accepted"].as_u64()).sum();
    assert!((12..=13).contains(&accepted), "each row once, and the changed one: {runs:?}");
}

#[test]
fn serve_drains_on_a_signal() {
    let project = project(r#"[{ "match": { "from": 5 }, "do": "hang" }]"#);
    let mut daemon = Daemon::start(&project);
    daemon.until("begun");
    let (code, seen) = daemon.stop("TERM");
    assert_eq!(code, Some(143), "{seen:?}");
    assert_eq!((count(&seen, "draining"), count(&seen, "begun"), count(&seen, "abandoned")), (1, 0, 0), "{seen:?}");
    let runs = runs(&project);
    assert_eq!((runs.len(), runs[0]["status"].as_str()), (1, Some("interrupted")), "{runs:?}");
}

#[test]
fn serve_goes_on_with_the_last_right_project_while_its_files_are_wrong() {
    let project = project("[]");
    let mut daemon = Daemon::start(&project);
    daemon.until("ended");
    write(&project, "syncs/accounts.yaml", &SYNC.replace("name: name", "name: nam, nme"));
    write(&project, "syncs/broken.yaml", "model: nothing\n");
    let wrong = daemon.until("project_wrong").pop().expect("the last line");
    let places: Vec<_> = wrong["faults"].as_array().expect("a list").iter().map(|fault| &fault["file"]).collect();
    assert!(places.iter().any(|file| *file == "syncs/broken.yaml"), "{wrong}");
    let mut meanwhile = daemon.until("ended");
    meanwhile.extend(daemon.until("ended"));
    meanwhile.extend(daemon.until("ended"));
    assert_eq!(count(&meanwhile, "project_wrong") + count(&meanwhile, "project_loaded"), 0, "{meanwhile:?}");
    let errors = fs::read_to_string(project.root().join("errors.txt")).expect("readable");
    assert_eq!(errors.matches("--> syncs/broken.yaml:1:").count(), errors.matches("syncs/broken.yaml").count());
    assert!(errors.contains("--> syncs/broken.yaml:1:"), "{errors}");

    fs::remove_file(project.root().join("syncs/broken.yaml")).expect("removed");
    write(&project, "syncs/accounts.yaml", &SYNC.replace("name: name", "name: { $value: Everyone }"));
    let loaded = daemon.until("project_loaded").pop().expect("the last line");
    assert_eq!(loaded["was_wrong"], true, "{loaded}");
    let ended = daemon.until("ended").pop().expect("the last line");
    assert_eq!(
        (ended["status"].as_str(), ended["counts"]["accepted"].as_u64()),
        (Some("succeeded"), Some(12)),
        "{ended}"
    );
    assert_eq!(daemon.stop("TERM").0, Some(143));
}

#[test]
fn serve_leaves_a_paused_sync_alone_until_it_is_resumed() {
    let project = project("[]");
    let mut daemon = Daemon::start(&project);
    daemon.until("ended");
    let (code, paused) = project.json(&["pause", "accounts", "--note", "moving house"]);
    assert_eq!((code, paused["changed"].as_bool()), (0, Some(true)));
    assert_eq!(project.json(&["pause", "accounts"]).1["changed"], false);
    assert_eq!(project.ebb(&["pause", "nope"]).0, 2);
    assert_eq!(project.ebb(&["resume", "nope"]).0, 2);
    let said = daemon.until("paused").pop().expect("the last line");
    assert_eq!(said["note"], "moving house", "{said}");

    // The files are looked at once a second, so that changes of them tell that time passes.
    write(&project, ".env", "A=1\n");
    daemon.until("project_loaded");
    for text in ["A=12\n", "A=123\n", "A=1234\n"] {
        write(&project, ".env", text);
        let seen = daemon.until("project_loaded");
        assert_eq!(seen.len(), 1, "{seen:?}");
    }
    let (code, stdout, _) = project.ebb(&["run", "--due"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("accounts: not run: paused by ") && stdout.contains(": moving house"), "{stdout}");

    assert_eq!(project.json(&["resume", "accounts"]).1["changed"], true);
    let seen = daemon.until("ended");
    assert_eq!((count(&seen, "resumed"), count(&seen, "begun")), (1, 1), "{seen:?}");
    assert_eq!(daemon.stop("TERM").0, Some(143));
}
