//! The intent journal of a sync: what is about to be sent, and what is settled.
//!
//! One file a sync, append-only, one line a record: eight digits of checksum, a space, JSON. An intent is open until a
//! closing mark names it. A plain append survives the death of the process; a torn or damaged line is passed over.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, SecondsFormat, Utc};
use ebb_row::{RowKey, write_json_string};
use serde::Deserialize;

use crate::disk::{private, storage};
use crate::store::{Intent, RunId, StateError, SyncId};

/// A journal longer than this is rewritten with its open intents only.
const COMPACT_BYTES: u64 = 64 << 20;

/// What is closed: the intents of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closing<'a> {
    pub(crate) sync: SyncId,
    /// `None` closes the intents of these numbers of every run.
    pub(crate) run: Option<&'a RunId>,
    pub(crate) intents: &'a [u64],
}

/// The journals of a store.
#[derive(Debug)]
pub(crate) struct Journals {
    folder: PathBuf,
    open: Mutex<HashMap<SyncId, Journal>>,
}

#[derive(Debug)]
struct Journal {
    file: File,
    path: PathBuf,
    length: u64,
    /// The line of each open intent.
    intents: HashMap<(RunId, u64), Box<[u8]>>,
    lines: Vec<u8>,
}

impl Journals {
    /// Keeps journals in `folder`, which exists.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, open: Mutex::new(HashMap::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SyncId, Journal>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, sync: SyncId) -> PathBuf {
        self.folder.join(format!("{}.journal", sync.0))
    }

    /// Appends intents; with `durable`, they are on disk when this returns.
    pub(crate) fn append(&self, sync: SyncId, intents: &[Intent], durable: bool) -> Result<(), StateError> {
        let mut open = self.lock();
        let journal = self.journal(&mut open, sync)?;
        for intent in intents {
            let start = journal.lines.len();
            write_line(&mut journal.lines, |out| write_intent(intent, out));
            let line = journal.lines.get(start..).unwrap_or_default();
            journal.intents.insert((intent.run.clone(), intent.id), line.into());
        }
        journal.flush()?;
        if !durable {
            return Ok(());
        }
        let (file, path) = (journal.file.try_clone(), journal.path.clone());
        // Others go on appending while the disk works.
        drop(open);
        file.and_then(|file| file.sync_data()).map_err(|error| storage(&path, &error))
    }

    /// Appends closing marks, with one write for each journal.
    pub(crate) fn close(&self, closings: &[Closing<'_>]) -> Result<(), StateError> {
        let mut open = self.lock();
        for closing in closings {
            let journal = self.journal(&mut open, closing.sync)?;
            write_line(&mut journal.lines, |out| write_closing(closing, out));
            forget(&mut journal.intents, closing.run, closing.intents);
        }
        for closing in closings {
            let journal = self.journal(&mut open, closing.sync)?;
            journal.flush()?;
            if journal.length > COMPACT_BYTES {
                journal.compact()?;
            }
        }
        Ok(())
    }

    /// Reads the open intents from the file, in the order in which they were written.
    pub(crate) fn open_intents(&self, sync: SyncId) -> Result<Vec<Intent>, StateError> {
        let mut open = self.lock();
        open.remove(&sync);
        Ok(read(&self.path(sync))?.into_iter().map(|open| open.intent).collect())
    }

    /// Empties a journal.
    pub(crate) fn clear(&self, sync: SyncId) -> Result<(), StateError> {
        let mut open = self.lock();
        let journal = self.journal(&mut open, sync)?;
        journal.intents.clear();
        journal.truncate()
    }

    /// Empties a journal whose intents are all closed.
    pub(crate) fn clear_if_closed(&self, sync: SyncId) -> Result<(), StateError> {
        let mut open = self.lock();
        let journal = self.journal(&mut open, sync)?;
        if journal.intents.is_empty() { journal.truncate() } else { Ok(()) }
    }

    /// Lets go of a journal's file: another process may have written to it or replaced it since.
    pub(crate) fn forget(&self, sync: SyncId) {
        self.lock().remove(&sync);
    }

    fn journal<'a>(&self, open: &'a mut HashMap<SyncId, Journal>, sync: SyncId) -> Result<&'a mut Journal, StateError> {
        match open.entry(sync) {
            std::collections::hash_map::Entry::Occupied(found) => Ok(found.into_mut()),
            std::collections::hash_map::Entry::Vacant(vacant) => Ok(vacant.insert(Journal::open(self.path(sync))?)),
        }
    }
}

