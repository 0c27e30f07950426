use ebb_row::{Change, Hash128, Object, OperationKind, Record, SyncMode, Value, diff_records};

/// What the snapshot holds for a row.
#[derive(Clone, Debug)]
pub struct Accepted<'a> {
    /// Digest of the accepted record; zero where what the destination holds is uncertain.
    pub digest: Hash128,
    /// The accepted record.
    pub record: &'a Object,
}

/// What is to happen to a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Send it.
    Send(OperationKind),
    /// The destination has it as it is: only the fingerprint moves.
    Refresh,
}

/// Decides what a mapped candidate becomes.
///
/// In insert mode a key that was accepted once stays sent. A record that only lost fields costs no call: what the
/// destination keeps, the snapshot keeps.
pub fn decide(mode: SyncMode, record: &Record, digest: Hash128, accepted: Option<&Accepted<'_>>) -> Decision {
    let Some(accepted) = accepted else {
        return Decision::Send(OperationKind::Add);
    };
    if mode == SyncMode::Insert || accepted.digest == digest {
        return Decision::Refresh;
    }
    if accepted.digest == Hash128::default() {
        return Decision::Send(OperationKind::Change);
    }
    let only_lost = diff_records(accepted.record, &record.fields)
        .iter()
        .all(|change| matches!(change.change, Change::Removed(_)) || record.volatile.contains(&change.path));
    if only_lost { Decision::Refresh } else { Decision::Send(OperationKind::Change) }
}

/// Returns what the destination holds after it merged `record` into `accepted`: objects are merged field by field, a
/// null stays as a null.
pub fn merge_records(accepted: &Object, record: &Object) -> Object {
    let mut merged = accepted.clone();
    for (name, value) in record {
        let value = match (merged.get(name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => Value::Object(merge_records(old, new)),
            (_, value) => value.clone(),
        };
        merged.insert(name.clone(), value);
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use ebb_row::parse_json;

    fn record(json: &str) -> Record {
        Record::new(parse_json(json, true).expect("valid").as_object().expect("an object").clone())
    }

    fn check(mode: SyncMode, new: &str, old: Option<&str>, expected: Decision) {
        let new = record(new);
        let digest = new.digest().expect("json");
        let old = old.map(record);
        let accepted = old.as_ref().map(|old| Accepted { digest: old.digest().expect("json"), record: &old.fields });
        assert_eq!(decide(mode, &new, digest, accepted.as_ref()), expected);
    }

    #[test]
    fn a_record_is_sent_when_it_is_new_or_differs() {
        use Decision::{Refresh, Send};
        use OperationKind::{Add, Change};
        check(SyncMode::Upsert, r#"{"a":1}"#, None, Send(Add));
        check(SyncMode::Upsert, r#"{"a":1}"#, Some(r#"{"a":1}"#), Refresh);
        check(SyncMode::Upsert, r#"{"a":2}"#, Some(r#"{"a":1}"#), Send(Change));
        check(SyncMode::Upsert, r#"{"a":1,"b":null}"#, Some(r#"{"a":1}"#), Send(Change));
        check(SyncMode::Upsert, r#"{"t":{"x":1}}"#, Some(r#"{"t":{"x":1,"y":2},"n":"A"}"#), Refresh);
        check(SyncMode::Insert, r#"{"a":2}"#, Some(r#"{"a":1}"#), Refresh);
    }

    #[test]
    fn what_is_uncertain_is_sent_again() {
        let new = record(r#"{"a":1}"#);
        let accepted = Accepted { digest: Hash128::default(), record: &new.fields };
        let decision = decide(SyncMode::Upsert, &new, new.digest().expect("json"), Some(&accepted));
        assert_eq!(decision, Decision::Send(OperationKind::Change));
    }

    #[test]
    fn merging_keeps_what_the_record_does_not_name() {
        let merged = merge_records(
            &record(r#"{"name":"A","t":{"x":1,"y":2}}"#).fields,
            &record(r#"{"t":{"x":null,"z":3}}"#).fields,
        );
        assert_eq!(merged, record(r#"{"name":"A","t":{"x":null,"y":2,"z":3}}"#).fields);
    }
}
