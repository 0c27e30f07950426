use ebb_row::Secret;

use crate::mysql::Mysql;
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::{Source, SourceError};

/// A source as `ebb.yaml` names it, checked and with its environment filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceConfig {
    /// `type: sqlite`, `url: "sqlite:PATH"`.
    Sqlite {
        /// The file, absolute.
        path: std::path::PathBuf,
    },
    /// `type: postgres` and what speaks its protocol.
    Postgres {
        /// `postgres://user:password@host:port/database?sslmode=...`
        url: Secret,
    },
    /// `type: mysql`, also written `mariadb`.
    Mysql {
        /// `mysql://user:password@host:port/database?ssl-mode=...`
        url: Secret,
    },
}

/// Opens a source; connects lazily.
///
/// # Errors
/// [`SourceError::Settings`] when the URL cannot be read.
pub fn open(config: &SourceConfig) -> Result<Box<dyn Source>, SourceError> {
    match config {
        SourceConfig::Sqlite { path } => Ok(Box::new(Sqlite::new(path))),
        SourceConfig::Postgres { url } => Ok(Box::new(Postgres::new(url)?)),
        SourceConfig::Mysql { url } => Ok(Box::new(Mysql::new(url)?)),
    }
}
