//! A stdio server, of either era, as a stateless one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::bridge::Call;
use crate::bridge::envelope::{self, LOG_KEY, Request, quote};
use crate::bridge::era::{self, Era, Greeting, Handshake, Offer};
use crate::bridge::exchange::{Exchange, Final, json};
use crate::bridge::link::{Asks, End, Link, Reply, Waiting};
use crate::bridge::listeners::{Listening, Wants, farewell};
use crate::bridge::translate;
use crate::error::Error;

/// After this long without an answer to `server/discover`, the handshake is offered as well.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);

/// A server behind an attachment, greeted and ready.
#[derive(Debug)]
pub(crate) struct StdioServer {
    link: Link,
    greeting: Greeting,
    /// The level an older server was last told to log at.
    level: Mutex<Option<String>>,
}

/// Why a server could not be greeted.
#[derive(Debug)]
pub(crate) enum GreetingError {
    /// It ended on being asked to discover: older servers may. Start it again and offer the handshake only.
    DiedOfProbe,
    /// It ended, stayed silent or refused.
    Failed(Error),
}

impl StdioServer {
    /// Greets a server. What is known about its era saves a question.
    pub(crate) async fn greet(
        link: Link,
        known: Option<Era>,
        patience: Duration,
    ) -> Result<Self, GreetingError> {
        let deadline = Instant::now() + patience;
        let silent = || Error::ServerFailed {
            reason: format!(
                "it answered neither `server/discover` nor `initialize` within {} s",
                patience.as_secs()
            ),
        };
        let greeted = timeout_at(deadline, Self::greeting(&link, known)).await;
        let greeting = greeted.map_err(|_| GreetingError::Failed(silent()))??;
        link.speaks(greeting.era());
        Ok(Self { link, greeting, level: Mutex::default() })
    }

