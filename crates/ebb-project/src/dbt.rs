//! Models of a dbt project, resolved through the manifest that dbt writes.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::fault::Fault;
use crate::file;

/// Where dbt writes its manifest.
pub(crate) const MANIFEST: &str = "target/manifest.json";
/// A manifest of a large project is tens of megabytes.
const MAX_MANIFEST_BYTES: u64 = 256 << 20;

#[derive(Deserialize)]
struct ManifestFile {
    nodes: BTreeMap<String, ManifestNode>,
}

#[derive(Deserialize)]
struct ManifestNode {
    #[serde(default)]
    resource_type: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    package_name: String,
    #[serde(default)]
    relation_name: Option<String>,
}

/// The relations of dbt's models.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    /// Name to (package, relation).
    models: BTreeMap<String, Vec<(String, Option<String>)>>,
}

impl Manifest {
    /// Reads the manifest inside the project.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let file = file::read(root, Path::new(MANIFEST), MAX_MANIFEST_BYTES).map_err(|fault: Fault| fault.message)?;
        let parsed: ManifestFile =
            serde_json::from_str(&file.text).map_err(|_| "it is not a dbt manifest".to_owned())?;
        let mut models: BTreeMap<String, Vec<(String, Option<String>)>> = BTreeMap::new();
        for node in parsed.nodes.into_values() {
            if matches!(node.resource_type.as_str(), "model" | "seed" | "snapshot") {
                models.entry(node.name).or_default().push((node.package_name, node.relation_name));
            }
        }
        Ok(Self { models })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// Returns the relation of a model, named as `model` or `package.model`.
    pub(crate) fn relation(&self, name: &str) -> Result<&str, String> {
        let (package, model) = match name.split_once('.') {
            Some((package, model)) => (Some(package), model),
            None => (None, name),
        };
        let found = self.models.get(model).map_or(&[][..], Vec::as_slice);
        let fitting: Vec<_> = found.iter().filter(|(own, _)| package.is_none_or(|package| package == own)).collect();
        match fitting.as_slice() {
            [] => Err(format!("dbt's manifest has no model `{name}`")),
            [(_, Some(relation))] => Ok(relation),
            [(_, None)] => Err(format!("dbt's model `{name}` is ephemeral: it has no relation to read")),
            several => {
                let packages: Vec<&str> = several.iter().map(|(package, _)| package.as_str()).collect();
                Err(format!("dbt has several models `{name}`, in {}", packages.join(", ")))
            }
        }
    }
}
