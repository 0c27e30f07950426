//! The REST API, on a store.

mod body;
mod read;
mod write;

use serde_json::Value;

use crate::answer::{Answer, Refusal};
use crate::config::{Switches, UuidInPath};
use crate::route::{Kind, Operation, Route};
use crate::store::{Slot, Stamp, Store, Table};

/// The workspace's own people. Vitally's API only reads them.
const ADMINS: [(&str, &str, &str); 2] = [
    ("3f0c1a52-7d0e-4a6c-9a51-0e6f3f4b7a01", "Ada Admin", "ada@example.com"),
    ("3f0c1a52-7d0e-4a6c-9a51-0e6f3f4b7a02", "Ben Admin", "ben@example.com"),
];

/// One REST request's view of the workspace.
pub(crate) struct Rest<'a> {
    pub(crate) store: &'a mut Store,
    pub(crate) switches: &'a Switches,
    pub(crate) now: Stamp,
}

impl Rest<'_> {
    /// Does what the request asks.
    pub(crate) fn answer(&mut self, route: &Route, body: Result<Value, Refusal>) -> Result<Answer, Refusal> {
        self.check_level(route.operation)?;
        match route.operation {
            Operation::List(kind) => self.list(kind, route),
            Operation::Get(kind) => self.get(kind, &route.id),
            Operation::Create(kind) => self.create(kind, body?),
            Operation::Update(kind) => self.update(kind, &route.id, body?),
            Operation::Delete(kind) => self.delete(kind, route),
            Operation::SearchUsers => self.search_users(route),
            Operation::AccountUsers => self.account_users(route),
            Operation::OrganizationAccounts => self.organization_accounts(route),
            Operation::OrganizationUsers => self.organization_users(route),
            Operation::CustomFields => self.custom_fields(route),
            Operation::ListAdmins => Ok(Self::list_admins()),
            Operation::SearchAdmins => self.search_admins(route),
            Operation::ListCustomObjects => Ok(self.custom_objects()),
            Operation::GetCustomObject => self.custom_object(&route.id),
            Operation::ListInstances => self.list_instances(route),
            Operation::SearchInstances => self.search_instances(route),
            Operation::UnknownRest
            | Operation::Message(_)
            | Operation::Batch
            | Operation::UnknownAnalytics
            | Operation::Own => Err(Refusal::new(404, "This stand-in for Vitally has no such endpoint")),
        }
    }

    fn check_level(&self, operation: Operation) -> Result<(), Refusal> {
        let needs_organizations = matches!(
            operation,
            Operation::List(Kind::Organization)
                | Operation::Get(Kind::Organization)
                | Operation::Create(Kind::Organization)
                | Operation::Update(Kind::Organization)
                | Operation::Delete(Kind::Organization)
                | Operation::OrganizationAccounts
                | Operation::OrganizationUsers
        );
        if needs_organizations && !self.switches.organizations_enabled {
            return Err(Self::no_organizations());
        }
        Ok(())
    }

    fn no_organizations() -> Refusal {
        Refusal::invalid("Organizations are not enabled for this workspace")
    }

    fn missing(&self) -> Refusal {
        Refusal::new(self.switches.missing_status, self.switches.missing_text.as_str())
    }

    /// The record that a path's `:id` names.
    fn find(&self, kind: Kind, id: &str) -> Result<Slot, Refusal> {
        find(self.store, self.switches, kind, id).ok_or_else(|| self.missing())
    }
}

/// The record of `kind` whose Vitally id or externalId is `id`.
pub(crate) fn find(store: &Store, switches: &Switches, kind: Kind, id: &str) -> Option<Slot> {
    match kind {
        Kind::Account => find_in(&store.accounts, switches, id),
        Kind::Organization => find_in(&store.organizations, switches, id),
        Kind::User => find_in(&store.users, switches, id),
    }
}

fn find_in<T>(table: &Table<T>, switches: &Switches, id: &str) -> Option<Slot> {
    match switches.uuid_in_path {
        UuidInPath::VitallyId => table.find_id(id).or_else(|| table.find_external_id(id)),
        UuidInPath::ExternalId => table.find_external_id(id).or_else(|| table.find_id(id)),
    }
}
