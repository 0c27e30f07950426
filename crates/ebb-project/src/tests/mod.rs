mod cases;
mod documents;
mod environment;
mod hostile;
mod valid;

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::{Environment, Faults, Project, load};

/// A project without faults, over which tests lay their own files.
const BASE: [(&str, &str); 3] = [
    (
        "ebb.yaml",
        "version: 1\n\
         sources:\n  warehouse: { type: sqlite, url: \"sqlite:w.db\" }\n\
         destinations:\n  vitally: { type: vitally, subdomain: acme }\n",
    ),
    ("models/accounts.sql", "/*\nprimary_key: account_id\n*/\nselect account_id, name, plan from accounts\n"),
    (
        "syncs/accounts.yaml",
        "model: accounts\ndestination: vitally\nobject: account\nmatch: { externalId: account_id }\n\
         fields:\n  name: name\n  traits: { plan: plan }\n",
    ),
];

/// Writes the base project with `files` over it; a file of empty text is left out.
fn project(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in BASE {
        if !files.iter().any(|(own, _)| *own == path) {
            write(folder.path(), path, text.as_bytes());
        }
    }
    for (path, text) in files.iter().filter(|(_, text)| !text.is_empty()) {
        write(folder.path(), path, text.as_bytes());
    }
    folder
}

fn write(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("inside the root")).expect("a folder");
    fs::write(path, bytes).expect("a file");
}

fn environment(pairs: &[(&str, &str)]) -> Environment {
    Environment { variables: pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect() }
}

fn load_files(files: &[(&str, &str)]) -> Result<Project, Faults> {
    let folder = project(files);
    load(folder.path(), &Environment::default())
}

/// Returns the printed faults.
fn faults_of(files: &[(&str, &str)]) -> String {
    load_files(files).map_or_else(|faults| faults.to_string(), |_| "none".to_owned())
}
