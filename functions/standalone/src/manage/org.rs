//! `ambit org`.

use http::Method;
use serde_json::{Value, json};

use super::Manner;
use super::things::ORGS;
use super::work::{Work, address};
use crate::operate::Failure;
use crate::remote::{Asked, Usage};
use crate::telling;

/// Organisations of the deployment: you see your own, its operator sees all.
#[derive(Debug, clap::Args)]
pub(crate) struct Org {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    manner: Manner,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List them.
    List,
    /// Show one; by default the one that you are in.
    Show { name: Option<String> },
    /// Make one. Only for the deployment's operator.
    Create { name: String },
    /// Switch one off: none of its agents does anything until it is switched on again.
    Suspend { name: Option<String> },
    /// Switch one on again.
    Resume { name: Option<String> },
}

pub(crate) fn run(options: &Org) -> Result<(), Failure> {
    let work = options.manner.open_anywhere()?;
    match &options.verb {
        Verb::List => work.list(&ORGS, &[]),
        Verb::Show { name } => {
            work.tell(&ask(&work, Method::GET, &chosen(&work, name.as_deref())?, &Value::Null)?)
        }
        Verb::Create { name } => work.tell(&ask(&work, Method::PUT, name, &Value::Null)?),
        Verb::Suspend { name } => set_status(&work, name.as_deref(), "suspended"),
        Verb::Resume { name } => set_status(&work, name.as_deref(), "active"),
    }
}

fn chosen(work: &Work, name: Option<&str>) -> Result<String, Failure> {
    let name = name.or(work.gateway.org().map(schemas::names::OrgName::as_str));
    name.map(str::to_owned).ok_or_else(|| Usage("say which organisation".to_owned()).into())
}

fn set_status(work: &Work, name: Option<&str>, status: &str) -> Result<(), Failure> {
    let name = chosen(work, name)?;
    let changed = ask(work, Method::PATCH, &name, &json!({ "status": status }))?;
    if work.json { work.tell(&changed) } else { telling::say(&format!("org `{name}` is {status}")) }
}

fn ask(work: &Work, method: Method, name: &str, body: &Value) -> Result<Value, Failure> {
    Ok(work.gateway.send_beside(&Asked::new(method, &address(&ORGS, name)).with(body))?.value)
}
