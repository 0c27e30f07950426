//! The suite that every driver passes. A driver's tests make a [`Subject`], a database of their own, and call
//! [`conformance`] and [`no_model_can_write`]; what only one database has is tested beside its driver.

use std::time::Duration;

use async_trait::async_trait;
use ebb_row::{Column, Row, RowReader, Value};

use crate::{CursorBound, Query, ReadOptions, Source, SourceConfig, SourceError, open};

/// A database with an owner's rights, in which the suite makes what it reads.
#[async_trait]
pub(crate) trait Subject: Send + Sync {
    /// The source as its owner would configure it.
    fn config(&self) -> SourceConfig;
    /// The same source with something wrong about its credentials or file.
    fn unreachable(&self) -> SourceConfig;
    /// Runs a statement with all rights.
    async fn execute(&self, sql: &str);
    /// The words of this database: types, and a query that would take hours.
    fn words(&self) -> Words;
    /// Everything that a model might have changed: tables, rows, settings, files.
    async fn state(&self) -> String;
}

/// What the suite must say differently to each database.
pub(crate) struct Words {
    pub(crate) integer: &'static str,
    pub(crate) text: &'static str,
    pub(crate) timestamp: &'static str,
    /// A query of one column that would take hours.
    pub(crate) endless: &'static str,
    /// Whether the database tells the column of a mistake.
    pub(crate) tells_column: bool,
}

/// Makes the tests of the suite for a subject's constructor.
macro_rules! conformance {
    ($subject:expr) => {
        #[tokio::test]
        async fn rows_arrive_in_bounded_batches() {
            crate::conformance::rows_arrive_in_bounded_batches(&$subject.await).await;
        }
        #[tokio::test]
        async fn a_limit_ends_the_read() {
            crate::conformance::a_limit_ends_the_read(&$subject.await).await;
        }
        #[tokio::test]
        async fn a_cursor_reads_from_its_bound() {
            crate::conformance::a_cursor_reads_from_its_bound(&$subject.await).await;
        }
        #[tokio::test]
        async fn columns_are_described_without_reading() {
            crate::conformance::columns_are_described_without_reading(&$subject.await).await;
        }
        #[tokio::test]
        async fn an_empty_result_has_columns_and_no_batch() {
            crate::conformance::an_empty_result_has_columns_and_no_batch(&$subject.await).await;
        }
        #[tokio::test]
        async fn mistakes_in_a_query_are_placed() {
            crate::conformance::mistakes_in_a_query_are_placed(&$subject.await).await;
        }
        #[tokio::test]
        async fn a_closing_semicolon_and_comments_are_fine() {
            crate::conformance::a_closing_semicolon_and_comments_are_fine(&$subject.await).await;
        }
        #[tokio::test]
        async fn a_slow_query_is_given_up() {
            crate::conformance::a_slow_query_is_given_up(&$subject.await).await;
        }
        #[tokio::test]
        async fn wrong_credentials_say_where_and_hide_the_password() {
            crate::conformance::wrong_credentials_say_where_and_hide_the_password(&$subject.await).await;
        }
        #[tokio::test]
        async fn a_dropped_reader_ends_its_read() {
            crate::conformance::a_dropped_reader_ends_its_read(&$subject.await).await;
        }
        #[tokio::test]
        async fn one_read_sees_one_moment() {
            crate::conformance::one_read_sees_one_moment(&$subject.await).await;
        }
    };
}
pub(crate) use conformance;

/// Reads everything.
pub(crate) async fn read(source: &dyn Source, query: &Query, options: &ReadOptions) -> Result<Table, SourceError> {
    let mut reader = source.read(query, options).await?;
    let columns = reader.columns().to_vec();
    let mut table = Table { columns, rows: Vec::new(), faults: Vec::new(), batches: Vec::new() };
    while let Some(batch) = reader.next().await? {
        assert!(batch.rows.num_rows() > 0, "no batch is empty");
        let rows = RowReader::new(&batch.rows.schema()).expect("every column has a type of ebb");
        for fault in batch.faults {
            table.faults.push((table.rows.len() + fault.row, fault.column, fault.reason));
        }
        table.batches.push(batch.rows.num_rows());
        for index in 0..batch.rows.num_rows() {
            table.rows.push(rows.row(&batch.rows, index).expect("cells are what their types say"));
        }
    }
    assert!(reader.next().await?.is_none(), "the end stays the end");
    Ok(table)
}

