//! Finds calls in the log of a run.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ebb_row::RowKey;
use serde::Deserialize;

use crate::calls::sidecar::{Record, Sidecar, read_sidecar, records_from, short_hash};
use crate::calls::{KEYS_FILE, LOG_FILE};
use crate::disk::{private, publish, run_folder, storage};
use crate::store::{RunId, StateError};

/// How much is read at a time from the end of a log.
const BACKWARD_BYTES: u64 = 1 << 18;

/// A status to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStatus {
    /// Exactly this one.
    Exactly(u16),
    /// All of a hundred: 4 is 400 to 499.
    Class(u16),
    /// Calls without an answer.
    NoAnswer,
}

impl CallStatus {
    fn takes(self, status: Option<u16>) -> bool {
        match self {
            Self::Exactly(wanted) => status == Some(wanted),
            Self::Class(class) => status.is_some_and(|status| status / 100 == class),
            Self::NoAnswer => status.is_none(),
        }
    }
}

/// Which calls to show; a field that is not set takes every call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// Calls that carried this row.
    pub key: Option<RowKey>,
    /// Calls that were answered so.
    pub status: Option<CallStatus>,
    /// Calls with this outcome (`accepted`, `retry`).
    pub outcome: Option<String>,
    /// Calls whose line has this text in it.
    pub contains: Option<String>,
    /// At most this many; 0 is all.
    pub limit: u64,
    /// Newest first.
    pub newest: bool,
}

/// The fields of a line that a filter looks at.
#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(borrow, default)]
    keys: Vec<Cow<'a, str>>,
    status: Option<u16>,
    #[serde(borrow)]
    outcome: Option<Cow<'a, str>>,
}

impl CallFilter {
    /// Returns whether a line is a whole JSON object that the filter takes.
    fn takes(&self, line: &str) -> bool {
        let Ok(probe) = serde_json::from_str::<Probe<'_>>(line) else { return false };
        self.key.as_ref().is_none_or(|key| probe.keys.iter().any(|candidate| candidate == key.text()))
            && self.status.is_none_or(|status| status.takes(probe.status))
            && self.outcome.as_ref().is_none_or(|outcome| probe.outcome.as_ref().is_some_and(|found| found == outcome))
            && self.contains.as_ref().is_none_or(|text| line.contains(text.as_str()))
    }
}

/// The log of calls of one run.
#[derive(Clone, Debug)]
pub struct CallLog {
    log: PathBuf,
    keys: PathBuf,
}

impl CallLog {
    /// Finds the log of a run below a state folder (`.ebb`); a run without calls has an empty one.
    ///
    /// # Errors
    /// [`StateError::Unusable`] where `run` is no id of a run.
    pub fn open(directory: &Path, run: &RunId) -> Result<Self, StateError> {
        let folder = directory.join("runs").join(run_folder(run)?);
        Ok(Self { log: folder.join(LOG_FILE), keys: folder.join(KEYS_FILE) })
    }

    /// Returns the lines that a filter takes, without their line feeds; a line that a crash cut short is left out.
    ///
    /// With a key, the sidecar index finds the lines; one that is missing or damaged is made again first.
    ///
    /// # Errors
    /// [`StateError::Storage`].
    pub fn lines(&self, filter: &CallFilter) -> Result<CallLines, StateError> {
        let way = match self.open_log()? {
            None => Way::At { file: None, offsets: VecDeque::new() },
            Some(mut file) => match &filter.key {
                Some(key) => {
                    let mut offsets = self.offsets(&mut file, key)?;
                    if filter.newest {
                        offsets.make_contiguous().reverse();
                    }
                    Way::At { file: Some(BufReader::new(file)), offsets }
                }
                None if filter.newest => {
                    let end = file.metadata().map_err(|error| storage(&self.log, &error))?.len();
                    Way::Backward(Backward { file, start: end, part: Vec::new(), lines: Vec::new() })
                }
                None => Way::Forward(BufReader::with_capacity(1 << 18, file)),
            },
        };
        let left = if filter.limit == 0 { u64::MAX } else { filter.limit };
        Ok(CallLines { path: self.log.clone(), way, filter: filter.clone(), left })
    }

