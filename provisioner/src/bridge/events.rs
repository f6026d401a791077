//! The messages of an HTTP response, be it one JSON body or an event stream.

use axum::http::Response;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use schemas::provisioner::MAX_MESSAGE_BYTES;

use crate::bridge::lines::{Line, Lines};
use crate::error::Error;

/// Message after message of one response.
#[derive(Debug)]
pub(crate) enum Events {
    Json(Option<Incoming>),
    Stream { body: Incoming, lines: Lines, ready: std::collections::VecDeque<Bytes>, data: Vec<u8> },
}

impl Events {
    pub(crate) fn of(response: Response<Incoming>) -> Self {
        let kind =
            response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if kind.starts_with("text/event-stream") {
            Self::Stream {
                body: response.into_body(),
                lines: Lines::new(MAX_MESSAGE_BYTES + 16),
                ready: std::collections::VecDeque::new(),
                data: Vec::new(),
            }
        } else {
            Self::Json(Some(response.into_body()))
        }
    }

    /// The next message; `None` at the end. Events without data, such as those that prime a reconnection, are no message.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        match self {
            Self::Json(body) => match body.take() {
                None => Ok(None),
                Some(body) => Ok(Some(whole(body).await?).filter(|body| !body.is_empty())),
            },
            Self::Stream { body, lines, ready, data } => loop {
                if let Some(message) = ready.pop_front() {
                    return Ok(Some(message));
                }
                let Some(frame) = body.frame().await else { return Ok(None) };
                let frame = frame.map_err(|error| Error::ServerFailed {
                    reason: format!("its stream broke off: {error}"),
                })?;
                let Ok(piece) = frame.into_data() else { continue };
                for line in lines.push(piece) {
                    let Line::Whole(line) = line else {
                        return Err(Error::ServerFailed {
                            reason: format!("its answer is larger than {MAX_MESSAGE_BYTES} bytes"),
                        });
                    };
                    let line = line.strip_suffix(b"\r").unwrap_or(&line);
                    if line.is_empty() {
                        if !data.is_empty() {
                            ready.push_back(std::mem::take(data).into());
                        }
                    } else if let Some(value) = line.strip_prefix(b"data:") {
                        if !data.is_empty() {
                            data.push(b'\n');
                        }
                        data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
                    }
                }
            },
        }
    }
}

/// Reads a whole body, bounded.
async fn whole(body: Incoming) -> Result<Bytes, Error> {
    let limited = Limited::new(body, MAX_MESSAGE_BYTES).collect().await;
    limited
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| Error::ServerFailed { reason: format!("its answer cannot be read: {error}") })
}
