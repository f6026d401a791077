//! `ambit user`.

use http::Method;
use serde_json::{Value, json};

use super::Manner;
use super::things::USERS;
use super::work::{Work, address, given, patch};
use crate::operate::Failure;
use crate::telling;

/// People of the organisation.
#[derive(Debug, clap::Args)]
pub(crate) struct User {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    manner: Manner,
}

#[derive(Debug, clap::Args)]
struct About {
    /// Their address.
    #[arg(long)]
    email: Option<String>,
    /// What they do: owner, policy-author, operator, auditor, approver, member, or what your policies name. Can be given more than once.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List them.
    List {
        /// Only those that are `active` or `suspended`.
        #[arg(long)]
        status: Option<String>,
        /// Only whoever has this address.
        #[arg(long)]
        email: Option<String>,
    },
    /// Show one.
    Show { name: String },
    /// Make one. To let them in, `invite` does that and makes a link as well.
    Create {
        name: String,
        #[command(flatten)]
        about: About,
    },
    /// Make one, and a link with which they sign in once.
    Invite {
        name: String,
        #[command(flatten)]
        about: About,
        /// A team that they are in. Can be given more than once.
        #[arg(long = "team", value_name = "TEAM")]
        teams: Vec<String>,
    },
    /// Change what is given; roles that are given replace those that were.
    Set {
        name: String,
        #[command(flatten)]
        about: About,
        /// They have no role.
        #[arg(long, conflicts_with = "roles")]
        no_roles: bool,
    },
    /// Make a link with which they sign in once, within a day.
    Link { name: String },
    /// End all sessions in which they are signed in.
    SignOut { name: String },
    /// Switch them off: neither they nor agents that act for them do anything.
    Suspend { name: String },
    /// Switch them on again.
    Resume { name: String },
    /// Take them away, for good. What they did stays on record.
    Delete { name: String },
}

pub(crate) fn run(options: &User) -> Result<(), Failure> {
    let work = options.manner.open()?;
    match &options.verb {
        Verb::List { status, email } => {
            work.list(&USERS, &[("status", status.as_deref()), ("email", email.as_deref())])
        }
        Verb::Show { name } => work.show(&USERS, name),
        Verb::Create { name, about } => work.create(&USERS, name, &Value::Object(about.members())),
        Verb::Invite { name, about, teams } => {
            let mut body = about.members();
            body.insert("name".to_owned(), json!(name));
            body.extend(patch([("teams", given(teams))]));
            link(&work, "/invitations", &Value::Object(body))
        }
        Verb::Set { name, about, no_roles } => {
            let mut change = about.members();
            change.extend(patch([("roles", no_roles.then(|| json!([])))]));
            work.change(&USERS, name, change)
        }
        Verb::Link { name } => link(&work, &format!("{}/links", address(&USERS, name)), &Value::Null),
        Verb::SignOut { name } => {
            let path = format!("{}/sessions", address(&USERS, name));
            work.end(&path, &format!("user `{name}` is signed in nowhere"))
        }
        Verb::Suspend { name } => work.set_status(&USERS, name, "suspended"),
        Verb::Resume { name } => work.set_status(&USERS, name, "active"),
        Verb::Delete { name } => work.delete(&USERS, name),
    }
}

impl About {
    fn members(&self) -> serde_json::Map<String, Value> {
        patch([("email", self.email.as_ref().map(|email| json!(email))), ("roles", given(&self.roles))])
    }
}

fn link(work: &Work, path: &str, body: &Value) -> Result<(), Failure> {
    let made = work.gateway.ask(Method::POST, path, body)?;
    if work.json {
        return work.tell(&made);
    }
    let text = |member: &str| made.get(member).and_then(Value::as_str).unwrap_or_default();
    let until = made.get("expiresAt").and_then(Value::as_i64).map(telling::time).unwrap_or_default();
    telling::say(&format!("{} signs in here, once, until {until} UTC:\n\n  {}", text("name"), text("url")))
}
