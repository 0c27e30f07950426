//! How records look in answers: the fields that Vitally's reads carry, those without a source here as null.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Account, Entry, Instance, Organization, Stamp, Store, Traits, User};
use crate::config::{CustomField, SelectOption};

const NULL: Value = Value::Null;
const NONE: [(); 0] = [];

fn field<'a>(traits: &'a Traits, key: &str) -> &'a Value {
    traits.get(key).unwrap_or(&NULL)
}

/// An account as a read shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccountView<'a> {
    id: &'a str,
    created_at: Stamp,
    updated_at: Stamp,
    external_id: &'a str,
    name: Option<&'a str>,
    organization_id: Option<&'a str>,
    traits: &'a Traits,
    mrr: &'a Value,
    next_renewal_date: &'a Value,
    churned_at: &'a Value,
    trial_end_date: &'a Value,
    first_seen_timestamp: (),
    last_seen_timestamp: (),
    last_inbound_message_timestamp: (),
    last_outbound_message_timestamp: (),
    users_count: usize,
    nps_detractor_count: u8,
    nps_passive_count: u8,
    nps_promoter_count: u8,
    nps_score: (),
    health_score: (),
    csm_id: (),
    account_executive_id: (),
    account_owner_id: (),
    key_roles: [(); 0],
    segments: [(); 0],
}

/// An organization as a read shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrganizationView<'a> {
    id: &'a str,
    created_at: Stamp,
    updated_at: Stamp,
    external_id: &'a str,
    name: Option<&'a str>,
    traits: &'a Traits,
    mrr: &'a Value,
    next_renewal_date: &'a Value,
    churned_at: &'a Value,
    trial_end_date: &'a Value,
    first_paid_date: (),
    users_count: usize,
    accounts_count: usize,
    nps_score: (),
    health_score: (),
    csm_id: (),
    account_executive_id: (),
    organization_owner_id: (),
    key_roles: [(); 0],
    segments: [(); 0],
}

/// A user as a read shows it, with the accounts and organizations it is linked to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserView<'a> {
    id: &'a str,
    created_at: Stamp,
    updated_at: Stamp,
    external_id: &'a str,
    name: Option<&'a str>,
    email: Option<&'a str>,
    avatar: Option<&'a str>,
    join_date: Option<&'a str>,
    traits: &'a Traits,
    accounts: Vec<AccountView<'a>>,
    organizations: Vec<OrganizationView<'a>>,
    unsubscribed_from_conversations: bool,
    unsubscribed_from_conversations_at: (),
    first_known: Stamp,
    last_seen_timestamp: (),
    last_inbound_message_timestamp: (),
    last_outbound_message_timestamp: (),
    nps_last_score: (),
    nps_last_feedback: (),
    nps_last_responded_at: (),
    deactivated_at: (),
    permanently_bounced: bool,
    segments: [(); 0],
}

/// An instance of a custom object as a read shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InstanceView<'a> {
    id: &'a str,
    created_at: Stamp,
    updated_at: Stamp,
    external_id: &'a str,
    name: Option<&'a str>,
    customer_id: Option<&'a str>,
    organization_id: Option<&'a str>,
    archived_at: (),
    traits: &'a Traits,
}

impl Store {
    pub(crate) fn account_view<'a>(&'a self, entry: &'a Entry<Account>) -> AccountView<'a> {
        let organization = entry.more.organization.and_then(|slot| self.organizations.get(slot));
        AccountView {
            id: &entry.id,
            created_at: entry.created_at,
            updated_at: entry.updated_at,
            external_id: &entry.external_id,
            name: entry.name.as_deref(),
            organization_id: organization.map(|it| &*it.id),
            traits: &entry.traits,
            mrr: field(&entry.traits, "mrr"),
            next_renewal_date: field(&entry.traits, "nextRenewalDate"),
            churned_at: field(&entry.traits, "churnedAt"),
            trial_end_date: field(&entry.traits, "trialEndDate"),
            first_seen_timestamp: (),
            last_seen_timestamp: (),
            last_inbound_message_timestamp: (),
            last_outbound_message_timestamp: (),
            users_count: entry.more.users.len(),
            nps_detractor_count: 0,
            nps_passive_count: 0,
            nps_promoter_count: 0,
            nps_score: (),
            health_score: (),
            csm_id: (),
            account_executive_id: (),
            account_owner_id: (),
            key_roles: NONE,
            segments: NONE,
        }
    }

