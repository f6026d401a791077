//! Bodies: of a request, which nobody has read yet, and of an answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use futures_util::{Stream, StreamExt as _, pin_mut};
use http_body::{Frame, SizeHint};

use crate::platform::{Platform, PlatformError};

/// The body of a request, still to be read: much can be refused without it. One that is dropped unread is the host's to get rid of, so
/// that a caller who is still sending sees the answer.
#[expect(async_fn_in_trait, reason = "as for `Platform`: the core's futures are not Send")]
pub trait Incoming {
    /// How many bytes it has, if the request says so.
    fn length(&self) -> Option<u64>;

    /// Reads it to its end, if that is no further than `limit` bytes.
    async fn read(self, limit: usize) -> Result<Bytes, Unread>;
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// It is larger than it may be.
    TooLarge,
    /// It ended before it was whole.
    Broken,
    /// It took too long.
    Late,
}

/// A body that is there already.
impl Incoming for Bytes {
    fn length(&self) -> Option<u64> {
        Some(self.len() as u64)
    }

    async fn read(self, limit: usize) -> Result<Bytes, Unread> {
        if self.len() > limit { Err(Unread::TooLarge) } else { Ok(self) }
    }
}

/// Reads the body of a request, for so long.
pub(crate) async fn receive<P: Platform>(
    platform: &P,
    body: impl Incoming,
    limit: usize,
    patience: Duration,
) -> Result<Bytes, Unread> {
    let (reading, deadline) = (body.read(limit), platform.sleep(patience));
    pin_mut!(reading, deadline);
    match select(reading, deadline).await {
        Either::Left((read, _)) => read,
        Either::Right(_) => Err(Unread::Late),
    }
}

/// The body of an answer.
pub enum Body<S> {
    /// All of it.
    Whole(Bytes),
    /// An upstream body that needs no change: a host that can pass it on natively should.
    Native(S),
    /// Events that the core looks at as they pass.
    Events(Pin<Box<dyn Stream<Item = Result<Bytes, PlatformError>>>>),
}

impl<S> Body<S> {
    /// No body at all.
    pub fn empty() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl<S> std::fmt::Debug for Body<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole",
            Self::Native(_) => "Native",
            Self::Events(_) => "Events",
        })
    }
}

impl<S: Stream<Item = Result<Bytes, PlatformError>>> http_body::Body for Body<S>
where
    S: Unpin,
{
    type Data = Bytes;
    type Error = PlatformError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, PlatformError>>> {
        let chunk = match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Self::Whole(bytes) => return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Native(stream) => Pin::new(stream).poll_next(cx),
            Self::Events(stream) => stream.as_mut().poll_next(cx),
        };
        chunk.map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Native(_) | Self::Events(_) => SizeHint::default(),
        }
    }
}

/// Reads a body to its end, up to `limit` bytes and for so long.
pub(crate) async fn read_whole<P: Platform>(
    platform: &P,
    body: P::Stream,
    limit: usize,
    patience: Duration,
) -> Result<Bytes, PlatformError> {
    let (reading, deadline) = (collect(body, limit), platform.sleep(patience));
    pin_mut!(reading, deadline);
    match select(reading, deadline).await {
        Either::Left((read, _)) => read,
        Either::Right(_) => Err(PlatformError::Late),
    }
}

async fn collect<S>(body: S, limit: usize) -> Result<Bytes, PlatformError>
where
    S: Stream<Item = Result<Bytes, PlatformError>>,
{
    pin_mut!(body);
    let Some(first) = body.next().await.transpose()? else { return Ok(Bytes::new()) };
    // Most answers come in one piece: no copy then.
    let Some(second) = body.next().await.transpose()? else {
        return if first.len() > limit { Err(PlatformError::TooLarge { limit }) } else { Ok(first) };
    };
    let mut whole = BytesMut::from(first);
    whole.extend_from_slice(&second);
    loop {
        if whole.len() > limit {
            return Err(PlatformError::TooLarge { limit });
        }
        match body.next().await.transpose()? {
            Some(chunk) => whole.extend_from_slice(&chunk),
            None => return Ok(whole.freeze()),
        }
    }
}
