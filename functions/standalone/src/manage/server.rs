//! `ambit server`.

use std::io::Write as _;
use std::path::PathBuf;

use http::Method;
use serde_json::{Map, Value, json};

use super::Manner;
use super::table::table;
use super::things::{SERVERS, TOOL_COLUMNS};
use super::tool::{Flags, flags};
use super::work::{Work, patch};
use crate::operate::Failure;
use crate::remote::{Usage, part};
use crate::telling;

/// MCP servers: remote ones by URL, others as containers of an image.
#[derive(Debug, clap::Args)]
pub(crate) struct Server {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    manner: Manner,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false, args = ["url", "image", "workload"])]
struct Source {
    /// A remote server that speaks MCP 2026-07-28.
    #[arg(long)]
    url: Option<String>,
    /// An image to run, by its digest: `registry.example/name@sha256:…`.
    #[arg(long, value_name = "IMAGE@DIGEST", value_parser = image)]
    image: Option<(String, String)>,
    /// A file with all that there is to say of a container, as JSON (schemas/workload-spec.schema.json).
    #[arg(long, value_name = "FILE")]
    workload: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Container {
    /// The server listens on this port of its container; without one it speaks on stdin and stdout.
    #[arg(long, requires = "image")]
    port: Option<u16>,
    /// The path of its endpoint.
    #[arg(long, default_value = "/mcp", requires = "port")]
    path: String,
    /// A setting of its environment, never a secret. Can be given more than once.
    #[arg(long = "env", value_name = "NAME=VALUE", requires = "image", value_parser = super::pair)]
    env: Vec<(String, String)>,
    /// What it runs instead of the image's own command.
    #[arg(last = true, requires = "image")]
    command: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Account {
    /// It acts on people's accounts at this provider (`ambit provider list`).
    #[arg(long)]
    provider: Option<String>,
    /// Where it looks for a credential, and in which form: `header:Authorization=Bearer {token}` (which is so by default for servers that
    /// speak HTTP), `env:GITHUB_TOKEN={token}`, `file:/run/secrets/token={token}`, `meta:com.example/token={token}`. Can be given more
    /// than once.
    #[arg(long = "inject", value_name = "PLACE=FORM", requires = "provider", value_parser = injection)]
    inject: Vec<Value>,
    /// What all its tools need of an account. Can be given more than once.
    #[arg(long = "scope", requires = "provider")]
    scopes: Vec<String>,
}

impl Account {
    fn member(&self) -> Option<Value> {
        let provider = self.provider.as_ref()?;
        Some(json!({ "provider": provider, "inject": self.inject, "scopes": self.scopes }))
    }
}

fn injection(text: &str) -> Result<Value, String> {
    let wrong = || {
        "write where it looks and in which form, such as `header:Authorization=Bearer {token}` or `env:GITHUB_TOKEN={token}`"
            .to_owned()
    };
    let (place, value) = text.split_once('=').ok_or_else(wrong)?;
    let (kind, name) = place.split_once(':').ok_or_else(wrong)?;
    let member = match kind {
        "header" | "env" => "name",
        "meta" => "key",
        "file" => "path",
        _ => return Err(wrong()),
    };
    let injection = json!({ "in": kind, member: name, "value": value });
    serde_json::from_value::<schemas::provisioner::Injection>(injection.clone())
        .map_err(|error| error.to_string())?;
    Ok(injection)
}

#[derive(Debug, Clone)]
enum Approve {
    Declared,
    Flags(Flags),
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List them.
    List {
        /// Only those that are `active` or `suspended`.
        #[arg(long)]
        status: Option<String>,
        /// Only those of this trust: `first_party`, `verified`, `community` or `untrusted`.
        #[arg(long)]
        trust: Option<String>,
    },
    /// Show one.
    Show { name: String },
    /// Add one. Then put it into a toolbox (`ambit toolbox add`), and look at its tools (`ambit server inspect`).
    Add {
        name: String,
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        container: Container,
        #[command(flatten)]
        account: Account,
        /// How far you trust its publisher: `first_party`, `verified`, `community` or `untrusted`.
        #[arg(long, default_value = "untrusted")]
        trust: String,
    },
    /// Change how far its publisher is trusted, or whose accounts it acts on.
    Set {
        name: String,
        #[arg(long)]
        trust: Option<String>,
        #[command(flatten)]
        account: Account,
        /// It acts on nobody's account any more.
        #[arg(long, conflicts_with = "provider")]
        no_provider: bool,
    },
    /// Look at its tools; what was approved and is no longer so is out of use.
    Inspect {
        name: String,
        /// The toolbox through which to look; by default the only one that it is in.
        #[arg(long)]
        toolbox: Option<String>,
        /// Approve every tool as it is now, and confirm what it does: `declared` for what the server says of each, `none`, or of
        /// read-only, destructive, idempotent and open-world those that are so of all, with commas between.
        #[arg(long, value_name = "WHAT", value_parser = approval)]
        approve: Option<Approve>,
    },
    /// Switch it off.
    Suspend { name: String },
    /// Switch it on again.
    Resume { name: String },
    /// Take it away.
    Delete { name: String },
}

pub(crate) fn run(options: &Server) -> Result<(), Failure> {
    let work = options.manner.open()?;
    match &options.verb {
        Verb::List { status, trust } => {
            work.list(&SERVERS, &[("status", status.as_deref()), ("trust", trust.as_deref())])
        }
        Verb::Show { name } => work.show(&SERVERS, name),
        Verb::Add { name, source, container, account, trust } => {
            let mut body = source.members(container)?;
            body.insert("trust".to_owned(), json!(trust));
            body.extend(account.member().map(|account| ("account".to_owned(), account)));
            work.create(&SERVERS, name, &Value::Object(body))
        }
        Verb::Set { name, trust, account, no_provider } => {
            let account = if *no_provider { Some(Value::Null) } else { account.member() };
            let trust = trust.as_ref().map(|trust| json!(trust));
            work.change(&SERVERS, name, patch([("trust", trust), ("account", account)]))
        }
        Verb::Inspect { name, toolbox, approve } => {
            inspect(&work, name, toolbox.as_deref(), approve.as_ref())
        }
        Verb::Suspend { name } => work.set_status(&SERVERS, name, "suspended"),
        Verb::Resume { name } => work.set_status(&SERVERS, name, "active"),
        Verb::Delete { name } => work.delete(&SERVERS, name),
    }
}

fn image(text: &str) -> Result<(String, String), String> {
    let wrong = || "an image is run by its digest: write `registry.example/name@sha256:…`".to_owned();
    let (image, digest) = text.split_once('@').ok_or_else(wrong)?;
    Ok((image.to_owned(), digest.to_owned()))
}

fn approval(text: &str) -> Result<Approve, String> {
    if text == "declared" { Ok(Approve::Declared) } else { flags(text).map(Approve::Flags) }
}

impl Source {
    fn members(&self, container: &Container) -> Result<Map<String, Value>, Failure> {
        let workload = match (&self.workload, &self.image) {
            (Some(file), _) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| format!("`{}` can't be read: {error}", file.display()))?;
                let workload = serde_json::from_str(&text)
                    .map_err(|error| format!("`{}` is no JSON: {error}", file.display()))?;
                Some(workload)
            }
            (None, Some((image, digest))) => Some(container.workload(image, digest)),
            (None, None) => None,
        };
        Ok(patch([("url", self.url.as_ref().map(|url| json!(url))), ("workload", workload)]))
    }
}

