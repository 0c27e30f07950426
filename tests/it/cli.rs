//! The program itself: its output, its exit codes, its files; against its own stand-in for Vitally.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// A token that must appear nowhere.
pub(crate) const TOKEN: &str = "sk_live_canary_7f3a9c";

const SETTINGS: &str = "
version: 1
sources:
  warehouse: { type: sqlite, path: warehouse.db }
destinations:
  vitally:
    type: vitally
    subdomain: sandbox
    rest_token: ${TOKEN}
    analytics_token: ${TOKEN}
    rest_url: ${URL}
    analytics_url: ${URL}
    timeout: 1s
    rate_limit: { per_minute: 60000, analytics_per_minute: 6000 }
";

const MODEL: &str = "/*\nprimary_key: id\n*/\nselect id, name, plan, seats from accounts\n";

const SYNC: &str = "
model: accounts
destination: vitally
object: account
match: { externalId: id }
fields:
  name: name
  traits:
    plan: \"{{ row.plan | upcase }}\"
    seats: seats
";

const EVENT_MODEL: &str = "/*\nprimary_key: id\n*/\nselect id, id as account_id from accounts\n";

const EVENT_SYNC: &str = "
model: visits
destination: vitally
object: event
after: [accounts]
fields:
  event: { $value: Visited }
  accountId: account_id
";

/// Builds the program once, and returns where it is.
fn ebb() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let own = std::env::current_exe().expect("the test's own path");
        let profile = own.ancestors().nth(2).expect("target/PROFILE/deps/it").to_path_buf();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--locked", "--package", "ebb"]);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let status = build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).status().expect("cargo runs");
        assert!(status.success(), "the program does not build");
        profile.join("ebb")
    })
}

/// A command with nothing of the developer's environment.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(ebb());
    command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

pub(crate) fn finish(mut command: Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    (status.code().expect("it exits"), text(stdout), text(stderr))
}

/// A stand-in in a process of its own, stopped when dropped.
struct StandIn {
    process: Child,
    url: String,
}

impl StandIn {
    fn start(folder: &Path, faults: &str) -> Self {
        fs::write(folder.join("faults.json"), faults).expect("written");
        let mut command = command(
            folder,
            &[
                "sandbox",
                "--listen",
                "127.0.0.1:0",
                "--rate",
                "unlimited",
                "--faults",
                "faults.json",
                "--output",
                "json",
                "--rest-token",
                TOKEN,
                "--analytics-token",
                TOKEN,
            ],
        );
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the stand-in starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("it says where it listens");
        let said: Value = serde_json::from_str(&line).expect("JSON");
        Self { process, url: said.get("rest_url").and_then(Value::as_str).expect("a URL").to_owned() }
    }

    /// Returns the answer of one of the stand-in's own endpoints.
    fn get(&self, path: &str) -> Value {
        let address = self.url.strip_prefix("http://").expect("plain HTTP");
        let mut stream = TcpStream::connect(address).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let body = body.get(body.find('{').expect("an object")..=body.rfind('}').expect("an object")).expect("there");
        serde_json::from_str(body).expect("JSON")
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }
}

/// A project of one model of accounts, and a stand-in.
pub(crate) struct Project {
    folder: TempDir,
    stand_in: StandIn,
}

