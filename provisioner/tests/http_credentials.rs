//! HTTP servers inside containers that want a credential per request, over a simulated host: nobody shares a session with an account
//! that is not theirs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so and fails"
)]

mod rig;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use axum::routing::post;
use provisioner::simulated::Simulated;
use provisioner::{Provisioner, Settings};
use rig::credential::{account, at, credential};
use rig::{Heard, Rig, key};
use schemas::provisioner::{Delivered, SecretText};
use serde_json::{Value, json};

const NAME: &str = "acme.ops.web";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Modern,
    /// A session, begun by anybody.
    Open,
    /// A session, begun by who brings a credential.
    Closed,
}

#[derive(Debug)]
struct Server {
    kind: Kind,
    /// Who began each session: what such servers really do.
    sessions: Mutex<HashMap<String, String>>,
}

fn spec() -> Value {
    json!({"org": "acme", "toolbox": "ops", "server": "web", "image": "x", "digest": format!("sha256:{}", "0".repeat(64)),
        "transport": {"type": "http", "port": 80, "path": "/mcp"}, "limits": {"call_timeout_ms": 3000}})
}

fn reply(status: u16, body: &Value) -> Response<Body> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Body::from(body.to_string())).unwrap()
}

async fn answer(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let message: Value = serde_json::from_slice(&body).unwrap();
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let who = header("authorization").unwrap_or_default();
    let done = |result: Value| reply(200, &json!({"jsonrpc": "2.0", "id": message["id"], "result": result}));
    let refused =
        |code: i32| json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": code, "message": "no"}});
    if server.kind == Kind::Closed && who.is_empty() {
        return reply(401, &json!({"error": "who are you?"}));
    }
    match message["method"].as_str().unwrap() {
        "server/discover" if server.kind == Kind::Modern => done(json!({"resultType": "complete",
            "supportedVersions": ["2026-07-28"], "capabilities": {}, "ttlMs": 0, "cacheScope": "public"})),
        "initialize" if server.kind != Kind::Modern => {
            let mut sessions = server.sessions.lock().unwrap();
            let id = format!("s{}", sessions.len());
            sessions.insert(id.clone(), who);
            let mut response = done(json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                "serverInfo": {"name": "old", "version": "1"}}));
            response.headers_mut().insert("mcp-session-id", id.parse().unwrap());
            response
        }
        "notifications/initialized" => Response::builder().status(202).body(Body::empty()).unwrap(),
        "tools/call" => {
            let began =
                header("mcp-session-id").and_then(|id| server.sessions.lock().unwrap().get(&id).cloned());
            if server.kind != Kind::Modern && began.is_none() {
                return reply(404, &refused(-32600));
            }
            let meta = &message["params"]["_meta"]["com.example/token"];
            let text = format!("request {who}, session {}, meta {meta}", began.unwrap_or_default());
            done(json!({"resultType": "complete", "content": [{"type": "text", "text": text}]}))
        }
        _ => reply(404, &refused(-32601)),
    }
}

async fn up(kind: Kind) -> (Rig, Arc<Server>, Simulated) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Arc::new(Server { kind, sessions: Mutex::default() });
    let router = axum::Router::new().route("/mcp", post(answer)).with_state(Arc::clone(&server));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let host = Simulated::new(|_, _| Box::pin(std::future::pending()));
    host.endpoint_of(NAME, address);
    let rig = Rig::new(Provisioner::with_host(host.clone(), key(), Settings::default()));
    let (status, body) = rig.put(&spec()).await;
    assert_eq!((status.as_u16(), body["state"].as_str()), (200, Some("running")), "{body}");
    (rig, server, host)
}

/// Tokens too short to be struck out of answers, so that they can be seen here.
fn bearer(letter: u8, version: i64, token: &str) -> Delivered {
    let mut credential = credential(&account(letter), version, token, &[]);
    let header = at(json!({"in": "header", "name": "Authorization"}));
    credential.placed.push((header, SecretText::new(token.to_owned())));
    credential
}

async fn call(rig: &Rig, credential: &Delivered) -> Heard {
    rig.tool_with(NAME, "whoami", json!({}), credential).await
}

fn starts(host: &Simulated) -> usize {
    host.journal().iter().filter(|step| *step == "start").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_the_credential_of_its_account() {
    let (rig, _, _) = up(Kind::Modern).await;
    for _ in 0..2 {
        assert_eq!(call(&rig, &bearer(b'a', 1, "ann")).await.text(), "request ann, session , meta null");
        assert_eq!(call(&rig, &bearer(b'b', 1, "bob")).await.text(), "request bob, session , meta null");
        assert_eq!(rig.tool(NAME, "whoami", json!({})).await.text(), "request , session , meta null");
    }
    assert_eq!(call(&rig, &bearer(b'a', 2, "new")).await.text(), "request new, session , meta null");
    let meta = credential(&account(b'a'), 3, "ann", &[at(json!({"in": "meta", "key": "com.example/token"}))]);
    assert_eq!(call(&rig, &meta).await.text(), "request , session , meta \"ann\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_account_has_a_session_of_its_own() {
    for kind in [Kind::Open, Kind::Closed] {
        let (rig, server, host) = up(kind).await;
        for _ in 0..2 {
            assert_eq!(
                call(&rig, &bearer(b'a', 1, "ann")).await.text(),
                "request ann, session ann, meta null"
            );
            assert_eq!(
                call(&rig, &bearer(b'b', 1, "bob")).await.text(),
                "request bob, session bob, meta null"
            );
        }
        let of_accounts =
            |sessions: &HashMap<String, String>| sessions.values().filter(|who| !who.is_empty()).count();
        assert_eq!(of_accounts(&server.sessions.lock().unwrap()), 2, "one each");
        // A newer token begins another session: a server may have kept the old one with the first.
        assert_eq!(call(&rig, &bearer(b'a', 2, "new")).await.text(), "request new, session new, meta null");
        assert_eq!(call(&rig, &bearer(b'a', 1, "ann")).await.text(), "request new, session new, meta null");
        let nobody = rig.tool(NAME, "whoami", json!({})).await;
        if kind == Kind::Open {
            assert_eq!(nobody.text(), "request , session , meta null");
        } else {
            assert_eq!(
                (nobody.status.as_u16(), &nobody.last()["type"]),
                (403, &json!("urn:ambit:wrong-credential"))
            );
        }
        // Disconnected: what her session was begun with is not used again.
        let name = schemas::names::WorkloadName::parse(NAME).unwrap().for_subject(&account(b'a')).unwrap();
        assert_eq!(rig.json("DELETE", &format!("/v1/workloads/{name}"), "").await.0, 204);
        assert_eq!(call(&rig, &bearer(b'a', 1, "ann")).await.text(), "request ann, session ann, meta null");
        // A server that forgets its sessions is greeted again, on the same account.
        server.sessions.lock().unwrap().clear();
        assert_eq!(call(&rig, &bearer(b'b', 1, "bob")).await.text(), "request bob, session bob, meta null");
        assert_eq!(starts(&host), 1, "{kind:?}: one process for all");
    }
}
