//! What a client needs to prove, as OAuth clients read it: `WWW-Authenticate` (RFC 9110 §11.6.1, RFC 6750 §3, RFC 9728 §5.1).

use http::{HeaderValue, Response, StatusCode, header};
use schemas::ids::EventId;
use schemas::names::{OrgName, ToolboxName};
use serde_json::value::RawValue;

use super::Context;
use super::error::RpcError;
use crate::Gateway;
use crate::audit::Told;
use crate::body::Body;
use crate::error::Fault;
use crate::identity::IdentityError;
use crate::platform::Platform;
use crate::protocol::Era;
use crate::routes::metadata;
use crate::routes::oauth_server::SCOPES;
use crate::walk::Scopes;

/// 401 with the challenge of RFC 9728 §5.1, or 503 where we could not find out.
pub(super) fn unproven<S>(
    gateway: &Gateway,
    org: &OrgName,
    toolbox: &ToolboxName,
    error: &IdentityError,
) -> Response<Body<S>> {
    if let IdentityError::Platform(cause) = error {
        Fault::Platform.log(&cause.to_string());
        return RpcError::of(Fault::Platform, error.to_string()).answer(None, None);
    }
    // All that a toolbox has: whoever signs in is asked once, and can say yes to less.
    let mut challenge = format!(
        "Bearer resource_metadata=\"{}\", scope=\"{}\"",
        metadata::url(gateway, org, toolbox),
        SCOPES.join(" ")
    );
    if matches!(error, IdentityError::Invalid(_)) {
        challenge.push_str(", error=\"invalid_token\"");
    }
    with(challenge, RpcError::of(Fault::Unproven, error.to_string()).answer(None, None))
}

/// 403 with the challenge of RFC 6750 §3.1, `insufficient_scope`: every scope that the call needs, at once.
pub(super) fn out_of_scope<P: Platform>(
    context: &Context<'_, P>,
    (era, id): (Option<Era>, Option<&RawValue>),
    scopes: &Scopes,
    reference: EventId,
) -> Response<Body<P::Stream>> {
    let told = Told::new(reference, scopes.missing.iter().map(|scope| format!("scope:{scope}")).collect());
    let error = RpcError::of(Fault::Denied, scopes.to_string())
        .with_status(StatusCode::FORBIDDEN)
        .with_data(serde_json::json!(told));
    let all: Vec<&str> =
        scopes.all.iter().map(String::as_str).filter(|scope| scope.bytes().all(is_of_scopes)).collect();
    let challenge = format!(
        "Bearer error=\"insufficient_scope\", scope=\"{}\", resource_metadata=\"{}\", error_description=\"{scopes}\"",
        all.join(" "),
        metadata::url(context.gateway, context.org, context.toolbox),
    );
    with(challenge, error.answer(era, id))
}

/// Whether a scope may have this byte (RFC 6749 §3.3). A token of another issuer may hold anything.
fn is_of_scopes(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'
}

fn with<S>(challenge: String, mut response: Response<Body<S>>) -> Response<Body<S>> {
    if let Ok(challenge) = HeaderValue::try_from(challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}
