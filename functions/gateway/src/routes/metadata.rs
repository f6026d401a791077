//! OAuth 2.0 protected resource metadata (RFC 9728) of a toolbox: which issuers' tokens it takes.

use http::{Response, StatusCode, header};
use schemas::names::{OrgName, ToolboxName};

use crate::Gateway;
use crate::body::Body;
use crate::platform::Platform;
use crate::routes::mcp::answer;
use crate::routes::oauth_server;
use crate::store::callers;

/// The resource identifier of a toolbox, which is its URL and the audience of its tokens.
pub(crate) fn resource(gateway: &Gateway, org: &OrgName, toolbox: &ToolboxName) -> String {
    format!("{}/mcp/{org}/{toolbox}", gateway.settings.public_url)
}

/// Where the metadata of a toolbox is (RFC 9728 §3.1: the well-known part comes before the path).
pub(crate) fn url(gateway: &Gateway, org: &OrgName, toolbox: &ToolboxName) -> String {
    format!("{}/.well-known/oauth-protected-resource/mcp/{org}/{toolbox}", gateway.settings.public_url)
}

/// Answers for any well-formed name, so that the document tells nobody which toolboxes exist.
pub(super) async fn serve<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    org: &str,
    toolbox: &str,
) -> Response<Body<P::Stream>> {
    let (Ok(org), Ok(toolbox)) = (OrgName::parse(org), ToolboxName::parse(toolbox)) else {
        return super::text(StatusCode::NOT_FOUND, "no organisation and toolbox can have such names\n");
    };
    let issuers = match callers::issuers(platform, &org).await {
        Ok(issuers) => issuers,
        Err(error) => {
            tracing::error!(%error, "issuers can't be read");
            return super::text(
                StatusCode::SERVICE_UNAVAILABLE,
                "the gateway can't read its settings at the moment\n",
            );
        }
    };
    let document = serde_json::json!({
        "resource": resource(gateway, &org, &toolbox),
        // Ours first: clients take the first. The others' tokens are taken too.
        "authorization_servers": std::iter::once(&gateway.settings.public_url)
            .chain(issuers.iter().map(|issuer| &issuer.name))
            .collect::<Vec<_>>(),
        "scopes_supported": oauth_server::SCOPES,
        "bearer_methods_supported": ["header"],
        "resource_name": format!("{toolbox} toolbox of {org}"),
    });
    let mut response = answer(StatusCode::OK, document.to_string());
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, http::HeaderValue::from_static("*"));
    response.headers_mut().insert(header::CACHE_CONTROL, http::HeaderValue::from_static("max-age=300"));
    response
}
