//! Brings the sorted index up to date with the table of entries.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::Connection;
use uuid::Uuid;

use crate::disk::remove_if_there;
use crate::index::{IndexReader, IndexWriter};
use crate::merge::{MergeError, Sorter, merge};
use crate::sqlite::Inner;
use crate::sqlite::entry::{LIVE, hash, unsigned};
use crate::sqlite::sync::{Totals, repair, totals};
use crate::sqlite::writer::Command;
use crate::store::{EntryId, IndexEntry, PriorIndex, StateError, SyncId};

/// The index of a sync as it was brought up to date.
pub(super) struct Folded {
    reader: IndexReader,
    /// What the table must be told, where the two did not agree.
    repair: Option<(Vec<EntryId>, Totals)>,
}

/// Returns the file of a sync's index.
pub(super) fn index_path(directory: &Path, sync: SyncId) -> PathBuf {
    directory.join("index").join(format!("{}.idx", sync.0))
}

/// Removes what folds that did not end have left for more than an hour.
pub(super) fn remove_leftovers(folder: &Path, now: DateTime<Utc>) {
    let Ok(files) = std::fs::read_dir(folder) else { return };
    for path in files.filter_map(|file| file.ok().map(|file| file.path())) {
        let is_temporary = path.extension().is_some_and(|extension| extension == "tmp");
        let modified = path.metadata().and_then(|metadata| metadata.modified()).map(DateTime::<Utc>::from);
        let is_old = modified.is_ok_and(|modified| now.signed_duration_since(modified) > TimeDelta::hours(1));
        if is_temporary && is_old && remove_if_there(&path).is_err() {
            tracing::warn!(path = %path.display(), "a temporary index file could not be removed");
        }
    }
}

/// Uses the file as it is where nothing changed, folds newer entries into it, or makes it anew.
fn fold(connection: &Connection, directory: &Path, sync: SyncId) -> Result<Option<Folded>, StateError> {
    let now = totals(connection, sync)?;
    if now.last.0 == 0 {
        return Ok(None);
    }
    let path = index_path(directory, sync);
    let prior = IndexReader::open(&path)?.filter(|prior| {
        let header = prior.header();
        header.sync == sync && header.generation == now.generation && header.covered <= now.last
    });
    if let Some(prior) = prior {
        if prior.header().covered == now.last && agrees(&prior, &now) {
            return Ok(Some(Folded { reader: prior, repair: None }));
        }
        if prior.header().covered < now.last {
            let (reader, _) = match write(connection, &path, sync, &now, Some(prior)) {
                Ok(written) => written,
                Err(MergeError::Damaged) => (None, Vec::new()),
                Err(MergeError::State(error)) => return Err(error),
            };
            if let Some(reader) = reader.filter(|reader| agrees(reader, &now)) {
                return Ok(Some(Folded { reader, repair: None }));
            }
        }
        tracing::warn!(sync = sync.0, "the sorted index does not agree with the snapshot and is made anew");
    }
    let damaged = || StateError::Storage(format!("{}: the disk does not keep what is written", path.display()));
    match write(connection, &path, sync, &now, None) {
        Ok((Some(reader), void)) => {
            let counted = Totals { entries: reader.header().count, live: reader.header().live, ..now };
            let repair = if agrees(&reader, &now) { None } else { Some((void, counted)) };
            Ok(Some(Folded { reader, repair }))
        }
        Ok((None, _)) | Err(MergeError::Damaged) => Err(damaged()),
        Err(MergeError::State(error)) => Err(error),
    }
}

fn agrees(reader: &IndexReader, totals: &Totals) -> bool {
    reader.header().count == totals.entries && reader.header().live == totals.live
}

