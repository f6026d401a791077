//! The surfaces. Each parses its wire, walks, and renders; nothing else does.

pub(crate) mod api;
mod approve;
mod console;
pub(crate) mod mcp;
mod metadata;
mod page;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};

use crate::Gateway;
use crate::body::Body;
use crate::platform::Platform;

/// The route table.
pub(crate) async fn route<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: Request<Bytes>,
) -> Response<Body<P::Stream>> {
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (request.method(), segments.as_slice()) {
        (_, ["mcp", org, toolbox]) => mcp::serve(gateway, platform, request, org, toolbox).await,
        (&Method::GET, [".well-known", "oauth-protected-resource", "mcp", org, toolbox]) => {
            metadata::serve(gateway, platform, org, toolbox).await
        }
        (_, ["api", "v1", rest @ ..]) => api::serve(gateway, platform, request, rest).await,
        (&Method::GET | &Method::POST, ["approve", id]) => {
            approve::serve(gateway, platform, &request, id).await
        }
        (&Method::GET, ["" | "console"]) => console::serve(gateway),
        (&Method::GET, ["style.css"]) => page::stylesheet(),
        (&Method::GET, ["healthz"]) => text(StatusCode::OK, "ok\n"),
        _ => text(
            StatusCode::NOT_FOUND,
            "there is nothing here; MCP clients connect to /mcp/{org}/{toolbox}\n",
        ),
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