    async fn greeting(link: &Link, known: Option<Era>) -> Result<Greeting, GreetingError> {
        let failed = GreetingError::Failed;
        let mut discover = None;
        if known != Some(Era::Legacy) {
            let mut probe = link.request("server/discover", &era::probe()).map_err(failed)?;
            match timeout(PROBE_PATIENCE, &mut probe.answer).await {
                Ok(Ok(Reply::Result(result))) if era::offers_modern(&result) => return Ok(Greeting::Modern),
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return Err(GreetingError::DiedOfProbe),
                // Slow or deaf: both questions stay open, the first good answer counts.
                Err(_) => discover = Some(probe),
            }
        }
        let mut initialize = link.request("initialize", &era::initialize()).map_err(failed)?;
        let first = match &mut discover {
            None => (&mut initialize.answer).await,
            Some(probe) => tokio::select! {
                biased;
                answer = &mut probe.answer => match answer {
                    Ok(Reply::Result(result)) if era::offers_modern(&result) => return Ok(Greeting::Modern),
                    _ => (&mut initialize.answer).await,
                },
                answer = &mut initialize.answer => answer,
            },
        };
        let reply = first.map_err(|_| failed(Link::failure(link.shared())))?;
        let handshake = match &reply {
            Reply::Result(result) => Handshake::parse(result),
            Reply::Error(_) | Reply::TooLong => None,
        };
        let handshake = handshake.ok_or_else(|| {
            let said = match &reply {
                Reply::Error(error) | Reply::Result(error) => {
                    String::from_utf8_lossy(error).chars().take(300).collect()
                }
                Reply::TooLong => "too much".to_owned(),
            };
            failed(Error::ServerFailed { reason: format!("it answered `initialize` with {said}") })
        })?;
        link.shared().send(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
        Ok(Greeting::Legacy(handshake))
    }

    pub(crate) fn known(&self) -> &Greeting {
        &self.greeting
    }

    pub(crate) fn ended(&self) -> Option<End> {
        self.link.ended()
    }

    pub(crate) fn close(&self) {
        self.link.close();
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<'_>, call: Call<'_>) -> Result<Response<Body>, Error> {
        if call.given.is_some_and(|given| !given.headers().is_empty()) {
            let reason = "a server on stdin and stdout reads no headers".to_owned();
            return Err(Error::WrongCredential { reason });
        }
        if let Greeting::Legacy(handshake) = &self.greeting {
            match request.method.as_ref() {
                "server/discover" => {
                    let message = envelope::answer(request.id, "result", &handshake.discover);
                    return Ok(json(Final { message, complete: true }));
                }
                "subscriptions/listen" => {
                    return self.listen(&request, handshake, call).await?.respond().await;
                }
                method if translate::is_removed(method) => {
                    let message =
                        envelope::refusal(request.id, -32601, &format!("there is no method `{method}`"));
                    return Ok(json(Final { message, complete: false }));
                }
                _ => self.set_level(&request, handshake),
            }
        }
        self.forward(&request, call)?.respond().await
    }

    fn forward(&self, request: &Request<'_>, call: Call<'_>) -> Result<Exchange, Error> {
        let (limit, secrets) = (call.limit, call.secrets());
        let era = self.greeting.era();
        let shared = self.link.shared();
        let upstream = shared.next_id();
        let lasts = request.method == "subscriptions/listen";
        let asks = Asks {
            progress: request.meta.get("progressToken").map(str::to_owned),
            severity: request.meta.text(LOG_KEY).map(|level| envelope::severity(&level)),
            subscription: lasts.then(|| request.id.to_owned()),
        };
        let message =
            envelope::request(upstream, &request.method, &translate::parameters(request, upstream, era));
        let Waiting { notices, answer, cancel } = self.link.call(upstream, &message, asks)?;
        let shared = Arc::clone(shared);
        let (id, method) = (request.id.to_owned(), request.method.to_string());
        Ok(Exchange {
            id: id.clone(),
            head: None,
            notices,
            answer: Box::pin(async move {
                let reply = answer.await;
                let outcome = reply
                    .map_err(|_| Link::failure(&shared))
                    .and_then(|reply| finish(reply, &id, &method, era, lasts));
                drop(cancel);
                outcome
            }),
            secrets,
            deadline: (!lasts).then(|| (Instant::now() + limit, limit)),
            busy: Some(call.busy),
        })
    }

    /// An older server logs at one level for all; what a call did not ask for is not relayed to it.
    fn set_level(&self, request: &Request<'_>, handshake: &Handshake) {
        let Some(wanted) = request.meta.text(LOG_KEY).filter(|_| handshake.offers(Offer::Logging)) else {
            return;
        };
        let mut level = self.level.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if level.as_deref() != Some(wanted.as_str()) {
            // One pipe keeps the order: nobody has to wait for the answer.
            let id = self.link.shared().next_id();
            let params = format!("{{\"level\":{}}}", quote(&wanted));
            self.link.shared().send(envelope::request(id, "logging/setLevel", &params).as_bytes());
            *level = Some(wanted);
        }
        drop(level);
    }

    async fn listen(
        &self,
        request: &Request<'_>,
        handshake: &Handshake,
        call: Call<'_>,
    ) -> Result<Exchange, Error> {
        let (limit, secrets) = (call.limit, call.secrets());
        let mut wants = Wants::parse(request, handshake);
        let (sender, notices) = mpsc::channel::<Bytes>(256);
        let shared = self.link.shared();
        let (mut listening, fresh) = Listening::register(shared, request.id, wants.clone(), sender);
        for uri in fresh {
            let waiting =
                self.link.request("resources/subscribe", &format!("{{\"uri\":{}}}", quote(&uri)))?;
            let reply = timeout(limit, waiting.answer).await.map_err(|_| Error::Timeout { after: limit })?;
            if !matches!(
                reply.map_err(|_: oneshot::error::RecvError| Link::failure(shared))?,
                Reply::Result(_)
            ) {
                listening.forget(&uri);
                wants.uris.remove(&uri);
            }
        }
        let shared = Arc::clone(shared);
        let id = request.id.to_owned();
        Ok(Exchange {
            id: id.clone(),
            head: Some(wants.acknowledgement(&id)),
            notices,
            answer: Box::pin(async move {
                let _until_the_end = listening;
                match shared.calls().end() {
                    Some(End::Failed(reason)) => Err(Error::ServerFailed { reason }),
                    Some(End::Closed) | None => Ok(Final { message: farewell(&id), complete: false }),
                }
            }),
            secrets,
            deadline: None,
            busy: Some(call.busy),
        })
    }
}

/// The gateway's answer made of the server's.
pub(crate) fn finish(reply: Reply, id: &str, method: &str, era: Era, lasts: bool) -> Result<Final, Error> {
    match reply {
        Reply::Result(result) if lasts => {
            let text = std::str::from_utf8(&result).unwrap_or("{}");
            let message = envelope::answer(id, "result", translate::tagged(text, id).as_bytes());
            Ok(Final { message, complete: false })
        }
        Reply::Result(result) => {
            let (result, complete) = translate::result(method, result, era);
            Ok(Final { message: envelope::answer(id, "result", &result), complete })
        }
        Reply::Error(error) => {
            let message = envelope::answer(id, "error", &translate::error(error, era));
            Ok(Final { message, complete: false })
        }
        Reply::TooLong => Err(Error::ServerFailed {
            reason: format!("its answer is larger than {} bytes", schemas::provisioner::MAX_MESSAGE_BYTES),
        }),
    }
}
