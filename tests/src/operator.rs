//! The operator, over the management API.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::door::{Answer, Door};
use crate::mcp::Client;

/// The operator, or a person with a key, at work on one organisation.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The way in.
    pub door: Door,
    /// The operator's key.
    pub key: String,
    /// The organisation.
    pub org: String,
}

impl Operator {
    /// Asks for something below `/api/v1/orgs/{org}`.
    pub async fn ask(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let path = format!("/orgs/{}{path}", self.org);
        let (status, _, text) = self.whole(method, &path, &[], body).await;
        let value = serde_json::from_str(&text).unwrap_or_else(|error| {
            assert!(text.is_empty(), "no JSON ({error}): {text}");
            Value::Null
        });
        (status, value)
    }

    /// Asks for anything below `/api/v1`, with more headers. The answer is noted, to be held against the description of the API.
    pub async fn whole(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> (StatusCode, HeaderMap, String) {
        let answer = self.send(method.clone(), path, headers, body).await;
        let (status, headers) = (answer.status, answer.headers.clone());
        let text = answer.text().await;
        crate::description::saw(&method, path, status, &headers, &text);
        (status, headers, text)
    }

    /// Asks for anything below `/api/v1`, with more headers.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header("host", self.door.url().trim_start_matches("http://"));
        if !self.key.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.key));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.door.send(request.body(body).unwrap()).await
    }

    /// Asks for something that must work.
    pub async fn must(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, value) = self.ask(method.clone(), path, body).await;
        assert!(status.is_success(), "{method} {path}: {status} {value}");
        value
    }

    /// A person of the organisation, with these roles and a key of their own.
    pub async fn person(&self, name: &str, roles: &[&str]) -> Self {
        self.must(Method::PUT, &format!("/users/{name}"), json!({ "roles": roles })).await;
        let made = self.must(Method::POST, &format!("/users/{name}/keys"), json!({})).await;
        Self { key: made["key"].as_str().unwrap().to_owned(), ..self.clone() }
    }

    /// Makes the organisation.
    pub async fn found(&self) {
        self.must(Method::PUT, "", Value::Null).await;
    }

    /// Makes a toolbox of servers, and approves their tools as harmless.
    pub async fn toolbox(&self, toolbox: &str, servers: &[(&str, Value)]) {
        for (name, server) in servers {
            self.must(Method::PUT, &format!("/servers/{name}"), server.clone()).await;
        }
        let members: Vec<Value> = servers.iter().map(|(name, _)| json!({ "name": name })).collect();
        self.must(Method::PUT, &format!("/toolboxes/{toolbox}"), json!({ "servers": members })).await;
        for (name, _) in servers {
            self.inspect(toolbox, name).await;
        }
    }

    /// Approves the tools of a server as harmless, whatever they are called.
    pub async fn inspect(&self, toolbox: &str, server: &str) {
        let harmless =
            json!({ "readOnly": false, "destructive": false, "idempotent": false, "openWorld": false });
        let path = format!("/toolboxes/{toolbox}/servers/{server}/inspect");
        self.must(Method::POST, &path, json!({ "approve": { "flags": harmless } })).await;
    }

    /// Makes an agent with a key, and answers a client of a toolbox.
    pub async fn agent(&self, agent: &str, toolbox: &str) -> Client {
        self.must(Method::PUT, &format!("/agents/{agent}"), json!({})).await;
        let key = self.must(Method::POST, &format!("/agents/{agent}/keys"), json!({})).await;
        self.client(toolbox, key["key"].as_str().unwrap())
    }

    /// A client of a toolbox with a token.
    pub fn client(&self, toolbox: &str, token: &str) -> Client {
        Client {
            door: self.door.clone(),
            path: format!("/mcp/{}/{toolbox}", self.org),
            token: token.to_owned(),
        }
    }

    /// Grants an agent something: `toolbox/name`, `server/name`, `tool/server/name`.
    pub async fn grant(&self, agent: &str, what: &str) {
        let path = format!("/grants/agent:{agent}/{}", what.replace('/', ":"));
        self.must(Method::PUT, &path, Value::Null).await;
    }

    /// Accepts the tokens of an issuer, whose keys are at `/jwks`.
    pub async fn trust(&self, issuer: &str) {
        let encoded: String = url::form_urlencoded::byte_serialize(issuer.as_bytes()).collect();
        let trust = json!({ "jwksUri": format!("{issuer}/jwks"), "algorithms": ["ES256"] });
        self.must(Method::PUT, &format!("/issuers/{encoded}"), trust).await;
    }

    /// Publishes the organisation's own policies.
    pub async fn publish(&self, policies: &str) {
        let files = json!([{ "name": "test.cedar", "text": policies }]);
        let body = json!({ "files": files, "breakGlass": "a test" });
        let answer = self.must(Method::PUT, "/policies", body).await;
        assert!(answer["proposal"].is_null(), "{answer}");
    }

    /// The audit trail so far: events, oldest first. Outcomes are written after their answers, so those of the last moment may be missing.
    pub async fn trail(&self) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let after = events.last().map_or("", |event: &Value| event["id"].as_str().unwrap());
            let page = self.must(Method::GET, &format!("/audit?limit=500&after={after}"), Value::Null).await;
            let page = page["events"].as_array().unwrap().clone();
            if page.is_empty() {
                return events;
            }
            for row in page {
                let text = row["event"].to_string();
                let event: schemas::audit::AuditEvent = serde_json::from_str(&text).unwrap();
                assert_eq!(
                    event.seal().unwrap().leaf,
                    row["leaf"].as_str().unwrap(),
                    "a leaf hash covers its event"
                );
                events.push(row["event"].clone());
            }
        }
    }
}
