//! Postgres, and what speaks its protocol: one prepared statement, read by binary COPY.
//!
//! COPY runs by the simple protocol, in which a text may hold several statements. So the wrapped model is first
//! prepared by the extended protocol, which refuses all but one statement, and only the very text that passed goes
//! into `COPY (...)`. A text that is one statement by itself has its brackets balanced, its quotes and comments
//! closed and no `;`, so it cannot end the COPY around it.

mod array;
mod cells;
mod copy;
mod failure;
mod kinds;
mod rights;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use async_trait::async_trait;
use ebb_row::{Column, Secret};
use futures::StreamExt as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgStatement};
use sqlx::{AssertSqlSafe, Column as _, ConnectOptions as _, Executor as _, Row as _, SqlSafeStr as _};
use sqlx::{Statement as _, TypeInfo as _, ValueRef as _};

use self::copy::Decoder;
use self::failure::{Failures, broken};
use self::kinds::Kind;
use crate::columns::BatchBuilder;
use crate::pump::{Batches, Pump, Work, bounded, hand_over};
use crate::statement::{self, Dialect, wrap};
use crate::{CONNECT_TIMEOUT, CursorBound, Query, ReadOptions, Reader, Source, SourceCheck, SourceError};

/// How long a statement waits for another transaction's lock.
const LOCK_TIMEOUT_MS: u128 = 30_000;
/// How often a server looks whether ebb is still there while it computes.
const PRESENCE_CHECK_MS: u128 = 5_000;

/// A Postgres database.
pub(crate) struct Postgres {
    options: PgConnectOptions,
    server: String,
    /// Whether to try COPY; rows are fetched otherwise.
    copies: bool,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Postgres {
    pub(crate) fn new(url: &Secret) -> Result<Self, SourceError> {
        let options = PgConnectOptions::from_str(url.expose())
            .map_err(|error| SourceError::Settings(format!("the Postgres URL cannot be read: {error}")))?
            .application_name("ebb")
            .disable_statement_logging();
        let server = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let database = options.get_database().unwrap_or(options.get_username());
        Ok(Self { server: format!("{server}/{database}"), options, copies: true })
    }

    /// Returns a source that fetches rows, as servers without COPY need.
    #[cfg(test)]
    fn without_copy(mut self) -> Self {
        self.copies = false;
        self
    }

    async fn connect(&self) -> Result<PgConnection, SourceError> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.options.connect()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(failure::connect(&self.server, &error)),
            Err(_) => Err(SourceError::no_answer(&self.server)),
        }
    }

    /// Connects and begins the transaction in which everything is read.
    ///
    /// Its bounds are set before the model runs; a model that sets others sets them for later statements, and there
    /// are none.
    async fn begin(&self, options: &ReadOptions) -> Result<PgConnection, SourceError> {
        let mut connection = self.connect().await?;
        self.begin_on(&mut connection, options).await?;
        Ok(connection)
    }

    async fn begin_on(&self, connection: &mut PgConnection, options: &ReadOptions) -> Result<(), SourceError> {
        let timeout = options.timeout().as_millis();
        let mut settings = vec![("statement_timeout", timeout)];
        // Redshift says that it is 8.0; the settings came with 9.3, 9.6 and 14.
        let version = connection.server_version_num().unwrap_or(0);
        for (since, name, milliseconds) in [
            (90_300, "lock_timeout", LOCK_TIMEOUT_MS.min(timeout)),
            (90_600, "idle_in_transaction_session_timeout", timeout),
            (140_000, "client_connection_check_interval", PRESENCE_CHECK_MS),
        ] {
            if version >= since {
                settings.push((name, milliseconds));
            }
        }
        let mut sql = String::from("begin isolation level repeatable read read only");
        for (name, milliseconds) in settings {
            sql = format!("{sql}; set local {name} = {milliseconds}");
        }
        if version >= 90_300 {
            // A function's notices would carry cells into ebb's own log.
            sql.push_str("; set local standard_conforming_strings = on; set local client_min_messages = error");
        }
        let outcome = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await;
        outcome.map(drop).map_err(|error| broken(&error))
    }

    async fn open(&self, query: &Query, options: &ReadOptions) -> Result<(PgConnection, Prepared), SourceError> {
        let mut connection = self.begin(options).await?;
        let prepared = self.prepare(&mut connection, query, options).await?;
        Ok((connection, prepared))
    }

    /// Prepares the model, and again with the cursor's bound if there is one; returns the text that passed.
    async fn prepare(
        &self,
        connection: &mut PgConnection,
        query: &Query,
        options: &ReadOptions,
    ) -> Result<Prepared, SourceError> {
        statement::refuse_unreadable(&query.sql, Dialect::Postgres)?;
        let failures = Failures::new(&query.sql, options);
        let limit = options.limit.map(|limit| format!(" limit {}", limit.min(i64::MAX.unsigned_abs())));
        let tail = limit.unwrap_or_default();
        let mut text = wrap(&query.sql, Dialect::Postgres, &tail);
        let described = describe(connection, &text, &failures).await?;
        let (columns, kinds) = columns_of(&described)?;
        if let Some(bound) = &query.cursor
            && let Some(condition) = condition(bound, &columns)?
        {
            text = wrap(&query.sql, Dialect::Postgres, &format!(" where {condition}{tail}"));
            describe(connection, &text, &failures).await?;
        }
        Ok(Prepared { text, columns, kinds, failures })
    }
}

