use async_trait::async_trait;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::conformance::{Subject, Words, conformance, no_model_can_write, query, read, read_sql};
use crate::{CursorBound, Query, ReadOptions, SourceConfig, SourceError, open};

struct File {
    folder: TempDir,
}

impl File {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = Self { folder };
        // Readers do not hold off writers, as the suite needs it.
        file.connect().pragma_update(None, "journal_mode", "wal").unwrap();
        file.execute("create table settled (id integer)").await;
        file
    }

    fn connect(&self) -> Connection {
        Connection::open(self.folder.path().join("w.db")).unwrap()
    }
}

#[async_trait]
impl Subject for File {
    fn config(&self) -> SourceConfig {
        SourceConfig::Sqlite { path: self.folder.path().join("w.db") }
    }

    fn unreachable(&self) -> SourceConfig {
        let path = self.folder.path().join("hunter.txt");
        std::fs::write(&path, "this is no database, whatever its name says; hunter2 ".repeat(100)).unwrap();
        SourceConfig::Sqlite { path }
    }

    async fn execute(&self, sql: &str) {
        self.connect().execute_batch(sql).unwrap();
    }

    fn words(&self) -> Words {
        Words {
            integer: "integer",
            text: "text",
            timestamp: "datetime",
            endless: "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) as c from n",
            tells_column: true,
        }
    }

    async fn state(&self) -> String {
        let connection = self.connect();
        let read = |sql: &str| -> Vec<String> {
            let mut statement = connection.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get::<_, Option<String>>(0)).unwrap();
            rows.map(|row| row.unwrap().unwrap_or_default()).collect()
        };
        let mut files: Vec<_> =
            std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        files.retain(|name| !name.to_string_lossy().starts_with("w.db-"));
        files.sort();
        format!(
            "{:?} {:?} {:?} {files:?}",
            read("select sql from sqlite_schema order by name"),
            read("select group_concat(id || name) from victims"),
            read(
                "select user_version || ' ' || (select application_id from pragma_application_id) from pragma_user_version"
            ),
        )
    }
}

conformance!(File::new());

#[tokio::test]
async fn no_model_can_write_or_look_elsewhere() {
    let file = File::new().await;
    let elsewhere = file.folder.path().join("elsewhere.db");
    let attach = format!("attach '{}' as elsewhere", elsewhere.display());
    let vacuum = format!("vacuum into '{}'", elsewhere.display());
    let escapes = [
        "delete from victims",
        "delete from victims returning id",
        "insert into victims values (9, 'nine') returning id",
        "update victims set name = 'x' returning *",
        "with d as (select 1) delete from victims where id in (select * from d) returning id",
        "select 1; delete from victims",
        "select 1 as one; select load_extension('x.so')",
        "select load_extension('x.so') as x",
        "create table mine as select * from victims",
        "create temp table mine as select * from victims",
        "drop table victims",
        "alter table victims add column more text",
        "pragma user_version = 7",
        "pragma query_only = off",
        "pragma journal_mode = delete",
        "pragma writable_schema = on",
        "pragma wal_checkpoint(truncate)",
        "begin immediate",
        "reindex",
        "analyze",
        attach.as_str(),
        vacuum.as_str(),
        "explain select * from victims",
        "select * from (select 1) as x) as y; delete from victims; --",
        "select fts3_tokenizer('x', x'0000000000000000') as x",
        "select writefile('/tmp/ebb-escape', 'x') as x",
        "select readfile('/etc/passwd') as x",
        "select edit('x') as x",
    ];
    no_model_can_write(&file, &escapes).await;
}

