//! Reads a plan file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use hmac::Mac;

use crate::plan_file::line::{SEAL_BYTES, SEAL_START, read_footer, read_header, read_row};
use crate::plan_file::write::{seal, storage};
use crate::plan_file::{PlanFileError, PlanFooter, PlanHeader, PlanRow};

/// The footer is looked for in so much of the file's end.
const FOOTER_BYTES: u64 = 1 << 24;

/// Reads a plan.
#[derive(Debug)]
pub struct PlanReader {
    file: BufReader<File>,
    path: PathBuf,
    header: PlanHeader,
    footer: PlanFooter,
    /// What is left of the rows, in bytes.
    left: u64,
    row: u64,
    line: Vec<u8>,
}

impl PlanReader {
    /// Opens a plan; with a key, checks the seal over the whole file first.
    ///
    /// # Errors
    /// [`PlanFileError::Unusable`] and [`PlanFileError::Storage`].
    pub fn open(path: &Path, key: Option<[u8; 32]>) -> Result<Self, PlanFileError> {
        let unusable = |reason: &str| PlanFileError::Unusable { path: path.to_owned(), reason: reason.to_owned() };
        let fault = |error: std::io::Error| storage(path, &error);
        let mut file = File::open(path).map_err(fault)?;
        let length = file.metadata().map_err(fault)?.len();
        let mut line = Vec::new();
        let header_bytes = BufReader::new(&file).take(FOOTER_BYTES).read_until(b'\n', &mut line).map_err(fault)?;
        let header = read_header(&line).map_err(|reason| unusable(&reason))?;
        let cut_short = || unusable("it is cut short: the end of the plan is missing");
        let seal_bytes = u64::try_from(SEAL_BYTES).unwrap_or(0);
        let sealed = length.checked_sub(seal_bytes).ok_or_else(cut_short)?;
        let expected = read_seal(&mut file, sealed).map_err(fault)?.ok_or_else(cut_short)?;
        if let Some(key) = key {
            let mut seal = seal(key);
            file.seek(SeekFrom::Start(0)).map_err(fault)?;
            let mut buffer = vec![0; 1 << 17];
            let mut rest = (&file).take(sealed);
            loop {
                let count = rest.read(&mut buffer).map_err(fault)?;
                if count == 0 {
                    break;
                }
                seal.update(buffer.get(..count).unwrap_or_default());
            }
            seal.verify_slice(&expected).map_err(|_| {
                unusable("its seal does not fit: it was altered, damaged, or made with the state of another project")
            })?;
        }
        let footer_line = last_line(&mut file, sealed).map_err(fault)?.ok_or_else(cut_short)?;
        let footer = read_footer(&footer_line).ok_or_else(|| unusable("its end is damaged"))?;
        let footer_bytes = u64::try_from(footer_line.len()).unwrap_or(0);
        let header_bytes = u64::try_from(header_bytes).unwrap_or(0);
        let left = sealed.checked_sub(footer_bytes + header_bytes).ok_or_else(cut_short)?;
        file.seek(SeekFrom::Start(header_bytes)).map_err(fault)?;
        let file = BufReader::with_capacity(1 << 17, file);
        Ok(Self { file, path: path.to_owned(), header, footer, left, row: 0, line })
    }

    /// Returns what it is bound to.
    pub fn header(&self) -> &PlanHeader {
        &self.header
    }

    /// Returns its end.
    pub fn footer(&self) -> &PlanFooter {
        &self.footer
    }

    /// Returns the next row; `None` at the end.
    ///
    /// # Errors
    /// [`PlanFileError::Unusable`] and [`PlanFileError::Storage`].
    pub fn next_row(&mut self) -> Result<Option<PlanRow>, PlanFileError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.line.clear();
        let count = self.file.read_until(b'\n', &mut self.line).map_err(|error| storage(&self.path, &error))?;
        self.row += 1;
        let left = u64::try_from(count).ok().filter(|count| *count > 0).and_then(|count| self.left.checked_sub(count));
        if let (Some(left), Some(row)) = (left, read_row(&self.line)) {
            self.left = left;
            return Ok(Some(row));
        }
        self.left = 0;
        let reason = format!("row {} of the plan is damaged", self.row);
        Err(PlanFileError::Unusable { path: self.path.clone(), reason })
    }
}

/// Reads the seal, whose line begins at `start` and ends the file; `None` where there is none.
fn read_seal(file: &mut File, start: u64) -> std::io::Result<Option<Vec<u8>>> {
    file.seek(SeekFrom::Start(start))?;
    let mut line = Vec::with_capacity(SEAL_BYTES);
    file.read_to_end(&mut line)?;
    let digits = line.strip_prefix(SEAL_START).and_then(|rest| rest.strip_suffix(b"\"}\n"));
    let Some(digits) = digits.and_then(|digits| std::str::from_utf8(digits).ok()) else { return Ok(None) };
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    Ok(pairs.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect())
}

/// Reads the line that ends at `end`; `None` where no line feed is near enough.
fn last_line(file: &mut File, end: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut length = end.min(1 << 16);
    loop {
        file.seek(SeekFrom::Start(end - length))?;
        let mut bytes = Vec::new();
        Read::by_ref(file).take(length).read_to_end(&mut bytes)?;
        let Some(body) = bytes.strip_suffix(b"\n") else { return Ok(None) };
        if let Some(before) = body.iter().rposition(|byte| *byte == b'\n') {
            return Ok(bytes.get(before + 1..).map(<[u8]>::to_vec));
        }
        if length == end || length >= FOOTER_BYTES {
            return Ok(None);
        }
        length = end.min(length * 4);
    }
}
