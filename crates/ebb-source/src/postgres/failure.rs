//! What the server's errors mean to ebb.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use crate::statement::{PREFIX, place};
use crate::{ReadOptions, SourceError};

/// What stands before the prepared text when it is copied.
pub(super) const COPY_PREFIX: &str = "copy (";

/// Reads errors of one model's statement.
pub(super) struct Failures {
    sql: String,
    seconds: u64,
}

impl Failures {
    pub(super) fn new(sql: &str, options: &ReadOptions) -> Self {
        Self { sql: sql.to_owned(), seconds: options.statement_timeout.as_secs() }
    }

    /// An error of the wrapped text.
    pub(super) fn preparing(&self, error: &sqlx::Error) -> SourceError {
        self.of(error, PREFIX.len())
    }

    /// An error of the same text inside COPY, or of its rows.
    pub(super) fn reading(&self, error: &sqlx::Error) -> SourceError {
        self.of(error, COPY_PREFIX.len() + PREFIX.len())
    }

    fn of(&self, error: &sqlx::Error, before: usize) -> SourceError {
        let Some(failure) = database(error) else { return broken(error) };
        let code = failure.code();
        if code == "57014" && failure.message().contains("statement timeout") {
            return SourceError::Timeout { seconds: self.seconds };
        }
        if code == "42601" && failure.message().contains("multiple commands") {
            return SourceError::query("a model is one statement, and this text has more");
        }
        // Syntax, data, transaction state (writing in a read-only one), limits, and what the server does not support.
        let is_the_query = ["42", "22", "21", "25", "0A", "2F", "38", "39", "3F", "P0", "54"];
        if !is_the_query.iter().any(|class| code.starts_with(class)) {
            return SourceError::Broken(without_values(code, failure.message()));
        }
        let offset = match failure.position() {
            Some(PgErrorPosition::Original(position)) => position.checked_sub(before + 1),
            Some(PgErrorPosition::Internal { .. }) | None => None,
        };
        let at = offset.map(|offset| place(&self.sql, offset));
        let mut message = without_values(code, failure.message());
        if let Some(hint) = failure.hint() {
            message = format!("{message} ({hint})");
        }
        SourceError::Query { message, line: at.map(|(line, _)| line), column: at.map(|(_, column)| column) }
    }
}

/// Returns the message without the cell that errors of class 22 quote (`invalid input syntax for type integer: "x"`).
fn without_values(code: &str, message: &str) -> String {
    let head = if code.starts_with("22") { message.split(": \"").next() } else { None };
    head.unwrap_or(message).to_owned()
}

/// Returns the error of a connection that did not come to be.
pub(super) fn connect(server: &str, error: &sqlx::Error) -> SourceError {
    let reason = match (database(error), error) {
        (Some(failure), _) => failure.message().to_owned(),
        (None, sqlx::Error::Io(error)) => error.to_string(),
        (None, other) => other.to_string(),
    };
    SourceError::Connect { server: server.to_owned(), reason }
}

/// Returns an error that is not the query's.
pub(super) fn broken(error: &sqlx::Error) -> SourceError {
    SourceError::Broken(database(error).map_or_else(|| error.to_string(), |failure| failure.message().to_owned()))
}

/// Whether a server refused COPY as such: it does not know the statement, or not its binary form.
pub(super) fn is_unknown_statement(error: &sqlx::Error) -> bool {
    database(error).is_some_and(|failure| matches!(failure.code(), "42601" | "0A000"))
}

fn database(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error().and_then(|failure| failure.try_downcast_ref::<PgDatabaseError>())
}
