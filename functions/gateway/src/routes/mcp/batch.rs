//! JSON-RPC batches, which only 2025-03-26 has: servers of that revision must take them (basic/transports, "sending messages").

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::value::RawValue;

use super::error::{INVALID_REQUEST, RpcError, answer};
use super::message;
use super::{Parties, one};
use crate::body::Body;
use crate::platform::Platform;
use crate::protocol::Legacy;
use crate::upstream::events::Decoder;

/// Messages in one batch. Each is walked and recorded like any other, so a batch saves nothing but round trips.
const LONGEST: usize = 32;

/// Whether a body is a batch.
pub(super) fn is_one(body: &[u8]) -> bool {
    body.iter().find(|c| !c.is_ascii_whitespace()) == Some(&b'[')
}

/// Answers a batch: the final messages, in the order of their requests. Nothing is streamed.
pub(super) async fn serve<P: Platform>(
    parties: &Parties<'_, P>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Response<Body<P::Stream>> {
    let refuse = |why: &str| RpcError::new(INVALID_REQUEST, why).answer(None, None);
    let version = headers.get("mcp-protocol-version").map(|version| version.to_str().unwrap_or_default());
    if version.is_some_and(|version| Legacy::parse(version) != Some(Legacy::March2025)) {
        return refuse("this revision has no batches: send one message per POST");
    }
    let Ok(messages) = crate::json::check(body).and_then(serde_json::from_str::<Vec<&RawValue>>) else {
        return refuse("the batch is not the JSON this endpoint reads");
    };
    if messages.is_empty() || messages.len() > LONGEST {
        return refuse("a batch holds 1 to 32 messages");
    }
    let mut answers = Vec::new();
    for text in messages {
        let message = message::read_text(headers, text.get());
        if let Ok(message::Message::Call(call)) = &message
            && call.method == super::method::Method::Initialize
        {
            return refuse("`initialize` can't be part of a batch");
        }
        let response = Box::pin(one(parties, headers, message, None)).await;
        if response.status() == StatusCode::UNAUTHORIZED {
            return response;
        }
        if let Some(answer) = last(response).await {
            answers.push(answer);
        }
    }
    if answers.is_empty() {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::ACCEPTED;
        return response;
    }
    answer(StatusCode::OK, format!("[{}]", answers.join(",")))
}

/// The final message of a response, if it has any.
async fn last<S>(response: Response<Body<S>>) -> Option<String>
where
    S: futures_util::Stream<Item = Result<Bytes, crate::platform::PlatformError>> + Unpin,
{
    let streamed = matches!(response.body(), Body::Events(_));
    let body = response.into_body().collect().await.ok()?.to_bytes();
    if !streamed {
        return String::from_utf8(body.to_vec()).ok().filter(|text| !text.is_empty());
    }
    let mut decoder = Decoder::new(usize::MAX);
    decoder.push(&body).ok()?;
    std::iter::from_fn(|| decoder.next()).last()
}
