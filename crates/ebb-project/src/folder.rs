use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::fault::Fault;
use crate::file::{self, SourceFile};
use crate::keys::is_name;

/// Files in a folder, at most.
const MAX_FILES: usize = 10_000;

/// One file of `models/` or `syncs/`, which may be unreadable.
#[derive(Debug)]
pub(crate) struct Found {
    /// The file's name without its extension.
    pub(crate) name: String,
    pub(crate) extension: String,
    /// `None` where a fault says why.
    pub(crate) file: Option<SourceFile>,
}

/// Reads every file of a folder with one of the extensions, sorted by name. Hidden files and other extensions are left
/// alone; a missing folder is an empty one.
pub(crate) fn read(root: &Path, folder: &str, extensions: &[&str]) -> (Vec<Found>, Vec<Fault>) {
    let mut faults = Vec::new();
    let mut paths: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut found = Vec::new();
    for path in list(root, folder, &mut faults) {
        let extension = path.extension().and_then(|text| text.to_str()).unwrap_or_default().to_owned();
        if !extensions.contains(&extension.as_str()) {
            continue;
        }
        let name = path.file_stem().and_then(|text| text.to_str()).unwrap_or_default().to_owned();
        if !is_name(&name) {
            let fault = Fault::of_file(&path, format!("`{name}` is no name for a {}", singular(folder)));
            faults.push(fault.with_hint("names are letters, digits, `_` and `-`, and the file is named after it"));
            continue;
        }
        if let Some(other) = paths.get(&name) {
            let message = format!("`{}` is there already under the name `{name}`", other.display());
            faults.push(Fault::of_file(&path, message));
            continue;
        }
        paths.insert(name.clone(), path.clone());
        let file = file::read(root, &path, file::MAX_FILE_BYTES).map_err(|fault| faults.push(fault)).ok();
        found.push(Found { name, extension, file });
    }
    (found, faults)
}

fn singular(folder: &str) -> &str {
    folder.strip_suffix('s').unwrap_or(folder)
}

/// Lists a folder's paths relative to the root, sorted.
fn list(root: &Path, folder: &str, faults: &mut Vec<Fault>) -> Vec<PathBuf> {
    let entries = match fs::read_dir(root.join(folder)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            faults.push(Fault::of_file(folder, format!("this folder cannot be read: {}", file::reason(&error))));
            return Vec::new();
        }
    };
    let mut paths = Vec::new();
    for entry in entries {
        let Ok(entry) = entry else { continue };
        let name = entry.file_name();
        let Some(text) = name.to_str() else {
            let message = format!("a file's name in it is not UTF-8: `{}`", name.to_string_lossy());
            faults.push(Fault::of_file(folder, message));
            continue;
        };
        if text.starts_with('.') {
            continue;
        }
        let path = Path::new(folder).join(text);
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let message = format!("folders inside `{folder}/` are not read");
            faults.push(Fault::of_file(&path, message).with_hint(format!("put the files into `{folder}/` itself")));
            continue;
        }
        paths.push(path);
        if paths.len() > MAX_FILES {
            faults.push(Fault::of_file(folder, format!("this folder holds more than {MAX_FILES} files")));
            break;
        }
    }
    paths.sort();
    paths
}
