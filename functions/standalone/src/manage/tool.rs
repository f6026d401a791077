//! `ambit tool`.

use http::Method;
use serde_json::{Map, Value, json};

use super::Manner;
use super::things::{SERVERS, TOOL_COLUMNS};
use super::work::{Work, address};
use crate::operate::Failure;
use crate::remote::part;

/// Tools of a server, and what an administrator confirmed of each.
///
/// Tools get here by `ambit server inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Tool {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    manner: Manner,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List those of a server.
    List {
        server: String,
        /// Only those that are `new`, `approved`, `changed` or `quarantined`.
        #[arg(long)]
        state: Option<String>,
    },
    /// Show one: its approved definition, and how it differs from what its server says now.
    Show { server: String, tool: String },
    /// Approve one as it was looked at, and confirm what it does.
    Approve {
        server: String,
        tool: String,
        /// What it does: `none`, or of read-only, destructive, idempotent and open-world those that are so, with commas between.
        #[arg(long, value_parser = flags)]
        flags: Flags,
        /// What it needs of an account, beyond what its server does. Can be given more than once; left out, that stays as it is.
        #[arg(long = "scope")]
        scopes: Vec<String>,
    },
    /// Take one out of use.
    Quarantine { server: String, tool: String },
}

/// What a tool does, by MCP's four annotations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flags(Map<String, Value>);

/// Reads `none`, or some of the four.
pub(super) fn flags(text: &str) -> Result<Flags, String> {
    const KNOWN: [(&str, &str); 4] = [
        ("read-only", "readOnly"),
        ("destructive", "destructive"),
        ("idempotent", "idempotent"),
        ("open-world", "openWorld"),
    ];
    let given: Vec<&str> = if text == "none" { Vec::new() } else { text.split(',').map(str::trim).collect() };
    if let Some(unknown) = given.iter().find(|one| KNOWN.iter().all(|(known, _)| known != *one)) {
        return Err(format!(
            "`{unknown}` is none of read-only, destructive, idempotent, open-world; write `none` for none"
        ));
    }
    Ok(Flags(
        KNOWN.iter().map(|(word, member)| ((*member).to_owned(), json!(given.contains(word)))).collect(),
    ))
}

impl Flags {
    pub(super) fn members(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

pub(crate) fn run(options: &Tool) -> Result<(), Failure> {
    let work = options.manner.open()?;
    match &options.verb {
        Verb::List { server, state } => {
            let path = format!("{}/tools", address(&SERVERS, server));
            let tools = work.collect(&path, &[("state", state.as_deref())])?;
            work.show_list("tools", TOOL_COLUMNS, &tools)
        }
        Verb::Show { server, tool } => work.tell(&work.gateway.get(&place(server, tool))?),
        Verb::Approve { server, tool, flags, scopes } => {
            judge(&work, (server, tool), "approved", &flags.members(), scopes)
        }
        Verb::Quarantine { server, tool } => {
            let now = work.gateway.get(&place(server, tool))?;
            judge(&work, (server, tool), "quarantined", now.get("flags").unwrap_or(&Value::Null), &[])
        }
    }
}

fn place(server: &str, tool: &str) -> String {
    format!("{}/tools/{}", address(&SERVERS, server), part(tool))
}

fn judge(
    work: &Work,
    (server, tool): (&str, &str),
    state: &str,
    flags: &Value,
    scopes: &[String],
) -> Result<(), Failure> {
    let mut body = json!({ "state": state, "flags": flags });
    if let (false, Some(body)) = (scopes.is_empty(), body.as_object_mut()) {
        body.insert("scopes".to_owned(), json!(scopes));
    }
    work.tell(&work.gateway.ask(Method::PUT, &place(server, tool), &body)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read() {
        let set = |text: &str| {
            let members = flags(text)?.members();
            let set = members.as_object().unwrap().iter().filter(|(_, value)| **value == json!(true));
            Ok::<_, String>(set.map(|(name, _)| name.clone()).collect::<std::collections::BTreeSet<_>>())
        };
        assert!(set("none").unwrap().is_empty());
        assert_eq!(
            set("read-only, idempotent").unwrap(),
            ["idempotent", "readOnly"].map(str::to_owned).into()
        );
        assert!(set("harmless").unwrap_err().contains("`harmless` is none of"));
    }
}
