//! One request to the management API, and its answer.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderName, Method, Request, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use standalone::fetch::Fetch;

use crate::operate::Failure;

/// Longer than the gateway itself waits for a server that it inspects.
const PATIENCE: Duration = Duration::from_mins(6);

/// What a part of a path may be as it is (RFC 3986 §3.3), but for `.` alone.
const IN_PATHS: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':').remove(b'@');

/// One part of a path, whatever is in it.
pub(crate) fn part(text: &str) -> String {
    match text {
        "." | ".." => text.replace('.', "%2E"),
        text => utf8_percent_encode(text, IN_PATHS).to_string(),
    }
}

/// A request.
#[derive(Debug)]
pub(crate) struct Asked {
    method: Method,
    path: String,
    body: Bytes,
    conditions: Vec<(HeaderName, String)>,
}

/// Its answer, if it is a good one.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Null where there is nothing to tell.
    pub(crate) value: Value,
    /// The entity tag of what was read.
    pub(crate) tag: Option<String>,
}

/// The thing was changed since it was read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Outdated(String);

impl Asked {
    pub(crate) fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), body: Bytes::new(), conditions: Vec::new() }
    }

    /// With a body.
    pub(crate) fn with(mut self, body: &Value) -> Self {
        if !body.is_null() {
            self.body = Bytes::from(body.to_string());
        }
        self
    }

    /// Only if there is no such thing yet.
    pub(crate) fn if_new(mut self) -> Self {
        self.conditions.push((header::IF_NONE_MATCH, "*".to_owned()));
        self
    }

    /// Only if the thing is as it was read.
    pub(crate) fn if_still(mut self, tag: Option<&str>) -> Self {
        self.conditions.extend(tag.map(|tag| (header::IF_MATCH, tag.to_owned())));
        self
    }

    pub(super) async fn send(&self, fetch: &Fetch, base: &str, token: &str) -> Result<Answer, Failure> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(format!("{base}{}", self.path))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::ACCEPT, "application/json, application/problem+json");
        if !self.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in &self.conditions {
            request = request.header(name, value);
        }
        let (status, tag, text) = exchange(fetch, request.body(self.body.clone())?).await?;
        let value: Value = serde_json::from_slice(&text).unwrap_or_default();
        match status {
            status if status.is_success() => Ok(Answer { value, tag }),
            StatusCode::PRECONDITION_FAILED => Err(Outdated(told(status, &value)).into()),
            StatusCode::UNAUTHORIZED => Err(format!(
                "{}\n  sign in again with `ambit login`, or show another key: AMBIT_KEY, --key-file",
                told(status, &value)
            )
            .into()),
            status => Err(told(status, &value).into()),
        }
    }
}

/// Sends a request, and reads the whole answer: its status, its entity tag, its body.
pub(super) async fn exchange(
    fetch: &Fetch,
    request: Request<Bytes>,
) -> Result<(StatusCode, Option<String>, Vec<u8>), Failure> {
    let answered = async {
        let response = fetch.send(request).await?;
        let status = response.status();
        let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let mut body = response.into_body();
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok((status, tag, bytes))
    };
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(answer) => answer,
        Err(_) => {
            Err("the gateway does not answer; what was asked may have been done: look before you repeat it"
                .into())
        }
    }
}

/// A problem (RFC 9457) as lines.
fn told(status: StatusCode, problem: &Value) -> String {
    let text = |member: &str| problem.get(member).and_then(Value::as_str);
    let told = text("detail").or(text("title"));
    let mut told = told.map_or_else(|| format!("the gateway answers {status}"), str::to_owned);
    for error in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let error = error.as_str().map_or_else(|| error.to_string(), |text| text.replace('\n', "\n  "));
        let _ = write!(told, "\n  {error}");
    }
    told
}
