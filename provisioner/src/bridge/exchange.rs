//! One call under way, and how it becomes an HTTP response: JSON when nothing but the answer came, an event stream as
//! soon as something must be told before.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use schemas::provisioner::ANSWER_HEADER;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::bridge::envelope;
use crate::error::Error;
use crate::secrets::Secrets;

/// Comment lines keep idle streams alive through whatever sits between.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Marks a workload as in use; a workload in use is not put to sleep.
#[derive(Debug)]
pub(crate) struct Busy(Vec<Arc<AtomicUsize>>);

impl Busy {
    pub(crate) fn new(count: &Arc<AtomicUsize>) -> Self {
        let mut busy = Self(Vec::with_capacity(2));
        busy.also(count);
        busy
    }

    /// Counts elsewhere, too.
    pub(crate) fn also(&mut self, count: &Arc<AtomicUsize>) {
        count.fetch_add(1, Ordering::SeqCst);
        self.0.push(Arc::clone(count));
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for count in &self.0 {
            count.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// A final JSON-RPC message for the gateway.
#[derive(Debug)]
pub(crate) struct Final {
    pub(crate) message: Bytes,
    /// Whether it is a `resultType: "complete"` result.
    pub(crate) complete: bool,
}

/// One call under way. Dropping it cancels the call.
pub(crate) struct Exchange {
    /// The gateway's id, for errors after the head was sent.
    pub(crate) id: String,
    /// Said before anything else, at once.
    pub(crate) head: Option<Bytes>,
    /// Messages to relay before the answer; ends when the answer is there or never comes.
    pub(crate) notices: mpsc::Receiver<Bytes>,
    /// The answer; polled once `notices` has ended.
    pub(crate) answer: BoxFuture<'static, Result<Final, Error>>,
    /// What must not come back to the caller.
    pub(crate) secrets: Secrets,
    /// When to give up, and after how long that is.
    pub(crate) deadline: Option<(Instant, Duration)>,
    /// Whatever must live as long as the call.
    #[expect(dead_code, reason = "lives as long as the call, and does its work when dropped")]
    pub(crate) busy: Option<Busy>,
}

impl Exchange {
    async fn bounded<T>(
        deadline: Option<(Instant, Duration)>,
        work: impl Future<Output = T>,
    ) -> Result<T, Error> {
        match deadline {
            None => Ok(work.await),
            Some((instant, after)) => timeout_at(instant, work).await.map_err(|_| Error::Timeout { after }),
        }
    }

    fn event(&self, message: Bytes) -> Bytes {
        event(&self.secrets.strike(message))
    }

    /// Waits for the first thing the server says and answers accordingly.
    pub(crate) async fn respond(mut self) -> Result<Response<Body>, Error> {
        let first = match self.head.take() {
            Some(head) => Some(head),
            None => Self::bounded(self.deadline, self.notices.recv()).await?,
        };
        match first {
            None => {
                let last = Self::bounded(self.deadline, self.answer).await.flatten();
                let last = last.map_err(|error| error.strike(&self.secrets))?;
                Ok(json(Final { message: self.secrets.strike(last.message), complete: last.complete }))
            }
            Some(first) => Ok(events(self.stream(first))),
        }
    }

    fn stream(
        self,
        first: Bytes,
    ) -> impl stream::Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
        enum State {
            First(Bytes, Exchange),
            Running(Exchange),
            Done,
        }
        stream::unfold(State::First(first, self), |state| async {
            let (piece, next) = match state {
                State::First(message, exchange) => (exchange.event(message), State::Running(exchange)),
                State::Running(mut exchange) => {
                    let heard =
                        timeout(KEEP_ALIVE, Self::bounded(exchange.deadline, exchange.notices.recv())).await;
                    match heard {
                        Err(_) => (Bytes::from_static(b":\r\n\r\n"), State::Running(exchange)),
                        Ok(Ok(Some(message))) => (exchange.event(message), State::Running(exchange)),
                        Ok(Err(error)) => (exchange.event(failure(&exchange.id, &error)), State::Done),
                        Ok(Ok(None)) => {
                            let last = Self::bounded(exchange.deadline, exchange.answer).await.flatten();
                            let message =
                                last.map_or_else(|error| failure(&exchange.id, &error), |last| last.message);
                            (event(&exchange.secrets.strike(message)), State::Done)
                        }
                    }
                }
                State::Done => return None,
            };
            Some((Ok(piece), next))
        })
    }
}

/// The head of the response is out: what is left to say it with is JSON-RPC.
fn failure(id: &str, error: &Error) -> Bytes {
    envelope::refusal(id, -32603, &error.to_string())
}

fn event(message: &[u8]) -> Bytes {
    let mut event = Vec::with_capacity(message.len() + 8);
    event.extend_from_slice(b"data: ");
    envelope::one_line(&mut event, message);
    event.extend_from_slice(b"\n\n");
    event.into()
}

/// A JSON response; says so when nothing in it needs rewriting.
pub(crate) fn json(last: Final) -> Response<Body> {
    let mut response = Response::new(Body::from(last.message));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if last.complete {
        response
            .headers_mut()
            .insert(HeaderName::from_static(ANSWER_HEADER), HeaderValue::from_static("complete"));
    }
    response
}

/// An event stream.
pub(crate) fn events(
    pieces: impl stream::Stream<Item = Result<Bytes, std::convert::Infallible>> + Send + 'static,
) -> Response<Body> {
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// 202, for a notification nobody needs.
pub(crate) fn accepted() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}
