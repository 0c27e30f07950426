//! Files and folders that are private to the user.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::store::{RunId, StateError};

/// Returns the error of a failed file operation; names the path, never what is in the file.
pub(crate) fn storage(path: &Path, error: &io::Error) -> StateError {
    StateError::Storage(format!("{}: {error}", path.display()))
}

/// Makes a folder that only the user may enter; one that exists must not be writable by others.
pub(crate) fn make_private_directory(path: &Path) -> Result<(), StateError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| storage(path, &error))?;
    refuse_writable_by_others(path)
}

/// Returns options that make a file which only the user may read and write.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Refuses a file or folder that the group or the world may write: someone else could have changed what is in it.
pub(crate) fn refuse_writable_by_others(path: &Path) -> Result<(), StateError> {
    let mode = fs::metadata(path).map_err(|error| storage(path, &error))?.mode();
    if mode & 0o022 == 0 {
        return Ok(());
    }
    Err(StateError::Unusable(format!(
        "{} can be written by others (mode {:o}); state must be private, so run `chmod go-w {}`",
        path.display(),
        mode & 0o777,
        path.display()
    )))
}

/// Refuses a folder on a network filesystem, where locks and the write-ahead log cannot be relied on.
pub(crate) fn refuse_network_filesystem(path: &Path) -> Result<(), StateError> {
    match network_filesystem(path).map_err(|error| storage(path, &error))? {
        None => Ok(()),
        Some(kind) => Err(StateError::Unusable(format!(
            "{} is on a network filesystem ({kind}), where locks cannot be relied on; keep state on a local disk, or in \
             Postgres",
            path.display()
        ))),
    }
}

#[cfg(target_os = "linux")]
fn network_filesystem(path: &Path) -> io::Result<Option<&'static str>> {
    let found = rustix::fs::statfs(path)?;
    // The numbers of linux/magic.h. They are 32 bits wide; the field is wider or signed on some machines.
    let magic = u64::try_from(i128::from(found.f_type) & 0xFFFF_FFFF).unwrap_or(0);
    Ok(match magic {
        0x6969 => Some("NFS"),
        0x517B => Some("SMB"),
        0xFE53_4D42 => Some("SMB2"),
        0xFF53_4D42 => Some("CIFS"),
        0x5346_414F => Some("AFS"),
        0x564C => Some("NCP"),
        0x00C3_6400 => Some("Ceph"),
        _ => None,
    })
}

#[cfg(not(target_os = "linux"))]
fn network_filesystem(_path: &Path) -> io::Result<Option<&'static str>> {
    Ok(None)
}

/// Makes a written file durable under its final name.
pub(crate) fn publish(file: &File, from: &Path, to: &Path) -> Result<(), StateError> {
    file.sync_all().map_err(|error| storage(from, &error))?;
    fs::rename(from, to).map_err(|error| storage(to, &error))?;
    let Some(folder) = to.parent() else { return Ok(()) };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| storage(folder, &error))
}

/// Removes a file; one that is not there is no error.
pub(crate) fn remove_if_there(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(storage(path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Returns a run's id as the name of its folder; refuses one that could name another place.
pub(crate) fn run_folder(run: &RunId) -> Result<&str, StateError> {
    let is_plain = !run.0.is_empty() && run.0.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_plain { Ok(&run.0) } else { Err(StateError::Unusable(format!("`{run}` is not the id of a run"))) }
}
