//! `ambit toolbox`.

use serde_json::{Map, Value, json};

use super::Manner;
use super::things::TOOLBOXES;
use super::work::patch;
use crate::operate::Failure;

/// Toolboxes: servers behind one MCP URL.
#[derive(Debug, clap::Args)]
pub(crate) struct Toolbox {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    manner: Manner,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List them.
    List,
    /// Show one.
    Show { name: String },
    /// Make one.
    Create {
        name: String,
        /// A server in it, as SERVER, or SERVER=PREFIX for what begins the names of its tools. Can be given more than once.
        #[arg(long = "server", value_name = "SERVER")]
        servers: Vec<String>,
    },
    /// Let it have exactly these servers.
    Set {
        name: String,
        /// A server in it, as SERVER, or SERVER=PREFIX. Can be given more than once.
        #[arg(long = "server", value_name = "SERVER", required = true)]
        servers: Vec<String>,
    },
    /// Add servers.
    Add {
        name: String,
        /// SERVER, or SERVER=PREFIX.
        #[arg(required = true, value_name = "SERVER")]
        servers: Vec<String>,
    },
    /// Take servers out.
    Remove {
        name: String,
        #[arg(required = true, value_name = "SERVER")]
        servers: Vec<String>,
    },
    /// Take it away: its URL answers no more.
    Delete { name: String },
}

pub(crate) fn run(options: &Toolbox) -> Result<(), Failure> {
    let work = options.manner.open()?;
    match &options.verb {
        Verb::List => work.list(&TOOLBOXES, &[]),
        Verb::Show { name } => work.show(&TOOLBOXES, name),
        Verb::Create { name, servers } => work.create(&TOOLBOXES, name, &Value::Object(members(servers))),
        Verb::Set { name, servers } => work.change(&TOOLBOXES, name, members(servers)),
        Verb::Add { name, servers } => work.revise(&TOOLBOXES, name, |now| {
            let mut all = kept(now, servers);
            all.extend(servers.iter().map(|server| member(server)));
            patch([("servers", Some(Value::Array(all)))])
        }),
        Verb::Remove { name, servers } => {
            work.revise(&TOOLBOXES, name, |now| patch([("servers", Some(Value::Array(kept(now, servers))))]))
        }
        Verb::Delete { name } => work.delete(&TOOLBOXES, name),
    }
}

fn members(servers: &[String]) -> Map<String, Value> {
    patch([("servers", Some(servers.iter().map(|server| member(server)).collect()))])
}

/// `SERVER`, or `SERVER=PREFIX`.
fn member(text: &str) -> Value {
    match text.split_once('=') {
        Some((name, prefix)) => json!({ "name": name, "prefix": prefix }),
        None => json!({ "name": text }),
    }
}

/// The servers that a toolbox has, but for these.
fn kept(now: &Value, but: &[String]) -> Vec<Value> {
    let names: Vec<&str> =
        but.iter().map(|text| text.split_once('=').map_or(text.as_str(), |(name, _)| name)).collect();
    let servers = now.get("servers").and_then(Value::as_array).into_iter().flatten();
    servers
        .filter(|server| {
            !server.get("name").and_then(Value::as_str).is_some_and(|name| names.contains(&name))
        })
        .map(|server| json!({ "name": server.get("name"), "prefix": server.get("prefix") }))
        .collect()
}
