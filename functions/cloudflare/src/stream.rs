//! Bodies that come in from outside.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use gateway::platform::PlatformError;
use js_sys::Uint8Array;
use wasm_bindgen::JsCast;
use wasm_streams::readable::IntoStream;
use web_sys::{AbortController, ReadableStream};

use crate::fetching::words;

/// The body of a response. Nothing is read before it is asked for, so one that nobody looks into can be passed on as it is,
/// without entering wasm.
pub(crate) struct Incoming {
    state: State,
    hang_up: HangUp,
}

enum State {
    Untouched(ReadableStream),
    Reading(IntoStream<'static>),
    Ended,
}

impl Incoming {
    pub(crate) fn new(body: Option<ReadableStream>, hang_up: HangUp) -> Self {
        Self { state: body.map_or(State::Ended, State::Untouched), hang_up }
    }

    /// The platform's own stream, if nobody has read from it yet. Whoever takes it answers for its end.
    pub(crate) fn into_native(mut self) -> Result<Option<ReadableStream>, Self> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Untouched(stream) => {
                self.hang_up.disarm();
                Ok(Some(stream))
            }
            State::Ended => Ok(None),
            reading @ State::Reading(_) => Err(Self { state: reading, ..self }),
        }
    }
}

impl Stream for Incoming {
    type Item = Result<Bytes, PlatformError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Poll::Ready(None),
                State::Untouched(stream) => {
                    match wasm_streams::ReadableStream::from_raw(stream.unchecked_into()).try_into_stream() {
                        Ok(reader) => self.state = State::Reading(reader),
                        Err((error, _)) => {
                            return Poll::Ready(Some(Err(PlatformError::Broken(error.message().into()))));
                        }
                    }
                }
                State::Reading(mut reader) => {
                    let chunk = match Pin::new(&mut reader).poll_next(cx) {
                        Poll::Pending => {
                            self.state = State::Reading(reader);
                            return Poll::Pending;
                        }
                        Poll::Ready(chunk) => chunk,
                    };
                    return Poll::Ready(match chunk {
                        Some(Ok(chunk)) => {
                            self.state = State::Reading(reader);
                            Some(Ok(Uint8Array::new(&chunk).to_vec().into()))
                        }
                        Some(Err(error)) => Some(Err(PlatformError::Broken(words(&error)))),
                        None => {
                            self.hang_up.disarm();
                            None
                        }
                    });
                }
            }
        }
    }
}

/// Ends a request when it is dropped before the request's answer is whole.
pub(crate) struct HangUp(Option<AbortController>);

impl HangUp {
    pub(crate) fn new(controller: AbortController) -> Self {
        Self(Some(controller))
    }

    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for HangUp {
    fn drop(&mut self) {
        if let Some(controller) = self.0.take() {
            controller.abort();
        }
    }
}
