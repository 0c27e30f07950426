use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use ebb_row::Secret;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _};

use super::Postgres;
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
    std::env::var("EBB_TEST_POSTGRES_URL").expect(
        "EBB_TEST_POSTGRES_URL is not set: run the tests by `just test`, or `tests/servers.sh run -- cargo nextest run`",
    )
}

impl Database {
    async fn new() -> Self {
        let name = format!("ebb_source_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let database = Self { server: server(), name };
        let mut connection = PgConnection::connect(&database.server).await.unwrap();
        let sql = format!("create database {} template template0", database.name);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        database
    }

    fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').unwrap();
        format!("{server}/{}", self.name)
    }

    async fn connect(&self) -> PgConnection {
        self.url().parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
    }

    async fn one(&self, sql: &str) -> String {
        let mut connection = self.connect().await;
        let row = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap();
        row.get::<Option<String>, _>(0).unwrap_or_default()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // Outside the test's own runtime, which cannot wait in a drop.
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&server).await.unwrap();
                let sql = format!("drop database {name} with (force)");
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
            });
        };
        std::thread::spawn(work).join().unwrap();
    }
}

#[async_trait]
impl Subject for Database {
    fn config(&self) -> SourceConfig {
        SourceConfig::Postgres { url: Secret::new(self.url()) }
    }

    fn unreachable(&self) -> SourceConfig {
        let (_, address) = self.server.rsplit_once('@').unwrap();
        SourceConfig::Postgres { url: Secret::new(format!("postgres://nobody:hunter2@{address}")) }
    }

    async fn execute(&self, sql: &str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    }

    fn words(&self) -> Words {
        Words {
            integer: "bigint",
            text: "text",
            timestamp: "timestamp",
            endless: "select count(*) as c from generate_series(1, 1000000000000) as n",
            tells_column: true,
        }
    }

    async fn state(&self) -> String {
        let parts = [
            "select string_agg(id || name, ',' order by id) from victims",
            "select string_agg(relname::text || relkind::text || coalesce(relacl::text, ''), ',' order by relname) from pg_class
             where relnamespace = 'public'::regnamespace",
            "select string_agg(proname::text, ',' order by proname) from pg_proc where pronamespace = 'public'::regnamespace",
            "select string_agg(rolname::text, ',' order by rolname) from pg_roles where rolname like 'ebb_made%'",
            "select string_agg(nspname::text, ',' order by nspname) from pg_namespace where nspname !~ '^pg_(temp|toast)'",
            "select last_value::text from counter",
            "select count(*)::text from pg_largeobject_metadata",
            "select count(*)::text from pg_locks where locktype = 'advisory'",
            "select coalesce(string_agg(setconfig::text, ','), '') from pg_db_role_setting",
            "select obj_description('victims'::regclass)",
        ];
        // One connection for all: each costs a password's derivation.
        self.one(&format!("select concat_ws('|', ({}))", parts.join("), ("))).await
    }
}

conformance!(Database::new());

#[tokio::test]
async fn no_model_can_write_or_leave_its_transaction() {
    let database = Database::new().await;
    database
        .execute(
            "create sequence counter;
             create function write() returns int language plpgsql as
               $$ begin delete from victims; return 1; end $$;
             create procedure wipe() language plpgsql as $$ begin delete from victims; commit; end $$;
             create function cheat() returns int language plpgsql as
               $$ begin set transaction read write; delete from victims; return 1; end $$;",
        )
        .await;
    let escapes = [
        // Reliability §0 finding 1: out of the COPY and the transaction around it.
        "select 1) to stdout; commit; begin read write; delete from victims; commit; copy (select 2",
        "select 1) as x; commit; begin read write; delete from victims; commit; select * from (select 2",
        "select 1) as x) to stdout; commit; delete from victims; copy (select * from (select 2",
        "select 1; delete from victims",
        "select 1 as one; commit; delete from victims; --",
        "commit",
        "begin read write",
        "set transaction read write",
        "delete from victims returning id",
        "insert into victims values (9, 'nine') returning id",
        "with gone as (delete from victims returning id) select * from gone",
        "select * into mine from victims",
        "create table mine as select * from victims",
        "drop table victims",
        "truncate victims",
        "call wipe()",
        "do $$ begin delete from victims; end $$",
        "select write() as x",
        "select cheat() as x",
        "select set_config('transaction_read_only', 'off', false) as x, write() as y",
        "select set_config('default_transaction_read_only', 'off', false) as x, write() as y",
        "select nextval('counter') as x",
        "select setval('counter', 99) as x",
        "select * from victims for update",
        "copy victims to program 'touch /tmp/ebb-escape'",
        "explain analyze delete from victims",
        "prepare p as delete from victims",
        "lock table victims",
        "comment on table victims is 'mine'",
        "grant all on victims to public",
        "create role ebb_made_this superuser",
        "values (1)) as x; drop table victims; --",
        "select $1 as x",
        "select 1 as x /* ",
        "select 'x",
        "select $$x",
        "select lo_from_bytea(0, 'x') as x, write() as y",
    ];
    no_model_can_write(&database, &escapes).await;
}

