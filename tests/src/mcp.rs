//! MCP messages, written by hand so that they can be wrong.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use crate::door::{Answer, Door};

/// The modern revision.
pub const MODERN: &str = "2026-07-28";

/// A client of one toolbox.
#[derive(Debug, Clone)]
pub struct Client {
    /// The way in.
    pub door: Door,
    /// `/mcp/{org}/{toolbox}`.
    pub path: String,
    /// The bearer token.
    pub token: String,
}

/// `_meta` of a modern request.
pub fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": { "elicitation": { "form": {}, "url": {} }, "sampling": {}, "roots": {} },
        "io.modelcontextprotocol/clientInfo": { "name": "tests", "version": "1" },
    })
}

/// A modern request, its headers as they must be.
pub fn modern(method: &str, mut params: Value) -> (Vec<(String, String)>, Value) {
    let mut with = meta();
    if let Some(more) = params.get("_meta").and_then(Value::as_object) {
        for (key, value) in more {
            with[key] = value.clone();
        }
    }
    params["_meta"] = with;
    let mut headers = vec![
        ("mcp-protocol-version".to_owned(), MODERN.to_owned()),
        ("mcp-method".to_owned(), method.to_owned()),
    ];
    let named = match method {
        "tools/call" | "prompts/get" => params.get("name"),
        "resources/read" => params.get("uri"),
        _ => None,
    };
    if let Some(name) = named.and_then(Value::as_str) {
        headers.push(("mcp-name".to_owned(), name.to_owned()));
    }
    (headers, json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }))
}

impl Client {
    /// Sends any body with any headers, beside those every client sends.
    pub async fn post(&self, headers: &[(String, String)], body: impl Into<Bytes>) -> Answer {
        let mut request = Request::post(&self.path)
            .header("host", self.door.url().trim_start_matches("http://"))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        self.door.send(request.body(body.into()).unwrap()).await
    }

    /// A modern request.
    pub async fn modern(&self, method: &str, params: Value) -> Answer {
        let (headers, body) = modern(method, params);
        self.post(&headers, body.to_string()).await
    }

    /// A request of a legacy client after its handshake.
    pub async fn legacy(&self, version: &str, method: &str, params: Value) -> Answer {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.post(&[("mcp-protocol-version".to_owned(), version.to_owned())], body.to_string()).await
    }

    /// A modern call of a tool, to its final message.
    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        self.modern("tools/call", json!({ "name": tool, "arguments": arguments })).await.last().await
    }

    /// Names of a modern list.
    pub async fn names(&self, method: &str, member: &str, key: &str) -> Vec<String> {
        let list = self.modern(method, json!({})).await.json().await;
        let items = list["result"][member].as_array().unwrap_or_else(|| panic!("no {member}: {list}"));
        items.iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
    }
}

/// The text of a tool's answer.
pub fn text(message: &Value) -> &str {
    message["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {message}"))
}
