//! The message a server gets: the caller's own bytes, under the server's own names, as a self-describing 2026-07-28 request.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::message::Call;
use super::method::Method;
use crate::json::{Object, raw};
use crate::protocol::{Era, META_CAPABILITIES, META_CLIENT, META_LOG_LEVEL, META_VERSION, MODERN};
use crate::upstream::Message;

/// What legacy clients, which can't say so per request, are taken to want of log messages. Servers send what they find worth
/// telling; a client that set no level gets these too (2025-11-25, logging).
const LEGACY_LOG_LEVEL: &str = "info";

/// Builds the message. `params` are the caller's, already under the server's names and without `_meta`.
pub(super) fn message(call: &Call<'_>, mut params: Object<'_>, name: Option<String>) -> Message {
    params.set("_meta", meta(call).to_raw());
    Message {
        method: call.method.as_str(),
        name,
        param_headers: call.param_headers.clone(),
        body: body(&call.id, call.method, &params),
    }
}

/// A message of our own making, such as one page of a list.
pub(super) fn own(method: Method, id: &RawValue, call: &Call<'_>, mut params: Object<'_>) -> Message {
    params.set("_meta", meta(call).to_raw());
    Message {
        method: method.as_str(),
        name: None,
        param_headers: Vec::new(),
        body: body(id, method, &params),
    }
}

fn body(id: &RawValue, method: Method, params: &Object<'_>) -> Bytes {
    let mut out = String::with_capacity(512);
    out.push_str(r#"{"jsonrpc":"2.0","id":"#);
    out.push_str(id.get());
    out.push_str(r#","method":""#);
    out.push_str(method.as_str());
    out.push_str(r#"","params":"#);
    params.write(&mut out);
    out.push('}');
    Bytes::from(out)
}

/// `_meta` as the server sees it: what the client wrote, less what we can't relay, under the revision we speak inside.
fn meta<'a>(call: &Call<'a>) -> Object<'a> {
    let mut meta = call.meta.clone();
    match call.era {
        Era::Modern => {
            // Extensions change what results may look like (`resultType: "task"`): none is relayed yet, so none is declared.
            if let Some(mut capabilities) = call.meta.object(META_CAPABILITIES)
                && capabilities.remove("extensions")
            {
                meta.set(META_CAPABILITIES, capabilities.to_raw());
            }
        }
        Era::Legacy(_) => {
            meta.retain(|key| !key.starts_with("io.modelcontextprotocol/"));
            meta.put(META_VERSION, &MODERN);
            // Without a session nobody could answer a request of the server, so none may be made.
            meta.set(META_CAPABILITIES, raw("{}".to_owned()));
            meta.put(
                META_CLIENT,
                &serde_json::json!({ "name": "ambit", "version": env!("CARGO_PKG_VERSION") }),
            );
            meta.put(META_LOG_LEVEL, &LEGACY_LOG_LEVEL);
        }
    }
    meta
}