/// Reads `sql` as a whole.
pub(crate) async fn read_sql(subject: &dyn Subject, sql: &str) -> Result<Table, SourceError> {
    read(&*open(&subject.config()).unwrap(), &query(sql), &ReadOptions::default()).await
}

pub(crate) fn query(sql: &str) -> Query {
    Query { sql: sql.to_owned(), cursor: None }
}

/// What a read gave.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
    pub(crate) faults: Vec<(usize, usize, String)>,
    pub(crate) batches: Vec<usize>,
}

impl Table {
    /// Each cell of a row as `type: text`.
    pub(crate) fn cells(&self, row: usize) -> Vec<String> {
        self.rows[row].values().iter().map(show).collect()
    }

    pub(crate) fn column(&self, index: usize) -> Vec<String> {
        self.rows.iter().map(|row| show(row.at(index).unwrap())).collect()
    }
}

pub(crate) fn show(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bytes(bytes) => format!("bytes {bytes:02x?}"),
        Value::Float(number) => format!("float {number}"),
        Value::Int(number) => format!("int {number}"),
        Value::Decimal(number) => format!("decimal {}", number.to_plain_string()),
        Value::Text(text) => format!("text {text}"),
        Value::Bool(flag) => format!("bool {flag}"),
        Value::Instant(_) => format!("instant {}", value.canonical_text().unwrap()),
        Value::LocalTime(_) => format!("local {}", value.canonical_text().unwrap()),
        Value::Date(date) => format!("date {date}"),
        Value::List(_) | Value::Object(_) | Value::Lookup(_) => {
            let mut out = Vec::new();
            ebb_row::write_json(value, &mut out).unwrap();
            format!("json {}", String::from_utf8(out).unwrap())
        }
    }
}

/// Checks that none of `escapes` changes anything, each being refused or harmless, and that all of them are tried.
pub(crate) async fn no_model_can_write(subject: &dyn Subject, escapes: &[&str]) {
    let Words { integer, text, .. } = subject.words();
    subject.execute(&format!("create table victims (id {integer}, name {text})")).await;
    subject.execute("insert into victims values (1, 'one'), (2, 'two'), (3, 'three')").await;
    let before = subject.state().await;
    let source = open(&subject.config()).unwrap();
    for sql in escapes {
        let read = read(&*source, &query(sql), &ReadOptions::default()).await;
        assert_eq!(subject.state().await, before, "a model changed something: {sql}");
        assert!(read.is_err(), "a model was not refused: {sql}");
        let described = source.describe(&query(sql)).await;
        assert_eq!(subject.state().await, before, "describing a model changed something: {sql}");
        drop(described);
    }
    let after = read_sql(subject, "select * from victims order by id").await.unwrap();
    assert_eq!(after.column(1), ["text one", "text two", "text three"]);
}

async fn fill(subject: &dyn Subject, rows: usize) {
    let Words { integer, text, timestamp, .. } = subject.words();
    subject.execute(&format!("create table things (id {integer}, name {text}, at {timestamp})")).await;
    for start in (0..rows).step_by(500) {
        let values: Vec<String> = (start..(start + 500).min(rows))
            .map(|id| format!("({id}, 'thing {id}', '2024-01-{:02} 10:00:00')", id % 28 + 1))
            .collect();
        subject.execute(&format!("insert into things values {}", values.join(", "))).await;
    }
}

pub(crate) async fn rows_arrive_in_bounded_batches(subject: &dyn Subject) {
    fill(subject, 1050).await;
    let source = open(&subject.config()).unwrap();
    let all = query("select id, name from things");
    let by_rows = read(&*source, &all, &ReadOptions { batch_rows: 100, ..ReadOptions::default() }).await.unwrap();
    assert_eq!(by_rows.batches, [[100; 10].as_slice(), &[50]].concat());
    let mut names: Vec<String> = by_rows.column(1);
    names.sort();
    let mut expected: Vec<String> = (0..1050).map(|id| format!("text thing {id}")).collect();
    expected.sort();
    assert_eq!(names, expected);
    let by_bytes = read(&*source, &all, &ReadOptions { batch_bytes: 1000, ..ReadOptions::default() }).await.unwrap();
    assert_eq!(by_bytes.rows.len(), 1050);
    assert!(by_bytes.batches.iter().all(|rows| *rows <= 150), "{:?}", by_bytes.batches);
}

