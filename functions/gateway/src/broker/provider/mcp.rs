//! An MCP server as provider (MCP 2026-07-28, "Authorization", from the client's side): which authorization server it trusts (RFC 9728),
//! what that says of itself (RFC 8414), and who we are there: the client that the operator registered, or else our own metadata
//! document, or else one that we register ourselves (RFC 7591). What was found is kept for the issuer that it was found for.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use schemas::names::{OrgName, ProviderName};
use serde_json::{Value, json};
use url::Url;

use super::profile::Proof;
use super::{Endpoints, Provider, ProviderError, redirect_uri, secret};
use crate::Gateway;
use crate::egress;
use crate::platform::Platform;
use crate::secret::Secret;
use crate::store::providers::Provider as Row;

/// No document is larger, in bytes.
const LARGEST: usize = 256 * 1024;

/// Who we are there, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum How {
    /// As the operator registered us.
    Given,
    /// As our own document says.
    Document,
    /// As we registered ourselves.
    Registered,
}

/// What was found, as it is kept.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Discovered {
    issuer: String,
    authorize: String,
    token: String,
    #[serde(default)]
    revoke: Option<String>,
    #[serde(default)]
    jwks: Option<String>,
    promises_iss: bool,
    resource: String,
    /// What the server says it needs.
    pub(super) scopes: BTreeSet<String>,
    /// Whether there are refresh tokens for those who ask for them.
    pub(super) offline: bool,
    how: How,
    client_id: String,
    /// Of a client that we registered; sealed.
    #[serde(default)]
    client_secret: Option<String>,
    proof: Proof,
}

/// What a server says of itself (RFC 9728 §2).
#[derive(Debug, serde::Deserialize)]
struct Protected {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Option<BTreeSet<String>>,
}

/// What an authorization server says of itself (RFC 8414 §2).
#[derive(Debug, serde::Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(default)]
    registration_endpoint: Option<String>,
    #[serde(default)]
    revocation_endpoint: Option<String>,
    #[serde(default)]
    jwks_uri: Option<String>,
    #[serde(default)]
    scopes_supported: Option<Vec<String>>,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    client_id_metadata_document_supported: bool,
}

/// What the server's challenge says (RFC 9728 §5.1, RFC 6750 §3).
#[derive(Debug, Default, PartialEq, Eq)]
struct Challenge {
    metadata: Option<String>,
    scopes: Option<BTreeSet<String>>,
}

impl Discovered {
    /// Reads what was kept; nothing if nothing was.
    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }

    /// Puts it onto a provider.
    pub(super) async fn apply<P: Platform>(
        &self,
        gateway: &Gateway,
        platform: &P,
        row: &Row,
        provider: &mut Provider,
    ) -> Result<(), ProviderError> {
        provider.endpoints = Endpoints {
            authorize: self.authorize.clone(),
            token: self.token.clone(),
            revoke: self.revoke.clone(),
            account: None,
            jwks: self.jwks.clone(),
            issuer: Some(self.issuer.clone()),
            promises_iss: self.promises_iss,
            resource: Some(self.resource.clone()),
        };
        provider.client.id.clone_from(&self.client_id);
        provider.client.proof = self.proof;
        provider.client.secret = match (&self.client_secret, self.how) {
            (Some(sealed), _) => Some(secret::open_as(gateway, platform, row, sealed).await?),
            (None, How::Given) => secret::open(gateway, platform, row).await?,
            (None, How::Document | How::Registered) => None,
        };
        Ok(())
    }
}