impl Project {
    pub(crate) fn new(faults: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        fs::create_dir(root.join("models")).expect("made");
        fs::create_dir(root.join("syncs")).expect("made");
        fs::write(root.join("ebb.yaml"), SETTINGS).expect("written");
        fs::write(root.join("models/accounts.sql"), MODEL).expect("written");
        fs::write(root.join("syncs/accounts.yaml"), SYNC).expect("written");
        let stand_in = StandIn::start(root, faults);
        let project = Self { folder, stand_in };
        project.sql("create table accounts (id text, name text, plan text, seats integer)");
        for number in 1..=12 {
            project.sql(&format!("insert into accounts values ('a-{number:02}', 'Account {number}', 'pro', {number})"));
        }
        project
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn sql(&self, statement: &str) {
        let connection = rusqlite::Connection::open(self.root().join("warehouse.db")).expect("opened");
        connection.execute_batch(statement).expect(statement);
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(self.root(), arguments);
        command.env("TOKEN", TOKEN).env("URL", &self.stand_in.url);
        command
    }

    /// Runs the program, and returns its exit code, stdout and stderr.
    pub(crate) fn ebb(&self, arguments: &[&str]) -> (i32, String, String) {
        finish(self.command(arguments))
    }

    /// Runs the program with `--output json`, and returns its exit code and document.
    pub(crate) fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let mut all = arguments.to_vec();
        all.extend(["--output", "json"]);
        let (code, stdout, stderr) = self.ebb(&all);
        (code, serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}\n{stderr}")))
    }

    fn add_events(&self) {
        fs::write(self.root().join("models/visits.sql"), EVENT_MODEL).expect("written");
        fs::write(self.root().join("syncs/visits.yaml"), EVENT_SYNC).expect("written");
    }
}

fn holds(counts: &Value) -> bool {
    let number = |name: &str| counts[name].as_u64().expect("a number");
    let fates = ["unchanged", "accepted", "rejected", "skipped", "pending"];
    number("read") == fates.iter().map(|fate| number(fate)).sum::<u64>()
}

#[test]
fn a_plan_is_shown_saved_and_run_once() {
    let project = Project::new("[]");
    let (code, stdout, _) = project.ebb(&["plan"]);
    assert_eq!(code, 0, "{stdout}");
    assert!(stdout.contains("12 to add · 0 to change"), "{stdout}");
    assert!(stdout.contains("+ a-01  externalId: \"a-01\", name: \"Account 1\", traits.plan: \"PRO\""), "{stdout}");
    assert_eq!(project.ebb(&["plan", "--detailed-exitcode"]).0, 2);

    assert_eq!(project.ebb(&["plan", "accounts", "--out", "saved.plan"]).0, 0);
    assert_eq!(project.ebb(&["plan", "accounts", "--out", "saved.plan"]).0, 2, "a plan is never overwritten");
    let (code, run) = project.json(&["run", "--plan", "saved.plan"]);
    assert_eq!((code, run["runs"][0]["counts"]["accepted"].as_u64()), (0, Some(12)), "{run}");
    assert_eq!(project.ebb(&["run", "--plan", "saved.plan"]).0, 4);
    assert_eq!(project.ebb(&["plan", "--detailed-exitcode"]).0, 0);

    project.sql("update accounts set plan = 'enterprise' where id = 'a-03'");
    let (code, plan) = project.json(&["plan"]);
    let operation = &plan["syncs"][0]["operations"][0];
    assert_eq!((code, operation["kind"].as_str(), operation["key"].as_str()), (0, Some("change"), Some("a-03")));
    assert_eq!(
        operation["changes"],
        serde_json::json!([{ "path": "traits.plan", "before": "PRO", "after": "ENTERPRISE" }])
    );
    assert_eq!(project.ebb(&["plan", "accounts", "--out", "moved.plan"]).0, 0);
    project.sql("update accounts set plan = 'free' where id = 'a-04'");
    let (code, _, stderr) = project.ebb(&["run", "--plan", "moved.plan"]);
    assert_eq!(code, 4);
    assert!(stderr.contains("`a-04`"), "{stderr}");
}

