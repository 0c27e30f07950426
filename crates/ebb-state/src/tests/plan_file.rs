use std::path::Path;
use std::sync::Arc;

use chrono::DateTime;
use ebb_row::{Hash128, OperationKind, RowKey};

use crate::store::EntryId;
use crate::{PlanCounts, PlanFileError, PlanFooter, PlanHeader, PlanKind, PlanReader, PlanRow, PlanWriter};

const KEY: [u8; 32] = [7; 32];

fn header() -> PlanHeader {
    PlanHeader {
        id: "plan-1".to_owned(),
        version: "0.1.0".to_owned(),
        sync: "accounts".to_owned(),
        run: "0190".to_owned(),
        time: DateTime::from_timestamp_nanos(1_700_000_000_123_456_789),
        destination: "vitally:acme".to_owned(),
        object: "account".to_owned(),
        mode: "upsert".to_owned(),
        api: "rest".to_owned(),
        config: Hash128::of(b"config"),
        mapping: Hash128::of(b"mapping"),
        counter: 3,
        generation: 1,
        read_everything: true,
    }
}

fn row(number: u32) -> PlanRow {
    PlanRow {
        key: RowKey::new(format!("key \"{number}\" \u{2028}\n é")),
        kind: PlanKind::Operation(OperationKind::Change),
        seen: Hash128::of(&number.to_be_bytes()),
        digest: Hash128(1),
        entry: Some(EntryId(u64::from(number) + 1)),
        revision: number,
        record: Some(Arc::from(
            r#"{"n":12345678901234567890.000100,"t":"a\nb","l":{"$lookup":"account","externalId":"1"}}"#,
        )),
        previous: Some(Arc::from("{}")),
        destination_id: Some("id".to_owned()),
        reason: None,
        rejected_by: None,
    }
}

fn rejected() -> PlanRow {
    PlanRow {
        key: RowKey::new(""),
        kind: PlanKind::Reject,
        seen: Hash128::default(),
        digest: Hash128::default(),
        entry: None,
        revision: 0,
        record: None,
        previous: None,
        destination_id: None,
        reason: Some("\"why\"\n".to_owned()),
        rejected_by: Some("mapping".to_owned()),
    }
}

fn footer() -> PlanFooter {
    PlanFooter {
        counts: PlanCounts { read: 9, unchanged: 1, add: 2, change: 3, live: 8, ..PlanCounts::default() },
        refusals: vec![("removed".to_owned(), "too \"many\"".to_owned())],
        notes: vec!["the mapping changed".to_owned()],
        cursor: Some("2024-01-01T00:00:00.000Z".to_owned()),
        null_key_rows: vec![0, 1, u64::MAX],
    }
}

fn write(path: &Path, rows: &[PlanRow], footer: &PlanFooter) {
    let mut writer = PlanWriter::create(path, &header(), KEY).unwrap();
    for row in rows {
        writer.push(row).unwrap();
    }
    writer.finish(footer).unwrap();
}

fn read(path: &Path, key: Option<[u8; 32]>) -> Result<Vec<PlanRow>, PlanFileError> {
    let mut reader = PlanReader::open(path, key)?;
    let mut rows = Vec::new();
    while let Some(row) = reader.next_row()? {
        rows.push(row);
    }
    Ok(rows)
}

#[test]
fn a_plan_reads_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan");
    let rows: Vec<PlanRow> = (0..2000).map(row).chain([rejected()]).collect();
    write(&path, &rows, &footer());
    for key in [None, Some(KEY)] {
        let reader = PlanReader::open(&path, key).unwrap();
        assert_eq!(*reader.header(), header());
        assert_eq!(*reader.footer(), footer());
        assert_eq!(read(&path, key).unwrap(), rows);
    }
}

#[test]
fn every_kind_reads_back_and_an_empty_plan_is_a_plan() {
    let folder = tempfile::tempdir().unwrap();
    let kinds: Vec<PlanRow> = PlanKind::ALL.into_iter().map(|kind| PlanRow { kind, ..row(1) }).collect();
    write(&folder.path().join("kinds"), &kinds, &PlanFooter::default());
    assert_eq!(read(&folder.path().join("kinds"), Some(KEY)).unwrap(), kinds);
    write(&folder.path().join("empty"), &[], &PlanFooter::default());
    assert_eq!(read(&folder.path().join("empty"), Some(KEY)).unwrap(), []);
}

#[test]
fn line_feeds_between_the_parts_of_a_record_do_not_end_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan");
    let spread = PlanRow { record: Some(Arc::from("{\n  \"a\": 1\r\n}")), ..row(1) };
    write(&path, &[spread], &PlanFooter::default());
    assert_eq!(read(&path, Some(KEY)).unwrap()[0].record.as_deref(), Some("{   \"a\": 1  }"));
}

#[test]
fn each_flipped_byte_is_found_by_the_seal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan");
    write(&path, &[row(1), rejected()], &footer());
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        let error = read(&path, Some(KEY)).unwrap_err();
        assert!(matches!(error, PlanFileError::Unusable { .. }), "byte {at}: {error}");
    }
}

#[test]
fn each_truncation_is_found_without_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan");
    write(&path, &[row(1), rejected()], &footer());
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = read(&path, None).unwrap_err();
        assert!(matches!(error, PlanFileError::Unusable { .. }), "{length} bytes: {error}");
    }
}

#[test]
fn a_plan_sealed_by_another_state_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan");
    write(&path, &[row(1)], &footer());
    let error = read(&path, Some([8; 32])).unwrap_err().to_string();
    assert!(error.contains("its seal does not fit"), "{error}");
    std::fs::write(&path, "{\"ebb_plan\":2}\n").unwrap();
    let error = read(&path, Some(KEY)).unwrap_err().to_string();
    assert!(error.contains("another version of ebb"), "{error}");
}

#[test]
fn a_plan_never_overwrites_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan");
    write(&path, &[], &footer());
    assert!(matches!(PlanWriter::create(&path, &header(), KEY), Err(PlanFileError::Storage { .. })));
}
