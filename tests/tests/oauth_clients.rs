//! Clients that are not ours sign in by themselves, from nothing but the URL: they find the authorization server, make themselves known
//! in each of the three ways, send a person's browser, and refresh. And the official suite looks at the authorization server.

use std::process::Output;

use http::Method;
use rmcp::model::{CallToolRequestParams, ClientConfig, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, serve_client_with_lifecycle};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{AuthClient, AuthorizationManager, AuthorizationRequest, OAuthState};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::documents::Site;
use tests::fixture;
use tests::node::{node, python};
use tests::oauth::{REDIRECT, back};
use tests::operator::Operator;
use tests::stack::{Host, Stack, run};

const COOKIE: &str = "__Host-ambit";

#[test]
fn on_standalone() {
    run(every_client(Host::Standalone));
}

#[test]
fn on_workerd() {
    run(every_client(Host::Workerd));
}

async fn every_client(host: Host) {
    let stack = Stack::with_rates(host, "register=off sign-in=off token=off").await;
    let operator = stack.organisation().await;
    operator.toolbox("main", &[("fixture", fixture::stdio("modern").await)]).await;
    operator.must(Method::PUT, "/agents/assistant", json!({ "clients": ["*"] })).await;
    operator.grant("assistant", "toolbox/main").await;
    let url = format!("{}/mcp/{}/main", stack.door.url(), operator.org);
    let mut browser = signed_in(&operator, "ann").await;
    let cookie = format!("{COOKIE}={}", browser.cookie(COOKIE).unwrap());

    let site = Site::start();
    let metadata = json!({
        "client_name": "A client with a document", "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
    });
    let document = site.client("/client.json", metadata);
    let registered = operator
        .must(Method::PUT, "/clients/desktop", json!({
            "title": "A client that the organisation registered", "redirectUris": [REDIRECT], "tokenEndpointAuthMethod": "none",
        }))
        .await;
    let registered = registered["clientId"].as_str().unwrap().to_owned();
    let mut registrations = vec![
        ("dynamic", json!({})),
        (
            "clientInformation",
            json!({ "clientInformation": { "client_id": registered, "token_endpoint_auth_method": "none" } }),
        ),
    ];
    // On workerd a Worker trusts the authorities of browsers only; what it does with documents is shown without TLS elsewhere.
    if host == Host::Standalone {
        registrations.push(("clientMetadataUrl", json!({ "clientMetadataUrl": document })));
    }
    for (mode, registration) in &registrations {
        let arguments = json!({ "url": url, "cookie": cookie, "registration": registration }).to_string();
        for output in
            [node("clients/oauth-ts-v2.mjs", &[&arguments]), python("clients/oauth.py", &[&arguments])]
        {
            assert_eq!(told(&output), *mode);
        }
        let mut request = AuthorizationRequest::new(REDIRECT).with_client_name("rmcp");
        request = match *mode {
            "clientInformation" => request.with_preregistered_client(registered.clone()),
            "clientMetadataUrl" => request.with_client_metadata_url(document.clone()),
            _ => request,
        };
        rmcp(&url, &mut browser, request).await;
        println!("rmcp: {mode}");
    }
    let arguments = [stack.door.url(), &cookie, &url];
    let output = node("conformance/authorization.mjs", &arguments);
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_str(report.lines().next_back().unwrap()).unwrap();
    println!("{host:?}: {summary}");
    assert_eq!(summary["failed"], json!([]), "{report}");
    assert!(summary["passed"].as_array().unwrap().len() >= 2, "{report}");

    if host == Host::Standalone {
        assert_eq!(site.asked(), ["/client.json"], "fetched once, and kept as long as its server says");
    }
}

async fn signed_in(operator: &Operator, name: &str) -> Browser {
    operator.must(Method::PUT, &format!("/users/{name}"), json!({})).await;
    let made = operator.must(Method::POST, &format!("/users/{name}/links"), json!({})).await;
    let mut browser = Browser::new(&operator.door);
    let page = browser.open(made["url"].as_str().unwrap()).await;
    browser.press(&page, "Sign in", &[]).await;
    browser
}

/// The mode a script reports.
fn told(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(said.trim()).unwrap();
    println!("{}: {}", report["client"], report["mode"]);
    assert!(report["tools"].as_array().unwrap().contains(&json!("echo")), "{said}");
    report["mode"].as_str().unwrap().to_owned()
}

/// The Rust SDK.
async fn rmcp(url: &str, browser: &mut Browser, request: AuthorizationRequest) {
    let manager = AuthorizationManager::new_allowing_private_addresses(url).await.unwrap();
    let mut state = OAuthState::Unauthorized(manager);
    state.start_authorization(request).await.unwrap();
    let page = browser.open(&state.get_authorization_url().await.unwrap()).await;
    let form = page.form("Let it in", &[]).unwrap_or_else(|| panic!("not asked: {}", page.text()));
    let back = back(&browser.send(&form, Some(&page.url)).await);
    state.handle_callback_url(back.0.as_str()).await.unwrap();
    let OAuthState::Authorized(manager) = state else { panic!("not authorized") };
    let client = AuthClient::new(reqwest::Client::new(), manager);
    let config = StreamableHttpClientTransportConfig::with_uri(url);
    let transport = StreamableHttpClientTransport::with_client(client, config);
    let lifecycle = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: None,
    };
    let client = serve_client_with_lifecycle(ClientConfig::default(), transport, lifecycle).await.unwrap();
    let arguments = json!({ "text": "hello from outside" }).as_object().unwrap().clone();
    let result =
        client.call_tool(CallToolRequestParams::new("echo").with_arguments(arguments)).await.unwrap();
    assert_eq!(serde_json::to_value(&result).unwrap()["content"][0]["text"], "hello from outside");
    client.cancel().await.unwrap();
}
