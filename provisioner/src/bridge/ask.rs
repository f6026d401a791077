//! One request to an HTTP server: passed on as it is, or asked in the session of an older one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::bridge::envelope::{self, Envelope, Fields, LOG_KEY, MODERN, Request};
use crate::bridge::era::{Era, Handshake, Offer};
use crate::bridge::events::Events;
use crate::bridge::exchange::{Exchange, Final};
use crate::bridge::stdio::finish;
use crate::bridge::target::{Target, VERSION, failed, reply, unreached};
use crate::bridge::{Call, translate};
use crate::error::Error;

#[derive(Debug)]
pub(super) struct AbortOnDrop(pub(super) tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells an older server that nobody waits: closing the connection tells it nothing.
struct Abandon {
    target: Arc<Target>,
    id: u64,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Abandon {
    fn drop(&mut self) {
        if self.task.is_finished() {
            return;
        }
        self.task.abort();
        let (target, id) = (Arc::clone(&self.target), self.id);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let params = format!("{{\"requestId\":{id},\"reason\":\"the caller no longer waits\"}}");
                let _ = target.post_legacy(envelope::notification("notifications/cancelled", &params)).await;
            });
        }
    }
}

/// A modern server reads what the gateway wrote and answers what the gateway reads.
pub(super) async fn pass(
    target: Arc<Target>,
    request: &Request<'_>,
    body: Bytes,
    call: Call<'_>,
) -> Result<Response<Body>, Error> {
    let (limit, secrets) = (call.limit, call.secrets());
    let mut mirrored: HeaderMap = call
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("mcp-"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    mirrored.insert(VERSION, HeaderValue::from_static(MODERN));
    if let Ok(method) = HeaderValue::from_str(&request.method) {
        mirrored.insert(HeaderName::from_static("mcp-method"), method);
    }
    if let Some(name) = request.params.text(if request.method == "resources/read" { "uri" } else { "name" })
        && matches!(request.method.as_ref(), "tools/call" | "prompts/get" | "resources/read")
        && let Ok(name) = HeaderValue::from_str(&header_text(&name))
    {
        mirrored.insert(HeaderName::from_static("mcp-name"), name);
    }
    let lasts = request.method == "subscriptions/listen";
    let deadline = (!lasts).then(|| (Instant::now() + limit, limit));
    let (id, method) = (request.id.to_owned(), request.method.to_string());
    let (sender, notices) = mpsc::channel::<Bytes>(256);
    let (said, answer) = oneshot::channel();
    let task = tokio::spawn(async move {
        let outcome = async {
            let response = target.post(body, mirrored).await.map_err(|error| unreached(&error))?;
            let status = response.status();
            let mut events = Events::of(response);
            while let Some(message) = events.next().await? {
                let envelope: Envelope<'_> = serde_json::from_slice(&message).map_err(|_| {
                    failed(format!("it answered HTTP {} with something else", status.as_u16()))
                })?;
                if envelope.method.is_some() {
                    let _ = sender.send(message.clone()).await;
                    continue;
                }
                let result = envelope.result.map(|result| message.slice_ref(result.get().as_bytes()));
                let complete = result.is_some_and(|result| translate::result(&method, result, Era::Modern).1);
                return Ok(Final { message: message.clone(), complete: complete && !lasts });
            }
            Err(failed(format!("it answered HTTP {} without a JSON-RPC answer", status.as_u16())))
        };
        let _ = said.send(target.outlive(outcome).await);
    });
    // Closing the connection is how a modern server learns that nobody waits.
    let task = AbortOnDrop(task);
    let exchange = Exchange {
        id,
        head: None,
        notices,
        answer: Box::pin(async move {
            let outcome = answer.await.unwrap_or_else(|_| Err(failed("its answer was lost")));
            drop(task);
            outcome
        }),
        secrets,
        deadline,
        busy: Some(call.busy),
    };
    exchange.respond().await
}

