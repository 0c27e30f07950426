//! `MySQL` and `MariaDB`: one prepared statement, rows fetched as they come.
//!
//! The statement protocol takes one statement only, and the model stands in it as a derived table, where nothing but
//! a `SELECT` may stand; the transaction around it is read-only.

mod cells;
mod failure;
mod rights;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use async_trait::async_trait;
use ebb_row::{Column, ColumnType, Secret};
use futures::StreamExt as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow, MySqlStatement};
use sqlx::{AssertSqlSafe, Column as _, ConnectOptions as _, Executor as _, Row as _, SqlSafeStr as _};
use sqlx::{MySql, Statement as _, TypeInfo as _, ValueRef as _};

use self::cells::Kind;
use self::failure::{Failures, broken};
use crate::columns::BatchBuilder;
use crate::pump::{Batches, Pump, Work, bounded, hand_over};
use crate::statement::{self, Dialect, wrap};
use crate::{CONNECT_TIMEOUT, CursorBound, Query, ReadOptions, Reader, Source, SourceCheck, SourceError, calendar};

/// How long a statement waits for a table that another session has locked.
const LOCK_WAIT_SECONDS: u64 = 30;

/// A `MySQL` or `MariaDB` database.
pub(crate) struct Mysql {
    options: MySqlConnectOptions,
    server: String,
}

impl std::fmt::Debug for Mysql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mysql").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Mysql {
    pub(crate) fn new(url: &Secret) -> Result<Self, SourceError> {
        let options = MySqlConnectOptions::from_str(url.expose())
            .map_err(|error| SourceError::Settings(format!("the MySQL URL cannot be read: {error}")))?
            // A model means what it means in any other session: the server's own sql_mode stays.
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .disable_statement_logging();
        let server = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let database = options.get_database().map(|database| format!("/{database}")).unwrap_or_default();
        Ok(Self { server: format!("{server}{database}"), options })
    }

    /// Connects and begins the transaction in which everything is read; returns the server's version with it.
    async fn begin(&self, options: &ReadOptions) -> Result<(MySqlConnection, String), SourceError> {
        let mut connection = match tokio::time::timeout(CONNECT_TIMEOUT, self.options.connect()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(failure::connect(&self.server, &error)),
            Err(_) => return Err(SourceError::no_answer(&self.server)),
        };
        let row = connection.fetch_one("select version()").await.map_err(|error| broken(&error))?;
        let version: String = row.try_get(0).map_err(|error| broken(&error))?;
        let timeout = options.timeout();
        let seconds = timeout.as_secs().max(1);
        let statement_timeout = if version.contains("MariaDB") {
            format!("max_statement_time = {}", timeout.as_secs_f64())
        } else {
            format!("max_execution_time = {}", timeout.as_millis())
        };
        for sql in [
            format!(
                "set session {statement_timeout}, lock_wait_timeout = {}, net_write_timeout = {seconds}",
                LOCK_WAIT_SECONDS.min(seconds)
            ),
            "set session transaction isolation level repeatable read, read only".to_owned(),
            "start transaction with consistent snapshot, read only".to_owned(),
        ] {
            let outcome = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
            outcome.map_err(|error| broken(&error))?;
        }
        Ok((connection, version))
    }

    async fn open(&self, query: &Query, options: &ReadOptions) -> Result<(MySqlConnection, Prepared), SourceError> {
        let (mut connection, _) = self.begin(options).await?;
        let prepared = self.prepare(&mut connection, query, options).await?;
        Ok((connection, prepared))
    }

    async fn prepare(
        &self,
        connection: &mut MySqlConnection,
        query: &Query,
        options: &ReadOptions,
    ) -> Result<Prepared, SourceError> {
        statement::refuse_unreadable(&query.sql, Dialect::Mysql)?;
        let failures = Failures::new(&query.sql, options);
        let limit = options.limit.map(|limit| format!(" limit {limit}"));
        let tail = limit.unwrap_or_default();
        let mut text = wrap(&query.sql, Dialect::Mysql, &tail);
        let described = describe(connection, &text, 0, &failures).await?;
        let (columns, kinds) = columns_of(&described)?;
        let mut bound = None;
        if let Some(cursor) = &query.cursor
            && let Some((condition, parameter)) = condition(cursor, &columns)?
        {
            text = wrap(&query.sql, Dialect::Mysql, &format!(" where {condition}{tail}"));
            describe(connection, &text, usize::from(parameter.is_some()), &failures).await?;
            bound = parameter;
        }
        Ok(Prepared { text, bound, columns, kinds, failures })
    }
}

/// A statement that the server knows to be one.
struct Prepared {
    text: String,
    /// The parameter of a cursor's condition.
    bound: Option<String>,
    columns: Vec<Column>,
    kinds: Vec<Kind>,
    failures: Failures,
}

#[async_trait]
impl Source for Mysql {
    async fn describe(&self, query: &Query) -> Result<Vec<Column>, SourceError> {
        let options = ReadOptions::default();
        let (_, prepared) = bounded(&options, self.open(query, &options)).await?;
        Ok(prepared.columns)
    }

    async fn read(&self, query: &Query, options: &ReadOptions) -> Result<Box<dyn Reader>, SourceError> {
        let (connection, prepared) = bounded(options, self.open(query, options)).await?;
        let rows = BatchBuilder::new(&prepared.columns, options);
        Ok(Box::new(Pump::new(prepared.columns.clone(), options, move |batches| -> Work {
            Box::pin(async move { fetch(connection, prepared, rows, batches).await })
        })))
    }

    async fn check(&self) -> Result<SourceCheck, SourceError> {
        let options = ReadOptions::default();
        bounded(&options, async {
            let (mut connection, version) = self.begin(&options).await?;
            rights::check(&mut connection, &self.options, &version).await
        })
        .await
    }
}

