//! From bytes to a [`Call`]: parse, tell the era, check what the era demands. MCP 2026-07-28, basic/transports; the ladder's order
//! is that of the reference SDKs: envelope, headers, version, method.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::value::RawValue;

use super::error::{
    HEADER_MISMATCH, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE, RpcError, UNSUPPORTED_VERSION,
};
use super::method::Method;
use crate::json::{self, Object};
use crate::protocol::{Era, Legacy, META_CAPABILITIES, META_VERSION, MODERN, decode};

const VERSION: &str = "mcp-protocol-version";
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
const PARAM: &str = "mcp-param-";

/// What a POST holds.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    /// A request, to be answered.
    Call(Box<Call<'a>>),
    /// A notification or a response: taken note of, never answered.
    Note,
}

/// A request that passed its era's checks.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) era: Era,
    pub(crate) id: Box<RawValue>,
    pub(crate) method: Method,
    pub(crate) params: Object<'a>,
    /// `params._meta`, or empty.
    pub(crate) meta: Object<'a>,
    /// `Mcp-Param-*` headers, as they came.
    pub(crate) param_headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether the client said that it can be sent to a URL: modern ones say so here, legacy ones in their handshake.
    pub(crate) takes_urls: bool,
}

/// A refused message: the error, and what is known of its id and era.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: RpcError,
    pub(crate) era: Option<Era>,
    pub(crate) id: Option<Box<RawValue>>,
}

/// Reads one POST.
pub(crate) fn read<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<Message<'a>, Box<Refused>> {
    let bare = |error| Box::new(Refused { error, era: None, id: None });
    let text = json::check(body).map_err(|error| {
        bare(RpcError::new(PARSE, format!("the body is not the JSON this endpoint reads: {error}")))
    })?;
    read_text(headers, text)
}

/// Reads one message whose text is known to be JSON without keys that come twice.
pub(crate) fn read_text<'a>(headers: &HeaderMap, text: &'a str) -> Result<Message<'a>, Box<Refused>> {
    let bare = |error| Box::new(Refused { error, era: None, id: None });
    let message = Object::parse(text).map_err(|_| {
        bare(RpcError::new(INVALID_REQUEST, "one JSON-RPC message per POST: an object is expected"))
    })?;
    let id = read_id(&message).map_err(bare)?;
    let params_text = message.source("params").unwrap_or("{}");
    let params = Object::parse(params_text).map_err(|_| {
        let error = RpcError::new(INVALID_PARAMS, "`params` must be an object");
        Box::new(Refused { error, era: None, id: id.clone() })
    })?;
    let meta = params.source("_meta").map_or_else(|| Ok(Object::default()), Object::parse);
    let era = tell_era(headers, &message, meta.as_ref().ok());
    let refuse =
        |error: RpcError| Box::new(Refused { error, era: era.as_ref().ok().copied(), id: id.clone() });
    let era = match &era {
        Ok(era) => *era,
        Err(error) => return Err(refuse(error.clone())),
    };
    if message.text("jsonrpc").as_deref() != Some("2.0") {
        return Err(refuse(RpcError::new(INVALID_REQUEST, "`jsonrpc` must be \"2.0\"")));
    }
    let Some(name) = message.text("method") else {
        let is_response = message.has("result") || message.has("error");
        return if is_response && era != Era::Modern {
            Ok(Message::Note)
        } else {
            Err(refuse(RpcError::new(
                INVALID_REQUEST,
                "a request has a `method`; responses are not taken here",
            )))
        };
    };
    let Some(id) = id.clone() else { return Ok(Message::Note) };
    let meta = meta.map_err(|_| refuse(RpcError::new(INVALID_PARAMS, "`_meta` must be an object")))?;
    if era == Era::Modern {
        check_envelope(&meta).map_err(refuse)?;
        check_headers(headers, &name, &params, &meta).map_err(refuse)?;
        check_version(&meta).map_err(refuse)?;
    }
    let method = Method::parse(&name, era).ok_or_else(|| {
        refuse(RpcError::new(METHOD_NOT_FOUND, format!("no method `{}` here", shorten(&name))))
    })?;
    let param_headers = if era == Era::Modern { param_headers(headers) } else { Vec::new() };
    let takes_urls = era == Era::Modern
        && meta
            .object(META_CAPABILITIES)
            .and_then(|capabilities| capabilities.object("elicitation")?.object("url").map(drop))
            .is_some();
    Ok(Message::Call(Box::new(Call { era, id, method, params, meta, param_headers, takes_urls })))
}

