use std::fs;
use std::path::{Path, PathBuf};

use ebb_row::Hash128;

/// Files of a project that have a fixed place.
const FILES: [&str; 3] = ["ebb.yaml", ".env", "target/manifest.json"];

/// Folders of a project whose files count.
const FOLDERS: [&str; 2] = ["models", "syncs"];

/// Returns a digest of the names, sizes and times of a project's files. One that cannot be looked at counts as missing:
/// loading the project says what is wrong with it.
pub fn digest(root: &Path) -> Hash128 {
    let mut paths: Vec<PathBuf> = FILES.iter().map(|file| root.join(file)).collect();
    for folder in FOLDERS {
        let entries = fs::read_dir(root.join(folder)).into_iter().flatten();
        paths.extend(entries.filter_map(Result::ok).map(|entry| entry.path()));
    }
    paths.sort();
    let mut bytes = Vec::new();
    for path in paths {
        let Ok(found) = fs::metadata(&path) else { continue };
        bytes.extend_from_slice(path.as_os_str().as_encoded_bytes());
        bytes.extend_from_slice(format!("\0{} {:?}\0", found.len(), found.modified().ok()).as_bytes());
    }
    Hash128::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_comes_changes_or_goes_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        fs::create_dir(root.join("syncs")).expect("made");
        let mut seen = vec![digest(root)];
        let mut look = |what: &str| {
            let now = digest(root);
            assert_ne!(seen.last(), Some(&now), "{what}");
            seen.push(now);
        };
        fs::write(root.join("ebb.yaml"), "version: 1").expect("written");
        look("the settings came");
        fs::write(root.join("syncs/accounts.yaml"), "model: accounts").expect("written");
        look("a sync came");
        fs::write(root.join("syncs/accounts.yaml"), "model: account").expect("written");
        look("the sync is shorter");
        fs::rename(root.join("syncs/accounts.yaml"), root.join("syncs/users.yaml")).expect("renamed");
        look("the sync has another name");
        fs::remove_file(root.join("syncs/users.yaml")).expect("removed");
        look("the sync is gone");
        fs::write(root.join("notes.txt"), "nothing of the project's").expect("written");
        assert_eq!(seen.last(), Some(&digest(root)));
    }
}
