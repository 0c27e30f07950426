//! Sources: a model's query in, Arrow batches out.
//!
//! A [`Source`] describes a query's columns and reads its rows, once, in a read-only transaction with a statement
//! timeout, as [`ebb_row::Batch`]es of bounded size. It never writes to the database and no model text can make it:
//! every model is one prepared statement (see each driver's page in `docs/sources/`).
//!
//! What it must never do: retry, keep state between reads, put a cell's value or a password into an error.
//!
//! Start reading at [`Source`], then `sqlite`, `postgres` and `mysql`; `columns` builds the batches of all three, and
//! `conformance` is the suite that every driver passes.

mod calendar;
mod columns;
mod config;
#[cfg(test)]
mod conformance;
mod error;
mod mysql;
mod postgres;
mod pump;
mod sqlite;
mod statement;

pub use config::{SourceConfig, open};
pub use error::SourceError;

use std::time::Duration;

use async_trait::async_trait;
use ebb_row::{Batch, Column};

/// The longest timeout that every database can be told.
const MAX_TIMEOUT: Duration = Duration::from_hours(24 * 24);

/// How long a server may take to answer a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// One SQL statement that returns rows.
    pub sql: String,
    /// For append-only models: only rows whose cursor column is at or above a value.
    pub cursor: Option<CursorBound>,
}

/// A lower bound on a model's cursor column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorBound {
    /// The column.
    pub column: String,
    /// Canonical text of the lowest value wanted ([`ebb_row::Value::canonical_text`]); `None` reads everything.
    pub from: Option<String>,
}

/// Bounds on one read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// The statement is given up after this long; a driver that cannot bound the whole statement bounds each wait.
    pub statement_timeout: Duration,
    /// Rows in a batch, at most.
    pub batch_rows: usize,
    /// Bytes of cells in a batch, about; a batch ends early when it passes them.
    pub batch_bytes: usize,
    /// Stop after this many rows.
    pub limit: Option<u64>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { statement_timeout: Duration::from_mins(10), batch_rows: 2048, batch_bytes: 2 << 20, limit: None }
    }
}

impl ReadOptions {
    /// Returns the statement's timeout within what databases take.
    fn timeout(&self) -> Duration {
        self.statement_timeout.clamp(Duration::from_millis(1), MAX_TIMEOUT)
    }
}

/// What `ebb check` reports of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCheck {
    /// The server's product and version.
    pub server: String,
    /// Things that work but should not be so: write privileges, superuser, no TLS.
    pub warnings: Vec<String>,
}

/// A database that models read.
#[async_trait]
pub trait Source: std::fmt::Debug + Send + Sync {
    /// Returns the columns of `query`'s result without reading its rows; names are unique.
    ///
    /// # Errors
    /// Every variant of [`SourceError`].
    async fn describe(&self, query: &Query) -> Result<Vec<Column>, SourceError>;

    /// Starts to read; rows follow through [`Reader::next`].
    ///
    /// # Errors
    /// Every variant of [`SourceError`]; further ones come with the rows.
    async fn read(&self, query: &Query, options: &ReadOptions) -> Result<Box<dyn Reader>, SourceError>;

    /// Connects, and reports the server and what of its privileges is more than reading needs.
    ///
    /// # Errors
    /// Every variant of [`SourceError`].
    async fn check(&self) -> Result<SourceCheck, SourceError>;
}

/// Rows of one read. Dropping it ends the read and its transaction.
#[async_trait]
pub trait Reader: Send {
    /// Returns the columns, as described for this very read.
    fn columns(&self) -> &[Column];

    /// Returns the next batch, never an empty one; `None` after the server's own end of the result.
    ///
    /// May be cancelled: the read is then of no further use.
    ///
    /// # Errors
    /// Every variant of [`SourceError`]; nothing follows after one. A read that broke off is an error, never an end.
    async fn next(&mut self) -> Result<Option<Batch>, SourceError>;
}
