//! `ambit key`.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use serde_json::{Value, json};

use super::Manner;
use super::table::table;
use super::things::{AGENTS, KEYS, USERS};
use super::work::{Work, address, given, patch};
use crate::operate::Failure;
use crate::policy::age;
use crate::telling;

/// Keys: of agents, which call tools with them, and of people, who manage with them.
#[derive(Debug, clap::Args)]
pub(crate) struct Key {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    manner: Manner,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List them, without their secrets.
    List {
        /// Only those of this agent.
        #[arg(long)]
        agent: Option<String>,
        /// Only those of this person, or of agents that act for them.
        #[arg(long)]
        user: Option<String>,
        /// Only those that are `active` or `revoked`.
        #[arg(long)]
        status: Option<String>,
    },
    /// Show one, without its secret.
    Show { id: String },
    /// Make one, and show its secret this once.
    #[command(group(clap::ArgGroup::new("whose").args(["agent", "user"]).multiple(true).required(true)))]
    Create {
        /// The agent that calls tools with it.
        #[arg(long)]
        agent: Option<String>,
        /// For whom the agent acts with it; without an agent, the person who manages with it.
        #[arg(long)]
        user: Option<String>,
        /// It is good at this toolbox only.
        #[arg(long, requires = "agent")]
        toolbox: Option<String>,
        /// It is good for this only: `mcp:read` for tools that change nothing, `mcp:write` for every tool. Can be given more than once.
        #[arg(long = "scope", value_name = "SCOPE", requires = "agent")]
        scopes: Vec<String>,
        /// It is good for so long: `12h`, `90d`.
        #[arg(long, value_name = "TIME", value_parser = age)]
        expires: Option<Duration>,
    },
    /// Give one a new secret, and show it this once.
    Rotate {
        id: String,
        /// The old secret stays good for so long: `10m`, at most `7d`. By default it is worth nothing at once.
        #[arg(long, value_name = "TIME", value_parser = age)]
        overlap: Option<Duration>,
    },
    /// Make one worth nothing, at once.
    Revoke { id: String },
}

pub(crate) fn run(options: &Key) -> Result<(), Failure> {
    let work = options.manner.open()?;
    match &options.verb {
        Verb::List { agent, user, status } => work.list(
            &KEYS,
            &[("agent", agent.as_deref()), ("user", user.as_deref()), ("status", status.as_deref())],
        ),
        Verb::Show { id } => work.show(&KEYS, id),
        Verb::Create { agent, user, toolbox, scopes, expires } => {
            let expires = expires.map(|expires| json!(later(expires)));
            let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
            let (whose, user, toolbox) = match (agent, user) {
                (Some(agent), user) => (address(&AGENTS, agent), text(user), text(toolbox)),
                (None, user) => (address(&USERS, user.as_deref().unwrap_or_default()), None, None),
            };
            let body = patch([
                ("user", user),
                ("toolbox", toolbox),
                ("scopes", given(scopes)),
                ("expiresAt", expires),
            ]);
            secret(&work, &format!("{whose}/keys"), &Value::Object(body))
        }
        Verb::Rotate { id, overlap } => {
            let body = json!({ "overlapSeconds": overlap.unwrap_or_default().as_secs() });
            secret(&work, &format!("{}/rotate", address(&KEYS, id)), &body)
        }
        Verb::Revoke { id } => {
            work.end(&address(&KEYS, id), &format!("key `{id}` is worth nothing any more"))
        }
    }
}

/// Milliseconds since 1970.
fn later(time: Duration) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.saturating_add(time).as_millis()).unwrap_or(u64::MAX)
}

/// Shows a secret that shows only once.
fn secret(work: &Work, path: &str, body: &Value) -> Result<(), Failure> {
    let made = work.gateway.ask(Method::POST, path, body)?;
    if work.json {
        return work.tell(&made);
    }
    telling::say(&table(&[("ID", &["/id"]), ("KEY", &["/key"])], &[made]))?;
    Ok(writeln!(std::io::stderr(), "Keep the key now: nobody can show it again.")?)
}
