//! Requests and responses, between JavaScript and Rust.

use bytes::Bytes;
use futures_util::future::AbortHandle;
use futures_util::{Stream, StreamExt};
use gateway::body::Body;
use gateway::platform::PlatformError;
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, ReadableStream, ResponseInit};
use worker::ScheduleContext;

use crate::fetching::{inward, outward};
use crate::stream::Incoming;

/// The longest body that is read: above it, no message of MCP is meant.
const LARGEST_BODY: usize = 16 << 20;

/// The request that came in, read to its end; nothing if that is too far.
pub(crate) async fn call(request: &web_sys::Request) -> Result<Option<http::Request<Bytes>>, JsValue> {
    let invalid = |error: http::Error| JsValue::from_str(&error.to_string());
    let body = match request.body() {
        None => Bytes::new(),
        Some(body) => match whole(body).await? {
            Some(body) => body,
            None => return Ok(None),
        },
    };
    let method = request.method();
    let mut call =
        http::Request::builder().method(method.as_str()).uri(request.url()).body(body).map_err(invalid)?;
    *call.headers_mut() = inward(&request.headers());
    Ok(Some(call))
}

async fn whole(body: ReadableStream) -> Result<Option<Bytes>, JsValue> {
    let mut chunks = wasm_streams::ReadableStream::from_raw(body.unchecked_into()).into_stream();
    let mut all: Vec<u8> = Vec::new();
    while let Some(chunk) = chunks.next().await {
        all.extend(Uint8Array::new(&chunk?).to_vec());
        if all.len() > LARGEST_BODY {
            return Ok(None);
        }
    }
    Ok(Some(all.into()))
}

/// The answer that goes out. A body that the core did not look into passes on as it is.
pub(crate) fn answer(response: http::Response<Body<Incoming>>) -> Result<web_sys::Response, JsValue> {
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

/// What we answer to more than we read.
pub(crate) fn too_large() -> Result<web_sys::Response, JsValue> {
    plain(413, "the request is too large")
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
