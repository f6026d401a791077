//! A key service that speaks as three do: the transit engine of Vault and OpenBao, AWS KMS, and Google Cloud KMS. Its cryptography is real:
//! what it is given back changed, for another organisation, or under a key that was destroyed, it does not decrypt. It checks signatures
//! and tokens, and can be away, refuse, keep silent, answer nonsense, or rotate its key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use rsa::pkcs8::EncodePrivateKey as _;
use rsa::traits::PublicKeyParts as _;
use schemas::ids::{Sha256Hex, hex};
use serde_json::{Value, json};
use sha2::Sha256;

/// The token for the transit engine.
pub const TOKEN: &str = "kms-canary-token";
/// The credentials of AWS: key id, secret, and session token.
pub const AWS: [&str; 3] = ["AKIDCANARY", "kms/canary+secret", "kms-canary-session=="];
/// The name of the key at Google.
pub const GOOGLE: &str = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k";
/// And at AWS.
pub const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

const EMAIL: &str = "gateway@p.iam.gserviceaccount.com";
const GOOGLE_TOKEN: &str = "ya29.kms-canary";

/// What it does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// What it should.
    Honest,
    /// It answers 503.
    Away,
    /// It answers 403, or what the service answers then.
    Refuses,
    /// It does not answer.
    Silent,
    /// It answers something else.
    Babbles,
    /// It encrypts, and does not decrypt.
    OnlyIn,
}

#[derive(Debug)]
struct Inner {
    url: String,
    conduct: Mutex<Conduct>,
    /// Versions of the one key; a version that was destroyed is nothing.
    keys: Mutex<Vec<Option<[u8; 32]>>>,
    hits: Mutex<BTreeMap<String, usize>>,
}

/// A running key service.
#[derive(Debug, Clone)]
pub struct Kms(Arc<Inner>);

/// Which of the three a root is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Vault and OpenBao.
    Transit,
    /// AWS.
    Aws,
    /// Google.
    Google,
}

impl Wire {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Transit, Self::Aws, Self::Google];
}

impl Kms {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let kms = Self(Arc::new(Inner {
            url,
            conduct: Mutex::new(Conduct::Honest),
            keys: Mutex::new(vec![Some(random())]),
            hits: Mutex::default(),
        }));
        let router = axum::Router::new().fallback(answer).with_state(kms.clone());
        let listener = listener.into_std().unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await.unwrap();
            });
        });
        kms
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// How a gateway names its key.
    pub fn root(&self, wire: Wire) -> String {
        match wire {
            Wire::Transit => format!("transit:{}/v1/transit/keys/ambit", self.0.url),
            Wire::Aws => format!("aws-kms:{ARN}"),
            Wire::Google => format!("gcp-kms:{GOOGLE}"),
        }
    }

    /// The secrets of a gateway that may use it, in all three ways.
    pub fn secrets(&self) -> Vec<(String, String)> {
        let credentials = json!({
            "type": "service_account", "client_email": EMAIL, "private_key_id": "k1",
            "private_key": service_account().to_pkcs8_pem(rsa::pkcs8::LineEnding::LF).unwrap().as_str(),
            "token_uri": format!("{}/token", self.0.url),
        });
        let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
        let aws = names.into_iter().zip(AWS).map(|(name, value)| (name.to_owned(), value.to_owned()));
        aws.chain([
            ("AMBIT_VAULT_TOKEN".to_owned(), TOKEN.to_owned()),
            ("GOOGLE_CREDENTIALS".to_owned(), credentials.to_string()),
        ])
        .collect()
    }

    /// Behaves so from now on.
    pub fn behave(&self, conduct: Conduct) {
        *self.0.conduct.lock().unwrap() = conduct;
    }

    /// Makes a new version of the key, which encrypts from now on.
    pub fn rotate(&self) {
        self.0.keys.lock().unwrap().push(Some(random()));
    }

    /// Destroys a version of the key, from 1: no more is decrypted that it encrypted.
    pub fn destroy(&self, version: usize) {
        self.0.keys.lock().unwrap()[version - 1] = None;
    }

    /// How often it was asked for something: `encrypt`, `decrypt`, `token`.
    pub fn hits(&self, what: &str) -> usize {
        self.0.hits.lock().unwrap().get(what).copied().unwrap_or_default()
    }

    fn encrypt(&self, plain: &[u8], aad: &[u8]) -> (usize, Vec<u8>) {
        let keys = self.0.keys.lock().unwrap();
        let nonce: [u8; 24] = random();
        let cipher = XChaCha20Poly1305::new(&Key::from(keys.last().unwrap().unwrap()));
        let sealed = cipher.encrypt(&XNonce::from(nonce), Payload { msg: plain, aad }).unwrap();
        let version = u8::try_from(keys.len()).unwrap();
        (keys.len(), [&[version], &nonce[..], &sealed].concat())
    }

    fn decrypt(&self, sealed: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
        let ([version], rest) = sealed.split_first_chunk()?;
        let (nonce, sealed) = rest.split_first_chunk::<24>()?;
        let key = (*self.0.keys.lock().unwrap().get(usize::from(*version).checked_sub(1)?)?)?;
        let cipher = XChaCha20Poly1305::new(&Key::from(key));
        cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad }).ok()
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// The service account's key: made once in a process, which takes a moment.
fn service_account() -> &'static rsa::RsaPrivateKey {
    static KEY: OnceLock<rsa::RsaPrivateKey> = OnceLock::new();
    KEY.get_or_init(|| rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap())
}

