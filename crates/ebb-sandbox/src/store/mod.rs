//! What the stand-in keeps: accounts, organizations, users, custom objects and events, and the links
//! between them. Both APIs write through the functions here, so that links and indexes always agree.

mod table;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

pub(crate) use table::{Entry, Order, Slot, Stamp, Table, Traits};
pub(crate) use view::{field_views, inspected, organization_view};

use crate::config::{CustomField, UndefinedTrait};

/// What an account has beyond any record.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) organization: Option<Slot>,
    pub(crate) users: BTreeSet<Slot>,
}

/// What an organization has beyond any record.
#[derive(Debug, Default)]
pub(crate) struct Organization {
    pub(crate) accounts: BTreeSet<Slot>,
    pub(crate) users: BTreeSet<Slot>,
}

/// What a user has beyond any record.
#[derive(Debug, Default)]
pub(crate) struct User {
    pub(crate) accounts: BTreeSet<Slot>,
    pub(crate) organizations: BTreeSet<Slot>,
    pub(crate) email: Option<String>,
    pub(crate) avatar: Option<String>,
    pub(crate) join_date: Option<String>,
    pub(crate) unsubscribed: Option<bool>,
    /// The account the user was last linked to: events without an account go there.
    pub(crate) last_account: Option<Slot>,
    /// When the user's deletion was asked for: `now`, or the date given. Vitally shows this nowhere.
    pub(crate) deletion: Option<String>,
}

/// What an instance of a custom object has beyond any record.
#[derive(Debug, Default)]
pub(crate) struct Instance {
    pub(crate) account: Option<Arc<str>>,
    pub(crate) organization: Option<Arc<str>>,
}

/// Everything the stand-in keeps of a workspace.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) accounts: Table<Account>,
    pub(crate) organizations: Table<Organization>,
    pub(crate) users: Table<User>,
    /// Instances by the id of their custom object. An object exists from its first instance on.
    pub(crate) instances: BTreeMap<String, Table<Instance>>,
    /// Events as JSON objects, in the order of their application.
    pub(crate) events: Vec<Value>,
    /// Events applied, kept or not.
    pub(crate) event_count: u64,
    event_cap: usize,
    pub(crate) custom_fields: Vec<CustomField>,
    by_email: HashMap<String, BTreeSet<Slot>>,
    by_domain: HashMap<String, BTreeSet<Slot>>,
    ids: Ids,
}

impl Store {
    pub(crate) fn new(id_seed: u64, event_cap: usize, custom_fields: Vec<CustomField>) -> Self {
        Self {
            accounts: Table::default(),
            organizations: Table::default(),
            users: Table::default(),
            instances: BTreeMap::new(),
            events: Vec::new(),
            event_count: 0,
            event_cap,
            custom_fields,
            by_email: HashMap::new(),
            by_domain: HashMap::new(),
            ids: Ids { state: id_seed },
        }
    }

    /// Drops all records. Ids go on from where they were, so none is given out twice.
    pub(crate) fn clear(&mut self) {
        let fields = std::mem::take(&mut self.custom_fields);
        *self = Self::new(self.ids.state, self.event_cap, fields);
    }

    pub(crate) fn create_account(&mut self, external_id: &str, now: Stamp) -> Slot {
        self.accounts.insert(self.ids.next(), external_id, now, Account::default())
    }

    pub(crate) fn create_organization(&mut self, external_id: &str, now: Stamp) -> Slot {
        self.organizations.insert(self.ids.next(), external_id, now, Organization::default())
    }

    pub(crate) fn create_user(&mut self, external_id: &str, now: Stamp) -> Slot {
        self.users.insert(self.ids.next(), external_id, now, User::default())
    }

    /// The instance with that externalId, created or changed.
    pub(crate) fn upsert_instance(
        &mut self,
        object: &str,
        external_id: &str,
        now: Stamp,
    ) -> Option<&mut Entry<Instance>> {
        let table = self.instances.entry(object.to_owned()).or_default();
        if let Some(slot) = table.find_external_id(external_id) {
            return table.change(slot, now);
        }
        let slot = table.insert(self.ids.next(), external_id, now, Instance::default());
        table.get_mut(slot)
    }

    pub(crate) fn add_event(&mut self, event: Value) {
        self.event_count += 1;
        if self.events.len() < self.event_cap {
            self.events.push(event);
        }
    }

    /// Puts an account into an organization, or out of any.
    pub(crate) fn set_organization(&mut self, account: Slot, organization: Option<Slot>) {
        let Some(entry) = self.accounts.get_mut(account) else { return };
        let before = std::mem::replace(&mut entry.more.organization, organization);
        if before == organization {
            return;
        }
        if let Some(entry) = before.and_then(|slot| self.organizations.get_mut(slot)) {
            entry.more.accounts.remove(&account);
        }
        if let Some(entry) = organization.and_then(|slot| self.organizations.get_mut(slot)) {
            entry.more.accounts.insert(account);
        }
    }

    pub(crate) fn link_account(&mut self, user: Slot, account: Slot) {
        if let Some(entry) = self.accounts.get_mut(account) {
            entry.more.users.insert(user);
        }
        if let Some(entry) = self.users.get_mut(user) {
            entry.more.accounts.insert(account);
            entry.more.last_account = Some(account);
        }
    }

