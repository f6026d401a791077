//! Bodies of requests. They are read when the gateway asks for them; what it does not want is read and forgotten (up to a point) while
//! the answer leaves, because a client that is still writing would not see the answer before its connection is reset.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gateway::body::{Incoming, Unread};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;

/// Bytes that are read for nothing, at most.
const DRAINED: usize = 8 * schemas::provisioner::MAX_MESSAGE_BYTES;
/// How long they may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A body that is on its way.
#[derive(Debug)]
pub(crate) struct Upload {
    /// Nothing, when it has ended.
    body: Option<hyper::body::Incoming>,
    /// Whether the client sends it only if we ask (`Expect: 100-continue`), and nobody has.
    held: bool,
}

impl Upload {
    /// The body of a request.
    pub(crate) fn of(request: http::Request<hyper::body::Incoming>) -> http::Request<Self> {
        let held = request.headers().contains_key(http::header::EXPECT);
        request.map(|body| Self { body: Some(body).filter(|body| !body.is_end_stream()), held })
    }

    /// The next piece; nothing more after the end, or after the client broke off.
    async fn next(&mut self) -> Result<Option<Bytes>, Unread> {
        self.held = false;
        while let Some(body) = &mut self.body {
            match body.frame().await {
                Some(Ok(frame)) => {
                    // Trailers say nothing to us.
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "a request broke off");
                    self.body = None;
                    return Err(Unread::Broken);
                }
                None => self.body = None,
            }
        }
        Ok(None)
    }
}

impl Incoming for Upload {
    fn length(&self) -> Option<u64> {
        self.body.as_ref().map_or(Some(0), |body| body.size_hint().exact())
    }

    async fn read(mut self, limit: usize) -> Result<Bytes, Unread> {
        let fits = |length: usize| if length > limit { Err(Unread::TooLarge) } else { Ok(()) };
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        fits(first.len())?;
        // Most bodies come in one piece: no copy then.
        let Some(second) = self.next().await? else { return Ok(first) };
        let mut whole = BytesMut::from(first);
        whole.extend_from_slice(&second);
        while let Some(data) = self.next().await? {
            fits(whole.len().saturating_add(data.len()))?;
            whole.extend_from_slice(&data);
        }
        fits(whole.len())?;
        Ok(whole.freeze())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|_| !self.held) {
            tokio::task::spawn_local(async move {
                let _ = tokio::time::timeout(PATIENCE, drain(body)).await;
            });
        }
    }
}

async fn drain(mut body: hyper::body::Incoming) {
    let mut drained = 0_usize;
    while let Some(Ok(frame)) = body.frame().await {
        drained = drained.saturating_add(frame.data_ref().map_or(0, Bytes::len));
        if drained > DRAINED {
            break;
        }
    }
}
