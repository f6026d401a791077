//! What is settled by the request line and the headers, before anybody is asked who they are.

use http::request::Parts;
use http::{HeaderValue, Method as HttpMethod, Response, StatusCode, header};
use schemas::provisioner::MAX_MESSAGE_BYTES;

use super::error::{INVALID_REQUEST, RpcError};
use crate::Gateway;
use crate::body::{Body, Unread};

/// What can be refused by looking at the request line and headers.
pub(super) fn refuse<S>(
    gateway: &Gateway,
    request: &Parts,
    length: Option<u64>,
) -> Option<Response<Body<S>>> {
    let refuse = |status: StatusCode, why: &str| {
        Some(RpcError::new(INVALID_REQUEST, why).with_status(status).answer(None, None))
    };
    let headers = &request.headers;
    let host = headers
        .get(header::HOST)
        .map(HeaderValue::to_str)
        .or_else(|| request.uri.authority().map(|host| Ok(host.as_str())));
    if !matches!(host, Some(Ok(host)) if gateway.settings.is_our_host(host)) {
        return refuse(StatusCode::FORBIDDEN, "this gateway has another name: use the URL you were given");
    }
    if let Some(origin) = headers.get(header::ORIGIN)
        && !origin.to_str().is_ok_and(|origin| gateway.settings.is_allowed_origin(origin))
    {
        return refuse(StatusCode::FORBIDDEN, "pages of this origin may not call this gateway");
    }
    if !matches!(request.method, HttpMethod::POST | HttpMethod::OPTIONS) {
        let mut response = RpcError::new(
            INVALID_REQUEST,
            "send each message in a POST; there are no sessions and no GET stream here",
        )
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
        .answer(None, None);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST, OPTIONS"));
        return Some(response);
    }
    if length.is_some_and(|length| length > MAX_MESSAGE_BYTES as u64) {
        return Some(unread(Unread::TooLarge));
    }
    let json = |kind: &HeaderValue| {
        kind.to_str().is_ok_and(|kind| {
            kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
        })
    };
    if request.method == HttpMethod::POST && !headers.get(header::CONTENT_TYPE).is_some_and(json) {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send `content-type: application/json`");
    }
    None
}

/// What is said of a body that can't be read.
pub(super) fn unread<S>(why: Unread) -> Response<Body<S>> {
    let (status, why) = match why {
        Unread::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "a message may have 10 MiB"),
        Unread::Broken => (StatusCode::BAD_REQUEST, "the message broke off"),
        Unread::Late => (StatusCode::REQUEST_TIMEOUT, "the message took too long"),
    };
    RpcError::new(INVALID_REQUEST, why).with_status(status).answer(None, None)
}

pub(super) fn preflight<S>() -> Response<Body<S>> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "authorization, content-type, accept, mcp-protocol-version, mcp-method, mcp-name, mcp-session-id",
        ),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}