fn refusal(status: StatusCode, body: &Value) -> Response {
    (status, axum::Json(body.clone())).into_response()
}

async fn answer(State(kms): State<Kms>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let conduct = *kms.0.conduct.lock().unwrap();
    match conduct {
        Conduct::Away => return refusal(StatusCode::SERVICE_UNAVAILABLE, &json!({})),
        Conduct::Silent => std::future::pending().await,
        Conduct::Babbles => return (StatusCode::OK, "<html>").into_response(),
        Conduct::Honest | Conduct::Refuses | Conduct::OnlyIn => {}
    }
    let refuses = |operation: &str| {
        *kms.0.hits.lock().unwrap().entry(operation.to_owned()).or_default() += 1;
        conduct == Conduct::Refuses || (conduct == Conduct::OnlyIn && operation == "decrypt")
    };
    let path = uri.path();
    if path == "/token" {
        return google_token(&kms, refuses("token"), &body);
    }
    if let Some(target) = headers.get("x-amz-target") {
        let operation = target.to_str().unwrap().trim_start_matches("TrentService.").to_lowercase();
        return aws(&kms, refuses(&operation), &operation, &headers, &body);
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    if let Some((name, operation)) = path.strip_prefix("/v1/projects/").and_then(|rest| rest.split_once(':'))
    {
        return google(&kms, refuses(operation), (name, operation), &headers, &body);
    }
    match path {
        "/v1/transit/encrypt/ambit" => transit(&kms, refuses("encrypt"), "encrypt", &headers, &body),
        "/v1/transit/decrypt/ambit" => transit(&kms, refuses("decrypt"), "decrypt", &headers, &body),
        _ => refusal(StatusCode::NOT_FOUND, &json!({ "errors": [] })),
    }
}

fn bytes(body: &Value, member: &str) -> Vec<u8> {
    STANDARD.decode(body[member].as_str().unwrap()).unwrap()
}

fn transit(kms: &Kms, refuses: bool, operation: &str, headers: &HeaderMap, body: &Value) -> Response {
    if refuses || headers["x-vault-token"] != TOKEN {
        return refusal(
            StatusCode::FORBIDDEN,
            &json!({ "errors": ["1 error occurred:\n\t* permission denied\n\n"] }),
        );
    }
    let aad = bytes(body, "associated_data");
    if operation == "encrypt" {
        let (version, sealed) = kms.encrypt(&bytes(body, "plaintext"), &aad);
        let ciphertext = format!("vault:v{version}:{}", STANDARD.encode(sealed));
        return axum::Json(json!({ "data": { "ciphertext": ciphertext, "key_version": version } }))
            .into_response();
    }
    let sealed = body["ciphertext"].as_str().unwrap().rsplit(':').next().unwrap();
    match STANDARD.decode(sealed).ok().and_then(|sealed| kms.decrypt(&sealed, &aad)) {
        Some(plain) => axum::Json(json!({ "data": { "plaintext": STANDARD.encode(plain) } })).into_response(),
        None => {
            refusal(StatusCode::BAD_REQUEST, &json!({ "errors": ["cipher: message authentication failed"] }))
        }
    }
}

fn google_token(kms: &Kms, refuses: bool, body: &[u8]) -> Response {
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
    let public = service_account().to_public_key();
    let key = jsonwebtoken::DecodingKey::from_rsa_raw_components(
        &public.n().to_bytes_be(),
        &public.e().to_bytes_be(),
    );
    let mut demands = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    demands.set_audience(&[format!("{}/token", kms.0.url)]);
    demands.set_issuer(&[EMAIL]);
    demands.set_required_spec_claims(&["exp", "aud", "iss"]);
    let good = jsonwebtoken::decode::<Value>(&form["assertion"], &key, &demands);
    let good = good.is_ok_and(|token| {
        token.claims["scope"] == "https://www.googleapis.com/auth/cloudkms"
            && token.header.kid.as_deref() == Some("k1")
    });
    if refuses || !good || form["grant_type"] != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
        return refusal(StatusCode::BAD_REQUEST, &json!({ "error": "invalid_grant" }));
    }
    axum::Json(json!({ "access_token": GOOGLE_TOKEN, "expires_in": 3599, "token_type": "Bearer" }))
        .into_response()
}

