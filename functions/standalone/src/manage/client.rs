//! `ambit client`.

use std::path::{Path, PathBuf};

use http::Method;
use serde_json::{Map, Value, json};

use super::Manner;
use super::things::{AUTHORIZATIONS, CLIENTS};
use super::work::{address, given, patch};
use crate::operate::Failure;

/// OAuth clients that the organisation registers: programs that people let in, and agents with a secret or key of their own.
///
/// Most clients need none of this: they have a document at their URL, or register themselves; which of them may act as an agent says
/// `ambit agent allow`.
#[derive(Debug, clap::Args)]
pub(crate) struct Client {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    manner: Manner,
}

#[derive(Debug, clap::Args)]
struct About {
    /// What people are shown; without it, its id.
    #[arg(long)]
    title: Option<String>,
    /// Where people's answers may be sent. Can be given more than once; without one it is a client without people.
    #[arg(long = "redirect-uri", value_name = "URI")]
    redirect_uris: Vec<String>,
    /// What it uses: `authorization_code`, `refresh_token`, `client_credentials` and so on. Can be given more than once.
    #[arg(long = "grant-type", value_name = "TYPE")]
    grant_types: Vec<String>,
    /// How it proves itself; by a secret unless you say otherwise.
    #[arg(long, value_parser = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"])]
    method: Option<String>,
    /// A file with its public keys, as a JSON Web Key Set.
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_uri")]
    jwks: Option<PathBuf>,
    /// Where its public keys are.
    #[arg(long, value_name = "URL")]
    jwks_uri: Option<String>,
    /// The agent that it is, with no person behind it.
    #[arg(long)]
    agent: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List them.
    List {
        /// Only those that are this agent.
        #[arg(long)]
        agent: Option<String>,
    },
    /// Show one.
    Show { name: String },
    /// Register one, and show its secret this once, if it has one.
    Create {
        name: String,
        #[command(flatten)]
        about: About,
    },
    /// Change what is given.
    Set {
        name: String,
        #[command(flatten)]
        about: About,
    },
    /// Give one a new secret, and show it this once. The old one is worth nothing at once.
    Rotate { name: String },
    /// Take one away, and with it everything that it was let do.
    Delete { name: String },
    /// List what clients of every kind were let do, and still may.
    Authorizations,
    /// End one of these: its tokens are worth nothing, and the person is asked again.
    End { authorization: String },
}

pub(crate) fn run(options: &Client) -> Result<(), Failure> {
    let work = options.manner.open()?;
    match &options.verb {
        Verb::List { agent } => work.list(&CLIENTS, &[("agent", agent.as_deref())]),
        Verb::Show { name } => work.show(&CLIENTS, name),
        Verb::Create { name, about } => work.create(&CLIENTS, name, &Value::Object(about.members()?)),
        Verb::Set { name, about } => {
            work.replace(&CLIENTS, name, &["clientId", "hasSecret"], &about.members()?)
        }
        Verb::Rotate { name } => {
            let path = format!("{}/secret", address(&CLIENTS, name));
            work.tell(&work.gateway.ask(Method::POST, &path, &Value::Null)?)
        }
        Verb::Delete { name } => work.delete(&CLIENTS, name),
        Verb::Authorizations => work.list(&AUTHORIZATIONS, &[]),
        Verb::End { authorization } => {
            work.end(&address(&AUTHORIZATIONS, authorization), &format!("`{authorization}` is ended"))
        }
    }
}

impl About {
    fn members(&self) -> Result<Map<String, Value>, Failure> {
        let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
        let jwks = self.jwks.as_deref().map(key_set).transpose()?;
        Ok(patch([
            ("title", text(&self.title)),
            ("redirectUris", given(&self.redirect_uris)),
            ("grantTypes", given(&self.grant_types)),
            ("tokenEndpointAuthMethod", text(&self.method)),
            ("jwks", jwks),
            ("jwksUri", text(&self.jwks_uri)),
            ("agent", text(&self.agent)),
        ]))
    }
}

fn key_set(file: &Path) -> Result<Value, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("`{}` can't be read: {error}", file.display()))?;
    let set = serde_json::from_str(&text);
    set.map_err(|error| format!("`{}` is no key set: {error}", file.display()).into())
}
