//! The one owner of a container's standard streams: ids of its own, many calls at a time, whatever comes back to whom it
//! belongs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use schemas::provisioner::MAX_MESSAGE_BYTES;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::bridge::envelope::{self, Envelope, Fields, SUBSCRIPTION_KEY};
use crate::bridge::era::Era;
use crate::bridge::lines::{Line, Lines};
use crate::bridge::listeners::Listeners;
use crate::bridge::logs::Logs;
use crate::bridge::translate;
use crate::error::Error;
use crate::host::{Attachment, Frame};

/// The largest message we write to a server's stdin. The Node SDK counts all it has buffered against 10 MiB, which can
/// include a pipe's worth of the next message; beyond that it goes deaf without a word.
pub(crate) const MAX_STDIN_BYTES: usize = MAX_MESSAGE_BYTES - 64 * 1024;

/// Notices a slow reader may fall behind by. Beyond, progress and logs are dropped; answers never are.
const BACKLOG: usize = 256;

/// What a server said to one call.
#[derive(Debug)]
pub(crate) enum Reply {
    Result(Bytes),
    Error(Bytes),
    TooLong,
}

/// What a call wants to hear besides its answer.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    /// The gateway's progress token.
    pub(crate) progress: Option<String>,
    /// The least severity of log messages.
    pub(crate) severity: Option<u8>,
    /// The gateway's id, if the call is a subscription that lasts.
    pub(crate) subscription: Option<String>,
}

#[derive(Debug)]
struct Pending {
    notices: mpsc::Sender<Bytes>,
    answer: oneshot::Sender<Reply>,
    asks: Asks,
}

/// How a link ended.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// We closed it.
    Closed,
    /// The server did, or Docker.
    Failed(String),
}

#[derive(Debug, Default)]
pub(crate) struct Calls {
    pending: HashMap<u64, Pending>,
    pub(crate) listeners: Listeners,
    ended: Option<End>,
}

impl Calls {
    pub(crate) fn end(&self) -> Option<End> {
        self.ended.clone()
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    outgoing: mpsc::UnboundedSender<Bytes>,
    calls: Mutex<Calls>,
    next: AtomicU64,
    era: OnceLock<Era>,
    logs: Arc<Logs>,
}

/// A connection to a server's stdin and stdout.
#[derive(Debug)]
pub(crate) struct Link {
    shared: Arc<Shared>,
    tasks: [AbortHandle; 2],
}

/// A call that was sent. Dropping it before the answer cancels it.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) notices: mpsc::Receiver<Bytes>,
    pub(crate) answer: oneshot::Receiver<Reply>,
    pub(crate) cancel: Cancel,
}

/// Tells the server when nobody waits any more.
#[derive(Debug)]
pub(crate) struct Cancel {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Cancel {
    fn drop(&mut self) {
        if self.shared.calls().pending.remove(&self.id).is_some() {
            let params = format!("{{\"requestId\":{},\"reason\":\"the caller no longer waits\"}}", self.id);
            self.shared.send(&envelope::notification("notifications/cancelled", &params));
        }
    }
}

impl Shared {
    pub(crate) fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Queues one message. A link that ended has told its calls so already.
    pub(crate) fn send(&self, message: &[u8]) {
        let mut line = Vec::with_capacity(message.len() + 1);
        envelope::one_line(&mut line, message);
        line.push(b'\n');
        let _ = self.outgoing.send(line.into());
    }

    fn end(&self, end: End) {
        let mut calls = self.calls();
        if calls.ended.is_none() {
            calls.ended = Some(end);
        }
        // Dropping the senders is how the calls learn of it.
        calls.pending.clear();
        calls.listeners.clear();
    }

    fn read(&self, line: Line) {
        match line {
            Line::Whole(line) => {
                if !line.iter().all(u8::is_ascii_whitespace) && self.message(&line).is_none() {
                    self.logs.noise(&line);
                }
            }
            Line::TooLong(skipped) => {
                self.logs.note(&format!("a message of more than {MAX_MESSAGE_BYTES} bytes was dropped"));
                let mut calls = self.calls();
                let owner = skipped.id().filter(|id| calls.pending.contains_key(id));
                // An answer that cannot be attributed may be anyone's: better all fail now than one hangs.
                let failed: Vec<u64> =
                    owner.map_or_else(|| calls.pending.keys().copied().collect(), |id| vec![id]);
                for pending in failed.iter().filter_map(|id| calls.pending.remove(id)) {
                    let _ = pending.answer.send(Reply::TooLong);
                }
            }
        }
    }