fn read_id(message: &Object<'_>) -> Result<Option<Box<RawValue>>, RpcError> {
    let Some(id) = message.raw("id") else { return Ok(None) };
    let integer =
        |text: &str| text.bytes().all(|c| c.is_ascii_digit() || c == b'-') && text.parse::<i64>().is_ok();
    if id.get().starts_with('"') || integer(id.get()) {
        Ok(Some(id.to_owned()))
    } else {
        Err(RpcError::new(INVALID_REQUEST, "`id` must be a string or an integer"))
    }
}

/// Which era a message belongs to: by the version it names, never by the mere presence of `_meta` (legacy requests have one too).
fn tell_era(headers: &HeaderMap, message: &Object<'_>, meta: Option<&Object<'_>>) -> Result<Era, RpcError> {
    if meta.is_some_and(|meta| meta.has(META_VERSION)) {
        return Ok(Era::Modern);
    }
    match header(headers, VERSION)? {
        None => Ok(Era::Legacy(Legacy::March2025)),
        Some(version) => match Legacy::parse(&version) {
            Some(revision) => Ok(Era::Legacy(revision)),
            None if version == "2024-11-05" => Ok(Era::Legacy(Legacy::March2025)),
            // An unknown version on something shaped like a modern request is for the modern ladder to refuse.
            None if message.text("method").as_deref() == Some("initialize") && version.as_ref() < MODERN => {
                Ok(Era::Legacy(Legacy::November2025))
            }
            None => Ok(Era::Modern),
        },
    }
}

fn check_envelope(meta: &Object<'_>) -> Result<(), RpcError> {
    if meta.text(META_VERSION).is_none() {
        return Err(RpcError::new(
            INVALID_PARAMS,
            format!("`params._meta` must name its revision in `{META_VERSION}`"),
        ));
    }
    if meta.object(META_CAPABILITIES).is_none() {
        return Err(RpcError::new(
            INVALID_PARAMS,
            format!(
                "`params._meta` must hold the client's capabilities in `{META_CAPABILITIES}`, if only {{}}"
            ),
        ));
    }
    Ok(())
}

