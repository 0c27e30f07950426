//! The REST API's reads: one record, lists, searches, the catalogue.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Value, json};

use super::{ADMINS, Rest};
use crate::answer::{Answer, Refusal};
use crate::config::EmailSearch;
use crate::route::{Kind, Route};
use crate::store::{Account, Entry, Instance, Order, Slot, Store, Table, field_views, organization_view};

/// A page asked for.
struct Paging {
    limit: usize,
    order: Order,
    before: Option<u64>,
}

/// A page given.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<V> {
    results: Vec<V>,
    next: Option<String>,
    at_end: bool,
}

type Page = (Vec<Slot>, Option<u64>);

impl Paging {
    fn of(route: &Route) -> Result<Self, Refusal> {
        let limit = match route.parameter("limit").map(str::parse::<usize>) {
            None => 100,
            Some(Ok(limit)) if (1..=100).contains(&limit) => limit,
            Some(_) => return Err(Refusal::invalid("limit must be a number between 1 and 100")),
        };
        let order = match route.parameter("sortBy") {
            None | Some("updatedAt") => Order::UpdatedAt,
            Some("createdAt") => Order::CreatedAt,
            Some(_) => return Err(Refusal::invalid("sortBy must be updatedAt or createdAt")),
        };
        let mut paging = Self { limit, order, before: None };
        if let Some(cursor) = route.parameter("from") {
            let position = paging.read_cursor(cursor).ok_or_else(|| Refusal::invalid("from is not a valid cursor"))?;
            paging.before = Some(position);
        }
        Ok(paging)
    }

    fn prefix(&self) -> &'static str {
        match self.order {
            Order::UpdatedAt => "updatedAt:",
            Order::CreatedAt => "createdAt:",
        }
    }

    fn read_cursor(&self, cursor: &str) -> Option<u64> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        text.strip_prefix(self.prefix())?.parse().ok()
    }

    fn answer<V: Serialize>(&self, results: Vec<V>, next: Option<u64>) -> Answer {
        let next = next.map(|position| URL_SAFE_NO_PAD.encode(format!("{}{position}", self.prefix())));
        Answer::json(200, &Envelope { results, at_end: next.is_none(), next })
    }
}

