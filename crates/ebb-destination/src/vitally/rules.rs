//! What must hold of a mapping before a run, and of a record before it is sent, in the words that users of Hightouch know.

use ebb_row::{Object, Record, SyncMode, Value};

use super::objects::{creates, object_spec};
use super::request::{UNADDRESSABLE, id_text, ids};
use crate::spec::{Api, OneOf};
use crate::{MappingFault, WritePlan};

/// Why an insert matched by Vitally's id is refused.
pub(super) const INSERT_BY_ID: &str = "a new record cannot have a Vitally id: match on externalId to insert";

/// Returns what is wrong with a mapping that fills `mapped` (top-level fields, the match field included).
pub(crate) fn mapping_faults(plan: &WritePlan, mapped: &[&str]) -> Vec<MappingFault> {
    let Some(object) = object_spec(&plan.object, plan.api) else {
        return vec![fault(None, no_such_object(plan))];
    };
    let mut faults = Vec::new();
    if !object.modes.contains(&plan.mode) {
        let modes: Vec<&str> = object.modes.iter().map(|mode| mode.word()).collect();
        faults.push(fault(
            None,
            format!("`{}` by the {} API takes mode {}", plan.object, plan.api.word(), modes.join(", ")),
        ));
    }
    match plan.match_field.as_deref() {
        Some(field) if !object.match_fields.contains(&field) => {
            faults.push(fault(Some(field), format!("`{}` cannot be matched on `{field}`", plan.object)));
        }
        None if !object.match_fields.is_empty() => {
            faults
                .push(fault(None, format!("`{}` needs a match on {}", plan.object, object.match_fields.join(" or "))));
        }
        Some("id") if plan.mode == SyncMode::Insert => faults.push(fault(Some("id"), INSERT_BY_ID.to_owned())),
        Some(_) | None => {}
    }
    let is_mapped = |field: &&str| mapped.contains(field) || plan.match_field.as_deref() == Some(*field);
    for field in object.fields {
        if field.required.contains(&plan.mode) && !is_mapped(&field.name) {
            faults.push(fault(Some(field.name), "Required field".to_owned()));
        }
    }
    if needs_external_id(plan) && !is_mapped(&"externalId") {
        faults.push(fault(Some("externalId"), "Required field".to_owned()));
    }
    for rule in object.one_of {
        if rule.modes.contains(&plan.mode) && !rule.fields.iter().any(is_mapped) {
            faults.push(fault(None, rule.message.to_owned()));
        }
    }
    faults
}

/// Users matched on email are known by an id of yours too, or they could not be created.
fn needs_external_id(plan: &WritePlan) -> bool {
    plan.object == "user" && plan.api == Api::Rest && plan.match_field.as_deref() == Some("email")
}

/// Judges one record; see [`crate::Destination::judge_record`].
pub(super) fn judge_record(plan: &WritePlan, record: &Record) -> Result<(), String> {
    let Some(object) = object_spec(&plan.object, plan.api) else {
        return Err(no_such_object(plan));
    };
    for name in ["traits", "properties"] {
        if let Some(value) = record.fields.get(name)
            && !matches!(value, Value::Object(_) | Value::Null)
        {
            return Err(format!(
                "`{name}` is {}, but takes an object, such as {{ plan: pro, seats: 5 }}",
                value.kind()
            ));
        }
    }
    match plan.match_field.as_deref() {
        Some("id") if plan.mode == SyncMode::Insert => return Err(INSERT_BY_ID.to_owned()),
        Some(field) => {
            let Some(id) = id_text(record, field) else {
                return Err(format!("the match field `{field}` is empty"));
            };
            if plan.api == Api::Rest && plan.object != "user" && matches!(&*id, "." | "..") {
                return Err(UNADDRESSABLE.to_owned());
            }
        }
        None => {}
    }
    for field in object.fields.iter().filter(|field| field.required.contains(&plan.mode)) {
        if record.fields.get(field.name).is_none_or(|value| value.is_null() || value.as_text() == Some("")) {
            return Err(format!("Required field: {}", field.name));
        }
    }
    if needs_external_id(plan) && creates(plan.mode) && id_text(record, "externalId").is_none() {
        return Err("Required field: externalId".to_owned());
    }
    let broken = object.one_of.iter().find(|rule| rule.modes.contains(&plan.mode) && !holds(rule, &record.fields));
    broken.map_or(Ok(()), |rule| Err(rule.message.to_owned()))
}

/// Whether one of the rule's fields holds an id; a look-up, still to be resolved, is one.
fn holds(rule: &OneOf, fields: &Object) -> bool {
    rule.fields.iter().any(|field| {
        let has_look_up = match fields.get(*field) {
            Some(Value::Lookup(_)) => true,
            Some(Value::List(items)) => items.iter().any(|item| matches!(item, Value::Lookup(_))),
            Some(_) | None => false,
        };
        has_look_up || !ids(fields, field).is_empty()
    })
}

fn no_such_object(plan: &WritePlan) -> String {
    format!("vitally has no object `{}` by the {} API", plan.object, plan.api.word())
}

fn fault(field: Option<&str>, message: String) -> MappingFault {
    MappingFault { field: field.map(str::to_owned), message }
}
