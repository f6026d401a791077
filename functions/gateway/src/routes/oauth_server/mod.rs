//! The authorization server (OAuth 2.1, RFC 8414): lets clients act as agents, for people who say so or for nobody, at one toolbox.
//!
//! One issuer per deployment, its endpoints at the root, where clients of 2025-03-26 look without asking (MCP 2025-03-26,
//! "Authorization", default endpoints). Whom a client may act as is asked of the policies, and on record.

mod acting;
mod authorize;
mod consent;
mod consent_page;
mod error;
mod introspect;
mod metadata;
mod parameters;
mod register;
mod revoke;
mod scopes;
mod target;
mod token;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use self::error::OAuthError;
use crate::Gateway;
use crate::body::Body;
use crate::limits::{Class, Who};
use crate::platform::{Peer, Platform};

pub(crate) use register::secret;
pub(crate) use scopes::ALL as SCOPES;
pub(crate) use token::GRANTS;

/// What there is at the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// RFC 8414, and the same document where OpenID Connect Discovery has it.
    Metadata,
    /// RFC 7517 §5.
    Keys,
    /// RFC 6749 §3.1: for browsers.
    Authorize,
    /// RFC 6749 §3.2.
    Token,
    /// RFC 7591.
    Register,
    /// RFC 7009.
    Revoke,
    /// RFC 7662.
    Introspect,
}

impl Endpoint {
    /// The endpoint at a path.
    pub(crate) fn at(path: &[&str]) -> Option<Self> {
        Some(match path {
            [".well-known", "oauth-authorization-server" | "openid-configuration"] => Self::Metadata,
            ["jwks.json"] => Self::Keys,
            ["authorize"] => Self::Authorize,
            ["token"] => Self::Token,
            ["register"] => Self::Register,
            ["revoke"] => Self::Revoke,
            ["introspect"] => Self::Introspect,
            _ => return None,
        })
    }

    fn methods(self) -> &'static str {
        match self {
            Self::Metadata | Self::Keys => "GET, OPTIONS",
            Self::Authorize => "GET, POST",
            Self::Token | Self::Register | Self::Revoke | Self::Introspect => "POST, OPTIONS",
        }
    }
}

impl Endpoint {
    /// Whether whoever is at that address has not asked too often of late. Where the host can't tell addresses apart, it has limits of
    /// its own.
    fn admit<P: Platform>(
        self,
        gateway: &Gateway,
        platform: &P,
        request: &Request<Bytes>,
    ) -> Result<(), OAuthError> {
        let class = match self {
            Self::Metadata | Self::Keys | Self::Authorize => return Ok(()),
            Self::Register => Class::Register,
            Self::Token | Self::Revoke | Self::Introspect => Class::Token,
        };
        let Some(Peer(address)) = request.extensions().get() else { return Ok(()) };
        Ok(gateway.limits.admit(platform.now(), class, Who::peer(*address))?)
    }
}

/// Serves one request.
pub(super) async fn serve<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    endpoint: Endpoint,
    request: &Request<Bytes>,
) -> Response<Body<P::Stream>> {
    if !endpoint.methods().split(", ").any(|method| method == request.method().as_str()) {
        return not_allowed(endpoint);
    }
    if request.method() == Method::OPTIONS {
        return preflight(endpoint);
    }
    if let Err(error) = endpoint.admit(gateway, platform, request) {
        return error.answer();
    }
    let answered = match endpoint {
        Endpoint::Authorize => return Box::pin(authorize::serve(gateway, platform, request)).await,
        Endpoint::Metadata => Ok(published(&metadata::document(gateway))),
        Endpoint::Keys => Ok(published(&gateway.access_tokens.key_set(&gateway.vault, platform.now()))),
        Endpoint::Token => Box::pin(token::serve(gateway, platform, request)).await,
        Endpoint::Register => Box::pin(register::serve(gateway, platform, request)).await,
        Endpoint::Revoke => Box::pin(revoke::serve(gateway, platform, request)).await,
        Endpoint::Introspect => Box::pin(introspect::serve(gateway, platform, request)).await,
    };
    let mut response = answered.unwrap_or_else(|error| error.answer());
    // Nothing here looks at cookies, so pages of any origin may ask, as clients that run in browsers must.
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// A JSON answer that nobody keeps (RFC 6749 §5.1).
fn answer<S>(status: StatusCode, document: &serde_json::Value) -> Response<Body<S>> {
    let mut response = super::mcp::answer(status, document.to_string());
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// A JSON answer that is the same for everybody.
fn published<S>(document: &serde_json::Value) -> Response<Body<S>> {
    let mut response = super::mcp::answer(StatusCode::OK, document.to_string());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

fn not_allowed<S>(endpoint: Endpoint) -> Response<Body<S>> {
    let mut response =
        super::text(StatusCode::METHOD_NOT_ALLOWED, "this address takes other methods: see `allow`\n");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(endpoint.methods()));
    response
}

fn preflight<S>(endpoint: Endpoint) -> Response<Body<S>> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(endpoint.methods()));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("authorization, content-type, accept, mcp-protocol-version"),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}
