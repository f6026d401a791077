//! What the gateway answers with.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use futures_util::{Stream, StreamExt as _, pin_mut};
use http_body::{Frame, SizeHint};

use crate::platform::{Platform, PlatformError};

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
