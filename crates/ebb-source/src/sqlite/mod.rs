//! `SQLite`: a file, opened read-only, read by a thread of its own.
//!
//! Four locks keep a model from writing or looking elsewhere: the file is opened read-only, `query_only` is on, an
//! authorizer refuses all but reading, and attaching and extensions are off.

mod cells;
mod cursor;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ebb_row::{Batch, Column, ColumnType};
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, Statement};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::columns::BatchBuilder;
use crate::statement::{self, Dialect, PREFIX, place, wrap};
use crate::{Query, ReadOptions, Reader, Source, SourceCheck, SourceError};

/// Steps of `SQLite`'s machine between looks at whether to stop: about a millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;
/// Batches made ahead of the caller.
const BATCHES_AHEAD: usize = 2;
/// The largest cell, in bytes.
const MAX_CELL_BYTES: i32 = 1 << 28;
/// How long a read waits for a writer that holds the whole file.
const MAX_BUSY_WAIT: Duration = Duration::from_secs(30);
/// Pragmas that only tell, as table functions call them (`pragma_table_info('t')`), or full-text search does.
const READING_PRAGMAS: [&str; 8] = [
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "foreign_key_list",
    "data_version",
];

/// A `SQLite` file.
#[derive(Debug)]
pub(crate) struct Sqlite {
    path: PathBuf,
}

impl Sqlite {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Runs `work` on a connection, off the async threads.
    async fn with_connection<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let path = self.path.clone();
        let work = move || work(&open(&path, MAX_BUSY_WAIT, &Arc::default())?);
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => Err(SourceError::Broken(error.to_string())),
        }
    }
}

#[async_trait]
impl Source for Sqlite {
    async fn describe(&self, query: &Query) -> Result<Vec<Column>, SourceError> {
        let query = query.clone();
        self.with_connection(move |connection| {
            let columns = columns_of(&prepare(connection, &query.sql, 0)?)?;
            if let Some(bound) = &query.cursor {
                cursor::prepare(bound, &columns)?;
            }
            Ok(columns)
        })
        .await
    }

    async fn read(&self, query: &Query, options: &ReadOptions) -> Result<Box<dyn Reader>, SourceError> {
        let (messages, mut incoming) = mpsc::channel(BATCHES_AHEAD);
        let stop = Arc::new(AtomicBool::new(false));
        let guard = StopOnDrop(Arc::clone(&stop));
        let (path, query, bounds) = (self.path.clone(), query.clone(), options.clone());
        std::thread::Builder::new()
            .name("sqlite-read".to_owned())
            .spawn(move || {
                let last = match read_to_end(&path, &query, &bounds, &stop, &messages) {
                    Ok(()) => Message::End,
                    Err(error) => Message::Failed(error),
                };
                // The reader may be gone; then nobody wants to know.
                drop(messages.blocking_send(last));
            })
            .map_err(|error| SourceError::Broken(format!("cannot start a thread: {error}")))?;
        let deadline = Instant::now() + options.timeout();
        let seconds = options.statement_timeout.as_secs();
        match receive(&mut incoming, deadline, seconds).await? {
            Message::Columns(columns) => {
                Ok(Box::new(SqliteReader { columns, incoming, deadline, seconds, ended: false, _guard: guard }))
            }
            Message::Failed(error) => Err(error),
            Message::Rows(_) | Message::End => Err(SourceError::Broken("the columns are missing".to_owned())),
        }
    }

    async fn check(&self) -> Result<SourceCheck, SourceError> {
        self.with_connection(|connection| {
            let mut statement = prepare(connection, "select count(*) from sqlite_schema", 0)?;
            statement.query_row([], |_| Ok(())).map_err(|error| query_error(&error, "", 0))?;
            Ok(SourceCheck { server: format!("SQLite {}", rusqlite::version()), warnings: Vec::new() })
        })
        .await
    }
}

struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

enum Message {
    Columns(Vec<Column>),
    Rows(Batch),
    Failed(SourceError),
    End,
}

async fn receive(
    incoming: &mut mpsc::Receiver<Message>,
    deadline: Instant,
    seconds: u64,
) -> Result<Message, SourceError> {
    match tokio::time::timeout_at(deadline, incoming.recv()).await {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(SourceError::Broken("the reading thread ended before the result did".to_owned())),
        Err(_) => Err(SourceError::Timeout { seconds }),
    }
}