#[tokio::test]
async fn a_model_cannot_lift_its_timeout() {
    let database = Database::new().await;
    let source = open(&database.config()).unwrap();
    let options = ReadOptions { statement_timeout: std::time::Duration::from_secs(1), ..ReadOptions::default() };
    let sql = "select set_config('statement_timeout', '0', false) as a, set_config('lock_timeout', '0', true) as b,
               (select count(*) from generate_series(1, 1000000000000)) as c";
    let error = read(&*source, &query(sql), &options).await.unwrap_err();
    assert!(matches!(error, SourceError::Timeout { seconds: 1 }), "{error:?}");
}

const TYPES: &str = "
    select * from (values
      (1, true, (-32768)::int2, 2147483647::int4, 9223372036854775807::int8, 4294967295::oid, 0.1::float4, 'NaN'::float8,
       123456789012345678901234567890.1234567890::numeric, '12.50'::numeric(10,2), 'NaN'::numeric),
      (2, false, 0::int2, -1::int4, (-9223372036854775808)::int8, 0::oid, '-Infinity'::float4, 1.5e15::float8,
       -0.00000001::numeric, 0::numeric(10,2), 'Infinity'::numeric),
      (3, null, null, null, null, null, null, null, null, null, null)
    ) as t (id, b, i2, i4, i8, o, f4, f8, n, nn, x)";

const TEXTS: &str = r#"
    select 'ä'::text as a, 'b'::varchar(5) as b, 'c'::char(3) as c, 'd'::name as d, 'e'::"char" as e, '\x00ff'::bytea as f,
      'red'::colour as g, 12::small as h, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid as i, '10.0.0.1'::inet as j,
      '10.0.0.0/8'::cidr as k, '2001:db8::1/64'::inet as l, '08:00:2b:01:02:03'::macaddr as m, b'101' as n,
      '101'::varbit as o, '<a/>'::xml as p, '{"a": [1, 2.50, null], "b":  "x"}'::json as q,
      '{"a": [1, 2.50, null], "b":  "x"}'::jsonb as r, '{"n": 12345678901234567890.10}'::jsonb as s"#;

const TIMES: &str = "
    select '2024-02-29'::date as a, '0001-01-01'::date as b, '2024-02-29 12:30:00.123456'::timestamp as c,
      '2024-02-29 12:30:00+02'::timestamptz as d, '1969-12-31 23:59:59.999999Z'::timestamptz as e, '23:59:59.5'::time as f,
      '23:59:59+05:30'::timetz as g, '1 year 2 mons 3 days 04:05:06.5'::interval as h, '-1 day'::interval as i,
      '0'::interval as j, '24:00'::time as k";