#[test]
fn a_run_tells_the_fate_of_every_row() {
    let project = Project::new("[]");
    project.sql("insert into accounts values (null, 'No key', 'pro', 1), ('a-13', '', 'pro', 1)");
    let (code, run) = project.json(&["run"]);
    let counts = &run["runs"][0]["counts"];
    assert_eq!((code, run["runs"][0]["status"].as_str()), (3, Some("partial")));
    assert!(holds(counts), "{counts}");
    assert_eq!((counts["accepted"].as_u64(), counts["rejected"].as_u64()), (Some(12), Some(2)));

    let (code, stdout, _) = project.ebb(&["run"]);
    assert_eq!(code, 3);
    assert!(stdout.contains("read 14 = 12 unchanged + 0 accepted + 2 rejected + 0 skipped + 0 pending"), "{stdout}");
    assert!(stdout.contains("next: ebb rejected accounts"), "{stdout}");

    let (_, stdout, _) = project.ebb(&["rejected", "accounts", "--output", "json"]);
    let rejected: Value = serde_json::from_str(stdout.lines().next().expect("one")).expect("JSON");
    assert_eq!((rejected["key"].as_str(), rejected["tries"].as_u64()), (Some("a-13"), Some(2)), "{rejected}");
    let (_, stdout, _) = project.ebb(&["logs", "accounts", "--key", "a-13", "--output", "json"]);
    assert_eq!(stdout.lines().count(), 2, "one call a run: {stdout}");
    assert!(stdout.lines().all(|line| line.contains("\"status\":400")), "{stdout}");
    let (_, stdout, _) = project.ebb(&["logs", "accounts", "--status", "2xx", "--limit", "5", "--output", "json"]);
    assert_eq!(stdout.lines().count(), 5, "{stdout}");

    project.sql("update accounts set name = 'Found' where id = 'a-13'");
    let (code, stdout, _) = project.ebb(&["run", "accounts", "--key", "a-13"]);
    assert_eq!(code, 0, "{stdout}");
    assert!(stdout.contains("POST") && stdout.contains("> {\"externalId\":\"a-13\",\"name\":\"Found\""), "{stdout}");

    let (_, stdout, _) = project.ebb(&["runs", "--output", "json"]);
    let runs: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(runs.len(), 3);
    assert!(runs.iter().all(|run| holds(&run["counts"])), "{stdout}");
    let id = runs[0]["run"].as_str().expect("an id");
    let (code, shown) = project.json(&["show", id]);
    assert_eq!((code, &shown), (0, &runs[0]));
}

#[test]
fn what_is_refused_exits_with_four_and_sends_nothing() {
    let project = Project::new("[]");
    project.add_events();
    let (code, run) = project.json(&["run"]);
    assert_eq!((code, run["runs"][1]["status"].as_str()), (4, Some("refused")), "events are not decided: {run}");
    assert_eq!(project.json(&["run", "visits", "--first-run", "adopt"]).0, 0);

    project.sql("delete from accounts where id > 'a-06'");
    let before = project.stand_in.get("/sandbox/counts")["rest"]["requests"].clone();
    let (code, stdout, _) = project.ebb(&["plan", "accounts"]);
    assert_eq!(code, 4);
    assert!(stdout.contains("refused by guard `removed`") && stdout.contains("--override-guard removed"), "{stdout}");
    assert_eq!(project.ebb(&["plan", "accounts", "--detailed-exitcode"]).0, 1);
    let (code, run) = project.json(&["run"]);
    assert_eq!((code, run["runs"][0]["status"].as_str()), (4, Some("refused")));
    assert_eq!(run["runs"][1]["status"], "not_run", "it runs after accounts: {run}");
    let (code, kept) = project.json(&["show", "accounts", "--plan"]);
    assert_eq!((code, kept["syncs"][0]["refusals"][0]["guard"].as_str()), (0, Some("removed")), "{kept}");
    assert_eq!(project.stand_in.get("/sandbox/counts")["rest"]["requests"], before);
    assert_eq!(project.json(&["run", "--override-guard", "removed"]).0, 0);
}