struct SqliteReader {
    columns: Vec<Column>,
    incoming: mpsc::Receiver<Message>,
    deadline: Instant,
    seconds: u64,
    ended: bool,
    _guard: StopOnDrop,
}

#[async_trait]
impl Reader for SqliteReader {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        if self.ended {
            return Ok(None);
        }
        match receive(&mut self.incoming, self.deadline, self.seconds).await? {
            Message::Rows(batch) => Ok(Some(batch)),
            Message::End => {
                self.ended = true;
                Ok(None)
            }
            Message::Failed(error) => Err(error),
            Message::Columns(_) => Err(SourceError::Broken("the columns came twice".to_owned())),
        }
    }
}

fn open(path: &Path, busy_wait: Duration, stop: &Arc<AtomicBool>) -> Result<Connection, SourceError> {
    let connect = |error: rusqlite::Error| SourceError::Connect {
        server: path.display().to_string(),
        reason: plain_message(&error),
    };
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return Err(SourceError::Settings(format!("there is no file `{}`", path.display()))),
        Err(error) => return Err(SourceError::Settings(format!("cannot look at `{}`: {error}", path.display()))),
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(connect)?;
    connection.busy_timeout(busy_wait.min(MAX_BUSY_WAIT)).map_err(connect)?;
    let stop = Arc::clone(stop);
    connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || stop.load(Ordering::Relaxed))).map_err(connect)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0).map_err(connect)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_CELL_BYTES).map_err(connect)?;
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
    ] {
        connection.set_db_config(setting, on).map_err(connect)?;
    }
    connection.pragma_update(None, "query_only", true).map_err(connect)?;
    // Reads the file's head, so that a file of another kind is a fault of the connection.
    connection.query_row("select count(*) from sqlite_schema", [], |_| Ok(())).map_err(connect)?;
    connection.authorizer(Some(authorize)).map_err(connect)?;
    Ok(connection)
}

fn authorize(context: AuthContext<'_>) -> Authorization {
    let action = context.action;
    let is_known = |names: &[&str], name: &str| names.iter().any(|known| name.eq_ignore_ascii_case(known));
    let reads = if let AuthAction::Function { function_name } = action {
        !is_known(&["load_extension"], function_name)
    } else if let AuthAction::Pragma { pragma_name, .. } = action {
        is_known(&READING_PRAGMAS, pragma_name)
    } else {
        matches!(action, AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive)
    };
    if reads { Authorization::Allow } else { Authorization::Deny }
}

/// Prepares the one statement of `sql`, in which the model's own text begins after `prefix` bytes.
fn prepare<'a>(connection: &'a Connection, sql: &str, prefix: usize) -> Result<Statement<'a>, SourceError> {
    statement::refuse_unreadable(sql, Dialect::Sqlite)?;
    let statement = connection.prepare(sql).map_err(|error| query_error(&error, sql, prefix))?;
    if statement.column_count() == 0 {
        return Err(SourceError::query("the query returns no columns"));
    }
    if !statement.readonly() || statement.is_explain() != 0 {
        return Err(SourceError::query("a model may only read"));
    }
    Ok(statement)
}

fn columns_of(statement: &Statement<'_>) -> Result<Vec<Column>, SourceError> {
    let declared = statement.columns();
    statement::refuse_duplicates(declared.iter().map(rusqlite::Column::name))?;
    let columns = declared.iter().map(|column| Column {
        name: column.name().to_owned(),
        kind: cells::column_type(column.decl_type()),
        source_type: column.decl_type().unwrap_or("no declared type").to_owned(),
    });
    Ok(columns.collect())
}