pub(crate) async fn a_limit_ends_the_read(subject: &dyn Subject) {
    fill(subject, 100).await;
    let source = open(&subject.config()).unwrap();
    for (limit, expected) in [(0, 0), (1, 1), (15, 15), (100, 100), (1000, 100)] {
        let options = ReadOptions { limit: Some(limit), batch_rows: 10, ..ReadOptions::default() };
        let table = read(&*source, &query("select id from things"), &options).await.unwrap();
        assert_eq!(table.rows.len(), expected);
    }
}

pub(crate) async fn a_cursor_reads_from_its_bound(subject: &dyn Subject) {
    fill(subject, 280).await;
    let source = open(&subject.config()).unwrap();
    let count = async |column: &str, from: Option<&str>| {
        let cursor = Some(CursorBound { column: column.to_owned(), from: from.map(str::to_owned) });
        let query = Query { sql: "select id, at, name from things -- all of them".to_owned(), cursor };
        source.describe(&query).await?;
        read(&*source, &query, &ReadOptions::default()).await.map(|table| table.rows.len())
    };
    assert_eq!(count("id", None).await.unwrap(), 280);
    assert_eq!(count("id", Some("270")).await.unwrap(), 10);
    assert_eq!(count("id", Some("-1")).await.unwrap(), 280);
    assert_eq!(count("at", Some("2024-01-28T10:00:00.000Z")).await.unwrap(), 10);
    assert_eq!(count("at", Some("2024-01-27T10:00:00.001Z")).await.unwrap(), 10);
    assert_eq!(count("at", Some("2024-01-27T10:00:00.000Z")).await.unwrap(), 20);
    assert_eq!(count("name", Some("thing 99' or '1'='1")).await.unwrap(), 0);
    assert_eq!(count("name", Some("thing 99")).await.unwrap(), 1);
    let unknown = count("nope", Some("1")).await.unwrap_err();
    assert!(unknown.to_string().contains("`nope`") && unknown.to_string().contains("`name`"), "{unknown}");
    assert!(matches!(count("id", Some("x")).await.unwrap_err(), SourceError::Query { .. }));
}

pub(crate) async fn columns_are_described_without_reading(subject: &dyn Subject) {
    fill(subject, 1).await;
    let source = open(&subject.config()).unwrap();
    let described = source.describe(&query("select name, id, at from things")).await.unwrap();
    let names: Vec<&str> = described.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["name", "id", "at"]);
    let kinds: Vec<&str> = described.iter().map(|column| column.kind.word()).collect();
    assert_eq!(kinds, ["text", "integer", "timestamp without time zone"]);
    let read = read_sql(subject, "select name, id, at from things").await.unwrap();
    assert_eq!(read.columns, described);
    // Described at once, though reading it would take hours.
    assert_eq!(source.describe(&query(subject.words().endless)).await.unwrap().len(), 1);
    for sql in ["select id, name, id from things", "select t.*, u.* from things t, things u"] {
        let error = source.describe(&query(sql)).await.unwrap_err();
        assert!(error.to_string().contains("`id`"), "{error}");
        assert!(matches!(source.read(&query(sql), &ReadOptions::default()).await, Err(SourceError::Query { .. })));
    }
}

pub(crate) async fn an_empty_result_has_columns_and_no_batch(subject: &dyn Subject) {
    fill(subject, 3).await;
    let table = read_sql(subject, "select id, name from things where id < 0").await.unwrap();
    assert_eq!((table.columns.len(), table.rows.len(), table.batches.len()), (2, 0, 0));
}