impl Container {
    fn workload(&self, image: &str, digest: &str) -> Value {
        let transport = match self.port {
            Some(port) => json!({ "type": "http", "port": port, "path": self.path }),
            None => json!({ "type": "stdio" }),
        };
        let env: Map<String, Value> =
            self.env.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({ "image": image, "digest": digest, "transport": transport, "env": env, "command": self.command })
    }
}

fn inspect(work: &Work, name: &str, toolbox: Option<&str>, approve: Option<&Approve>) -> Result<(), Failure> {
    let toolbox = match toolbox {
        Some(toolbox) => toolbox.to_owned(),
        None => only_toolbox(&work.read(&SERVERS, name)?, name)?,
    };
    let approve = match approve {
        None => Value::Null,
        Some(Approve::Declared) => json!("declared"),
        Some(Approve::Flags(flags)) => json!({ "flags": flags.members() }),
    };
    let body = if approve.is_null() { json!({}) } else { json!({ "approve": approve }) };
    let path = format!("/toolboxes/{}/servers/{}/inspect", part(&toolbox), part(name));
    let seen = work.gateway.ask(Method::POST, &path, &body)?;
    if work.json {
        return work.tell(&seen);
    }
    let list =
        |member: &str| seen.get(member).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    telling::say(&table(TOOL_COLUMNS, list("tools")))?;
    for why in list("dropped").iter().filter_map(Value::as_str) {
        telling::say(&format!("left out: {why}"))?;
    }
    if list("tools").iter().any(|tool| tool.get("state").and_then(Value::as_str) != Some("approved")) {
        let way = format!(
            "Not approved is out of use: `ambit server inspect {name} --approve declared` approves all as they are now."
        );
        writeln!(std::io::stderr(), "{way}")?;
    }
    Ok(())
}

fn only_toolbox(server: &Value, name: &str) -> Result<String, Failure> {
    let toolboxes = server.get("toolboxes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    match toolboxes {
        [Value::String(only)] => Ok(only.clone()),
        [] => {
            Err(Usage(format!("server `{name}` is in no toolbox yet: `ambit toolbox add TOOLBOX {name}`"))
                .into())
        }
        _ => {
            Err(Usage(format!("server `{name}` is in several toolboxes: say through which, with --toolbox"))
                .into())
        }
    }
}
