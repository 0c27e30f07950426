//! REST: `/resources/<objects>` and `/resources/<objects>/<either id>`.

use chrono::{DateTime, SecondsFormat, Utc};
use ebb_destination::{Method, Reply, Request};
use serde_json::{Value, json};

use super::exchange::{CarriedRecord, Content};
use super::{Service, Stored, flat, object_of, reply};

/// What a URL names.
struct Route {
    object: &'static str,
    id: Option<String>,
}

fn route(url: &str) -> Option<Route> {
    let (_, path) = url.split_once("/resources/")?;
    let (objects, id) = match path.split_once('/') {
        Some((objects, id)) => (objects, Some(decoded(id))),
        None => (path, None),
    };
    let object = match objects {
        "accounts" => "account",
        "organizations" => "organization",
        "users" => "user",
        _ => return None,
    };
    Some(Route { object, id })
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits: String = rest.by_ref().take(2).map(char::from).collect();
        bytes.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Service {
    fn find(&self, object: &str, id: &str) -> Option<(&String, &Stored)> {
        let table = self.tables.get(object)?;
        table.get_key_value(id).or_else(|| table.iter().find(|(_, stored)| stored.id == id))
    }

    pub(super) fn rest_items(&self, request: &Request) -> Vec<CarriedRecord> {
        let Some(route) = route(&request.url) else { return Vec::new() };
        let body = object_of(request.body.as_deref());
        let key = match &route.id {
            Some(id) => self.find(route.object, id).map_or_else(|| id.clone(), |(key, _)| key.clone()),
            None => body.get("externalId").and_then(Value::as_str).unwrap_or_default().to_owned(),
        };
        vec![CarriedRecord { key, message_id: None, content: flat(&body, "", &["externalId"]), changed: false }]
    }

    pub(super) fn apply_rest(
        &mut self,
        now: DateTime<Utc>,
        request: &Request,
        mut items: Vec<CarriedRecord>,
    ) -> (Vec<CarriedRecord>, Reply) {
        let Some((route, item)) = route(&request.url).zip(items.first_mut()) else {
            return (items, reply(404, &json!({"error": "no such path"})));
        };
        let known = route.id.as_deref().and_then(|id| self.find(route.object, id)).is_some();
        let answer = match request.method {
            Method::Get if known => self.answer(route.object, &item.key),
            Method::Put | Method::Get if !known => reply(404, &json!({"error": "Not Found"})),
            Method::Delete => reply(405, &json!({"error": "this service forgets nothing"})),
            Method::Post | Method::Put | Method::Get => {
                if self.is_refused(&item.key) {
                    reply(400, &json!({"error": "traits.seats is above the limit of this account"}))
                } else if item.key.is_empty() {
                    reply(400, &json!({"error": "externalId is required"}))
                } else {
                    let fields = item.content.clone();
                    item.changed = self.merge(now, route.object, &item.key, &fields);
                    self.answer(route.object, &item.key)
                }
            }
        };
        (items, answer)
    }

    fn answer(&self, object: &str, key: &str) -> Reply {
        let Some((key, stored)) = self.find(object, key) else { return reply(404, &json!({"error": "Not Found"})) };
        let name = stored.content.get("name").cloned().unwrap_or_default();
        let traits: Content = stored
            .content
            .iter()
            .filter_map(|(path, value)| Some((path.strip_prefix("traits.")?.to_owned(), value.clone())))
            .collect();
        let body = json!({
            "id": stored.id,
            "externalId": key,
            "name": name,
            "createdAt": stored.created_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            "traits": traits,
        });
        reply(200, &body)
    }
}
