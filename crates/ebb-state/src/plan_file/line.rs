//! The lines of a plan file.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use ebb_row::{Hash128, RowKey, write_json_string};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::plan_file::{PlanCounts, PlanFooter, PlanHeader, PlanKind, PlanRow};
use crate::store::EntryId;

/// The version of the file's form.
pub(super) const VERSION: u32 = 1;

/// How the seal's line begins; the seal's 64 hexadecimal digits, a quote, a brace and a line feed follow.
pub(super) const SEAL_START: &[u8] = b"{\"seal\":\"";

/// The length of the seal's line.
pub(super) const SEAL_BYTES: usize = SEAL_START.len() + 64 + 3;

/// Writes one JSON object, field by field.
struct Fields<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
}

impl<'a> Fields<'a> {
    fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_first: true }
    }

    fn name(&mut self, name: &str) {
        if !self.is_first {
            self.out.push(b',');
        }
        self.is_first = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        write_json_string(value, self.out);
    }

    fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        write_number(value, self.out);
    }

    fn hash(&mut self, name: &str, value: Hash128) {
        self.name(name);
        self.out.push(b'"');
        write_hex(&value.to_bytes(), self.out);
        self.out.push(b'"');
    }

    fn json(&mut self, name: &str, json: &str) {
        self.name(name);
        // A line feed in JSON text stands between its parts, never in a string: a space says the same.
        self.out.extend(json.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
    }

    fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }
}

fn write_number(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut length = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        length += 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - length..).unwrap_or_default());
}

/// Appends bytes as hexadecimal digits.
pub(super) fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

/// Appends the header's line.
pub(super) fn write_header(header: &PlanHeader, out: &mut Vec<u8>) {
    let mut fields = Fields::begin(out);
    fields.number("ebb_plan", VERSION.into());
    fields.text("id", &header.id);
    fields.text("version", &header.version);
    fields.text("sync", &header.sync);
    fields.text("run", &header.run);
    fields.text("time", &header.time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
    fields.text("destination", &header.destination);
    fields.text("object", &header.object);
    fields.text("mode", &header.mode);
    fields.text("api", &header.api);
    fields.hash("config", header.config);
    fields.hash("mapping", header.mapping);
    fields.number("counter", header.counter);
    fields.number("generation", header.generation.into());
    fields.json("read_everything", if header.read_everything { "true" } else { "false" });
    fields.end();
}

/// Appends a row's line; what is not there or zero is left out.
pub(super) fn write_row(row: &PlanRow, out: &mut Vec<u8>) {
    let mut fields = Fields::begin(out);
    fields.text("kind", row.kind.word());
    fields.text("key", row.key.text());
    for (name, hash) in [("seen", row.seen), ("digest", row.digest)] {
        if hash != Hash128::default() {
            fields.hash(name, hash);
        }
    }
    if let Some(entry) = row.entry {
        fields.number("entry", entry.0);
    }
    fields.number("revision", row.revision.into());
    fields.optional("destination_id", row.destination_id.as_deref());
    fields.optional("reason", row.reason.as_deref());
    fields.optional("rejected_by", row.rejected_by.as_deref());
    for (name, json) in [("record", &row.record), ("previous", &row.previous)] {
        if let Some(json) = json {
            fields.json(name, json);
        }
    }
    fields.end();
}

/// Appends the footer's line.
pub(super) fn write_footer(footer: &PlanFooter, out: &mut Vec<u8>) {
    let counts = &footer.counts;
    let mut inner = Vec::new();
    let mut fields = Fields::begin(&mut inner);
    for (name, count) in [
        ("read", counts.read),
        ("unchanged", counts.unchanged),
        ("add", counts.add),
        ("change", counts.change),
        ("remove", counts.remove),
        ("gone", counts.gone),
        ("rejected", counts.rejected),
        ("null_keys", counts.null_keys),
        ("unknown", counts.unknown),
        ("adopt", counts.adopt),
        ("live", counts.live),
    ] {
        fields.number(name, count);
    }
    fields.end();
    let refusals = list(&footer.refusals, |(guard, message), out| {
        out.push(b'[');
        write_json_string(guard, out);
        out.push(b',');
        write_json_string(message, out);
        out.push(b']');
    });
    let mut fields = Fields::begin(out);
    fields.json("counts", String::from_utf8_lossy(&inner).trim_end());
    fields.json("refusals", &refusals);
    fields.json("notes", &list(&footer.notes, |note, out| write_json_string(note, out)));
    fields.optional("cursor", footer.cursor.as_deref());
    fields.json("null_key_rows", &list(&footer.null_key_rows, |row, out| write_number(*row, out)));
    fields.end();
}

fn list<T>(items: &[T], write: impl Fn(&T, &mut Vec<u8>)) -> String {
    let mut out = vec![b'['];
    for (number, item) in items.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write(item, &mut out);
    }
    out.push(b']');
    String::from_utf8_lossy(&out).into_owned()
}

