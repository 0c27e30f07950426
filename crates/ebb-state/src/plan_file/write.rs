//! Writes a plan file.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::disk::private;
use crate::plan_file::line::{SEAL_START, write_footer, write_header, write_hex, write_row};
use crate::plan_file::{PlanFileError, PlanFooter, PlanHeader, PlanRow};

/// Lines are written to disk by so much.
const BUFFER_BYTES: usize = 1 << 16;

/// The seal that is made of everything before it.
pub(super) type Seal = Hmac<Sha256>;

/// Begins a seal with a key.
pub(super) fn seal(key: [u8; 32]) -> Seal {
    // HMAC fills a short key up to the hash's block with zeros.
    let mut block = [0; 64];
    for (place, byte) in block.iter_mut().zip(key) {
        *place = byte;
    }
    Seal::new(&block.into())
}

/// Writes a plan, row by row.
#[derive(Debug)]
pub struct PlanWriter {
    file: File,
    path: PathBuf,
    seal: Seal,
    buffer: Vec<u8>,
}

impl PlanWriter {
    /// Creates the file (0600; it must not exist) and writes the header.
    ///
    /// # Errors
    /// [`PlanFileError::Storage`].
    pub fn create(path: &Path, header: &PlanHeader, key: [u8; 32]) -> Result<Self, PlanFileError> {
        let file = private().create_new(true).write(true).open(path).map_err(|error| storage(path, &error))?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES * 2);
        write_header(header, &mut buffer);
        Ok(Self { file, path: path.to_owned(), seal: seal(key), buffer })
    }

    /// Appends a row.
    ///
    /// # Errors
    /// [`PlanFileError::Storage`].
    pub fn push(&mut self, row: &PlanRow) -> Result<(), PlanFileError> {
        write_row(row, &mut self.buffer);
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), PlanFileError> {
        self.seal.update(&self.buffer);
        self.file.write_all(&self.buffer).map_err(|error| storage(&self.path, &error))?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the footer and the seal, and flushes.
    ///
    /// # Errors
    /// [`PlanFileError::Storage`].
    pub fn finish(mut self, footer: &PlanFooter) -> Result<(), PlanFileError> {
        write_footer(footer, &mut self.buffer);
        self.flush()?;
        let seal = self.seal.finalize().into_bytes();
        self.buffer.extend_from_slice(SEAL_START);
        write_hex(&seal, &mut self.buffer);
        self.buffer.extend_from_slice(b"\"}\n");
        self.file
            .write_all(&self.buffer)
            .and_then(|()| self.file.sync_data())
            .map_err(|error| storage(&self.path, &error))
    }
}

/// Returns the error of a failed file operation.
pub(super) fn storage(path: &Path, error: &std::io::Error) -> PlanFileError {
    PlanFileError::Storage { path: path.to_owned(), reason: error.to_string() }
}
