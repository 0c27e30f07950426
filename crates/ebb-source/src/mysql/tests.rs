use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use ebb_row::Secret;
use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, Row as _};

use super::Mysql;
use crate::conformance::{Subject, Words, conformance, no_model_can_write, query, read, read_sql};
use crate::{ReadOptions, Source as _, SourceConfig, SourceError, open};

/// A database of its own on the server for tests, dropped at the end.
struct Database {
    server: String,
    name: String,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

#[expect(clippy::disallowed_methods, reason = "tests take the server's URL from the environment")]
fn server() -> String {
    std::env::var("EBB_TEST_MYSQL_URL").expect(
        "EBB_TEST_MYSQL_URL is not set: run the tests by `just test`, or `tests/servers.sh run -- cargo nextest run`",
    )
}

impl Database {
    async fn new() -> Self {
        let name = format!("ebb_source_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let database = Self { server: server(), name };
        run(&database.server, &format!("create database {}", database.name)).await;
        database
    }

    fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').unwrap();
        format!("{server}/{}", self.name)
    }

    /// The host and port of the server.
    fn address(&self) -> &str {
        let (_, address) = self.server.rsplit_once('@').unwrap();
        address.rsplit_once('/').unwrap().0
    }

    async fn texts(&self, sql: &str) -> String {
        let mut connection = MySqlConnection::connect(&self.url()).await.unwrap();
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.unwrap();
        let texts: Vec<String> = rows.iter().map(|row| row.get::<Option<String>, _>(0).unwrap_or_default()).collect();
        texts.join(",")
    }
}

async fn run(url: &str, sql: &str) {
    let mut connection = MySqlConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, sql) = (self.server.clone(), format!("drop database {}", self.name));
        // Outside the test's own runtime, which cannot wait in a drop.
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(&server, &sql));
        };
        std::thread::spawn(work).join().unwrap();
    }
}

#[async_trait]
impl Subject for Database {
    fn config(&self) -> SourceConfig {
        SourceConfig::Mysql { url: Secret::new(self.url()) }
    }

    fn unreachable(&self) -> SourceConfig {
        SourceConfig::Mysql { url: Secret::new(format!("mysql://nobody:hunter2@{}/mysql", self.address())) }
    }

    async fn execute(&self, sql: &str) {
        run(&self.url(), sql).await;
    }

    fn words(&self) -> Words {
        Words {
            integer: "bigint",
            text: "varchar(200)",
            timestamp: "datetime",
            endless: "select benchmark(1000000000000000, md5('x')) as c",
            tells_column: false,
        }
    }

    async fn state(&self) -> String {
        let mut state = self
            .texts(
                "select group_concat(id, name order by id) from victims
                 union all select group_concat(id order by id) from unsafe_victims
                 union all select group_concat(table_name, table_type, table_comment order by table_name)
                   from information_schema.tables where table_schema = database()
                 union all select group_concat(user order by user) from mysql.user
                 union all select group_concat(schema_name order by schema_name) from information_schema.schemata
                   where schema_name not like 'ebb\\_%'
                 union all select concat_ws(' ', @@global.max_connections, @@global.sql_mode, @@global.general_log)",
            )
            .await;
        if self.texts("select version()").await.contains("MariaDB") {
            state += &self.texts("select cast(next_not_cached_value as char) from counter").await;
        }
        let folder = self.texts("select @@secure_file_priv").await;
        if let Ok(files) = std::fs::read_dir(folder) {
            let mut names: Vec<_> = files.filter_map(|file| file.ok().map(|file| file.file_name())).collect();
            names.retain(|name| name.to_string_lossy().contains(&self.name));
            state = format!("{state} {names:?}");
        }
        state
    }
}

conformance!(Database::new());

