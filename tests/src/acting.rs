//! A remote MCP server that acts on people's accounts: it takes the credential of each request to the account API of a provider, and
//! answers who that says it is. It counts what it was brought, and can be told not to take it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

#[derive(Debug)]
struct Inner {
    /// The account API.
    account: String,
    client: reqwest::Client,
    /// How often each credential was brought to a tool.
    brought: Mutex<BTreeMap<String, usize>>,
    /// So many requests are refused with 401, whatever they bring.
    refusals: AtomicUsize,
    /// How many calls it heard.
    calls: AtomicUsize,
}

/// The server.
#[derive(Debug, Clone)]
pub struct Acting {
    inner: Arc<Inner>,
    /// Its endpoint.
    pub url: String,
}

impl Acting {
    /// Starts it on loopback, in front of the account API at that address.
    pub async fn start(account: &str) -> Self {
        let inner = Arc::new(Inner {
            account: account.to_owned(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            brought: Mutex::default(),
            refusals: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
        });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let router =
            axum::Router::new().route("/mcp", axum::routing::post(answer)).with_state(Arc::clone(&inner));
        let listener = listener.into_std().unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await.unwrap();
            });
        });
        Self { inner, url }
    }

    /// As an organisation sets it up, on accounts at that provider.
    pub fn server(&self, provider: &str, more: &Value) -> Value {
        let mut account = json!({ "provider": provider });
        for (name, value) in more.as_object().into_iter().flatten() {
            account[name] = value.clone();
        }
        json!({ "url": self.url, "account": account, "trust": "first_party" })
    }

    /// From now on it refuses so many calls with 401.
    pub fn refuse(&self, calls: usize) {
        self.inner.refusals.store(calls, Ordering::SeqCst);
    }

    /// How often each credential was brought, since this was asked last.
    pub fn brought(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.inner.brought.lock().unwrap())
    }

    /// How many calls it heard since this was asked last.
    pub fn calls(&self) -> usize {
        self.inner.calls.swap(0, Ordering::SeqCst)
    }
}

async fn answer(
    State(server): State<Arc<Inner>>,
    headers: HeaderMap,
    Json(message): Json<Value>,
) -> Response {
    let result = match message["method"].as_str() {
        Some("server/discover") => {
            json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {}, "prompts": {} } })
        }
        Some("tools/list") => {
            let tool = |name: &str| json!({ "name": name, "inputSchema": { "type": "object" } });
            json!({ "tools": [tool("whoami"), tool("write")] })
        }
        Some("prompts/list") => json!({ "prompts": [{ "name": "mine" }] }),
        Some("tools/call" | "prompts/get") => match server.act(&headers).await {
            Ok(result) if message["method"] == "prompts/get" => {
                let text = result["content"][0]["text"].clone();
                json!({ "messages": [{ "role": "user", "content": { "type": "text", "text": text } }] })
            }
            Ok(result) => result,
            Err(status) => return status.into_response(),
        },
        _ => json!({}),
    };
    let mut result = result;
    result["resultType"] = json!("complete");
    Json(json!({ "jsonrpc": "2.0", "id": message["id"], "result": result })).into_response()
}

impl Inner {
    async fn act(&self, headers: &HeaderMap) -> Result<Value, StatusCode> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let credential =
            headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        *self.brought.lock().unwrap().entry(credential.to_owned()).or_default() += 1;
        let refuse =
            self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if refuse.is_ok() {
            return Err(StatusCode::UNAUTHORIZED);
        }
        let mut request = self.client.get(&self.account);
        if !credential.is_empty() {
            request = request.header("authorization", credential);
        }
        let response = request.send().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
        if response.status() == StatusCode::UNAUTHORIZED {
            return Err(StatusCode::UNAUTHORIZED);
        }
        let said = response.text().await.unwrap_or_default();
        Ok(json!({ "content": [{ "type": "text", "text": said }] }))
    }
}
