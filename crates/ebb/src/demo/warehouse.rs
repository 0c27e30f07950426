//! The demo's warehouse: `SQLite`, the same rows each time, with the awkward values of real data.

use std::path::Path;

use rusqlite::{Connection, Result, Transaction, params};

const SCHEMA: &str = "
create table organizations (org_id text, name text, industry text, created_at timestamp);
create table accounts (
    account_id text, org_id text, name text, plan text, seats integer, mrr_cents integer, balance decimal(20,4),
    active boolean, renewal_date date, tags json, updated_at timestamp
);
create table users (
    user_id text, account_id text, email text, full_name text, role text, signed_up_at timestamp, preferences json
);
create table events (
    event_id text, event_name text, user_id text, account_id text, occurred_at timestamp, properties json
);
";

const ORGANIZATIONS: i64 = 12;
const ACCOUNTS: i64 = 60;
const USERS: i64 = 240;
const EVENTS: i64 = 600;

const COMPANIES: [&str; 12] = [
    "Northwind",
    "Contoso",
    "Fabrikam",
    "Adatum",
    "Tailspin",
    "Wingtip",
    "Proseware",
    "Litware",
    "Trey",
    "Alpine",
    "Blue Yonder",
    "Coho",
];
const BRANCHES: [&str; 5] = ["Traders", "Robotics", "Labs", "Foods", "Airlines"];
const INDUSTRIES: [&str; 5] = ["retail", "software", "food & drink", "travel", "manufacturing"];
const PLANS: [&str; 4] = ["free", "pro", "Pro", "enterprise"];
const FIRST_NAMES: [&str; 16] = [
    "Ana", "Björn", "Chloë", "Dmitri", "Élodie", "Fatima", "Grace", "Hiroshi", "Ines", "João", "Kaya", "Łukasz", "Mei",
    "Nuno", "Oksana", "Priya",
];
const LAST_NAMES: [&str; 12] = [
    "Müller",
    "O'Brien",
    "García",
    "Nakamura",
    "Øverland",
    "Şahin",
    "de Vries",
    "Kowalski",
    "Nguyễn",
    "Smith",
    "Rossi",
    "Papadopoulou",
];
const ROLES: [&str; 3] = ["admin", "member", "viewer"];
const EVENT_NAMES: [&str; 5] = ["Signed In", "Report Created", "Invite Sent", "Export Finished", "Plan Viewed"];

/// Makes the warehouse; the file must not exist.
///
/// # Errors
/// What `SQLite` says.
pub(crate) fn seed(file: &Path) -> Result<String> {
    let mut connection = Connection::open(file)?;
    connection.execute_batch(SCHEMA)?;
    let transaction = connection.transaction()?;
    (1..=ORGANIZATIONS).try_for_each(|number| organization(&transaction, number))?;
    (1..=ACCOUNTS).try_for_each(|number| account(&transaction, number))?;
    (1..=USERS).try_for_each(|number| user(&transaction, number))?;
    (1..=EVENTS).try_for_each(|number| event(&transaction, number))?;
    awkward(&transaction)?;
    transaction.commit()?;
    Ok(format!(
        "{ORGANIZATIONS} organizations, {ACCOUNTS} accounts, {USERS} users, {EVENTS} events, and a few rows with faults"
    ))
}

fn pick<T: Copy>(items: &[T], number: i64, otherwise: T) -> T {
    let count = i64::try_from(items.len()).unwrap_or(1);
    usize::try_from(number.rem_euclid(count)).ok().and_then(|at| items.get(at)).copied().unwrap_or(otherwise)
}

/// Returns a time of the demo's spring, some minutes in.
fn time(minutes: i64) -> String {
    format!("2026-03-{:02} {:02}:{:02}:00", 1 + minutes / 1_440 % 28, minutes / 60 % 24, minutes % 60)
}

fn organization(transaction: &Transaction<'_>, number: i64) -> Result<()> {
    let name = format!("{} Group", pick(&COMPANIES, number - 1, "Northwind"));
    let industry = (number % 6 != 0).then(|| pick(&INDUSTRIES, number, "retail"));
    transaction.execute(
        "insert into organizations values (?, ?, ?, ?)",
        params![format!("o-{number:02}"), name, industry, time(number * 997)],
    )?;
    Ok(())
}

