//! MCP servers.

use std::collections::BTreeSet;

use bytes::Bytes;
use schemas::decision::Status;
use schemas::ids::ServerId;
use schemas::names::{ProviderName, ServerName};
use schemas::provisioner::{Injection, Placement, WorkloadSpec};
use serde_json::Value;

use super::desk::{Change, Desk};
use super::problem::ApiError;
use super::reply::Reply;
use super::users::{active, not_deleted};
use super::{random, read};
use crate::platform::Platform;
pub(super) use crate::store::documents::SERVERS as KIND;
use crate::store::{admin, endings};

const READ_ONLY: [&str; 5] = ["name", "id", "toolboxes", "inspectedAt", "createdAt"];

fn untrusted() -> String {
    "untrusted".to_owned()
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    /// A workload spec without organisation, toolbox and server.
    #[serde(default)]
    workload: Option<Value>,
    /// Or the URL of a remote server that speaks MCP 2026-07-28.
    #[serde(default)]
    url: Option<String>,
    #[serde(default = "active")]
    status: Status,
    #[serde(default = "untrusted")]
    trust: String,
    /// Whose accounts it acts on, if any.
    #[serde(default)]
    account: Option<Account>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    provider: ProviderName,
    /// How it gets a credential. Left out: as a bearer token, for a server that speaks HTTP.
    #[serde(default)]
    inject: Vec<Injection>,
    /// What all its tools need of an account.
    #[serde(default)]
    scopes: BTreeSet<String>,
}

pub(super) async fn get<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Reply, ApiError> {
    desk.show(&desk.thing(&KIND, ServerName::parse(name)?.as_str())).await
}

pub(super) async fn put<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let name = ServerName::parse(name)?;
    let change = change(desk, &name, body)?;
    desk.put(&desk.thing(&KIND, name.as_str()), change).await
}

pub(super) async fn patch<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let name = ServerName::parse(name)?;
    let thing = desk.thing(&KIND, name.as_str());
    let (whole, held) = desk.patched(&thing, body, &READ_ONLY).await?;
    let change = change(desk, &name, whole.to_string().as_bytes())?;
    desk.put_held(&thing, Some(held), change).await
}

fn change<P: Platform>(desk: &Desk<'_, P>, name: &ServerName, body: &[u8]) -> Result<Change, ApiError> {
    let Server { workload, url, status, trust, account } = read(body)?;
    let status = not_deleted(status)?;
    if !["first_party", "verified", "community", "untrusted"].contains(&trust.as_str()) {
        return Err(ApiError::Malformed("`trust` is first_party, verified, community or untrusted".into()));
    }
    match (&workload, &url) {
        (Some(workload), None) => check_workload(desk, name, workload)?,
        (None, Some(url))
            if url::Url::parse(url)
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) => {}
        _ => {
            return Err(ApiError::Malformed(
                "a server has either `workload` or `url` (http or https)".into(),
            ));
        }
    }
    let speaks = speaks(workload.as_ref());
    let injection = match &account {
        Some(account) => injection(account, speaks)?,
        None => Vec::new(),
    };
    let text = |error: serde_json::Error| ApiError::Malformed(error.to_string());
    let now = desk.platform.now();
    let told = match &account {
        Some(account) => {
            format!("server `{name}`, {status:?}, {trust}, acts on accounts at `{}`", account.provider)
        }
        None => format!("server `{name}`, {status:?}, {trust}"),
    };
    let new = admin::NewServer {
        id: ServerId::mint(now, random(desk.platform)),
        workload: workload.map(|w| w.to_string()),
        url,
        status,
        trust: &trust,
        provider: account.as_ref().map(|account| &account.provider),
        injection: serde_json::to_string(&injection).map_err(text)?,
        scopes: scopes(&account.as_ref().map(|account| account.scopes.clone()).unwrap_or_default())?,
    };
    Ok(Change { action: "server.put", told, statements: admin::put_server(&desk.org.id, name, new, now) })
}

/// What a server speaks, as far as it matters for where it can look for a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    /// HTTP, at an address.
    Remote,
    /// HTTP, in a container.
    Http,
    /// Standard input and output.
    Stdio,
}

