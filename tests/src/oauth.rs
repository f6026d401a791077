//! The client's side of OAuth, written by hand so that it can be wrong.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::browser::{Browser, Page};
use crate::door::Door;

/// Where a native client says it listens. Nobody does: the browser of the tests stops there.
pub const REDIRECT: &str = "http://127.0.0.1:9/callback";
/// A verifier (RFC 7636 §4.1).
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// An answer of an endpoint.
#[derive(Debug, Clone)]
pub struct Told {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, which is JSON or nothing.
    pub body: Value,
}

impl Told {
    /// A member that is text; empty if it is not there.
    pub fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_default()
    }

    /// The error code (RFC 6749 §5.2).
    pub fn error(&self) -> &str {
        self.text("error")
    }

    /// The access token, which must be there.
    pub fn token(&self) -> &str {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        assert_eq!(self.headers["cache-control"], "no-store");
        self.text("access_token")
    }
}

/// A client, and the authorization server that it speaks with.
#[derive(Debug, Clone)]
pub struct Client {
    /// The way in.
    pub door: Door,
    /// `client_id`.
    pub id: String,
    /// `client_secret`, if it has one; sent by Basic.
    pub secret: Option<String>,
    /// Where it listens.
    pub redirect_uri: String,
}

/// The challenge of a verifier (RFC 7636 §4.2).
pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

/// Sends a request to a path of the gateway.
pub async fn send(
    door: &Door,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Told {
    let mut request =
        Request::builder().method(method).uri(path).header("host", door.url().trim_start_matches("http://"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = door.send(request.body(body.into()).unwrap()).await;
    let (status, headers) = (answer.status, answer.headers.clone());
    let text = answer.text().await;
    Told { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
}

/// Gets a document.
pub async fn get(door: &Door, path: &str) -> Told {
    send(door, Method::GET, path, &[], Bytes::new()).await
}

/// Registers a client (RFC 7591).
pub async fn register(door: &Door, metadata: &Value) -> Told {
    send(door, Method::POST, "/register", &[("content-type", "application/json")], metadata.to_string()).await
}

fn encoded(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

impl Client {
    /// A public client that registers itself.
    pub async fn registered(door: &Door) -> Self {
        let told = register(
            door,
            &json!({
                "client_name": "Test client", "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none",
                "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
            }),
        )
        .await;
        assert_eq!(told.status, StatusCode::CREATED, "{}", told.body);
        Self {
            door: door.clone(),
            id: told.text("client_id").to_owned(),
            secret: None,
            redirect_uri: REDIRECT.into(),
        }
    }

    /// The parameters of a request that is good, for a resource.
    pub fn request(&self, resource: &str) -> Vec<(String, String)> {
        [
            ("response_type", "code"),
            ("client_id", &self.id),
            ("redirect_uri", &self.redirect_uri),
            ("code_challenge", &challenge(VERIFIER)),
            ("code_challenge_method", "S256"),
            ("resource", resource),
            ("state", "the-state"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// The address of a request.
    pub fn address(request: &[(String, String)]) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(request).finish();
        format!("/authorize?{query}")
    }

    /// What a person who is signed in is asked.
    pub async fn asked(&self, browser: &mut Browser, resource: &str) -> Page {
        browser.open(&Self::address(&self.request(resource))).await
    }

    /// What comes back to the client when the person says yes.
    pub async fn allowed(&self, browser: &mut Browser, resource: &str, filled: &[(&str, &str)]) -> Back {
        let page = self.asked(browser, resource).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text());
        let form = page.form("Let it in", filled).unwrap_or_else(|| panic!("not asked: {}", page.text()));
        back(&browser.send(&form, Some(&page.url)).await)
    }

    /// A code for a resource, from a person who is signed in and says yes.
    pub async fn code(&self, browser: &mut Browser, resource: &str) -> String {
        let back = self.allowed(browser, resource, &[]).await;
        assert_eq!(back.get("state"), "the-state");
        assert_eq!(back.get("iss"), self.door.url(), "{back:?}");
        back.get("code")
    }

    /// Asks the token endpoint, with these fields beside the client's own.
    pub async fn token(&self, fields: &[(&str, &str)]) -> Told {
        self.post("/token", fields).await
    }

    /// Asks an endpoint, with these fields beside the client's own.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Told {
        let mut all = fields.to_vec();
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
        let basic = self
            .secret
            .as_ref()
            .map(|secret| format!("Basic {}", STANDARD.encode(format!("{}:{secret}", self.id))));
        match &basic {
            Some(basic) => headers.push(("authorization", basic)),
            None if !self.id.is_empty() && !fields.iter().any(|(name, _)| *name == "client_id") => {
                all.push(("client_id", &self.id));
            }
            None => {}
        }
        send(&self.door, Method::POST, path, &headers, encoded(&all)).await
    }

    /// Redeems a code.
    pub async fn redeem(&self, code: &str) -> Told {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", VERIFIER),
        ];
        self.token(&fields).await
    }

    /// Uses a refresh token.
    pub async fn refresh(&self, token: &str) -> Told {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }
}

/// What came back to a client.
#[derive(Debug, Clone)]
pub struct Back(pub Url);

/// What a redirect brings to the client.
pub fn back(page: &Page) -> Back {
    Back(page.location().unwrap_or_else(|| panic!("no redirect, but {}: {}", page.status, page.text())))
}

impl Back {
    /// A parameter; empty if it is not there.
    pub fn get(&self, name: &str) -> String {
        let found = self.0.query_pairs().find(|(other, _)| other == name);
        found.map(|(_, value)| value.into_owned()).unwrap_or_default()
    }
}
