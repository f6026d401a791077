//! JSON-RPC envelopes. Only the envelope is parsed; what is inside stays the bytes it was.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::Error;

/// The revision the gateway speaks.
pub(crate) const MODERN: &str = "2026-07-28";
/// The newest revision with a handshake.
pub(crate) const LEGACY: &str = "2025-11-25";

pub(crate) const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
pub(crate) const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
pub(crate) const CLIENT_KEY: &str = "io.modelcontextprotocol/clientInfo";
pub(crate) const LOG_KEY: &str = "io.modelcontextprotocol/logLevel";
pub(crate) const SUBSCRIPTION_KEY: &str = "io.modelcontextprotocol/subscriptionId";
pub(crate) const SERVER_KEY: &str = "io.modelcontextprotocol/serverInfo";

/// One JSON-RPC message of any kind. A repeated key is an error, so nobody reads another message than we do.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope<'a> {
    #[serde(borrow, default)]
    pub(crate) id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) error: Option<&'a RawValue>,
}

impl Envelope<'_> {
    /// The id as one of ours, which are all plain numbers.
    pub(crate) fn our_id(&self) -> Option<u64> {
        self.id.and_then(|id| id.get().parse().ok())
    }
}

/// A JSON object, one level deep, in its own order; the values are the bytes they were.
#[derive(Debug, Default, Clone)]
pub(crate) struct Fields<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Object<'a> {
            type Value = Fields<'a>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(map.size_hint().unwrap_or(4));
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    fields.push((key, Cow::Borrowed(value.get())));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object(std::marker::PhantomData))
    }
}

impl<'a> Fields<'a> {
    /// Parses an object; `None` for anything else.
    pub(crate) fn parse(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// The JSON of a value.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_ref())
    }

    /// A text value, unescaped.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.get(key).and_then(|json| serde_json::from_str(json).ok())
    }

    /// Replaces a value in its place, or adds it at the end.
    pub(crate) fn set(&mut self, key: &'a str, json: String) {
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, value)) => *value = Cow::Owned(json),
            None => self.0.push((Cow::Borrowed(key), Cow::Owned(json))),
        }
    }

    /// Keeps only the fields that pass.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| keep(name));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The object as JSON.
    pub(crate) fn json(&self) -> String {
        let size = self.0.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>();
        let mut json = String::with_capacity(size + 2);
        json.push('{');
        for (position, (name, value)) in self.0.iter().enumerate() {
            if position > 0 {
                json.push(',');
            }
            json.push_str(&quote(name));
            json.push(':');
            json.push_str(value);
        }
        json.push('}');
        json
    }
}

/// Appends a message without its raw line breaks: they would cut it in two on a pipe, and end the field of an event.
/// Between JSON tokens they mean nothing; inside text they are escaped.
pub(crate) fn one_line(line: &mut Vec<u8>, message: &[u8]) {
    if memchr::memchr2(b'\n', b'\r', message).is_none() {
        line.extend_from_slice(message);
    } else {
        line.extend(message.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    }
}

/// A text as JSON.
pub(crate) fn quote(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

/// What a request of the gateway asks, with its own id and tokens set aside.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// Its id, byte for byte.
    pub(crate) id: &'a str,
    pub(crate) method: Cow<'a, str>,
    pub(crate) params: Fields<'a>,
    pub(crate) meta: Fields<'a>,
}

/// What the gateway sent.
#[derive(Debug)]
pub(crate) enum Posted<'a> {
    Request(Request<'a>),
    /// Accepted, and of no use to a stateless server.
    Notification,
}

impl<'a> Posted<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let malformed = |reason: &str| Error::Malformed { reason: reason.to_owned() };
        let text = std::str::from_utf8(body).map_err(|_| malformed("the message is not UTF-8"))?;
        let envelope: Envelope<'a> = serde_json::from_str(text).map_err(|error| Error::Malformed {
            reason: format!("the message is no JSON-RPC object: {error}"),
        })?;
        let method = envelope
            .method
            .ok_or_else(|| malformed("the message has no `method`: only requests may be sent"))?;
        let Some(id) = envelope.id else { return Ok(Self::Notification) };
        if !id.get().starts_with(['"', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
            return Err(malformed("the `id` is neither text nor a number"));
        }
        let params = match envelope.params {
            None => Fields::default(),
            Some(params) => Fields::parse(params.get()).ok_or_else(|| malformed("`params` is no object"))?,
        };
        let meta = match params.0.iter().find(|(name, _)| name == "_meta") {
            // Straight from the parser, hence always borrowed.
            Some((_, Cow::Borrowed(json))) => {
                Fields::parse(json).ok_or_else(|| malformed("`_meta` is no object"))?
            }
            _ => Fields::default(),
        };
        Ok(Self::Request(Request { id: id.get(), method, params, meta }))
    }
}