/// An older server is asked in its session.
pub(super) fn relay(
    target: &Arc<Target>,
    request: &Request<'_>,
    handshake: &Handshake,
    call: Call<'_>,
) -> Exchange {
    let (limit, secrets) = (call.limit, call.secrets());
    let (target, told_later) = (Arc::clone(target), Arc::clone(target));
    let upstream = target.next.fetch_add(1, Ordering::Relaxed);
    let message: Bytes =
        envelope::request(upstream, &request.method, &translate::parameters(request, upstream, Era::Legacy))
            .into();
    let progress = request.meta.get("progressToken").map(str::to_owned);
    let level = request.meta.text(LOG_KEY);
    let severity = level.as_deref().map(envelope::severity);
    let level = level.filter(|_| handshake.offers(Offer::Logging));
    let (sender, notices) = mpsc::channel::<Bytes>(256);
    let (said, answer) = oneshot::channel();
    let task = tokio::spawn(async move {
        let outcome = async {
            let session = target.session();
            if let Some(level) = level {
                target.log_at(level).await?;
            }
            let mut response = target.post_legacy(message.clone()).await?;
            if response.status() == StatusCode::NOT_FOUND && session.id.is_some() {
                // The session is gone, so the request was not looked at: shake hands again, once.
                target.renew(&session).await?;
                response = target.post_legacy(message).await?;
            }
            let status = response.status();
            let mut events = Events::of(response);
            while let Some(message) = events.next().await? {
                if let Some(reply) = reply(&message, upstream) {
                    return Ok(reply);
                }
                let Some(told) = told(&target, &message, progress.as_deref(), severity).await else {
                    continue;
                };
                let _ = sender.send(told).await;
            }
            Err(failed(format!("it answered HTTP {} without a JSON-RPC answer", status.as_u16())))
        };
        let _ = said.send(target.outlive(outcome).await);
    });
    let abandon = Abandon { target: told_later, id: upstream, task };
    let (id, method) = (request.id.to_owned(), request.method.to_string());
    Exchange {
        id: id.clone(),
        head: None,
        notices,
        answer: Box::pin(async move {
            let reply = answer.await.unwrap_or_else(|_| Err(failed("its answer was lost")))?;
            let outcome = finish(reply, &id, &method, Era::Legacy, false);
            drop(abandon);
            outcome
        }),
        secrets,
        deadline: Some((Instant::now() + limit, limit)),
        busy: Some(call.busy),
    }
}
/// What of an older server's stream the gateway hears; its requests are declined on the spot.
pub(super) async fn told(
    target: &Arc<Target>,
    message: &Bytes,
    progress: Option<&str>,
    severity: Option<u8>,
) -> Option<Bytes> {
    let envelope: Envelope<'_> = serde_json::from_slice(message).ok()?;
    let method = envelope.method?;
    if let Some(id) = envelope.id {
        let answer = if method == "ping" {
            envelope::answer(id.get(), "result", b"{}")
        } else {
            let why = format!("`{method}` is not offered: this client declared no capabilities");
            envelope::refusal(id.get(), -32601, &why)
        };
        let _ = target.post_legacy(answer).await;
        return None;
    }
    let mut fields = Fields::parse(envelope.params?.get())?;
    match method.as_ref() {
        "notifications/progress" => {
            fields.set("progressToken", progress?.to_owned());
            Some(envelope::notification(&method, &fields.json()))
        }
        "notifications/message" if severity? <= envelope::severity(&fields.text("level")?) => {
            Some(message.clone())
        }
        _ => None,
    }
}

/// A header value; what is no visible ASCII, or looks encoded, travels as base64.
fn header_text(text: &str) -> String {
    use base64::Engine as _;
    let plain = text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        && text.trim() == text
        && !text.is_empty()
        && !text.starts_with("=?base64?");
    if plain {
        text.to_owned()
    } else {
        format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(text))
    }
}
