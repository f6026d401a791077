//! The answer on its way back: as it is where nothing needs changing, else rewritten member by member in the client's era.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, LocalBoxFuture, select};
use futures_util::stream::{LocalBoxStream, StreamExt as _, unfold};
use http::{Response, StatusCode, header};
use schemas::audit::Ended;
use schemas::provisioner::{ANSWER_HEADER, MAX_MESSAGE_BYTES};
use serde_json::value::RawValue;

use super::asking::{Client, Link};
use super::error::{INTERNAL, RpcError, answer};
use super::message::Call;
use super::method::Method;
use super::{event_stream, state};
use crate::audit::Conclusion;
use crate::body::{Body, read_whole};
use crate::json::Object;
use crate::platform::{Platform, PlatformError};
use crate::protocol::{Era, META_LOG_LEVEL};
use crate::toolboxes::{Place, Server};
use crate::upstream::events::{Decoder, event, keep_alive};
use crate::upstream::{UpstreamError, is_event_stream, is_json};
use crate::vault::Vault;
use crate::walk::{Brought, Round, Visit};

/// A silent stream gets a comment this often, so that nothing between us and the client takes it for dead, and so that hosts which
/// notice a client's departure only when they write to it (workerd) notice it soon.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// What an answer has to be made fit for.
#[derive(Debug)]
pub(super) struct Relay<P: Platform> {
    platform: P,
    vault: Rc<Vault>,
    server: String,
    by_provisioner: bool,
    era: Era,
    method: Method,
    id: Box<RawValue>,
    wants_log: bool,
    takes_urls: bool,
    binding: Vec<u8>,
    /// The round of an approval that let this call pass.
    round: Option<Round>,
    limit: Duration,
    conclusion: Conclusion<P>,
}

impl<P: Platform> Relay<P> {
    pub(super) fn new(
        visit: &Visit<'_, P>,
        server: &Server,
        call: &Call<'_>,
        binding: Vec<u8>,
        round: Option<Round>,
        conclusion: Conclusion<P>,
    ) -> Self {
        Self {
            platform: visit.platform.clone(),
            vault: Rc::clone(&visit.gateway.vault),
            server: server.name.to_string(),
            by_provisioner: matches!(server.place, Place::Workload(_)),
            era: call.era,
            method: call.method,
            id: call.id.clone(),
            // Modern clients get log messages only if they ask; legacy ones can't ask per call.
            wants_log: call.era != Era::Modern || call.meta.has(META_LOG_LEVEL),
            takes_urls: call.takes_urls,
            binding,
            round,
            limit: visit.gateway.settings.call_limit,
            conclusion,
        }
    }

    fn failed(&self, reason: &str) -> UpstreamError {
        UpstreamError::Failed { server: self.server.clone(), reason: reason.to_owned() }
    }
}

/// Relays a response to the client.
pub(super) async fn relay<P: Platform>(
    mut relay: Relay<P>,
    response: Response<P::Stream>,
) -> Result<Response<Body<P::Stream>>, UpstreamError> {
    if is_event_stream(&response) && response.status() == StatusCode::OK {
        return Ok(event_stream(Body::Events(stream(relay, response.into_body()))));
    }
    if !is_json(&response) {
        let error = UpstreamError::Failed {
            server: relay.server.clone(),
            reason: format!("it answered with status {} and no MCP message", response.status().as_u16()),
        };
        relay.conclusion.end(Ended::Failed);
        return Err(error);
    }
    if passes_unchanged(&relay, &response) {
        let length = response
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        relay.conclusion.count(length.unwrap_or(0));
        relay.conclusion.end(Ended::Answered);
        let length = response.headers().get(header::CONTENT_LENGTH).cloned();
        let mut answer = Response::new(Body::Native(response.into_body()));
        if let Some(length) = length {
            answer.headers_mut().insert(header::CONTENT_LENGTH, length);
        }
        answer.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        return Ok(answer);
    }
    let body = match read_whole(&relay.platform, response.into_body(), MAX_MESSAGE_BYTES, relay.limit).await {
        Ok(body) => body,
        Err(error) => {
            let error = relay.failed(error.told());
            relay.conclusion.end(Ended::Failed);
            return Err(error);
        }
    };
    let Some(rewritten) = std::str::from_utf8(&body).ok().and_then(|text| relay.rewrite(text)) else {
        let error = relay.failed("its answer is no MCP message");
        relay.conclusion.end(Ended::Failed);
        return Err(error);
    };
    relay.conclusion.count(rewritten.text.len());
    relay.conclusion.end(rewritten.ended);
    Ok(answer(rewritten.status, rewritten.text))
}

