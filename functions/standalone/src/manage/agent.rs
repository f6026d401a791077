//! `ambit agent`.

use serde_json::{Map, Value, json};

use super::Manner;
use super::things::AGENTS;
use super::work::{given, patch, revised};
use crate::operate::Failure;

/// Agents: who calls tools.
///
/// What one may use is granted (`ambit grant`) or stands in policies; what it proves itself with is a key (`ambit key`), or a token
/// that a person lets a client have.
#[derive(Debug, clap::Args)]
pub(crate) struct Agent {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    manner: Manner,
}

#[derive(Debug, clap::Args)]
struct About {
    /// Who answers for it. It then acts for nobody else, unless your policies say so.
    #[arg(long, value_name = "USER")]
    owner: Option<String>,
    /// A client that people may let act as it: an OAuth client id, `https://host/*`, or `*` for any. Can be given more than once.
    #[arg(long = "client", value_name = "ID")]
    clients: Vec<String>,
    /// The `client_id` in tokens of an issuer that the organisation trusts.
    #[arg(long, value_name = "ID")]
    oauth_client: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List them.
    List {
        /// Only those that are `active` or `suspended`.
        #[arg(long)]
        status: Option<String>,
        /// Only those of this person.
        #[arg(long, value_name = "USER")]
        owner: Option<String>,
    },
    /// Show one.
    Show { name: String },
    /// Make one.
    Create {
        name: String,
        #[command(flatten)]
        about: About,
    },
    /// Change what is given; clients that are given replace those that were.
    Set {
        name: String,
        #[command(flatten)]
        about: About,
        /// Nobody answers for it: it acts for whoever lets it.
        #[arg(long, conflicts_with = "owner")]
        no_owner: bool,
        /// It is in no issuer's tokens.
        #[arg(long, conflicts_with = "oauth_client")]
        no_oauth_client: bool,
    },
    /// Let people have clients act as it.
    Allow {
        name: String,
        /// An OAuth client id, `https://host/*`, or `*` for any client. Can be given more than once.
        #[arg(long = "client", value_name = "ID", required = true)]
        clients: Vec<String>,
    },
    /// Let clients act as it no more.
    Disallow {
        name: String,
        /// As it was allowed. Can be given more than once.
        #[arg(long = "client", value_name = "ID", required = true)]
        clients: Vec<String>,
    },
    /// Switch it off: it does nothing from the next call on.
    Suspend { name: String },
    /// Switch it on again.
    Resume { name: String },
    /// Take it away, for good. What it did stays on record.
    Delete { name: String },
}

pub(crate) fn run(options: &Agent) -> Result<(), Failure> {
    let work = options.manner.open()?;
    let clients =
        |now: &Value, these: &[String], add| patch([("clients", Some(revised(now, "clients", these, add)))]);
    match &options.verb {
        Verb::List { status, owner } => {
            work.list(&AGENTS, &[("status", status.as_deref()), ("owner", owner.as_deref())])
        }
        Verb::Show { name } => work.show(&AGENTS, name),
        Verb::Create { name, about } => work.create(&AGENTS, name, &Value::Object(about.members())),
        Verb::Set { name, about, no_owner, no_oauth_client } => {
            let mut change = about.members();
            let none = |so: bool| so.then_some(Value::Null);
            change.extend(patch([("owner", none(*no_owner)), ("oauthClient", none(*no_oauth_client))]));
            work.change(&AGENTS, name, change)
        }
        Verb::Allow { name, clients: these } => work.revise(&AGENTS, name, |now| clients(now, these, true)),
        Verb::Disallow { name, clients: these } => {
            work.revise(&AGENTS, name, |now| clients(now, these, false))
        }
        Verb::Suspend { name } => work.set_status(&AGENTS, name, "suspended"),
        Verb::Resume { name } => work.set_status(&AGENTS, name, "active"),
        Verb::Delete { name } => work.delete(&AGENTS, name),
    }
}

impl About {
    fn members(&self) -> Map<String, Value> {
        let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
        patch([
            ("owner", text(&self.owner)),
            ("clients", given(&self.clients)),
            ("oauthClient", text(&self.oauth_client)),
        ])
    }
}