#[test]
fn the_plan_of_a_run_is_shown_afterwards() {
    let project = Project::new("[]");
    let (_, planned) = project.json(&["plan", "accounts"]);
    assert_eq!(project.ebb(&["run", "accounts"]).0, 0);
    let (code, kept) = project.json(&["show", "accounts", "--plan"]);
    assert_eq!(code, 0);
    let operations = |document: &Value| document.pointer("/syncs/0/operations").cloned().expect("operations");
    assert_eq!(operations(&kept), operations(&planned));
    assert_eq!(kept.pointer("/syncs/0/estimated_calls"), None, "it was run");
    let (_, text, _) = project.ebb(&["show", "accounts", "--plan", "--all"]);
    assert!(text.contains("to add") && text.contains("traits.plan"), "{text}");

    let (_, run) = project.json(&["show", "accounts"]);
    let id = run.get("run").and_then(Value::as_str).expect("an id");
    std::fs::remove_file(project.root().join(".ebb/runs").join(id).join("plan")).expect("it is kept there");
    let (code, _, said) = project.ebb(&["show", id, "--plan"]);
    assert!(code == 2 && said.contains("no plan of the run"), "{said}");
}

#[test]
fn every_command_has_a_manual_page() {
    let project = Project::new("[]");
    let (code, document) = project.json(&["man", "pages"]);
    let written = document.get("written").and_then(Value::as_array).expect("a list");
    assert!(code == 0 && written.len() > 20, "{document}");
    let page = std::fs::read_to_string(project.root().join("pages/ebb-run.1")).expect("it was written");
    assert!(page.contains(".TH ebb-run 1") && page.contains("\\fBebb run\\fR"), "{page}");
    assert!(page.contains("override") && page.contains(concat!("ebb ", env!("CARGO_PKG_VERSION"))), "{page}");
}