/// `{"jsonrpc":"2.0","id":...,"result":...}` and its kin.
pub(crate) fn answer(id: &str, member: &str, value: &[u8]) -> Bytes {
    let mut message = Vec::with_capacity(id.len() + value.len() + 40);
    message.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    message.extend_from_slice(id.as_bytes());
    message.extend_from_slice(b",\"");
    message.extend_from_slice(member.as_bytes());
    message.extend_from_slice(b"\":");
    message.extend_from_slice(value);
    message.push(b'}');
    message.into()
}

/// A JSON-RPC error answer of our own.
pub(crate) fn refusal(id: &str, code: i32, message: &str) -> Bytes {
    answer(id, "error", format!("{{\"code\":{code},\"message\":{}}}", quote(message)).as_bytes())
}

/// A notification.
pub(crate) fn notification(method: &str, params: &str) -> Bytes {
    format!("{{\"jsonrpc\":\"2.0\",\"method\":{},\"params\":{params}}}", quote(method)).into()
}

/// A request of ours, or one of the gateway's under an id of ours.
pub(crate) fn request(id: u64, method: &str, params: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":{},\"params\":{params}}}", quote(method))
}

/// The gateway's own request, with what was added to its `_meta`.
pub(crate) fn rebuilt(request: &Request<'_>) -> Bytes {
    let mut params = request.params.clone();
    params.set("_meta", request.meta.json());
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":{},\"params\":{}}}",
        request.id,
        quote(&request.method),
        params.json()
    )
    .into()
}

/// The severity of a log message (RFC 5424), least first.
pub(crate) fn severity(level: &str) -> u8 {
    let levels = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];
    levels.iter().position(|known| *known == level).and_then(|place| u8::try_from(place).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_inside_survive() {
        let body = br#"{"jsonrpc":"2.0","id":"a\u0041","method":"tools/call","params":{"x": [1.0,  2e3],"_meta":{"progressToken":7,"v/x":null}}}"#;
        let Posted::Request(request) = Posted::parse(body).unwrap() else { panic!("a request") };
        assert_eq!(request.id, r#""a\u0041""#);
        assert_eq!(request.params.get("x"), Some("[1.0,  2e3]"));
        assert_eq!(request.meta.get("progressToken"), Some("7"));
        assert_eq!(request.meta.json(), r#"{"progressToken":7,"v/x":null}"#);
    }

    #[test]
    fn what_is_no_request() {
        for bad in [
            "",
            "[]",
            "1",
            r#"{"id":1}"#,
            r#"{"id":1,"result":{}}"#,
            r#"{"id":1,"id":2,"method":"x"}"#,
            r#"{"id":{},"method":"x"}"#,
            r#"{"id":1,"method":"x","params":[]}"#,
            r#"{"id":1,"method":"x"} {}"#,
        ] {
            assert!(Posted::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let notification = Posted::parse(br#"{"jsonrpc":"2.0","method":"notifications/x"}"#).unwrap();
        assert!(matches!(notification, Posted::Notification));
    }
}