fn speaks(workload: Option<&Value>) -> Speaks {
    match workload.map(|workload| workload.pointer("/transport/type").and_then(Value::as_str)) {
        None => Speaks::Remote,
        Some(Some("http")) => Speaks::Http,
        Some(_) => Speaks::Stdio,
    }
}

/// How the server gets a credential: as it is said, if it can look there.
fn injection(account: &Account, speaks: Speaks) -> Result<Vec<Injection>, ApiError> {
    let malformed = |why: String| Err(ApiError::Malformed(why));
    if account.inject.is_empty() {
        let bearer = r#"[{"in":"header","name":"Authorization","value":"Bearer {token}"}]"#;
        return match speaks {
            Speaks::Remote | Speaks::Http => {
                serde_json::from_str(bearer).map_err(|error| ApiError::Malformed(error.to_string()))
            }
            Speaks::Stdio => malformed(
                "`account.inject`: say where the server looks for a credential, such as `{\"in\":\"env\",\"name\":\"GITHUB_TOKEN\",\"value\":\"{token}\"}`"
                    .to_owned(),
            ),
        };
    }
    for Injection { at, .. } in &account.inject {
        let fits = match (at, speaks) {
            (Placement::Header { .. }, speaks) => speaks != Speaks::Stdio,
            (Placement::Meta { .. }, _) => true,
            (Placement::Env { .. } | Placement::File { .. }, speaks) => speaks != Speaks::Remote,
        };
        if !fits {
            let server = match speaks {
                Speaks::Remote => "a server at an address",
                Speaks::Http => "a server that speaks HTTP in its container",
                Speaks::Stdio => "a server that speaks on stdin and stdout",
            };
            return malformed(format!("`account.inject`: {server} can't look for a credential in {at}"));
        }
    }
    let places: BTreeSet<&Placement> = account.inject.iter().map(|injection| &injection.at).collect();
    if places.len() < account.inject.len() {
        return malformed("`account.inject` names a place twice".to_owned());
    }
    Ok(account.inject.clone())
}

/// Scopes as they are stored (RFC 6749 §3.3).
pub(super) fn scopes(scopes: &BTreeSet<String>) -> Result<String, ApiError> {
    let is_scope = |scope: &String| {
        (1..=256).contains(&scope.len())
            && scope.bytes().all(|c| c.is_ascii_graphic() && !matches!(c, b'"' | b'\\'))
    };
    if scopes.len() > 100 || !scopes.iter().all(is_scope) {
        return Err(ApiError::Malformed("`scopes` are at most 100 words without spaces and quotes".into()));
    }
    serde_json::to_string(scopes).map_err(|error| ApiError::Malformed(error.to_string()))
}

/// Whether the workload is one, once we say for whom: a placeholder stands for the toolbox.
fn check_workload<P: Platform>(
    desk: &Desk<'_, P>,
    name: &ServerName,
    workload: &Value,
) -> Result<(), ApiError> {
    let mut whole = workload.clone();
    let fields =
        whole.as_object_mut().ok_or_else(|| ApiError::Malformed("`workload` is an object".into()))?;
    for (key, value) in [("org", desk.name.as_str()), ("toolbox", "any"), ("server", name.as_str())] {
        if fields.insert(key.to_owned(), value.into()).is_some() {
            return Err(ApiError::Malformed(format!("`workload.{key}` is not yours to say: leave it out")));
        }
    }
    if fields.contains_key("subject") {
        return Err(ApiError::Malformed("`workload.subject` is not yours to say: see `account`".into()));
    }
    serde_json::from_value::<WorkloadSpec>(whole)
        .map(drop)
        .map_err(|error| ApiError::Malformed(format!("`workload`: {error}")))
}

/// Takes a server out of every toolbox, with its tools, their pins, and what was granted of it.
pub(super) async fn delete<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Reply, ApiError> {
    let name = ServerName::parse(name)?;
    let statements = endings::server(&desk.org.id, &name);
    let change = Change { action: "server.delete", told: format!("server `{name}`"), statements };
    desk.delete(&desk.thing(&KIND, name.as_str()), change).await
}

/// The server of that name.
pub(super) async fn find<P: Platform>(desk: &Desk<'_, P>, name: &ServerName) -> Result<ServerId, ApiError> {
    let id = admin::server(desk.platform, &desk.org.id, name).await?;
    id.ok_or_else(|| ApiError::NotFound(format!("server `{name}`")))
}
