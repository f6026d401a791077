//! A running gateway, over its management API.

pub(crate) mod credentials;
mod oauth;
mod request;
pub(crate) mod sign_in;

use std::path::PathBuf;

use http::Method;
use schemas::names::OrgName;
use serde_json::Value;
use standalone::fetch::Fetch;

use self::credentials::Credentials;
pub(crate) use self::request::{Answer, Asked, Outdated, part};
use crate::operate::Failure;

/// Where a gateway is unless somebody says otherwise.
const NEAR: &str = "http://127.0.0.1:8787";

/// What was asked for can't be done as it was put: another command line can.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Which gateway, and who asks.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Gateway")]
pub(crate) struct At {
    /// The gateway's URL; by default the one you signed in to last, or else `http://127.0.0.1:8787`.
    #[arg(long, value_name = "URL", env = "AMBIT_GATEWAY", hide_env_values = true, global = true)]
    pub(crate) gateway: Option<String>,
    /// The organisation; by default the one you signed in to.
    #[arg(long, env = "AMBIT_ORG", hide_env_values = true, global = true)]
    pub(crate) org: Option<String>,
    /// A file with your key for the management API; or put the key into `AMBIT_KEY`. By default you are who `ambit login` made you.
    #[arg(long, value_name = "FILE", env = "AMBIT_KEY_FILE", hide_env_values = true, global = true)]
    pub(crate) key_file: Option<PathBuf>,
}

/// A gateway, and the proof of who asks.
pub(crate) struct Gateway {
    runtime: tokio::runtime::Runtime,
    fetch: Fetch,
    url: String,
    org: Option<OrgName>,
    token: String,
}

impl At {
    /// The gateway of an organisation.
    pub(crate) fn open(&self) -> Result<Gateway, Failure> {
        let gateway = self.open_anywhere()?;
        match gateway.org {
            Some(_) => Ok(gateway),
            None => Err(Usage(
                "there is no organisation: name one with --org or AMBIT_ORG, or sign in with `ambit login`"
                    .to_owned(),
            )
            .into()),
        }
    }

    /// The gateway, whether or not an organisation is named.
    pub(crate) fn open_anywhere(&self) -> Result<Gateway, Failure> {
        let credentials = Credentials::of_this_person();
        let url = self.url(&credentials)?;
        let known = credentials.read()?.gateways.remove(&url);
        let org = match (&self.org, known.as_ref().and_then(|known| known.org.as_deref())) {
            (Some(org), _) => Some(OrgName::parse(org)?),
            (None, Some(org)) => Some(OrgName::parse(org)?),
            (None, None) => None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let fetch = Fetch::default();
        let token = match self.key()? {
            Some(key) => key,
            None => runtime.block_on(credentials.token(&fetch, &url))?.ok_or_else(|| {
                Usage(format!(
                    "nobody is signed in to `{url}`: run `ambit login {url}`, put a key into AMBIT_KEY, or name its file with --key-file"
                ))
            })?,
        };
        Ok(Gateway { runtime, fetch, url, org, token })
    }

    /// The URL that is meant, without a slash at its end.
    pub(crate) fn url(&self, credentials: &Credentials) -> Result<String, Failure> {
        match &self.gateway {
            Some(url) => tidy(url),
            None => Ok(credentials.read()?.current.unwrap_or_else(|| NEAR.to_owned())),
        }
    }

    /// The key that was given for this command.
    fn key(&self) -> Result<Option<String>, Failure> {
        let key = match (&self.key_file, std::env::var("AMBIT_KEY")) {
            (Some(path), _) => std::fs::read_to_string(path)
                .map_err(|error| format!("`{}` can't be read: {error}", path.display()))?,
            (None, Ok(key)) => key,
            (None, Err(_)) => return Ok(None),
        };
        Ok(Some(key.trim().to_owned()).filter(|key| !key.is_empty()))
    }
}

/// The URL of a gateway, as it is kept: without a slash at its end.
pub(crate) fn tidy(url: &str) -> Result<String, Failure> {
    let parsed = url::Url::parse(url).ok().filter(|parsed| {
        matches!(parsed.scheme(), "http" | "https") && parsed.has_host() && parsed.path() == "/"
    });
    match parsed {
        Some(parsed) if parsed.query().is_none() => Ok(parsed.as_str().trim_end_matches('/').to_owned()),
        _ => Err(Usage(format!(
            "`{url}` is not the URL of a gateway: write `https://ambit.example`, without a path"
        ))
        .into()),
    }
}

impl Gateway {
    /// Asks with a key or token that may not be good.
    pub(crate) fn with_token(url: String, org: Option<OrgName>, token: String) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, fetch: Fetch::default(), url, org, token })
    }

    /// The organisation, if one is meant.
    pub(crate) fn org(&self) -> Option<&OrgName> {
        self.org.as_ref()
    }

    /// Reads something below the organisation.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, &Value::Null)
    }

    /// Asks for something below the organisation. What went wrong is told in the gateway's words.
    pub(crate) fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value, Failure> {
        Ok(self.send(&Asked::new(method, path).with(body))?.value)
    }

    /// The same, with the answer whole.
    pub(crate) fn send(&self, asked: &Asked) -> Result<Answer, Failure> {
        let org = self.org.as_ref().map(|org| format!("/orgs/{org}")).unwrap_or_default();
        self.runtime.block_on(asked.send(&self.fetch, &format!("{}/api/v1{org}", self.url), &self.token))
    }

    /// Asks for something beside the organisations.
    pub(crate) fn send_beside(&self, asked: &Asked) -> Result<Answer, Failure> {
        self.runtime.block_on(asked.send(&self.fetch, &format!("{}/api/v1", self.url), &self.token))
    }
}
