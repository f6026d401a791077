//! The demo's policies: every `*.cedar` file in `policies/` of the data directory, published when it changes.

use std::path::{Path, PathBuf};

use serde_json::json;
use standalone::data::DataDirectory;

use crate::operate::Failure;
use crate::operator::Operator;

/// How often the files are looked at, in milliseconds.
const EVERY: u64 = 400;

const FIRST: &str = r#"// What the demo agent may do. Edit and save: `ambit dev` checks and publishes it at once.
// Delete this policy, and the agent may do nothing: what nobody permits is denied.

@id("demo-assistant-uses-demo")
permit (
  principal == Ambit::Agent::"assistant",
  action in [
    Ambit::Action::"listTool", Ambit::Action::"callTool",
    Ambit::Action::"listPrompt", Ambit::Action::"getPrompt",
    Ambit::Action::"listResource", Ambit::Action::"readResource"
  ],
  resource in Ambit::Toolbox::"demo"
);

// Try this too: forbid one tool, then list the tools again.
//
// @id("demo-no-echo")
// forbid (principal, action, resource == Ambit::Tool::"everything/echo");
"#;

/// The file that authors edit.
pub(super) fn file(data: &DataDirectory) -> PathBuf {
    folder(data).join("demo.cedar")
}

fn folder(data: &DataDirectory) -> PathBuf {
    data.path().join("policies")
}

/// Writes the first policy file, if there is no folder yet, and publishes what is there.
pub(super) async fn publish_first(operator: &Operator<'_>, data: &DataDirectory) -> Result<(), Failure> {
    let folder = folder(data);
    if !folder.exists() {
        std::fs::create_dir_all(&folder)?;
        std::fs::write(file(data), FIRST)?;
    }
    publish(operator, &read(&folder)?).await
}

/// Publishes what changes, until the end. A file that does not check is told of, and the last good set stays.
pub(super) async fn policies(operator: &Operator<'_>, data: &DataDirectory) -> Result<(), Failure> {
    let folder = folder(data);
    let mut known = read(&folder)?;
    loop {
        operator.sleep(EVERY).await;
        let Ok(now) = read(&folder) else { continue };
        if now == known {
            continue;
        }
        known = now;
        match publish(operator, &known).await {
            Ok(()) => tracing::info!("policies published"),
            Err(error) => tracing::warn!("the policies stay as they were: {error}"),
        }
    }
}

async fn publish(operator: &Operator<'_>, files: &[(String, String)]) -> Result<(), Failure> {
    let files: Vec<_> = files.iter().map(|(name, text)| json!({ "name": name, "text": text })).collect();
    // Whoever edits files on their own machine is alone: there is no second person to accept that a forbid goes.
    let body = json!({ "files": files, "breakGlass": "ambit dev" });
    operator.put("/policies", &body).await.map(drop)
}

/// Names and texts, in order.
fn read(folder: &Path) -> Result<Vec<(String, String)>, Failure> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "cedar")
            && let Some(name) = path.file_name().and_then(|name| name.to_str())
        {
            files.push((name.to_owned(), std::fs::read_to_string(&path)?));
        }
    }
    files.sort();
    Ok(files)
}
