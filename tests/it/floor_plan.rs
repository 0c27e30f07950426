//! The arrows between our crates, compared with what cargo says. A new arrow edits this table and the picture in
//! ARCHITECTURE.md, and says why.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

/// Normal dependencies of each crate on our others. What is not listed is forbidden.
const ARROWS: &[(&str, &[&str])] = &[
    ("ebb-row", &[]),
    // It knows the vendors' APIs and nothing of ours.
    ("ebb-sandbox", &[]),
    ("ebb-source", &["ebb-row"]),
    ("ebb-plan", &["ebb-row"]),
    ("ebb-schedule", &["ebb-row"]),
    ("ebb-template", &["ebb-row"]),
    ("ebb-destination", &["ebb-row"]),
    ("ebb-state", &["ebb-row"]),
    ("ebb-mapping", &["ebb-row", "ebb-template"]),
    // The config types of the stages; ebb-template only to know the languages that a template may be written in.
    (
        "ebb-project",
        &["ebb-row", "ebb-source", "ebb-plan", "ebb-schedule", "ebb-template", "ebb-mapping", "ebb-destination"],
    ),
    (
        "ebb-engine",
        &["ebb-row", "ebb-source", "ebb-plan", "ebb-template", "ebb-mapping", "ebb-destination", "ebb-state"],
    ),
    // It judges what is due, and runs it with the engine, from projects that it loads again as their files change.
    ("ebb-daemon", &["ebb-row", "ebb-schedule", "ebb-state", "ebb-project", "ebb-engine"]),
    // The binary hands the engine everything it touches, so it opens sources, destinations and the store itself; it
    // renders templates from files, and runs the sandbox.
    (
        "ebb",
        &[
            "ebb-row",
            "ebb-source",
            "ebb-plan",
            "ebb-schedule",
            "ebb-template",
            "ebb-mapping",
            "ebb-destination",
            "ebb-state",
            "ebb-project",
            "ebb-engine",
            "ebb-daemon",
            "ebb-sandbox",
        ],
    ),
    ("ebb-testkit", &["ebb-row", "ebb-destination"]),
];

/// Crates that are no part of the product, and may use all of it.
const ABOVE_THE_PRODUCT: &[&str] = &["ebb-tests", "ebb-bench"];

/// Crates whose tests may use `ebb-testkit`, beside those above the product.
const TESTKIT_USERS: &[&str] = &["ebb-engine", "ebb-daemon", "ebb"];

/// No I/O, no async, no clock, no environment, no randomness.
const PURE: &[&str] = &["ebb-row", "ebb-plan", "ebb-schedule", "ebb-template", "ebb-mapping"];

/// What may not be below a pure crate, however far.
const IMPURE: &[&str] = &["tokio", "reqwest", "hyper", "axum", "sqlx", "sqlx-core", "rusqlite", "tempfile", "rand"];

/// The one crate that may make HTTP calls, beside tests and benches.
const HTTP_CLIENTS: &[&str] = &["ebb-engine"];

fn metadata(with_graph: bool) -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
    if with_graph {
        // One platform, so that nothing is needed but what the build has fetched.
        command.other_options(["--offline", "--locked", "--filter-platform", host().as_str()].map(String::from));
    } else {
        command.no_deps();
    }
    command.exec().expect("cargo metadata answers in this workspace")
}

fn host() -> String {
    let output = std::process::Command::new("rustc").arg("-vV").output().expect("rustc is on the PATH");
    let text = String::from_utf8(output.stdout).expect("rustc prints UTF-8");
    text.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc -vV names the host").to_owned()
}

fn ours(metadata: &Metadata) -> BTreeMap<&str, &Package> {
    metadata.workspace_packages().into_iter().map(|package| (package.name.as_str(), package)).collect()
}

fn dependencies(package: &Package, kind: DependencyKind) -> impl Iterator<Item = &str> {
    package.dependencies.iter().filter(move |one| one.kind == kind).map(|one| one.name.as_str())
}

#[test]
fn crates_depend_only_along_the_arrows_of_the_floor_plan() {
    let metadata = metadata(false);
    let crates = ours(&metadata);
    let table: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut faults = Vec::new();
    for (&name, package) in &crates {
        if ABOVE_THE_PRODUCT.contains(&name) {
            continue;
        }
        let Some(allowed) = table.get(name) else {
            faults.push(format!("`{name}` is not in the floor plan"));
            continue;
        };
        for used in dependencies(package, DependencyKind::Normal).filter(|used| crates.contains_key(used)) {
            if !allowed.contains(&used) {
                faults.push(format!("`{name}` may not depend on `{used}`"));
            }
        }
        for used in dependencies(package, DependencyKind::Development).filter(|used| crates.contains_key(used)) {
            let is_testkit = used == "ebb-testkit" && TESTKIT_USERS.contains(&name);
            if used != name && !is_testkit && !allowed.contains(&used) {
                faults.push(format!("the tests of `{name}` may not depend on `{used}`"));
            }
        }
    }
    faults.extend(table.keys().filter(|name| !crates.contains_key(*name)).map(|name| format!("no crate `{name}`")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_crate_stands_below_those_that_use_it_in_the_table() {
    let mut above = BTreeSet::new();
    for (name, allowed) in ARROWS {
        for used in *allowed {
            assert!(above.contains(used), "`{name}` comes before `{used}`, which it uses");
        }
        assert!(above.insert(name), "`{name}` is there twice");
    }
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace_and_sits_in_a_folder_of_its_name() {
    let metadata = metadata(false);
    for (name, package) in ours(&metadata) {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("a manifest is text");
        assert!(manifest.contains("[lints]\nworkspace = true\n"), "`{name}` has lints of its own");
        let folder = package.manifest_path.parent().and_then(|folder| folder.file_name());
        assert!(folder == Some(name) || name == "ebb-tests", "`{name}` sits in {folder:?}");
    }
}

#[test]
fn pure_crates_have_no_io_async_or_randomness_below_them() {
    let metadata = metadata(true);
    let graph = metadata.resolve.as_ref().expect("the graph was asked for");
    let uses: BTreeMap<&PackageId, Vec<&PackageId>> = graph
        .nodes
        .iter()
        .map(|node| {
            let normal =
                node.deps.iter().filter(|one| one.dep_kinds.iter().any(|how| how.kind == DependencyKind::Normal));
            (&node.id, normal.map(|one| &one.pkg).collect())
        })
        .collect();
    let names: BTreeMap<&PackageId, &str> =
        metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    for (name, package) in ours(&metadata).into_iter().filter(|(name, _)| PURE.contains(name)) {
        let mut below = BTreeSet::new();
        let mut waiting = vec![&package.id];
        while let Some(id) = waiting.pop() {
            if below.insert(id) {
                waiting.extend(uses.get(id).into_iter().flatten());
            }
        }
        let found: Vec<_> = below.iter().filter_map(|id| names.get(id)).filter(|one| IMPURE.contains(*one)).collect();
        assert!(found.is_empty(), "`{name}` is pure, and has {found:?} below it");
    }
}

#[test]
fn only_the_engine_makes_http_calls() {
    let metadata = metadata(false);
    for (name, package) in ours(&metadata) {
        let has_client = dependencies(package, DependencyKind::Normal).any(|used| used == "reqwest");
        assert!(
            !has_client || HTTP_CLIENTS.contains(&name) || ABOVE_THE_PRODUCT.contains(&name),
            "`{name}` has reqwest"
        );
    }
}
