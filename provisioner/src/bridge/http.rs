//! An HTTP server inside a container, of any era, as a stateless one.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use schemas::ids::ConnectionId;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout_at};

use crate::bridge::Call;
use crate::bridge::envelope::{self, Envelope, Fields, LOG_KEY, MODERN, Request};
use crate::bridge::era::{Era, Greeting, Handshake, Offer};
use crate::bridge::events::Events;
use crate::bridge::exchange::{Exchange, Final, json};
use crate::bridge::link::End;
use crate::bridge::listeners::Wants;
use crate::bridge::pushed;
use crate::bridge::stdio::finish;
use crate::bridge::target::{Place, Target, VERSION, failed, reply, unreached};
use crate::bridge::translate;
use crate::credential::{Given, Held};
use crate::error::Error;
use crate::reach::Endpoint;

/// How often a booting server is knocked at.
const KNOCK: Duration = Duration::from_millis(100);
/// How long a server may refuse us after it began to listen.
const SECOND_THOUGHTS: Duration = Duration::from_secs(3);

/// What came of knocking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knock {
    /// Nobody listens yet.
    Unheard,
    /// Someone does, and does not greet us.
    Refused,
}

/// A server on a port of its container.
#[derive(Debug)]
pub(crate) struct HttpServer {
    place: Place,
    /// By account; without one, for what is nobody's in particular.
    lines: Mutex<HashMap<Option<ConnectionId>, Line>>,
    greeting: Greeting,
    /// Waits for the end of the container.
    watch: AbortOnDrop,
}

/// The way to a server on one account.
#[derive(Debug, Clone)]
struct Line {
    target: Arc<Target>,
    held: Option<Held>,
}

/// Accounts whose ways are kept. Beyond, those that nobody is on go.
const LINES: usize = 256;

impl Line {
    fn new(place: &Place, given: Option<&Given>) -> Self {
        let credential = given.map(|given| given.headers().clone()).unwrap_or_default();
        Self { target: Arc::new(Target::new(place.clone(), credential)), held: given.map(Given::held) }
    }
}

/// A credential that goes into headers.
fn in_headers(given: Option<&Given>) -> Option<&Given> {
    given.filter(|given| !given.headers().is_empty())
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

impl HttpServer {
    /// Waits until the server listens, and greets it.
    pub(crate) async fn greet(
        endpoint: Endpoint,
        path: &str,
        patience: Duration,
        end: BoxFuture<'static, String>,
        given: Option<&Given>,
    ) -> Result<Self, Error> {
        let uri = Uri::builder()
            .scheme("http")
            .authority(endpoint.address().to_string())
            .path_and_query(path)
            .build();
        let uri =
            uri.map_err(|error| Error::Malformed { reason: format!("`{path}` is no path: {error}") })?;
        let client =
            Client::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(4)).build(endpoint);
        let ended = watch::channel(None).0;
        let place = Place { uri, client, end: ended.clone() };
        let given = in_headers(given);
        let line = Line::new(&place, given);
        let target = Arc::clone(&line.target);
        let watch = AbortOnDrop(tokio::spawn(async move {
            let why = end.await;
            ended.send_if_modified(|end| {
                let first = end.is_none();
                end.get_or_insert(End::Failed(why));
                first
            });
        }));
        let deadline = Instant::now() + patience;
        let mut refused = None;
        loop {
            // Asking an older server to discover costs it an error; nothing has to be remembered.
            let attempt = async {
                match target.discover().await.map_err(|error| (Knock::Unheard, unreached(&error)))? {
                    Some(modern) => Ok(modern),
                    None => target
                        .initialize()
                        .await
                        .map(Greeting::Legacy)
                        .map_err(|error| (Knock::Refused, error)),
                }
            };
            let (knock, error) = tokio::select! {
                greeted = timeout_at(deadline, attempt) => match greeted {
                    Ok(Ok(greeting)) => {
                        let lines = Mutex::new([(given.map(|given| given.subject().clone()), line)].into());
                        return Ok(Self { place, lines, greeting, watch });
                    }
                    // It is up; whom it greets is another matter.
                    Ok(Err((_, error @ Error::WrongCredential { .. }))) => return Err(error),
                    Ok(Err(failure)) => failure,
                    Err(_) => return Err(failed(format!("it did not greet us within {} s", patience.as_secs()))),
                },
                end = target.ended() => return Err(end.error()),
            };
            let now = Instant::now();
            if knock == Knock::Refused {
                // A server that listens and says no may still be booting, but not for long.
                let since = *refused.get_or_insert(now);
                if now.duration_since(since) >= SECOND_THOUGHTS {
                    return Err(error);
                }
            }
            if now + KNOCK >= deadline {
                return Err(error);
            }
            sleep(KNOCK).await;
        }
    }

    pub(crate) fn known(&self) -> &Greeting {
        &self.greeting
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&self) -> Option<End> {
        self.place.end.borrow().clone()
    }

    /// The way to it on an account. An older credential takes the way of the newer one.
    fn line(&self, given: Option<&Given>) -> Arc<Target> {
        let given = in_headers(given);
        let key = given.map(|given| given.subject().clone());
        let mut lines = self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(line) = lines.get(&key)
            && !line.held.as_ref().zip(given).is_some_and(|(held, given)| held.is_stale(given))
        {
            return Arc::clone(&line.target);
        }
        if lines.len() >= LINES {
            lines.retain(|_, line| Arc::strong_count(&line.target) > 1);
        }
        let line = Line::new(&self.place, given);
        let target = Arc::clone(&line.target);
        lines.insert(key, line);
        target
    }

    /// Ends what is under way.
    pub(crate) fn close(&self) {
        self.watch.0.abort();
        self.place.end.send_replace(Some(End::Closed));
    }

    /// Answers one request. `body` and `headers` are the gateway's own.
    pub(crate) async fn answer(
        &self,
        request: Request<'_>,
        body: &Bytes,
        call: Call<'_>,
    ) -> Result<Response<Body>, Error> {
        let target = self.line(call.given);
        let handshake = match &self.greeting {
            Greeting::Modern => {
                let added = call.given.is_some_and(|given| !given.meta().is_empty());
                let body = if added { envelope::rebuilt(&request) } else { body.clone() };
                return pass(target, &request, body, call).await;
            }
            Greeting::Legacy(handshake) => handshake,
        };
        let message = match request.method.as_ref() {
            "server/discover" => envelope::answer(request.id, "result", &handshake.discover),
            "subscriptions/listen" => {
                let wants = Wants::parse(&request, handshake);
                begin(&target, call.limit).await?;
                return pushed::listen(&target, request.id, wants, call).await?.respond().await;
            }
            method if translate::is_removed(method) => {
                envelope::refusal(request.id, -32601, &format!("there is no method `{method}`"))
            }
            _ => {
                begin(&target, call.limit).await?;
                return relay(&target, &request, handshake, call).respond().await;
            }
        };
        let complete = request.method == "server/discover";
        Ok(json(Final { message, complete }))
    }
}

/// Begins a session with an older server on this account, unless there is one.
async fn begin(target: &Target, limit: Duration) -> Result<(), Error> {
    let begun = tokio::time::timeout(limit, target.outlive(target.begin())).await;
    begun.map_err(|_| Error::Timeout { after: limit })?
}

/// A modern server reads what the gateway wrote and answers what the gateway reads.
async fn pass(
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
fn relay(target: &Arc<Target>, request: &Request<'_>, handshake: &Handshake, call: Call<'_>) -> Exchange {
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
#[derive(Debug)]
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
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
