//! Files that mean harm: each is refused with a fault, in little time and memory.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::{environment, faults_of, load, project, write};

fn check(files: &[(&str, &str)], expected: &str) {
    let faults = faults_of(files);
    assert!(faults.contains(expected), "{expected}\nis not in\n{faults}");
}

#[test]
fn yaml_that_grows_or_nests_is_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{below}]").expect("a string");
    }
    check(&[("syncs/accounts.yaml", &bomb)], "holds more than 20000 values");
    check(&[("syncs/accounts.yaml", &"[".repeat(100_000))], "error: this is not valid YAML");
    check(&[("ebb.yaml", &"{a: ".repeat(500))], "ebb.yaml:1:");
    check(&[("ebb.yaml", &"- ".repeat(500))], "ebb.yaml:1:");
    check(&[("ebb.yaml", &format!("a: \"{}\"\n", "x".repeat(1 << 20)))], "longer than 1048576 bytes");
    check(&[("ebb.yaml", &format!("[{}]\n", "1,".repeat(200_000)))], "more than 20000 values");
}

#[test]
fn many_faults_are_told_in_part_and_quickly() {
    let keys = (0..9_000).map(|key| format!("unknown_key_{key}: 1\n")).collect::<Vec<_>>().concat();
    let line = (0..9_000).map(|key| format!("k{key}: 1,")).collect::<Vec<_>>().concat();
    let long = "x".repeat(500_000);
    for (name, text) in [
        ("ebb.yaml", keys.clone()),
        ("syncs/accounts.yaml", keys),
        ("syncs/accounts.yaml", format!("{{{line}}}\n")),
        ("syncs/accounts.yaml", "a: 1\n".repeat(9_000)),
        ("syncs/accounts.yaml", format!("{long}: 1\nmodel: \"{long}\"\n")),
        (
            "syncs/accounts.yaml",
            format!(
                "model: accounts\ndestination: vitally\nobject: account\nmatch: {{externalId: a}}\nfields: {{{line}}}\n"
            ),
        ),
        ("models/accounts.sql", format!("/* {long} */ select 1")),
        ("models/accounts.yaml", format!("primary_key: [{}]\n", "a,".repeat(9_000))),
    ] {
        let faults = faults_of(&[(name, &text)]);
        assert!(faults.len() < 200_000, "{name}: {} bytes of faults", faults.len());
        assert!(faults.starts_with("error: "), "{faults}");
    }
}

#[test]
fn what_is_printed_cannot_drive_a_terminal() {
    let faults = faults_of(&[("syncs/accounts.yaml", "model: \"\\e[31m\\u202e\"\nobject: a\u{202e}b\n")]);
    assert!(
        !faults.contains(['\u{1b}', '\u{202e}']) && faults.contains("unknown model `\u{fffd}[31m\u{fffd}`"),
        "{faults}"
    );
}

#[test]
fn bytes_that_are_no_text_are_refused_and_marks_of_windows_are_not() {
    let folder = project(&[]);
    write(folder.path(), "models/a.sql", b"/* primary_key: id */\nselect '\xff' as id\n");
    write(folder.path(), "models/b.sql", b"/* primary_key: id */\nselect 1 as id\0\n");
    write(folder.path(), "models/c.sql", b"\xef\xbb\xbf/*\r\nprimary_key: id\r\n*/\r\nselect 1 as id\r\n");
    let faults = load(folder.path(), &environment(&[])).expect_err("two faults").to_string();
    assert_eq!(
        faults,
        "error: this file is not UTF-8 from here on\n --> models/a.sql:2:9\n  = hint: save it as UTF-8\n\n\
         error: a control character is not allowed in a project's files\n --> models/b.sql:2:15"
    );
    fs::remove_file(folder.path().join("models/a.sql")).expect("removed");
    fs::remove_file(folder.path().join("models/b.sql")).expect("removed");
    let project = load(folder.path(), &environment(&[])).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(project.model("c").expect("a model").sql(), "select 1 as id");
}

#[cfg(unix)]
#[test]
fn links_do_not_lead_out_of_the_project_or_to_other_kinds() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().expect("a folder");
    write(outside.path(), "secret.sql", b"/* primary_key: id */ select 1 as id, 'canary' as c");
    let folder = project(&[
        (".env", "TOKEN=canary\n"),
        (".ebb/state.sql", "canary"),
        ("models/real.sql", "/* primary_key: id */ select 1 as id"),
    ]);
    let link = |target: &Path, name: &str| symlink(target, folder.path().join(name)).expect("a link");
    link(&outside.path().join("secret.sql"), "models/out.sql");
    link(Path::new("../.env"), "models/dotenv.sql");
    link(Path::new("../.ebb/state.sql"), "models/state.sql");
    link(Path::new("../ebb.yaml"), "models/settings.yaml");
    link(Path::new("real.sql"), "models/alias.sql");
    link(Path::new("loop.sql"), "models/loop.sql");
    link(Path::new("/dev/zero"), "models/device.sql");
    let faults = load(folder.path(), &environment(&[])).expect_err("links").to_string();
    assert!(!faults.contains("canary"), "{faults}");
    for (name, why) in [
        ("out.sql", "leads out of the project"),
        ("dotenv.sql", "leads to a file of another kind"),
        ("state.sql", "leads to a file of another kind"),
        ("settings.yaml", "leads to a file of another kind"),
        ("loop.sql", "cannot be read"),
        ("device.sql", "leads out of the project"),
    ] {
        let place = format!("models/{name}:");
        let fault = faults.split("\n\n").find(|fault| fault.contains(&place)).unwrap_or_default();
        assert!(fault.contains(why), "{name}: {faults}");
    }
    assert!(!faults.contains("alias.sql"), "{faults}");
}

#[test]
fn names_that_are_no_names_are_refused() {
    check(&[("models/a b.sql", "x")], "`a b` is no name for a model");
    check(&[("syncs/--output.yaml", "x")], "`--output` is no name for a sync");
    check(&[("models/staging/a.sql", "x")], "folders inside `models/` are not read");
    check(&[("models/accounts.yaml", "x")], "is there already under the name `accounts`");
    check(&[("ebb.yaml", "")], "this folder has no `ebb.yaml`");
}

#[test]
fn secrets_in_the_files_are_not_shown() {
    let settings = "version: 1\nsources:\n  w: { type: postgres, url: \"postgres://u:canary@h/d\", tpye: x }\n\
                    destinations:\n  vitally: { type: vitally, rest_token: canary, bad: 1 }\n  v2:\n    type: vitally\n\
                    \x20   rest_token: canary canary\n    analytics_token:\n      - canary\n";
    let faults = faults_of(&[("ebb.yaml", settings)]);
    assert!(
        faults.contains("unknown key `bad`") && faults.contains("`analytics_token` must be text, and is a list"),
        "{faults}"
    );
    assert!(!faults.contains("canary"), "{faults}");
    let broken = "version: 1\ndestinations:\n  v:\n    rest_token: canary\n   bad: [\n";
    let faults = faults_of(&[("ebb.yaml", broken)]);
    assert!(!faults.contains("canary"), "{faults}");
}
