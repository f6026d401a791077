//! HTTP, outward.

use bytes::Bytes;
use gateway::platform::PlatformError;
use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, Headers, RequestInit, RequestRedirect, WorkerGlobalScope};

use crate::stream::{HangUp, Incoming};

/// Sends a request, and answers when the head of the response is there.
pub(crate) async fn send(request: http::Request<Bytes>) -> Result<http::Response<Incoming>, PlatformError> {
    let (parts, body) = request.into_parts();
    let unreachable =
        |error: JsValue| PlatformError::Unreachable { address: address(&parts.uri), reason: words(&error) };
    let controller = AbortController::new().map_err(unreachable)?;
    let init = RequestInit::new();
    init.set_method(parts.method.as_str());
    init.set_headers(&outward(&parts.headers).map_err(unreachable)?);
    init.set_redirect(RequestRedirect::Manual);
    init.set_signal(Some(&controller.signal()));
    if !body.is_empty() {
        init.set_body(&Uint8Array::from(body.as_ref()));
    }
    let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
    // From here on a caller who stops waiting also stops the request.
    let hang_up = HangUp::new(controller);
    let answer = JsFuture::from(scope.fetch_with_str_and_init(&parts.uri.to_string(), &init)).await;
    let answer: web_sys::Response = answer.map_err(unreachable)?.unchecked_into();
    let mut response = http::Response::new(Incoming::new(answer.body(), hang_up));
    *response.status_mut() = http::StatusCode::from_u16(answer.status())
        .map_err(|error| PlatformError::Broken(format!("the answer has no valid status: {error}")))?;
    *response.headers_mut() = inward(&answer.headers());
    Ok(response)
}

/// Headers as JavaScript has them. A value that is no text is left out: the platform could not carry it.
pub(crate) fn outward(headers: &http::HeaderMap) -> Result<JsValue, JsValue> {
    let out = Headers::new()?;
    for (name, value) in headers {
        if let Ok(value) = value.to_str() {
            out.append(name.as_str(), value)?;
        }
    }
    Ok(out.into())
}

/// Headers as Rust has them. Several of one name come joined by commas, except cookies.
pub(crate) fn inward(headers: &Headers) -> http::HeaderMap {
    let mut map = http::HeaderMap::new();
    for entry in headers.entries().into_iter().flatten() {
        let pair: js_sys::Array = entry.unchecked_into();
        let (Some(name), Some(value)) = (pair.get(0).as_string(), pair.get(1).as_string()) else { continue };
        let name = http::HeaderName::from_bytes(name.as_bytes());
        let value = http::HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
    map
}

/// An error's own words.
pub(crate) fn words(error: &JsValue) -> String {
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => error.message().into(),
        None => format!("{error:?}"),
    }
}

/// Scheme, host and port: a path may hold more than a log should.
fn address(uri: &http::Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or("http");
    format!("{scheme}://{}", uri.authority().map_or("", http::uri::Authority::as_str))
}
