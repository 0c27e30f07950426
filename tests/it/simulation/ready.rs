//! The syncs that are simulated, through the real mapping and the real Vitally destination.

use std::sync::Arc;
use std::time::Duration;

use ebb_destination::vitally::{Region, SPEC, Vitally, VitallySettings};
use ebb_destination::{Api, FieldSpec, WritePlan};
use ebb_engine::{OnRemoved, ReadySync};
use ebb_mapping::{Key, Mapping, MappingSettings, Node, NodeKind, Target};
use ebb_plan::Guards;
use ebb_row::{Hash128, Secret, SyncMode};
use ebb_template::Language;
use ebb_testkit::{Content, ModelRow};

use crate::simulation::source::SimSource;

/// What a sync writes, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Accounts by REST, one a call, created and updated.
    Accounts,
    /// Accounts by REST, one a call, only updated.
    AccountUpdates,
    /// Organizations by REST, one a call.
    Organizations,
    /// Accounts by the Analytics API, in batches.
    AccountBatches,
    /// Events by the Analytics API, in batches, each key once.
    Events,
}

impl Kind {
    pub(super) const ALL: [Self; 5] =
        [Self::Accounts, Self::AccountUpdates, Self::Organizations, Self::AccountBatches, Self::Events];

    fn plan(self) -> WritePlan {
        let (object, api, mode, match_field) = match self {
            Self::Accounts => ("account", Api::Rest, SyncMode::Upsert, Some("externalId")),
            Self::AccountUpdates => ("account", Api::Rest, SyncMode::Update, Some("externalId")),
            Self::Organizations => ("organization", Api::Rest, SyncMode::Upsert, Some("externalId")),
            Self::AccountBatches => ("account", Api::Analytics, SyncMode::Upsert, Some("externalId")),
            Self::Events => ("event", Api::Analytics, SyncMode::Insert, None),
        };
        WritePlan { object: object.to_owned(), api, mode, match_field: match_field.map(str::to_owned) }
    }

    /// Returns what the service calls the object.
    pub(super) fn object(self) -> &'static str {
        match self {
            Self::Accounts | Self::AccountUpdates => "account",
            Self::Organizations => "organization",
            Self::AccountBatches | Self::Events => "message",
        }
    }

    /// Returns whether records travel in batches.
    pub(super) fn is_batched(self) -> bool {
        matches!(self, Self::AccountBatches | Self::Events)
    }

    fn fields(self) -> Node {
        let source = ("source", map(vec![("$value", text("simulation"))]));
        let columns = vec![("plan", text("plan")), ("seats", text("seats")), source];
        match self {
            Self::Accounts | Self::AccountUpdates | Self::Organizations | Self::AccountBatches => {
                map(vec![("name", text("name")), ("traits", map(columns))])
            }
            Self::Events => {
                let mut properties = columns;
                properties.push(("id", text("id")));
                map(vec![
                    ("event", map(vec![("$value", text("Renewed"))])),
                    ("userId", map(vec![("$value", text("u-1"))])),
                    ("properties", map(properties)),
                ])
            }
        }
    }

    /// Returns what the destination is to hold for a row, as the contract has it; a null that clears nothing is left out.
    pub(super) fn expected(self, row: &ModelRow) -> Content {
        let mut content = Content::new();
        let prefix = if self == Self::Events { "" } else { "traits." };
        content.insert(format!("{prefix}source"), "simulation".into());
        content.insert(format!("{prefix}seats"), row.seats.into());
        if let Some(plan) = &row.plan {
            content.insert(format!("{prefix}plan"), plan.as_str().into());
        }
        if let (Some(name), false) = (&row.name, self == Self::Events) {
            content.insert("name".to_owned(), name.as_str().into());
        }
        content
    }

    /// Returns whether a null trait clears what was there.
    pub(super) fn clears_nulls(self) -> bool {
        matches!(self, Self::Accounts | Self::AccountUpdates | Self::Organizations)
    }
}

/// Bounds of a sync.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    pub(super) concurrency: usize,
    pub(super) per_minute: u32,
    pub(super) analytics_per_minute: u32,
}

/// How long a request may take.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(12);

/// Makes the sync `name`.
pub(super) fn ready(name: &str, kind: Kind, source: &SimSource, bounds: &Bounds) -> ReadySync {
    let write = kind.plan();
    ReadySync {
        name: name.to_owned(),
        source: Arc::new(source.clone()),
        sql: "select id, name, plan, seats from rows".to_owned(),
        primary_key: vec!["id".to_owned()],
        cursor: None,
        statement_timeout: Duration::from_mins(10),
        destination: Arc::new(vitally(bounds)),
        mapping: mapping(kind, &write),
        write,
        guards: Guards::default(),
        on_removed: OnRemoved::Ignore,
        adopt_first: false,
        rejected_tries: 10,
        concurrency: bounds.concurrency,
        request_timeout: REQUEST_TIMEOUT,
        config: Hash128::of(b"simulation"),
        project: Some("5b1c2f0e-0000-4000-8000-000000000000".to_owned()),
        redact: Vec::new(),
        body_cap: 1 << 16,
        remember_ids: true,
    }
}

fn vitally(bounds: &Bounds) -> Vitally {
    let settings = VitallySettings {
        subdomain: Some("acme".to_owned()),
        rest_token: Some(Secret::new("sk_live_simulation")),
        analytics_token: Some(Secret::new("simulation")),
        per_minute: bounds.per_minute,
        analytics_per_minute: bounds.analytics_per_minute,
        ..VitallySettings::new(Region::Us)
    };
    Vitally::new(settings, &[], b"salt").expect("the settings are good")
}

fn mapping(kind: Kind, write: &WritePlan) -> Mapping {
    let object = SPEC
        .objects
        .iter()
        .find(|object| object.name == write.object && object.api == write.api)
        .expect("Vitally has the object");
    let targets: Vec<Target> = object.fields.iter().map(target).collect();
    let settings = MappingSettings {
        language: Language::Liquid,
        nulls_objects: object.nulls.0,
        nulls_fields: object.nulls.1,
        nulls_override: None,
    };
    let id = text("id");
    let match_field = write.match_field.as_deref().map(|field| (field, &id));
    Mapping::compile(&kind.fields(), match_field, &targets, &settings).expect("the mapping is good")
}

fn target(field: &FieldSpec) -> Target {
    let lookup_of = (!field.holds_ids_of.is_empty()).then(|| field.holds_ids_of.to_owned());
    Target { name: field.name.to_owned(), kind: field.kind, lookup_of }
}

fn text(text: &str) -> Node {
    Node { at: 0, kind: NodeKind::Text(text.to_owned()) }
}

fn map(entries: Vec<(&str, Node)>) -> Node {
    let entries = entries.into_iter().map(|(name, node)| (Key { name: name.to_owned(), at: 0 }, node)).collect();
    Node { at: 0, kind: NodeKind::Map(entries) }
}
