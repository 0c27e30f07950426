//! The sidecar's records: 16 bytes, the first half of a key's hash and where a line that carries the key begins.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use ebb_row::{Hash128, RowKey};
use serde::Deserialize;

use crate::disk::storage;
use crate::store::StateError;

/// The size of a record.
pub(super) const RECORD_BYTES: usize = 16;

/// Offsets have 48 bits; the other 16 hold a check of the record.
const OFFSET_BITS: u32 = 48;

/// One key of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The first 8 bytes of the key's hash.
    pub(super) hash: u64,
    /// Where its line begins.
    pub(super) offset: u64,
}

/// Returns the part of a key's hash that records hold.
pub(super) fn short_hash(key: Hash128) -> u64 {
    let bytes = key.to_bytes();
    bytes.first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first))
}

impl Record {
    /// Returns the record's bytes.
    pub(super) fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let offset = self.offset | (check(self.hash, self.offset) << OFFSET_BITS);
        ((u128::from(self.hash) << 64) | u128::from(offset)).to_be_bytes()
    }

    /// Reads a record; `None` where its check fails.
    pub(super) fn from_bytes(bytes: [u8; RECORD_BYTES]) -> Option<Self> {
        let (hash, offset) = bytes.split_first_chunk::<8>()?;
        let hash = u64::from_be_bytes(*hash);
        let checked = u64::from_be_bytes(*offset.first_chunk::<8>()?);
        let offset = checked & ((1 << OFFSET_BITS) - 1);
        if check(hash, offset) == checked >> OFFSET_BITS { Some(Self { hash, offset }) } else { None }
    }
}

/// Returns 16 bits that depend on every bit of both numbers; not 0 for a record of zeros.
fn check(hash: u64, offset: u64) -> u64 {
    let mixed = (hash ^ 0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9)
        ^ (offset ^ 0x94D0_49BB_1331_11EB).wrapping_mul(0xD6E8_FEB8_6659_FD93).rotate_left(31);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xA076_1D64_78BD_642F) >> OFFSET_BITS
}

/// The field of a line that the sidecar is made of.
#[derive(Deserialize)]
struct Keys<'a> {
    #[serde(borrow, default)]
    keys: Vec<Cow<'a, str>>,
}

/// Reads the records of the log's lines from `start` on, which is where a line begins. Lines that are none are left
/// out. Returns where the last whole line ends.
pub(super) fn records_from(
    log: &mut File,
    path: &Path,
    start: u64,
    mut take: impl FnMut(Record),
) -> Result<u64, StateError> {
    log.seek(SeekFrom::Start(start)).map_err(|error| storage(path, &error))?;
    let mut reader = BufReader::with_capacity(1 << 18, log);
    let mut line = Vec::new();
    let mut offset = start;
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line).map_err(|error| storage(path, &error))?;
        if length == 0 || !line.ends_with(b"\n") {
            return Ok(offset);
        }
        if let Ok(parsed) = serde_json::from_slice::<Keys<'_>>(&line) {
            for key in parsed.keys {
                take(Record { hash: short_hash(RowKey::new(key).hash()), offset });
            }
        }
        offset = offset.saturating_add(u64::try_from(length).unwrap_or(0));
    }
}

/// The records of a sidecar file, in the order of the log.
#[derive(Debug)]
pub(super) enum Sidecar {
    /// They are whole as far as they go.
    Whole {
        /// Where the last line that has one begins; `None` where there are none.
        last: Option<u64>,
        /// How many records there are of earlier lines.
        before_last: u64,
    },
    /// The file is missing or damaged.
    Unusable,
}

/// Reads a sidecar from its beginning and hands each record to `take`.
pub(super) fn read_sidecar(path: &Path, log_bytes: u64, mut take: impl FnMut(Record)) -> Result<Sidecar, StateError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Sidecar::Unusable),
        Err(error) => return Err(storage(path, &error)),
    };
    let mut buffer = vec![0; RECORD_BYTES << 12];
    let mut last: Option<u64> = None;
    let mut count: u64 = 0;
    let mut before_last = 0;
    loop {
        let filled = fill(&mut file, &mut buffer).map_err(|error| storage(path, &error))?;
        let (records, rest) = buffer.get(..filled).unwrap_or_default().as_chunks::<RECORD_BYTES>();
        for bytes in records {
            match Record::from_bytes(*bytes) {
                Some(record) if record.offset < log_bytes && last.is_none_or(|before| before <= record.offset) => {
                    if last != Some(record.offset) {
                        before_last = count;
                    }
                    last = Some(record.offset);
                    count += 1;
                    take(record);
                }
                Some(_) | None => return Ok(Sidecar::Unusable),
            }
        }
        if filled < buffer.len() {
            // A record cut short was being appended: the log from its line on is read instead.
            tracing::trace!(bytes = rest.len(), "end of the sidecar");
            return Ok(Sidecar::Whole { last, before_last });
        }
    }
}

fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..)
        && !rest.is_empty()
    {
        match file.read(rest)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}