/// Reads `query` into `messages`; returns early when nobody listens any more.
fn read_to_end(
    path: &Path,
    query: &Query,
    options: &ReadOptions,
    stop: &Arc<AtomicBool>,
    messages: &mpsc::Sender<Message>,
) -> Result<(), SourceError> {
    let connection = open(path, options.timeout(), stop)?;
    let plain = prepare(&connection, &query.sql, 0)?;
    let columns = columns_of(&plain)?;
    let bound = match &query.cursor {
        Some(bound) => cursor::prepare(bound, &columns)?,
        None => None,
    };
    let kinds: Vec<ColumnType> = columns.iter().map(|column| column.kind).collect();
    let builder = BatchBuilder::new(&columns, options);
    if messages.blocking_send(Message::Columns(columns)).is_err() {
        return Ok(());
    }
    let (statement, parameters, filter) = match bound {
        None => (plain, Vec::new(), None),
        Some(bound) => {
            let sql = wrap(&query.sql, Dialect::Sqlite, &format!(" where {}", bound.condition));
            (prepare(&connection, &sql, PREFIX.len())?, bound.parameters, bound.filter)
        }
    };
    Rows { statement, parameters, kinds, filter, builder, limit: options.limit.unwrap_or(u64::MAX) }.send_all(messages)
}

struct Rows<'a> {
    statement: Statement<'a>,
    parameters: Vec<Value>,
    kinds: Vec<ColumnType>,
    filter: Option<cursor::Filter>,
    builder: BatchBuilder,
    limit: u64,
}

impl Rows<'_> {
    fn send_all(mut self, messages: &mpsc::Sender<Message>) -> Result<(), SourceError> {
        let builder = &mut self.builder;
        let mut left = self.limit;
        let mut rows = self
            .statement
            .query(rusqlite::params_from_iter(self.parameters))
            .map_err(|error| query_error(&error, "", 0))?;
        while left > 0 {
            let Some(row) = rows.next().map_err(|error| query_error(&error, "", 0))? else { break };
            let cell = |index: usize| row.get_ref(index).map_err(|error| query_error(&error, "", 0));
            if let Some(filter) = &self.filter
                && !filter.passes(cell(filter.column())?)
            {
                continue;
            }
            let mut bytes = 0;
            for (index, kind) in self.kinds.iter().enumerate() {
                let cell = cell(index)?;
                bytes += match cell {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() + 8,
                    ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 8,
                };
                let Some(column) = builder.columns.get_mut(index) else { continue };
                if let Err(reason) = cells::append(*kind, cell, column) {
                    builder.fault(index, reason);
                }
            }
            builder.end_row(bytes);
            left -= 1;
            if builder.is_full() && messages.blocking_send(Message::Rows(builder.take()?)).is_err() {
                return Ok(());
            }
        }
        if !builder.is_empty() {
            // When nobody listens the end does not matter either.
            drop(messages.blocking_send(Message::Rows(builder.take()?)));
        }
        Ok(())
    }
}

/// Returns `error` as one of the query, placed in the model's text, which begins after `prefix` bytes of `sql`.
fn query_error(error: &rusqlite::Error, sql: &str, prefix: usize) -> SourceError {
    use rusqlite::ErrorCode::{AuthorizationForStatementDenied, ReadOnly, TooBig, TypeMismatch, Unknown};
    if let rusqlite::Error::SqlInputError { msg, offset, .. } = error {
        let offset = usize::try_from(*offset).ok().and_then(|offset| offset.checked_sub(prefix));
        let text = sql.get(prefix..).unwrap_or_default();
        let at = offset.and_then(|offset| text.get(..offset)).map(|before| place(text, before.chars().count()));
        return SourceError::Query {
            message: msg.clone(),
            line: at.map(|(line, _)| line),
            column: at.map(|(_, column)| column),
        };
    }
    let code = error.sqlite_error_code();
    if matches!(error, rusqlite::Error::MultipleStatement) {
        SourceError::query("a model is one statement, and this text has more")
    } else if matches!(code, Some(AuthorizationForStatementDenied | ReadOnly)) {
        SourceError::query("a model may only read: no writing, attaching, settings or extensions")
    } else if matches!(code, None | Some(Unknown | TypeMismatch | TooBig)) {
        SourceError::query(plain_message(error))
    } else {
        SourceError::Broken(plain_message(error))
    }
}

/// Returns `SQLite`'s message without the statement's text.
fn plain_message(error: &rusqlite::Error) -> String {
    if let rusqlite::Error::SqliteFailure(_, Some(message)) | rusqlite::Error::SqlInputError { msg: message, .. } =
        error
    {
        message.clone()
    } else {
        error.to_string()
    }
}
