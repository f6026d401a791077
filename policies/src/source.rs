//! The text of a policy set, and its hash.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use schemas::ids::Sha256Hex;
use schemas::inventory::ToolDefinition;

use crate::inspect;
use crate::typed;

/// One Cedar file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SourceFile {
    /// Its name, as authors see it in errors: `guardrails.cedar`.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl SourceFile {
    /// A file of this name and text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

/// The whole source of a policy set: what the product brings, then what the organisation wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PolicySource {
    /// The files, in order. Order is part of the hash, not of the meaning.
    pub files: Vec<SourceFile>,
    /// Approved definitions of the tools whose typed arguments the policies look into.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolDefinition>,
}

impl PolicySource {
    /// The built-in files followed by the organisation's own.
    pub fn with_built_in(own: Vec<SourceFile>) -> Self {
        let mut files = built_in().to_vec();
        files.extend(own);
        Self { files, tools: Vec::new() }
    }

    /// With those of these definitions that the policies ask for: see [`Self::typed_tools`].
    #[must_use]
    pub fn with_tools(mut self, definitions: impl IntoIterator<Item = ToolDefinition>) -> Self {
        let wanted = self.typed_tools();
        self.tools = definitions.into_iter().filter(|tool| wanted.contains(&tool.id())).collect();
        self.tools.sort_by_key(ToolDefinition::id);
        self.tools.dedup_by_key(|tool| tool.id());
        self
    }

    /// The tools, as `server/tool`, whose typed actions the policies name. Files that do not parse name none.
    pub fn typed_tools(&self) -> BTreeSet<String> {
        let parsed = self.files.iter().filter_map(|file| file.text.parse::<cedar_policy::PolicySet>().ok());
        let json = parsed.filter_map(|policies| policies.to_json().ok());
        json.flat_map(|json| inspect::typed_tools(&json)).collect()
    }

    /// The Cedar schema that these policies are checked against, as text: for editors, for Cedar's own tools, for proofs.
    ///
    /// # Errors
    /// The schema of this build does not parse: ours, not the author's.
    pub fn schema_text(&self) -> Result<String, String> {
        if self.tools.is_empty() {
            return Ok(schemas::cedar::SCHEMA.to_owned());
        }
        typed::extend(&self.tools)?.fragment.to_cedarschema().map_err(|error| error.to_string())
    }

    /// SHA-256 over the schema, every file's name and text, and every tool's id and pin, each preceded by its length, so that no
    /// byte can move from one to the next unnoticed. The schema belongs to it: the same text under another schema is another policy.
    pub fn hash(&self) -> Sha256Hex {
        let mut bytes = b"ambit policy set 1\n".to_vec();
        let texts = self.files.iter().flat_map(|file| [file.name.as_str(), file.text.as_str()]);
        let mut add = |text: &str| {
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        };
        for text in std::iter::once(schemas::cedar::SCHEMA).chain(texts) {
            add(text);
        }
        if !self.tools.is_empty() {
            add("tools");
        }
        for tool in &self.tools {
            add(&tool.id());
            add(tool.pin().as_str());
        }
        Sha256Hex::of(&bytes)
    }
}

macro_rules! embedded {
    ($($name:literal),+ $(,)?) => {
        vec![$(SourceFile::new($name, include_str!(concat!("../", $name)))),+]
    };
}

/// Guardrails (forbids) and the policy of plain grants, which every organisation has: the `*.cedar` files of this
/// package, embedded.
pub fn built_in() -> &'static [SourceFile] {
    static FILES: LazyLock<Vec<SourceFile>> = LazyLock::new(|| {
        embedded![
            "tenancy.cedar",
            "principals.cedar",
            "definitions.cedar",
            "approvals.cedar",
            "scopes.cedar",
            "connections.cedar",
            "grants.cedar",
            "roles.cedar",
        ]
    });
    &FILES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_package_is_built_in() {
        let mut there: Vec<String> = std::fs::read_dir(env!("CARGO_MANIFEST_DIR"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.strip_suffix(".cedar").is_some())
            .collect();
        let mut known: Vec<String> = built_in().iter().map(|file| file.name.clone()).collect();
        there.sort();
        known.sort();
        assert_eq!(there, known);
    }

    #[test]
    fn no_byte_moves_unnoticed() {
        let hash = |files: &[(&str, &str)]| {
            let files = files.iter().map(|(name, text)| SourceFile::new(*name, *text)).collect();
            PolicySource { files, tools: Vec::new() }.hash()
        };
        let all = [
            hash(&[("a", "bc")]),
            hash(&[("ab", "c")]),
            hash(&[("a", "b"), ("c", "")]),
            hash(&[("a", ""), ("c", "b")]),
            hash(&[("c", "b"), ("a", "")]),
        ];
        for (index, one) in all.iter().enumerate() {
            assert_eq!(all.iter().position(|other| other == one), Some(index));
        }
    }
}
