//! Records to HTTP requests; pure.

use std::sync::Arc;

use bytes::Bytes;
use ebb_row::{Object, Record, Secret, Value, write_json};

use super::reply::{Flow, rejected};
use crate::WriteRecord;
use crate::http::{HeaderText, Method, Repeat, Request};

/// Where one of Vitally's APIs is reached, and with what.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// Base URL without a final slash.
    pub(super) base: Arc<str>,
    /// The `authorization` header.
    pub(super) authorization: Secret,
    /// Texts that must not come back in a reason.
    pub(super) masks: Arc<[Secret]>,
    /// Position in the destination's budgets.
    pub(super) budget: usize,
}

impl Endpoint {
    pub(super) fn request(&self, operation: &'static str, method: Method, path: &str, body: Option<Bytes>) -> Request {
        let plain = |text: &'static str| HeaderText::Plain(text.into());
        let mut headers = vec![
            ("authorization", HeaderText::Secret(self.authorization.clone())),
            ("accept", plain("application/json")),
            ("user-agent", plain(concat!("ebb/", env!("CARGO_PKG_VERSION")))),
        ];
        if body.is_some() {
            headers.push(("content-type", plain("application/json")));
        }
        Request {
            operation,
            budget: self.budget,
            writes: method != Method::Get,
            method,
            url: format!("{}{path}", self.base),
            headers,
            body,
            repeat: Repeat::Repeatable,
        }
    }
}

/// An object that REST writes one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Account,
    Organization,
    User,
}

impl Kind {
    pub(super) fn of(object: &str) -> Option<Self> {
        match object {
            "account" => Some(Self::Account),
            "organization" => Some(Self::Organization),
            "user" => Some(Self::User),
            _ => None,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Organization => "organization",
            Self::User => "user",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Account => "/resources/accounts",
            Self::Organization => "/resources/organizations",
            Self::User => "/resources/users",
        }
    }
}

/// Calls on the records of one kind.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    pub(super) endpoint: Endpoint,
    pub(super) kind: Kind,
}

impl Calls {
    /// Reads the record of this id (Vitally's or yours).
    pub(super) fn get(&self, id: &str) -> Flow<Request> {
        let operation = match self.kind {
            Kind::Account => "account.get",
            Kind::Organization => "organization.get",
            Kind::User => "user.get",
        };
        Flow::Continue(self.endpoint.request(operation, Method::Get, &self.record_path(id)?, None))
    }

    /// Finds users by `externalId` or `email`.
    pub(super) fn search_users(&self, field: &str, value: &str) -> Request {
        let path = format!("{}/search?{field}={}", Kind::User.path(), percent_encoded(value));
        self.endpoint.request("user.search", Method::Get, &path, None)
    }

    /// Updates the record of this id. The same body twice does what it does once.
    pub(super) fn put(&self, id: &str, fields: Object) -> Flow<Request> {
        let operation = match self.kind {
            Kind::Account => "account.put",
            Kind::Organization => "organization.put",
            Kind::User => "user.put",
        };
        let path = self.record_path(id)?;
        Flow::Continue(self.endpoint.request(operation, Method::Put, &path, Some(body_of(fields)?)))
    }

    /// Creates a record; for accounts and organizations Vitally updates the one that has the external id.
    pub(super) fn post(&self, fields: Object, repeat: Repeat) -> Flow<Request> {
        let operation = match self.kind {
            Kind::Account => "account.post",
            Kind::Organization => "organization.post",
            Kind::User => "user.post",
        };
        let mut request = self.endpoint.request(operation, Method::Post, self.kind.path(), Some(body_of(fields)?));
        request.repeat = repeat;
        Flow::Continue(request)
    }

    fn record_path(&self, id: &str) -> Flow<String> {
        match segment(id) {
            Some(segment) => Flow::Continue(format!("{}/{segment}", self.kind.path())),
            None => rejected(UNADDRESSABLE),
        }
    }
}

/// The reason for an id that no URL can hold.
pub(super) const UNADDRESSABLE: &str = "an id that is empty, `.` or `..` has no address in Vitally's API";

/// Returns `id` as one segment of a path; `None` for an empty one and for the dots that every URL parser removes, even
/// when they are encoded.
pub(super) fn segment(id: &str) -> Option<String> {
    if matches!(id, "" | "." | "..") { None } else { Some(percent_encoded(id)) }
}

/// Encodes all but the unreserved characters of RFC 3986.
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0').to_ascii_uppercase();
            out.extend([digit(byte >> 4), digit(byte & 0xf)]);
        }
    }
    out
}

/// Whether an external id could be read as one of Vitally's own ids.
pub(super) fn is_uuid_shaped(id: &str) -> bool {
    let groups: Vec<&str> = id.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let is_hex = id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_hex && (lengths == [8, 4, 4, 4, 12] || lengths == [32])
}

/// Writes a body.
fn body_of(fields: Object) -> Flow<Bytes> {
    let mut out = Vec::with_capacity(512);
    match write_json(&Value::Object(fields), &mut out) {
        Ok(()) => Flow::Continue(out.into()),
        Err(error) => rejected(error.to_string()),
    }
}

