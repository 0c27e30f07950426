//! A look inside a sandbox, for tests in the same process. `/sandbox/*` gives the same over HTTP.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::config::{CustomField, Switches};
use crate::counts::Counts;
use crate::fault::FaultPlan;
use crate::journal::{RecordedRequest, RequestFilter};
use crate::server::Shared;
use crate::store::{Store, inspected, organization_view};
use crate::world::World;

/// A handle to what a sandbox keeps. Cheap to clone; each call sees the state of its moment, with the
/// Analytics messages applied whose time has come.
#[derive(Debug, Clone)]
pub struct SandboxState {
    shared: Arc<Shared>,
}

impl SandboxState {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn look<T>(&self, see: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.shared.world();
        world.settle(self.shared.elapsed());
        see(&mut world)
    }

    /// The accounts as reads show them, oldest first, each with `_sandbox: {writes, deletionRequested}`.
    pub fn accounts(&self) -> Vec<Value> {
        self.look(|world| accounts(&world.store))
    }

    /// The organizations, likewise.
    pub fn organizations(&self) -> Vec<Value> {
        self.look(|world| organizations(&world.store))
    }

    /// The users, likewise. One whose deletion was asked for is still there.
    pub fn users(&self) -> Vec<Value> {
        self.look(|world| users(&world.store))
    }

    /// The instances of custom objects, likewise, each with its `customObjectId`; by object, then by age.
    pub fn instances(&self) -> Vec<Value> {
        self.look(|world| instances(&world.store))
    }

    /// The events in the order of their application.
    pub fn events(&self) -> Vec<Value> {
        self.look(|world| world.store.events.clone())
    }

    /// Everything kept, as one JSON object.
    pub fn snapshot(&self) -> Value {
        self.look(|world| snapshot(&world.store))
    }

    /// Counts of requests, messages and records.
    pub fn counts(&self) -> Counts {
        self.look(|world| world.counts())
    }

    /// The kept requests that `filter` picks, oldest first.
    pub fn requests(&self, filter: &RequestFilter) -> Vec<RecordedRequest> {
        self.look(|world| world.journal.find(filter))
    }

    /// Replaces the fault plan; its counters begin at 0.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.look(|world| world.set_faults(plan));
    }

    /// Replaces the switches.
    pub fn set_switches(&self, switches: Switches) {
        self.look(|world| world.set_switches(switches));
    }

    /// Replaces the catalogue of custom traits.
    pub fn set_custom_fields(&self, fields: Vec<CustomField>) {
        self.look(|world| world.set_custom_fields(fields));
    }

    /// Drops records, requests, counts and messages, fills the budgets and begins the fault plan anew.
    /// Switches, faults and the catalogue stay.
    pub fn reset(&self) {
        self.look(World::reset);
    }
}

pub(crate) fn accounts(store: &Store) -> Vec<Value> {
    store.accounts.iter().map(|(_, entry)| inspected(store.account_view(entry), entry, None)).collect()
}

pub(crate) fn organizations(store: &Store) -> Vec<Value> {
    store.organizations.iter().map(|(_, entry)| inspected(organization_view(entry), entry, None)).collect()
}

pub(crate) fn users(store: &Store) -> Vec<Value> {
    let users = store.users.iter();
    users.map(|(_, entry)| inspected(store.user_view(entry), entry, entry.more.deletion.as_deref())).collect()
}

pub(crate) fn instances(store: &Store) -> Vec<Value> {
    let mut values = Vec::new();
    for (object, table) in &store.instances {
        for (_, entry) in table.iter() {
            let mut value = inspected(store.instance_view(entry), entry, None);
            if let Value::Object(fields) = &mut value {
                fields.insert("customObjectId".to_owned(), Value::from(object.as_str()));
            }
            values.push(value);
        }
    }
    values
}

pub(crate) fn snapshot(store: &Store) -> Value {
    json!({
        "accounts": accounts(store),
        "organizations": organizations(store),
        "users": users(store),
        "instances": instances(store),
        "events": store.events,
    })
}
