//! Agents.

use std::collections::BTreeSet;

use bytes::Bytes;
use schemas::decision::Status;
use schemas::ids::AgentId;
use schemas::names::{AgentName, UserName};
use serde_json::json;

use super::desk::{Change, Desk};
use super::problem::ApiError;
use super::reply::Reply;
use super::users::{self, active, not_deleted};
use super::{random, read};
use crate::platform::Platform;
pub(super) use crate::store::documents::AGENTS as KIND;
use crate::store::{admin, endings};

const READ_ONLY: [&str; 4] = ["name", "id", "teams", "createdAt"];

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Agent {
    /// The person who answers for it.
    #[serde(default)]
    owner: Option<UserName>,
    /// The client that it is at an issuer of the organisation.
    #[serde(default)]
    oauth_client: Option<String>,
    /// Which OAuth clients people may let act as it: client ids, `https://host/*`, or `*`.
    #[serde(default)]
    clients: BTreeSet<String>,
    #[serde(default = "active")]
    status: Status,
}

pub(super) async fn get<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Reply, ApiError> {
    desk.show(&desk.thing(&KIND, AgentName::parse(name)?.as_str())).await
}

pub(super) async fn put<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let name = AgentName::parse(name)?;
    let change = change(desk, &name, body).await?;
    desk.put(&desk.thing(&KIND, name.as_str()), change).await.map_err(|error| taken(&error).unwrap_or(error))
}

pub(super) async fn patch<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let name = AgentName::parse(name)?;
    let thing = desk.thing(&KIND, name.as_str());
    let (whole, held) = desk.patched(&thing, body, &READ_ONLY).await?;
    let change = change(desk, &name, whole.to_string().as_bytes()).await?;
    desk.put_held(&thing, Some(held), change).await.map_err(|error| taken(&error).unwrap_or(error))
}

async fn change<P: Platform>(desk: &Desk<'_, P>, name: &AgentName, body: &[u8]) -> Result<Change, ApiError> {
    let Agent { owner, oauth_client, clients, status } = read(body)?;
    let status = not_deleted(status)?;
    if let Some(wrong) = clients.iter().find(|client| !is_client(client)) {
        return Err(ApiError::Malformed(format!(
            "`{}` is no client: write a client id, `https://host/*` or `*`",
            wrong.chars().filter(|c| !c.is_control()).take(80).collect::<String>()
        )));
    }
    let owner = users::maybe(desk, owner.as_ref()).await?;
    let now = desk.platform.now();
    let agent = admin::NewAgent {
        id: AgentId::mint(now, random(desk.platform)),
        owner: owner.as_ref(),
        oauth_client: oauth_client.as_deref(),
        clients: json!(clients).to_string(),
        status,
    };
    let statements = vec![admin::put_agent(&desk.org.id, name, &agent, now)];
    Ok(Change { action: "agent.put", told: format!("agent `{name}`, {status:?}"), statements })
}

/// A client id (RFC 6749 §2.2), all documents of one host, or everything. A star anywhere else would mean nothing.
fn is_client(text: &str) -> bool {
    let plain = |text: &str| text.bytes().all(|c| c.is_ascii_graphic() && c != b'*');
    let host = text.strip_prefix("https://").and_then(|rest| rest.strip_suffix("/*"));
    match host {
        Some(host) => {
            url::Url::parse(&format!("https://{host}/"))
                .is_ok_and(|url| url.path() == "/" && url.username().is_empty() && url.query().is_none())
                && plain(host)
        }
        None => text == "*" || (!text.is_empty() && text.len() <= 2048 && plain(text)),
    }
}

/// Takes an agent out: its keys, grants, teams and what people let it do go; the name stays its own in records.
pub(super) async fn delete<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Reply, ApiError> {
    let name = AgentName::parse(name)?;
    let thing = desk.thing(&KIND, name.as_str());
    let statements = endings::agent(&desk.org.id, &name, desk.platform.now());
    desk.delete(&thing, Change { action: "agent.delete", told: format!("agent `{name}`"), statements }).await
}

/// Two agents can't be one client.
fn taken(error: &ApiError) -> Option<ApiError> {
    let ApiError::Platform(cause) = error else { return None };
    cause
        .to_string()
        .contains("agents.oauth_client")
        .then(|| ApiError::Conflict("another agent is this `oauthClient` already".into()))
}

/// The agent of that name.
pub(super) async fn find<P: Platform>(desk: &Desk<'_, P>, name: &AgentName) -> Result<AgentId, ApiError> {
    let id = admin::agent(desk.platform, &desk.org.id, name).await?;
    id.ok_or_else(|| ApiError::NotFound(format!("agent `{name}`")))
}

#[cfg(test)]
mod tests {
    use super::is_client;

    #[test]
    fn clients() {
        for good in [
            "*",
            "client-1",
            "https://host.example/*",
            "https://host.example:8443/*",
            "https://host.example/client.json",
        ] {
            assert!(is_client(good), "{good}");
        }
        for bad in [
            "",
            "a b",
            "a*",
            "https://*/*",
            "https://*.example/*",
            "https://a.example/b/*",
            "http://a.example/*",
            "é",
        ] {
            assert!(!is_client(bad), "{bad}");
        }
    }
}