#[tokio::test]
async fn no_model_can_write_or_leave_its_transaction() {
    let database = Database::new().await;
    database
        .execute(
            "create table unsafe_victims (id int) engine = myisam; insert into unsafe_victims values (1), (2);
             create sequence counter;
             create function write_it() returns int begin delete from victims; return 1; end;
             create function write_unsafe() returns int begin delete from unsafe_victims; return 1; end;
             create function cheat() returns int begin
               set session tx_read_only = 0; delete from victims; return 1; end;
             create procedure wipe() begin commit; delete from victims; commit; end;",
        )
        .await;
    let folder = database.texts("select @@secure_file_priv").await;
    let file = format!("{}/{}.txt", folder.trim_end_matches('/'), database.name);
    let outfile = format!("select 1 into outfile '{file}'");
    let dumpfile = format!("select 1 as x into dumpfile '{file}'");
    let outfile_behind = format!("select 1) as a into outfile '{file}' -- ");
    let outfile_hidden = format!("select 1) as a into outfile '{file}' /*");
    let outfile_before = format!("select 1 as x) as a union select 2 into outfile '{file}' union (select 3 as x");
    let escapes = [
        "select 1; delete from victims",
        "select 1 as x; commit; delete from victims",
        "select 1) as a; commit; start transaction read write; delete from victims; commit; select * from (select 2",
        "select 1 as x /*! ) as a; delete from victims; select * from (select 2 */",
        "commit",
        "start transaction read write",
        "set session transaction read write",
        "set tx_read_only = 0",
        "set statement tx_read_only = 0 for delete from victims",
        "delete from victims",
        "delete from victims returning id",
        "insert into victims values (9, 'nine') returning id",
        "with gone as (delete from victims returning id) select * from gone",
        "update victims set name = 'x'",
        "create table mine as select * from victims",
        "create temporary table mine as select * from victims",
        "drop table victims",
        "truncate victims",
        "alter table victims comment = 'mine'",
        "call wipe()",
        "do write_it()",
        "select write_it() as x",
        "select write_unsafe() as x",
        "select cheat() as x",
        "prepare p from 'delete from victims'",
        "execute immediate 'delete from victims'",
        "begin not atomic delete from victims; end",
        "load data infile '/etc/passwd' into table victims",
        "handler victims open",
        "grant all on *.* to ebb_mine identified by 'x'",
        "select next value for counter as x",
        "select nextval(counter) as x",
        "select setval(counter, 99) as x",
        "select 1 into @x",
        "select ? as x",
        "select 'x",
        outfile.as_str(),
        dumpfile.as_str(),
        outfile_behind.as_str(),
        outfile_hidden.as_str(),
        outfile_before.as_str(),
    ];
    no_model_can_write(&database, &escapes).await;
}

async fn with_types() -> Database {
    let database = Database::new().await;
    database
        .execute(
            "set sql_mode = '';
             create table t (id int primary key, flag tinyint(1), i1 tinyint, i2 smallint, i3 mediumint, i8 bigint,
               u1 tinyint unsigned, u4 int unsigned, u8 bigint unsigned, f float, d double, n decimal(65,30),
               bits bit(12), y year, day date, at datetime(6), moment timestamp(3) null, clock time(2), s varchar(20),
               s_bin varchar(20) character set utf8mb4 collate utf8mb4_bin, l longtext, latin varchar(9) character set latin1,
               b binary(3), vb varbinary(9), bl blob, e enum('red','green'), st set('a','b'), j json);
             insert into t values (1, 1, -128, -32768, -8388608, -9223372036854775808, 255, 4294967295,
               18446744073709551615, 0.1, 1.5e15, '12345678901234567890123456789012345.123456789012345678901234567890',
               b'101', 2024, '2024-02-29', '2024-02-29 12:30:00.123456', '2024-02-29 12:30:00.5', '-838:59:59.00', 'ä',
               'Bin', 'long', 'é', 'ab', 'cd', 'ef', 'red', 'a,b', '{\"a\": [1, 2.50]}');
             insert into t values (2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '0001-01-01', '9999-12-31 23:59:59.999999',
               '1970-01-01 00:00:01', '00:00:00.5', '', '', '', '', '', '', '', 'green', '', '[]');
             insert into t (id) values (3);
             insert into t (id, flag, day, at, moment) values
               (4, 2, '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00'),
               (5, -1, '2024-00-00', '2024-02-00 10:00:00', null);",
        )
        .await;
    database
}

