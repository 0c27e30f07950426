//! What flows through ebb: batches of rows on the source side, records on the destination side.
//!
//! Every other crate shares these nouns and nothing else. This crate is pure: it has no I/O, no async,
//! no environment and no randomness, and its one notion of time is the [`Clock`] that others lend.
//!
//! Start reading at [`Value`] (one cell or one field, digits kept), then [`Batch`] and [`ColumnType`]
//! (what a source yields), [`Row`] and [`RowKey`] (one candidate), and [`Outcome`] and [`Fate`] (what
//! became of it).
//!
//! Cell values never appear in `Debug` text of rows, keys or records beyond what a caller prints on purpose;
//! secrets are wrapped in [`Secret`].

mod batch;
mod clock;
mod field;
mod hash;
mod json;
mod key;
mod outcome;
mod record;
mod row;
mod secret;
mod value;

pub use batch::{Batch, CellFault, Column, ColumnType, TYPE_METADATA_KEY};
pub use clock::Clock;
pub use field::{FieldType, Nulls};
pub use hash::Hash128;
pub use json::{JsonError, parse_json, parse_json_fields, parse_written_json, write_json, write_json_string};
pub use key::RowKey;
pub use outcome::{Created, Fate, Outcome};
pub use record::{Change, FieldChange, Lookup, OperationKind, Record, SyncMode, diff_records};
pub use row::{Row, RowReader};
pub use secret::Secret;
pub use value::{Object, Value, ValueKind};
