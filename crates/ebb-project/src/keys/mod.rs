//! The tables of every key: the one source of what is read, of the editor schemas, and of `docs/surface.md`.

mod check;
mod model;
mod scalar;
mod settings;
mod sync;

pub(crate) use check::{Checker, child, is_name, nearest, scalar_text, shown_list};
pub(crate) use model::MODEL;
pub(crate) use settings::SETTINGS;
pub(crate) use sync::SYNC;

/// One key of a section.
#[derive(Debug)]
pub(crate) struct KeySpec {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) required: bool,
    /// One sentence, with the default.
    pub(crate) help: &'static str,
}

/// What a value may be.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Text that is not empty.
    Text,
    /// Text that no message shows.
    Secret,
    /// An `http` or `https` URL.
    Url,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A whole number within bounds.
    Integer(u64, u64),
    /// `true` or `false`.
    Boolean,
    /// A number with a unit, such as `15m`, within bounds in milliseconds.
    Duration(u64, u64),
    /// `1%` to `100%`.
    Percent,
    /// A percentage or a count.
    Limit,
    /// A number of bytes with a unit, such as `64KiB`.
    Size,
    /// A UUID.
    Uuid,
    /// One text or a list of them, at least one, none twice.
    Texts,
    /// A map with these keys.
    Section(&'static [KeySpec]),
    /// One of these words, or a map with these keys.
    WordsOr(&'static [&'static str], &'static [KeySpec]),
    /// A map from names of the user's choice to what the shape says.
    Named(&'static Shape),
    /// A map whose key `type` chooses the other keys.
    Typed(&'static [Variant], &'static [&'static str]),
    /// Names of columns, or a map from them to their types.
    Columns,
    /// A map of mapping values.
    Fields,
    /// A map of exactly one mapping value.
    Match,
    /// A schedule.
    Cron,
    /// A name of the IANA time zone database.
    TimeZone,
    /// A key that a later version reads.
    Later,
}

/// The keys of one `type`.
#[derive(Debug)]
pub(crate) struct Variant {
    /// The words that name it; the first is the usual one.
    pub(crate) words: &'static [&'static str],
    pub(crate) keys: &'static [KeySpec],
}

pub(crate) const fn key(name: &'static str, shape: Shape, help: &'static str) -> KeySpec {
    KeySpec { name, shape, required: false, help }
}

pub(crate) const fn required(name: &'static str, shape: Shape, help: &'static str) -> KeySpec {
    KeySpec { name, shape, required: true, help }
}

pub(crate) const fn later(name: &'static str, help: &'static str) -> KeySpec {
    KeySpec { name, shape: Shape::Later, required: false, help }
}

pub(crate) const SECOND: u64 = 1_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const DAY: u64 = 24 * HOUR;