/// Writes an index of what is in `prior` and of newer entries.
fn write(
    connection: &Connection,
    path: &Path,
    sync: SyncId,
    now: &Totals,
    prior: Option<IndexReader>,
) -> Result<(Option<IndexReader>, Vec<EntryId>), MergeError> {
    let covered = prior.as_ref().map_or(EntryId(0), |prior| prior.header().covered);
    let name = format!("{}-{}", sync.0, Uuid::new_v4().simple());
    let folder = path.parent().unwrap_or(path);
    let mut sorter = Sorter::new(folder, &name);
    let mut statement = connection
        .prepare_cached(&format!("SELECT id, key_hash, seen, flags FROM entry_{} WHERE id > ?1", sync.0))
        .map_err(StateError::from)?;
    let mut rows = statement.query([covered.0.cast_signed()]).map_err(StateError::from)?;
    while let Some(row) = rows.next().map_err(StateError::from)? {
        let flags: i64 = row.get(3).map_err(StateError::from)?;
        sorter.push(IndexEntry {
            key: hash(row, 1).map_err(StateError::from)?,
            seen: hash(row, 2).map_err(StateError::from)?,
            id: EntryId(unsigned(row, 0).map_err(StateError::from)?),
            live: flags & LIVE != 0,
        })?;
    }
    let temporary = folder.join(format!("{name}.tmp"));
    let mut writer = IndexWriter::create(temporary.clone())?;
    let void = match merge(prior, sorter, &mut writer) {
        Ok(void) => void,
        Err(error) => {
            remove_if_there(&temporary)?;
            return Err(error);
        }
    };
    writer.finish(path, sync, now.generation, now.last)?;
    Ok((IndexReader::open(path)?, void))
}

impl Inner {
    /// Returns the index of a sync, brought up to date; blocks.
    pub(super) fn fold(&self, sync: SyncId) -> Result<Option<IndexReader>, StateError> {
        let folded = self.readers.read(|transaction| fold(transaction, &self.directory, sync))?;
        let Some(Folded { reader, repair: needed }) = folded else { return Ok(None) };
        if let Some((void, counted)) = needed {
            tracing::warn!(sync = sync.0, void = void.len(), "entries of the snapshot are counted anew");
            self.send(Command::Write(Box::new(move |writer| {
                let repaired = writer.transaction(|transaction| repair(transaction, sync, &void, &counted));
                if let Err(error) = repaired {
                    tracing::warn!(%error, "the snapshot could not be counted anew");
                }
            })))?;
        }
        Ok(Some(reader))
    }
}

/// The index as the diff reads it; made anew and taken up where it was left when a block turns out to be damaged.
#[derive(Debug)]
pub(super) struct FoldedIndex {
    inner: Arc<Inner>,
    sync: SyncId,
    reader: Option<IndexReader>,
    last: Option<ebb_row::Hash128>,
}

impl FoldedIndex {
    /// Brings a sync's index up to date; blocks.
    pub(super) fn open(inner: &Arc<Inner>, sync: SyncId) -> Result<Self, StateError> {
        Ok(Self { inner: Arc::clone(inner), sync, reader: inner.fold(sync)?, last: None })
    }

    fn rebuild(&mut self) -> Result<(), StateError> {
        tracing::warn!(sync = self.sync.0, "the sorted index is damaged and is made anew");
        remove_if_there(&index_path(&self.inner.directory, self.sync))?;
        self.reader = self.inner.fold(self.sync)?;
        Ok(())
    }
}

impl PriorIndex for FoldedIndex {
    fn len(&self) -> u64 {
        self.reader.as_ref().map_or(0, |reader| reader.header().count)
    }

    fn next_block(&mut self, out: &mut Vec<IndexEntry>) -> Result<(), StateError> {
        let mut is_rebuilt = false;
        loop {
            out.clear();
            let Some(reader) = &mut self.reader else { return Ok(()) };
            if !reader.next_block(out)? {
                if is_rebuilt {
                    return Err(StateError::Storage("the sorted index cannot be kept on this disk".to_owned()));
                }
                is_rebuilt = true;
                self.rebuild()?;
                continue;
            }
            let is_end = out.is_empty();
            if is_rebuilt {
                // After a rebuild the file is read from its beginning: what was returned before is passed over.
                out.retain(|entry| self.last.is_none_or(|last| entry.key > last));
            }
            if is_end || !out.is_empty() {
                self.last = out.last().map_or(self.last, |entry| Some(entry.key));
                return Ok(());
            }
        }
    }

    fn rewind(&mut self) -> Result<(), StateError> {
        self.last = None;
        self.reader.as_mut().map_or(Ok(()), IndexReader::rewind)
    }
}
