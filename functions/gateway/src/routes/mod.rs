//! The surfaces. Each parses its wire, walks, and renders; nothing else does.

mod account;
pub(crate) mod api;
mod approve;
mod connect;
mod console;
pub(crate) mod mcp;
mod metadata;
pub(crate) mod oauth_server;
mod page;
mod programs;
pub(crate) mod sign_in;
mod visible;

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};

use crate::Gateway;
use crate::body::{Body, Incoming, Unread, receive};
use crate::platform::Platform;

pub(crate) use visible::visible;

/// The route table.
pub(crate) async fn route<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: Request<impl Incoming>,
) -> Response<Body<P::Stream>> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (&head.method, segments.as_slice()) {
        (_, ["mcp", org, toolbox]) => mcp::serve(gateway, platform, &head, body, (org, toolbox)).await,
        (&Method::GET, [".well-known", "oauth-protected-resource", "mcp", org, toolbox]) => {
            metadata::serve(gateway, platform, org, toolbox).await
        }
        (_, ["api", "v1", rest @ ..]) => Box::pin(api::serve(gateway, platform, head, body, rest)).await,
        (&Method::GET | &Method::POST, ["approve", id]) => match whole(platform, head, body).await {
            Ok(request) => Box::pin(approve::serve(gateway, platform, &request, id)).await,
            Err(refused) => refused,
        },
        (&Method::GET | &Method::POST, ["sign-in", rest @ ..]) => match whole(platform, head, body).await {
            Ok(request) => Box::pin(sign_in::serve(gateway, platform, &request, rest)).await,
            Err(refused) => refused,
        },
        (&Method::GET | &Method::POST, ["account", rest @ ..]) => match whole(platform, head, body).await {
            Ok(request) => account::serve(gateway, platform, &request, rest).await,
            Err(refused) => refused,
        },
        (&Method::GET | &Method::POST, ["connect", rest @ ..]) => match whole(platform, head, body).await {
            Ok(request) => connect::serve(gateway, platform, &request, rest).await,
            Err(refused) => refused,
        },
        (_, path) if let Some(endpoint) = oauth_server::Endpoint::at(path) => {
            match whole(platform, head, body).await {
                Ok(request) => Box::pin(oauth_server::serve(gateway, platform, endpoint, &request)).await,
                Err(refused) => refused,
            }
        }
        (&Method::GET | &Method::POST, ["console", "providers", rest @ ..]) => {
            match whole(platform, head, body).await {
                Ok(request) => Box::pin(console::providers::serve(gateway, platform, &request, rest)).await,
                Err(refused) => refused,
            }
        }
        (&Method::GET, ["" | "console"]) => Box::pin(console::serve(gateway, platform, &head.headers)).await,
        (&Method::GET, ["problems", kind]) if let Some(words) = api::meaning(kind) => {
            text(StatusCode::OK, words)
        }
        (&Method::GET, ["style.css"]) => page::stylesheet(),
        (&Method::GET, ["passkey.js"]) => page::script(),
        (&Method::GET, ["healthz"]) => text(StatusCode::OK, "ok\n"),
        _ => text(
            StatusCode::NOT_FOUND,
            "there is nothing here; MCP clients connect to /mcp/{org}/{toolbox}\n",
        ),
    }
}

/// The longest body of a form or of a client's request to us, in bytes.
const LONGEST: usize = 64 * 1024;
/// And it comes soon, or not at all.
const WITHIN: Duration = Duration::from_secs(30);

/// The request with its body, for surfaces that need it before they can say anything.
async fn whole<P: Platform>(
    platform: &P,
    head: Parts,
    body: impl Incoming,
) -> Result<Request<Bytes>, Response<Body<P::Stream>>> {
    match receive(platform, body, LONGEST, WITHIN).await {
        Ok(body) => Ok(Request::from_parts(head, body)),
        Err(Unread::TooLarge) => Err(text(StatusCode::PAYLOAD_TOO_LARGE, "a body may have 64 KiB here\n")),
        Err(Unread::Broken) => Err(text(StatusCode::BAD_REQUEST, "the body broke off\n")),
        Err(Unread::Late) => Err(text(StatusCode::REQUEST_TIMEOUT, "the body took too long\n")),
    }
}

fn text<S>(status: StatusCode, text: &'static str) -> Response<Body<S>> {
    let mut response = Response::new(Body::Whole(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
