//! Folders of runs are kept for `logs.keep`, then removed. What the store knows of a run stays.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

/// Removes the folders of runs that began, and were last written to, before `keep` ago. That one cannot be removed is
/// said in the diagnostics and fails nothing.
pub(crate) fn remove_old_logs(state: &Path, keep: Duration, now: DateTime<Utc>) {
    let folder = state.join("runs");
    let Some(before) = TimeDelta::from_std(keep).ok().and_then(|keep| now.checked_sub_signed(keep)) else { return };
    if let Err(error) = remove_before(&folder, before) {
        tracing::warn!(%error, folder = %folder.display(), "old logs of runs could not be removed");
    }
}

fn remove_before(folder: &Path, before: DateTime<Utc>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        // Only what is named as a run's folder is one.
        let Some(began) = name.to_str().and_then(began) else { continue };
        if began < before && entry.file_type()?.is_dir() && last_written(&entry.path())? < before {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Returns when a run began: its id carries the time.
fn began(name: &str) -> Option<DateTime<Utc>> {
    let (seconds, nanoseconds) = Uuid::try_parse(name).ok()?.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
}

fn last_written(folder: &Path) -> io::Result<DateTime<Utc>> {
    let mut last = fs::metadata(folder)?.modified()?;
    for entry in fs::read_dir(folder)? {
        last = last.max(entry?.metadata()?.modified()?);
    }
    Ok(last.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_folders_of_runs_go() {
        let state = tempfile::tempdir().expect("a folder");
        let run = "01a20feb-9695-7589-b09a-80c6a998411f";
        for name in [run, "notes", "01a20feb-9695-4589-b09a-80c6a998411f"] {
            fs::create_dir_all(state.path().join("runs").join(name)).expect("made");
        }
        fs::write(state.path().join("runs").join(run).join("calls.jsonl"), "{}").expect("written");
        let began = began(run).expect("a time");
        let left = || fs::read_dir(state.path().join("runs")).expect("readable").count();
        let written = last_written(&state.path().join("runs").join(run)).expect("readable");
        let later = began.max(written) + TimeDelta::days(30);
        remove_old_logs(state.path(), Duration::from_hours(30 * 24), later);
        assert_eq!(left(), 3, "exactly as old as is kept");
        remove_old_logs(state.path(), Duration::from_hours(30 * 24), later + TimeDelta::seconds(1));
        assert_eq!(left(), 2);
    }
}
