//! `subscriptions/listen` for HTTP servers of the older eras: one GET stream of theirs, shared by all who listen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use bytes::Bytes;
use tokio::sync::{broadcast, mpsc};
use tokio::time::timeout;

use crate::bridge::Call;
use crate::bridge::envelope::{self, Envelope, Fields, quote};
use crate::bridge::events::Events;
use crate::bridge::exchange::{Exchange, Final};
use crate::bridge::link::End;
use crate::bridge::listeners::{Wants, farewell};
use crate::bridge::target::Target;
use crate::bridge::{ask, translate};
use crate::error::Error;

/// Some servers say nothing, not even yes, before they have something to tell.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a server pushes, as long as somebody listens.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    stream: tokio::sync::Mutex<Weak<Stream>>,
    /// How many listeners each resource has: the last unsubscribes.
    resources: Mutex<HashMap<String, usize>>,
}

#[derive(Debug)]
struct Stream {
    heard: broadcast::Receiver<Bytes>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One who listens; dropping it ends its subscriptions.
struct Listening {
    target: Arc<Target>,
    uris: Vec<String>,
    /// The last to drop it closes it.
    _stream: Arc<Stream>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        for uri in self.uris.drain(..) {
            let target = Arc::clone(&self.target);
            if target.pushed.count(&uri, false) == 0 {
                runtime.spawn(async move { target.ask("resources/unsubscribe", &params(&uri)).await });
            }
        }
    }
}

fn params(uri: &str) -> String {
    format!("{{\"uri\":{}}}", quote(uri))
}

impl Pushed {
    /// One listener more or less of a resource; gives how many there are.
    fn count(&self, uri: &str, more: bool) -> usize {
        let mut resources = self.resources.lock().unwrap_or_else(PoisonError::into_inner);
        let count = resources.entry(uri.to_owned()).or_default();
        *count = if more { count.saturating_add(1) } else { count.saturating_sub(1) };
        let now = *count;
        if now == 0 {
            resources.remove(uri);
        }
        now
    }

    /// The stream; `None` when the server has none.
    async fn open(&self, target: &Arc<Target>) -> Result<Option<Arc<Stream>>, Error> {
        let mut stream = self.stream.lock().await;
        if let Some(open) = stream.upgrade().filter(|open| !open.task.is_finished()) {
            return Ok(Some(open));
        }
        let session = target.session();
        let mut response = target.in_session(Method::GET, Bytes::new()).await?;
        if response.status() == StatusCode::NOT_FOUND && session.id.is_some() {
            target.renew(&session).await?;
            response = target.in_session(Method::GET, Bytes::new()).await?;
        }
        let ok = response.status() == StatusCode::OK;
        let mut events = Events::of(response);
        if !ok || !matches!(events, Events::Stream { .. }) {
            return Ok(None);
        }
        let (sender, heard) = broadcast::channel(256);
        let target = Arc::clone(target);
        let task = tokio::spawn(async move {
            // When it ends, so do the subscriptions: what was pushed in between would be lost without a word.
            while let Ok(Some(message)) = events.next().await {
                ask::told(&target, &message, None, None).await;
                let _ = sender.send(message);
            }
        });
        let opened = Arc::new(Stream { heard, task });
        *stream = Arc::downgrade(&opened);
        drop(stream);
        Ok(Some(opened))
    }
}

/// A subscription: what of `wants` the server will keep, then what it pushes.
pub(super) async fn listen(
    target: &Arc<Target>,
    id: &str,
    mut wants: Wants,
    call: Call<'_>,
) -> Result<Exchange, Error> {
    let mut stream = None;
    if wants != Wants::default() {
        let opened = timeout(PATIENCE, target.outlive(target.pushed.open(target))).await;
        stream = opened.unwrap_or(Ok(None))?;
    }
    let (sender, notices) = mpsc::channel::<Bytes>(256);
    let mut listening = None;
    if let Some(stream) = stream {
        let mut heard = stream.heard.resubscribe();
        let mut uris = Vec::new();
        for uri in std::mem::take(&mut wants.uris) {
            target.pushed.count(&uri, true);
            if target.ask("resources/subscribe", &params(&uri)).await {
                wants.uris.insert(uri.clone());
                uris.push(uri);
            } else {
                target.pushed.count(&uri, false);
            }
        }
        let (id, wants) = (id.to_owned(), wants.clone());
        let task = tokio::spawn(async move {
            // Who falls far behind is told to begin anew, by an end.
            while let Ok(message) = heard.recv().await {
                if let Some(notice) = notice(&message, &wants, &id)
                    && sender.send(notice).await.is_err()
                {
                    return;
                }
            }
        });
        listening = Some(Listening { target: Arc::clone(target), uris, _stream: stream, task });
    } else {
        // An empty promise, kept at once: legal, and honest.
        wants = Wants::default();
        drop(sender);
    }
    let (id, target) = (id.to_owned(), Arc::clone(target));
    Ok(Exchange {
        head: Some(wants.acknowledgement(&id)),
        notices,
        id: id.clone(),
        answer: Box::pin(async move {
            let listened = listening.take().is_some();
            // A stream that broke is often the first sign of an end.
            let end = timeout(Duration::from_millis(500), target.ended());
            match if listened { end.await.ok() } else { None } {
                Some(End::Failed(reason)) => Err(Error::ServerFailed { reason }),
                Some(End::Closed) | None => Ok(Final { message: farewell(&id), complete: false }),
            }
        }),
        secrets: call.secrets(),
        deadline: None,
        busy: Some(call.busy),
    })
}

/// What a listener hears of a pushed message.
fn notice(message: &Bytes, wants: &Wants, id: &str) -> Option<Bytes> {
    let envelope: Envelope<'_> = serde_json::from_slice(message).ok()?;
    let (None, Some(method)) = (envelope.id, envelope.method) else { return None };
    let params = envelope.params.map_or("{}", |params| params.get());
    wants
        .covers(&method, &Fields::parse(params)?)
        .then(|| envelope::notification(&method, &translate::tagged(params, id)))
}
