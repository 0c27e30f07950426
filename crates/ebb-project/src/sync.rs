use std::path::Path;
use std::sync::Arc;

use ebb_destination::{Api, WritePlan};
use ebb_mapping::{Mapping, MappingFault, TemplatePlace};
use ebb_plan::Guards;
use ebb_row::{Column, Nulls, SyncMode};
use ebb_schedule::Schedule;

use crate::fault::Fault;
use crate::file::SourceFile;
use crate::scalar;

/// A model, a destination's object, and how one becomes the other.
#[derive(Clone, Debug)]
pub struct Sync {
    /// The file's name without its extension.
    pub name: String,
    /// What it is for, for people.
    pub description: Option<String>,
    /// The model's name.
    pub model: String,
    /// The destination's name.
    pub destination: String,
    /// The destination's object.
    pub object: String,
    /// The API that carries it.
    pub api: Api,
    /// What may be sent.
    pub mode: SyncMode,
    /// The destination's field by which an existing record is found; `None` for events.
    pub match_field: Option<String>,
    /// A row to a record.
    pub mapping: Mapping,
    /// What happens when a row leaves the model.
    pub on_removed: OnRemoved,
    /// What the sync says of nulls, if anything.
    pub nulls: Option<Nulls>,
    /// What the first run does.
    pub first_run: FirstRun,
    /// The limits that refuse a plan.
    pub guards: Guards,
    /// When it runs by itself.
    pub schedule: Option<Schedule>,
    /// Syncs that run before it; sorted, each once.
    pub after: Vec<String>,
    /// Runs in which a rejected row is tried before it is quarantined.
    pub rejected_tries: u32,
    /// Requests in flight, where the sync says so.
    pub concurrency: Option<usize>,
    /// Whether links are only added.
    pub links: Links,
    /// Paths of fields to mask in logs, besides the destination's.
    pub redact: Vec<String>,
    pub(crate) file: Arc<SourceFile>,
}

/// What happens when a row leaves the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRemoved {
    /// Nothing.
    Ignore,
}

/// What the first run of a sync does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstRun {
    /// It sends every row.
    Send,
    /// It takes every row as already there, and sends nothing.
    Adopt,
}

/// What happens to a record's links to other records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// They are added and never removed.
    Add,
}

impl Sync {
    /// Returns the sync's file, relative to the root.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Checks the mapping against the columns that the source describes: names and types. All faults at once.
    pub fn check_columns(&self, columns: &[Column]) -> Vec<Fault> {
        mapping_faults(&self.file, self.mapping.check(columns))
    }

    /// Returns how the sync writes.
    pub fn write_plan(&self) -> WritePlan {
        WritePlan { object: self.object.clone(), api: self.api, mode: self.mode, match_field: self.match_field.clone() }
    }
}

/// Faults told of one mapping, at most.
const MAX_FAULTS: usize = 100;

/// Gives faults of a mapping their places.
pub(crate) fn mapping_faults(file: &SourceFile, faults: Vec<MappingFault>) -> Vec<Fault> {
    let place = |fault: MappingFault| {
        let mut message = match fault.path.as_str() {
            "" => fault.message,
            path => format!("field `{path}`: {}", fault.message),
        };
        let Some(template) = fault.template else { return file.fault(fault.at, message, fault.hint) };
        let within = offset_of(&template)
            .and_then(|offset| scalar::place_within(&file.text, fault.at, &template.source, offset));
        if within.is_none() {
            // The file cannot show the place, so the template's own stands in the message.
            message = format!("{message} (line {}, column {} of the template)", template.line, template.column);
        }
        file.fault(within.unwrap_or(fault.at), message, fault.hint)
    };
    faults.into_iter().take(MAX_FAULTS).map(place).collect()
}

/// Returns the byte offset of a place into its template.
fn offset_of(place: &TemplatePlace) -> Option<usize> {
    let start = place.source.split_inclusive('\n').take(place.line.checked_sub(1)?).map(str::len).sum();
    let within = place.source.get(start..)?.chars().take(place.column.checked_sub(1)?).map(char::len_utf8);
    Some(start + within.sum::<usize>())
}