    pub(crate) fn unlink_account(&mut self, user: Slot, account: Slot) {
        if let Some(entry) = self.accounts.get_mut(account) {
            entry.more.users.remove(&user);
        }
        if let Some(entry) = self.users.get_mut(user) {
            entry.more.accounts.remove(&account);
            if entry.more.last_account == Some(account) {
                entry.more.last_account = None;
            }
        }
    }

    pub(crate) fn link_organization(&mut self, user: Slot, organization: Slot) {
        if let Some(entry) = self.organizations.get_mut(organization) {
            entry.more.users.insert(user);
        }
        if let Some(entry) = self.users.get_mut(user) {
            entry.more.organizations.insert(organization);
        }
    }

    pub(crate) fn unlink_organization(&mut self, user: Slot, organization: Slot) {
        if let Some(entry) = self.organizations.get_mut(organization) {
            entry.more.users.remove(&user);
        }
        if let Some(entry) = self.users.get_mut(user) {
            entry.more.organizations.remove(&organization);
        }
    }

    /// Removes an account and the users that belong to nothing else.
    pub(crate) fn remove_account(&mut self, account: Slot) {
        self.set_organization(account, None);
        let Some(entry) = self.accounts.remove(account) else { return };
        for user in entry.more.users {
            self.unlink_account(user, account);
            self.remove_orphan(user);
        }
    }

    /// Removes an organization and the users that belong to nothing else. Its accounts stay, detached.
    pub(crate) fn remove_organization(&mut self, organization: Slot) {
        let Some(entry) = self.organizations.remove(organization) else { return };
        for account in entry.more.accounts {
            if let Some(entry) = self.accounts.get_mut(account) {
                entry.more.organization = None;
            }
        }
        for user in entry.more.users {
            self.unlink_organization(user, organization);
            self.remove_orphan(user);
        }
    }

    fn remove_orphan(&mut self, user: Slot) {
        let orphan =
            self.users.get(user).is_some_and(|it| it.more.accounts.is_empty() && it.more.organizations.is_empty());
        if orphan {
            self.set_email(user, None);
            self.users.remove(user);
        }
    }

    pub(crate) fn set_email(&mut self, user: Slot, email: Option<String>) {
        let Some(entry) = self.users.get_mut(user) else { return };
        if entry.more.email == email {
            return;
        }
        let before = std::mem::replace(&mut entry.more.email, email.clone());
        if let Some(before) = before {
            forget(&mut self.by_email, &before.to_lowercase(), user);
            if let Some(domain) = domain_of(&before) {
                forget(&mut self.by_domain, &domain, user);
            }
        }
        if let Some(email) = email {
            if let Some(domain) = domain_of(&email) {
                self.by_domain.entry(domain).or_default().insert(user);
            }
            self.by_email.entry(email.to_lowercase()).or_default().insert(user);
        }
    }

    /// Users whose address is `email` but for letter case, oldest first.
    pub(crate) fn users_with_email(&self, email: &str) -> Vec<Slot> {
        self.by_email.get(&email.to_lowercase()).into_iter().flatten().copied().collect()
    }

    /// Users whose address is at `domain`, oldest first.
    pub(crate) fn users_at_domain(&self, domain: &str) -> Vec<Slot> {
        self.by_domain.get(&domain.to_lowercase()).into_iter().flatten().copied().collect()
    }

    /// Takes out of `traits` the custom traits that the catalogue does not hold.
    ///
    /// # Errors
    /// The key of such a trait, when they are to be refused.
    pub(crate) fn check_traits(
        &self,
        traits: &mut Traits,
        model: &str,
        undefined: UndefinedTrait,
    ) -> Result<(), String> {
        if undefined == UndefinedTrait::Store {
            return Ok(());
        }
        let is_undefined = |key: &str| {
            key.starts_with("vitally.custom.")
                && !self.custom_fields.iter().any(|field| field.model == model && field.path == key)
        };
        if undefined == UndefinedTrait::Reject
            && let Some(key) = traits.keys().find(|key| is_undefined(key))
        {
            return Err(key.clone());
        }
        traits.retain(|key, _| !is_undefined(key));
        Ok(())
    }
}

/// Merges traits: a key given is set, `null` removes it, a key left out stays.
pub(crate) fn merge_traits(into: &mut Traits, given: Traits) {
    for (key, value) in given {
        if value.is_null() {
            into.remove(&key);
        } else {
            into.insert(key, value);
        }
    }
}

fn forget(index: &mut HashMap<String, BTreeSet<Slot>>, key: &str, slot: Slot) {
    if let Some(slots) = index.get_mut(key) {
        slots.remove(&slot);
        if slots.is_empty() {
            index.remove(key);
        }
    }
}

fn domain_of(email: &str) -> Option<String> {
    email.rsplit_once('@').map(|(_, domain)| domain.to_lowercase())
}

/// Gives out UUIDs: random-looking, the same for the same seed, none twice.
#[derive(Debug)]
struct Ids {
    state: u64,
}

impl Ids {
    fn next(&mut self) -> Arc<str> {
        let high = self.step();
        let low = self.step();
        let bits = (u128::from(high) << 64) | u128::from(low);
        let id = uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
        Arc::from(id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).to_owned())
    }

    /// One step of `SplitMix64` (Steele, Lea, Flood 2014).
    fn step(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
