//! Appends calls to the logs of runs.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::calls::sidecar::{RECORD_BYTES, Record, Sidecar, read_sidecar, records_from, short_hash};
use crate::calls::{KEYS_FILE, LOG_FILE};
use crate::disk::{make_private_directory, private, run_folder, storage};
use crate::journal::is_torn;
use crate::store::{CallEntry, RunId, StateError};

/// How many logs are held open; beyond, they are opened again when needed.
const OPEN_LOGS: usize = 32;

/// The logs that a store appends to.
#[derive(Debug)]
pub(crate) struct CallWriters {
    runs: PathBuf,
    open: HashMap<RunId, CallWriter>,
}

#[derive(Debug)]
struct CallWriter {
    log: File,
    keys: File,
    length: u64,
    lines: Vec<u8>,
    records: Vec<u8>,
}

impl CallWriters {
    /// Appends to the logs below `runs`, which exists.
    pub(crate) fn new(runs: PathBuf) -> Self {
        Self { runs, open: HashMap::new() }
    }

    /// Appends calls: the lines of each log with one write, then the records of its sidecar.
    pub(crate) fn append<'a>(&mut self, calls: impl Iterator<Item = &'a CallEntry>) -> Result<(), StateError> {
        let mut touched: Vec<RunId> = Vec::new();
        let result = self.stage(calls, &mut touched).and_then(|()| self.flush(&touched));
        if result.is_err() {
            // What was written is unknown; opening the logs again mends their ends.
            for run in &touched {
                self.open.remove(run);
            }
        }
        result
    }

    fn stage<'a>(
        &mut self,
        calls: impl Iterator<Item = &'a CallEntry>,
        touched: &mut Vec<RunId>,
    ) -> Result<(), StateError> {
        for call in calls {
            if !touched.contains(&call.run) {
                touched.push(call.run.clone());
            }
            if !self.open.contains_key(&call.run) {
                if self.open.len() >= OPEN_LOGS {
                    self.open.retain(|run, _| touched.contains(run));
                }
                let folder = self.runs.join(run_folder(&call.run)?);
                self.open.insert(call.run.clone(), CallWriter::open(&folder)?);
            }
            if let Some(writer) = self.open.get_mut(&call.run) {
                writer.push(call);
            }
        }
        Ok(())
    }

    fn flush(&mut self, touched: &[RunId]) -> Result<(), StateError> {
        for run in touched {
            let Some(writer) = self.open.get_mut(run) else { continue };
            writer.log.write_all(&writer.lines).map_err(|error| storage(&self.runs, &error))?;
            writer.keys.write_all(&writer.records).map_err(|error| storage(&self.runs, &error))?;
            writer.length += u64::try_from(writer.lines.len()).unwrap_or(0);
            writer.lines.clear();
            writer.records.clear();
        }
        Ok(())
    }

    /// Closes a run's log and waits until it is on disk.
    pub(crate) fn close(&mut self, run: &RunId) -> Result<(), StateError> {
        let Some(writer) = self.open.remove(run) else { return Ok(()) };
        writer.log.sync_data().and_then(|()| writer.keys.sync_data()).map_err(|error| storage(&self.runs, &error))
    }
}

impl CallWriter {
    /// Opens the log of a run; mends the end that a crash left: a torn line is ended, and keys of lines that the
    /// sidecar lacks are added.
    fn open(folder: &Path) -> Result<Self, StateError> {
        make_private_directory(folder)?;
        let (log_path, keys_path) = (folder.join(LOG_FILE), folder.join(KEYS_FILE));
        let fault = |error: std::io::Error| storage(&log_path, &error);
        let mut log = private().create(true).read(true).append(true).open(&log_path).map_err(fault)?;
        let mut length = log.metadata().map_err(fault)?.len();
        if is_torn(&mut log, length).map_err(fault)? {
            log.write_all(b"\n").map_err(fault)?;
            length += 1;
        }
        let mut keys = private().create(true).append(true).open(&keys_path).map_err(fault)?;
        let (start, kept) = match read_sidecar(&keys_path, length, |_| {})? {
            Sidecar::Whole { last, before_last } => (last.unwrap_or(0), before_last),
            Sidecar::Unusable => (0, 0),
        };
        let mut missing = Vec::new();
        records_from(&mut log, &log_path, start, |record| missing.extend(record.to_bytes()))?;
        let record_bytes = u64::try_from(RECORD_BYTES).unwrap_or(0);
        keys.set_len(kept * record_bytes).and_then(|()| keys.write_all(&missing)).map_err(fault)?;
        Ok(Self { log, keys, length, lines: Vec::new(), records: Vec::new() })
    }

    fn push(&mut self, call: &CallEntry) {
        let offset = self.length + u64::try_from(self.lines.len()).unwrap_or(0);
        self.lines.extend_from_slice(&call.line);
        self.lines.push(b'\n');
        for key in &call.keys {
            self.records.extend_from_slice(&Record { hash: short_hash(*key), offset }.to_bytes());
        }
    }
}
