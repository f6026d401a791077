//! 2026-07-28 to the eras before it and back. Pure: bytes in, bytes out.

use bytes::Bytes;

use crate::bridge::envelope::{
    CAPABILITIES_KEY, CLIENT_KEY, Fields, LOG_KEY, Request, SUBSCRIPTION_KEY, VERSION_KEY,
};
use crate::bridge::era::Era;

/// Methods of the older eras that a modern request cannot mean.
pub(crate) fn is_removed(method: &str) -> bool {
    matches!(
        method,
        "initialize" | "ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe"
    ) || method.starts_with("notifications/")
}

/// How long an answer of an older server may be kept: what its results do not say. `None` for what is not cacheable.
fn lifetime(method: &str) -> Option<u32> {
    match method {
        "tools/list" | "prompts/list" | "resources/list" | "resources/templates/list" => Some(60_000),
        // Its content may change at any time, and nobody says when.
        "resources/read" => Some(0),
        _ => None,
    }
}

/// The parameters as the server reads them: our id for the progress token, and for an older server nothing it did not know.
pub(crate) fn parameters(request: &Request<'_>, id: u64, era: Era) -> String {
    let mut meta = request.meta.clone();
    if era == Era::Legacy {
        meta.retain(|key| ![VERSION_KEY, CAPABILITIES_KEY, CLIENT_KEY, LOG_KEY].contains(&key));
    }
    if meta.get("progressToken").is_some() {
        meta.set("progressToken", id.to_string());
    }
    let mut params = request.params.clone();
    if meta.is_empty() {
        params.retain(|key| key != "_meta");
    } else {
        params.set("_meta", meta.json());
    }
    params.json()
}

/// The result as the gateway reads it, and whether it is complete.
pub(crate) fn result(method: &str, result: Bytes, era: Era) -> (Bytes, bool) {
    let Some(mut fields) = std::str::from_utf8(&result).ok().and_then(Fields::parse) else {
        return (result, false);
    };
    let kind = fields.text("resultType");
    if era == Era::Modern {
        return (result.clone(), kind.as_deref() == Some("complete"));
    }
    // An older server that says `resultType` means something of its own; nothing of ours is there to contradict.
    fields.set("resultType", "\"complete\"".to_owned());
    if let Some(lifetime) = lifetime(method) {
        if fields.get("ttlMs").is_none_or(|json| json.parse::<u64>().is_err()) {
            fields.set("ttlMs", lifetime.to_string());
        }
        fields.set("cacheScope", "\"private\"".to_owned());
    }
    (fields.json().into(), true)
}

/// The error as the gateway reads it. 2026-07-28 retired the code for a missing resource.
pub(crate) fn error(error: Bytes, era: Era) -> Bytes {
    let fields = std::str::from_utf8(&error).ok().and_then(Fields::parse);
    match fields {
        Some(mut fields) if era == Era::Legacy && fields.get("code") == Some("-32002") => {
            fields.set("code", "-32602".to_owned());
            fields.json().into()
        }
        _ => error,
    }
}

/// Parameters with the subscription they belong to in `_meta`.
pub(crate) fn tagged(params: &str, subscription: &str) -> String {
    let mut fields = Fields::parse(params).unwrap_or_default();
    let meta = {
        let mut meta = fields.get("_meta").and_then(Fields::parse).unwrap_or_default();
        meta.set(SUBSCRIPTION_KEY, subscription.to_owned());
        meta.json()
    };
    fields.set("_meta", meta);
    fields.json()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::envelope::Posted;

    fn request(body: &str) -> Request<'_> {
        let Posted::Request(request) = Posted::parse(body.as_bytes()).unwrap() else { panic!("a request") };
        request
    }

    #[test]
    fn an_older_server_sees_nothing_new() {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"a" : 1},"_meta":{
            "io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},
            "io.modelcontextprotocol/clientInfo":{},"io.modelcontextprotocol/logLevel":"info",
            "progressToken":"p","com.example/x":{"k" :1}}}}"#;
        assert_eq!(
            parameters(&request(body), 9, Era::Legacy),
            r#"{"name":"x","arguments":{"a" : 1},"_meta":{"progressToken":9,"com.example/x":{"k" :1}}}"#
        );
        assert!(
            parameters(&request(body), 9, Era::Modern)
                .contains(r#""io.modelcontextprotocol/logLevel":"info","progressToken":9"#)
        );
        let bare = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        assert_eq!(parameters(&request(bare), 9, Era::Legacy), "{}");
    }

    #[test]
    fn results_gain_what_the_gateway_needs() {
        let raw = |text: &'static str| Bytes::from_static(text.as_bytes());
        let (list, complete) = result("tools/list", raw(r#"{"tools":[ 1 ],"x":2}"#), Era::Legacy);
        assert!(complete);
        assert_eq!(
            list,
            r#"{"tools":[ 1 ],"x":2,"resultType":"complete","ttlMs":60000,"cacheScope":"private"}"#
        );
        let (call, _) = result("tools/call", raw(r#"{"content":[]}"#), Era::Legacy);
        assert_eq!(call, r#"{"content":[],"resultType":"complete"}"#);
        let (asks, complete) = result("tools/call", raw(r#"{"resultType":"input_required" }"#), Era::Modern);
        assert_eq!((asks.as_ref(), complete), (br#"{"resultType":"input_required" }"#.as_ref(), false));
        assert_eq!(
            error(raw(r#"{"code":-32002,"message":"gone","data":{"uri":"x"}}"#), Era::Legacy),
            r#"{"code":-32602,"message":"gone","data":{"uri":"x"}}"#
        );
        assert_eq!(
            tagged(r#"{"uri":"a","_meta":{"k":1}}"#, "7"),
            r#"{"uri":"a","_meta":{"k":1,"io.modelcontextprotocol/subscriptionId":7}}"#
        );
    }
}
