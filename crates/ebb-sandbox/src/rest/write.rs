//! The REST API's writes. A refused write changes nothing: all of a body is checked before any of it is
//! applied.

use serde_json::Value;

use super::Rest;
use super::body::{Fields, Given};
use crate::answer::{Answer, Refusal};
use crate::config::{AccountNameOnPut, PlainNull, PostUserExisting, PutLinks};
use crate::route::{Kind, Route};
use crate::store::{Slot, Traits, merge_traits};

/// A user's fields, checked.
struct UserFields {
    name: Given<String>,
    email: Given<String>,
    avatar: Given<String>,
    join_date: Given<String>,
    unsubscribed: Option<bool>,
    accounts: Option<Vec<Slot>>,
    organizations: Option<Vec<Slot>>,
    traits: Traits,
}

impl Rest<'_> {
    pub(super) fn create(&mut self, kind: Kind, body: Value) -> Result<Answer, Refusal> {
        let mut fields = Fields::of(body)?;
        match kind {
            Kind::Account => self.post_account(&mut fields),
            Kind::Organization => self.post_organization(&mut fields),
            Kind::User => self.post_user(&mut fields),
        }
    }

    pub(super) fn update(&mut self, kind: Kind, id: &str, body: Value) -> Result<Answer, Refusal> {
        let mut fields = Fields::of(body)?;
        let slot = self.find(kind, id)?;
        match kind {
            Kind::Account => self.put_account(slot, &mut fields)?,
            Kind::Organization => self.put_organization(slot, &mut fields)?,
            Kind::User => {
                let fields = self.user_fields(&mut fields)?;
                self.users_change(slot);
                self.apply_user(slot, fields);
            }
        }
        self.show(kind, slot, 200)
    }

    pub(super) fn delete(&mut self, kind: Kind, route: &Route) -> Result<Answer, Refusal> {
        let slot = self.find(kind, &route.id)?;
        match kind {
            Kind::Account => self.store.remove_account(slot),
            Kind::Organization => self.store.remove_organization(slot),
            // A user is only marked: it stays readable, and no field shows the mark.
            Kind::User => {
                let date = route.parameter("deleteOn").unwrap_or("now");
                if let Some(entry) = self.store.users.change(slot, self.now) {
                    entry.more.deletion = Some(date.to_owned());
                }
            }
        }
        Ok(Answer::empty(204))
    }

    fn post_account(&mut self, fields: &mut Fields) -> Result<Answer, Refusal> {
        let external_id = fields.required("externalId")?;
        let name = fields.required("name")?;
        let organization = self.organization_link(fields, false)?;
        let traits = self.traits(fields, "accounts")?;
        let known = self.store.accounts.find_external_id(&external_id);
        let slot = known.unwrap_or_else(|| self.store.create_account(&external_id, self.now));
        let entry = match known {
            Some(slot) => self.store.accounts.change(slot, self.now),
            None => self.store.accounts.get_mut(slot),
        };
        if let Some(entry) = entry {
            entry.name = Some(name);
            merge_traits(&mut entry.traits, traits);
        }
        self.link_organization(slot, &organization);
        self.show(Kind::Account, slot, self.created_status(known))
    }

    fn put_account(&mut self, slot: Slot, fields: &mut Fields) -> Result<(), Refusal> {
        let name = fields.plain("name", self.switches.plain_null)?;
        let organization = self.organization_link(fields, true)?;
        fields.only_null("accountOwnerId")?;
        let traits = self.traits(fields, "accounts")?;
        if let Some(entry) = self.store.accounts.change(slot, self.now) {
            if self.switches.account_name_on_put == AccountNameOnPut::Apply {
                set(&mut entry.name, name);
            }
            merge_traits(&mut entry.traits, traits);
        }
        self.link_organization(slot, &organization);
        Ok(())
    }

    fn post_organization(&mut self, fields: &mut Fields) -> Result<Answer, Refusal> {
        let external_id = fields.required("externalId")?;
        let name = fields.required("name")?;
        let traits = self.traits(fields, "organizations")?;
        let known = self.store.organizations.find_external_id(&external_id);
        let slot = known.unwrap_or_else(|| self.store.create_organization(&external_id, self.now));
        let entry = match known {
            Some(slot) => self.store.organizations.change(slot, self.now),
            None => self.store.organizations.get_mut(slot),
        };
        if let Some(entry) = entry {
            entry.name = Some(name);
            merge_traits(&mut entry.traits, traits);
        }
        self.show(Kind::Organization, slot, self.created_status(known))
    }

    fn put_organization(&mut self, slot: Slot, fields: &mut Fields) -> Result<(), Refusal> {
        let name = fields.plain("name", self.switches.plain_null)?;
        let traits = self.traits(fields, "organizations")?;
        if let Some(entry) = self.store.organizations.change(slot, self.now) {
            set(&mut entry.name, name);
            merge_traits(&mut entry.traits, traits);
        }
        Ok(())
    }

    fn post_user(&mut self, fields: &mut Fields) -> Result<Answer, Refusal> {
        let external_id = fields.required("externalId")?;
        let fields = self.user_fields(fields)?;
        let has_links = |links: &Option<Vec<Slot>>| links.as_ref().is_some_and(|it| !it.is_empty());
        if !has_links(&fields.accounts) && !has_links(&fields.organizations) {
            return Err(Refusal::invalid("accountIds or organizationIds is required"));
        }
        let known = self.store.users.find_external_id(&external_id);
        if known.is_some() && self.switches.post_user_existing == PostUserExisting::Conflict400 {
            return Err(Refusal::invalid("A user with this externalId already exists"));
        }
        let slot = known.unwrap_or_else(|| self.store.create_user(&external_id, self.now));
        if known.is_some() {
            self.users_change(slot);
        }
        self.apply_user(slot, fields);
        self.show(Kind::User, slot, self.created_status(known))
    }

    fn users_change(&mut self, slot: Slot) {
        self.store.users.change(slot, self.now);
    }

    fn user_fields(&self, fields: &mut Fields) -> Result<UserFields, Refusal> {
        let nulls = self.switches.plain_null;
        let accounts = fields.list("accountIds")?;
        let organizations = fields.list("organizationIds")?;
        if organizations.is_some() && !self.switches.organizations_enabled {
            return Err(Self::no_organizations());
        }
        Ok(UserFields {
            name: fields.plain("name", nulls)?,
            email: fields.plain("email", nulls)?,
            avatar: fields.plain("avatar", nulls)?,
            join_date: join_date(fields, nulls)?,
            unsubscribed: fields.flag("unsubscribedFromConversations")?,
            accounts: resolve(accounts, "accountIds", |id| self.store.accounts.find_id(id))?,
            organizations: resolve(organizations, "organizationIds", |id| self.store.organizations.find_id(id))?,
            traits: self.traits(fields, "users")?,
        })
    }

    fn apply_user(&mut self, slot: Slot, fields: UserFields) {
        match fields.email {
            Given::Absent => {}
            Given::Null => self.store.set_email(slot, None),
            Given::Value(email) => self.store.set_email(slot, Some(email)),
        }
        if let Some(entry) = self.store.users.get_mut(slot) {
            set(&mut entry.name, fields.name);
            set(&mut entry.more.avatar, fields.avatar);
            set(&mut entry.more.join_date, fields.join_date);
            entry.more.unsubscribed = fields.unsubscribed.or(entry.more.unsubscribed);
            merge_traits(&mut entry.traits, fields.traits);
        }
        if let Some(accounts) = fields.accounts {
            self.link_accounts(slot, &accounts);
        }
        if let Some(organizations) = fields.organizations {
            self.link_organizations(slot, &organizations);
        }
    }

    fn link_accounts(&mut self, user: Slot, accounts: &[Slot]) {
        if self.switches.put_links == PutLinks::Replace
            && let Some(entry) = self.store.users.get(user)
        {
            let dropped: Vec<Slot> = entry.more.accounts.iter().filter(|it| !accounts.contains(it)).copied().collect();
            for account in dropped {
                self.store.unlink_account(user, account);
            }
        }
        for account in accounts {
            self.store.link_account(user, *account);
        }
    }

    fn link_organizations(&mut self, user: Slot, organizations: &[Slot]) {
        if self.switches.put_links == PutLinks::Replace
            && let Some(entry) = self.store.users.get(user)
        {
            let before = entry.more.organizations.iter();
            let dropped: Vec<Slot> = before.filter(|it| !organizations.contains(it)).copied().collect();
            for organization in dropped {
                self.store.unlink_organization(user, organization);
            }
        }
        for organization in organizations {
            self.store.link_organization(user, *organization);
        }
    }

    /// An account's `organizationId`: a POST takes Vitally ids only, a PUT externalIds too.
    fn organization_link(&self, fields: &mut Fields, takes_external_id: bool) -> Result<Given<Slot>, Refusal> {
        let id = match fields.nullable("organizationId")? {
            Given::Absent => return Ok(Given::Absent),
            Given::Null => return Ok(Given::Null),
            Given::Value(id) => id,
        };
        if !self.switches.organizations_enabled {
            return Err(Self::no_organizations());
        }
        let slot = if takes_external_id {
            super::find(self.store, self.switches, Kind::Organization, &id)
        } else {
            self.store.organizations.find_id(&id)
        };
        slot.map(Given::Value).ok_or_else(|| Refusal::invalid(format!("organizationId: no organization {id}")))
    }

    fn link_organization(&mut self, account: Slot, organization: &Given<Slot>) {
        match organization {
            Given::Absent => {}
            Given::Null => self.store.set_organization(account, None),
            Given::Value(organization) => self.store.set_organization(account, Some(*organization)),
        }
    }

    fn traits(&self, fields: &mut Fields, model: &str) -> Result<Traits, Refusal> {
        let mut traits = fields.traits()?;
        match self.store.check_traits(&mut traits, model, self.switches.undefined_custom_trait) {
            Ok(()) => Ok(traits),
            Err(key) => Err(Refusal::invalid(format!("Unknown custom trait {key}"))),
        }
    }

    fn created_status(&self, known: Option<Slot>) -> u16 {
        if known.is_some() { 200 } else { self.switches.create_status }
    }
}

fn set(field: &mut Option<String>, given: Given<String>) {
    match given {
        Given::Absent => {}
        Given::Null => *field = None,
        Given::Value(text) => *field = Some(text),
    }
}

fn join_date(fields: &mut Fields, nulls: PlainNull) -> Result<Given<String>, Refusal> {
    let given = fields.plain("joinDate", nulls)?;
    match &given {
        Given::Value(text) if !is_date(text) => Err(Refusal::invalid("joinDate must be an ISO 8601 date")),
        Given::Absent | Given::Null | Given::Value(_) => Ok(given),
    }
}

fn is_date(text: &str) -> bool {
    chrono::DateTime::parse_from_rfc3339(text).is_ok() || text.parse::<chrono::NaiveDate>().is_ok()
}

fn resolve(
    ids: Option<Vec<String>>,
    key: &str,
    find: impl Fn(&str) -> Option<Slot>,
) -> Result<Option<Vec<Slot>>, Refusal> {
    let Some(ids) = ids else { return Ok(None) };
    let slots = ids
        .iter()
        .map(|id| find(id).ok_or_else(|| Refusal::invalid(format!("{key}: no record with the Vitally id {id}"))));
    slots.collect::<Result<_, _>>().map(Some)
}