fn check_headers(
    headers: &HeaderMap,
    method: &str,
    params: &Object<'_>,
    meta: &Object<'_>,
) -> Result<(), RpcError> {
    let mismatch = |name: &str, why: &str| RpcError::new(HEADER_MISMATCH, format!("header `{name}` {why}"));
    let expect = |name: &'static str, expected: &str| match header(headers, name)? {
        None => Err(mismatch(name, "is missing")),
        Some(value) if decode(&value).as_deref() == Some(expected) => Ok(()),
        Some(_) => Err(mismatch(name, "says something else than the body")),
    };
    expect("mcp-protocol-version", &meta.text(META_VERSION).unwrap_or_default())?;
    expect(METHOD, method)?;
    if let Some(key) = Method::parse(method, Era::Modern).and_then(Method::named_by) {
        let name = params.text(key).ok_or_else(|| {
            RpcError::new(INVALID_PARAMS, format!("`{method}` needs the parameter `{key}`, a string"))
        })?;
        expect(NAME, &name)?;
    } else if headers.contains_key(NAME) {
        // Not required here, but if it is there it must not contradict what routers downstream may believe.
        let named = params.text("name").or_else(|| params.text("uri")).or_else(|| params.text("taskId"));
        match (header(headers, NAME)?, named) {
            (Some(value), Some(name)) if decode(&value).as_deref() != Some(name.as_ref()) => {
                return Err(mismatch(NAME, "says something else than the body"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_version(meta: &Object<'_>) -> Result<(), RpcError> {
    let asked = meta.text(META_VERSION).unwrap_or_default();
    if asked == MODERN {
        return Ok(());
    }
    Err(RpcError::new(UNSUPPORTED_VERSION, format!("revision `{}` is not served here", shorten(&asked)))
        .with_data(serde_json::json!({ "supported": [MODERN], "requested": asked })))
}

/// What the head of a modern request says that it asks for: the method, and the name that `Mcp-Name` mirrors. Nothing, if it says
/// nothing or not well; then the message itself has to be read.
pub(crate) fn announced(headers: &HeaderMap) -> Option<(Method, String)> {
    let once = |name| header(headers, name).ok().flatten();
    if once(VERSION)? != MODERN {
        return None;
    }
    let method = Method::parse(&decode(&once(METHOD)?)?, Era::Modern)?;
    method.named_by()?;
    Some((method, decode(&once(NAME)?)?.into_owned()))
}

/// A header that may come once.
fn header<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<Cow<'h, str>>, RpcError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(RpcError::new(HEADER_MISMATCH, format!("header `{name}` comes twice")));
    }
    let text = value.to_str().map_err(|_| {
        RpcError::new(HEADER_MISMATCH, format!("header `{name}` is not visible ASCII: use =?base64?..?="))
    })?;
    Ok(Some(Cow::Borrowed(text.trim_matches([' ', '\t']))))
}

fn param_headers(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with(PARAM))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Checks `Mcp-Param-*` headers against the arguments, for the arguments that the tool's approved schema mirrors
/// (`x-mcp-header`). `mirrored` holds the header's name part and the argument's path.
pub(crate) fn check_mirrored(call: &Call<'_>, mirrored: &[(String, Vec<String>)]) -> Result<(), RpcError> {
    let arguments: serde_json::Value =
        call.params.get("arguments").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    for (name, path) in mirrored {
        let mut values = mirrors_of(call.param_headers.iter().map(|(key, value)| (key, value)), name);
        let argument =
            path.iter().try_fold(&arguments, |value, key| value.get(key)).filter(|value| !value.is_null());
        let refuse = |why: &str| RpcError::new(HEADER_MISMATCH, format!("header `Mcp-Param-{name}` {why}"));
        match (argument, values.next()) {
            (None, None) => {}
            (None, Some(_)) => return Err(refuse("mirrors an argument that is not there")),
            (Some(_), None) => return Err(refuse("is missing")),
            (Some(argument), Some(value)) => {
                let same = mirrored_text(value).is_some_and(|text| mirrors(&text, argument));
                if !same || values.next().is_some() {
                    return Err(refuse("says something else than the argument"));
                }
            }
        }
    }
    Ok(())
}

/// The headers that mirror the argument whose header name part this is.
fn mirrors_of<'h>(
    headers: impl Iterator<Item = (&'h HeaderName, &'h HeaderValue)>,
    name: &str,
) -> impl Iterator<Item = &'h HeaderValue> {
    let full = format!("{PARAM}{}", name.to_ascii_lowercase());
    headers.filter(move |(key, _)| key.as_str() == full).map(|(_, value)| value)
}

/// What such a header says.
fn mirrored_text(value: &HeaderValue) -> Option<Cow<'_, str>> {
    value.to_str().ok().map(|text| text.trim_matches([' ', '\t'])).and_then(decode)
}

/// The string that an argument must be, by the header that mirrors it. Text that a number or a boolean would have too says nothing for
/// certain; nor does a header that is not there, for `null` has none either.
pub(crate) fn announced_argument(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut values = mirrors_of(headers.iter(), name);
    let text = mirrored_text(values.next()?)?;
    let certain =
        values.next().is_none() && text.parse::<f64>().is_err() && text != "true" && text != "false";
    certain.then(|| text.into_owned())
}

/// Whether a header's text says what the argument says; numbers are compared as numbers.
fn mirrors(text: &str, argument: &serde_json::Value) -> bool {
    match argument {
        serde_json::Value::String(expected) => text == expected,
        serde_json::Value::Bool(expected) => text == if *expected { "true" } else { "false" },
        serde_json::Value::Number(expected) => text
            .parse::<f64>()
            .ok()
            .zip(expected.as_f64())
            .is_some_and(|(a, b)| (a - b).abs() < f64::EPSILON * a.abs().max(1.0)),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => false,
    }
}

/// User input as it may stand in a message.
pub(crate) fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers() {
        assert!(mirrors("42", &serde_json::json!(42)));
        assert!(mirrors("42.0", &serde_json::json!(42)));
        assert!(!mirrors("42x", &serde_json::json!(42)));
    }
}
