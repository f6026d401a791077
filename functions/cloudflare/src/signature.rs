//! Signatures, verified by the platform: five times as fast as Rust in wasm.

use std::cell::RefCell;
use std::collections::HashMap;

use gateway::platform::SignatureCheck;
use js_sys::{Array, JSON, Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{CryptoKey, SubtleCrypto, WorkerGlobalScope};

/// Imported keys to keep: an issuer has a few at a time.
const KEPT: usize = 64;

thread_local! {
    /// Keys by algorithm and JWK; a key of the same text is the same key for ever.
    static KEYS: RefCell<HashMap<(String, String), CryptoKey>> = RefCell::default();
}

/// Verifies a signature; `None` for an algorithm or a key that the platform does not take.
pub(crate) async fn verify(check: SignatureCheck<'_>) -> Option<bool> {
    let algorithm = algorithm(check.algorithm)?;
    let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
    let subtle = scope.crypto().ok()?.subtle();
    let known = (check.algorithm.to_owned(), check.jwk.to_owned());
    let kept = KEYS.with_borrow(|keys| keys.get(&known).cloned());
    let key = if let Some(key) = kept {
        key
    } else {
        let key = import(&subtle, &algorithm, check.jwk).await?;
        KEYS.with_borrow_mut(|keys| {
            if keys.len() >= KEPT {
                keys.clear();
            }
            keys.insert(known, key.clone());
        });
        key
    };
    let promise =
        subtle.verify_with_object_and_u8_array_and_u8_array(&algorithm, &key, check.signature, check.message);
    JsFuture::from(promise.ok()?).await.ok()?.as_bool()
}

async fn import(subtle: &SubtleCrypto, algorithm: &Object, jwk: &str) -> Option<CryptoKey> {
    let jwk: Object = JSON::parse(jwk).ok()?.dyn_into().ok()?;
    let usages = Array::of1(&JsValue::from_str("verify"));
    let promise = subtle.import_key_with_object("jwk", &jwk, algorithm, false, &usages);
    Some(JsFuture::from(promise.ok()?).await.ok()?.unchecked_into())
}

/// The parameters by which the platform knows a JOSE algorithm, for importing and for verifying alike.
fn algorithm(jose: &str) -> Option<Object> {
    let parameters: &[(&str, &str)] = match jose {
        "RS256" => &[("name", "RSASSA-PKCS1-v1_5"), ("hash", "SHA-256")],
        "ES256" => &[("name", "ECDSA"), ("namedCurve", "P-256"), ("hash", "SHA-256")],
        "EdDSA" => &[("name", "Ed25519")],
        _ => return None,
    };
    let object = Object::new();
    for (name, value) in parameters {
        Reflect::set(&object, &JsValue::from_str(name), &JsValue::from_str(value)).ok()?;
    }
    Some(object)
}