impl Rest<'_> {
    pub(super) fn list(&self, kind: Kind, route: &Route) -> Result<Answer, Refusal> {
        let paging = Paging::of(route)?;
        match kind {
            Kind::Account => {
                let wanted = status_filter(route.parameter("status"))?;
                let page = self.store.accounts.page(paging.order, paging.before, paging.limit, wanted);
                Ok(self.accounts(&paging, page))
            }
            Kind::Organization => {
                let page = self.store.organizations.page(paging.order, paging.before, paging.limit, |_| true);
                let found = page.0.iter().filter_map(|slot| self.store.organizations.get(*slot));
                Ok(paging.answer(found.map(organization_view).collect(), page.1))
            }
            Kind::User => {
                let page = self.store.users.page(paging.order, paging.before, paging.limit, |_| true);
                Ok(self.users(&paging, page))
            }
        }
    }

    fn accounts(&self, paging: &Paging, (slots, next): Page) -> Answer {
        let found = slots.iter().filter_map(|slot| self.store.accounts.get(*slot));
        paging.answer(found.map(|entry| self.store.account_view(entry)).collect(), next)
    }

    fn users(&self, paging: &Paging, (slots, next): Page) -> Answer {
        let found = slots.iter().filter_map(|slot| self.store.users.get(*slot));
        paging.answer(found.map(|entry| self.store.user_view(entry)).collect(), next)
    }

    pub(super) fn get(&self, kind: Kind, id: &str) -> Result<Answer, Refusal> {
        let slot = self.find(kind, id)?;
        self.show(kind, slot, 200)
    }

    /// The record as an answer.
    pub(super) fn show(&self, kind: Kind, slot: Slot, status: u16) -> Result<Answer, Refusal> {
        let answer = match kind {
            Kind::Account => {
                let entry = self.store.accounts.get(slot);
                entry.map(|entry| Answer::json(status, &self.store.account_view(entry)))
            }
            Kind::Organization => {
                let entry = self.store.organizations.get(slot);
                entry.map(|entry| Answer::json(status, &organization_view(entry)))
            }
            Kind::User => {
                let entry = self.store.users.get(slot);
                entry.map(|entry| Answer::json(status, &self.store.user_view(entry)))
            }
        };
        answer.ok_or_else(|| self.missing())
    }

    pub(super) fn account_users(&self, route: &Route) -> Result<Answer, Refusal> {
        let account = self.find(Kind::Account, &route.id)?;
        let users = self.store.accounts.get(account).map(|entry| &entry.more.users);
        let paging = Paging::of(route)?;
        let slots = users.into_iter().flatten().copied();
        let page = self.store.users.page_of(slots, paging.order, paging.before, paging.limit);
        Ok(self.users(&paging, page))
    }

    pub(super) fn organization_users(&self, route: &Route) -> Result<Answer, Refusal> {
        let organization = self.find(Kind::Organization, &route.id)?;
        let users = self.store.organizations.get(organization).map(|entry| &entry.more.users);
        let paging = Paging::of(route)?;
        let slots = users.into_iter().flatten().copied();
        let page = self.store.users.page_of(slots, paging.order, paging.before, paging.limit);
        Ok(self.users(&paging, page))
    }

    pub(super) fn organization_accounts(&self, route: &Route) -> Result<Answer, Refusal> {
        let organization = self.find(Kind::Organization, &route.id)?;
        let accounts = self.store.organizations.get(organization).map(|entry| &entry.more.accounts);
        let paging = Paging::of(route)?;
        let wanted = status_filter(route.parameter("status"))?;
        let slots = accounts.into_iter().flatten().copied();
        let slots = slots.filter(|slot| self.store.accounts.get(*slot).is_some_and(wanted));
        let page = self.store.accounts.page_of(slots, paging.order, paging.before, paging.limit);
        Ok(self.accounts(&paging, page))
    }

    pub(super) fn search_users(&self, route: &Route) -> Result<Answer, Refusal> {
        let criteria = ["externalId", "email", "emailSubdomain"].map(|key| route.parameter(key));
        let slots = match criteria {
            [Some(external_id), None, None] => self.store.users.find_external_id(external_id).into_iter().collect(),
            [None, Some(email), None] => self.users_with_email(email),
            [None, None, Some(domain)] => self.store.users_at_domain(domain),
            _ => return Err(Refusal::invalid("Exactly one of externalId, email or emailSubdomain is required")),
        };
        let found = slots.iter().filter_map(|slot| self.store.users.get(*slot));
        let results: Vec<_> = found.map(|entry| self.store.user_view(entry)).collect();
        Ok(Answer::json(200, &json!({ "results": results })))
    }

    fn users_with_email(&self, email: &str) -> Vec<Slot> {
        let mut slots = self.store.users_with_email(email);
        match self.switches.email_search {
            EmailSearch::IgnoreCase => {}
            EmailSearch::Exact => slots.retain(|slot| {
                self.store.users.get(*slot).is_some_and(|entry| entry.more.email.as_deref() == Some(email))
            }),
        }
        slots
    }

    pub(super) fn custom_fields(&self, route: &Route) -> Result<Answer, Refusal> {
        let model = route.parameter("model");
        let object = route.parameter("customObjectId");
        if model == Some("customObjects") && object.is_none() {
            return Err(Refusal::invalid("customObjectId is required when model is customObjects"));
        }
        let views = field_views(&self.store.custom_fields, |field| {
            model.is_none_or(|model| field.model == model)
                && object.is_none_or(|object| field.custom_object_id.as_deref() == Some(object))
        });
        Ok(Answer::json(200, &views))
    }

    pub(super) fn list_admins() -> Answer {
        let results: Vec<Value> = ADMINS.iter().map(admin).collect();
        Answer::json(200, &Envelope { results, next: None, at_end: true })
    }

    pub(super) fn search_admins(&self, route: &Route) -> Result<Answer, Refusal> {
        let email = route.parameter("email").ok_or_else(|| Refusal::invalid("email is required"))?;
        let found = ADMINS.iter().find(|(_, _, address)| *address == email).ok_or_else(|| self.missing())?;
        Ok(Answer::json(200, &admin(found)))
    }

    pub(super) fn custom_objects(&self) -> Answer {
        let results: Vec<Value> = self.store.instances.keys().map(|id| custom_object(self.store, id)).collect();
        Answer::json(200, &Envelope { results, next: None, at_end: true })
    }

    pub(super) fn custom_object(&self, id: &str) -> Result<Answer, Refusal> {
        self.instances(id)?;
        Ok(Answer::json(200, &custom_object(self.store, id)))
    }

    fn instances(&self, object: &str) -> Result<&Table<Instance>, Refusal> {
        self.store.instances.get(object).ok_or_else(|| self.missing())
    }

    pub(super) fn list_instances(&self, route: &Route) -> Result<Answer, Refusal> {
        let table = self.instances(&route.id)?;
        let paging = Paging::of(route)?;
        let (slots, next) = table.page(paging.order, paging.before, paging.limit, |_| true);
        let found = slots.iter().filter_map(|slot| table.get(*slot));
        Ok(paging.answer(found.map(|entry| self.store.instance_view(entry)).collect(), next))
    }

    /// Answers with a bare array, as Vitally does. Any parameter beside the one criterion is refused.
    pub(super) fn search_instances(&self, route: &Route) -> Result<Answer, Refusal> {
        let table = self.instances(&route.id)?;
        let [(key, wanted)] = route.query.as_slice() else {
            return Err(Refusal::invalid("Exactly one search criterion is required"));
        };
        let slots: Vec<Slot> = match key.as_str() {
            "id" => table.find_id(wanted).into_iter().collect(),
            "externalId" => table.find_external_id(wanted).into_iter().collect(),
            "customerId" => {
                let account = self.store.accounts.find_id(wanted).and_then(|slot| self.store.accounts.get(slot));
                let external_id = account.map(|entry| &entry.external_id);
                matching(table, |it| it.account.is_some() && it.account.as_ref() == external_id)
            }
            "organizationId" => {
                let slot = self.store.organizations.find_id(wanted);
                let external_id =
                    slot.and_then(|slot| self.store.organizations.get(slot)).map(|entry| &entry.external_id);
                matching(table, |it| it.organization.is_some() && it.organization.as_ref() == external_id)
            }
            _ => return Err(Refusal::invalid("Exactly one search criterion is required")),
        };
        let found = slots.iter().filter_map(|slot| table.get(*slot));
        Ok(Answer::json(200, &found.map(|entry| self.store.instance_view(entry)).collect::<Vec<_>>()))
    }
}

fn matching(table: &Table<Instance>, wanted: impl Fn(&Instance) -> bool) -> Vec<Slot> {
    table.iter().filter(|(_, entry)| wanted(&entry.more)).map(|(slot, _)| slot).collect()
}

/// Which accounts a list's `status` lets through.
fn status_filter(status: Option<&str>) -> Result<fn(&Entry<Account>) -> bool, Refusal> {
    match status {
        None | Some("active") => Ok(|entry| !is_churned(entry)),
        Some("churned") => Ok(is_churned),
        Some("activeOrChurned") => Ok(|_| true),
        Some(_) => Err(Refusal::invalid("status must be active, churned or activeOrChurned")),
    }
}

fn is_churned(entry: &Entry<Account>) -> bool {
    entry.traits.contains_key("churnedAt")
}

fn admin((id, name, email): &(&str, &str, &str)) -> Value {
    json!({ "id": id, "name": name, "email": email, "licenseStatus": "active" })
}

fn custom_object(store: &Store, id: &str) -> Value {
    let fields = field_views(&store.custom_fields, |field| field.custom_object_id.as_deref() == Some(id));
    json!({ "id": id, "name": id, "label": id, "syncActive": true, "writeMode": "writable", "customFields": fields })
}
