//! HTTP servers inside containers, over a simulated host: a modern one passes, an older one is translated.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so and fails"
)]

mod rig;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use axum::routing::post;
use futures_util::StreamExt as _;
use provisioner::reach::Wiring;
use provisioner::simulated::Simulated;
use provisioner::{Provisioner, Settings};
use rig::{Rig, key, request, until};
use serde_json::{Value, json};

const NAME: &str = "acme.ops.web";

type Seen = Arc<Mutex<Vec<(HeaderMap, Value)>>>;

fn spec() -> Value {
    json!({"org": "acme", "toolbox": "ops", "server": "web", "image": "x", "digest": format!("sha256:{}", "0".repeat(64)),
        "transport": {"type": "http", "port": 80, "path": "/mcp"}, "limits": {"call_timeout_ms": 3000}})
}

fn reply(status: u16, kind: &str, body: impl Into<Body>) -> Response<Body> {
    Response::builder().status(status).header("content-type", kind).body(body.into()).unwrap()
}

/// Modern: strict about its headers, streams progress, never ends a subscription.
async fn modern(State(seen): State<Seen>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let message: Value = serde_json::from_slice(&body).unwrap();
    seen.lock().unwrap().push((headers.clone(), message.clone()));
    let id = &message["id"];
    let method = message["method"].as_str().unwrap();
    let named =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    if named("mcp-protocol-version") != "2026-07-28" || named("mcp-method") != method {
        let error =
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32020, "message": "header mismatch"}});
        return reply(400, "application/json", error.to_string());
    }
    let done = |result: Value| json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
    match method {
        "server/discover" => reply(
            200,
            "application/json",
            done(json!({"resultType": "complete",
            "supportedVersions": ["2026-07-28"], "capabilities": {}, "ttlMs": 0, "cacheScope": "public"})),
        ),
        "tools/list" => reply(
            200,
            "application/json",
            format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"resultType\": \"complete\", \"tools\":[ ],\"x\": 1.0}}}}"
            ),
        ),
        "tools/call" => {
            let token = &message["params"]["_meta"]["progressToken"];
            let note = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}});
            reply(
                200,
                "text/event-stream",
                format!(
                    ": hello\n\ndata: {note}\n\ndata: {}\n\n",
                    done(json!({"resultType": "complete",
                "content": [{"type": "text", "text": named("mcp-name")}]}))
                ),
            )
        }
        "subscriptions/listen" => {
            let acknowledged =
                json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {}});
            let first = futures_util::stream::once(async move {
                Ok::<_, std::io::Error>(format!("data: {acknowledged}\n\n"))
            });
            reply(200, "text/event-stream", Body::from_stream(first.chain(futures_util::stream::pending())))
        }
        _ => reply(
            404,
            "application/json",
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no"}}).to_string(),
        ),
    }
}

/// Older: a session, notifications pushed on its GET stream, requests of its own in between.
async fn legacy(State(seen): State<Seen>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let message: Value = serde_json::from_slice(&body).unwrap();
    seen.lock().unwrap().push((headers.clone(), message.clone()));
    let id = &message["id"];
    let done = |result: Value| json!({"jsonrpc": "2.0", "id": id, "result": result});
    let method = message["method"].as_str().unwrap_or_default();
    if method != "initialize" && headers.get("mcp-session-id").is_none_or(|session| session != "s") {
        return reply(400, "text/plain", "no session");
    }
    match method {
        "initialize" => {
            let mut response = reply(200, "application/json", done(json!({"protocolVersion": "2025-06-18",
                "capabilities": {"tools": {"listChanged": true}, "resources": {"subscribe": true}, "logging": {}}, "serverInfo": {"name": "old", "version": "1"}})).to_string());
            response.headers_mut().insert("mcp-session-id", "s".parse().unwrap());
            response
        }
        "tools/list" => reply(200, "application/json", done(json!({"tools": []})).to_string()),
        "resources/subscribe" if message["params"]["uri"] == "no://" => reply(
            200,
            "application/json",
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32002, "message": "no"}}).to_string(),
        ),
        "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" => {
            reply(200, "application/json", done(json!({})).to_string())
        }
        "tools/call" if message["params"]["name"] == "silent" => reply(
            200,
            "text/event-stream",
            Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>()),
        ),
        "tools/call" => {
            let ask = json!({"jsonrpc": "2.0", "id": "a", "method": "roots/list"});
            let log = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": 1}});
            reply(
                200,
                "text/event-stream",
                format!(
                    "id: 1\ndata:\n\ndata: {ask}\r\n\r\ndata: {log}\n\ndata: {}\n\n",
                    done(json!({"content": []}))
                ),
            )
        }
        _ => reply(202, "text/plain", ""),
    }
}