/// Asks the server and its authorization server anew. Answers what was found, and whether that is to be kept.
pub(super) async fn discover<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    row: &Row,
    provider: &Provider,
) -> Result<(Discovered, bool), ProviderError> {
    let server = provider.values.get(provider.profile, "server").unwrap_or_default();
    let challenge = challenge(gateway, platform, server).await?;
    let protected = protected(gateway, platform, server, challenge.metadata.as_deref()).await?;
    let metadata = metadata(gateway, platform, &protected).await?;
    let known = Discovered::read(&row.discovered).filter(|known| known.issuer == metadata.issuer);
    let methods = metadata.token_endpoint_auth_methods_supported.as_deref();
    let takes = |method: &str| methods.is_some_and(|methods| methods.iter().any(|one| one == method));
    let in_body = takes("client_secret_post") && !takes("client_secret_basic");
    let (how, client_id, client_secret, proof) = if !row.client_id.is_empty() {
        let proof = if in_body { Proof::Post } else { Proof::Basic };
        (How::Given, row.client_id.clone(), None, proof)
    } else if metadata.client_id_metadata_document_supported
        && gateway.settings.public_url.starts_with("https://")
    {
        (How::Document, client_document_url(gateway, &provider.org.name, &provider.name), None, Proof::Post)
    } else if let Some(known) = known.as_ref().filter(|known| known.how == How::Registered) {
        (known.how, known.client_id.clone(), known.client_secret.clone(), known.proof)
    } else {
        let registered = register(gateway, platform, provider, &metadata).await?;
        let sealed = match &registered.secret {
            Some(found) => Some(secret::seal(gateway, platform, row, found).await?),
            None => None,
        };
        (How::Registered, registered.id, sealed, registered.proof)
    };
    let scopes = challenge.scopes.or(protected.scopes_supported).unwrap_or_default();
    let discovered = Discovered {
        offline: metadata.scopes_supported.iter().flatten().any(|scope| scope == "offline_access"),
        issuer: metadata.issuer,
        authorize: metadata.authorization_endpoint,
        token: metadata.token_endpoint,
        revoke: metadata.revocation_endpoint,
        jwks: metadata.jwks_uri,
        promises_iss: metadata.authorization_response_iss_parameter_supported,
        resource: protected.resource,
        scopes,
        how,
        client_id,
        client_secret,
        proof,
    };
    let new = Discovered::read(&row.discovered).map(|known| known.to_json()) != Some(discovered.to_json());
    Ok((discovered, new))
}

/// Where our own metadata is, as a client of this provider: of each its own, as each has a redirect URI of its own.
fn client_document_url(gateway: &Gateway, org: &OrgName, name: &ProviderName) -> String {
    format!("{}/connect/{org}/{name}/client.json", gateway.settings.public_url)
}

/// What stands there (draft-ietf-oauth-client-id-metadata-document §4).
pub(crate) fn client_document(gateway: &Gateway, org: &OrgName, name: &ProviderName) -> Value {
    let mut document = client_metadata(gateway, &redirect_uri(gateway, org, name));
    if let Some(members) = document.as_object_mut() {
        members.insert("client_id".to_owned(), client_document_url(gateway, org, name).into());
    }
    document
}

async fn ask<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: http::Result<Request<Bytes>>,
) -> Result<http::Response<Bytes>, ProviderError> {
    let request = request.map_err(|_| ProviderError::Discovery("its address is no URL".to_owned()))?;
    let url = request.uri().to_string();
    egress::public_url(&gateway.settings, &url)?;
    egress::ask(platform, egress::guarded(&gateway.settings, request), LARGEST)
        .await
        .map_err(|error| ProviderError::Discovery(format!("`{url}`: {}", error.told())))
}

/// The document at an address; nothing if there is none.
async fn document<P: Platform, T: serde::de::DeserializeOwned>(
    gateway: &Gateway,
    platform: &P,
    url: &str,
) -> Result<Option<T>, ProviderError> {
    let request = Request::get(url).header(header::ACCEPT, "application/json").body(Bytes::new());
    let answer = ask(gateway, platform, request).await?;
    if answer.status() != StatusCode::OK {
        return Ok(None);
    }
    let unreadable = |_| ProviderError::Discovery(format!("`{url}` does not hold what it should"));
    serde_json::from_slice(answer.body()).map(Some).map_err(unreadable)
}