    pub(crate) fn user_view<'a>(&'a self, entry: &'a Entry<User>) -> UserView<'a> {
        let accounts = entry.more.accounts.iter().filter_map(|slot| self.accounts.get(*slot));
        let organizations = entry.more.organizations.iter().filter_map(|slot| self.organizations.get(*slot));
        UserView {
            id: &entry.id,
            created_at: entry.created_at,
            updated_at: entry.updated_at,
            external_id: &entry.external_id,
            name: entry.name.as_deref(),
            email: entry.more.email.as_deref(),
            avatar: entry.more.avatar.as_deref(),
            join_date: entry.more.join_date.as_deref(),
            traits: &entry.traits,
            accounts: accounts.map(|it| self.account_view(it)).collect(),
            organizations: organizations.map(organization_view).collect(),
            unsubscribed_from_conversations: entry.more.unsubscribed.unwrap_or(false),
            unsubscribed_from_conversations_at: (),
            first_known: entry.created_at,
            last_seen_timestamp: (),
            last_inbound_message_timestamp: (),
            last_outbound_message_timestamp: (),
            nps_last_score: (),
            nps_last_feedback: (),
            nps_last_responded_at: (),
            deactivated_at: (),
            permanently_bounced: false,
            segments: NONE,
        }
    }

    pub(crate) fn instance_view<'a>(&'a self, entry: &'a Entry<Instance>) -> InstanceView<'a> {
        let account = entry.more.account.as_deref().and_then(|id| self.accounts.find_external_id(id));
        let organization = entry.more.organization.as_deref().and_then(|id| self.organizations.find_external_id(id));
        InstanceView {
            id: &entry.id,
            created_at: entry.created_at,
            updated_at: entry.updated_at,
            external_id: &entry.external_id,
            name: entry.name.as_deref(),
            customer_id: account.and_then(|slot| self.accounts.get(slot)).map(|it| &*it.id),
            organization_id: organization.and_then(|slot| self.organizations.get(slot)).map(|it| &*it.id),
            archived_at: (),
            traits: &entry.traits,
        }
    }
}

/// An organization as a read shows it.
pub(crate) fn organization_view(entry: &Entry<Organization>) -> OrganizationView<'_> {
    OrganizationView {
        id: &entry.id,
        created_at: entry.created_at,
        updated_at: entry.updated_at,
        external_id: &entry.external_id,
        name: entry.name.as_deref(),
        traits: &entry.traits,
        mrr: field(&entry.traits, "mrr"),
        next_renewal_date: field(&entry.traits, "nextRenewalDate"),
        churned_at: field(&entry.traits, "churnedAt"),
        trial_end_date: field(&entry.traits, "trialEndDate"),
        first_paid_date: (),
        users_count: entry.more.users.len(),
        accounts_count: entry.more.accounts.len(),
        nps_score: (),
        health_score: (),
        csm_id: (),
        account_executive_id: (),
        organization_owner_id: (),
        key_roles: NONE,
        segments: NONE,
    }
}

/// A record as the inspection shows it: as a read does, and under `_sandbox` what reads do not show.
pub(crate) fn inspected<T>(view: impl Serialize, entry: &Entry<T>, deletion: Option<&str>) -> Value {
    let mut value = serde_json::to_value(view).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.insert("_sandbox".to_owned(), json!({ "writes": entry.writes, "deletionRequested": deletion }));
    }
    value
}

/// A custom trait as `GET /resources/customFields` shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FieldView<'a> {
    id: String,
    label: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    path: &'a str,
    created_at: &'static str,
    #[serde(skip_serializing_if = "<[SelectOption]>::is_empty")]
    options: &'a [SelectOption],
}

/// The catalogue's traits that `wanted` picks, sorted by label.
pub(crate) fn field_views(fields: &[CustomField], wanted: impl Fn(&CustomField) -> bool) -> Vec<FieldView<'_>> {
    let mut views: Vec<FieldView<'_>> = fields
        .iter()
        .filter(|field| wanted(field))
        .map(|field| FieldView {
            id: uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, format!("{}/{}", field.model, field.path).as_bytes())
                .to_string(),
            label: &field.label,
            kind: &field.kind,
            path: &field.path,
            created_at: "2025-03-01T09:00:00.000Z",
            options: &field.options,
        })
        .collect();
    views.sort_by(|one, other| one.label.cmp(other.label));
    views
}
