//! A sync's files, resolved into what the engine runs.

use std::sync::Arc;

use ebb_destination::Destination;
use ebb_destination::vitally::Vitally;
use ebb_engine::{OnRemoved, ReadySync};
use ebb_project::{DestinationKind, DestinationSettings, FirstRun, Model, Sync};
use ebb_row::Hash128;
use ebb_state::Store;

use crate::exit::Failure;
use crate::workspace::Workspace;

/// Whether a sync is built to be sent, or only to be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// No token is needed.
    Plan,
    /// Tokens must be there.
    Run,
}

/// Builds a sync for the engine.
///
/// # Errors
/// What the environment lacks for its source or destination.
pub(crate) async fn build(
    workspace: &Workspace,
    sync: &Sync,
    store: &dyn Store,
    purpose: Purpose,
) -> Result<ReadySync, Failure> {
    let project = &workspace.project;
    let model = workspace.model(&sync.model)?;
    let settings = match purpose {
        Purpose::Plan => project.destination_untokened(&sync.destination)?,
        Purpose::Run => project.destination(&sync.destination)?,
    };
    let (destination, missing) = match &settings.kind {
        DestinationKind::Vitally(_) => {
            let vitally = open_vitally(&settings, store).await?;
            let missing = vitally.missing_token(sync.api);
            let destination: Arc<dyn Destination> = Arc::new(vitally);
            (destination, missing)
        }
    };
    if let (Purpose::Run, Some(missing)) = (purpose, missing) {
        return Err(Failure::usage(format!("destination `{}`: {missing}", settings.name)));
    }
    let config = config_digest(model, sync, &*destination);
    Ok(ReadySync {
        name: sync.name.clone(),
        source: workspace.source_of(model)?,
        sql: model.sql().to_owned(),
        primary_key: model.primary_key.clone(),
        cursor: model.cursor.clone().map(|column| (column, model.lookback.unwrap_or_default())),
        statement_timeout: project.statement_timeout(&model.source),
        destination,
        write: sync.write_plan(),
        mapping: sync.mapping.clone(),
        guards: sync.guards.clone(),
        on_removed: match sync.on_removed {
            ebb_project::OnRemoved::Ignore => OnRemoved::Ignore,
        },
        adopt_first: sync.first_run == FirstRun::Adopt,
        rejected_tries: sync.rejected_tries,
        concurrency: sync.concurrency.unwrap_or(settings.concurrency),
        request_timeout: settings.request_timeout,
        config,
        project: project.project_id().map(|id| id.to_string()),
        redact: settings.redact.iter().chain(&sync.redact).cloned().collect(),
        body_cap: project.body_cap(),
        remember_ids: is_looked_up(workspace, sync),
    })
}

/// Digest of all that decides what a sync sends: its model, its mapping, how and where it writes, what refuses it. Other
/// files of the project do not count, so editing them leaves a saved plan as it is.
fn config_digest(model: &Model, sync: &Sync, destination: &dyn Destination) -> Hash128 {
    let parts = format!(
        "{:?}\0{:?}\0{:?}\0{:?}\0{}\0{:?}\0{}\0{:?}\0{:?}\0{}",
        model.sql(),
        model.source,
        model.primary_key,
        (&model.cursor, &model.lookback),
        sync.mapping.digest(),
        sync.write_plan(),
        destination.identity(),
        sync.guards,
        sync.on_removed,
        sync.rejected_tries,
    );
    Hash128::of(parts.as_bytes())
}

/// Returns whether another sync needs the destination's ids of this one's objects.
fn is_looked_up(workspace: &Workspace, sync: &Sync) -> bool {
    workspace
        .project
        .syncs()
        .any(|other| other.destination == sync.destination && other.mapping.lookups().contains(&sync.object))
}

/// Opens a destination.
///
/// # Errors
/// Its settings are wrong.
pub(crate) async fn open_destination(
    settings: &DestinationSettings,
    store: &dyn Store,
) -> Result<Arc<dyn Destination>, Failure> {
    match &settings.kind {
        DestinationKind::Vitally(_) => Ok(Arc::new(open_vitally(settings, store).await?)),
    }
}

async fn open_vitally(settings: &DestinationSettings, store: &dyn Store) -> Result<Vitally, Failure> {
    let DestinationKind::Vitally(vitally) = &settings.kind;
    let salt = store.secret_key("budget").await?;
    Vitally::new(vitally.clone(), &settings.allowed_hosts, &salt)
        .map_err(|error| Failure::usage(format!("destination `{}`: {error}", settings.name)))
}
