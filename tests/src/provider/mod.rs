//! A provider of accounts that does what a test says: an authorization server, and an API that its tokens open. It plays every kind of
//! provider that the gateway knows, counts who comes with what, and is honest until it is told otherwise.
//!
//! ```ignore
//! let provider = Provider::start().await;
//! provider.play("slack");
//! operator.must(Method::PUT, "/providers/chat", provider.settings("slack")).await;
//! provider.change(|it| it.fault = Some(Fault::Status(503)));
//! assert_eq!(provider.hits("token"), 1);
//! ```

mod conduct;
mod endpoints;
mod grants;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

pub use self::conduct::{Conduct, Fault, Pkce, Proof, Rotation, TENANT};
use self::conduct::{habits, honest};
use self::grants::Grants;
use crate::identity_provider::Key;

/// The client that the gateway is there.
pub const CLIENT: &str = "ambit-at-provider";
/// And its secret: with characters that must be encoded before they go into a header (RFC 6749 §2.3.1).
pub const SECRET: &str = "p r:o%v+/=";
/// A key of the account API, as people enter it.
pub const API_KEY: &str = "canary-key-1001";
/// A user name and password of the account API.
pub const PASSWORD: (&str, &str) = ("ann", "canary:pass word");

#[derive(Debug)]
struct Inner {
    url: String,
    conduct: Mutex<Conduct>,
    grants: Mutex<Grants>,
    /// Clients that registered themselves: id and secret.
    clients: Mutex<HashMap<String, Option<String>>>,
    key: Key,
    hits: Mutex<BTreeMap<String, usize>>,
    /// How often a token was shown to the account API, and was good.
    calls: Mutex<BTreeMap<String, usize>>,
    asked: Mutex<BTreeMap<&'static str, BTreeMap<String, String>>>,
    /// Seconds that its clock is ahead of the machine's.
    ahead: AtomicU64,
}

/// A running provider.
#[derive(Debug, Clone)]
pub struct Provider(Arc<Inner>);

