use ebb_row::{Column, ColumnType};

use crate::CONNECT_TIMEOUT;

/// Why a source could not be read. Texts hold names, codes and the server's own message, never a password.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The settings are wrong: a URL that is none, a file that is missing.
    #[error("{0}")]
    Settings(String),
    /// The server cannot be reached or refuses the credentials.
    #[error("cannot connect to {server}: {reason}")]
    Connect {
        /// Host and port, or the file.
        server: String,
        /// The driver's reason without the URL.
        reason: String,
    },
    /// The query is wrong: syntax, an unknown table, more than one statement, no rows returned.
    #[error("{message}")]
    Query {
        /// The server's message.
        message: String,
        /// 1-based line in the model's SQL, where the server told a position.
        line: Option<usize>,
        /// 1-based column in that line.
        column: Option<usize>,
    },
    /// A column's type has no form in ebb; the message says what to write instead.
    #[error("column `{column}` has type {source_type}, {advice}")]
    Unsupported {
        /// The column.
        column: String,
        /// The source's name of its type.
        source_type: String,
        /// What to do, such as "cast it to text".
        advice: String,
    },
    /// The statement passed its timeout.
    #[error("the query did not finish within {seconds} s")]
    Timeout {
        /// The bound.
        seconds: u64,
    },
    /// The read broke off.
    #[error("reading broke off: {0}")]
    Broken(String),
}

impl SourceError {
    /// Returns an error of the query that has no place in it.
    pub(crate) fn query(message: impl Into<String>) -> Self {
        Self::Query { message: message.into(), line: None, column: None }
    }

    /// Returns the error for a server that says nothing.
    pub(crate) fn no_answer(server: &str) -> Self {
        Self::Connect { server: server.to_owned(), reason: format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()) }
    }

    /// Returns the error for a cursor that names no column of the result.
    pub(crate) fn unknown_cursor(cursor: &str, columns: &[Column]) -> Self {
        let names: Vec<String> = columns.iter().map(|column| format!("`{}`", column.name)).collect();
        Self::query(format!("the cursor column `{cursor}` is not in the result, which has {}", names.join(", ")))
    }

    /// Returns the error for a cursor's value that its column cannot be compared with.
    pub(crate) fn cursor_value(cursor: &str, kind: ColumnType) -> Self {
        Self::query(format!("the cursor column `{cursor}` is of type {kind}, which the kept bound does not fit"))
    }
}
