//! The port of a container that an HTTP server listens on, and the session an older one holds with us.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request as HttpRequest, Response, StatusCode, Uri,
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::bridge::envelope::{self, Envelope, MODERN};
use crate::bridge::era::{self, Greeting, Handshake};
use crate::bridge::events::Events;
use crate::bridge::link::{End, Reply};
use crate::bridge::pushed::Pushed;
use crate::error::Error;
use crate::reach::Endpoint;

pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
pub(super) const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// Where a server is, and whether it has ended. Clones are the same place.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) uri: Uri,
    pub(super) client: Client<Endpoint, Full<Bytes>>,
    /// How it ended, once it has.
    pub(super) end: watch::Sender<Option<End>>,
}

/// Where requests go, and on whose account: an older server may remember in a session who began it, so that nobody shares
/// one with an account that is not theirs.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) place: Place,
    /// Headers of every request.
    credential: HeaderMap,
    pub(super) next: AtomicU64,
    /// The session of an older server, which may have none.
    pub(super) session: Mutex<Session>,
    /// Held by whoever replaces the session.
    pub(super) shaking: tokio::sync::Mutex<()>,
    pub(super) pushed: Pushed,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Session {
    pub(super) id: Option<HeaderValue>,
    pub(super) protocol: Option<HeaderValue>,
    /// The level it was last told to log at.
    level: Option<String>,
}

pub(super) fn failed(reason: impl std::fmt::Display) -> Error {
    Error::ServerFailed { reason: reason.to_string() }
}

/// Why a request got no response. The client's own text names no cause.
pub(super) fn unreached(error: &hyper_util::client::legacy::Error) -> Error {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    failed(format!("its port inside the container does not answer: {error}: {cause}"))
}

impl Target {
    pub(super) fn new(place: Place, credential: HeaderMap) -> Self {
        Self {
            place,
            credential,
            next: AtomicU64::new(1),
            session: Mutex::default(),
            shaking: tokio::sync::Mutex::default(),
            pushed: Pushed::default(),
        }
    }

    pub(super) fn session(&self) -> Session {
        self.session.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Waits for the end of the container.
    pub(super) async fn ended(&self) -> End {
        let mut end = self.place.end.subscribe();
        let ended = end.wait_for(Option::is_some).await;
        ended.ok().and_then(|end| end.clone()).unwrap_or(End::Closed)
    }

    /// Does the work, unless the server ends first.
    pub(super) async fn outlive<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let mut end = self.place.end.subscribe();
        tokio::select! {
            outcome = work => match outcome {
                // A connection that broke is often the first sign of an end: a moment later we know which.
                Err(error @ Error::ServerFailed { .. }) => {
                    let ended = timeout(Duration::from_millis(500), end.wait_for(Option::is_some)).await;
                    Err(ended.ok().and_then(Result::ok).and_then(|end| end.as_ref().map(End::error)).unwrap_or(error))
                }
                outcome => outcome,
            },
            Ok(end) = async { end.wait_for(Option::is_some).await.map(|end| end.clone()) } => {
                Err(end.unwrap_or(End::Closed).error())
            }
        }
    }

    pub(super) async fn post(
        &self,
        body: Bytes,
        headers: HeaderMap,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        self.send(Method::POST, body, headers).await
    }

