//! The Analytics API: messages are checked and accepted at once, and take effect later, in their order.

use std::collections::{HashSet, VecDeque};

use serde_json::{Map, Value, json};

use crate::answer::{Answer, Refusal};
use crate::config::{AnalyticsNull, BatchBadItem, Switches, UndefinedTrait};
use crate::limit::Elapsed;
use crate::route::{MessageKind, Operation};
use crate::store::{Slot, Stamp, Store, Traits, merge_traits};

const BATCH_LIMIT: usize = 100;

/// A message, checked.
#[derive(Debug)]
pub(crate) struct Message {
    kind: MessageKind,
    account_id: Option<String>,
    user_id: Option<String>,
    organization_id: Option<String>,
    external_id: Option<String>,
    custom_object_id: Option<String>,
    event: Option<String>,
    name: Option<String>,
    /// The traits; a track's properties.
    traits: Traits,
    /// The messageId, by which duplicates are told.
    identity: String,
    timestamp: Option<String>,
}

/// Messages between their acceptance and their effect, and what is known of earlier ones.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pending: VecDeque<(Elapsed, Message)>,
    seen: HashSet<String>,
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
    pub(crate) dropped: u64,
}

impl Inbox {
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Checks and accepts the messages of one request, to take effect at `due`.
    pub(crate) fn accept(
        &mut self,
        operation: Operation,
        body: Value,
        switches: &Switches,
        due: Elapsed,
    ) -> Result<Answer, Refusal> {
        let messages = match operation {
            Operation::Message(kind) => vec![read(body, kind, switches, true)?],
            Operation::Batch => self.read_batch(body, switches)?,
            Operation::UnknownAnalytics
            | Operation::List(_)
            | Operation::Get(_)
            | Operation::Create(_)
            | Operation::Update(_)
            | Operation::Delete(_)
            | Operation::SearchUsers
            | Operation::AccountUsers
            | Operation::OrganizationAccounts
            | Operation::OrganizationUsers
            | Operation::CustomFields
            | Operation::ListAdmins
            | Operation::SearchAdmins
            | Operation::ListCustomObjects
            | Operation::GetCustomObject
            | Operation::ListInstances
            | Operation::SearchInstances
            | Operation::UnknownRest
            | Operation::Own => return Err(Refusal::new(404, "This stand-in for Vitally has no such endpoint")),
        };
        for message in messages {
            if self.seen.insert(message.identity.clone()) {
                self.accepted += 1;
                self.pending.push_back((due, message));
            } else {
                self.duplicates += 1;
            }
        }
        Ok(Answer::json(200, &json!({ "message": "Success." })))
    }

    fn read_batch(&mut self, body: Value, switches: &Switches) -> Result<Vec<Message>, Refusal> {
        let Value::Array(items) = body else {
            return Err(Refusal::invalid("A batch must be a JSON array of messages"));
        };
        if items.len() > BATCH_LIMIT {
            return Err(Refusal::invalid("A batch may hold at most 100 messages"));
        }
        let is_strict = switches.batch_bad_item != BatchBadItem::AcceptAll;
        let mut messages = Vec::with_capacity(items.len());
        for item in items {
            let kind = item.get("type").and_then(Value::as_str).and_then(MessageKind::named);
            let message = match kind {
                Some(kind) => read(item, kind, switches, is_strict),
                None => Err(Refusal::invalid("Each message of a batch needs a known type")),
            };
            match message {
                Ok(message) => messages.push(message),
                Err(refusal) if switches.batch_bad_item == BatchBadItem::RejectAll => return Err(refusal),
                Err(_) => self.dropped += 1,
            }
        }
        Ok(messages)
    }

    /// Applies the messages that are due.
    pub(crate) fn settle(&mut self, store: &mut Store, switches: &Switches, now: Elapsed) {
        while self.pending.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, message)) = self.pending.pop_front() {
                Effect { store, switches, now: Stamp::now() }.apply(message);
            }
        }
    }
}

/// The ids by which a body's messages name records, each once for its message.
pub(crate) fn external_ids(body: &Value) -> Vec<String> {
    let messages = body.as_array().map_or(std::slice::from_ref(body), Vec::as_slice);
    let keys = ["externalId", "userId", "accountId", "organizationId"];
    let ids = messages.iter().flat_map(|message| keys.iter().filter_map(|key| id_text(message.get(*key)?)));
    ids.collect()
}

fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Reads a message. When not strict, all that is asked is the ids without which it can have no effect.
fn read(body: Value, kind: MessageKind, switches: &Switches, is_strict: bool) -> Result<Message, Refusal> {
    let Value::Object(mut fields) = body else {
        return Err(Refusal::invalid("A message must be a JSON object"));
    };
    let message_id = fields.get("messageId").and_then(id_text);
    let timestamp = fields.get("timestamp").and_then(Value::as_str).map(str::to_owned);
    if is_strict {
        check_form(&fields, kind, message_id.is_some())?;
    }
    let identity = match message_id {
        Some(id) => id,
        // Without a messageId, Vitally tells duplicates by a hash of the message.
        None => serde_json::to_string(&fields).unwrap_or_default(),
    };
    let traits_key = if kind == MessageKind::Track { "properties" } else { "traits" };
    let traits = match fields.remove(traits_key) {
        Some(Value::Object(traits)) => traits,
        _ => Traits::new(),
    };
    let id = |key: &str| fields.get(key).and_then(id_text);
    let message = Message {
        kind,
        account_id: id("accountId"),
        user_id: id("userId"),
        organization_id: id("organizationId"),
        external_id: id("externalId"),
        custom_object_id: id("customObjectId"),
        event: id("event"),
        name: id("name"),
        traits,
        identity,
        timestamp,
    };
    message.check_ids(switches)?;
    Ok(message)
}

fn check_form(fields: &Map<String, Value>, kind: MessageKind, has_message_id: bool) -> Result<(), Refusal> {
    match fields.get("timestamp") {
        None if !has_message_id => return Err(Refusal::invalid("timestamp or messageId is required")),
        None => {}
        Some(Value::String(text)) if chrono::DateTime::parse_from_rfc3339(text).is_ok() => {}
        Some(_) => return Err(Refusal::invalid("timestamp must be an ISO 8601 date")),
    }
    let (key, is_required) = match kind {
        MessageKind::Organization | MessageKind::Account => ("traits", false),
        MessageKind::User | MessageKind::CustomObjectInstance => ("traits", true),
        MessageKind::Track => ("properties", true),
        MessageKind::Unlink => return Ok(()),
    };
    match fields.get(key) {
        Some(Value::Object(_)) => Ok(()),
        None if !is_required => Ok(()),
        None => Err(Refusal::invalid(format!("{key} is required"))),
        Some(_) => Err(Refusal::invalid(format!("{key} must be an object"))),
    }
}

impl Message {
    fn check_ids(&self, switches: &Switches) -> Result<(), Refusal> {
        let need = |id: &Option<String>, key: &str| {
            if id.is_some() { Ok(()) } else { Err(Refusal::invalid(format!("{key} is required"))) }
        };
        let organization = self.organization_id.as_ref().filter(|_| switches.organizations_enabled);
        let has_group = self.account_id.is_some() || organization.is_some();
        let need_group = |is_there: bool| {
            if is_there { Ok(()) } else { Err(Refusal::invalid("accountId or organizationId is required")) }
        };
        match self.kind {
            MessageKind::Organization if !switches.organizations_enabled => {
                Err(Refusal::invalid("Organizations are not enabled for this workspace"))
            }
            MessageKind::Organization => need(&self.organization_id, "organizationId"),
            MessageKind::Account => need(&self.account_id, "accountId"),
            MessageKind::User => need(&self.user_id, "userId").and_then(|()| need_group(has_group)),
            MessageKind::Track => {
                need(&self.event, "event")?;
                if has_group || self.user_id.is_some() {
                    Ok(())
                } else {
                    Err(Refusal::invalid("userId, accountId or organizationId is required"))
                }
            }
            MessageKind::Unlink => need(&self.user_id, "userId").and_then(|()| need(&self.account_id, "accountId")),
            MessageKind::CustomObjectInstance => {
                need(&self.external_id, "externalId")?;
                need(&self.custom_object_id, "customObjectId")?;
                need_group(has_group)
            }
        }
    }
}

/// A message taking effect.
struct Effect<'a> {
    store: &'a mut Store,
    switches: &'a Switches,
    now: Stamp,
}

