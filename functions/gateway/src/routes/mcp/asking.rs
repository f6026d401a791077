//! Sending a person to a page before a call can go on, in whatever way the client has for that (MCP 2026-07-28, multi-round-trip
//! requests and URL elicitation; 2025-11-25, URL elicitation required; before that, words).

use http::{Response, StatusCode};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::error::{INTERNAL, RpcError, URL_ELICITATION_REQUIRED, answer};
use super::message::Call;
use super::method::Method;
use crate::body::Body;
use crate::json::Object;
use crate::protocol::{Era, Legacy};
use crate::walk::Reply;

/// The key of our own question about an approval. What a client answers to it is for us, and never reaches a server.
pub(super) const APPROVAL: &str = "ambit_approval";
/// The key of our own question about an account.
pub(super) const CONNECT: &str = "ambit_connect";

/// A page that a person has to see.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// What tells it from the others of one answer.
    pub(super) key: String,
    pub(super) url: String,
    pub(super) message: String,
}

/// The client that asks for something, as far as it matters for asking back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Client<'a> {
    pub(super) era: Era,
    pub(super) method: Method,
    pub(super) id: &'a RawValue,
    pub(super) takes_urls: bool,
}

impl<'a> Client<'a> {
    /// The client of a call.
    pub(super) fn of(call: &'a Call<'_>) -> Self {
        Self { era: call.era, method: call.method, id: &call.id, takes_urls: call.takes_urls }
    }

    /// The message that sends the person to these pages. A modern client that takes URLs carries `state` until it calls again.
    pub(super) fn ask(&self, links: &[Link], state: Option<&str>) -> String {
        match self.era {
            Era::Modern if self.takes_urls => {
                let requests: serde_json::Map<String, Value> = links
                    .iter()
                    .map(|Link { key, url, message }| {
                        let params = json!({ "mode": "url", "url": url, "message": message });
                        (key.clone(), json!({ "method": "elicitation/create", "params": params }))
                    })
                    .collect();
                let mut result = json!({ "resultType": "input_required", "inputRequests": requests });
                if let (Some(state), Some(result)) = (state, result.as_object_mut()) {
                    result.insert("requestState".to_owned(), state.into());
                }
                self.result(&result)
            }
            Era::Legacy(Legacy::November2025) if self.takes_urls => {
                let elicitations: Vec<Value> = links
                    .iter()
                    .map(|Link { key, url, message }| {
                        json!({ "mode": "url", "elicitationId": key, "url": url, "message": message })
                    })
                    .collect();
                RpcError::new(URL_ELICITATION_REQUIRED, "open the given URL first, then call again")
                    .with_data(json!({ "elicitations": elicitations }))
                    .to_json(Some(self.id))
            }
            Era::Modern | Era::Legacy(_) => {
                let pages: Vec<String> = links
                    .iter()
                    .map(
                        |Link { url, message, .. }| {
                            if message.is_empty() { url.clone() } else { format!("{url} ({message})") }
                        },
                    )
                    .collect();
                self.tell(&format!("open {} first, then call again", pages.join(" and ")))
            }
        }
    }

    /// The message that says why the call does not go on: for tools a result, so that the model reads it.
    pub(super) fn tell(&self, why: &str) -> String {
        if self.method != Method::CallTool {
            return RpcError::new(INTERNAL, why).to_json(Some(self.id));
        }
        let mut result = json!({ "content": [{ "type": "text", "text": why }], "isError": true });
        if let (Era::Modern, Some(result)) = (self.era, result.as_object_mut()) {
            result.insert("resultType".to_owned(), "complete".into());
        }
        self.result(&result)
    }

    fn result(&self, result: &Value) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, self.id.get())
    }
}

/// The HTTP answer around such a message.
pub(super) fn respond<S>(message: String) -> Response<Body<S>> {
    answer(StatusCode::OK, message)
}

/// Takes what the client answered to a question of our own out of the parameters; nothing if it answered none.
pub(super) fn take_reply(params: &mut Object<'_>, question: &str) -> Option<Reply> {
    let mut responses = params.object("inputResponses")?;
    let action = responses.object(question).and_then(|response| response.text("action").map(String::from));
    if !responses.remove(question) {
        return None;
    }
    let rest = (!responses.is_empty()).then(|| responses.to_raw());
    match rest {
        Some(rest) => params.set("inputResponses", rest),
        None => drop(params.remove("inputResponses")),
    }
    Some(match action.as_deref() {
        Some("decline") => Reply::Declined,
        Some("cancel") => Reply::Cancelled,
        _ => Reply::Open,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_answers_stay_here() {
        let text = r#"{"inputResponses":{"ambit_approval":{"action":"decline"},"name":{"action":"accept"}},"name":"x"}"#;
        let mut params = Object::parse(text).unwrap();
        assert_eq!(take_reply(&mut params, CONNECT), None);
        assert_eq!(take_reply(&mut params, APPROVAL), Some(Reply::Declined));
        let mut out = String::new();
        params.write(&mut out);
        assert_eq!(out, r#"{"inputResponses":{"name":{"action":"accept"}},"name":"x"}"#);

        let mut params =
            Object::parse(r#"{"inputResponses":{"ambit_approval":{"action":"accept"}}}"#).unwrap();
        assert_eq!(take_reply(&mut params, APPROVAL), Some(Reply::Open));
        assert!(!params.has("inputResponses"));
    }
}