/// Calls the server as nobody.
async fn challenge<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    server: &str,
) -> Result<Challenge, ProviderError> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(server)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25")
        .body(Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#));
    let answer = ask(gateway, platform, request).await?;
    if answer.status().is_success() {
        return Err(ProviderError::Discovery(
            "the server asks nobody who they are: it needs no account".to_owned(),
        ));
    }
    let lines =
        answer.headers().get_all(header::WWW_AUTHENTICATE).iter().filter_map(|line| line.to_str().ok());
    Ok(lines.map(read_challenge).find(|challenge| *challenge != Challenge::default()).unwrap_or_default())
}

fn read_challenge(line: &str) -> Challenge {
    let parameter = |name: &str| {
        let start = line.find(&format!("{name}=\""))? + name.len() + 2;
        let rest = line.get(start..)?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    let scopes = parameter("scope").map(|scopes| scopes.split_whitespace().map(str::to_owned).collect());
    Challenge { metadata: parameter("resource_metadata"), scopes }
}

/// What the server says of itself: where its challenge points, or at its well-known addresses. A server from before there was such a
/// document has its authorization server at its own origin (MCP 2025-03-26).
async fn protected<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    server: &str,
    named: Option<&str>,
) -> Result<Protected, ProviderError> {
    let url = egress::public_url(&gateway.settings, server)?;
    let origin = url.origin().ascii_serialization();
    let path = url.path().trim_end_matches('/');
    let well_known = format!("{origin}/.well-known/oauth-protected-resource");
    let places = match named {
        Some(named) => vec![named.to_owned()],
        None if path.is_empty() => vec![well_known],
        None => vec![format!("{well_known}{path}"), well_known],
    };
    for place in places {
        if let Some(found) = document::<P, Protected>(gateway, platform, &place).await? {
            if !covers(&found.resource, &url) {
                return Err(ProviderError::Discovery(format!(
                    "`{place}` is of another server: its `resource` is not `{server}`"
                )));
            }
            return Ok(found);
        }
    }
    Ok(Protected { resource: server.to_owned(), authorization_servers: vec![origin], scopes_supported: None })
}

/// Whether a resource is the server, or what the server is a part of (RFC 9728 §3.3).
fn covers(resource: &str, server: &Url) -> bool {
    let Ok(resource) = Url::parse(resource) else { return false };
    let (whole, part) = (resource.path().trim_end_matches('/'), server.path().trim_end_matches('/'));
    let within = part.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    resource.origin() == server.origin() && within && resource.fragment().is_none()
}

/// What the authorization server says of itself, at the first place that has something (RFC 8414 §3.1, OpenID Connect Discovery §4.1).
async fn metadata<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    protected: &Protected,
) -> Result<Metadata, ProviderError> {
    let none = || ProviderError::Discovery("the server names no authorization server".to_owned());
    let issuer = protected.authorization_servers.first().ok_or_else(none)?;
    let url = egress::public_url(&gateway.settings, issuer)?;
    let (origin, path) = (url.origin().ascii_serialization(), url.path().trim_end_matches('/'));
    let mut places = vec![
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        places.push(format!("{origin}{path}/.well-known/openid-configuration"));
    }
    for place in places {
        let Some(found) = document::<P, Metadata>(gateway, platform, &place).await? else { continue };
        // Byte for byte (RFC 8414 §3.3): else one could speak for another.
        if found.issuer != *issuer {
            return Err(ProviderError::Discovery(format!("`{place}` is of another issuer than `{issuer}`")));
        }
        if !found.code_challenge_methods_supported.iter().any(|method| method == "S256") {
            return Err(ProviderError::Discovery(format!(
                "`{issuer}` does not say that it knows S256 (RFC 7636)"
            )));
        }
        let others = [&found.registration_endpoint, &found.revocation_endpoint, &found.jwks_uri];
        let endpoints = [&found.authorization_endpoint, &found.token_endpoint];
        for endpoint in endpoints.into_iter().chain(others.into_iter().flatten()) {
            egress::public_url(&gateway.settings, endpoint)?;
        }
        return Ok(found);
    }
    Err(ProviderError::Discovery(format!("`{issuer}` does not say what it offers (RFC 8414)")))
}

