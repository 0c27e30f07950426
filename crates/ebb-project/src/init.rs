//! The files of a new project.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// What a new project is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitOptions {
    /// The project's identity, fresh and random.
    pub project_id: Uuid,
}

const IGNORED: [&str; 2] = [".ebb/", ".env"];

/// Writes the files of a new project into `root`, which is made if need be, and returns those written, relative to it.
///
/// A file that is there already is left as it is; `.gitignore` gets the lines that it lacks.
///
/// # Errors
/// What the file system says.
pub fn init(root: &Path, options: &InitOptions) -> io::Result<Vec<PathBuf>> {
    let files = [
        ("ebb.yaml", SETTINGS.replace("PROJECT_ID", &options.project_id.to_string())),
        ("models/example.sql", MODEL.to_owned()),
        ("syncs/example.yaml", SYNC.to_owned()),
    ];
    let mut written = Vec::new();
    for (name, text) in files {
        let path = root.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(text.as_bytes())?;
                written.push(PathBuf::from(name));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    if ignore(&root.join(".gitignore"))? {
        written.push(PathBuf::from(".gitignore"));
    }
    Ok(written)
}

/// Adds what is missing to `.gitignore`; false where nothing is.
fn ignore(path: &Path) -> io::Result<bool> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let is_there = |wanted: &str| text.lines().any(|line| line.trim().trim_start_matches('/') == wanted);
    let missing: Vec<&str> = IGNORED.into_iter().filter(|wanted| !is_there(wanted)).collect();
    if missing.is_empty() {
        return Ok(false);
    }
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    writeln!(file, "{gap}{}", missing.join("\n"))?;
    Ok(true)
}

const SETTINGS: &str = r"# What this project reads and writes. ${NAME} comes from the environment, or from `.env` beside this file.
version: 1
project: PROJECT_ID

sources:
  warehouse:
    type: postgres # or: sqlite, mysql
    url: ${WAREHOUSE_URL}

destinations:
  vitally:
    type: vitally
    region: us # us or eu
    subdomain: ${VITALLY_SUBDOMAIN} # `acme` when you log in at https://acme.vitally.io
    rest_token: ${VITALLY_REST_TOKEN}
    # analytics_token: ${VITALLY_ANALYTICS_TOKEN} # for events
";

const MODEL: &str = r"/*
description: One row for each account.
primary_key: account_id
*/
select account_id, name, plan, seats
from accounts
";

const SYNC: &str = r#"# One account of Vitally for each row of the model `example`.
model: example
destination: vitally
object: account
mode: upsert # upsert, update or insert
match: { externalId: account_id } # Vitally's field: the model's column

fields:
  name: name
  traits:
    plan: "{{ row.plan | upcase }}" # a template
    seats: seats # a column
    source: { $value: warehouse } # a literal

# What happens when a row leaves the model; nothing is deleted unless this says so.
on_removed: ignore

# A plan that passes one of these limits is refused before the first call.
guards: { removed: 30% }
"#;
