//! Clients that are not ours, in each way they have to speak: they list the tools and call `echo`.

use std::process::Output;

use rmcp::model::{CallToolRequestParams, ClientConfig, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, serve_client_with_lifecycle};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};
use tests::fixture;
use tests::node::{node, python};
use tests::stack::{Host, Stack, run};

#[test]
fn on_standalone() {
    run(every_client(Host::Standalone));
}

#[test]
fn on_workerd() {
    run(every_client(Host::Workerd));
}

async fn every_client(host: Host) {
    let stack = Stack::start(host).await;
    let operator = stack.organisation().await;
    operator.toolbox("main", &[("fixture", fixture::stdio("modern").await)]).await;
    let agent = operator.agent("client", "main").await;
    operator.grant("client", "toolbox/main").await;
    let url = format!("{}{}", stack.door.url(), agent.path);
    let target = [url.as_str(), &agent.token];

    assert_eq!(modes(&node("clients/ts-v1.mjs", &target)), ["legacy"]);
    assert_eq!(modes(&node("clients/ts-v2.mjs", &target)), ["legacy", "auto", "2026-07-28"]);
    assert_eq!(modes(&python("clients/client.py", &target)), ["auto", "legacy", "2026-07-28"]);
    assert_eq!(modes(&node("clients/inspector.mjs", &target)), ["legacy", "auto", "modern"]);
    let modern = vec![ProtocolVersion::V_2026_07_28];
    for lifecycle in [
        ClientLifecycleMode::Initialize,
        ClientLifecycleMode::Discover { preferred_versions: modern.clone() },
        ClientLifecycleMode::Auto { preferred_versions: modern, legacy_version: None },
    ] {
        rmcp(&url, &agent.token, lifecycle).await;
    }
}

/// The modes a script went through, from the lines it printed.
fn modes(output: &Output) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said.lines()
        .map(|line| {
            let report: Value = serde_json::from_str(line).unwrap();
            println!("{}: {}", report["client"], report["mode"]);
            assert!(report["tools"].as_array().unwrap().contains(&json!("echo")), "{line}");
            report["mode"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// The Rust SDK.
async fn rmcp(url: &str, key: &str, lifecycle: ClientLifecycleMode) {
    let mode = format!("{lifecycle:?}");
    let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(key);
    let transport = StreamableHttpClientTransport::from_config(config);
    let connecting = serve_client_with_lifecycle(ClientConfig::default(), transport, lifecycle);
    let client = connecting.await.unwrap_or_else(|error| panic!("{mode}: {error}"));
    let tools = client.list_all_tools().await.unwrap();
    assert!(tools.iter().any(|tool| tool.name == "echo"), "{mode}");
    let arguments = json!({ "text": "hello from outside" }).as_object().unwrap().clone();
    let result =
        client.call_tool(CallToolRequestParams::new("echo").with_arguments(arguments)).await.unwrap();
    assert_eq!(serde_json::to_value(&result).unwrap()["content"][0]["text"], "hello from outside", "{mode}");
    println!("rmcp: {mode}");
    client.cancel().await.unwrap();
}