fn google(
    kms: &Kms,
    refuses: bool,
    (name, operation): (&str, &str),
    headers: &HeaderMap,
    body: &Value,
) -> Response {
    let denied = |status: StatusCode, why: &str| {
        refusal(status, &json!({ "error": { "code": status.as_u16(), "message": why } }))
    };
    if headers["authorization"] != format!("Bearer {GOOGLE_TOKEN}") {
        return denied(StatusCode::UNAUTHORIZED, "the token is not good");
    }
    if refuses || format!("projects/{name}") != GOOGLE {
        return denied(StatusCode::FORBIDDEN, "permission denied on the key");
    }
    let aad = bytes(body, "additionalAuthenticatedData");
    if operation == "encrypt" {
        let (version, sealed) = kms.encrypt(&bytes(body, "plaintext"), &aad);
        let name = format!("{GOOGLE}/cryptoKeyVersions/{version}");
        return axum::Json(json!({ "name": name, "ciphertext": STANDARD.encode(sealed) })).into_response();
    }
    match kms.decrypt(&bytes(body, "ciphertext"), &aad) {
        Some(plain) => axum::Json(json!({ "plaintext": STANDARD.encode(plain) })).into_response(),
        None => denied(StatusCode::BAD_REQUEST, "decryption failed"),
    }
}

fn aws(kms: &Kms, refuses: bool, operation: &str, headers: &HeaderMap, body: &[u8]) -> Response {
    let denied = |kind: &str| refusal(StatusCode::BAD_REQUEST, &json!({ "__type": kind, "message": "no" }));
    if !is_signed(headers, body) {
        return denied("InvalidSignatureException");
    }
    let body: Value = serde_json::from_slice(body).unwrap();
    if refuses || body["KeyId"] != ARN || headers["x-amz-security-token"] != AWS[2] {
        return denied("AccessDeniedException");
    }
    let context: BTreeMap<String, String> =
        serde_json::from_value(body["EncryptionContext"].clone()).unwrap();
    let aad = serde_json::to_vec(&context).unwrap();
    if operation == "encrypt" {
        let (_, sealed) = kms.encrypt(&bytes(&body, "Plaintext"), &aad);
        return axum::Json(json!({ "CiphertextBlob": STANDARD.encode(sealed), "KeyId": ARN }))
            .into_response();
    }
    match kms.decrypt(&bytes(&body, "CiphertextBlob"), &aad) {
        Some(plain) => {
            axum::Json(json!({ "Plaintext": STANDARD.encode(plain), "KeyId": ARN })).into_response()
        }
        None => denied("InvalidCiphertextException"),
    }
}

/// Whether a POST to `/` is signed with the credentials (Signature Version 4), over all that must be.
fn is_signed(headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
    let authorization = text("authorization").trim_start_matches("AWS4-HMAC-SHA256 ");
    let parts: BTreeMap<&str, &str> =
        authorization.split(", ").filter_map(|part| part.split_once('=')).collect();
    let (Some(credential), Some(names), Some(signature)) =
        (parts.get("Credential"), parts.get("SignedHeaders"), parts.get("Signature"))
    else {
        return false;
    };
    let must = ["content-type", "host", "x-amz-date", "x-amz-security-token", "x-amz-target"];
    let signed: Vec<&str> = names.split(';').collect();
    let Some((id, scope)) = credential.split_once('/') else { return false };
    let date = text("x-amz-date");
    if id != AWS[0]
        || scope != format!("{}/eu-central-1/kms/aws4_request", &date[..8])
        || !must.iter().all(|name| signed.contains(name))
    {
        return false;
    }
    let lines: Vec<String> = signed.iter().map(|name| format!("{name}:{}\n", text(name))).collect();
    let lines = lines.concat();
    let canonical = format!("POST\n/\n\n{lines}\n{names}\n{}", Sha256Hex::of(body));
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", Sha256Hex::of(canonical.as_bytes()));
    let mac = |key: &[u8], text: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    let key = scope.split('/').fold(format!("AWS4{}", AWS[1]).into_bytes(), |key, part| mac(&key, part));
    hex(&mac(&key, &to_sign)) == *signature
}