struct Registered {
    id: String,
    secret: Option<Secret>,
    proof: Proof,
}

/// Registers us (RFC 7591 §3.1).
async fn register<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    provider: &Provider,
    metadata: &Metadata,
) -> Result<Registered, ProviderError> {
    let failed = |why: &str| ProviderError::Discovery(why.to_owned());
    let endpoint = metadata.registration_endpoint.as_deref().ok_or_else(|| {
        failed(
            "its authorization server lets no client register itself: register one there, and set `clientId`",
        )
    })?;
    let methods = metadata.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
    let takes = |method: &str| methods.iter().any(|one| one == method);
    let method =
        ["none", "client_secret_basic", "client_secret_post"].into_iter().find(|method| takes(method));
    let mut wish = client_metadata(gateway, &provider.redirect_uri);
    if let Some(members) = wish.as_object_mut() {
        members
            .insert("token_endpoint_auth_method".to_owned(), method.unwrap_or("client_secret_basic").into());
    }
    let request = Request::post(endpoint)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .body(Bytes::from(wish.to_string()));
    let answer = ask(gateway, platform, request).await?;
    if !answer.status().is_success() {
        return Err(ProviderError::Discovery(format!(
            "its authorization server does not register us: status {}",
            answer.status().as_u16()
        )));
    }
    let made: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let text = |name: &str| made.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let id =
        text("client_id").ok_or_else(|| failed("its authorization server registered us without an id"))?;
    let method = text("token_endpoint_auth_method").or(method);
    Ok(Registered {
        id: id.to_owned(),
        secret: text("client_secret")
            .filter(|_| method != Some("none"))
            .map(|secret| Secret::new(secret.to_owned())),
        proof: if method == Some("client_secret_post") { Proof::Post } else { Proof::Basic },
    })
}

/// What we say of ourselves as a client (RFC 7591 §2).
fn client_metadata(gateway: &Gateway, redirect_uri: &str) -> Value {
    json!({
        "client_name": "Ambit",
        "client_uri": gateway.settings.public_url,
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "application_type": if gateway.settings.is_local() { "native" } else { "web" },
        "token_endpoint_auth_method": "none",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let challenge = read_challenge(
            r#"Bearer error="invalid_token", resource_metadata="https://a.example/m", scope="a b""#,
        );
        assert_eq!(challenge.metadata.as_deref(), Some("https://a.example/m"));
        assert_eq!(challenge.scopes.unwrap().len(), 2);
        assert_eq!(read_challenge("Basic realm=\"x\""), Challenge::default());
        assert_eq!(read_challenge("Bearer scope=\"a"), Challenge::default());
    }

    #[test]
    fn a_resource_covers_what_is_below_it() {
        let covers = |resource: &str, server: &str| super::covers(resource, &Url::parse(server).unwrap());
        assert!(covers("https://a.example/mcp", "https://a.example/mcp"));
        assert!(covers("https://a.example/", "https://a.example/mcp"));
        assert!(covers("https://a.example/mcp/", "https://a.example/mcp"));
        assert!(!covers("https://a.example/mc", "https://a.example/mcp"));
        assert!(!covers("https://b.example/mcp", "https://a.example/mcp"));
        assert!(!covers("http://a.example/mcp", "https://a.example/mcp"));
        assert!(!covers("https://a.example/mcp/more", "https://a.example/mcp"));
        assert!(!covers("", "https://a.example/mcp"));
    }
}
