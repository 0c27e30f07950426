//! Merges sorted runs of index entries into one index file, in bounded memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};

use ebb_row::Hash128;

use crate::disk::remove_if_there;
use crate::index::{IndexReader, IndexWriter};
use crate::store::{EntryId, IndexEntry, StateError, SyncId};

/// How many entries are sorted in memory at a time: 20 MB.
const CHUNK_ENTRIES: usize = 500_000;

/// Collects entries in any order and holds them sorted: in memory up to a chunk, in files beyond.
#[derive(Debug)]
pub(crate) struct Sorter {
    folder: PathBuf,
    name: String,
    chunk_entries: usize,
    chunk: Vec<IndexEntry>,
    files: Vec<PathBuf>,
}

impl Sorter {
    /// Makes a sorter whose files lie in `folder` under names that begin with `name`.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
            chunk_entries: CHUNK_ENTRIES,
            chunk: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Takes an entry.
    pub(crate) fn push(&mut self, entry: IndexEntry) -> Result<(), StateError> {
        self.chunk.push(entry);
        if self.chunk.len() >= self.chunk_entries { self.spill() } else { Ok(()) }
    }

    fn sort(&mut self) {
        self.chunk.sort_unstable_by_key(|entry| (entry.key, entry.id));
    }

    fn spill(&mut self) -> Result<(), StateError> {
        self.sort();
        let path = self.folder.join(format!("{}-{}.tmp", self.name, self.files.len()));
        let mut writer = IndexWriter::create(path.with_extension("part.tmp"))?;
        for entry in &self.chunk {
            writer.push(entry)?;
        }
        writer.finish(&path, SyncId(0), 0, EntryId(0))?;
        self.files.push(path);
        self.chunk.clear();
        Ok(())
    }
}

impl Drop for Sorter {
    fn drop(&mut self) {
        for path in &self.files {
            if let Err(error) = remove_if_there(path) {
                tracing::warn!(%error, "a temporary index file could not be removed");
            }
        }
    }
}

/// The entries of one sorted run, one after the other.
#[derive(Debug)]
struct Run {
    file: Option<IndexReader>,
    block: Vec<IndexEntry>,
    at: usize,
}

impl Run {
    /// Returns the next entry; `None` at the end, an error where the file is damaged.
    fn next(&mut self) -> Result<Option<IndexEntry>, MergeError> {
        if self.at >= self.block.len()
            && let Some(file) = &mut self.file
        {
            self.block.clear();
            self.at = 0;
            if !file.next_block(&mut self.block)? {
                return Err(MergeError::Damaged);
            }
        }
        let entry = self.block.get(self.at).copied();
        self.at += 1;
        Ok(entry)
    }
}

/// Why a merge did not end.
#[derive(Debug)]
pub(crate) enum MergeError {
    /// A file that was merged is damaged.
    Damaged,
    /// The disk failed.
    State(StateError),
}

impl From<StateError> for MergeError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

/// Merges `prior` and what the sorter took; of entries with one key the highest counts. Returns the others.
pub(crate) fn merge(
    prior: Option<IndexReader>,
    mut sorter: Sorter,
    writer: &mut IndexWriter,
) -> Result<Vec<EntryId>, MergeError> {
    sorter.sort();
    let mut runs = vec![Run { file: None, block: std::mem::take(&mut sorter.chunk), at: 0 }];
    runs.extend(prior.map(|file| Run { file: Some(file), block: Vec::new(), at: 0 }));
    for path in &sorter.files {
        let file = IndexReader::open(path)?.ok_or(MergeError::Damaged)?;
        runs.push(Run { file: Some(file), block: Vec::new(), at: 0 });
    }
    let mut heads: BinaryHeap<Reverse<(Hash128, EntryId, usize)>> = BinaryHeap::with_capacity(runs.len());
    let mut current: Vec<Option<IndexEntry>> = Vec::with_capacity(runs.len());
    for (number, run) in runs.iter_mut().enumerate() {
        let entry = run.next()?;
        current.push(entry);
        heads.extend(entry.map(|entry| Reverse((entry.key, entry.id, number))));
    }
    let mut last: Option<IndexEntry> = None;
    let mut replaced = Vec::new();
    while let Some(mut head) = heads.peek_mut() {
        let Reverse((_, _, number)) = *head;
        let (Some(slot), Some(run)) = (current.get_mut(number), runs.get_mut(number)) else { break };
        let entry = *slot;
        *slot = run.next()?;
        if let Some(next) = *slot {
            *head = Reverse((next.key, next.id, number));
            drop(head);
        } else {
            std::collections::binary_heap::PeekMut::pop(head);
        }
        let Some(entry) = entry else { continue };
        match last.replace(entry) {
            Some(before) if before.key == entry.key => replaced.push(before.id),
            Some(before) => writer.push(&before)?,
            None => {}
        }
    }
    if let Some(entry) = last {
        writer.push(&entry)?;
    }
    Ok(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Merges two sets of entries through files of `chunk_entries`, and reads the result.
    fn merged(folder: &Path, chunk_entries: usize, all: &[IndexEntry]) -> (Vec<IndexEntry>, Vec<EntryId>) {
        let path = folder.join("out.idx");
        let mut prior = None;
        let mut void = Vec::new();
        for part in all.chunks(all.len().div_ceil(2)) {
            let mut sorter = Sorter::new(folder, "part");
            sorter.chunk_entries = chunk_entries;
            for entry in part {
                sorter.push(*entry).unwrap();
            }
            let mut writer = IndexWriter::create(folder.join("out.tmp")).unwrap();
            void.extend(merge(prior.take(), sorter, &mut writer).unwrap());
            writer.finish(&path, SyncId(1), 0, EntryId(9)).unwrap();
            prior = IndexReader::open(&path).unwrap();
        }
        let mut reader = prior.unwrap();
        let mut out = Vec::new();
        let mut before = usize::MAX;
        while out.len() != before {
            before = out.len();
            assert!(reader.next_block(&mut out).unwrap());
        }
        (out, void)
    }

    #[test]
    fn entries_spilled_to_files_merge_as_those_in_memory_do() {
        let folder = tempfile::tempdir().unwrap();
        let all: Vec<IndexEntry> = (1..=9000_u64)
            .map(|id| IndexEntry {
                key: Hash128::of(&(id % 7000).to_be_bytes()),
                seen: Hash128(id.into()),
                id: EntryId(id),
                live: id % 3 != 0,
            })
            .collect();
        let (in_memory, mut void) = merged(folder.path(), 100_000, &all);
        assert_eq!((in_memory.len(), void.len()), (7000, 2000));
        assert!(in_memory.is_sorted_by(|one, two| one.key < two.key));
        assert!(in_memory.iter().all(|entry| entry.id.0 > 2000), "the newest of each key");
        let (spilled, mut spilled_void) = merged(folder.path(), 700, &all);
        void.sort_unstable();
        spilled_void.sort_unstable();
        assert_eq!((spilled, spilled_void), (in_memory, void));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }
}