/// Its GET stream: asks, tells what changed, and ends when told to.
async fn push(headers: HeaderMap) -> Response<Body> {
    assert_eq!(
        (&headers["mcp-session-id"], &headers["accept"]),
        (&"s".parse().unwrap(), &"text/event-stream".parse().unwrap())
    );
    let told = |method: &str, params: Value| {
        format!("data: {}\n\n", json!({"jsonrpc": "2.0", "method": method, "params": params}))
    };
    let pieces = [
        format!("data: {}\n\n", json!({"jsonrpc": "2.0", "id": "pushed", "method": "roots/list"})),
        told("notifications/message", json!({"level": "info", "data": "nobody's"})),
        told("notifications/prompts/list_changed", json!({})),
        told("notifications/resources/updated", json!({"uri": "other://"})),
        told("notifications/resources/updated", json!({"uri": "a://b"})),
        told("notifications/tools/list_changed", json!({"x": 1})),
    ];
    let stream = futures_util::stream::iter(pieces).then(|piece| async {
        // The subscription comes first.
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok::<_, std::io::Error>(piece)
    });
    reply(200, "text/event-stream", Body::from_stream(stream))
}

async fn up(router: axum::Router, seen: Seen, protocol: &str) -> (Rig, Seen, Simulated) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let host = Simulated::new(|_, pipes| {
        Box::pin(async move {
            let _open = pipes;
            std::future::pending().await
        })
    });
    host.endpoint_of(NAME, address);
    let rig = Rig::new(Provisioner::with_host(host.clone(), key(), Settings::default()));
    let (status, body) = rig.put(&spec()).await;
    assert_eq!((status.as_u16(), body["protocol"].as_str()), (200, Some(protocol)), "{body}");
    (rig, seen, host)
}

async fn modern_up() -> (Rig, Seen, Simulated) {
    let seen = Seen::default();
    up(axum::Router::new().route("/mcp", post(modern)).with_state(Arc::clone(&seen)), seen, "2026-07-28")
        .await
}

async fn legacy_up() -> (Rig, Seen, Simulated) {
    let seen = Seen::default();
    up(
        axum::Router::new().route("/mcp", post(legacy).get(push)).with_state(Arc::clone(&seen)),
        seen,
        "2025-06-18",
    )
    .await
}