#[tokio::test]
async fn cells_have_the_type_that_was_declared_or_are_faults() {
    let file = File::new().await;
    file.execute(
        "create table t (i integer, r real, d decimal(30,4), b boolean, at timestamp, tz timestamptz, day date,
                         j json, x blob, s varchar(10), n point_like);
         insert into t values
           (9007199254740993, 1.5, 12.5, 1, '2024-02-29 12:30:00', '2024-02-29T12:30:00+02:00', '2024-02-29',
            '{\"a\":[1,2.50]}', x'00ff', 'ä', 7),
           (-1, 9e999, 9007199254740993, 0, 1709210096, '2024-02-29', '2024-02-29T00:00:00Z', 12, x'', '', 'seven'),
           (null, null, '123456789012345678901234567890.1234', null, null, null, null, null, null, null, null),
           ('many', 'much', 'some', 2, 'now', 1709210096123, '29.2.2024', x'00', 'text', x'ff', x'ff'),
           (1.5, x'00', x'00', 'TRUE', 1.5, x'00', 5, '[1', 7, 12, 1.5);",
    )
    .await;
    let columns = "i, r, d, b, at, tz, day, x, s, n";
    let table = read_sql(&file, &format!("select {columns}, j from t where rowid <= 4")).await.unwrap();
    let kinds: Vec<String> = table.columns.iter().map(|column| column.kind.to_string()).collect();
    let kinds = kinds.join(", ");
    assert_eq!(
        kinds,
        "integer, float, decimal, boolean, timestamp without time zone, timestamp, date, binary, text, any, json"
    );
    assert_eq!(
        table.cells(0).join(" | "),
        "int 9007199254740993 | float 1.5 | decimal 12.5 | bool true | local 2024-02-29T12:30:00.000Z | \
         instant 2024-02-29T10:30:00.000Z | date 2024-02-29 | bytes [00, ff] | text ä | int 7 | json {\"a\":[1,2.50]}"
    );
    assert_eq!(
        table.cells(1).join(" | "),
        "int -1 | float inf | decimal 9007199254740993 | bool false | local 2024-02-29T12:34:56.000Z | \
         instant 2024-02-29T00:00:00.000Z | date 2024-02-29 | bytes [] | text  | text seven | int 12"
    );
    // SQLite gives a column declared as decimal its numeric affinity: only 15 digits of a long text survive there.
    assert_eq!(table.cells(2)[0], "null");
    assert_eq!(table.cells(2)[2], "decimal 123456789012345680000000000000");
    assert_eq!(table.cells(3)[..8], ["null"; 8]);
    assert_eq!(table.cells(3)[9], "bytes [ff]");
    let faults: Vec<(usize, usize)> = table.faults.iter().map(|fault| (fault.0, fault.1)).collect();
    assert_eq!(faults, [0, 1, 2, 3, 4, 5, 6, 7, 10, 8].map(|column| (3, column)));
    assert!(table.faults.iter().all(|fault| !fault.2.contains("many")), "no cell's value in a reason");
    let last = read_sql(&file, &format!("select {columns} from t where rowid = 5")).await.unwrap();
    assert_eq!(last.cells(0)[3], "bool true");
    assert_eq!(last.cells(0)[8], "text 12");
    assert_eq!(last.cells(0)[9], "float 1.5");
    let faults: Vec<usize> = last.faults.iter().map(|fault| fault.1).collect();
    assert_eq!(faults, [0, 1, 2, 4, 5, 6, 7]);
}

#[tokio::test]
async fn expressions_keep_the_type_of_each_cell() {
    let file = File::new().await;
    let sql = "select 1 as v union all select 'one' union all select 1.5 union all select x'01' union all select null";
    let table = read_sql(&file, sql).await.unwrap();
    assert_eq!(table.column(0), ["int 1", "text one", "float 1.5", "bytes [01]", "null"]);
    assert_eq!(table.columns[0].kind.word(), "any");
}

#[tokio::test]
async fn a_cursor_compares_instants_however_they_are_stored() {
    let file = File::new().await;
    file.execute(
        "create table t (at timestamp);
         insert into t values ('2024-03-01 00:30:00+02:00'), ('2024-02-29T23:00:00Z'), ('2024-02-29 21:59:59'),
           (1709244000), (1709243999), ('2024-02-29'), ('2024-03-01'), (null), ('later')",
    )
    .await;
    let source = open(&file.config()).unwrap();
    let cursor = Some(CursorBound { column: "at".to_owned(), from: Some("2024-02-29T22:00:00.000Z".to_owned()) });
    let query = Query { sql: "select at from t".to_owned(), cursor };
    let table = read(&*source, &query, &ReadOptions::default()).await.unwrap();
    assert_eq!(
        table.column(0),
        [
            "local 2024-02-29T22:30:00.000Z",
            "local 2024-02-29T23:00:00.000Z",
            "local 2024-02-29T22:00:00.000Z",
            "local 2024-03-01T00:00:00.000Z",
            "null"
        ]
    );
    assert_eq!(table.faults.len(), 1, "what cannot be compared is a fault, not lost");
}

#[tokio::test]
async fn full_text_search_and_pragma_functions_are_reading() {
    let file = File::new().await;
    file.execute("create virtual table notes using fts5(body); insert into notes values ('a red fox'), ('a hen');")
        .await;
    let found = read_sql(&file, "select body from notes where notes match 'fox'").await.unwrap();
    assert_eq!(found.column(0), ["text a red fox"]);
    let found = read_sql(&file, "select name from pragma_table_info('settled')").await.unwrap();
    assert_eq!(found.column(0), ["text id"]);
    let found = read_sql(&file, "select value from json_each('[1,\"b\"]')").await.unwrap();
    assert_eq!(found.column(0), ["int 1", "text b"]);
}

#[tokio::test]
async fn a_missing_file_is_a_fault_of_the_settings_and_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.db");
    let source = open(&SourceConfig::Sqlite { path: path.clone() }).unwrap();
    assert!(matches!(source.describe(&query("select 1 as one")).await, Err(SourceError::Settings(_))));
    assert!(!path.try_exists().unwrap());
}

#[tokio::test]
async fn errors_of_a_row_end_the_read() {
    let file = File::new().await;
    let error = read_sql(&file, "select abs(-9223372036854775808) as x").await.unwrap_err();
    assert!(matches!(&error, SourceError::Query { message, .. } if message == "integer overflow"), "{error:?}");
}
