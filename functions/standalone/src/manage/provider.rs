//! `ambit provider`.

use std::path::PathBuf;

use http::Method;
use serde_json::{Map, Value, json};

use super::Manner;
use super::login::read_secret;
use super::table::{Column, table};
use super::things::PROVIDERS;
use super::work::{Work, given, patch};
use crate::operate::Failure;
use crate::remote::Asked;
use crate::telling;

/// The environment variable that may hold a client secret.
const SECRET: &str = "AMBIT_CLIENT_SECRET";

/// Providers, where people have accounts that agents act on.
#[derive(Debug, clap::Args)]
pub(crate) struct Provider {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    manner: Manner,
}

#[derive(Debug, clap::Args)]
struct About {
    /// What it knows Ambit by.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// A file with the secret it gave to Ambit, or `-` to read it from standard input. It may also be in `AMBIT_CLIENT_SECRET`.
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// What is asked of every account; what the kind needs unless you say otherwise. Can be given more than once.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// A setting of its kind, such as `host=git.acme.example`; several values with commas between. Can be given more than once.
    #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = super::pair)]
    settings: Vec<(String, String)>,
    /// An endpoint of its own, such as `token=https://…`. Can be given more than once.
    #[arg(long = "endpoint", value_name = "NAME=URL", value_parser = super::pair)]
    endpoints: Vec<(String, String)>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the kinds that there are.
    Kinds,
    /// List them.
    List,
    /// Show one, with the redirect URI that it has to know.
    Show { name: String },
    /// Add one.
    Add {
        name: String,
        /// What it is: see `ambit provider kinds`. Its name, unless you say otherwise.
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
        #[command(flatten)]
        about: About,
    },
    /// Change what is given.
    Set {
        name: String,
        #[command(flatten)]
        about: About,
    },
    /// Take it away, if nobody is connected to it and no server uses it.
    #[command(alias = "rm")]
    Delete { name: String },
    /// Look at how it is set up, ask it, and say what to do. Fails if something is wrong.
    Doctor { name: String },
}

const KINDS: &[Column] = &[
    ("KIND", &["/kind"]),
    ("TITLE", &["/title"]),
    ("CONNECTS BY", &["/way"]),
    ("REGISTER AT", &["/register/at"]),
];
const CHECKS: &[Column] =
    &[("CHECK", &["/check"]), ("OK", &["/ok"]), ("FOUND", &["/found"]), ("DO", &["/fix"])];

pub(crate) fn run(options: &Provider) -> Result<(), Failure> {
    if let Verb::Kinds = &options.verb {
        return kinds(&options.manner.open_anywhere()?);
    }
    let work = options.manner.open()?;
    match &options.verb {
        Verb::Kinds => kinds(&work),
        Verb::List => work.list(&PROVIDERS, &[]),
        Verb::Show { name } => work.show(&PROVIDERS, name),
        Verb::Add { name, kind, about } => {
            let mut body = patch([("kind", Some(json!(kind.as_ref().unwrap_or(name))))]);
            body.extend(about.members()?);
            work.create(&PROVIDERS, name, &Value::Object(body))
        }
        Verb::Set { name, about } => {
            let its_own = ["redirectUri", "hasClientSecret", "issuer", "connections", "trouble", "troubleAt"];
            work.replace(&PROVIDERS, name, &its_own, &about.members()?)
        }
        Verb::Delete { name } => work.delete(&PROVIDERS, name),
        Verb::Doctor { name } => doctor(&work, name),
    }
}

fn kinds(work: &Work) -> Result<(), Failure> {
    let found = work.gateway.send_beside(&Asked::new(Method::GET, "/provider-kinds"))?.value;
    let kinds = found.get("kinds").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    work.show_list("kinds", KINDS, kinds)
}

fn doctor(work: &Work, name: &str) -> Result<(), Failure> {
    let path = format!("{}/doctor", super::work::address(&PROVIDERS, name));
    let found = work.gateway.ask(Method::POST, &path, &json!({}))?;
    if work.json {
        telling::json(&found)?;
    } else {
        let checks = found.get("checks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        telling::say(&table(CHECKS, checks))?;
    }
    if found.get("ok") == Some(&Value::Bool(true)) {
        return Ok(());
    }
    Err(format!("provider `{name}` is not well: see what to do above").into())
}

impl About {
    fn members(&self) -> Result<Map<String, Value>, Failure> {
        let secret = match &self.client_secret_file {
            Some(file) => Some(read_secret(file)?),
            None => std::env::var(SECRET).ok().filter(|secret| !secret.is_empty()),
        };
        let mut settings: Map<String, Value> =
            self.settings.iter().map(|(name, value)| (name.clone(), words(value))).collect();
        if !self.endpoints.is_empty() {
            let endpoints: Map<String, Value> =
                self.endpoints.iter().map(|(name, url)| (name.clone(), json!(url))).collect();
            settings.insert("endpoints".to_owned(), Value::Object(endpoints));
        }
        Ok(patch([
            ("clientId", self.client_id.as_ref().map(|id| json!(id))),
            ("clientSecret", secret.map(|secret| json!(secret))),
            ("scopes", given(&self.scopes)),
            ("settings", (!settings.is_empty()).then_some(Value::Object(settings))),
        ]))
    }
}

/// Text, or several with commas between.
fn words(value: &str) -> Value {
    let several: Vec<&str> = value.split(',').collect();
    if several.len() > 1 { json!(several) } else { json!(value) }
}