impl Effect<'_> {
    fn apply(&mut self, message: Message) {
        match message.kind {
            MessageKind::Organization => self.organization(message),
            MessageKind::Account => self.account(message),
            MessageKind::User => self.user(message),
            MessageKind::Track => self.track(&message),
            MessageKind::Unlink => self.unlink(&message),
            MessageKind::CustomObjectInstance => self.instance(message),
        }
    }

    fn organization(&mut self, message: Message) {
        let Some(external_id) = message.organization_id else { return };
        let known = self.store.organizations.find_external_id(&external_id);
        let slot = known.unwrap_or_else(|| self.store.create_organization(&external_id, self.now));
        let traits = self.traits(message.traits, "organizations");
        let entry = match known {
            Some(slot) => self.store.organizations.change(slot, self.now),
            None => self.store.organizations.get_mut(slot),
        };
        if let Some(entry) = entry {
            merge_named(&mut entry.name, &mut entry.traits, traits);
        }
    }

    fn account(&mut self, message: Message) {
        let Some(external_id) = message.account_id else { return };
        let known = self.store.accounts.find_external_id(&external_id);
        let slot = known.unwrap_or_else(|| self.store.create_account(&external_id, self.now));
        let traits = self.traits(message.traits, "accounts");
        let entry = match known {
            Some(slot) => self.store.accounts.change(slot, self.now),
            None => self.store.accounts.get_mut(slot),
        };
        if let Some(entry) = entry {
            merge_named(&mut entry.name, &mut entry.traits, traits);
        }
        if let Some(organization) = message.organization_id.and_then(|id| self.organization_of(&id)) {
            self.store.set_organization(slot, Some(organization));
        }
    }

    fn user(&mut self, message: Message) {
        let Some(external_id) = message.user_id else { return };
        let known = self.store.users.find_external_id(&external_id);
        let slot = known.unwrap_or_else(|| self.store.create_user(&external_id, self.now));
        let mut traits = self.traits(message.traits, "users");
        if let Some(email) = take_text(&mut traits, "email") {
            self.store.set_email(slot, Some(email));
        }
        let entry = match known {
            Some(slot) => self.store.users.change(slot, self.now),
            None => self.store.users.get_mut(slot),
        };
        if let Some(entry) = entry {
            if let Some(avatar) = take_text(&mut traits, "avatar") {
                entry.more.avatar = Some(avatar);
            }
            if let Some(join_date) = take_text(&mut traits, "createdAt") {
                entry.more.join_date = Some(join_date);
            }
            merge_named(&mut entry.name, &mut entry.traits, traits);
        }
        // Links add up: only `unlink` removes one. An account not known yet is created.
        if let Some(id) = message.account_id {
            let known = self.store.accounts.find_external_id(&id);
            let account = known.unwrap_or_else(|| self.store.create_account(&id, self.now));
            self.store.link_account(slot, account);
        }
        if let Some(organization) = message.organization_id.and_then(|id| self.organization_of(&id)) {
            self.store.link_organization(slot, organization);
        }
    }

    fn organization_of(&mut self, external_id: &str) -> Option<Slot> {
        if !self.switches.organizations_enabled {
            return None;
        }
        let known = self.store.organizations.find_external_id(external_id);
        Some(known.unwrap_or_else(|| self.store.create_organization(external_id, self.now)))
    }

    fn track(&mut self, message: &Message) {
        let attributed = if message.account_id.is_none() && message.organization_id.is_none() {
            self.last_account(message.user_id.as_deref())
        } else {
            message.account_id.clone()
        };
        self.store.add_event(json!({
            "event": message.event,
            "userId": message.user_id,
            "accountId": message.account_id,
            "organizationId": message.organization_id,
            "properties": message.traits,
            "messageId": message.identity,
            "timestamp": message.timestamp,
            "attributedAccountId": attributed,
        }));
    }

    /// The externalId of the account that the user was last linked to.
    fn last_account(&self, user_id: Option<&str>) -> Option<String> {
        let user = self.store.users.get(self.store.users.find_external_id(user_id?)?)?;
        let account = self.store.accounts.get(user.more.last_account?)?;
        Some(account.external_id.to_string())
    }

    fn unlink(&mut self, message: &Message) {
        let user = message.user_id.as_deref().and_then(|id| self.store.users.find_external_id(id));
        let account = message.account_id.as_deref().and_then(|id| self.store.accounts.find_external_id(id));
        if let (Some(user), Some(account)) = (user, account) {
            self.store.unlink_account(user, account);
            self.store.users.change(user, self.now);
        }
    }

    fn instance(&mut self, message: Message) {
        let (Some(external_id), Some(object)) = (message.external_id, message.custom_object_id) else { return };
        let traits = self.traits(message.traits, "customObjects");
        let Some(entry) = self.store.upsert_instance(&object, &external_id, self.now) else { return };
        if message.name.is_some() {
            entry.name = message.name;
        }
        if let Some(account) = message.account_id {
            entry.more.account = Some(account.into());
        }
        if let Some(organization) = message.organization_id {
            entry.more.organization = Some(organization.into());
        }
        merge_traits(&mut entry.traits, traits);
    }

    fn traits(&self, mut traits: Traits, model: &str) -> Traits {
        if self.switches.analytics_null_trait == AnalyticsNull::Ignore {
            traits.retain(|_, value| !value.is_null());
        }
        let undefined = match self.switches.undefined_custom_trait {
            UndefinedTrait::Store => UndefinedTrait::Store,
            UndefinedTrait::Ignore | UndefinedTrait::Reject => UndefinedTrait::Ignore,
        };
        // Nothing is refused here: what is undefined is left out.
        let checked = self.store.check_traits(&mut traits, model, undefined);
        debug_assert!(checked.is_ok(), "ignored traits are never refused");
        traits
    }
}

/// `name` among the traits is the record's name; the others are traits.
fn merge_named(name: &mut Option<String>, traits: &mut Traits, mut given: Traits) {
    if let Some(text) = take_text(&mut given, "name") {
        *name = Some(text);
    }
    merge_traits(traits, given);
}

/// Takes a reserved trait, if it is a string.
fn take_text(traits: &mut Traits, key: &str) -> Option<String> {
    match traits.get(key) {
        Some(Value::String(text)) => {
            let text = text.clone();
            traits.remove(key);
            Some(text)
        }
        Some(_) | None => None,
    }
}
