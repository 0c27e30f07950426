//! What the server's errors mean to ebb.

use sqlx::mysql::MySqlDatabaseError;

use crate::statement::{self, place};
use crate::{ReadOptions, SourceError};

/// Reads errors of one model's statement.
pub(super) struct Failures {
    sql: String,
    seconds: u64,
}

impl Failures {
    pub(super) fn new(sql: &str, options: &ReadOptions) -> Self {
        Self { sql: sql.to_owned(), seconds: options.statement_timeout.as_secs() }
    }

    pub(super) fn of(&self, error: &sqlx::Error) -> SourceError {
        let Some(failure) = database(error) else { return broken(error) };
        let message = failure.message();
        match failure.number() {
            // ER_QUERY_TIMEOUT of MySQL, ER_STATEMENT_TIMEOUT of MariaDB.
            3024 | 1969 => SourceError::Timeout { seconds: self.seconds },
            // ER_PARSE_ERROR.
            1064 => self.syntax(message),
            // ER_DUP_FIELDNAME, of the derived table that the model is.
            1060 => statement::duplicate(message.split('\'').nth(1).unwrap_or_default()),
            _ => {
                let code = failure.code().unwrap_or_default();
                let is_the_query = ["42", "22", "21", "25", "0A", "3D"].iter().any(|class| code.starts_with(class));
                // Wrong arguments, collations that do not mix, a result of more than one row, and their like.
                if is_the_query || (code == "HY000" && (1200..1300).contains(&failure.number())) {
                    SourceError::query(without_values(code, message))
                } else {
                    SourceError::Broken(without_values(code, message))
                }
            }
        }
    }

    /// Reads `... near 'TEXT' at line N`, where TEXT begins at the mistake and may go on into ebb's own wrapper.
    fn syntax(&self, message: &str) -> SourceError {
        let parts = message.split_once("near '").and_then(|(_, rest)| rest.rsplit_once("' at line "));
        let Some((near, line)) = parts else { return SourceError::query(message) };
        let near = near.split("\n) as ebb_model").next().unwrap_or_default();
        let near = if near.starts_with(") as ebb_model") { "" } else { near };
        let last = self.sql.lines().count().max(1);
        let line = line.trim().parse::<usize>().ok().map(|line| line.min(last));
        let head = near.lines().next().unwrap_or_default();
        if head.is_empty() {
            let (line, column) = place(&self.sql, self.sql.trim_end().chars().count());
            let message = "the SQL stops before it is complete".to_owned();
            return SourceError::Query { message, line: Some(line), column: Some(column) };
        }
        // Only a text that occurs once in its line tells the column.
        let text = line.and_then(|line| self.sql.lines().nth(line - 1)).unwrap_or_default();
        let mut places = text.match_indices(head);
        let column = match (places.next(), places.next()) {
            (Some((at, _)), None) => Some(text.get(..at).unwrap_or_default().chars().count() + 1),
            _ => None,
        };
        SourceError::Query { message: format!("the SQL cannot be read from `{head}` on"), line, column }
    }
}

/// Returns the message without the cell that errors of class 22 quote (`Incorrect integer value: 'x'`).
fn without_values(code: &str, message: &str) -> String {
    let head = if code.starts_with("22") { message.split(": '").next() } else { None };
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

fn database(error: &sqlx::Error) -> Option<&MySqlDatabaseError> {
    error.as_database_error().and_then(|failure| failure.try_downcast_ref::<MySqlDatabaseError>())
}