#[derive(Deserialize)]
struct HeaderLine {
    ebb_plan: u32,
    id: String,
    version: String,
    sync: String,
    run: String,
    time: String,
    destination: String,
    object: String,
    mode: String,
    api: String,
    config: String,
    mapping: String,
    counter: u64,
    generation: u32,
    read_everything: bool,
}

/// Reads a header's line.
pub(super) fn read_header(line: &[u8]) -> Result<PlanHeader, String> {
    #[derive(Deserialize)]
    struct Version {
        ebb_plan: u32,
    }
    let Ok(Version { ebb_plan }) = serde_json::from_slice(line) else {
        return Err("it is not a plan of ebb".to_owned());
    };
    if ebb_plan != VERSION {
        return Err(format!("it has the form {ebb_plan} of another version of ebb, this one reads form {VERSION}"));
    }
    let damaged = || "its header is damaged".to_owned();
    let header: HeaderLine = serde_json::from_slice(line).map_err(|_| damaged())?;
    debug_assert_eq!(header.ebb_plan, VERSION, "the version was read before");
    Ok(PlanHeader {
        id: header.id,
        version: header.version,
        sync: header.sync,
        run: header.run,
        time: DateTime::parse_from_rfc3339(&header.time).map_err(|_| damaged())?.with_timezone(&Utc),
        destination: header.destination,
        object: header.object,
        mode: header.mode,
        api: header.api,
        config: Hash128::from_hex(&header.config).ok_or_else(damaged)?,
        mapping: Hash128::from_hex(&header.mapping).ok_or_else(damaged)?,
        counter: header.counter,
        generation: header.generation,
        read_everything: header.read_everything,
    })
}

#[derive(Deserialize)]
struct RowLine<'a> {
    #[serde(borrow)]
    kind: &'a str,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow, default)]
    seen: Option<&'a str>,
    #[serde(borrow, default)]
    digest: Option<&'a str>,
    #[serde(default)]
    entry: Option<u64>,
    revision: u32,
    #[serde(borrow, default)]
    destination_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    rejected_by: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    record: Option<&'a RawValue>,
    #[serde(borrow, default)]
    previous: Option<&'a RawValue>,
}

/// Reads a row's line; `None` where it is damaged.
pub(super) fn read_row(line: &[u8]) -> Option<PlanRow> {
    let row: RowLine<'_> = serde_json::from_slice(line).ok()?;
    let hash = |text: Option<&str>| text.map_or(Some(Hash128::default()), Hash128::from_hex);
    Some(PlanRow {
        key: RowKey::new(row.key),
        kind: PlanKind::from_word(row.kind)?,
        seen: hash(row.seen)?,
        digest: hash(row.digest)?,
        entry: row.entry.map(EntryId),
        revision: row.revision,
        record: row.record.map(|json| Arc::from(json.get())),
        previous: row.previous.map(|json| Arc::from(json.get())),
        destination_id: row.destination_id.map(Cow::into_owned),
        reason: row.reason.map(Cow::into_owned),
        rejected_by: row.rejected_by.map(Cow::into_owned),
    })
}

#[derive(Deserialize)]
struct FooterLine {
    counts: CountsLine,
    refusals: Vec<(String, String)>,
    notes: Vec<String>,
    cursor: Option<String>,
    null_key_rows: Vec<u64>,
}

#[derive(Deserialize)]
struct CountsLine {
    read: u64,
    unchanged: u64,
    add: u64,
    change: u64,
    remove: u64,
    gone: u64,
    rejected: u64,
    null_keys: u64,
    unknown: u64,
    adopt: u64,
    live: u64,
}

/// Reads a footer's line; `None` where it is damaged.
pub(super) fn read_footer(line: &[u8]) -> Option<PlanFooter> {
    let footer: FooterLine = serde_json::from_slice(line).ok()?;
    let counts = footer.counts;
    Some(PlanFooter {
        counts: PlanCounts {
            read: counts.read,
            unchanged: counts.unchanged,
            add: counts.add,
            change: counts.change,
            remove: counts.remove,
            gone: counts.gone,
            rejected: counts.rejected,
            null_keys: counts.null_keys,
            unknown: counts.unknown,
            adopt: counts.adopt,
            live: counts.live,
        },
        refusals: footer.refusals,
        notes: footer.notes,
        cursor: footer.cursor,
        null_key_rows: footer.null_key_rows,
    })
}