impl Journal {
    fn open(path: PathBuf) -> Result<Self, StateError> {
        let intents = read(&path)?.into_iter().map(|open| ((open.intent.run, open.intent.id), open.line)).collect();
        let mut file = append_to(private().create(true), &path)?;
        let mut length = file.metadata().map_err(|error| storage(&path, &error))?.len();
        if is_torn(&mut file, length).map_err(|error| storage(&path, &error))? {
            file.write_all(b"\n").map_err(|error| storage(&path, &error))?;
            length += 1;
        }
        Ok(Self { file, path, length, intents, lines: Vec::new() })
    }

    fn flush(&mut self) -> Result<(), StateError> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(&self.lines);
        self.length += u64::try_from(self.lines.len()).unwrap_or(0);
        self.lines.clear();
        // A line cut short by a full disk must not spoil the next one: it begins on a line of its own.
        written.map_err(|error| {
            self.lines.push(b'\n');
            storage(&self.path, &error)
        })
    }

    fn truncate(&mut self) -> Result<(), StateError> {
        self.lines.clear();
        self.length = 0;
        self.file.set_len(0).map_err(|error| storage(&self.path, &error))
    }

    fn compact(&mut self) -> Result<(), StateError> {
        let temporary = self.path.with_extension("journal.tmp");
        let mut open: Vec<_> = self.intents.iter().collect();
        open.sort_unstable_by_key(|(key, _)| *key);
        let lines: Vec<u8> = open.into_iter().flat_map(|(_, line)| line.iter().copied()).collect();
        private()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&temporary)
            .and_then(|mut file| file.write_all(&lines).and_then(|()| file.sync_data()))
            .and_then(|()| std::fs::rename(&temporary, &self.path))
            .map_err(|error| storage(&temporary, &error))?;
        self.file = append_to(&mut private(), &self.path)?;
        self.length = u64::try_from(lines.len()).unwrap_or(0);
        Ok(())
    }
}

fn append_to(options: &mut OpenOptions, path: &Path) -> Result<File, StateError> {
    options.read(true).append(true).open(path).map_err(|error| storage(path, &error))
}

/// Returns whether a file's last line lacks its line feed.
pub(crate) fn is_torn(file: &mut File, length: u64) -> std::io::Result<bool> {
    if length == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(length - 1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn write_line(lines: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = lines.len();
    lines.extend_from_slice(b"00000000 ");
    write(lines);
    let body = lines.get(start + 9..).unwrap_or_default();
    let checksum = format!("{:08x}", crc32fast::hash(body));
    if let Some(place) = lines.get_mut(start..start + 8) {
        place.copy_from_slice(checksum.as_bytes());
    }
    lines.push(b'\n');
}

fn write_intent(intent: &Intent, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"open\":");
    out.extend_from_slice(intent.id.to_string().as_bytes());
    out.extend_from_slice(b",\"run\":");
    write_json_string(&intent.run.0, out);
    out.extend_from_slice(format!(",\"epoch\":{},\"time\":\"", intent.epoch).as_bytes());
    out.extend_from_slice(intent.time.to_rfc3339_opts(SecondsFormat::AutoSi, true).as_bytes());
    out.extend_from_slice(b"\",\"operation\":");
    write_json_string(&intent.operation, out);
    out.extend_from_slice(
        format!(",\"writes\":{},\"attempt\":{},\"method\":", intent.writes, intent.attempt).as_bytes(),
    );
    write_json_string(&intent.method, out);
    out.extend_from_slice(b",\"url\":");
    write_json_string(&intent.url, out);
    out.extend_from_slice(b",\"keys\":[");
    for (number, key) in intent.keys.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write_json_string(key.text(), out);
    }
    out.extend_from_slice(b"]}");
}