impl Provider {
    /// Starts one on loopback.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let provider = Self(Arc::new(Inner {
            conduct: Mutex::new(honest(&url)),
            url,
            grants: Mutex::default(),
            clients: Mutex::default(),
            key: Key::new("p1"),
            hits: Mutex::default(),
            calls: Mutex::default(),
            asked: Mutex::default(),
            ahead: AtomicU64::new(0),
        }));
        let router = endpoints::router(provider.clone());
        let listener = listener.into_std().unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await.unwrap();
            });
        });
        provider
    }

    /// Where it is, which is its issuer too.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// From now on it has the habits of this kind, and is honest.
    pub fn play(&self, kind: &str) {
        let mut conduct = honest(self.url());
        habits(kind, &mut conduct);
        *self.0.conduct.lock().unwrap() = conduct;
    }

    /// From now on it does this, too.
    pub fn change(&self, change: impl FnOnce(&mut Conduct)) {
        change(&mut self.0.conduct.lock().unwrap());
    }

    /// From now on this is who is signed in there.
    pub fn sign_in(&self, subject: &str) {
        self.change(|it| subject.clone_into(&mut it.subject));
    }

    /// As an organisation sets it up: the body of `PUT providers/{name}`.
    pub fn settings(&self, kind: &str) -> Value {
        let url = self.url();
        let revoke = if kind.starts_with("github") {
            format!("{url}/applications/{CLIENT}/grant")
        } else {
            format!("{url}/revoke")
        };
        let mut endpoints = json!({
            "authorize": format!("{url}/authorize"), "token": format!("{url}/token"),
            "account": format!("{url}/account"), "revoke": revoke,
        });
        match kind {
            "oidc" => {
                return json!({ "kind": kind, "clientId": CLIENT, "clientSecret": SECRET, "settings": { "issuer": url } });
            }
            "mcp" => return json!({ "kind": kind, "settings": { "server": format!("{url}/mcp") } }),
            "api-key" | "basic" => {
                return json!({ "kind": kind, "settings": { "account": format!("{url}/account") } });
            }
            "google" => {
                endpoints["issuer"] = json!(url);
                endpoints["jwks"] = json!(format!("{url}/jwks"));
            }
            "microsoft" => {
                endpoints["issuer"] = json!(format!("{url}/{{tenantid}}/v2.0"));
                endpoints["jwks"] = json!(format!("{url}/jwks"));
            }
            "atlassian" => endpoints["sites"] = json!(format!("{url}/sites")),
            _ => {}
        }
        let has_none: &[&str] = match kind {
            "google" | "notion" | "salesforce" => &["account"],
            "microsoft" => &["account", "revoke"],
            "atlassian" => &["revoke"],
            _ => &[],
        };
        endpoints.as_object_mut().unwrap().retain(|name, _| !has_none.contains(&name.as_str()));
        let mut settings = json!({ "endpoints": endpoints });
        if kind == "microsoft" {
            settings["tenants"] = json!([TENANT]);
        }
        json!({ "kind": kind, "clientId": CLIENT, "clientSecret": SECRET, "settings": settings })
    }

    /// Moves its clock ahead.
    pub fn advance(&self, by: Duration) {
        self.0.ahead.fetch_add(by.as_secs(), Ordering::Relaxed);
    }

    /// How often it was asked at an endpoint since this was called last: `authorize`, `token`, `account`, `revoke`, `register`,
    /// `jwks`, `configuration`.
    pub fn hits(&self, endpoint: &str) -> usize {
        self.0.hits.lock().unwrap().remove(endpoint).unwrap_or_default()
    }

    /// How often the account API was called with each token that it took.
    pub fn calls(&self) -> BTreeMap<String, usize> {
        self.0.calls.lock().unwrap().clone()
    }

    /// What an endpoint was asked last: the parameters of the request.
    pub fn asked(&self, endpoint: &str) -> BTreeMap<String, String> {
        self.0.asked.lock().unwrap().get(endpoint).cloned().unwrap_or_default()
    }

    /// Every token and code that it ever gave out, for looking where they must not be.
    pub fn secrets(&self) -> Vec<String> {
        self.0.grants.lock().unwrap().secrets()
    }

    /// How many consents are alive: neither revoked nor ended by a reuse.
    pub fn alive(&self) -> usize {
        self.0.grants.lock().unwrap().alive()
    }

    /// Access tokens that are good now, by whom they are of.
    pub fn access_of(&self, subject: &str) -> Vec<String> {
        self.0.grants.lock().unwrap().access_of(subject, self.now())
    }

    /// Every access token has ended; refresh tokens have not.
    pub fn expire(&self) {
        self.0.grants.lock().unwrap().expire(self.now());
    }

    /// The person took back every consent, there.
    pub fn take_back(&self) {
        self.0.grants.lock().unwrap().end_all();
    }

    fn count(&self, endpoint: &str) {
        *self.0.hits.lock().unwrap().entry(endpoint.to_owned()).or_default() += 1;
    }

    fn conduct(&self) -> Conduct {
        self.0.conduct.lock().unwrap().clone()
    }

    fn note(&self, endpoint: &'static str, asked: &BTreeMap<String, String>) {
        self.0.asked.lock().unwrap().insert(endpoint, asked.clone());
    }

    /// Seconds since 1970, by its clock.
    fn now(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        since.as_secs() + self.0.ahead.load(Ordering::Relaxed)
    }

    fn id_token(&self, subject: &str, client: &str, nonce: Option<&str>) -> String {
        let conduct = self.conduct();
        let now = self.now();
        let mut claims = json!({
            "iss": conduct.issuer, "sub": subject, "aud": client, "iat": now, "exp": now + 300, "nonce": nonce,
        });
        let changed = claims.as_object_mut().unwrap();
        changed.extend(conduct.claims.clone());
        changed.retain(|_, value| !value.is_null());
        self.0.key.sign(&about(&claims, subject))
    }
}

/// A template, about somebody.
fn about(template: &Value, subject: &str) -> Value {
    let text = template.to_string().replace("\"{number}\"", subject).replace("{subject}", subject);
    serde_json::from_str(&text).unwrap()
}
