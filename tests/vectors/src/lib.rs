//! Published vectors for all that the vault and what leaves it is built from, and the cost of sealing and opening. The same library runs
//! natively and in wasm: compilers and back ends differ, so what holds in one need not hold in the other.

use wasm_bindgen::prelude::wasm_bindgen;

#[path = "../../../functions/gateway/src/vault/envelope.rs"]
#[cfg_attr(not(test), expect(dead_code, reason = "the vault as it is shipped; not all of it is tried here"))]
pub mod envelope;
#[path = "../../../functions/gateway/src/vault/place.rs"]
pub mod place;
mod published;
mod sealing;
mod wycheproofs;

pub use sealing::Sealing;

/// Tries all vectors, and answers how many there were of each kind, as JSON. Panics at the first that fails.
#[wasm_bindgen]
pub fn vectors() -> String {
    let mut told = serde_json::Map::new();
    for (name, count) in published::all().into_iter().chain(wycheproofs::all()) {
        told.insert(name.to_owned(), count.into());
    }
    serde_json::Value::Object(told).to_string()
}

/// Bytes from hexadecimal digits.
fn hex(text: &str) -> Vec<u8> {
    let digit = |index: usize| u8::from_str_radix(&text[index..index + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(digit).collect()
}
