//! Answers, and the conditions that requests put on them (RFC 9110 §13).

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use schemas::ids::Sha256Hex;
use serde_json::Value;

use super::answer;
use super::problem::ApiError;
use crate::body::Body;

/// What an operation answers: JSON, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Reply {
    status: u16,
    body: String,
    /// The entity tag, where the body is the thing itself.
    tag: Option<String>,
    /// Where a new thing is, below `/api/v1/`.
    location: Option<String>,
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        Self::text(value.to_string())
    }
}

impl Reply {
    /// JSON that says what was done, or what there is.
    pub(super) fn text(body: String) -> Self {
        Self { status: 200, body, tag: None, location: None }
    }

    /// The thing itself.
    pub(super) fn thing(body: String) -> Self {
        let tag = Some(tag(&body));
        Self { tag, ..Self::text(body) }
    }

    /// Done, and there is nothing to tell.
    pub(super) fn nothing() -> Self {
        Self { status: 204, ..Self::text(String::new()) }
    }

    /// It is new, at this address below `/api/v1/`.
    pub(super) fn made(self, location: String) -> Self {
        Self { status: 201, location: Some(location), ..self }
    }

    /// The thing, with a member that shows only now.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        if let Ok(Value::Object(mut members)) = serde_json::from_str::<Value>(&self.body) {
            members.insert(name.to_owned(), value.into());
            self.body = Value::Object(members).to_string();
        }
        self
    }

    /// The body alone.
    pub(super) fn into_body(self) -> String {
        self.body
    }

    /// The HTTP answer.
    pub(super) fn render<S>(mut self, method: &Method, headers: &HeaderMap) -> Response<Body<S>> {
        if matches!(*method, Method::GET | Method::HEAD) && self.tag.is_none() {
            self.tag = Some(tag(&self.body));
        }
        let unchanged = matches!(*method, Method::GET | Method::HEAD)
            && self.tag.as_deref().is_some_and(|tag| names(headers, &header::IF_NONE_MATCH, tag));
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = match (unchanged, self.body.is_empty()) {
            (false, false) => answer(status, self.body),
            (unchanged, _) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = if unchanged { StatusCode::NOT_MODIFIED } else { status };
                response
            }
        };
        let fields = response.headers_mut();
        // Whoever shares a cache must not share an answer; and a browser asks each time whether its copy is still good.
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        let location = self.location.map(|location| format!("/api/v1/{location}"));
        for (name, value) in [(header::ETAG, self.tag), (header::LOCATION, location)] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                fields.insert(name, value);
            }
        }
        response
    }
}

/// The entity tag of a text: strong, as the text is all that is sent.
fn tag(text: &str) -> String {
    let hash = Sha256Hex::of(text.as_bytes());
    format!("\"{}\"", hash.as_str().get(..32).unwrap_or_default())
}

/// Whether a list of entity tags names this one, or any. Weak ones are compared as strong ones: we give out no others.
fn names(headers: &HeaderMap, field: &header::HeaderName, tag: &str) -> bool {
    headers
        .get_all(field)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|named| named == "*" || named.trim_start_matches("W/") == tag)
}

/// What a write demands of the thing as it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conditions<'a>(pub(super) &'a HeaderMap);

impl Conditions<'_> {
    /// Whether there are any.
    pub(super) fn any(self) -> bool {
        self.0.contains_key(header::IF_MATCH) || self.0.contains_key(header::IF_NONE_MATCH)
    }

    /// Whether they hold for the thing as it reads now.
    ///
    /// # Errors
    /// They do not.
    pub(super) fn hold(self, current: Option<&str>) -> Result<(), ApiError> {
        let is = |field| current.is_some_and(|text| names(self.0, &field, &tag(text)));
        let matches = !self.0.contains_key(header::IF_MATCH) || is(header::IF_MATCH);
        if matches && !is(header::IF_NONE_MATCH) { Ok(()) } else { Err(ApiError::Precondition) }
    }
}
