//! Our own lints: what compilers and clippy do not look at. Each test lists every place at fault.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The guarantees of the README that this version gives. Each has a test whose name begins with its number.
const GUARANTEES: &[&str] = &["g1", "g2", "g3", "g4", "g5", "g6", "g7", "g8", "g9", "g10", "g12", "g13"];

/// More than this and a file hides a seam.
const MAX_CODE_LINES: usize = 800;

/// The longest a page may be, in lines.
const PAGES: &[(&str, usize)] = &[("README.md", 149), ("ARCHITECTURE.md", 249), ("CONTRIBUTING.md", 119)];

/// Modules that would hold whatever fits nowhere.
const DRAWERS: &[&str] = &["utils", "util", "common", "types", "helpers", "helper", "misc"];

/// Words that are no part of a name of ours.
const FORBIDDEN_PARTS: &[&str] = &["Manager", "Handler", "Processor", "Helper", "Util", "Utils", "Common", "Misc"];

/// Words that are never a type's or a module's whole name, since ours have better ones.
const FORBIDDEN_NAMES: &[&str] =
    &["Job", "Task", "Pipeline", "Item", "Entity", "Payload", "Event", "Sink", "Connector", "Data", "Info"];

/// One committed (or soon to be) file.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        has_extension(&self.path, "rs")
    }

    /// The lines of tests: all of a test file, or what follows `mod tests {` in another.
    fn test_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_test = self.path.starts_with("tests/")
            || self.path.starts_with("crates/ebb-testkit/")
            || self.path.contains("/tests/")
            || ["/tests.rs", "/cases.rs", "/conformance.rs"].iter().any(|end| self.path.ends_with(end));
        let lines = numbered(&self.text);
        lines.skip_while(move |(_, line)| !is_test && !line.trim_start().starts_with("mod tests {"))
    }
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|one| one == extension)
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every text file that git has or would take.
fn files() -> Vec<File> {
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root())
        .output()
        .expect("git is on the PATH");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let paths: BTreeSet<&str> = list.split('\0').filter(|path| !path.is_empty()).collect();
    // A file that is deleted but not committed yet is listed and cannot be read; one that is no text has no lines.
    let read = |path: &str| std::fs::read_to_string(root().join(path)).ok();
    paths.into_iter().filter_map(|path| read(path).map(|text| File { path: path.to_owned(), text })).collect()
}

fn rust_files() -> Vec<File> {
    files().into_iter().filter(File::is_rust).collect()
}

/// Folders directly in `folder`.
fn folders(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).expect("the folder is there");
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The name that a line declares, if it declares a type or a module.
fn declared(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let mut word = words.next()?;
    if word.starts_with("pub") {
        word = words.next()?;
    }
    if !["struct", "enum", "trait", "type", "mod", "union"].contains(&word) {
        return None;
    }
    words.next().map(|name| name.split(|one: char| !one.is_alphanumeric() && one != '_').next().unwrap_or(name))
}

/// The words of a name, each with a capital first: `SyncJob` and `sync_job` are `Sync`, `Job`.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut starts = true;
    for one in name.chars() {
        if one == '_' {
            starts = true;
        } else if let Some(word) = words.last_mut().filter(|_| !starts && !one.is_uppercase()) {
            word.push(one);
        } else {
            words.push(one.to_uppercase().collect());
            starts = false;
        }
    }
    words
}

/// Where the links of a Markdown page lead, as written, without their fragment.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.map(|target| target.split('#').next().unwrap_or_default()).filter(|target| !target.is_empty()).collect()
}

