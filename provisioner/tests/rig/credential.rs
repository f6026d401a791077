//! Calls on somebody's account: sealed as the gateway seals them.

use axum::body::Body;
use axum::http::{Request, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use provisioner::transit::Sender;
use schemas::ids::{ConnectionId, Sha256Hex, Timestamp};
use schemas::names::WorkloadName;
use schemas::provisioner::{
    CREDENTIAL_HEADER, Delivered, Placement, SIGNATURE_HEADER, SecretText, TransitKey, signature_base,
};
use serde_json::{Value, json};

use super::{Heard, Rig, hear, key, name_of, now, request};

/// An account: each letter is another.
pub(crate) fn account(letter: u8) -> ConnectionId {
    ConnectionId::mint(Timestamp(1), [letter; 10])
}

pub(crate) fn at(placement: Value) -> Placement {
    serde_json::from_value(placement).unwrap()
}

pub(crate) fn variable(name: &str) -> Placement {
    at(json!({"in": "env", "name": name}))
}

/// A credential whose token goes to these places as it is.
pub(crate) fn credential(of: &ConnectionId, version: i64, token: &str, places: &[Placement]) -> Delivered {
    let places = places.iter().map(|at| (at.clone(), SecretText::new(token.to_owned())));
    Delivered {
        subject: of.clone(),
        version,
        until: None,
        token: SecretText::new(token.to_owned()),
        placed: places.collect(),
    }
}

/// The same spec for one account, and its workload's name.
pub(crate) fn for_subject(spec: &Value, of: &ConnectionId, places: &[Placement]) -> (Value, String) {
    let mut spec = spec.clone();
    spec["subject"] = json!({"connection": of.as_str(), "takes": places});
    let name = WorkloadName::parse(&name_of(&spec)).unwrap().for_subject(of).unwrap();
    (spec, name.as_str().to_owned())
}

impl Rig {
    pub(crate) async fn transit_key(&self) -> TransitKey {
        serde_json::from_value(self.json("GET", "/v1/key", "").await.1).unwrap()
    }

    /// A signed call with a credential that is sealed for it; `spoil` may change what is sent.
    pub(crate) async fn sealed(
        &self,
        transit: &TransitKey,
        workload: &str,
        message: &Value,
        credential: &Delivered,
        spoil: impl FnOnce(&mut Request<Body>),
    ) -> Response<Body> {
        let mut request = signed(&Sender::new(transit).unwrap(), workload, message, credential);
        spoil(&mut request);
        self.raw(request).await
    }

    /// A tool call on an account.
    pub(crate) async fn tool_with(
        &self,
        workload: &str,
        tool: &str,
        arguments: Value,
        credential: &Delivered,
    ) -> Heard {
        let message = request(json!(1), "tools/call", json!({"name": tool, "arguments": arguments}));
        let transit = self.transit_key().await;
        hear(self.sealed(&transit, workload, &message, credential, |_| {}).await).await
    }
}

/// A call, signed and sealed.
pub(crate) fn signed(
    sender: &Sender,
    workload: &str,
    message: &Value,
    credential: &Delivered,
) -> Request<Body> {
    let (path, body) = (format!("/v1/workloads/{workload}/mcp"), message.to_string());
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).unwrap();
    let at = now();
    let digest = Sha256Hex::of(body.as_bytes());
    let base = signature_base("POST", &path, at, &URL_SAFE_NO_PAD.encode(nonce), digest.as_str());
    let header = sender.seal(&base, credential).unwrap().header();
    Request::post(path)
        .header(SIGNATURE_HEADER, key().sign_with(&base, &header, at, nonce))
        .header(CREDENTIAL_HEADER, header)
        .body(Body::from(body))
        .unwrap()
}
