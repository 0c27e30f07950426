//! A sealed plan against a fresh one: what moved between the review and the run.

use std::collections::BTreeMap;
use std::path::Path;

use ebb_row::Hash128;
use ebb_state::{PlanHeader, PlanKind, PlanReader, PlanRow, RejectionKind};

use crate::error::EngineError;

/// How many moved rows are named.
const NAMED: usize = 10;

/// Returns what moved, in words: configuration, state, rows by key. Empty when the sealed plan still holds.
pub(crate) fn what_moved(
    sealed: &Path,
    fresh: &Path,
    sealed_header: &PlanHeader,
    fresh_header: &PlanHeader,
) -> Result<Vec<String>, EngineError> {
    let mut moved = Vec::new();
    if sealed_header.config != fresh_header.config {
        moved.push("the configuration changed".to_owned());
    }
    if sealed_header.counter != fresh_header.counter || sealed_header.generation != fresh_header.generation {
        moved.push("another run or command changed the snapshot".to_owned());
    }
    let mut planned = rows(sealed)?;
    let mut named = Vec::new();
    let mut count = 0_usize;
    let mut note = |key: &str, what: &str| {
        count += 1;
        if named.len() < NAMED {
            named.push(format!("`{key}` {what}"));
        }
    };
    let mut reader = PlanReader::open(fresh, None)?;
    while let Some(row) = reader.next_row()? {
        match planned.remove(&key_of(&row)) {
            Some((_, before)) if before == mark(&row) => {}
            Some(_) => note(row.key.text(), "changed"),
            None => note(row.key.text(), "is new"),
        }
    }
    for (key, _) in planned.values() {
        note(key, "is no longer in it");
    }
    if count > 0 {
        let more = if count > named.len() { format!(" and {} more", count - named.len()) } else { String::new() };
        let rows = if count == 1 { "1 row" } else { &format!("{count} rows") };
        moved.push(format!("{rows} moved: {}{more}", named.join(", ")));
    }
    Ok(moved)
}

type Mark = (u8, Hash128, Hash128);
type Marks = BTreeMap<(Hash128, u8), (String, Mark)>;

fn key_of(row: &PlanRow) -> (Hash128, u8) {
    // The rows of a repeated key differ by what they hold.
    let key = row.key.hash();
    let is_repeated = row.rejected_by.as_deref() == Some(RejectionKind::Key.word());
    let key = if is_repeated { Hash128(key.0 ^ row.seen.0) } else { key };
    (key, u8::from(row.kind == PlanKind::Gone))
}

fn mark(row: &PlanRow) -> Mark {
    let kind = match row.kind {
        PlanKind::Operation(kind) => 10 + u8::from(kind == ebb_row::OperationKind::Change),
        PlanKind::Refresh => 1,
        PlanKind::Adopt => 2,
        PlanKind::Gone => 3,
        PlanKind::Reject => 4,
        PlanKind::Unknown => 5,
    };
    (kind, row.seen, row.digest)
}

fn rows(path: &Path) -> Result<Marks, EngineError> {
    let mut found = BTreeMap::new();
    let mut reader = PlanReader::open(path, None)?;
    while let Some(row) = reader.next_row()? {
        found.insert(key_of(&row), (row.key.text().to_owned(), mark(&row)));
    }
    Ok(found)
}