/// A statement that the server knows to be one.
struct Prepared {
    text: String,
    columns: Vec<Column>,
    kinds: Vec<Kind>,
    failures: Failures,
}

#[async_trait]
impl Source for Postgres {
    async fn describe(&self, query: &Query) -> Result<Vec<Column>, SourceError> {
        let options = ReadOptions::default();
        let (_, prepared) = bounded(&options, self.open(query, &options)).await?;
        Ok(prepared.columns)
    }

    async fn read(&self, query: &Query, options: &ReadOptions) -> Result<Box<dyn Reader>, SourceError> {
        let (connection, prepared) = bounded(options, self.open(query, options)).await?;
        let source = Self { options: self.options.clone(), server: self.server.clone(), copies: self.copies };
        let (columns, options) = (prepared.columns.clone(), options.clone());
        let bounds = options.clone();
        Ok(Box::new(Pump::new(columns, &options, move |batches| -> Work {
            Box::pin(async move { source.read_all(connection, prepared, bounds, batches).await })
        })))
    }

    async fn check(&self) -> Result<SourceCheck, SourceError> {
        let options = ReadOptions::default();
        bounded(&options, async {
            let mut connection = self.begin(&options).await?;
            rights::check(&mut connection, &self.options).await
        })
        .await
    }
}

impl Postgres {
    async fn read_all(
        &self,
        mut connection: PgConnection,
        prepared: Prepared,
        options: ReadOptions,
        batches: Batches,
    ) -> Result<(), SourceError> {
        let rows = BatchBuilder::new(&prepared.columns, &options);
        if self.copies {
            match copy(&mut connection, &prepared, rows, &batches).await? {
                Copied::Done => return Ok(()),
                Copied::Unknown => {}
            }
            // The refused COPY ended the transaction.
            sqlx::raw_sql("rollback").execute(&mut connection).await.map_err(|error| broken(&error))?;
            self.begin_on(&mut connection, &options).await?;
        }
        fetch(&mut connection, &prepared, BatchBuilder::new(&prepared.columns, &options), &batches).await
    }
}

enum Copied {
    Done,
    /// The server does not know COPY, or not the binary one.
    Unknown,
}

async fn copy(
    connection: &mut PgConnection,
    prepared: &Prepared,
    mut rows: BatchBuilder,
    batches: &Batches,
) -> Result<Copied, SourceError> {
    let failures = &prepared.failures;
    let statement = format!("{}{}) to stdout (format binary)", failure::COPY_PREFIX, prepared.text);
    let mut chunks = match connection.copy_out_raw(&statement).await {
        Ok(chunks) => chunks,
        Err(error) if failure::is_unknown_statement(&error) => return Ok(Copied::Unknown),
        Err(error) => return Err(failures.reading(&error)),
    };
    let mut decoder = Decoder::new(prepared.kinds.clone());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| failures.reading(&error))?;
        let joined = decoder.join(&chunk);
        let mut rest = joined.as_deref().unwrap_or(&chunk);
        while let Some(after) = decoder.row(rest, &mut rows)? {
            rest = after;
            if rows.is_full() && !hand_over(batches, rows.take()?).await {
                return Ok(Copied::Done);
            }
        }
        decoder.keep(rest);
    }
    if !decoder.has_ended() {
        return Err(SourceError::Broken("the result stopped before its end".to_owned()));
    }
    if !rows.is_empty() {
        hand_over(batches, rows.take()?).await;
    }
    Ok(Copied::Done)
}