pub(crate) async fn mistakes_in_a_query_are_placed(subject: &dyn Subject) {
    fill(subject, 1).await;
    let source = open(&subject.config()).unwrap();
    let mistake = "select id,\n  name\nform things";
    let error = source.describe(&query(mistake)).await.unwrap_err();
    let SourceError::Query { message, line, column } = error else { panic!("{error}") };
    assert_eq!(line, Some(3), "{message}");
    assert!(!message.contains("ebb_model"), "the wrapper stays out of it: {message}");
    if subject.words().tells_column {
        assert_eq!(column, Some(6), "{message}");
        let error = source.describe(&query("select 'ä', nope from things")).await.unwrap_err();
        let SourceError::Query { message, line, column } = error else { panic!("{error}") };
        assert_eq!((line, column), (Some(1), Some(13)), "{message}");
    }
    for sql in
        ["", "-- nothing", "select * from no_such_table", "select 1; select 2", "delete from things", "select 1 /*"]
    {
        let error = source.describe(&query(sql)).await.unwrap_err();
        assert!(matches!(error, SourceError::Query { .. }), "{sql}: {error:?}");
        let error = source.read(&query(sql), &ReadOptions::default()).await.err().expect("no such read");
        assert!(matches!(error, SourceError::Query { .. }), "{sql}: {error:?}");
    }
}

pub(crate) async fn a_closing_semicolon_and_comments_are_fine(subject: &dyn Subject) {
    fill(subject, 2).await;
    for sql in [
        "select name from things;",
        "select name from things -- to the end",
        "/* first; */ select name from things ; -- done;\n/* yes */",
        "with t as (select name from things) select * from t\n;\n",
        "select name from things where name <> ';' order by name",
    ] {
        assert_eq!(read_sql(subject, sql).await.unwrap().rows.len(), 2, "{sql}");
    }
}

pub(crate) async fn a_slow_query_is_given_up(subject: &dyn Subject) {
    let source = open(&subject.config()).unwrap();
    let options = ReadOptions { statement_timeout: Duration::from_secs(1), ..ReadOptions::default() };
    let endless = query(subject.words().endless);
    let mut reader = source.read(&endless, &options).await.unwrap();
    let error = reader.next().await.unwrap_err();
    assert!(matches!(error, SourceError::Timeout { seconds: 1 }), "{error:?}");
    assert!(reader.next().await.is_err(), "what follows an error is no end");
}

pub(crate) async fn wrong_credentials_say_where_and_hide_the_password(subject: &dyn Subject) {
    let source = open(&subject.unreachable()).unwrap();
    for error in [
        source.check().await.unwrap_err(),
        source.describe(&query("select 1 as one")).await.unwrap_err(),
        source.read(&query("select 1 as one"), &ReadOptions::default()).await.err().expect("no such read"),
    ] {
        let SourceError::Connect { server, .. } = &error else { panic!("{error:?}") };
        assert!(!server.is_empty());
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    assert!(!format!("{source:?}").contains("hunter2"), "{source:?}");
}

pub(crate) async fn a_dropped_reader_ends_its_read(subject: &dyn Subject) {
    fill(subject, 2000).await;
    let source = open(&subject.config()).unwrap();
    let options = ReadOptions { batch_rows: 10, ..ReadOptions::default() };
    for _ in 0..5 {
        let mut reader = source.read(&query("select * from things"), &options).await.unwrap();
        assert_eq!(reader.next().await.unwrap().unwrap().rows.num_rows(), 10);
    }
    // Nothing of those reads is in the way of a change of the table.
    subject.execute("drop table things").await;
}

pub(crate) async fn one_read_sees_one_moment(subject: &dyn Subject) {
    fill(subject, 2000).await;
    let source = open(&subject.config()).unwrap();
    let options = ReadOptions { batch_rows: 10, ..ReadOptions::default() };
    let mut reader = source.read(&query("select id, name from things"), &options).await.unwrap();
    let mut rows = reader.next().await.unwrap().unwrap().rows.num_rows();
    subject.execute("update things set name = 'changed'").await;
    while let Some(batch) = reader.next().await.unwrap() {
        rows += batch.rows.num_rows();
        let names = RowReader::new(&batch.rows.schema()).unwrap();
        for index in 0..batch.rows.num_rows() {
            let row = names.row(&batch.rows, index).unwrap();
            assert!(show(row.at(1).unwrap()).starts_with("text thing "));
        }
    }
    assert_eq!(rows, 2000);
}
