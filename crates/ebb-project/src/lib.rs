//! A project's files (`ebb.yaml`, `models/`, `syncs/`) to one checked [`Project`], or all their faults at once.
//!
//! Every key is in one table (`keys`), which drives the readers, the editor schemas and `docs/surface.md`. Files are
//! parsed to trees that know their byte offsets (`yaml`), compared with the tables, and then read into types that hold
//! only what is true. A [`Fault`] names file, line and column, and shows the line.
//!
//! What it must never do: read the process's environment (it is lent as [`Environment`]), fill in `${NAME}` anywhere
//! but in the settings of `ebb.yaml`, read a file outside the project, show a secret, connect to anything.
//!
//! Start reading at [`load`], then `settings`, `model` and `sync_file`.

mod dbt;
mod environment;
mod fault;
mod file;
mod folder;
mod init;
mod keys;
mod mask;
mod model;
mod order;
mod project;
mod read;
mod scalar;
mod schema;
mod settings;
mod surface;
mod sync;
mod sync_file;
mod units;
mod yaml;

pub use environment::Environment;
pub use fault::{Fault, Faults};
pub use init::{InitOptions, init};
pub use model::{Model, ModelQuery};
pub use project::{Checked, KnownColumns, Project, check, load};
pub use schema::schemas;
pub use settings::{DestinationKind, DestinationSettings, SourceKind, StateLocation};
pub use surface::surface;
pub use sync::{FirstRun, Links, OnRemoved, Sync};

#[cfg(test)]
mod tests;
