//! A row through a sync's field mappings: a record, or the reason why there is none.
//!
//! A mapping is compiled once from the YAML of a sync's `fields:` ([`Mapping::compile`]), checked against the
//! model's columns ([`Mapping::check`]), bound to their positions ([`Mapping::bind`]), and then turns any number of
//! rows into records ([`Bound::record`]). What users write is described in `docs/mapping.md`.
//!
//! It never reads a file, a clock or the environment: the run's time comes with [`RunContext`]. It knows nothing of
//! destinations beyond the [`Target`]s it is given; which fields are required is not decided here. Texts of faults
//! name fields, columns and types, and never hold a cell's value.
//!
//! Start reading at [`Node`] (what comes in), then the crate's `rule` (what a field's value is made of), `compile`
//! and `evaluate`.

mod check;
mod coerce;
mod compile;
mod convert;
mod digest;
mod directive;
mod evaluate;
mod fit;
mod mapping;
mod nearest;
mod node;
mod rule;

pub use evaluate::{Bound, RowFault, RunContext};
pub use mapping::{ColumnsRead, Mapping};
pub use node::{Key, MappingFault, MappingSettings, Node, NodeKind, Target, TemplatePlace};