/// Returns the text of a field that holds an id; `None` where it is absent, null or empty.
pub(super) fn id_text(record: &Record, field: &str) -> Option<Arc<str>> {
    record.fields.get(field)?.canonical_text().filter(|text| !text.is_empty())
}

/// Whether the record is still about what Vitally accepted for its row, by one of `fields`: a row whose external id
/// changed is about another object, and the id that Vitally told then is not that object's.
pub(super) fn is_same_object(write: &WriteRecord, fields: &[&str]) -> bool {
    let Some(previous) = write.previous.as_deref() else { return true };
    let mut is_told = false;
    for field in fields {
        let before = previous.get(*field).and_then(Value::canonical_text);
        let after = write.record.fields.get(*field).and_then(Value::canonical_text);
        if let (Some(before), Some(after)) = (before, after) {
            if before == after {
                return true;
            }
            is_told = true;
        }
    }
    !is_told
}

/// Returns the ids in a field that holds one or a list; without nulls, empties and repetitions.
pub(super) fn ids(fields: &Object, field: &str) -> Vec<Arc<str>> {
    let mut ids: Vec<Arc<str>> = Vec::new();
    let items = match fields.get(field) {
        Some(Value::List(items)) => items.as_slice(),
        Some(value) => std::slice::from_ref(value),
        None => &[],
    };
    for text in items.iter().filter_map(Value::canonical_text) {
        if !text.is_empty() && !ids.contains(&text) {
            ids.push(text);
        }
    }
    ids
}

/// Returns whether a look-up is left anywhere in the record: it must be resolved before it is sent.
pub(super) fn has_look_up(fields: &Object) -> bool {
    fn is_one(value: &Value) -> bool {
        match value {
            Value::Lookup(_) => true,
            Value::List(items) => items.iter().any(is_one),
            Value::Object(object) => object.values().any(is_one),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Decimal(_)
            | Value::Text(_)
            | Value::Bytes(_)
            | Value::Instant(_)
            | Value::LocalTime(_)
            | Value::Date(_) => false,
        }
    }
    fields.values().any(is_one)
}

/// The fields but the ids, which only a creation takes.
fn without_ids(record: &Record) -> impl Iterator<Item = (&Arc<str>, &Value)> {
    record.fields.iter().filter(|(name, _)| !matches!(&***name, "id" | "externalId"))
}

/// Returns what an update sends: all fields but the ids; nulls stay.
pub(super) fn fields_to_update(record: &Record) -> Object {
    without_ids(record).map(|(name, value)| (Arc::clone(name), value.clone())).collect()
}

/// Returns what a creation sends: the external id first, no Vitally id, and no nulls: there is nothing to clear.
pub(super) fn fields_to_create(record: &Record, external_id: &Arc<str>) -> Object {
    let mut fields = Object::default();
    fields.insert("externalId".into(), Value::Text(Arc::clone(external_id)));
    for (name, value) in without_ids(record).filter(|(_, value)| !value.is_null()) {
        let value = match value.as_object().filter(|_| &**name == "traits") {
            Some(traits) => Value::Object(some_of(traits, |value| !value.is_null())),
            None => value.clone(),
        };
        fields.insert(Arc::clone(name), value);
    }
    fields
}

/// Returns the nulls that [`fields_to_create`] left out.
pub(super) fn fields_to_clear(record: &Record) -> Object {
    let mut fields = Object::default();
    for (name, value) in without_ids(record) {
        if let Some(traits) = value.as_object().filter(|_| &**name == "traits") {
            let nulls = some_of(traits, Value::is_null);
            if !nulls.is_empty() {
                fields.insert(Arc::clone(name), Value::Object(nulls));
            }
        } else if value.is_null() {
            fields.insert(Arc::clone(name), Value::Null);
        }
    }
    fields
}

fn some_of(object: &Object, wanted: impl Fn(&Value) -> bool) -> Object {
    object.iter().filter(|(_, value)| wanted(value)).map(|(name, value)| (Arc::clone(name), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_segment_of_the_path() {
        for (id, expected) in [
            ("a-1", Some("a-1")),
            ("a/../b?c#d", Some("a%2F..%2Fb%3Fc%23d")),
            ("50%", Some("50%25")),
            ("a b+c@d", Some("a%20b%2Bc%40d")),
            ("é\u{202e}\r\n", Some("%C3%A9%E2%80%AE%0D%0A")),
            ("...", Some("...")),
            ("..", None),
            (".", None),
            ("", None),
        ] {
            assert_eq!(segment(id).as_deref(), expected, "{id:?}");
            if let Some(segment) = segment(id) {
                let url = url::Url::parse(&format!("https://host/resources/accounts/{segment}")).expect("a URL");
                assert_eq!(url.path(), format!("/resources/accounts/{segment}"), "the URL parser leaves it");
            }
        }
    }

    #[test]
    fn shapes_of_vitallys_own_ids_are_known() {
        for id in ["6f1c0000-0000-4000-8000-00000000000A", "6f1c000000004000800000000000000a"] {
            assert!(is_uuid_shaped(id), "{id}");
        }
        for id in ["acct-17", "", "6f1c0000-0000-4000-8000-00000000000", "g"] {
            assert!(!is_uuid_shaped(id), "{id}");
        }
    }
}
