//! The sorted index as a file: a header, then entries of 40 bytes in ascending order of key, in blocks that each end
//! with their checksum. Derived and rebuildable; damage is found, never believed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ebb_row::Hash128;

use crate::disk::{private, publish, storage};
use crate::store::{EntryId, IndexEntry, StateError, SyncId};

const MAGIC: [u8; 8] = *b"ebbindex";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 52;
const ENTRY_BYTES: usize = 40;
const BLOCK_ENTRIES: usize = 4096;
const CHECKSUM_BYTES: usize = 4;
const LIVE: u64 = 1 << 63;

/// What an index file covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexHeader {
    /// Whose entries.
    pub(crate) sync: SyncId,
    /// The sync's generation.
    pub(crate) generation: u32,
    /// The highest entry of the table that is in it.
    pub(crate) covered: EntryId,
    /// How many entries.
    pub(crate) count: u64,
    /// How many of them are live.
    pub(crate) live: u64,
}

impl IndexHeader {
    fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend(MAGIC);
        out.extend(VERSION.to_be_bytes());
        out.extend(self.generation.to_be_bytes());
        out.extend(self.sync.0.to_be_bytes());
        out.extend(self.covered.0.to_be_bytes());
        out.extend(self.count.to_be_bytes());
        out.extend(self.live.to_be_bytes());
        out.extend(crc32fast::hash(&out).to_be_bytes());
        out
    }

    fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let (body, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
        if crc32fast::hash(body) != u32::from_be_bytes(*checksum) {
            return None;
        }
        let (magic, rest) = body.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        let (generation, rest) = rest.split_first_chunk::<4>()?;
        let (sync, rest) = rest.split_first_chunk::<8>()?;
        let (covered, rest) = rest.split_first_chunk::<8>()?;
        let (count, rest) = rest.split_first_chunk::<8>()?;
        let live = rest.first_chunk::<8>()?;
        if *magic != MAGIC || u32::from_be_bytes(*version) != VERSION {
            return None;
        }
        Some(Self {
            sync: SyncId(i64::from_be_bytes(*sync)),
            generation: u32::from_be_bytes(*generation),
            covered: EntryId(u64::from_be_bytes(*covered)),
            count: u64::from_be_bytes(*count),
            live: u64::from_be_bytes(*live),
        })
    }
}

/// Returns the size of a file with so many entries.
fn file_bytes(count: u64) -> u64 {
    let bytes = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
    let blocks = count.div_ceil(bytes(BLOCK_ENTRIES));
    bytes(HEADER_BYTES)
        .saturating_add(count.saturating_mul(bytes(ENTRY_BYTES)))
        .saturating_add(blocks.saturating_mul(bytes(CHECKSUM_BYTES)))
}

/// Writes an index; the file appears under its name when it is whole.
#[derive(Debug)]
pub(crate) struct IndexWriter {
    file: File,
    temporary: PathBuf,
    block: Vec<u8>,
    count: u64,
    live: u64,
}