/// The provisioner says when an answer is complete as it stands; a modern client then gets the very bytes, without a copy. A remote
/// server is not believed.
fn passes_unchanged<P: Platform>(relay: &Relay<P>, response: &Response<P::Stream>) -> bool {
    relay.era == Era::Modern
        && relay.by_provisioner
        && response.status() == StatusCode::OK
        && response.headers().get(ANSWER_HEADER).is_some_and(|value| value == "complete")
        && matches!(relay.method, Method::CallTool | Method::GetPrompt | Method::Complete)
}

/// A final message, as the client gets it.
struct Rewritten {
    text: String,
    status: StatusCode,
    ended: Ended,
}

impl<P: Platform> Relay<P> {
    /// Makes the final message fit. `None` if it is no answer at all.
    fn rewrite(&self, text: &str) -> Option<Rewritten> {
        let message = Object::parse(text).ok()?;
        if let Some(error) = message.get("error") {
            return self.rewrite_error(error);
        }
        let mut result = message.object("result")?;
        let kind =
            result.text("resultType").map_or_else(|| "complete".to_owned(), std::borrow::Cow::into_owned);
        match (kind.as_str(), self.era) {
            ("complete", Era::Modern) => {
                result.put("resultType", &"complete");
                if self.method == Method::ReadResource {
                    // What a policy guards is for this caller only, whatever its server thinks.
                    result.put("cacheScope", &"private");
                    if !result.has("ttlMs") {
                        result.put("ttlMs", &0);
                    }
                }
                Some(self.result(&result, Ended::Answered))
            }
            ("complete", Era::Legacy(_)) => {
                result.retain(|key| !matches!(key, "resultType" | "ttlMs" | "cacheScope"));
                Some(self.result(&result, Ended::Answered))
            }
            ("input_required", Era::Modern) => {
                let inner = result.text("requestState").map(std::borrow::Cow::into_owned);
                let brought = self.round.clone().map_or(Brought::Nothing, Brought::Round);
                let sealed = state::seal(&self.platform, &self.vault, &self.binding, inner, brought)?;
                result.put("requestState", &sealed);
                Some(self.result(&result, Ended::InputRequired))
            }
            ("input_required", Era::Legacy(_)) => Some(self.ask_legacy(&result)),
            _ => None,
        }
    }