    /// Takes one message where it belongs; `None` if it is none.
    fn message(&self, line: &Bytes) -> Option<()> {
        let envelope: Envelope<'_> = serde_json::from_slice(line).ok()?;
        match (&envelope.method, envelope.id) {
            (Some(method), Some(id)) => self.asked(method, id.get()),
            (Some(method), None) => self.told(method, envelope.params.map_or("{}", |params| params.get())),
            (None, id) => {
                let reply = match (envelope.result, envelope.error) {
                    (Some(result), None) => Reply::Result(line.slice_ref(result.get().as_bytes())),
                    (None, Some(error)) => Reply::Error(line.slice_ref(error.get().as_bytes())),
                    _ => return None,
                };
                let mut calls = self.calls();
                let id = match (id, envelope.our_id()) {
                    (_, Some(id)) => id,
                    // An error about a message whose id the server could not read: clear only if there is just one.
                    (None, None) => Some(&calls.pending).filter(|p| p.len() == 1)?.keys().next().copied()?,
                    (Some(_), None) => return None,
                };
                // An unknown id is a late answer to a call that was cancelled: nobody waits for it.
                if let Some(pending) = calls.pending.remove(&id) {
                    let _ = pending.answer.send(reply);
                }
            }
        }
        Some(())
    }

    /// A server that many share can ask its client nothing, since there is no telling whom.
    fn asked(&self, method: &str, id: &str) {
        let answer = if method == "ping" {
            envelope::answer(id, "result", b"{}")
        } else {
            envelope::refusal(
                id,
                -32601,
                &format!("`{method}` is not offered: this client declared no capabilities"),
            )
        };
        self.send(&answer);
    }

    fn told(&self, method: &str, params: &str) {
        let Some(fields) = Fields::parse(params) else { return };
        let mut calls = self.calls();
        let subscription = fields
            .get("_meta")
            .and_then(Fields::parse)
            .and_then(|meta| meta.get(SUBSCRIPTION_KEY)?.parse().ok());
        if let Some(pending) = subscription.and_then(|id: u64| calls.pending.get(&id)) {
            if let Some(original) = &pending.asks.subscription {
                let message = envelope::notification(method, &translate::tagged(params, original));
                let _ = pending.notices.try_send(message);
            }
            return;
        }
        match method {
            "notifications/progress" => {
                let id: Option<u64> = fields.get("progressToken").and_then(|token| token.parse().ok());
                let Some(pending) = id.and_then(|id| calls.pending.get(&id)) else { return };
                let Some(token) = &pending.asks.progress else { return };
                let mut fields = fields.clone();
                fields.set("progressToken", token.clone());
                let _ = pending.notices.try_send(envelope::notification(method, &fields.json()));
            }
            "notifications/message" => {
                let severity = envelope::severity(&fields.text("level").unwrap_or_default());
                if let Some(pending) = self
                    .sole_reader(&calls)
                    .filter(|p| p.asks.severity.is_some_and(|least| severity >= least))
                {
                    let _ = pending.notices.try_send(envelope::notification(method, params));
                } else {
                    drop(calls);
                    self.logs.note(&format!("log message: {params}"));
                }
            }
            "notifications/cancelled" => {
                let id: Option<u64> = fields.get("requestId").and_then(|id| id.parse().ok());
                // Only a subscription can be ended by its server; any other call ends with an answer.
                if id.is_some_and(|id| calls.pending.get(&id).is_some_and(|p| p.asks.subscription.is_some()))
                    && let Some(pending) = id.and_then(|id| calls.pending.remove(&id))
                {
                    let _ = pending
                        .answer
                        .send(Reply::Result(Bytes::from_static(b"{\"resultType\":\"complete\"}")));
                }
            }
            _ => calls.listeners.tell(method, &fields, params),
        }
    }

