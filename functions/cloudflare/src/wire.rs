//! Requests and responses, between JavaScript and Rust.

use bytes::Bytes;
use futures_util::future::AbortHandle;
use futures_util::{Stream, StreamExt};
use gateway::body::{Body, Incoming, Unread};
use gateway::platform::{Peer, PlatformError};
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, ReadableStream, ResponseInit};
use worker::ScheduleContext;

use crate::fetching::{inward, outward};
use crate::stream;

/// The request that came in, its body still to be read.
pub(crate) fn call(request: &web_sys::Request) -> Result<http::Request<Upload>, JsValue> {
    let invalid = |error: http::Error| JsValue::from_str(&error.to_string());
    let headers = inward(&request.headers());
    let stated =
        headers.get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let body = request.body();
    let length = if body.is_none() { Some(0) } else { stated };
    let mut call = http::Request::builder()
        .method(request.method().as_str())
        .uri(request.url())
        .body(Upload { body, length })
        .map_err(invalid)?;
    // Cloudflare sets this header itself; on workerd without Cloudflare it is the caller's own word, so a proxy has to set it.
    let peer = headers.get("cf-connecting-ip").and_then(|address| address.to_str().ok()?.parse().ok());
    if let Some(peer) = peer {
        call.extensions_mut().insert(Peer(peer));
    }
    *call.headers_mut() = headers;
    Ok(call)
}

/// The body of a request. One that nobody reads never enters wasm; the platform gets rid of it.
pub(crate) struct Upload {
    body: Option<ReadableStream>,
    length: Option<u64>,
}

impl Incoming for Upload {
    fn length(&self) -> Option<u64> {
        self.length
    }

    async fn read(self, limit: usize) -> Result<Bytes, Unread> {
        let Some(body) = self.body else { return Ok(Bytes::new()) };
        let mut chunks = wasm_streams::ReadableStream::from_raw(body.unchecked_into()).into_stream();
        let mut all: Vec<u8> = Vec::new();
        while let Some(chunk) = chunks.next().await {
            all.extend(Uint8Array::new(&chunk.map_err(|_| Unread::Broken)?).to_vec());
            if all.len() > limit {
                return Err(Unread::TooLarge);
            }
        }
        Ok(all.into())
    }
}

/// The answer that goes out. A body that the core did not look into passes on as it is.
pub(crate) fn answer(response: http::Response<Body<stream::Incoming>>) -> Result<web_sys::Response, JsValue> {
    let (parts, body) = response.into_parts();
    let init = ResponseInit::new();
    init.set_status(parts.status.as_u16());
    init.set_headers(&outward(&parts.headers)?);
    match body {
        Body::Whole(bytes) if bytes.is_empty() => web_sys::Response::new_with_opt_str_and_init(None, &init),
        Body::Whole(bytes) => web_sys::Response::new_with_opt_js_u8_array_and_init(
            Some(&Uint8Array::from(bytes.as_ref())),
            &init,
        ),
        Body::Native(stream) => {
            let stream = stream.into_native().unwrap_or_else(|stream| Some(readable(stream)));
            web_sys::Response::new_with_opt_readable_stream_and_init(stream.as_ref(), &init)
        }
        Body::Events(stream) => {
            web_sys::Response::new_with_opt_readable_stream_and_init(Some(&readable(stream)), &init)
        }
    }
}

/// What we answer to a caller who went away: no one reads it, but the platform wants one.
pub(crate) fn nobody_listens() -> Result<web_sys::Response, JsValue> {
    plain(499, "")
}

/// What we answer while the deployment is broken; the log says how.
pub(crate) fn unavailable() -> Result<web_sys::Response, JsValue> {
    plain(503, "the gateway is not ready")
}

fn plain(status: u16, text: &str) -> Result<web_sys::Response, JsValue> {
    let init = ResponseInit::new();
    init.set_status(status);
    web_sys::Response::new_with_opt_str_and_init(Some(text), &init)
}

/// Keeps a scheduled event alive until a promise has settled.
pub(crate) fn keep_alive(context: &ScheduleContext, promise: &Promise) {
    let settled = JsFuture::from(promise.clone());
    context.wait_until(async move { drop(settled.await) });
}

fn readable(stream: impl Stream<Item = Result<Bytes, PlatformError>> + 'static) -> ReadableStream {
    let chunks = stream.map(|chunk| match chunk {
        Ok(bytes) => Ok(Uint8Array::from(bytes.as_ref()).into()),
        Err(error) => Err(JsValue::from_str(&error.to_string())),
    });
    wasm_streams::ReadableStream::from_stream(chunks).into_raw().unchecked_into()
}

/// Cancels work when the caller hangs up. Dropped, it stops listening.
pub(crate) struct OnHangUp {
    signal: AbortSignal,
    listener: Closure<dyn Fn()>,
}

impl OnHangUp {
    pub(crate) fn listen(request: &web_sys::Request, work: AbortHandle) -> Self {
        let signal = request.signal();
        let listener = Closure::new(move || work.abort());
        let _ = signal.add_event_listener_with_callback("abort", listener.as_ref().unchecked_ref());
        Self { signal, listener }
    }
}

impl Drop for OnHangUp {
    fn drop(&mut self) {
        let _ =
            self.signal.remove_event_listener_with_callback("abort", self.listener.as_ref().unchecked_ref());
    }
}
