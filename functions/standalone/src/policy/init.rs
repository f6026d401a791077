//! `ambit policy init`: a directory to start from, and what editors need.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use policies::PolicySource;
use serde_json::json;

use super::directory::{self, PolicyDirectory};
use super::telling;
use crate::operate::Failure;

/// Make a directory of policies, or bring its schema for editors up to date.
///
/// Writes ambit.cedarschema (with the types of every tool in tools/), .vscode/settings.json for the Cedar extension
/// (cedar-policy.vscode-cedar), and a first policy file if there is none. Files of yours stay as they are.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// The directory.
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
}

const FIRST: &str = r#"// What the agents of this organisation may do, beyond their plain grants. What nobody permits is denied, and the
// built-in guardrails hold whatever is permitted here.
//
// An agent may post to incident channels, and nowhere else:
//
//   @id("oncall-incident-channels")
//   permit (
//     principal == Ambit::Agent::"oncall",
//     action in Ambit::Action::"callTool",
//     resource == Ambit::Tool::"slack/post"
//   )
//   when
//   {
//     context.args.hasTag("channel") &&
//     context.args.getTag("channel") like "C-INC-*"
//   };
"#;

pub(crate) fn run(options: &Init) -> Result<ExitCode, Failure> {
    let dir = &options.dir;
    std::fs::create_dir_all(dir).map_err(|error| format!("`{}` can't be made: {error}", dir.display()))?;
    let directory = PolicyDirectory::read(dir)?;
    let mut written = for_editors(&directory)?;
    if directory.files.is_empty() {
        directory::write(&dir.join("policies.cedar"), FIRST)?;
        written.push("policies.cedar");
    }
    if written.is_empty() {
        telling::say("all is there already")?;
    } else {
        telling::say(&format!("wrote {} in {}", written.join(", "), dir.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The schema, and the settings that let the Cedar extension of VS Code find it; what was written of it.
pub(crate) fn for_editors(directory: &PolicyDirectory) -> Result<Vec<&'static str>, Failure> {
    let mut written = Vec::new();
    // Every tool, not only those that a policy names already: an author is about to.
    let whole = PolicySource { files: Vec::new(), tools: directory.tools.clone() };
    let schema = whole.schema_text()?;
    let mut put = |name: &'static str, text: &str, anew: bool| -> Result<(), Failure> {
        let path: PathBuf = directory.path.join(name);
        let there = std::fs::read_to_string(&path).ok();
        if there.is_none() || (anew && there.as_deref() != Some(text)) {
            directory::write(Path::new(&path), text)?;
            written.push(name);
        }
        Ok(())
    };
    put("ambit.cedarschema", &schema, true)?;
    let settings = json!({
        "cedar.schemaFile": "ambit.cedarschema",
        "cedar.autodetectSchemaFile": true,
        "[cedar]": {
            "editor.tabSize": 2,
            "editor.wordWrapColumn": 80,
            "editor.formatOnSave": true,
            "editor.defaultFormatter": "cedar-policy.vscode-cedar",
        },
    });
    put(".vscode/settings.json", &format!("{settings:#}\n"), false)?;
    Ok(written)
}