    fn open_log(&self) -> Result<Option<File>, StateError> {
        match File::open(&self.log) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(storage(&self.log, &error)),
        }
    }

    /// Returns where the lines of a key begin, in the order of the log.
    fn offsets(&self, log: &mut File, key: &RowKey) -> Result<VecDeque<u64>, StateError> {
        let wanted = short_hash(key.hash());
        let mut found = VecDeque::new();
        let length = log.metadata().map_err(|error| storage(&self.log, &error))?.len();
        let mut take = |record: Record| {
            if record.hash == wanted && found.back() != Some(&record.offset) {
                found.push_back(record.offset);
            }
        };
        match read_sidecar(&self.keys, length, &mut take)? {
            Sidecar::Whole { last, .. } => {
                // Lines that the sidecar does not have yet.
                records_from(log, &self.log, last.unwrap_or(0), &mut take)?;
            }
            Sidecar::Unusable => {
                found.clear();
                let mut bytes = Vec::new();
                records_from(log, &self.log, 0, |record| {
                    bytes.extend(record.to_bytes());
                    if record.hash == wanted && found.back() != Some(&record.offset) {
                        found.push_back(record.offset);
                    }
                })?;
                self.rebuild(&bytes);
            }
        }
        Ok(found)
    }

    /// Keeps the rebuilt sidecar; that it cannot be kept (a folder one may only read) costs time, not an answer.
    fn rebuild(&self, bytes: &[u8]) {
        let temporary = self.keys.with_extension("keys.tmp");
        let kept = private()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&temporary)
            .and_then(|mut file| file.write_all(bytes).map(|()| file))
            .map_err(|error| storage(&temporary, &error))
            .and_then(|file| publish(&file, &temporary, &self.keys));
        if let Err(error) = kept {
            tracing::warn!(%error, "the sidecar of the log of calls could not be kept");
        }
    }
}

/// Lines of a log of calls, as JSON text.
#[derive(Debug)]
pub struct CallLines {
    path: PathBuf,
    way: Way,
    filter: CallFilter,
    left: u64,
}

#[derive(Debug)]
enum Way {
    Forward(BufReader<File>),
    Backward(Backward),
    At { file: Option<BufReader<File>>, offsets: VecDeque<u64> },
}

impl Iterator for CallLines {
    type Item = Result<String, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.left > 0 {
            let line = match self.way.next_line() {
                Ok(line) => line?,
                Err(error) => {
                    self.left = 0;
                    return Some(Err(storage(&self.path, &error)));
                }
            };
            let Ok(line) = String::from_utf8(line) else { continue };
            if self.filter.takes(&line) {
                self.left -= 1;
                return Some(Ok(line));
            }
        }
        None
    }
}

impl Way {
    fn next_line(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        match self {
            Self::Forward(reader) => read_line(reader),
            Self::Backward(backward) => backward.next_line(),
            Self::At { file, offsets } => {
                let (Some(reader), Some(offset)) = (file, offsets.pop_front()) else { return Ok(None) };
                reader.seek(SeekFrom::Start(offset))?;
                read_line(reader)
            }
        }
    }
}

fn read_line(reader: &mut BufReader<File>) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(Some(line))
}

/// Reads lines from the end of a file to its beginning.
#[derive(Debug)]
struct Backward {
    file: File,
    /// Where what was read begins.
    start: u64,
    /// The end of a line whose beginning was not read yet.
    part: Vec<u8>,
    /// Whole lines, oldest first.
    lines: Vec<Vec<u8>>,
}

impl Backward {
    fn next_line(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(line) = self.lines.pop() {
                return Ok(Some(line));
            }
            if self.start == 0 {
                return Ok(if self.part.is_empty() { None } else { Some(std::mem::take(&mut self.part)) });
            }
            let length = self.start.min(BACKWARD_BYTES);
            self.start -= length;
            self.file.seek(SeekFrom::Start(self.start))?;
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            self.file.read_exact(&mut bytes)?;
            bytes.append(&mut self.part);
            let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
            self.part = lines.next().unwrap_or_default();
            self.lines.extend(lines.filter(|line| !line.is_empty()));
        }
    }
}
