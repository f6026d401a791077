//! What went wrong, as RFC 9457 has it.

use http::{HeaderValue, Method, Response, StatusCode, header};
use schemas::decision::Action;
use serde_json::{Value, json};

use super::answer;
use crate::body::Body;
use crate::error::Fault;
use crate::identity::IdentityError;
use crate::platform::PlatformError;
use crate::upstream::UpstreamError;

/// Why a management request failed. The text is for whoever manages.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("{0}")]
    Malformed(String),
    #[error("no {0}")]
    NotFound(String),
    #[error("this address takes {} only", words(.0))]
    Method(Vec<Method>),
    #[error("{0}")]
    Conflict(String),
    #[error("{message}")]
    Refused { message: String, details: Value },
    #[error("your roles do not allow `{}` here: ask an owner of the organisation", .0.as_str())]
    Forbidden(Action),
    #[error("this is for the operator of the deployment only: show the operator's key")]
    OperatorOnly,
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("the database failed; nothing was changed")]
    Platform(#[from] PlatformError),
    #[error("{}", .0.log())]
    Upstream(#[from] UpstreamError),
}

impl From<schemas::ParseError> for ApiError {
    fn from(error: schemas::ParseError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Refused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Forbidden(_) | Self::OperatorOnly => StatusCode::FORBIDDEN,
            Self::Identity(IdentityError::Platform(_)) | Self::Platform(_) => Fault::Platform.status(),
            Self::Identity(_) => Fault::Unproven.status(),
            Self::Upstream(error) => error.fault().status(),
        }
    }
}

fn words(methods: &[Method]) -> String {
    methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

/// The answer that says so.
pub(super) fn problem<S>(error: &ApiError) -> Response<Body<S>> {
    let status = error.status();
    if let ApiError::Platform(cause) = error {
        Fault::Platform.log(&cause.to_string());
    }
    let mut document =
        json!({ "type": "about:blank", "title": error.to_string(), "status": status.as_u16() });
    if let (ApiError::Refused { details, .. }, Some(document)) = (error, document.as_object_mut()) {
        document.insert("errors".into(), details.clone());
    }
    let mut response = answer(status, document.to_string());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let ApiError::Method(allowed) = error
        && let Ok(allowed) = HeaderValue::from_str(&words(allowed))
    {
        headers.insert(header::ALLOW, allowed);
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
