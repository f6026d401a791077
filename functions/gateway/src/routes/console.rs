//! The console's front door. Signing in comes with the authorization server; until then it says how to connect, and tells nobody
//! what is inside.

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use maud::{DOCTYPE, Markup, html};

use crate::Gateway;
use crate::body::Body;

const STYLE: &str = include_str!("console.css");

/// The page.
pub(super) fn serve<S>(gateway: &Gateway) -> Response<Body<S>> {
    let url = &gateway.settings.public_url;
    let containers = if gateway.settings.provisioner_url.is_some() {
        "containers and remote servers"
    } else {
        "remote servers only (no provisioner is set)"
    };
    let page = page(
        "Ambit",
        &html! {
            h1 { "Ambit" }
            p { "Every agent gets exactly its ambit: this gateway lets agents call tools of MCP servers, each step under a policy decision and on record." }
            dl {
                dt { "Version" } dd { (env!("CARGO_PKG_VERSION")) }
                dt { "Serves" } dd { (containers) }
                dt { "MCP revisions" } dd { "2026-07-28, 2025-11-25, 2025-06-18, 2025-03-26" }
            }
            h2 { "Connect an MCP client" }
            p { "Point it at your toolbox and send your API key as a bearer token:" }
            pre tabindex="0" { code { (url) "/mcp/{org}/{toolbox}\nAuthorization: Bearer ambit_sk_…" } }
            h2 { "Run it" }
            p { "Operators manage organisations, servers, toolboxes and grants at " code { (url) "/api/v1" } " with the operator's key." }
        },
    );
    let mut response = Response::new(Body::Whole(Bytes::from(page.into_string())));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    );
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// The one stylesheet.
pub(super) fn stylesheet<S>() -> Response<Body<S>> {
    let mut response = Response::new(Body::Whole(Bytes::from_static(STYLE.as_bytes())));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    response
}

fn page(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="stylesheet" href="/style.css";
            }
            body { main { (body) } }
        }
    }
}