    async fn send(
        &self,
        method: Method,
        body: Bytes,
        headers: HeaderMap,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        let reads = method == Method::GET;
        let mut request = HttpRequest::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.place.uri.clone();
        *request.headers_mut() = headers;
        let headers = request.headers_mut();
        if !reads {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let accept = if reads { "text/event-stream" } else { "application/json, text/event-stream" };
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        for (name, value) in &self.credential {
            headers.insert(name.clone(), value.clone());
        }
        self.place.client.request(request).await
    }

    /// A POST inside the session of an older server.
    pub(super) async fn post_legacy(&self, body: Bytes) -> Result<Response<Incoming>, Error> {
        self.in_session(Method::POST, body).await
    }

    pub(super) async fn in_session(&self, method: Method, body: Bytes) -> Result<Response<Incoming>, Error> {
        let session = self.session();
        let mut headers = HeaderMap::new();
        session.id.into_iter().for_each(|id| drop(headers.insert(SESSION, id)));
        session.protocol.into_iter().for_each(|version| drop(headers.insert(VERSION, version)));
        self.send(method, body, headers).await.map_err(|error| unreached(&error))
    }

    /// Asks in the session of an older server for something that has no other answer than yes.
    pub(super) async fn ask(&self, method: &str, params: &str) -> bool {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let Ok(told) = self.post_legacy(envelope::request(id, method, params).into()).await else {
            return false;
        };
        matches!(sole_reply(told, id).await, Ok(Reply::Result(_)))
    }

    /// Shakes hands, which begins a session and leaves others as they are.
    pub(super) async fn initialize(&self) -> Result<Handshake, Error> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let hello = envelope::request(id, "initialize", &era::initialize()).into();
        let response = self.post(hello, HeaderMap::new()).await.map_err(|error| unreached(&error))?;
        let status = response.status();
        let session = response.headers().get(SESSION).cloned();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let wants = if self.credential.is_empty() { "one" } else { "another" };
            let reason = format!("the server answered `initialize` with HTTP {status}: it wants {wants}");
            return Err(Error::WrongCredential { reason });
        }
        let Reply::Result(result) = sole_reply(response, id).await? else {
            return Err(failed(format!("it answered `initialize` with an error (HTTP {status})")));
        };
        let handshake = Handshake::parse(&result)
            .ok_or_else(|| failed("it answered `initialize` with something else"))?;
        *self.session.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            Session { id: session, protocol: HeaderValue::from_str(&handshake.protocol).ok(), level: None };
        let ready = Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
        self.post_legacy(ready).await?;
        Ok(handshake)
    }

    /// Begins a session, unless there is one.
    pub(super) async fn begin(&self) -> Result<(), Error> {
        if self.session().protocol.is_none() {
            let _one_at_a_time = self.shaking.lock().await;
            if self.session().protocol.is_none() {
                self.initialize().await?;
            }
        }
        Ok(())
    }

    /// Replaces a session that is gone, unless another call did already.
    pub(super) async fn renew(&self, gone: &Session) -> Result<(), Error> {
        let _one_at_a_time = self.shaking.lock().await;
        if self.session().id == gone.id {
            self.initialize().await?;
        }
        Ok(())
    }

    /// Tells the session at which level to log, if it does not know.
    pub(super) async fn log_at(&self, level: String) -> Result<(), Error> {
        if self.session().level.as_ref() != Some(&level) {
            let id = self.next.fetch_add(1, Ordering::Relaxed);
            let params = format!("{{\"level\":{}}}", envelope::quote(&level));
            let told = self.post_legacy(envelope::request(id, "logging/setLevel", &params).into()).await?;
            // A dead session is the next message's to find.
            if sole_reply(told, id).await.is_ok() {
                self.session.lock().unwrap_or_else(std::sync::PoisonError::into_inner).level = Some(level);
            }
        }
        Ok(())
    }

    pub(super) async fn discover(&self) -> Result<Option<Greeting>, hyper_util::client::legacy::Error> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let headers = HeaderMap::from_iter([
            (VERSION, HeaderValue::from_static(MODERN)),
            (HeaderName::from_static("mcp-method"), HeaderValue::from_static("server/discover")),
        ]);
        let response =
            self.post(envelope::request(id, "server/discover", &era::probe()).into(), headers).await?;
        if response.status() != StatusCode::OK {
            return Ok(None);
        }
        Ok(match sole_reply(response, id).await {
            Ok(Reply::Result(result)) if era::offers_modern(&result) => Some(Greeting::Modern),
            _ => None,
        })
    }
}

/// The one answer in a response, whatever form it has.
async fn sole_reply(response: Response<Incoming>, id: u64) -> Result<Reply, Error> {
    let status = response.status();
    let mut events = Events::of(response);
    while let Some(message) = events.next().await? {
        if let Some(reply) = reply(&message, id) {
            return Ok(reply);
        }
    }
    Err(failed(format!("it answered HTTP {} without a JSON-RPC answer", status.as_u16())))
}

pub(super) fn reply(message: &Bytes, id: u64) -> Option<Reply> {
    let envelope: Envelope<'_> = serde_json::from_slice(message).ok()?;
    // An error may come without id when the server could not read it.
    if envelope.method.is_some() || (envelope.our_id() != Some(id) && envelope.error.is_none()) {
        return None;
    }
    match (envelope.result, envelope.error) {
        (Some(result), None) => Some(Reply::Result(message.slice_ref(result.get().as_bytes()))),
        (None, Some(error)) => Some(Reply::Error(message.slice_ref(error.get().as_bytes()))),
        _ => None,
    }
}
