//! What a role may do beyond reading, for `ebb check`.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Row as _};

use super::failure::broken;
use crate::{SourceCheck, SourceError};

const IS_SUPERUSER: &str = "select current_setting('is_superuser') = 'on'";

/// Each a query of one boolean or text, and the warning when it is true or not null; `{}` is the text.
const QUESTIONS: [(&str, &str); 7] = [
    // Asked only of connections to other machines.
    (
        "select not ssl from pg_stat_ssl where pid = pg_backend_pid()",
        "the connection is not encrypted; add `?sslmode=verify-full` to the URL",
    ),
    (
        IS_SUPERUSER,
        "the role is a superuser: a read-only transaction does not keep it from files and programs of the server; use a \
         role that may only select",
    ),
    (
        "select bool_or(pg_has_role(oid, 'member')) from pg_catalog.pg_roles where rolname = 'pg_execute_server_program'",
        "the role may run programs on the server (pg_execute_server_program)",
    ),
    (
        "select bool_or(pg_has_role(oid, 'member')) from pg_catalog.pg_roles
         where rolname in ('pg_read_server_files', 'pg_write_server_files')",
        "the role may use files of the server (pg_read_server_files or pg_write_server_files)",
    ),
    (
        "select nullif(count(*), 0) || ', for instance ' || min(n.nspname || '.' || c.relname)
         from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p', 'v', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
           and has_schema_privilege(n.oid, 'USAGE')
           and has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')",
        "the role may write to tables: {}",
    ),
    (
        "select string_agg(nspname, ', ' order by nspname) from pg_catalog.pg_namespace
         where nspname !~ '^pg_' and nspname <> 'information_schema' and has_schema_privilege(oid, 'CREATE')",
        "the role may create tables in schemas: {}",
    ),
    (
        "select bool_or(case when c.relkind = 'S' then has_sequence_privilege(c.oid, 'UPDATE') end)
         from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where c.relkind = 'S' and n.nspname !~ '^pg_'",
        "the role may set sequences",
    ),
];

pub(super) async fn check(
    connection: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<SourceCheck, SourceError> {
    let version: String = sqlx::query("select version()")
        .fetch_one(&mut *connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(|error| broken(&error))?;
    let mut warnings = Vec::new();
    let is_local = options.get_socket().is_some() || crate::statement::is_loopback(options.get_host());
    for (question, warning) in QUESTIONS.into_iter().skip(usize::from(is_local)) {
        match ask(connection, question).await {
            Ok(Some(text)) => {
                warnings.push(warning.replace("{}", &text));
                // A superuser may do everything; saying it once is enough.
                if question == IS_SUPERUSER {
                    break;
                }
            }
            Ok(None) => {}
            // A server that only speaks the protocol may not know the question, and then answers none in this transaction.
            Err(error) => {
                warnings.push(format!("the role's privileges could not all be looked at: {error}"));
                break;
            }
        }
    }
    Ok(SourceCheck { server: version.split(" on ").next().unwrap_or(&version).to_owned(), warnings })
}

/// Returns the text of the answer; `None` for false, null or no row.
async fn ask(connection: &mut PgConnection, question: &str) -> Result<Option<String>, SourceError> {
    let question = format!("select x::text from ({question}) as q (x)");
    let row = sqlx::query(AssertSqlSafe(question)).fetch_optional(connection).await.map_err(|error| broken(&error))?;
    let answer: Option<String> = match row {
        Some(row) => row.try_get(0).map_err(|error| broken(&error))?,
        None => None,
    };
    Ok(answer.filter(|text| text != "false"))
}
