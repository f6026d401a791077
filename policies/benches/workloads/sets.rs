//! Policy sets of some size.

use std::fmt::Write as _;

use policies::{PolicySource, SourceFile};
use schemas::inventory::ToolDefinition;
use serde_json::{Value, json};

/// The built-in set, and `count` grants written as policies: `bot` may call `github/tool0`, `github/tool1` ...
pub(super) fn as_policies(count: usize) -> PolicySource {
    let mut text = String::new();
    for index in 0..count {
        let _ = writeln!(
            text,
            "@id(\"grant-{index}\") permit (principal == Ambit::Agent::\"bot\", action == \
             Ambit::Action::\"callTool\", resource == Ambit::Tool::\"github/tool{index}\");"
        );
    }
    PolicySource::with_built_in(vec![SourceFile::new("grants-as-policies.cedar", text)])
}

/// The built-in set, and a permit for each of `count` tools that looks into its typed arguments.
pub(super) fn typed(count: usize) -> PolicySource {
    let mut text = String::new();
    for index in 0..count {
        let _ = writeln!(
            text,
            "@id(\"post-{index}\") permit (principal == Ambit::Agent::\"bot\", action == \
             Ambit::Action::\"slack/post{index}\", resource)\n\
             when {{ context.input.channel like \"C-INC-*\" && context.input.recipients <= 3 }};"
        );
    }
    let own = vec![SourceFile::new("typed.cedar", text)];
    PolicySource::with_built_in(own).with_tools((0..count).map(|index| definition(&format!("post{index}"))))
}

/// A tool of `slack` as its server defines it: text, numbers, a choice, a list, an object in the object.
fn definition(name: &str) -> ToolDefinition {
    let schema = json!({
        "type": "object",
        "properties": {
            "channel": { "type": "string" },
            "text": { "type": "string" },
            "recipients": { "type": "integer" },
            "urgency": { "enum": ["low", "normal", "high"] },
            "mentions": { "type": "array", "items": { "type": "string" } },
            "options": {
                "type": "object",
                "properties": { "unfurl": { "type": "boolean" }, "thread": { "type": "string" } },
                "required": ["unfurl"],
            },
        },
        "required": ["channel", "recipients", "text"],
    });
    let definition = json!({ "name": name, "description": "Posts a message.", "inputSchema": schema });
    ToolDefinition { server: "slack".parse().unwrap(), definition }
}

/// Arguments for it.
pub(super) fn arguments() -> Value {
    json!({
        "channel": "C-INC-7",
        "text": "All is well again.",
        "recipients": 2,
        "urgency": "high",
        "mentions": ["ann", "olga"],
        "options": { "unfurl": false, "thread": "1" },
    })
}
