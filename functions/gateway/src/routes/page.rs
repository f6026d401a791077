//! What every page has: one stylesheet, no scripts (but one, where passkeys are asked for), and nothing that another site could frame, read or send.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use maud::{DOCTYPE, Markup, html};

use crate::body::Body;
use crate::error::Fault;
use crate::platform::PlatformError;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("passkey.js");

/// Where the forms of a page may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Forms {
    /// It has none.
    None,
    /// To where the page came from.
    Own,
    /// To where the page came from, which then redirects to this origin or scheme: browsers hold the redirect to the same rule.
    OwnThen(String),
    /// To where the page came from, and there is a script of ours for passkeys.
    OwnScripted,
}

/// A page.
pub(super) fn page<S>(status: StatusCode, title: &str, forms: Forms, body: &Markup) -> Response<Body<S>> {
    let scripted = forms == Forms::OwnScripted;
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="stylesheet" href="/style.css";
                @if scripted { script src="/passkey.js" defer {} }
            }
            body { main { (body) } }
        }
    };
    let (targets, referrer, caching) = match forms {
        Forms::None => ("'none'".to_owned(), "no-referrer", "no-cache"),
        // Under `no-referrer` browsers send no origin with a form either, and we ask for one.
        Forms::Own | Forms::OwnScripted => ("'self'".to_owned(), "same-origin", "no-store"),
        Forms::OwnThen(next) => (format!("'self' {next}"), "same-origin", "no-store"),
    };
    let scripts = if scripted { "script-src 'self'; " } else { "" };
    let policy = format!(
        "default-src 'none'; {scripts}style-src 'self'; base-uri 'none'; form-action {targets}; frame-ancestors 'none'"
    );
    let mut response = Response::new(Body::Whole(Bytes::from(document.into_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    // A target that is no text for a header is none: then nothing may be sent anywhere.
    let strictest =
        HeaderValue::from_static("default-src 'none'; form-action 'none'; frame-ancestors 'none'");
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_str(&policy).unwrap_or(strictest));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static(referrer));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    response
}

/// Sends the browser on, with a GET. What it goes to is ours or was checked.
pub(super) fn see_other<S>(to: &str) -> Response<Body<S>> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/")));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// A page that says one thing.
pub(super) fn message<S>(status: StatusCode, title: &str, why: &str) -> Response<Body<S>> {
    page(status, &format!("{title} – Ambit"), Forms::Own, &html! { h1 { (title) } p { (why) } })
}

/// The page for when the database is away.
pub(super) fn unavailable<S>(error: &PlatformError) -> Response<Body<S>> {
    Fault::Platform.log(&error.to_string());
    message(
        Fault::Platform.status(),
        "Not now",
        "The database can't be reached, and nothing was changed. Try again.",
    )
}

/// The one script.
pub(super) fn script<S>() -> Response<Body<S>> {
    file(SCRIPT, "text/javascript; charset=utf-8")
}

/// The one stylesheet.
pub(super) fn stylesheet<S>() -> Response<Body<S>> {
    file(STYLE, "text/css; charset=utf-8")
}

fn file<S>(text: &'static str, kind: &'static str) -> Response<Body<S>> {
    let mut response = Response::new(Body::Whole(Bytes::from_static(text.as_bytes())));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    response
}
