//! `ambit idp`.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::Manner;
use super::login::read_secret;
use super::things::IDENTITY_PROVIDERS;
use super::work::{given, patch};
use crate::operate::Failure;

/// Identity providers, where people of the organisation sign in (`OpenID` Connect).
#[derive(Debug, clap::Args)]
pub(crate) struct Idp {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    manner: Manner,
}

#[derive(Debug, clap::Args)]
struct About {
    /// A file with the secret it gave to Ambit, or `-` to read it from standard input. Without one Ambit is a public client.
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// What is asked of it; `openid`, `profile` and `email` unless you say otherwise. Can be given more than once.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// The claim that names people here; by default their verified address.
    #[arg(long, value_name = "CLAIM")]
    name_claim: Option<String>,
    /// The claim that lists their groups.
    #[arg(long, value_name = "CLAIM")]
    groups_claim: Option<String>,
    /// Whoever is in this group is in this team. Can be given more than once.
    #[arg(long = "team", value_name = "GROUP=TEAM", value_parser = super::pair)]
    teams: Vec<(String, String)>,
    /// Only people with a verified address in this domain. Can be given more than once.
    #[arg(long = "domain", value_name = "DOMAIN")]
    domains: Vec<String>,
    /// Who may sign in: `known` for those who are linked already, `everyone` for whoever it knows.
    #[arg(long, value_parser = ["known", "everyone"])]
    admits: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List them.
    List,
    /// Show one, with the redirect URI that it has to know.
    Show { name: String },
    /// Add one.
    Add {
        name: String,
        /// Its issuer, exactly as it calls itself: `https://idp.example`.
        #[arg(long, value_name = "URL")]
        issuer: String,
        /// What it knows Ambit by.
        #[arg(long, value_name = "ID")]
        client_id: String,
        #[command(flatten)]
        about: About,
    },
    /// Change what is given.
    Set {
        name: String,
        /// Its issuer.
        #[arg(long, value_name = "URL")]
        issuer: Option<String>,
        /// What it knows Ambit by.
        #[arg(long, value_name = "ID")]
        client_id: Option<String>,
        #[command(flatten)]
        about: About,
    },
    /// Take it away: nobody signs in there any more.
    Delete { name: String },
}

pub(crate) fn run(options: &Idp) -> Result<(), Failure> {
    let work = options.manner.open()?;
    match &options.verb {
        Verb::List => work.list(&IDENTITY_PROVIDERS, &[]),
        Verb::Show { name } => work.show(&IDENTITY_PROVIDERS, name),
        Verb::Add { name, issuer, client_id, about } => {
            let mut body = patch([
                ("issuer", Some(json!(issuer))),
                ("clientId", Some(json!(client_id))),
                ("admits", Some(json!("known"))),
            ]);
            body.extend(about.members()?);
            work.create(&IDENTITY_PROVIDERS, name, &Value::Object(body))
        }
        Verb::Set { name, issuer, client_id, about } => {
            let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
            let mut change = patch([("issuer", text(issuer)), ("clientId", text(client_id))]);
            change.extend(about.members()?);
            work.replace(&IDENTITY_PROVIDERS, name, &["hasClientSecret", "redirectUri"], &change)
        }
        Verb::Delete { name } => work.delete(&IDENTITY_PROVIDERS, name),
    }
}

impl About {
    fn members(&self) -> Result<Map<String, Value>, Failure> {
        let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
        let teams: Map<String, Value> =
            self.teams.iter().map(|(group, team)| (group.clone(), json!(team))).collect();
        let secret = self.client_secret_file.as_deref().map(read_secret).transpose()?;
        Ok(patch([
            ("clientSecret", text(&secret)),
            ("scopes", given(&self.scopes)),
            ("nameClaim", text(&self.name_claim)),
            ("groupsClaim", text(&self.groups_claim)),
            ("teams", (!teams.is_empty()).then_some(Value::Object(teams))),
            ("domains", given(&self.domains)),
            ("admits", text(&self.admits)),
        ]))
    }
}
