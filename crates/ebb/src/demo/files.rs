//! The example project of the repository's root, carried in the binary.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use ebb_sandbox::Sandbox;

/// Where the example project's defaults look for the warehouse.
pub(crate) const WAREHOUSE_FILE: &str = ".ebb/demo/warehouse.db";

/// The project's files and their texts.
const FILES: [(&str, &str); 9] = [
    ("ebb.yaml", include_str!("../../../../ebb.yaml")),
    ("models/accounts.sql", include_str!("../../../../models/accounts.sql")),
    ("models/organizations.sql", include_str!("../../../../models/organizations.sql")),
    ("models/product_events.yaml", include_str!("../../../../models/product_events.yaml")),
    ("models/users.sql", include_str!("../../../../models/users.sql")),
    ("syncs/accounts.yaml", include_str!("../../../../syncs/accounts.yaml")),
    ("syncs/organizations.yaml", include_str!("../../../../syncs/organizations.yaml")),
    ("syncs/product_events.yaml", include_str!("../../../../syncs/product_events.yaml")),
    ("syncs/users.yaml", include_str!("../../../../syncs/users.yaml")),
];

/// Where the files' first lines look for the editor schemas.
const SCHEMA_FOLDER: &str = "docs/schema";

/// Added to the destination, which is the last thing in `ebb.yaml`.
const RATE: &str = "
    # The stand-in takes more than Vitally's 1,000 requests a minute. Remove this for a real key.
    rate_limit: { per_minute: 60000, analytics_per_minute: 6000 }
";

/// Returns whether a folder was made by the demo.
pub(crate) fn is_demo(folder: &Path) -> io::Result<bool> {
    folder.join(WAREHOUSE_FILE).try_exists()
}

/// Writes the project into a folder. Where the stand-in is not at the address that the project expects, `.env` says
/// where it is.
///
/// # Errors
/// What the file system says.
pub(crate) fn write_project(folder: &Path, sandbox: &Sandbox, is_elsewhere: bool) -> io::Result<()> {
    for (name, text) in FILES {
        let text = if name == "ebb.yaml" { format!("{}{RATE}", text.trim_end()) } else { text.to_owned() };
        write(&folder.join(name), &text)?;
    }
    for (name, schema) in ebb_project::schemas() {
        let text = serde_json::to_string_pretty(&schema).map_err(io::Error::other)?;
        write(&folder.join(SCHEMA_FOLDER).join(name), &(text + "\n"))?;
    }
    write(&folder.join(".gitignore"), ".ebb/\n.env\n")?;
    if is_elsewhere {
        let (rest, analytics) = (sandbox.rest_url(), sandbox.analytics_url());
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(folder.join(".env"))?;
        write!(file, "VITALLY_REST_URL={rest}\nVITALLY_ANALYTICS_URL={analytics}\n")?;
    }
    let warehouse = folder.join(WAREHOUSE_FILE);
    match warehouse.parent() {
        Some(parent) => DirBuilder::new().recursive(true).mode(0o700).create(parent),
        None => Ok(()),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_example_is_carried() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for folder in ["models", "syncs"] {
            for entry in fs::read_dir(root.join(folder)).expect("the example is there") {
                let name = entry.expect("readable").file_name().into_string().expect("UTF-8");
                let path = format!("{folder}/{name}");
                assert!(FILES.iter().any(|(known, _)| *known == path), "{path}");
            }
        }
    }

    #[test]
    fn the_demo_is_a_project_without_faults() {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let sandbox = Sandbox::start(ebb_sandbox::SandboxConfig::default()).await.expect("a free port");
            write_project(folder.path(), &sandbox, true).expect("written");
        });
        let project = ebb_project::load(folder.path(), &ebb_project::Environment::default()).expect("no faults");
        assert_eq!(project.syncs().len(), 4);
        let settings = project.destination("vitally").expect("ready");
        let ebb_project::DestinationKind::Vitally(vitally) = settings.kind;
        assert_eq!(vitally.per_minute, 60_000);
    }
}