/// A link of the page at `from`, as a path from the root; nothing for one that leaves the repository.
fn resolve(from: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[test]
fn no_file_is_too_long() {
    let mut faults = Vec::new();
    for file in rust_files() {
        let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        let count = file.text.lines().filter(is_code).count();
        if count > MAX_CODE_LINES {
            faults.push(format!("{}: {count} code lines; {MAX_CODE_LINES} is the most", file.path));
        }
    }
    none(&faults);
}

#[test]
fn the_front_pages_are_short() {
    for (path, most) in PAGES {
        let text = std::fs::read_to_string(root().join(path)).expect("the page is there");
        let count = text.lines().count();
        assert!(count <= *most, "{path}: {count} lines; {most} is the most");
    }
}

#[test]
fn names_hold_no_forbidden_word() {
    let mut faults = Vec::new();
    for file in rust_files() {
        for (number, line) in numbered(&file.text) {
            let Some(name) = declared(line) else { continue };
            let is_drawer = DRAWERS.contains(&name);
            let whole = words(name);
            let has_part = whole.iter().any(|word| FORBIDDEN_PARTS.contains(&word.as_str()));
            let is_name = FORBIDDEN_NAMES.contains(&whole.concat().as_str());
            // An associated type of a trait that is not ours is named there.
            let is_theirs = line.trim_start().starts_with("type ") && line.starts_with(' ');
            if is_drawer || has_part || (is_name && !is_theirs) {
                faults.push(format!("{}:{number}: `{name}` is no name for a thing of ours", file.path));
            }
        }
    }
    none(&faults);
}

#[test]
fn every_crate_says_what_it_does_and_where_to_start() {
    let mut faults = Vec::new();
    for name in folders("crates").into_iter().filter(|name| name != "ebb-bench") {
        let read = |path: &str| std::fs::read_to_string(root().join("crates").join(&name).join("src").join(path));
        let text = read("lib.rs").or_else(|_| read("main.rs")).expect("a crate has a root");
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        if head.len() < 4 || !head.iter().any(|line| line.to_lowercase().contains("start reading")) {
            faults
                .push(format!("crates/{name}: the root says in a few lines what it does, and where to start reading"));
        }
    }
    none(&faults);
}

#[test]
fn every_destination_has_a_page_and_cases() {
    for name in folders("crates/ebb-destination/src") {
        if name == "tests" {
            continue;
        }
        let page = root().join(format!("docs/destinations/{name}.md"));
        assert!(page.is_file(), "docs/destinations/{name}.md is missing");
        let cases = std::fs::read_dir(root().join(format!("crates/ebb-destination/src/{name}/cases")));
        assert!(cases.is_ok_and(|mut files| files.next().is_some()), "destination `{name}` has no cases");
    }
}

#[test]
fn every_source_has_a_page() {
    let text =
        std::fs::read_to_string(root().join("crates/ebb-source/src/config.rs")).expect("sources are listed there");
    let sources: BTreeSet<&str> =
        text.lines().filter_map(|line| line.split("SourceConfig::").nth(1)?.split([' ', '(', '{']).next()).collect();
    assert!(!sources.is_empty(), "no source is listed in config.rs");
    for source in sources {
        let page = format!("docs/sources/{}.md", source.to_lowercase());
        assert!(root().join(&page).is_file(), "{page} is missing");
    }
}

#[test]
fn no_committed_file_names_a_machine() {
    // Put together here, so that this file does not hold them.
    let machine = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("index.cra", "tes.io"),
        concat!("static.cra", "tes.io"),
        concat!("files.python", "hosted.org"),
        concat!("registry.npm", "js.org"),
        concat!("deb.deb", "ian.org"),
    ];
    let mut faults = Vec::new();
    for file in files() {
        for (number, line) in numbered(&file.text) {
            if let Some(found) = machine.iter().find(|word| line.contains(**word)) {
                faults.push(format!("{}:{number}: `{found}`", file.path));
            }
        }
    }
    none(&faults);
}

#[test]
fn nothing_is_left_for_later_without_an_issue() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    let macros = [concat!("to", "do!("), concat!("unimple", "mented!(")];
    let mut faults = Vec::new();
    for file in files() {
        if ["LICENSE", "Cargo.lock", "Cargo.toml"].iter().any(|end| file.path.ends_with(end)) {
            continue;
        }
        for (number, line) in numbered(&file.text) {
            let is_open = marks.iter().any(|mark| line.contains(mark) && !line.contains(&format!("{mark}(#")));
            if is_open || (file.is_rust() && macros.iter().any(|one| line.contains(one))) {
                faults.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    none(&faults);
}

#[test]
fn no_test_is_switched_off_or_sleeps() {
    // Time is virtual there: a sleep moves the clock, and nobody waits.
    let virtual_time = "tests/it/simulation/";
    let ignore = concat!("#[ign", "ore");
    let sleeps = [concat!("::sle", "ep("), concat!("sleep_", "until(")];
    let mut faults = Vec::new();
    for file in rust_files() {
        let off = numbered(&file.text).filter(|(_, line)| line.contains(ignore));
        let is_virtual = file.path.starts_with(virtual_time);
        let sleeping =
            file.test_lines().filter(|(_, line)| !is_virtual && sleeps.iter().any(|sleep| line.contains(sleep)));
        faults.extend(off.chain(sleeping).map(|(number, line)| format!("{}:{number}: {}", file.path, line.trim())));
    }
    none(&faults);
}

#[test]
fn every_guarantee_has_a_test_that_carries_its_number() {
    let mut missing: BTreeSet<&str> = GUARANTEES.iter().copied().collect();
    for file in rust_files() {
        for (_, line) in file.test_lines() {
            let Some((_, name)) = line.split_once("fn ") else { continue };
            // One test may carry several numbers: `g1_g2_...`.
            for word in name.split('_').take_while(|word| GUARANTEES.contains(word)) {
                missing.remove(word);
            }
        }
    }
    assert!(missing.is_empty(), "no test is named by {missing:?}");
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut faults = Vec::new();
    for file in files().iter().filter(|file| has_extension(&file.path, "md")) {
        for target in links(&file.text).into_iter().filter_map(|link| resolve(&file.path, link)) {
            if !root().join(&target).try_exists().is_ok_and(|there| there) {
                faults.push(format!("{}: {target} is not there", file.path));
            }
        }
    }
    none(&faults);
}

#[test]
fn every_page_of_the_docs_is_reached_from_their_index() {
    let files = files();
    let mut reached = BTreeSet::new();
    let mut waiting = vec!["docs/README.md".to_owned()];
    while let Some(path) = waiting.pop() {
        let Some(file) = files.iter().find(|file| file.path == path) else { continue };
        if reached.insert(path) && has_extension(&file.path, "md") {
            waiting.extend(links(&file.text).into_iter().filter_map(|link| resolve(&file.path, link)));
        }
    }
    let pages =
        files.iter().map(|file| &file.path).filter(|path| path.starts_with("docs/") && has_extension(path, "md"));
    let lost: Vec<String> = pages.filter(|path| !reached.contains(*path)).cloned().collect();
    none(&lost);
}
