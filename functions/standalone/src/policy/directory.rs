//! A directory of policies: what `ambit policy` works on.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use policies::{CompiledSet, PolicySource, PublishError, SourceFile, compile};
use schemas::inventory::{Inventory, ToolDefinition};
use serde_json::Value;

use crate::operate::Failure;

/// The files of a directory of policies, read at once.
#[derive(Debug)]
pub(crate) struct PolicyDirectory {
    pub(crate) path: PathBuf,
    /// Its own policies.
    pub(crate) files: Vec<SourceFile>,
    /// Approved definitions of tools.
    pub(crate) tools: Vec<ToolDefinition>,
    /// What the organisation has, if it says.
    pub(crate) inventory: Option<Inventory>,
}

impl PolicyDirectory {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        if !path.is_dir() {
            let shown = path.display();
            return Err(
                format!("there is no directory `{shown}`; `ambit policy init {shown}` makes one").into()
            );
        }
        Ok(Self {
            path: path.to_owned(),
            files: cedar(path)?,
            tools: tools(&path.join("tools"))?,
            inventory: inventory(&path.join("inventory.json"))?,
        })
    }

    /// The whole source: built-in policies, its own, and the tools that they look into.
    pub(crate) fn source(&self) -> PolicySource {
        PolicySource::with_built_in(self.files.clone()).with_tools(self.tools.iter().cloned())
    }

    /// The set, ready to decide.
    pub(crate) fn compile(&self) -> Result<CompiledSet, Failure> {
        compile(&self.source()).map_err(|error| match error {
            PublishError::Refused(problems) => format!(
                "the policies in `{}` have {} errors; `ambit policy check` shows them",
                self.path.display(),
                problems.len()
            )
            .into(),
            PublishError::Ours(reason) => reason.into(),
        })
    }

    /// The inventory, for what cannot be done without one.
    pub(crate) fn needed_inventory(&self) -> Result<&Inventory, Failure> {
        self.inventory.as_ref().ok_or_else(|| {
            let shown = self.path.join("inventory.json");
            format!("this needs `{}`; `ambit policy pull` fetches it from a gateway", shown.display()).into()
        })
    }
}

/// The Cedar files of a directory, by name.
pub(crate) fn cedar(path: &Path) -> Result<Vec<SourceFile>, Failure> {
    let read = |file: PathBuf| Ok(SourceFile::new(name(&file), text(&file)?));
    files(path, "cedar")?.into_iter().map(read).collect()
}

fn tools(path: &Path) -> Result<Vec<ToolDefinition>, Failure> {
    let mut tools = Vec::new();
    for file in files(path, "json")? {
        let shown = file.display();
        let server = file.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        let server: schemas::names::ServerName =
            server.parse().map_err(|_| format!("`{shown}` is not named after a server"))?;
        let list: Value = json(&file)?;
        // What `tools/list` answers, or the definitions alone.
        let list = list.get("tools").unwrap_or(&list);
        let list = list
            .as_array()
            .ok_or_else(|| format!("`{shown}` is no list of tools; write `{{\"tools\": [...]}}`"))?;
        tools.extend(
            list.iter()
                .map(|definition| ToolDefinition { server: server.clone(), definition: definition.clone() }),
        );
    }
    Ok(tools)
}

fn inventory(path: &Path) -> Result<Option<Inventory>, Failure> {
    if path.is_file() { json(path).map(Some) } else { Ok(None) }
}

/// Reads a file of JSON.
pub(crate) fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    serde_json::from_str(&text(path)?).map_err(|error| format!("`{}`: {error}", path.display()).into())
}

/// Files of a kind, by name. A directory that is not there has none.
pub(crate) fn files(path: &Path, extension: &str) -> Result<Vec<PathBuf>, Failure> {
    let cannot = |error: io::Error| format!("`{}` can't be read: {error}", path.display());
    if !path.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(cannot)? {
        let file = entry.map_err(cannot)?.path();
        if file.is_file() && file.extension() == Some(OsStr::new(extension)) {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

/// The name of a file, as authors see it.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| format!("`{}` can't be read: {error}", path.display()).into())
}

/// Writes a file, and the directories above it.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let write = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, text)
    };
    write().map_err(|error| format!("`{}` can't be written: {error}", path.display()).into())
}