#[tokio::test]
async fn a_modern_server_passes_byte_for_byte() {
    let (rig, seen, host) = modern_up().await;
    assert_eq!(host.body(NAME).unwrap().network, "none", "reached from inside");
    let response = rig.open(NAME, request(json!("i"), "tools/list", json!({}))).await;
    assert_eq!(response.headers()["ambit-answer"], "complete");
    let body = axum::body::to_bytes(response.into_body(), 9999).await.unwrap();
    assert!(
        String::from_utf8_lossy(&body)
            .ends_with(r#""result":{"resultType": "complete", "tools":[ ],"x": 1.0}}"#)
    );
    let params = json!({"name": "na\u{ef}ve", "arguments": {}, "_meta": {"progressToken": "p"}});
    let heard = rig.say(NAME, request(json!(5), "tools/call", params)).await;
    assert_eq!(heard.text(), "=?base64?bmHDr3Zl?=", "a name outside ASCII travels encoded");
    assert_eq!((heard.messages.len(), &heard.messages[0]["params"]["progressToken"]), (2, &json!("p")));
    assert_eq!(seen.lock().unwrap().last().unwrap().1["id"], 5);
    let refused = rig.rpc(NAME, "no/such", json!({})).await;
    assert_eq!((refused.status.as_u16(), &refused.last()["error"]["code"]), (200, &json!(-32601)));
}

#[tokio::test]
async fn the_end_of_the_container_ends_what_is_under_way() {
    let (rig, _, host) = modern_up().await;
    let response =
        rig.open(NAME, request(json!(7), "subscriptions/listen", json!({"notifications": {}}))).await;
    let mut stream = response.into_body().into_data_stream();
    assert!(
        stream
            .next()
            .await
            .unwrap()
            .unwrap()
            .starts_with(b"data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/ack")
    );
    host.kill(NAME);
    let last = tokio::time::timeout(Duration::from_secs(2), stream.next())
        .await
        .expect("told at once")
        .unwrap()
        .unwrap();
    let last: Value = serde_json::from_slice(last.strip_prefix(b"data: ").unwrap()).unwrap();
    assert_eq!((&last["id"], &last["error"]["code"]), (&json!(7), &json!(-32603)));
    assert!(last["error"]["message"].as_str().unwrap().contains("137"), "{last}");
    assert!(stream.next().await.is_none());
    assert_eq!(rig.rpc(NAME, "tools/list", json!({})).await.status, 200, "started again");
}

#[tokio::test]
async fn an_older_server_is_translated() {
    let (rig, seen, _) = legacy_up().await;
    let list = rig.say(NAME, request(json!("x"), "tools/list", json!({}))).await;
    assert_eq!((&list.last()["id"], &list.result()["cacheScope"]), (&json!("x"), &json!("private")));
    {
        let seen = seen.lock().unwrap();
        let (headers, message) = seen.last().unwrap();
        assert_eq!(
            (&headers["mcp-session-id"], &headers["mcp-protocol-version"]),
            (&"s".parse().unwrap(), &"2025-06-18".parse().unwrap())
        );
        assert_eq!(message["params"], json!({}), "nothing modern reaches it");
    }
    let quiet = rig.rpc(NAME, "tools/call", json!({"name": "x"})).await;
    assert_eq!(quiet.messages.len(), 1, "neither its log nor its request: {:?}", quiet.messages);
    let asking = json!({"name": "x", "_meta": {"io.modelcontextprotocol/logLevel": "info"}});
    assert_eq!(rig.rpc(NAME, "tools/call", asking).await.messages[0]["method"], "notifications/message");
    let levels = |seen: &Seen| {
        let seen = seen.lock().unwrap();
        let told = seen.iter().filter(|(_, m)| m["method"] == "logging/setLevel");
        told.map(|(_, m)| m["params"]["level"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(levels(&seen), [json!("info")]);
    let declined = |seen: &Seen| {
        seen.lock().unwrap().iter().any(|(_, m)| m["id"] == "a" && m["error"]["code"] == -32601)
    };
    assert!(declined(&seen));
    let call = rig.tool(NAME, "silent", json!({}));
    assert!(tokio::time::timeout(Duration::from_millis(200), call).await.is_err());
    until("cancelled", async || {
        seen.lock().unwrap().iter().any(|(_, m)| m["method"] == "notifications/cancelled")
    })
    .await;
    assert_eq!(rig.tool(NAME, "silent", json!({})).await.status, 504);
}

#[tokio::test]
async fn where_there_is_no_way_in_no_http_server_runs() {
    let (rig, _, host) = modern_up().await;
    // As after a restart of ours with fewer rights.
    host.wire(None);
    let (status, body) = rig.put(&spec()).await;
    assert_eq!((status.as_u16(), body["type"].as_str()), (500, Some("urn:ambit:internal")), "{body}");
    for way_out in ["as root", "over stdio", "--guarded-host", "iptables -I INPUT -i ambit-+ -j DROP"] {
        assert!(body["detail"].as_str().unwrap().contains(way_out), "{body}");
    }
    assert!(host.body(NAME).is_none(), "nor does what ran before");
    let (status, body) = rig.put(&spec()).await;
    assert_eq!(status, 500, "no back-off hides the reason: {body}");
    host.wire(Some(Wiring::Bridge));
    assert_eq!(rig.put(&spec()).await.0, 200);
    assert_eq!(host.body(NAME).unwrap().network, "ambit.acme.ops");
    host.wire(Some(Wiring::Alone));
    assert_eq!(rig.put(&spec()).await.0, 200);
    assert_eq!(host.body(NAME).unwrap().network, "none", "replaced");
    assert_eq!(rig.rpc(NAME, "tools/list", json!({})).await.status, 200);
}

#[tokio::test]
async fn what_an_older_server_pushes_goes_to_who_listens() {
    let (rig, seen, _) = legacy_up().await;
    let wants = json!({"notifications": {"toolsListChanged": true, "promptsListChanged": true, "resourceSubscriptions": ["a://b", "no://"]}});
    let (one, other) = tokio::join!(
        rig.say(NAME, request(json!("one"), "subscriptions/listen", wants)),
        rig.say(
            NAME,
            request(
                json!("two"),
                "subscriptions/listen",
                json!({"notifications": {"toolsListChanged": true}})
            )
        ),
    );
    let methods = |heard: &rig::Heard| {
        heard.messages.iter().map(|m| m["method"].as_str().unwrap_or("end").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        methods(&one),
        [
            "notifications/subscriptions/acknowledged",
            "notifications/resources/updated",
            "notifications/tools/list_changed",
            "end"
        ]
    );
    assert_eq!(
        one.messages[0]["params"]["notifications"],
        json!({"toolsListChanged": true, "resourceSubscriptions": ["a://b"]}),
        "what it did not declare or refused is not promised"
    );
    assert_eq!(
        one.messages[2]["params"],
        json!({"x": 1, "_meta": {"io.modelcontextprotocol/subscriptionId": "one"}})
    );
    assert_eq!(
        methods(&other),
        ["notifications/subscriptions/acknowledged", "notifications/tools/list_changed", "end"]
    );
    assert_eq!((&one.result()["resultType"], &one.last()["id"]), (&json!("complete"), &json!("one")));
    until("unsubscribed, and its request declined once", async || {
        let seen = seen.lock().unwrap();
        let times = |what: fn(&Value) -> bool| seen.iter().filter(|(_, message)| what(message)).count();
        times(|m| m["method"] == "resources/unsubscribe" && m["params"]["uri"] == "a://b") == 1
            && times(|m| m["id"] == "pushed" && m["error"]["code"] == -32601) == 1
    })
    .await;
}
