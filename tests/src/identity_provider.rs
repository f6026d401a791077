//! An identity provider that does what a test says: honest by default, and then hostile in one respect.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::pkcs8::EncodePrivateKey as _;
use serde_json::{Map, Value, json};
use sha2::Digest as _;

/// The client that the gateway is at every provider.
pub const CLIENT: &str = "ambit-gateway";
/// And its secret: with characters that must be encoded before they go into a header (RFC 6749 §2.3.1).
pub const SECRET: &str = "s e:c%ret+/=";

/// Who signed a token, or pretends to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// The provider, by its newest key.
    Well,
    /// Nobody: `alg` is `none`.
    Not,
    /// Whoever knows the public key, which serves as the secret of HS256.
    ByPublicKey,
    /// Somebody else, under the same key id.
    ByStranger,
}

/// What it does. The default is honest.
#[derive(Debug, Clone)]
pub struct Conduct {
    /// Who is signed in there.
    pub subject: String,
    /// Claims that are added, replaced, or (null) left out.
    pub claims: Map<String, Value>,
    /// The same of the token's header.
    pub header: Map<String, Value>,
    /// Who signs.
    pub signed: Signed,
    /// Whether its metadata promises `iss` in answers.
    pub promises_iss: bool,
    /// `iss` in answers: its own, another, or none.
    pub iss: Option<String>,
    /// An error in the place of a code.
    pub error: Option<&'static str>,
    /// What is sent as the ID token, whatever else was said.
    pub token: Option<String>,
    /// Discovery and keys answer 503.
    pub away: bool,
}

impl Conduct {
    /// Somebody else is signed in there.
    pub fn sign_in(&mut self, subject: &str) {
        subject.clone_into(&mut self.subject);
    }
}

/// A code that was given out.
#[derive(Debug, Clone)]
struct Code {
    nonce: Option<String>,
    challenge: String,
    redirect_uri: String,
}

#[derive(Debug)]
struct Inner {
    url: String,
    conduct: Mutex<Conduct>,
    keys: Mutex<Vec<Key>>,
    codes: Mutex<HashMap<String, Code>>,
    hits: Mutex<BTreeMap<String, usize>>,
    /// Seconds that its clock is ahead of the machine's.
    ahead: AtomicU64,
}

/// A key that signs with ES256.
pub(crate) struct Key {
    kid: String,
    private: EncodingKey,
    public: Value,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    pub(crate) fn new(kid: &str) -> Self {
        let mut bytes = [7; 32];
        getrandom::fill(&mut bytes[1..]).unwrap();
        let secret = p256::SecretKey::from_slice(&bytes).unwrap();
        let point = secret.public_key().to_encoded_point(false);
        let public = json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
            "x": URL_SAFE_NO_PAD.encode(point.x().unwrap()), "y": URL_SAFE_NO_PAD.encode(point.y().unwrap()),
        });
        let private = EncodingKey::from_ec_der(secret.to_pkcs8_der().unwrap().as_bytes());
        Self { kid: kid.to_owned(), private, public }
    }

    /// As key sets show it.
    pub(crate) fn public(&self) -> &Value {
        &self.public
    }

    /// A JWT.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&json!({ "alg": "ES256", "kid": self.kid })), encode(claims));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &self.private, Algorithm::ES256).unwrap();
        format!("{message}.{signature}")
    }
}

/// A running provider.
#[derive(Debug, Clone)]
pub struct IdentityProvider(Arc<Inner>);

impl IdentityProvider {
    /// Starts one on loopback.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let provider = Self(Arc::new(Inner {
            conduct: Mutex::new(honest(&url)),
            url,
            keys: Mutex::new(vec![Key::new("k1")]),
            codes: Mutex::default(),
            hits: Mutex::default(),
            ahead: AtomicU64::new(0),
        }));
        let router = axum::Router::new()
            .route("/.well-known/openid-configuration", axum::routing::get(configuration))
            .route("/jwks", axum::routing::get(jwks))
            .route("/authorize", axum::routing::get(authorize))
            .route("/token", axum::routing::post(token))
            .with_state(provider.clone());
        let listener = listener.into_std().unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await.unwrap();
            });
        });
        provider
    }

    /// Its issuer.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// As an organisation sets it up, for everyone.
    pub fn settings(&self) -> Value {
        json!({ "issuer": self.url(), "clientId": CLIENT, "clientSecret": SECRET, "admits": "everyone" })
    }

    /// From now on it is honest, but for this.
    pub fn be(&self, change: impl FnOnce(&mut Conduct)) {
        let mut conduct = honest(self.url());
        change(&mut conduct);
        *self.0.conduct.lock().unwrap() = conduct;
    }

    /// Replaces its key by another.
    pub fn rotate(&self, kid: &str) {
        *self.0.keys.lock().unwrap() = vec![Key::new(kid)];
    }

    /// Moves its clock ahead.
    pub fn advance(&self, by: Duration) {
        self.0.ahead.fetch_add(by.as_secs(), Ordering::Relaxed);
    }

    /// How often it was asked at a path since this was called last.
    pub fn hits(&self, path: &str) -> usize {
        self.0.hits.lock().unwrap().remove(path).unwrap_or_default()
    }

    fn count(&self, path: &str) {
        *self.0.hits.lock().unwrap().entry(path.to_owned()).or_default() += 1;
    }

    fn conduct(&self) -> Conduct {
        self.0.conduct.lock().unwrap().clone()
    }

    /// A token by today's conduct.
    pub fn id_token(&self, nonce: Option<&str>) -> String {
        let conduct = self.conduct();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let now = now + self.0.ahead.load(Ordering::Relaxed);
        let mut claims = json!({
            "iss": self.url(), "sub": conduct.subject, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce,
        });
        let keys = self.0.keys.lock().unwrap();
        let key = keys.last().unwrap();
        let mut header = json!({ "alg": "ES256", "kid": key.kid });
        for (changed, changes) in [(&mut claims, &conduct.claims), (&mut header, &conduct.header)] {
            let changed = changed.as_object_mut().unwrap();
            changed.extend(changes.clone());
            changed.retain(|_, value| !value.is_null());
        }
        let algorithm = match conduct.signed {
            Signed::Well | Signed::ByStranger => None,
            Signed::Not => Some("none"),
            Signed::ByPublicKey => Some("HS256"),
        };
        if let Some(algorithm) = algorithm {
            header["alg"] = json!(algorithm);
        }
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&header), encode(&claims));
        let sign = |key: &EncodingKey, algorithm| {
            jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap()
        };
        let signature = match conduct.signed {
            Signed::Well => sign(&key.private, Algorithm::ES256),
            Signed::Not => String::new(),
            Signed::ByPublicKey => {
                let public = key.public.to_string();
                sign(&EncodingKey::from_secret(public.as_bytes()), Algorithm::HS256)
            }
            Signed::ByStranger => sign(&Key::new("x").private, Algorithm::ES256),
        };
        format!("{message}.{signature}")
    }
}