const ARRAYS: &str = r#"
    select '{1,2,null}'::int[] as a, '{{1,2},{3,4}}'::int8[] as b, '{}'::text[] as c,
      array['a"b', 'c\d', null] as d, '{1.50,-2}'::numeric[] as e, '{t,f}'::bool[] as f,
      array['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid] as g,
      array['2024-02-29 12:30:00'::timestamp] as h, array['2024-02-29'::date] as i, array['{"a":1}'::jsonb] as j,
      array['red'::colour] as k, '[5:6]={7,8}'::int2[] as l, '{0.1,1e20}'::float8[] as m, array['1 day'::interval] as n,
      array['2024-02-29 12:30:00.5+00'::timestamptz, '2024-02-29 12:30:00.000001+00'] as o"#;

async fn with_types() -> Database {
    let database = Database::new().await;
    database
        .execute("create type colour as enum ('red', 'green'); create domain small as int check (value < 100);")
        .await;
    database
}

/// Reads by COPY and row by row, which must be the same.
async fn both(database: &Database, sql: &str) -> crate::conformance::Table {
    let url = Secret::new(database.url());
    let copied = read(&Postgres::new(&url).unwrap(), &query(sql), &ReadOptions::default()).await.unwrap();
    let fetched =
        read(&Postgres::new(&url).unwrap().without_copy(), &query(sql), &ReadOptions::default()).await.unwrap();
    assert_eq!(copied.columns, fetched.columns);
    assert_eq!(copied.faults, fetched.faults);
    for row in 0..copied.rows.len() {
        assert_eq!(copied.cells(row), fetched.cells(row));
    }
    copied
}

#[tokio::test]
async fn numbers_keep_their_digits() {
    let database = with_types().await;
    let table = both(&database, TYPES).await;
    let kinds: Vec<&str> = table.columns.iter().map(|column| column.kind.word()).collect();
    assert_eq!(
        kinds.join(", "),
        "integer, boolean, integer, integer, integer, integer, float, float, decimal, decimal, decimal"
    );
    assert_eq!(
        table.cells(0).join(" | "),
        "int 1 | bool true | int -32768 | int 2147483647 | int 9223372036854775807 | int 4294967295 | float 0.1 | \
         float NaN | decimal 123456789012345678901234567890.1234567890 | decimal 12.50 | float NaN"
    );
    assert_eq!(
        table.cells(1).join(" | "),
        "int 2 | bool false | int 0 | int -1 | int -9223372036854775808 | int 0 | float -inf | \
         float 1500000000000000 | \
         decimal -0.00000001 | decimal 0.00 | float inf"
    );
    assert_eq!(table.cells(2)[1..], ["null"; 10]);
}

#[tokio::test]
async fn texts_bytes_and_json_arrive_as_they_are() {
    let database = with_types().await;
    let table = both(&database, TEXTS).await;
    assert_eq!(
        table.cells(0),
        [
            "text ä",
            "text b",
            "text c  ",
            "text d",
            "text e",
            "bytes [00, ff]",
            "text red",
            "int 12",
            "text a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "text 10.0.0.1",
            "text 10.0.0.0/8",
            "text 2001:db8::1/64",
            "text 08:00:2b:01:02:03",
            "text 101",
            "text 101",
            "text <a/>",
            r#"json {"a":[1,2.50,null],"b":"x"}"#,
            r#"json {"a":[1,2.50,null],"b":"x"}"#,
            r#"json {"n":12345678901234567890.10}"#,
        ]
    );
}

#[tokio::test]
async fn times_are_told_with_and_without_zone() {
    let database = with_types().await;
    let table = both(&database, TIMES).await;
    assert_eq!(
        table.cells(0),
        [
            "date 2024-02-29",
            "date 0001-01-01",
            "local 2024-02-29T12:30:00.123456Z",
            "instant 2024-02-29T10:30:00.000Z",
            "instant 1969-12-31T23:59:59.999999Z",
            "text 23:59:59.5",
            "text 23:59:59+05:30",
            "text P1Y2M3DT4H5M6.5S",
            "text P-1D",
            "text PT0S",
            "text 24:00:00",
        ]
    );
}

#[tokio::test]
async fn arrays_are_json_lists() {
    let database = with_types().await;
    let table = both(&database, ARRAYS).await;
    assert_eq!(
        table.cells(0),
        [
            "json [1,2,null]",
            "json [[1,2],[3,4]]",
            "json []",
            r#"json ["a\"b","c\\d",null]"#,
            "json [1.50,-2]",
            "json [true,false]",
            r#"json ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]"#,
            r#"json ["2024-02-29T12:30:00.000Z"]"#,
            r#"json ["2024-02-29"]"#,
            r#"json [{"a":1}]"#,
            r#"json ["red"]"#,
            "json [7,8]",
            "json [0.1,100000000000000000000]",
            r#"json ["P1D"]"#,
            r#"json ["2024-02-29T12:30:00.500Z","2024-02-29T12:30:00.000001Z"]"#,
        ]
    );
}

#[tokio::test]
async fn cells_that_no_column_can_hold_are_faults_of_their_rows() {
    let database = with_types().await;
    let table = both(
        &database,
        "select 1 as id, 'infinity'::timestamptz as a, '-infinity'::timestamp as b, 'infinity'::date as c,
           '4713-01-01 BC'::date as d, '10000-01-01'::timestamp as e, array['NaN'::float8] as f, array['NaN'::numeric] as g",
    )
    .await;
    assert_eq!(table.cells(0)[0], "int 1");
    let columns: Vec<usize> = table.faults.iter().map(|fault| fault.1).collect();
    assert_eq!(columns, [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn types_without_a_form_are_refused_with_advice() {
    let database = with_types().await;
    let source = open(&database.config()).unwrap();
    for (expression, advice) in [
        ("1::money", "x::numeric"),
        ("point(1, 2)", "x::text"),
        ("int4range(1, 5)", "lower(x)"),
        ("to_tsvector('a')", "x::text"),
        ("row(1, 2)", "x::text"),
        ("'victims'::regtype", "x::text"),
        ("array['\\x00'::bytea]", "JSON"),
        ("array[1::money]", "x::numeric"),
    ] {
        // The parser knows no type `victims`; any that exists will do.
        let sql = format!("select {} as x", expression.replace("victims", "integer"));
        let error = source.describe(&query(&sql)).await.unwrap_err();
        assert!(matches!(&error, SourceError::Unsupported { column, .. } if column == "x"), "{error:?}");
        assert!(error.to_string().contains(advice), "{error}");
    }
}

#[tokio::test]
async fn errors_while_reading_hide_the_cell() {
    let database = with_types().await;
    let sql = "select t::int as x from (values ('1'), ('secret')) as v (t)";
    let error = read_sql(&database, sql).await.unwrap_err();
    assert_eq!(error.to_string(), "invalid input syntax for type integer");
    let error = read_sql(&database, "select 1 / n as x from generate_series(-3, 3) as n").await.unwrap_err();
    assert!(matches!(&error, SourceError::Query { message, .. } if message == "division by zero"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_dies_is_an_error_not_an_end() {
    let database = with_types().await;
    let source = open(&database.config()).unwrap();
    let options = ReadOptions { batch_rows: 10, ..ReadOptions::default() };
    let mut reader = source.read(&query("select n from generate_series(1, 10000000) as n"), &options).await.unwrap();
    assert!(reader.next().await.unwrap().is_some());
    database
        .execute(&format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}' and pid <> pg_backend_pid()",
            database.name
        ))
        .await;
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
    assert!(owner.server.starts_with("PostgreSQL "), "{}", owner.server);
    assert!(owner.warnings[0].contains("superuser"), "{:?}", owner.warnings);

    let role = format!("{}_role", database.name);
    database
        .execute(&format!(
            "create role {role} login password 'reader'; revoke create on schema public from public;
             grant select on things to {role}"
        ))
        .await;
    let (_, address) = database.server.rsplit_once('@').unwrap();
    let (address, _) = address.rsplit_once('/').unwrap();
    let url = Secret::new(format!("postgres://{role}:reader@{address}/{}", database.name));
    let source = Postgres::new(&url).unwrap();
    assert_eq!(source.check().await.unwrap().warnings, Vec::<String>::new());

    database
        .execute(&format!(
            "grant insert on things to {role}; grant create on schema public to {role};
             grant pg_read_server_files to {role}; grant pg_execute_server_program to {role}"
        ))
        .await;
    let warnings = source.check().await.unwrap().warnings.join("\n");
    for part in ["1, for instance public.things", "schemas: public", "files of the server", "programs on the server"] {
        assert!(warnings.contains(part), "{warnings}");
    }
    database.execute(&format!("drop owned by {role}; drop role {role}")).await;
}

#[test]
fn a_url_that_is_none_is_a_fault_of_the_settings() {
    for url in ["", "nonsense", "postgres://user:hunter2@[::1", "postgres://user:hunter2@host:port/db"] {
        let error = Postgres::new(&Secret::new(url)).unwrap_err();
        assert!(matches!(error, SourceError::Settings(_)), "{url}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn nobody_listening_is_a_fault_of_the_connection() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let source = Postgres::new(&Secret::new("postgres://u:hunter2@127.0.0.1:1/db")).unwrap();
    let error = runtime.block_on(source.check()).unwrap_err();
    assert_eq!(error.to_string().split(": ").next(), Some("cannot connect to 127.0.0.1:1/db"));
    assert!(format!("{source:?}").contains("127.0.0.1:1/db"));
}
