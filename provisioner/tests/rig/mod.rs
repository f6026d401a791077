//! What the tests share: signed requests to the real router, in memory.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::needless_pass_by_value, reason = "`json!(..)` reads better in a call without `&`")]

pub(crate) mod credential;
pub(crate) mod docker;
pub(crate) mod fake;

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use provisioner::{Provisioner, SharedKey};
use schemas::ids::Timestamp;
use schemas::provisioner::SIGNATURE_HEADER;
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub(crate) fn key() -> SharedKey {
    SharedKey::new([42; 32])
}

pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(since.as_millis()).unwrap())
}

/// A name no other run uses.
pub(crate) fn unique(prefix: &str) -> String {
    format!("{prefix}-{:08x}", getrandom::u32().unwrap())
}

/// The gateway's side.
#[derive(Clone)]
pub(crate) struct Rig {
    pub(crate) provisioner: Provisioner,
    router: axum::Router,
}

/// An answer to one MCP message.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Notifications, then the answer; a problem document stands alone.
    pub(crate) messages: Vec<Value>,
}

impl Heard {
    pub(crate) fn last(&self) -> &Value {
        self.messages.last().unwrap_or(&Value::Null)
    }

    pub(crate) fn result(&self) -> &Value {
        assert_eq!(self.status, StatusCode::OK, "{:?}", self.messages);
        assert!(self.last().get("result").is_some(), "{:?}", self.messages);
        &self.last()["result"]
    }

    pub(crate) fn text(&self) -> &str {
        self.result()["content"][0]["text"].as_str().unwrap()
    }
}

impl Rig {
    pub(crate) fn new(provisioner: Provisioner) -> Self {
        let router = provisioner.router();
        Self { provisioner, router }
    }

    pub(crate) async fn raw(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: impl Into<Vec<u8>>) -> Response<Body> {
        let body = body.into();
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).unwrap();
        let signature = key().sign(method, path, &body, now(), nonce);
        let request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(path)
            .header(SIGNATURE_HEADER, signature)
            .body(Body::from(body))
            .unwrap();
        self.raw(request).await
    }

    pub(crate) async fn json(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Vec<u8>>,
    ) -> (StatusCode, Value) {
        let response = self.send(method, path, body).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body))))
    }

    pub(crate) async fn put(&self, spec: &Value) -> (StatusCode, Value) {
        self.json("PUT", &format!("/v1/workloads/{}", name_of(spec)), spec.to_string()).await
    }

    /// Sends a modern request and hears it out.
    pub(crate) async fn rpc(&self, workload: &str, method: &str, params: Value) -> Heard {
        self.say(workload, request(json!(1), method, params)).await
    }

    pub(crate) async fn say(&self, workload: &str, message: Value) -> Heard {
        let response = self.open(workload, message).await;
        hear(response).await
    }

    pub(crate) async fn open(&self, workload: &str, message: Value) -> Response<Body> {
        self.send("POST", &format!("/v1/workloads/{workload}/mcp"), message.to_string()).await
    }

    pub(crate) async fn tool(&self, workload: &str, tool: &str, arguments: Value) -> Heard {
        self.rpc(workload, "tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    pub(crate) async fn logs(&self, workload: &str) -> String {
        let response = self.send("GET", &format!("/v1/workloads/{workload}/logs"), "").await;
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }
}

pub(crate) fn name_of(spec: &Value) -> String {
    format!(
        "{}.{}.{}",
        spec["org"].as_str().unwrap(),
        spec["toolbox"].as_str().unwrap(),
        spec["server"].as_str().unwrap()
    )
}

/// A complete 2026-07-28 request.
pub(crate) fn request(id: Value, method: &str, mut params: Value) -> Value {
    if params.is_null() {
        params = json!({});
    }
    let meta = params.as_object_mut().unwrap().entry("_meta").or_insert_with(|| json!({}));
    meta["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

pub(crate) async fn hear(response: Response<Body>) -> Heard {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let messages = if headers.get("content-type").is_some_and(|kind| kind == "text/event-stream") {
        text.lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    } else if text.is_empty() {
        Vec::new()
    } else {
        vec![serde_json::from_str(&text).unwrap()]
    };
    Heard { status, headers, messages }
}

/// Waits until something holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..400 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never: {what}");
}
