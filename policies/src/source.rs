//! The text of a policy set, and its hash.

use std::sync::LazyLock;

use schemas::ids::Sha256Hex;

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
}

impl PolicySource {
    /// The built-in files followed by the organisation's own.
    pub fn with_built_in(own: Vec<SourceFile>) -> Self {
        let mut files = built_in().to_vec();
        files.extend(own);
        Self { files }
    }

    /// SHA-256 over the schema and every file's name and text, each preceded by its length, so that no byte can move
    /// from one to the next unnoticed. The schema belongs to it: the same text under another schema is another policy.
    pub fn hash(&self) -> Sha256Hex {
        let mut bytes = b"ambit policy set 1\n".to_vec();
        let texts = self.files.iter().flat_map(|file| [file.name.as_str(), file.text.as_str()]);
        for text in std::iter::once(schemas::cedar::SCHEMA).chain(texts) {
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
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
            "connections.cedar",
            "grants.cedar",
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
            PolicySource { files: files.iter().map(|(name, text)| SourceFile::new(*name, *text)).collect() }
                .hash()
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
