//! `ambit policy pull`: an organisation's policies as a directory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use policies::SourceFile;
use schemas::inventory::{Inventory, ToolDefinition};
use serde_json::{Value, json};

use super::directory::{self, PolicyDirectory};
use super::{init, telling};
use crate::operate::Failure;
use crate::remote::At;

/// Fetch what there is: policies, cases, inventory, tool definitions; and write the schema for editors.
///
/// Files of the same name are overwritten, other files of yours stay: keep the directory under version control.
#[derive(Debug, clap::Args)]
pub(crate) struct Pull {
    /// The directory.
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Only inventory and tool definitions: leave policies and cases as they are.
    #[arg(long)]
    pub(crate) inventory: bool,
    #[command(flatten)]
    pub(crate) at: At,
}

pub(crate) fn run(options: &Pull) -> Result<ExitCode, Failure> {
    let gateway = options.at.open()?;
    let dir = &options.dir;
    std::fs::create_dir_all(dir).map_err(|error| format!("`{}` can't be made: {error}", dir.display()))?;
    let mut files = 0;
    if !options.inventory {
        let live = gateway.get("/policies")?;
        for (member, folder) in [("files", dir.clone()), ("cases", dir.join("cases"))] {
            let found: Vec<SourceFile> = part(&live, member)?;
            for file in &found {
                let name = plain(&file.name)?;
                directory::write(&folder.join(name), &file.text)?;
                files += 1;
            }
        }
    }
    let found = gateway.get("/inventory")?;
    let inventory: Inventory = part(&found, "inventory")?;
    let definitions: Vec<ToolDefinition> = part(&found, "definitions")?;
    directory::write(&dir.join("inventory.json"), &format!("{:#}\n", json!(inventory)))?;
    let mut by_server: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for tool in definitions {
        by_server.entry(tool.server).or_default().push(tool.definition);
    }
    for (server, tools) in &by_server {
        let text = format!("{:#}\n", json!({ "tools": tools }));
        directory::write(&dir.join("tools").join(format!("{server}.json")), &text)?;
    }
    init::for_editors(&PolicyDirectory::read(dir)?)?;
    telling::say(&format!(
        "{} and cases, {}, {}, {} in {}",
        telling::count(files, "file of policies"),
        telling::count(inventory.agents.len(), "agent"),
        telling::count(inventory.users.len(), "person"),
        telling::count(inventory.tools.len(), "tool"),
        dir.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// A member of an answer.
pub(super) fn part<T: serde::de::DeserializeOwned>(answer: &Value, member: &str) -> Result<T, Failure> {
    let value = answer.get(member).cloned().unwrap_or_default();
    serde_json::from_value(value)
        .map_err(|error| format!("the gateway's `{member}` can't be read: {error}").into())
}

/// A file's name, and no way to another directory: what a gateway says is not trusted with paths.
fn plain(name: &str) -> Result<&str, Failure> {
    let is_plain = !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    if is_plain { Ok(name) } else { Err(format!("`{name}` is no name of a file in a directory").into()) }
}