    fn result(&self, result: &Object<'_>, ended: Ended) -> Rewritten {
        let mut text = format!(r#"{{"jsonrpc":"2.0","id":{},"result":"#, self.id.get());
        result.write(&mut text);
        text.push('}');
        Rewritten { text, status: StatusCode::OK, ended }
    }

    fn rewrite_error(&self, error: &str) -> Option<Rewritten> {
        let fields = Object::parse(error).ok()?;
        let code: i32 = fields.get("code")?.parse().ok()?;
        let status = match (self.era, code) {
            (Era::Modern, -32021) => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        // Header and version complaints are about what we sent, not about what the client did; so is a method we were told it has.
        let text = match code {
            -32020 | -32022 => {
                RpcError::new(INTERNAL, self.failed("it does not take our messages").to_string())
                    .to_json(Some(&self.id))
            }
            _ => format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, self.id.get()),
        };
        Some(Rewritten { text, status, ended: Ended::Refused })
    }

    /// A server that asks for input behind a client that can't be asked within the call: it can be sent to URLs, and no more.
    fn ask_legacy(&self, result: &Object<'_>) -> Rewritten {
        let requests: serde_json::Map<String, serde_json::Value> =
            result.get("inputRequests").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let links: Vec<Link> = requests
            .iter()
            .filter_map(|(key, request)| {
                let params = request.get("params")?;
                let text =
                    |name: &str| params.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
                Some(Link {
                    key: key.clone(),
                    url: text("url")?,
                    message: text("message").unwrap_or_default(),
                })
            })
            .collect();
        let client = Client { era: self.era, method: self.method, id: &self.id, takes_urls: self.takes_urls };
        let text = if links.is_empty() {
            client.tell(&format!(
                "server `{}` needs more input, which a client of this revision can't be asked for: use MCP {}",
                self.server,
                crate::protocol::MODERN
            ))
        } else {
            client.ask(&links, None)
        };
        Rewritten { text, status: StatusCode::OK, ended: Ended::InputRequired }
    }

    /// A notification, if it is for the client.
    fn notification(&self, text: &str) -> Option<Bytes> {
        let message = Object::parse(text).ok()?;
        let passes = match message.text("method")?.as_ref() {
            "notifications/progress" => true,
            "notifications/message" => self.wants_log,
            // Anything else has no place on the stream of a call.
            _ => false,
        };
        passes.then(|| event(text))
    }
}

/// What a stream of events is at.
struct Streaming<P: Platform> {
    relay: Option<Relay<P>>,
    body: LocalBoxStream<'static, Result<Bytes, PlatformError>>,
    decoder: Decoder,
    deadline: LocalBoxFuture<'static, ()>,
}

/// The client's stream. Dropping it drops the server's, which cancels the call there, and the trail says so.
fn stream<P: Platform>(
    relay: Relay<P>,
    body: P::Stream,
) -> LocalBoxStream<'static, Result<Bytes, PlatformError>> {
    let (clock, limit) = (relay.platform.clone(), relay.limit);
    let state = Streaming {
        relay: Some(relay),
        body: body.boxed_local(),
        // Room for a message of the largest size and what its JSON is wrapped in.
        decoder: Decoder::new(MAX_MESSAGE_BYTES * 2),
        deadline: Box::pin(async move { clock.sleep(limit).await }),
    };
    unfold(state, |mut state| async move {
        let chunk = state.next().await?;
        Some((Ok(chunk), state))
    })
    .boxed_local()
}

impl<P: Platform> Streaming<P> {
    /// The next event for the client; nothing after the final one.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            while let Some(data) = self.decoder.next() {
                if let Some(chunk) = self.take(&data) {
                    return Some(chunk);
                }
                self.relay.as_ref()?;
            }
            let relay = self.relay.as_ref()?;
            let clock = relay.platform.clone();
            let quiet = Box::pin(async move { clock.sleep(KEEP_ALIVE).await });
            let waiting = select(quiet, &mut self.deadline);
            match select(self.body.next(), waiting).await {
                Either::Left((Some(Ok(chunk)), _)) => {
                    if let Err(error) = self.decoder.push(&chunk) {
                        return self.fail(error.told());
                    }
                }
                Either::Left((Some(Err(error)), _)) => return self.fail(error.told()),
                Either::Left((None, _)) => return self.fail("it ended the stream without an answer"),
                Either::Right((Either::Left(_), _)) => return Some(keep_alive()),
                Either::Right((Either::Right(_), _)) => return self.fail("it took too long"),
            }
        }
    }

    fn take(&mut self, data: &str) -> Option<Bytes> {
        let relay = self.relay.as_mut()?;
        let is_notification = Object::parse(data).is_ok_and(|message| message.has("method"));
        if is_notification {
            let chunk = relay.notification(data)?;
            relay.conclusion.count(chunk.len());
            return Some(chunk);
        }
        let Some(rewritten) = relay.rewrite(data) else { return self.fail("its answer is no MCP message") };
        let mut relay = self.relay.take()?;
        let chunk = event(&rewritten.text);
        relay.conclusion.count(chunk.len());
        relay.conclusion.end(rewritten.ended);
        Some(chunk)
    }

    fn fail(&mut self, reason: &str) -> Option<Bytes> {
        let relay = self.relay.take()?;
        let error = relay.failed(reason);
        error.fault().log(&error.log());
        let text = RpcError::new(INTERNAL, error.to_string()).to_json(Some(&relay.id));
        relay.conclusion.end(Ended::Failed);
        Some(event(&text))
    }
}