fn honest(url: &str) -> Conduct {
    Conduct {
        subject: "u-1".to_owned(),
        claims: Map::new(),
        header: Map::new(),
        signed: Signed::Well,
        promises_iss: true,
        iss: Some(url.to_owned()),
        error: None,
        token: None,
        away: false,
    }
}

async fn configuration(State(idp): State<IdentityProvider>) -> Response {
    idp.count("discovery");
    let conduct = idp.conduct();
    if conduct.away {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let url = idp.url();
    axum::Json(json!({
        "issuer": url, "authorization_endpoint": format!("{url}/authorize"), "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/jwks"), "response_types_supported": ["code"],
        "authorization_response_iss_parameter_supported": conduct.promises_iss,
    }))
    .into_response()
}

async fn jwks(State(idp): State<IdentityProvider>) -> Response {
    idp.count("jwks");
    if idp.conduct().away {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let keys: Vec<Value> = idp.0.keys.lock().unwrap().iter().map(|key| key.public.clone()).collect();
    axum::Json(json!({ "keys": keys })).into_response()
}

/// Everybody is signed in at once, and sent back.
async fn authorize(
    State(idp): State<IdentityProvider>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    idp.count("authorize");
    assert_eq!((query["client_id"].as_str(), query["response_type"].as_str()), (CLIENT, "code"));
    assert_eq!(query["code_challenge_method"], "S256");
    assert!(query["scope"].split(' ').any(|scope| scope == "openid"), "{query:?}");
    assert!(query["state"].len() >= 43 && query["nonce"].len() >= 43, "{query:?}");
    let conduct = idp.conduct();
    let mut back = url::Url::parse(&query["redirect_uri"]).unwrap();
    if let Some(error) = conduct.error {
        back.query_pairs_mut().append_pair("error", error);
    } else {
        let code = crate::programs::random_key();
        let made = Code {
            nonce: query.get("nonce").cloned(),
            challenge: query["code_challenge"].clone(),
            redirect_uri: query["redirect_uri"].clone(),
        };
        idp.0.codes.lock().unwrap().insert(code.clone(), made);
        back.query_pairs_mut().append_pair("code", &code);
    }
    back.query_pairs_mut().append_pair("state", &query["state"]);
    if let Some(iss) = &conduct.iss {
        back.query_pairs_mut().append_pair("iss", iss);
    }
    (StatusCode::FOUND, [("location", back.to_string())]).into_response()
}

async fn token(
    State(idp): State<IdentityProvider>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    idp.count("token");
    let refuse =
        |error: &str| (StatusCode::BAD_REQUEST, axum::Json(json!({ "error": error }))).into_response();
    let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let expected = STANDARD.encode(format!("{}:{}", encoded(CLIENT), encoded(SECRET)));
    if headers.get("authorization").is_none_or(|shown| shown.to_str().unwrap() != format!("Basic {expected}"))
    {
        return refuse("invalid_client");
    }
    let Some(code) = idp.0.codes.lock().unwrap().remove(&form["code"]) else {
        return refuse("invalid_grant");
    };
    let challenge = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(&form["code_verifier"]));
    if challenge != code.challenge || form["redirect_uri"] != code.redirect_uri {
        return refuse("invalid_grant");
    }
    let token = idp.conduct().token.unwrap_or_else(|| idp.id_token(code.nonce.as_deref()));
    axum::Json(json!({ "access_token": "at", "token_type": "Bearer", "expires_in": 60, "id_token": token }))
        .into_response()
}
