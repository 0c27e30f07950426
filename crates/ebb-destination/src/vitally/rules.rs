//! What must hold of a mapping before a run, and of a record before it is sent, in the words that users of Hightouch know.

use ebb_row::{Object, Record, SyncMode, Value};

use super::objects::{creates, object_spec};
use super::request::{UNADDRESSABLE, id_text, ids};
use crate::spec::{Api, ObjectSpec, OneOf};
use crate::{MappingFault, WritePlan};

/// Why an insert matched by Vitally's id is refused.
pub(super) const INSERT_BY_ID: &str = "a new record cannot have a Vitally id: match on externalId to insert";

/// Returns what is wrong with a mapping that fills `mapped` (top-level fields, the match field included).
pub(crate) fn mapping_faults(plan: &WritePlan, mapped: &[&str]) -> Vec<MappingFault> {
    let Some(object) = object_spec(&plan.object, plan.api) else {
        return vec![fault(None, no_such_object(plan))];
    };
    let mut faults = Vec::new();
    faults.extend(mode_fault(plan, object).map(|message| fault(None, message)));
    faults.extend(match_fault(plan, object).map(|message| fault(plan.match_field.as_deref(), message)));
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

fn mode_fault(plan: &WritePlan, object: &ObjectSpec) -> Option<String> {
    let modes: Vec<&str> = object.modes.iter().map(|mode| mode.word()).collect();
    let allowed = modes.join(", ");
    (!object.modes.contains(&plan.mode))
        .then(|| format!("`{}` by the {} API takes mode {allowed}", plan.object, plan.api.word()))
}

fn match_fault(plan: &WritePlan, object: &ObjectSpec) -> Option<String> {
    match plan.match_field.as_deref() {
        Some(field) if !object.match_fields.contains(&field) => {
            Some(format!("`{}` cannot be matched on `{field}`", plan.object))
        }
        None if !object.match_fields.is_empty() => {
            Some(format!("`{}` needs a match on {}", plan.object, object.match_fields.join(" or ")))
        }
        Some("id") if plan.mode == SyncMode::Insert => Some(INSERT_BY_ID.to_owned()),
        Some(_) | None => None,
    }
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
    if let Some(reason) = mode_fault(plan, object).or_else(|| match_fault(plan, object)) {
        return Err(reason);
    }
    if let Some(field) = plan.match_field.as_deref() {
        let Some(id) = id_text(record, field) else {
            return Err(format!("the match field `{field}` is empty"));
        };
        if plan.api == Api::Rest && plan.object != "user" && matches!(&*id, "." | "..") {
            return Err(UNADDRESSABLE.to_owned());
        }
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

#[cfg(test)]
mod tests {
    use ebb_row::parse_json;

    use super::*;

    fn plan(object: &str, api: Api, mode: SyncMode, match_field: Option<&str>) -> WritePlan {
        WritePlan { object: object.to_owned(), api, mode, match_field: match_field.map(str::to_owned) }
    }

    fn faults(plan: &WritePlan, mapped: &[&str]) -> Vec<String> {
        mapping_faults(plan, mapped)
            .into_iter()
            .map(|fault| fault.field.map_or(fault.message.clone(), |field| format!("{field}: {}", fault.message)))
            .collect()
    }

    fn verdict(plan: &WritePlan, record: &str) -> Result<(), String> {
        let fields = parse_json(record, true).expect(record).as_object().expect("an object").clone();
        judge_record(plan, &Record::new(fields))
    }

    #[test]
    fn users_matched_on_email_need_an_external_id_and_a_link() {
        let upsert = plan("user", Api::Rest, SyncMode::Upsert, Some("email"));
        assert_eq!(faults(&upsert, &["email", "name"]), ["externalId: Required field", LINKS]);
        assert_eq!(faults(&upsert, &["externalId", "organizationIds"]), [""; 0]);
        let update = plan("user", Api::Rest, SyncMode::Update, Some("email"));
        assert_eq!(faults(&update, &["name"]), ["externalId: Required field"]);
        assert_eq!(verdict(&update, r#"{"email":"a@b","externalId":null}"#), Ok(()));
        assert_eq!(
            verdict(&upsert, r#"{"email":"a@b","accountIds":["v"]}"#),
            Err("Required field: externalId".to_owned())
        );
    }

    const LINKS: &str = "Must specify at least one of: accountIds or organizationIds";

    #[test]
    fn users_that_may_be_created_need_a_link() {
        for (mode, expected) in [(SyncMode::Upsert, 1), (SyncMode::Insert, 1), (SyncMode::Update, 0)] {
            let plan = plan("user", Api::Rest, mode, Some("externalId"));
            assert_eq!(faults(&plan, &["externalId", "name"]), vec![LINKS; expected], "{mode:?}");
            for empty in ["", r#","accountIds":null"#, r#","accountIds":[]"#, r#","organizationIds":[null,""]"#] {
                let record = format!(r#"{{"externalId":"u-1"{empty}}}"#);
                assert_eq!(verdict(&plan, &record).is_err(), expected == 1, "{mode:?} {record}");
            }
            let look_up = r#"{"externalId":"u-1","accountIds":[{"$lookup":"account","externalId":"a"}]}"#;
            assert_eq!(verdict(&plan, look_up), Ok(()));
        }
    }

    #[test]
    fn events_need_a_name_and_one_of_three_ids() {
        let insert = plan("event", Api::Analytics, SyncMode::Insert, None);
        assert_eq!(
            faults(&insert, &["timestamp"]),
            ["event: Required field", "Must specify at least one of: accountId, organizationId or userId"]
        );
        assert_eq!(faults(&insert, &["event", "userId"]), [""; 0]);
        assert_eq!(verdict(&insert, r#"{"event":"E","organizationId":7}"#), Ok(()));
        assert_eq!(verdict(&insert, r#"{"event":null,"userId":"u"}"#), Err("Required field: event".to_owned()));
        assert!(verdict(&insert, r#"{"event":"E","userId":""}"#).is_err());
        assert!(verdict(&insert, r#"{"event":"E","userId":"u","properties":[1]}"#).is_err());
    }

    #[test]
    fn modes_and_matches_that_an_api_lacks_are_faults() {
        let update = plan("account", Api::Analytics, SyncMode::Update, Some("externalId"));
        assert_eq!(faults(&update, &[]), ["`account` by the analytics API takes mode upsert"]);
        assert!(verdict(&update, r#"{"externalId":"a-1"}"#).is_err(), "it would create");
        let by_email = plan("account", Api::Rest, SyncMode::Update, Some("email"));
        assert_eq!(faults(&by_email, &[]), ["email: `account` cannot be matched on `email`"]);
        let unmatched = plan("user", Api::Rest, SyncMode::Update, None);
        assert_eq!(faults(&unmatched, &[]), ["`user` needs a match on externalId or email or id"]);
        let insert = plan("account", Api::Rest, SyncMode::Insert, Some("id"));
        assert_eq!(faults(&insert, &[]), [format!("id: {INSERT_BY_ID}"), "name: Required field".to_owned()]);
        let event = plan("event", Api::Rest, SyncMode::Insert, None);
        assert_eq!(faults(&event, &[]), ["vitally has no object `event` by the rest API"]);
    }

    #[test]
    fn reasons_hold_no_cell_value() {
        let upsert = plan("account", Api::Rest, SyncMode::Upsert, Some("externalId"));
        let reason = verdict(&upsert, r#"{"externalId":"a-1","traits":"secret-cell"}"#).expect_err("refused");
        assert!(reason.contains("traits") && reason.contains("text") && !reason.contains("secret-cell"), "{reason}");
    }
}