#[test]
fn what_is_wrong_exits_with_two_and_says_where() {
    let project = Project::new("[]");
    for (arguments, said) in [
        (&["run", "acounts"][..], "there is no sync `acounts`"),
        (&["plan", "--key", "a-01", "--out", "x", "--nope"][..], "--nope"),
        (&["run", "--output", "markdown"][..], "markdown"),
        (&["-C", "models", "plan"][..], "no `ebb.yaml`"),
        (&["show", "0198"][..], "nothing was run yet"),
    ] {
        let (code, _, stderr) = project.ebb(arguments);
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
    let wrong = SYNC.replace("seats: seats", "seats: seets").replace("name: name", "name: nam");
    fs::write(project.root().join("syncs/accounts.yaml"), wrong).expect("written");
    let (code, stdout, _) = project.ebb(&["validate"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("was not checked against the columns"), "{stdout}");
    for command in ["plan", "run", "check"] {
        let (code, _, stderr) = project.ebb(&[command]);
        assert_eq!(code, 2, "{command}: {stderr}");
        assert!(stderr.contains("--> syncs/accounts.yaml:7:9") && stderr.contains("`seets`"), "{command}: {stderr}");
        assert!(stderr.contains("2 faults"), "every fault at once: {stderr}");
    }
    // The columns are known by now, so that no database need be asked.
    let (code, document) = project.json(&["validate"]);
    assert_eq!((code, document["faults"].as_array().map(Vec::len)), (2, Some(2)), "{document}");
    assert_eq!(project.ebb(&["validate", "--online"]).0, 2);
    fs::write(project.root().join("syncs/accounts.yaml"), SYNC).expect("written");
    fs::write(project.root().join("models/accounts.sql"), "/*\nprimary_key: id\n*/\nselect nope from accounts\n")
        .expect("written");
    let (code, _, stderr) = project.ebb(&["plan"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("--> models/accounts.sql:4:8"), "{stderr}");
}

#[test]
fn hostile_cells_are_shown_and_do_nothing() {
    let project = Project::new("[]");
    project.sql("update accounts set name = char(27) || '[31m<b>|`x`|</b>' || char(8238) || '@all' where id = 'a-01'");
    let (_, stdout, _) = project.ebb(&["plan", "--color", "always"]);
    let line = stdout.lines().find(|line| line.contains("a-01")).expect("planned");
    assert!(line.contains("\\u001b[31m") && line.contains("<U+202E>"), "{line}");
    assert!(!line.contains("\u{1b}[31m<b>") && !line.contains('\u{202e}'), "{line}");
    let (_, stdout, _) = project.ebb(&["plan", "--output", "markdown"]);
    assert!(stdout.contains("| add | `a-01` |") && !stdout.contains("31m") && !stdout.contains("Account"), "{stdout}");
    let (_, stdout, _) = project.ebb(&["plan", "--output", "markdown", "--show-values"]);
    assert!(stdout.contains("Account 2") && !stdout.contains("<b>") && !stdout.contains("@all"), "{stdout}");
    let (_, stdout, _) = project.ebb(&["preview", "accounts"]);
    assert!(stdout.contains("Account 2") && !stdout.contains('\u{1b}') && !stdout.contains('\u{202e}'), "{stdout}");
}

#[test]
fn g8_no_token_is_in_any_output_or_file_of_state() {
    let project =
        Project::new(r#"[{ "match": { "nth": 2 }, "do": { "status": 500, "body": "sk_live_canary_7f3a9c" } }]"#);
    project.add_events();
    let mut outputs = Vec::new();
    for arguments in [
        &["validate", "-vvv"][..],
        &["check", "-vvv"],
        &["plan", "-vvv", "--output", "json"],
        &["run", "--first-run", "send", "-vvv"],
        &["logs", "accounts", "--output", "json"],
        &["runs", "--output", "json"],
        &["rejected", "accounts"],
    ] {
        let (_, stdout, stderr) = project.ebb(arguments);
        outputs.push((format!("{arguments:?}"), stdout + &stderr));
    }
    assert!(outputs.iter().any(|(_, text)| text.contains("[secret]")), "the log was read");
    let mut folders = vec![project.root().join(".ebb")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("readable").map(|entry| entry.expect("readable").path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                let text = String::from_utf8_lossy(&fs::read(&entry).expect("readable")).into_owned();
                outputs.push((entry.display().to_string(), text));
            }
        }
    }
    for (place, text) in outputs {
        assert!(!text.contains("canary") && !text.contains("c2tfbGl2ZV9jYW5hcnk"), "{place}");
    }
}

#[test]
fn a_signal_ends_a_run_cleanly() {
    for (signal, expected) in [("INT", 130), ("TERM", 143)] {
        let project = Project::new(r#"[{ "match": { "from": 5 }, "do": "hang" }]"#);
        let mut run = project.command(&["run", "--output", "json"]).stdout(Stdio::piped()).spawn().expect("started");
        while project.stand_in.get("/sandbox/counts")["rest"]["requests"].as_u64() < Some(6) {
            std::thread::yield_now();
        }
        let killed =
            Command::new("kill").args([format!("-{signal}"), run.id().to_string()]).status().expect("kill runs");
        assert!(killed.success());
        let mut stdout = String::new();
        run.stdout.take().expect("piped").read_to_string(&mut stdout).expect("read");
        let status = run.wait().expect("it ends");
        assert_eq!(status.code(), Some(expected), "{stdout}");
        let ended: Value = serde_json::from_str(&stdout).expect("JSON");
        let report = &ended["runs"][0];
        assert_eq!(report["status"], "interrupted", "{report}");
        assert!(holds(&report["counts"]) && report["counts"]["accepted"].as_u64() >= Some(4), "{report}");
        let (_, shown) = project.json(&["show", "accounts"]);
        assert_eq!(shown["status"], "interrupted");
    }
}

#[test]
fn retry_adopt_and_reset_do_what_they_say() {
    let project = Project::new("[]");
    assert_eq!(project.json(&["adopt", "accounts"]).1["runs"][0]["counts"]["adopted"], 12);
    assert_eq!(project.stand_in.get("/sandbox/counts")["rest"]["requests"], 0);
    assert_eq!(project.ebb(&["plan", "--detailed-exitcode"]).0, 0);
    let (code, _, stderr) = project.ebb(&["reset", "accounts"]);
    assert_eq!(code, 2, "nobody is there to be asked: {stderr}");
    let (code, reset) = project.json(&["reset", "accounts", "--yes"]);
    assert_eq!((code, reset["forgotten"].as_u64()), (0, Some(12)));
    project.sql("update accounts set name = '' where id = 'a-01'");
    assert_eq!(project.ebb(&["run"]).0, 3);
    let (code, retried) = project.json(&["retry", "accounts"]);
    assert_eq!((code, retried["runs"][0]["counts"]["rejected"].as_u64()), (3, Some(1)), "{retried}");
    project.sql("update accounts set name = 'A' where id = 'a-01'");
    assert_eq!(project.ebb(&["retry", "accounts", "--key", "a-01"]).0, 0);
    let (code, _, stderr) = project.ebb(&["retry", "accounts"]);
    assert_eq!(code, 0);
    assert!(stderr.contains("no rejected rows"), "{stderr}");
}

#[test]
fn templates_are_rendered_one_by_one_and_in_batches() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("t.liquid"), "{{ row.plan | upcase }}: {{ n }}\n").expect("written");
    fs::write(folder.path().join("vars.json"), r#"{"plan": "pro", "n": 9007199254740993}"#).expect("written");
    let render = ["template", "render", "t.liquid", "--vars", "vars.json"];
    let (code, stdout, _) = finish(command(folder.path(), &render));
    assert_eq!((code, stdout.as_str()), (0, "PRO: 9007199254740993\n"));

    let mut batch = command(folder.path(), &["template", "render", "--batch"]);
    let mut process = batch.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("started");
    let lines =
        "{\"template\":\"{{ a }}\",\"data\":{\"a\":1.50}}\n{\"template\":\"x\\n {{ a | nope }}\",\"data\":{}}\n";
    process.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("written");
    let output = process.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    let answers: Vec<Value> = String::from_utf8(output.stdout)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(answers[0], serde_json::json!({ "ok": true, "text": "1.50" }));
    assert_eq!((&answers[1]["ok"], &answers[1]["line"], &answers[1]["column"]), (&false.into(), &2.into(), &2.into()));
}

#[test]
fn the_demo_shows_everything_and_leaves_a_project() {
    let folder = tempfile::tempdir().expect("a folder");
    // Settings that would lead to a real key are not used.
    let mut demo = command(folder.path(), &["demo"]);
    demo.env("VITALLY_REST_URL", "http://127.0.0.1:1")
        .env("VITALLY_REST_TOKEN", TOKEN)
        .env("WAREHOUSE_URL", "sqlite:x");
    let (code, stdout, stderr) = finish(demo);
    assert_eq!(code, 0, "{stdout}{stderr}");
    for said in [
        "~ a-18  traits.plan: \"PRO\" → \"ENTERPRISE\"",
        "Vitally answered 400: name is required",
        "read 602 = 600 unchanged + 2 accepted + 0 rejected + 0 skipped + 0 pending",
        "Unset WAREHOUSE_URL, VITALLY_REST_TOKEN, VITALLY_REST_URL first",
    ] {
        assert!(stdout.contains(said), "{said}: {stdout}");
    }
    let (code, _, stderr) = finish(command(folder.path(), &["demo"]));
    assert_eq!(code, 2);
    assert!(stderr.contains("--force"), "{stderr}");
    let left = folder.path().join("demo");
    let (code, stdout, _) = finish(command(&left, &["runs", "--output", "json"]));
    assert_eq!((code, stdout.lines().count()), (0, 8));
    let (code, stdout, stderr) = finish(command(&left, &["plan", "organizations", "--detailed-exitcode"]));
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert_eq!(finish(command(folder.path(), &["demo", "--force"])).0, 0);
}