fn account(transaction: &Transaction<'_>, number: i64) -> Result<()> {
    let company = pick(&COMPANIES, number - 1, "Northwind");
    let branch = pick(&BRANCHES, (number - 1) / 12, "Traders");
    let tags = match number % 4 {
        0 => Some("[]"),
        1 => Some(r#"["beta", "eu"]"#),
        2 => Some(r#"["ünïcode", "a \"quoted\" tag"]"#),
        _ => None,
    };
    transaction.execute(
        "insert into accounts values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            format!("a-{number:02}"),
            format!("o-{:02}", 1 + (number - 1) % ORGANIZATIONS),
            format!("{company} {branch}"),
            pick(&PLANS, number, "free"),
            (number * 37) % 400 + 1,
            (number * 12_345) % 900_000,
            format!("{}.{:04}", number * 1_000, number * 37 % 10_000),
            number % 7 != 0,
            (number % 5 != 0).then(|| format!("2027-{:02}-{:02}", 1 + number % 12, 1 + number % 28)),
            tags,
            time(number * 61),
        ],
    )?;
    Ok(())
}

fn user(transaction: &Transaction<'_>, number: i64) -> Result<()> {
    let first = pick(&FIRST_NAMES, number * 7, "Ana");
    let last = pick(&LAST_NAMES, number * 5, "Smith");
    let preferences = match number % 3 {
        0 => Some(r#"{"theme": "dark", "digest": {"weekly": true}}"#),
        1 => Some(r#"{"theme": "light", "locale": "de-DE"}"#),
        _ => None,
    };
    transaction.execute(
        "insert into users values (?, ?, ?, ?, ?, ?, ?)",
        params![
            format!("u-{number:03}"),
            format!("a-{:02}", 1 + (number * 13) % ACCOUNTS),
            format!("user{number}@example.com"),
            format!("{first} {last}"),
            pick(&ROLES, number, "member"),
            time(number * 53),
            preferences,
        ],
    )?;
    Ok(())
}

fn event(transaction: &Transaction<'_>, number: i64) -> Result<()> {
    let user = 1 + (number * 17) % USERS;
    transaction.execute(
        "insert into events values (?, ?, ?, ?, ?, ?)",
        params![
            format!("e-{number:04}"),
            pick(&EVENT_NAMES, number, "Signed In"),
            format!("u-{user:03}"),
            format!("a-{:02}", 1 + (user * 13) % ACCOUNTS),
            time(number * 29),
            format!(r#"{{"duration_ms": {}, "browser": "firefox", "ok": {}}}"#, number * 91, number % 9 != 0),
        ],
    )?;
    Ok(())
}

/// What real data is like: values that other tools mangle, and rows that cannot be sent.
fn awkward(transaction: &Transaction<'_>) -> Result<()> {
    transaction.execute_batch(
        r#"
        update accounts set name = 'Zoë''s "Café" 🎉 東京' where account_id = 'a-02';
        update accounts set name = 'Two' || char(10) || 'lines, a tab' || char(9) || 'and \ backslash' where account_id = 'a-03';
        update accounts set name = '<script>alert("x")</script> & Sons' where account_id = 'a-04';
        update accounts set mrr_cents = 9007199254740993, seats = 9223372036854775807 where account_id = 'a-05';
        update accounts set balance = 12345678901.2345 where account_id = 'a-06';
        update accounts set plan = '', tags = null, seats = null where account_id = 'a-07';
        update accounts set balance = -0.0001, plan = null where account_id = 'a-08';
        -- Vitally refuses an account without a name.
        update accounts set name = '' where account_id = 'a-13';
        update users set full_name = 'Robert''); drop table users;--', email = null where user_id = 'u-005';
        update users set full_name = 'family 👩‍👩‍👧 name' where user_id = 'u-006';
        update users set account_id = null where user_id = 'u-007';
        update users set account_id = 'a-99' where user_id = 'u-008';
        update events set properties = '{"amount": 12345678901234567890.123456789, "note": "1e400"}' where event_id = 'e-0002';
        -- A row without a primary key, and a key that is there twice.
        insert into users values (null, 'a-01', 'nobody@example.com', 'No Key', 'viewer', '2026-03-01 00:00:00', null);
        insert into users values ('u-009', 'a-01', 'twice@example.com', 'Same Key', 'viewer', '2026-03-01 00:00:00', null);
        "#,
    )
}

/// Changes some rows, as a day's work would. Returns what changed, a line each.
///
/// # Errors
/// What `SQLite` says.
pub(crate) fn change(file: &Path) -> Result<Vec<&'static str>> {
    let connection = Connection::open(file)?;
    connection.execute_batch(
        r#"
        begin;
        update accounts set plan = 'enterprise', seats = 250 where account_id = 'a-18';
        update accounts set mrr_cents = mrr_cents + 4200 where account_id in ('a-20', 'a-21');
        update accounts set plan = 'pro' where plan = 'Pro';
        update accounts set updated_at = '2026-04-01 00:00:00';
        update users set role = 'admin' where user_id = 'u-031';
        update users set account_id = 'a-10' where user_id = 'u-007';
        insert into users values
            ('u-241', 'a-18', 'new@example.com', 'Noor van Dijk', 'member', '2026-04-01 08:00:00', '{"theme": "dark"}');
        delete from users where user_id = 'u-100';
        insert into events values
            ('e-0601', 'Plan Upgraded', 'u-031', 'a-18', '2026-04-01 08:05:00', '{"from": "pro", "to": "enterprise"}'),
            ('e-0602', 'Signed In', 'u-241', 'a-18', '2026-04-01 08:06:00', null);
        commit;
        "#,
    )?;
    Ok(vec![
        "account a-18 buys the enterprise plan; a-20 and a-21 pay more",
        "every `Pro` is now written `pro`, and every account has a new updated_at: nothing that Vitally would see",
        "user u-031 becomes an admin, u-007 gets the account that was missing, u-241 is new, u-100 is gone",
        "two more events",
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(file: &Path) -> Vec<String> {
        let connection = Connection::open(file).expect("there");
        let mut statement = connection
            .prepare("select user_id || '|' || full_name || '|' || signed_up_at from users union all select event_id || '|' || occurred_at from events")
            .expect("good");
        let rows = statement.query_map([], |row| row.get::<_, Option<String>>(0)).expect("good");
        rows.map(|row| row.expect("good").unwrap_or_default()).collect()
    }

    #[test]
    fn the_warehouse_is_the_same_each_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let (one, two) = (folder.path().join("one.db"), folder.path().join("two.db"));
        for file in [&one, &two] {
            seed(file).expect("seeded");
            change(file).expect("changed");
        }
        let rows = dump(&one);
        assert_eq!(rows.len(), 240 + 2 + 600 + 2);
        assert_eq!(rows, dump(&two));
    }
}
