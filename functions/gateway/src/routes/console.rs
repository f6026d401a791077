//! The console's front door. Signing in comes with the authorization server; until then it says how to connect, and tells nobody
//! what is inside.

use http::{Response, StatusCode};
use maud::html;

use super::page::{Forms, page};
use crate::Gateway;
use crate::body::Body;

/// The page.
pub(super) fn serve<S>(gateway: &Gateway) -> Response<Body<S>> {
    let url = &gateway.settings.public_url;
    let containers = if gateway.settings.provisioner_url.is_some() {
        "containers and remote servers"
    } else {
        "remote servers only (no provisioner is set)"
    };
    page(
        StatusCode::OK,
        "Ambit",
        Forms::None,
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
    )
}
