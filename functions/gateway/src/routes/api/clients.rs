//! OAuth clients that an organisation registers: its own programs, which people let in, and agents that have a secret or key.

use bytes::Bytes;
use schemas::ids::Sha256Hex;
use schemas::names::{AgentName, ClientName};
use serde_json::Value;

use super::desk::{Change, Desk, missing};
use super::problem::ApiError;
use super::reply::Reply;
use super::{agents, read};
use crate::clients::{Client, Kind, Metadata, Method};
use crate::egress;
use crate::platform::{Platform, Statement};
use crate::routes::oauth_server;
use crate::secret::Secret;
use crate::store::clients as store;
pub(super) use crate::store::documents::CLIENTS as KIND;
use crate::store::documents::{self, Thing};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Registration {
    /// What people are shown; without it, its id.
    #[serde(default)]
    title: Option<String>,
    /// Where answers may be sent; needed for codes.
    #[serde(default)]
    redirect_uris: Vec<String>,
    /// What it uses (RFC 7591 §2); without it codes and refresh tokens if it has redirect URIs, or else client credentials.
    #[serde(default)]
    grant_types: Option<Vec<String>>,
    /// How it proves itself; without it by a secret, sent by Basic.
    #[serde(default)]
    token_endpoint_auth_method: Option<Method>,
    #[serde(default)]
    jwks: Option<jsonwebtoken::jwk::JwkSet>,
    #[serde(default)]
    jwks_uri: Option<String>,
    /// The agent that it is, with no person behind it.
    #[serde(default)]
    agent: Option<AgentName>,
}

pub(super) async fn get<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Reply, ApiError> {
    desk.show(&thing(desk, &ClientName::parse(name)?)).await
}

fn thing<P: Platform>(desk: &Desk<'_, P>, name: &ClientName) -> Thing {
    desk.thing(&KIND, name.as_str())
}

/// The id that other parties know it by: names of clients are the organisation's own, ids are the deployment's.
fn id<P: Platform>(desk: &Desk<'_, P>, name: &ClientName) -> String {
    format!("{}.{name}", desk.name)
}

/// Registers a client, or changes what it said of itself. A new one gets a secret, if it proves itself by one.
pub(super) async fn put<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let name = ClientName::parse(name)?;
    let Registration { title, redirect_uris, grant_types, token_endpoint_auth_method, jwks, jwks_uri, agent } =
        read(body)?;
    let agent = match &agent {
        Some(agent) => Some(agents::find(desk, agent).await?),
        None => None,
    };
    let grant_types = grant_types.unwrap_or_else(|| {
        let usual: &[&str] = if redirect_uris.is_empty() {
            &["client_credentials"]
        } else {
            &["authorization_code", "refresh_token"]
        };
        usual.iter().map(ToString::to_string).collect()
    });
    if let Some(other) = grant_types.iter().find(|grant| !oauth_server::GRANTS.contains(&grant.as_str())) {
        let shown: String = other.chars().filter(|c| !c.is_control()).take(80).collect();
        return Err(ApiError::Malformed(format!(
            "grant type `{shown}` is not one of {}",
            oauth_server::GRANTS.join(", ")
        )));
    }
    let metadata = Metadata {
        client_name: title,
        redirect_uris,
        grant_types: Some(grant_types),
        token_endpoint_auth_method: Some(token_endpoint_auth_method.unwrap_or(Method::ClientSecretBasic)),
        jwks,
        jwks_uri,
        ..Metadata::default()
    };
    metadata.check().map_err(|error| ApiError::Malformed(error.to_string()))?;
    if let Some(uri) = &metadata.jwks_uri {
        egress::public_url(&desk.gateway.settings, uri)
            .map_err(|error| ApiError::Malformed(error.to_string()))?;
    }
    let known = documents::get(desk.platform, &thing(desk, &name)).await?;
    let had_secret = known
        .and_then(|text| serde_json::from_str::<Value>(&text).ok())
        .is_some_and(|known| known.get("hasSecret") == Some(&Value::Bool(true)));
    let secret = (metadata.method().has_secret() && !had_secret).then(|| oauth_server::secret(desk.platform));
    let client = Client {
        id: id(desk, &name),
        kind: Kind::Registered,
        org: Some(desk.org.id.clone()),
        agent,
        secret_hash: secret.as_ref().map(hash),
        metadata,
    };
    let statement = store::put(&client, &desk.org.id, desk.platform.now())?;
    let change = Change {
        action: "client.put",
        told: format!("OAuth client `{}`", client.id),
        statements: vec![statement],
    };
    let reply = desk.put(&thing(desk, &name), change).await?;
    Ok(match secret {
        Some(secret) => reply.with("clientSecret", secret.expose()),
        None => reply,
    })
}

fn hash(secret: &Secret) -> String {
    Sha256Hex::of(secret.expose().as_bytes()).as_str().to_owned()
}

/// Gives a client another secret, at once. This answer is the only place where it ever shows.
pub(super) async fn rotate<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Reply, ApiError> {
    let name = ClientName::parse(name)?;
    let thing = thing(desk, &name);
    let known = documents::get(desk.platform, &thing).await?.ok_or_else(|| missing(&thing))?;
    let known: Value = serde_json::from_str(&known).unwrap_or_default();
    if known.get("hasSecret") != Some(&Value::Bool(true)) {
        return Err(ApiError::Conflict("this client proves itself without a secret".into()));
    }
    let secret = oauth_server::secret(desk.platform);
    let statement: Statement = store::put_secret(&id(desk, &name), &desk.org.id, &hash(&secret));
    let change = Change {
        action: "client.secret",
        told: format!("a new secret of OAuth client `{}`", id(desk, &name)),
        statements: vec![statement],
    };
    Ok(desk.put(&thing, change).await?.with("clientSecret", secret.expose()))
}

/// Takes a client away, and with it everything that it was let do.
pub(super) async fn delete<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Reply, ApiError> {
    let name = ClientName::parse(name)?;
    let statements = store::remove(&id(desk, &name), &desk.org.id, desk.platform.now()).into();
    let change =
        Change { action: "client.delete", told: format!("OAuth client `{}`", id(desk, &name)), statements };
    desk.delete(&thing(desk, &name), change).await
}
