//! An HTTP server inside a container, of any era, as a stateless one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, Uri};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use schemas::ids::ConnectionId;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use crate::bridge::ask::{AbortOnDrop, pass, relay};
use crate::bridge::envelope::{self, Request};
use crate::bridge::era::Greeting;
use crate::bridge::exchange::{Final, json};
use crate::bridge::link::End;
use crate::bridge::listeners::Wants;
use crate::bridge::target::{Place, Target, failed, unreached};
use crate::bridge::{Call, pushed, translate};
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

    /// Forgets accounts, and with them what their requests were made with. What is under way comes to its end.
    pub(crate) fn forget(&self, ended: impl Fn(&ConnectionId) -> bool) {
        let mut lines = self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        lines.retain(|account, _| !account.as_ref().is_some_and(&ended));
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
