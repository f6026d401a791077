//! What went wrong, as RFC 6749 §5.2 and its relatives say it.

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::body::Body;
use crate::clients::{BadMetadata, ClientError, ProofError};
use crate::error::Fault;
use crate::identity::IdentityError;
use crate::limits::TooOften;
use crate::platform::PlatformError;
use crate::walk::Refusal;

/// An error, by the code that clients know and a text for whoever reads their logs.
#[derive(Debug, Clone)]
pub(super) struct OAuthError {
    pub(super) code: &'static str,
    pub(super) why: String,
    status: StatusCode,
    /// When it is worth another try.
    too_often: Option<TooOften>,
}

impl OAuthError {
    pub(super) fn new(code: &'static str, why: impl Into<String>) -> Self {
        Self { code, why: why.into(), status: StatusCode::BAD_REQUEST, too_often: None }
    }

    pub(super) fn invalid_request(why: impl Into<String>) -> Self {
        Self::new("invalid_request", why)
    }

    pub(super) fn invalid_grant(why: impl Into<String>) -> Self {
        Self::new("invalid_grant", why)
    }

    pub(super) fn invalid_target(why: impl Into<String>) -> Self {
        Self::new("invalid_target", why)
    }

    pub(super) fn access_denied(why: impl Into<String>) -> Self {
        Self::new("access_denied", why)
    }

    /// With another status than 400.
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The JSON answer.
    pub(super) fn answer<S>(&self) -> Response<Body<S>> {
        let document = json!({ "error": self.code, "error_description": described(&self.why) });
        let mut response = super::answer(self.status, &document);
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"ambit\""));
        }
        if let Some(too_often) = self.too_often {
            too_often.mark(&mut response);
        }
        response
    }
}

/// RFC 6749 §5.2 has no code for it: the nearest is that of §4.1.2.1.
impl From<TooOften> for OAuthError {
    fn from(too_often: TooOften) -> Self {
        let error = Self::new("temporarily_unavailable", too_often.to_string());
        Self { too_often: Some(too_often), ..error.with_status(StatusCode::TOO_MANY_REQUESTS) }
    }
}

/// A description without what RFC 6749 §5.2 does not allow in it.
pub(super) fn described(why: &str) -> String {
    why.chars()
        .map(|c| if c == '"' || c == '\\' { '\'' } else { c })
        .filter(|c| matches!(c, ' '..='~'))
        .collect()
}

impl From<PlatformError> for OAuthError {
    fn from(error: PlatformError) -> Self {
        Fault::Platform.log(&error.to_string());
        Self::new("temporarily_unavailable", "the gateway can't look that up at the moment: try again")
            .with_status(Fault::Platform.status())
    }
}

impl From<ClientError> for OAuthError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unknown(why) => {
                Self::new("invalid_client", why).with_status(StatusCode::UNAUTHORIZED)
            }
            ClientError::Platform(error) => error.into(),
        }
    }
}

impl From<ProofError> for OAuthError {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Invalid(why) => {
                Self::new("invalid_client", why).with_status(StatusCode::UNAUTHORIZED)
            }
            ProofError::Malformed(why) => Self::invalid_request(why),
            ProofError::Platform(error) => error.into(),
        }
    }
}

impl From<BadMetadata> for OAuthError {
    fn from(error: BadMetadata) -> Self {
        Self::new(error.code, error.why)
    }
}

impl From<Refusal> for OAuthError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Platform(why) => PlatformError::Database(why).into(),
            other @ (Refusal::Identity(_)
            | Refusal::NoToolbox(_)
            | Refusal::Unknown { .. }
            | Refusal::Needs { .. }
            | Refusal::OutOfScope { .. }) => Self::access_denied(other.to_string()),
        }
    }
}

impl From<IdentityError> for OAuthError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Platform(error) => error.into(),
            other @ (IdentityError::Missing | IdentityError::Invalid(_)) => {
                Self::invalid_grant(other.to_string())
            }
        }
    }
}