fn write_closing(closing: &Closing<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"close\":[");
    for (number, intent) in closing.intents.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        out.extend_from_slice(intent.to_string().as_bytes());
    }
    out.push(b']');
    if let Some(run) = closing.run {
        out.extend_from_slice(b",\"run\":");
        write_json_string(&run.0, out);
    }
    out.push(b'}');
}

fn forget<T>(open: &mut HashMap<(RunId, u64), T>, run: Option<&RunId>, ids: &[u64]) {
    if let Some(run) = run {
        for id in ids {
            open.remove(&(run.clone(), *id));
        }
    } else if !ids.is_empty() {
        open.retain(|(_, id), _| !ids.contains(id));
    }
}

/// A line as it is read: an intent where `open` is set, a closing mark otherwise.
#[derive(Deserialize)]
struct Line {
    run: Option<String>,
    open: Option<u64>,
    #[serde(default)]
    close: Vec<u64>,
    #[serde(default)]
    epoch: u64,
    #[serde(default)]
    time: String,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    writes: bool,
    #[serde(default)]
    attempt: u32,
    #[serde(default)]
    method: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    keys: Vec<String>,
}

/// An open intent as the file has it.
struct OpenIntent {
    position: u64,
    intent: Intent,
    line: Box<[u8]>,
}

/// Reads the open intents, oldest first.
fn read(path: &Path) -> Result<Vec<OpenIntent>, StateError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(storage(path, &error)),
    };
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut open: HashMap<(RunId, u64), OpenIntent> = HashMap::new();
    let mut line = Vec::new();
    let mut position = 0;
    let mut damaged = 0_u64;
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(|error| storage(path, &error))? == 0 {
            break;
        }
        position += 1;
        if !line.ends_with(b"\n") {
            // Only its checksum tells whether the last line is whole.
            line.push(b'\n');
        }
        let Some(parsed) = parse(&line) else {
            damaged += u64::from(line.as_slice() != b"\n");
            continue;
        };
        let run = parsed.run.as_deref().map(|run| RunId(run.into()));
        forget(&mut open, run.as_ref(), &parsed.close);
        match (parsed.open, run) {
            (Some(id), Some(run)) => match intent(parsed, &run, id) {
                Some(intent) => {
                    drop(open.insert((run, id), OpenIntent { position, intent, line: line.as_slice().into() }));
                }
                None => damaged += 1,
            },
            (Some(_), None) => damaged += 1,
            (None, _) => {}
        }
    }
    if damaged > 0 {
        tracing::warn!(journal = %path.display(), damaged, "damaged lines of the journal were passed over");
    }
    let mut found: Vec<OpenIntent> = open.into_values().collect();
    found.sort_unstable_by_key(|open| open.position);
    Ok(found)
}

fn parse(line: &[u8]) -> Option<Line> {
    let (checksum, rest) = line.strip_suffix(b"\n")?.split_first_chunk::<8>()?;
    let body = rest.strip_prefix(b" ")?;
    let expected = u32::from_str_radix(std::str::from_utf8(checksum).ok()?, 16).ok()?;
    if crc32fast::hash(body) == expected { serde_json::from_slice(body).ok() } else { None }
}

fn intent(line: Line, run: &RunId, id: u64) -> Option<Intent> {
    Some(Intent {
        id,
        run: run.clone(),
        epoch: line.epoch,
        time: DateTime::parse_from_rfc3339(&line.time).ok()?.with_timezone(&Utc),
        operation: line.operation,
        writes: line.writes,
        keys: line.keys.into_iter().map(RowKey::new).collect(),
        attempt: line.attempt,
        method: line.method,
        url: line.url,
    })
}