#[tokio::test]
async fn every_type_has_its_column() {
    let database = with_types().await;
    let is_mariadb = database.texts("select version()").await.contains("MariaDB");
    let table = read_sql(&database, "select * from t order by id").await.unwrap();
    let kinds: Vec<&str> = table.columns.iter().skip(1).map(|column| column.kind.word()).collect();
    assert_eq!(
        kinds.join(", "),
        "boolean, integer, integer, integer, integer, integer, integer, unsigned integer, float, float, decimal, \
         unsigned integer, integer, date, timestamp without time zone, timestamp, text, text, text, text, text, binary, \
         binary, binary, text, text, "
            .to_owned()
            + if is_mariadb { "text" } else { "json" }
    );
    let cells = table.cells(0);
    assert_eq!(
        cells[1..27].join(" | "),
        "bool true | int -128 | int -32768 | int -8388608 | int -9223372036854775808 | int 255 | int 4294967295 | \
         int 18446744073709551615 | float 0.1 | float 1500000000000000 | \
         decimal 12345678901234567890123456789012345.123456789012345678901234567890 | int 5 | int 2024 | \
         date 2024-02-29 | local 2024-02-29T12:30:00.123456Z | instant 2024-02-29T12:30:00.500Z | text -838:59:59 | \
         text ä | text Bin | text long | text é | bytes [61, 62, 00] | bytes [63, 64] | bytes [65, 66] | text red | text a,b"
    );
    let json = if is_mariadb { r#"text {"a": [1, 2.50]}"# } else { r#"json {"a":[1,2.50]}"# };
    assert_eq!(cells[27], json);
    assert_eq!(
        table.cells(1)[11..19].join(" | "),
        "decimal 0.000000000000000000000000000000 | int 0 | int 0 | date 0001-01-01 | \
         local 9999-12-31T23:59:59.999999Z | instant 1970-01-01T00:00:01.000Z | text 00:00:00.5 | text "
    );
    assert_eq!(table.cells(2)[1..], ["null"; 27]);
    let faults: Vec<(usize, usize)> = table.faults.iter().map(|fault| (fault.0, fault.1)).collect();
    assert_eq!(faults, [(3, 1), (3, 14), (3, 15), (3, 16), (4, 1), (4, 14), (4, 15)]);
}

#[tokio::test]
async fn expressions_and_nulls_have_types() {
    let database = Database::new().await;
    let sql = "select count(*) as n, null as nothing, 'a' as t, 1 > 0 as flag, 1.50 as d, sum(2) as s, now(6) as at,
               concat('a', 1) as c, json_extract('[1.5]', '$[0]') as j, x'00ff' as b, 1 / 3 as third";
    let table = read_sql(&database, sql).await.unwrap();
    let cells = table.cells(0);
    assert_eq!(cells[..6], ["int 1", "null", "text a", "int 1", "decimal 1.50", "decimal 2"]);
    assert_eq!(cells[7], "text a1");
    assert_eq!(cells[9..], ["bytes [00, ff]", "decimal 0.3333"]);
}

#[tokio::test]
async fn geometry_is_refused_with_advice() {
    let database = Database::new().await;
    let source = open(&database.config()).unwrap();
    let error = source.describe(&query("select point(1, 2) as x")).await.unwrap_err();
    assert!(matches!(&error, SourceError::Unsupported { column, .. } if column == "x"), "{error:?}");
    assert!(error.to_string().contains("ST_AsGeoJSON"), "{error}");
}

#[tokio::test]
async fn a_mistake_is_placed_where_the_server_tells_enough() {
    let database = Database::new().await;
    let source = open(&database.config()).unwrap();
    let error = source.describe(&query("select 1 as one,\n  2 as two\nwhere where x")).await.unwrap_err();
    assert!(matches!(&error, SourceError::Query { line: Some(3), column: Some(1 | 7), .. }), "{error:?}");
    let error = source.describe(&query("select 1 as one,\n  2 +  \n")).await.unwrap_err();
    assert!(matches!(&error, SourceError::Query { line: Some(2), column: Some(6), .. }), "{error:?}");
}

#[tokio::test]
async fn a_model_means_what_it_means_in_any_session() {
    let database = Database::new().await;
    let table = read_sql(&database, "select 0 || 1 as x, @@session.time_zone as zone").await.unwrap();
    assert_eq!(table.cells(0), ["int 1", "text +00:00"]);
}

#[tokio::test]
async fn a_server_that_dies_is_an_error_not_an_end() {
    let database = Database::new().await;
    let source = open(&database.config()).unwrap();
    let options = ReadOptions { batch_rows: 10, ..ReadOptions::default() };
    let numbers: Vec<String> = (0..1000).map(|number| format!("({number})")).collect();
    database.execute("create table numbers (n int)").await;
    database.execute(&format!("insert into numbers values {}", numbers.join(", "))).await;
    let sql = "select a.n, repeat('x', 1000) as pad from numbers a, numbers b";
    let mut reader = source.read(&query(sql), &options).await.unwrap();
    assert!(reader.next().await.unwrap().is_some());
    let id = database
        .texts(&format!(
            "select cast(id as char) from information_schema.processlist where db = '{}'
            and id <> connection_id()",
            database.name
        ))
        .await;
    database.execute(&format!("kill {id}")).await;
    let error = loop {
        match reader.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the read seemed whole"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SourceError::Broken(_)), "{error:?}");
}

#[tokio::test]
async fn check_tells_the_version_and_too_many_rights() {
    let database = Database::new().await;
    database.execute("create table things (id int)").await;
    let owner = open(&database.config()).unwrap().check().await.unwrap();
    assert!(owner.server.contains("MariaDB") || owner.server.contains("MySQL"), "{}", owner.server);
    assert!(owner.warnings[0].contains("everything on *.*"), "{:?}", owner.warnings);

    let user = format!("{}_user", database.name);
    database
        .execute(&format!("create user {user} identified by 'reader'; grant select on {}.* to {user}", database.name))
        .await;
    let url = Secret::new(format!("mysql://{user}:reader@{}/{}", database.address(), database.name));
    let source = Mysql::new(&url).unwrap();
    assert_eq!(source.check().await.unwrap().warnings, Vec::<String>::new());
    database.execute(&format!("grant insert, file on *.* to {user}").replace("insert, file", "file")).await;
    database.execute(&format!("grant insert on {}.things to {user}", database.name)).await;
    let warnings = source.check().await.unwrap().warnings.join("\n");
    assert!(warnings.contains("*.*: FILE") && warnings.contains("INSERT"), "{warnings}");
    assert!(!warnings.contains("IDENTIFIED"), "{warnings}");
    database.execute(&format!("drop user {user}")).await;
}

#[tokio::test]
async fn a_model_cannot_lift_its_timeout() {
    let database = Database::new().await;
    let source = open(&database.config()).unwrap();
    let options = ReadOptions { statement_timeout: std::time::Duration::from_secs(1), ..ReadOptions::default() };
    let sql = "select /*+ set_var(max_execution_time = 0) max_execution_time(0) */
               benchmark(1000000000000000, md5('x')) as c";
    let error = read(&*source, &query(sql), &options).await.unwrap_err();
    assert!(matches!(error, SourceError::Timeout { seconds: 1 }), "{error:?}");
}

#[test]
fn a_url_that_is_none_is_a_fault_of_the_settings() {
    for url in ["", "nonsense", "mysql://user:hunter2@[::1", "mysql://user:hunter2@host:port/db"] {
        let error = Mysql::new(&Secret::new(url)).unwrap_err();
        assert!(matches!(error, SourceError::Settings(_)), "{url}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