/// Reads row by row, by the extended protocol; cells have the same binary forms.
async fn fetch(
    connection: &mut PgConnection,
    prepared: &Prepared,
    mut rows: BatchBuilder,
    batches: &Batches,
) -> Result<(), SourceError> {
    let failures = &prepared.failures;
    let text = AssertSqlSafe(prepared.text.clone());
    let mut results = sqlx::query(text).fetch(connection);
    while let Some(row) = results.next().await {
        let row = row.map_err(|error| failures.reading(&error))?;
        let mut bytes = 0;
        for (index, kind) in prepared.kinds.iter().enumerate() {
            let cell = row.try_get_raw(index).map_err(|error| broken(&error))?;
            let Some(column) = rows.columns.get_mut(index) else { continue };
            bytes += 8;
            if cell.is_null() {
                column.null();
                continue;
            }
            let cell = cell.as_bytes().map_err(|error| SourceError::Broken(error.to_string()))?;
            bytes += cell.len();
            if let Err(reason) = cells::append(kind, cell, column) {
                rows.fault(index, reason);
            }
        }
        rows.end_row(bytes);
        if rows.is_full() && !hand_over(batches, rows.take()?).await {
            return Ok(());
        }
    }
    if !rows.is_empty() {
        hand_over(batches, rows.take()?).await;
    }
    Ok(())
}

async fn describe(connection: &mut PgConnection, text: &str, failures: &Failures) -> Result<PgStatement, SourceError> {
    let statement = connection
        .prepare(AssertSqlSafe(text.to_owned()).into_sql_str())
        .await
        .map_err(|error| failures.preparing(&error))?;
    match statement.parameters() {
        Some(sqlx::Either::Left([]) | sqlx::Either::Right(0)) | None => Ok(statement),
        Some(_) => Err(SourceError::query("a model has no parameters; quote a `$1` that is meant as text")),
    }
}

fn columns_of(statement: &PgStatement) -> Result<(Vec<Column>, Vec<Kind>), SourceError> {
    let described = statement.columns();
    if described.is_empty() {
        return Err(SourceError::query("the query returns no columns"));
    }
    statement::refuse_duplicates(described.iter().map(sqlx::Column::name))?;
    let mut columns = Vec::with_capacity(described.len());
    let mut kinds = Vec::with_capacity(described.len());
    for column in described {
        let source_type = column.type_info().name().to_ascii_lowercase();
        let kind = Kind::of(column.type_info()).map_err(|advice| SourceError::Unsupported {
            column: column.name().to_owned(),
            source_type: source_type.clone(),
            advice: advice.to_owned(),
        })?;
        columns.push(Column { name: column.name().to_owned(), kind: kind.column_type(), source_type });
        kinds.push(kind);
    }
    Ok((columns, kinds))
}

/// Returns the condition of a cursor's bound. The bound is a literal of no type, which takes the column's.
fn condition(bound: &CursorBound, columns: &[Column]) -> Result<Option<String>, SourceError> {
    let Some(column) = columns.iter().find(|column| column.name == bound.column) else {
        return Err(SourceError::unknown_cursor(&bound.column, columns));
    };
    let Some(from) = &bound.from else { return Ok(None) };
    if !statement::is_cursor_value(column.kind, from) {
        return Err(SourceError::cursor_value(&bound.column, column.kind));
    }
    let name = bound.column.replace('"', "\"\"");
    Ok(Some(format!("\"{name}\" >= {}", literal(from))))
}

/// Returns `text` as a literal that is the same with and without `standard_conforming_strings`.
fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}
