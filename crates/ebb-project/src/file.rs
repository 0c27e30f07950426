use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::fault::Fault;
use crate::mask;

/// No file of a project may be longer.
pub(crate) const MAX_FILE_BYTES: u64 = 1 << 20;

/// A longer line is not shown with a fault.
const MAX_SHOWN_BYTES: usize = 1_000;
/// A longer message is cut.
const MAX_MESSAGE_BYTES: usize = 2_000;

/// The text of a file of the project, and where its lines begin.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SourceFile {
    /// Relative to the root, with forward slashes.
    pub(crate) path: PathBuf,
    /// UTF-8 without a byte-order mark.
    pub(crate) text: String,
    lines: Vec<usize>,
    /// Whether values of keys that name a secret are masked in shown lines.
    masks_keys: bool,
}

/// Shows the name only: the text may hold a secret.
impl std::fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

impl SourceFile {
    pub(crate) fn new(path: impl Into<PathBuf>, text: String) -> Self {
        let path = path.into();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let masks_keys = path == Path::new("ebb.yaml");
        Self { path, text, lines, masks_keys }
    }

    /// Returns line and column, both from 1, of a byte offset.
    pub(crate) fn position(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..at.min(self.text.len())).map_or(0, |before| before.chars().count());
        (line, column + 1)
    }

    /// Returns a line, from 1, without its end; empty past the last one.
    pub(crate) fn line(&self, line: usize) -> &str {
        let start = self.lines.get(line.wrapping_sub(1)).copied();
        let end = self.lines.get(line).copied().unwrap_or(self.text.len());
        start.and_then(|start| self.text.get(start..end)).unwrap_or("").trim_end_matches(['\n', '\r'])
    }

    /// Makes a fault at a byte offset.
    pub(crate) fn fault(&self, at: usize, message: impl Into<String>, hint: Option<String>) -> Fault {
        let (line, column) = self.position(at);
        self.fault_at(line, column, message, hint)
    }

    /// Makes a fault at a line and column, both from 1.
    pub(crate) fn fault_at(
        &self,
        line: usize,
        column: usize,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Fault {
        let source_line = if self.masks_keys {
            mask::settings_line(|wanted| self.line(wanted), line)
        } else {
            mask::any_line(self.line(line))
        };
        let shown = if source_line.len() > MAX_SHOWN_BYTES { String::new() } else { source_line };
        Fault {
            file: self.path.clone(),
            line,
            column,
            source_line: shown,
            message: cut(message.into()),
            hint: hint.map(cut),
        }
    }
}

/// Cuts a text that names something absurdly long.
fn cut(text: String) -> String {
    if text.len() <= MAX_MESSAGE_BYTES {
        return text;
    }
    let end = text.floor_char_boundary(MAX_MESSAGE_BYTES);
    format!("{}...", text.get(..end).unwrap_or_default())
}

/// Reads one file of the project: a regular file inside the root (links are followed, but not out of it and not into
/// `.ebb`), of at most `limit` bytes, in UTF-8.
pub(crate) fn read(root: &Path, relative: &Path, limit: u64) -> Result<SourceFile, Fault> {
    let fail = |message: String| Fault::of_file(relative, message);
    let target = fs::canonicalize(root.join(relative))
        .map_err(|error| fail(format!("this file cannot be read: {}", reason(&error))))?;
    let Ok(inside) = target.strip_prefix(root) else {
        return Err(fail("this link leads out of the project".to_owned())
            .with_hint("put the file itself here; ebb reads only files inside the project"));
    };
    let is_settings = |path: &Path| path == Path::new("ebb.yaml");
    let is_other = inside.extension() != relative.extension() || is_settings(inside) != is_settings(relative);
    if inside.starts_with(".ebb") || is_other {
        return Err(fail("this link leads to a file of another kind".to_owned()));
    }
    let metadata =
        fs::metadata(&target).map_err(|error| fail(format!("this file cannot be read: {}", reason(&error))))?;
    if !metadata.is_file() {
        return Err(fail("this is not a regular file".to_owned()));
    }
    let too_long = || fail(format!("this file is longer than {limit} bytes, the most that ebb reads"));
    if metadata.len() > limit {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    fs::File::open(&target)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(|error| fail(format!("this file cannot be read: {}", reason(&error))))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(too_long());
    }
    decode(relative, bytes)
}

/// Checks that a file is text that can be shown and parsed.
fn decode(relative: &Path, bytes: Vec<u8>) -> Result<SourceFile, Fault> {
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let bytes = error.into_bytes();
            let before = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default()).into_owned();
            let (line, column) = SourceFile::new(relative, before).position(valid);
            let fault = Fault::of_file(relative, "this file is not UTF-8 from here on");
            return Err(Fault { line, column, ..fault }.with_hint("save it as UTF-8"));
        }
    };
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    let file = SourceFile::new(relative, text);
    let control = |character: char| character.is_control() && !matches!(character, '\n' | '\r' | '\t' | '\u{85}');
    if let Some(at) = file.text.find(control) {
        let (line, column) = file.position(at);
        let fault = Fault::of_file(relative, "a control character is not allowed in a project's files");
        return Err(Fault { line, column, ..fault });
    }
    Ok(file)
}

/// Returns an I/O error in a few words that are the same on every system.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let kind = error.kind();
    if kind == std::io::ErrorKind::NotFound {
        "there is no such file".to_owned()
    } else if kind == std::io::ErrorKind::PermissionDenied {
        "permission denied".to_owned()
    } else {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let file = SourceFile::new("x.yaml", "a: ä\r\nb: ü!".to_owned());
        assert_eq!(file.position(0), (1, 1));
        assert_eq!(file.position(7), (2, 1));
        assert_eq!(file.position(12), (2, 5));
        assert_eq!(file.line(1), "a: ä");
        assert_eq!(file.line(2), "b: ü!");
        assert_eq!(file.line(3), "");
    }
}