async fn fetch(
    mut connection: MySqlConnection,
    prepared: Prepared,
    mut rows: BatchBuilder,
    batches: Batches,
) -> Result<(), SourceError> {
    let mut statement = sqlx::query(AssertSqlSafe(prepared.text));
    if let Some(bound) = prepared.bound {
        statement = statement.bind(bound);
    }
    let mut results = statement.fetch(&mut connection);
    let mut is_first = true;
    while let Some(row) = results.next().await {
        let row = row.map_err(|error| prepared.failures.of(&error))?;
        if is_first {
            refuse_other_types(&row, &prepared.columns, &prepared.kinds)?;
            is_first = false;
        }
        let mut bytes = 0;
        for (index, kind) in prepared.kinds.iter().enumerate() {
            let cell = row.try_get_raw(index).map_err(|error| broken(&error))?;
            let Some(column) = rows.columns.get_mut(index) else { continue };
            bytes += 8;
            // The driver takes a zero date for null, which only its bytes tell apart.
            if cell.is_null() && !kind.may_be_zero_date() {
                column.null();
                continue;
            }
            // Decoding as bytes gives the cell as it was sent, whatever its type; only a null has none.
            let Ok(cell) = <&[u8] as sqlx::Decode<MySql>>::decode(cell) else {
                column.null();
                continue;
            };
            bytes += cell.len();
            if let Err(reason) = cells::append(*kind, cell, column) {
                rows.fault(index, reason);
            }
        }
        rows.end_row(bytes);
        if rows.is_full() && !hand_over(&batches, rows.take()?).await {
            return Ok(());
        }
    }
    if !rows.is_empty() {
        hand_over(&batches, rows.take()?).await;
    }
    Ok(())
}

/// Refuses rows whose types are not those that were described: the server may see them otherwise when it runs.
fn refuse_other_types(row: &MySqlRow, columns: &[Column], kinds: &[Kind]) -> Result<(), SourceError> {
    for ((sent, column), kind) in row.columns().iter().zip(columns).zip(kinds) {
        let info = sent.type_info();
        // A column of nulls alone may be sent as such.
        let is_same = info.name() == "NULL"
            || Kind::of(info).is_ok_and(|sent| sent == *kind && sent.column_type(info) == column.kind);
        if !is_same {
            return Err(SourceError::Unsupported {
                column: column.name.clone(),
                source_type: column.source_type.clone(),
                advice: format!("but its rows came as {}; cast it", info.name().to_ascii_lowercase()),
            });
        }
    }
    Ok(())
}

async fn describe(
    connection: &mut MySqlConnection,
    text: &str,
    parameters: usize,
    failures: &Failures,
) -> Result<MySqlStatement, SourceError> {
    let statement =
        connection.prepare(AssertSqlSafe(text.to_owned()).into_sql_str()).await.map_err(|error| failures.of(&error))?;
    let found = match statement.parameters() {
        Some(sqlx::Either::Left(types)) => types.len(),
        Some(sqlx::Either::Right(count)) => count,
        None => 0,
    };
    if found == parameters {
        Ok(statement)
    } else {
        Err(SourceError::query("a model has no parameters; quote a `?` that is meant as text"))
    }
}

fn columns_of(statement: &MySqlStatement) -> Result<(Vec<Column>, Vec<Kind>), SourceError> {
    let described = statement.columns();
    if described.is_empty() {
        return Err(SourceError::query("the query returns no columns"));
    }
    statement::refuse_duplicates(described.iter().map(sqlx::Column::name))?;
    let mut columns = Vec::with_capacity(described.len());
    let mut kinds = Vec::with_capacity(described.len());
    for column in described {
        let info = column.type_info();
        let (name, source_type) = (column.name().to_owned(), info.name().to_ascii_lowercase());
        match Kind::of(info) {
            Ok(kind) => {
                columns.push(Column { name, kind: kind.column_type(info), source_type });
                kinds.push(kind);
            }
            Err(advice) => {
                return Err(SourceError::Unsupported { column: name, source_type, advice: advice.to_owned() });
            }
        }
    }
    Ok((columns, kinds))
}

/// Returns the condition of a cursor's bound, and its parameter if it has one.
fn condition(cursor: &CursorBound, columns: &[Column]) -> Result<Option<(String, Option<String>)>, SourceError> {
    let Some(column) = columns.iter().find(|column| column.name == cursor.column) else {
        return Err(SourceError::unknown_cursor(&cursor.column, columns));
    };
    let Some(from) = &cursor.from else { return Ok(None) };
    let unreadable = || SourceError::cursor_value(&cursor.column, column.kind);
    if !statement::is_cursor_value(column.kind, from) {
        return Err(unreadable());
    }
    let name = format!("`{}`", cursor.column.replace('`', "``"));
    let instant = || {
        let micros = calendar::parse(from.as_bytes()).ok_or_else(unreadable)?.micros();
        chrono::DateTime::from_timestamp_micros(micros).ok_or_else(unreadable)
    };
    let literal = match column.kind {
        ColumnType::Text => return Ok(Some((format!("{name} >= ?"), Some(from.clone())))),
        ColumnType::Date => format!("date'{}'", instant()?.format("%Y-%m-%d")),
        ColumnType::Timestamp | ColumnType::LocalTimestamp => {
            format!("timestamp'{}'", instant()?.format("%Y-%m-%d %H:%M:%S%.6f"))
        }
        ColumnType::Integer | ColumnType::Unsigned | ColumnType::Float | ColumnType::Decimal => from.clone(),
        ColumnType::Boolean | ColumnType::Binary | ColumnType::Json | ColumnType::Any => return Err(unreadable()),
    };
    Ok(Some((format!("{name} >= {literal}"), None)))
}
