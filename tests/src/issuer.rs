//! An issuer of tokens: a key pair, its JWKS on loopback, and whatever tokens a test wants, good or bad.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::pkcs8::EncodePrivateKey as _;
use serde_json::{Value, json};

/// An issuer.
pub struct Issuer {
    key: EncodingKey,
    /// Its name, and where its keys are (`/jwks`).
    pub url: String,
}

impl Issuer {
    /// Starts one.
    pub async fn start() -> Self {
        use base64::Engine as _;
        let b64 = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let mut bytes = [7; 32];
        getrandom::fill(&mut bytes[1..]).unwrap();
        let secret = p256::SecretKey::from_slice(&bytes).unwrap();
        let point = secret.public_key().to_encoded_point(false);
        let jwks = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "k1",
            "x": b64.encode(point.x().unwrap()), "y": b64.encode(point.y().unwrap()),
        }]});
        let key = EncodingKey::from_ec_der(secret.to_pkcs8_der().unwrap().as_bytes());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router =
            axum::Router::new().route("/jwks", axum::routing::get(move || async move { axum::Json(jwks) }));
        std::thread::spawn({
            let listener = listener.into_std().unwrap();
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await.unwrap();
                });
            }
        });
        Self { key, url }
    }

    /// Claims that are good for an audience, for a client that acts for itself.
    pub fn claims(&self, client: &str, audience: &str) -> Value {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        json!({ "iss": self.url, "sub": client, "client_id": client, "aud": audience, "exp": now + 300, "iat": now })
    }

    /// Signs claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(claims, "JWT")
    }

    /// Signs claims, as another type of token (`typ`).
    pub fn sign_as(&self, claims: &Value, typ: &str) -> String {
        let header =
            Header { kid: Some("k1".into()), typ: Some(typ.into()), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &self.key).unwrap()
    }
}