    /// The one call a log message can belong to. A modern server logs only for calls that asked; an older one for all.
    fn sole_reader<'a>(&self, calls: &'a Calls) -> Option<&'a Pending> {
        let era = self.era.get().copied().unwrap_or(Era::Legacy);
        let mut candidates = calls
            .pending
            .values()
            .filter(|pending| pending.asks.subscription.is_none())
            .filter(|pending| era == Era::Legacy || pending.asks.severity.is_some());
        candidates.next().filter(|_| candidates.next().is_none())
    }
}

impl Link {
    /// Takes an attachment over. `why` finds out how the server ended, once its output does.
    pub(crate) fn open(attachment: Attachment, logs: Arc<Logs>, why: BoxFuture<'static, String>) -> Self {
        let Attachment { mut output, mut input } = attachment;
        let (outgoing, mut queue) = mpsc::unbounded_channel::<Bytes>();
        // Answers to whoever was attached before arrive here too: start where they surely did not.
        let noise = getrandom::u32().map_or_else(|_| crate::signature::now().0.unsigned_abs(), u64::from);
        let base = (noise & 0xffff_ffff) << 20;
        let shared = Arc::new(Shared {
            outgoing,
            calls: Mutex::default(),
            next: AtomicU64::new(base | 1),
            era: OnceLock::new(),
            logs,
        });
        let writer = tokio::spawn(async move {
            while let Some(line) = queue.recv().await {
                if input.write_all(&line).await.is_err() || input.flush().await.is_err() {
                    // The reader sees the end too, and knows why.
                    break;
                }
            }
        });
        let reading = Arc::clone(&shared);
        let reader = tokio::spawn(async move {
            let mut lines = Lines::new(MAX_MESSAGE_BYTES);
            while let Some(Ok(frame)) = output.next().await {
                match frame {
                    Frame::Stdout(piece) => lines.push(piece).into_iter().for_each(|line| reading.read(line)),
                    Frame::Stderr(piece) => reading.logs.stderr(&piece),
                }
            }
            let why = why.await;
            reading.logs.note(&why);
            reading.end(End::Failed(why));
        });
        Self { shared, tasks: [writer.abort_handle(), reader.abort_handle()] }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Fixes whose log messages are whose.
    pub(crate) fn speaks(&self, era: Era) {
        let _ = self.shared.era.set(era);
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&self) -> Option<End> {
        self.shared.calls().ended.clone()
    }

    /// Ends it from our side.
    pub(crate) fn close(&self) {
        self.shared.end(End::Closed);
    }

    /// Sends a call under an id from [`Shared::next_id`].
    pub(crate) fn call(&self, id: u64, message: &str, asks: Asks) -> Result<Waiting, Error> {
        if message.len() > MAX_STDIN_BYTES {
            return Err(Error::TooLarge { limit: MAX_STDIN_BYTES });
        }
        let (notices, heard) = mpsc::channel(BACKLOG);
        let (answer, answered) = oneshot::channel();
        {
            let mut calls = self.shared.calls();
            if let Some(end) = &calls.ended {
                return Err(end.error());
            }
            calls.pending.insert(id, Pending { notices, answer, asks });
        }
        self.shared.send(message.as_bytes());
        Ok(Waiting {
            notices: heard,
            answer: answered,
            cancel: Cancel { shared: Arc::clone(&self.shared), id },
        })
    }

    /// Sends a request of our own.
    pub(crate) fn request(&self, method: &str, params: &str) -> Result<Waiting, Error> {
        let id = self.shared.next_id();
        self.call(id, &envelope::request(id, method, params), Asks::default())
    }

    /// Why a call got no answer.
    pub(crate) fn failure(shared: &Shared) -> Error {
        shared.calls().ended.as_ref().unwrap_or(&End::Closed).error()
    }
}

impl End {
    pub(crate) fn error(&self) -> Error {
        let reason = match self {
            Self::Closed => "it was stopped or replaced while the call ran".to_owned(),
            Self::Failed(why) => why.clone(),
        };
        Error::ServerFailed { reason }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.end(End::Closed);
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}
