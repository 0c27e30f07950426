//! What a user may do beyond reading, for `ebb check`.

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{Executor as _, Row as _};

use super::failure::broken;
use crate::{SourceCheck, SourceError};

/// Privileges that reading needs, or that harm nothing.
const READING: [&str; 8] =
    ["USAGE", "SELECT", "SHOW VIEW", "SHOW DATABASES", "PROCESS", "REPLICATION CLIENT", "SLAVE MONITOR", "LOCK TABLES"];

pub(super) async fn check(
    connection: &mut MySqlConnection,
    options: &MySqlConnectOptions,
    version: &str,
) -> Result<SourceCheck, SourceError> {
    let grants = connection.fetch_all("show grants").await.map_err(|error| broken(&error))?;
    let mut warnings = Vec::new();
    for grant in grants {
        let grant: String = grant.try_get(0).map_err(|error| broken(&error))?;
        warnings.extend(warning(&grant));
    }
    let is_local = options.get_socket().is_some() || crate::statement::is_loopback(options.get_host());
    if !is_local {
        let row = connection.fetch_optional("show session status like 'Ssl_cipher'").await;
        let row = row.map_err(|error| broken(&error))?;
        let cipher: Option<String> = row.and_then(|row| row.try_get(1).ok());
        if cipher.is_none_or(|cipher| cipher.is_empty()) {
            warnings.push("the connection is not encrypted; add `?ssl-mode=VERIFY_IDENTITY` to the URL".to_owned());
        }
    }
    let product = if version.contains("MariaDB") { "" } else { "MySQL " };
    Ok(SourceCheck { server: format!("{product}{version}"), warnings })
}

/// Returns what a line of `SHOW GRANTS` gives beyond reading. Such a line may hold a password's hash: only the
/// privileges and what they are on are shown.
fn warning(grant: &str) -> Option<String> {
    let (privileges, rest) = grant.strip_prefix("GRANT ")?.split_once(" ON ")?;
    let (object, _) = rest.split_once(" TO ")?;
    // `SELECT (a, b), INSERT (a)`: the commas in brackets separate columns.
    let mut depth = 0;
    let separated = privileges.split(|character| {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        character == ',' && depth == 0
    });
    let more: Vec<&str> = separated
        .map(|privilege| privilege.split('(').next().unwrap_or_default().trim())
        .filter(|privilege| !READING.contains(privilege))
        .collect();
    match more.as_slice() {
        [] => None,
        ["ALL PRIVILEGES", ..] => Some(format!("the user may do everything on {object}; use one that may only select")),
        _ => Some(format!("the user may do more than select on {object}: {}", more.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_goes_beyond_reading_is_told() {
        let check = |grant: &str, expected: Option<&str>| assert_eq!(warning(grant).as_deref(), expected, "{grant}");
        check("GRANT USAGE ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*ABC'", None);
        check("GRANT SELECT, SHOW VIEW ON `db`.* TO `u`@`%`", None);
        check("GRANT SELECT (a, b) ON `db`.`t` TO `u`@`%`", None);
        check("GRANT `role` TO `u`@`%`", None);
        check(
            "GRANT SELECT, INSERT (a, b), FILE ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*ABC'",
            Some("the user may do more than select on *.*: INSERT, FILE"),
        );
        check(
            "GRANT ALL PRIVILEGES ON `db`.* TO `u`@`%`",
            Some("the user may do everything on `db`.*; use one that may only select"),
        );
    }
}