impl IndexWriter {
    /// Begins a file of this temporary name.
    pub(crate) fn create(temporary: PathBuf) -> Result<Self, StateError> {
        let file = private()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&temporary)
            .and_then(|mut file| file.write_all(&[0; HEADER_BYTES]).map(|()| file))
            .map_err(|error| storage(&temporary, &error))?;
        let block = Vec::with_capacity(BLOCK_ENTRIES * ENTRY_BYTES + CHECKSUM_BYTES);
        Ok(Self { file, temporary, block, count: 0, live: 0 })
    }

    /// Appends an entry, whose key must be higher than the last one's.
    pub(crate) fn push(&mut self, entry: &IndexEntry) -> Result<(), StateError> {
        self.block.extend(entry.key.to_bytes());
        self.block.extend(entry.seen.to_bytes());
        self.block.extend((entry.id.0 | if entry.live { LIVE } else { 0 }).to_be_bytes());
        self.count += 1;
        self.live += u64::from(entry.live);
        if self.block.len() == BLOCK_ENTRIES * ENTRY_BYTES { self.write_block() } else { Ok(()) }
    }

    fn write_block(&mut self) -> Result<(), StateError> {
        if self.block.is_empty() {
            return Ok(());
        }
        let checksum = crc32fast::hash(&self.block);
        self.block.extend(checksum.to_be_bytes());
        self.file.write_all(&self.block).map_err(|error| storage(&self.temporary, &error))?;
        self.block.clear();
        Ok(())
    }

    /// Completes the file and gives it its name. Returns its header.
    pub(crate) fn finish(
        mut self,
        path: &Path,
        sync: SyncId,
        generation: u32,
        covered: EntryId,
    ) -> Result<IndexHeader, StateError> {
        self.write_block()?;
        let header = IndexHeader { sync, generation, covered, count: self.count, live: self.live };
        self.file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(&header.to_bytes()))
            .map_err(|error| storage(&self.temporary, &error))?;
        publish(&self.file, &self.temporary, path)?;
        Ok(header)
    }
}

/// Reads an index block by block.
#[derive(Debug)]
pub(crate) struct IndexReader {
    file: File,
    path: PathBuf,
    header: IndexHeader,
    left: u64,
    block: Vec<u8>,
}

impl IndexReader {
    /// Opens a file; `None` where it is missing, of another version, or of another size than its header says.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, StateError> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(storage(path, &error)),
        };
        let mut bytes = [0; HEADER_BYTES];
        if file.read_exact(&mut bytes).is_err() {
            return Ok(None);
        }
        let Some(header) = IndexHeader::from_bytes(&bytes) else { return Ok(None) };
        let length = file.metadata().map_err(|error| storage(path, &error))?.len();
        if length != file_bytes(header.count) {
            return Ok(None);
        }
        Ok(Some(Self { file, path: path.to_owned(), header, left: header.count, block: Vec::new() }))
    }

    /// Returns what the file covers.
    pub(crate) fn header(&self) -> &IndexHeader {
        &self.header
    }

    /// Appends the next block to `out`; nothing at the end. `false` where the block is damaged.
    pub(crate) fn next_block(&mut self, out: &mut Vec<IndexEntry>) -> Result<bool, StateError> {
        let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(BLOCK_ENTRIES);
        if count == 0 {
            return Ok(true);
        }
        self.block.resize(count * ENTRY_BYTES + CHECKSUM_BYTES, 0);
        match self.file.read_exact(&mut self.block) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(storage(&self.path, &error)),
        }
        let Some((body, checksum)) = self.block.split_last_chunk::<CHECKSUM_BYTES>() else { return Ok(false) };
        if crc32fast::hash(body) != u32::from_be_bytes(*checksum) {
            return Ok(false);
        }
        let (entries, _) = body.as_chunks::<ENTRY_BYTES>();
        out.extend(entries.iter().filter_map(entry));
        self.left -= u64::try_from(count).unwrap_or(self.left);
        Ok(true)
    }

    /// Starts over.
    pub(crate) fn rewind(&mut self) -> Result<(), StateError> {
        let start = u64::try_from(HEADER_BYTES).unwrap_or(0);
        self.file.seek(SeekFrom::Start(start)).map_err(|error| storage(&self.path, &error))?;
        self.left = self.header.count;
        Ok(())
    }
}

fn entry(bytes: &[u8; ENTRY_BYTES]) -> Option<IndexEntry> {
    let (key, rest) = bytes.split_first_chunk::<16>()?;
    let (seen, rest) = rest.split_first_chunk::<16>()?;
    let id = u64::from_be_bytes(*rest.first_chunk::<8>()?);
    Some(IndexEntry {
        key: Hash128::from_bytes(*key),
        seen: Hash128::from_bytes(*seen),
        id: EntryId(id & !LIVE),
        live: id & LIVE != 0,
    })
}
