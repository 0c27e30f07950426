//! The Analytics API: `/analytics/v1/batch`. A batch with one bad message is refused whole; a message whose id is known
//! is taken and dropped.

use chrono::{DateTime, Utc};
use ebb_destination::{Reply, Request};
use serde_json::{Map, Value, json};

use super::exchange::{CarriedRecord, Content};
use super::{Service, flat, reply};

pub(super) fn is_batch(request: &Request) -> bool {
    request.url.ends_with("/analytics/v1/batch")
}

fn text(message: &Map<String, Value>, name: &str) -> Option<String> {
    message.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// The records of a batch. The key of an event is its property `id`: the service knows no other.
pub(super) fn items(request: &Request) -> Vec<CarriedRecord> {
    let body = request.body.as_deref().and_then(|body| serde_json::from_slice(body).ok());
    let messages: Vec<Map<String, Value>> = body.unwrap_or_default();
    messages.iter().map(item).collect()
}

fn item(message: &Map<String, Value>) -> CarriedRecord {
    let kind = text(message, "type").unwrap_or_default();
    let inner = |name: &str| message.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
    let (key, content) = match kind.as_str() {
        "track" => {
            let properties = inner("properties");
            (text(&properties, "id"), flat(&properties, "", &["id"]))
        }
        "account" => (text(message, "accountId"), traits(&inner("traits"))),
        "organization" => (text(message, "organizationId"), traits(&inner("traits"))),
        _ => (text(message, "userId"), traits(&inner("traits"))),
    };
    CarriedRecord { key: key.unwrap_or_default(), message_id: text(message, "messageId"), content, changed: false }
}

/// A trait that is reserved for a field goes by the field's name.
fn traits(traits: &Map<String, Value>) -> Content {
    let named = flat(traits, "", &[]).into_iter();
    named.map(|(path, value)| if path == "name" { (path, value) } else { (format!("traits.{path}"), value) }).collect()
}

impl Service {
    pub(super) fn apply_batch(
        &mut self,
        now: DateTime<Utc>,
        mut items: Vec<CarriedRecord>,
    ) -> (Vec<CarriedRecord>, Reply) {
        if items.iter().any(|item| self.is_refused(&item.key) || item.message_id.is_none()) {
            return (items, reply(400, &json!({"error": "a message of the batch is invalid"})));
        }
        for item in &mut items {
            if item.message_id.as_ref().is_some_and(|id| self.messages.insert(id.clone())) {
                let fields = item.content.clone();
                self.merge(now, "message", &item.key, &fields);
                item.changed = true;
            }
        }
        (items, reply(200, &json!({"message": "Success."})))
    }
}
