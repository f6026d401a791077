//! What went wrong, as RFC 9457 has it. The `type` of a problem is an address of this gateway that says what it means.

use http::{HeaderValue, Method, Response, StatusCode, header};
use schemas::decision::Action;
use serde_json::{Value, json};

use super::answer;
use crate::Gateway;
use crate::body::{Body, Unread};
use crate::broker::BrokerError;
use crate::error::Fault;
use crate::identity::IdentityError;
use crate::limits::TooOften;
use crate::platform::PlatformError;
use crate::store::refusals::Refused;
use crate::upstream::UpstreamError;
use crate::vault::VaultError;

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
    #[error("{0}")]
    UnderWay(String),
    #[error("{message}")]
    Refused { message: String, details: Value },
    #[error("it is not as you think it is: read it again, then repeat the change with its `ETag` of now")]
    Precondition,
    #[error("this `Idempotency-Key` was used for another request: take a new one for each")]
    KeyOfAnother,
    #[error("the body is `{0}`: send JSON, as `application/json`")]
    MediaType(String),
    #[error("a body here may have {} KiB", .0 / 1024)]
    TooLarge(usize),
    #[error("the body took too long")]
    TooSlow,
    #[error("your roles do not allow `{}` here: ask an owner of the organisation", .0.as_str())]
    Forbidden(Action),
    #[error("this is for the operator of the deployment only: show the operator's key")]
    OperatorOnly,
    #[error(
        "the organisation has {most} of the kind `{what}`, and may have no more: delete some, or let the operator raise the quota"
    )]
    Quota { what: &'static str, most: i64 },
    #[error(transparent)]
    TooOften(#[from] TooOften),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("the database failed; nothing was changed")]
    Platform(#[from] PlatformError),
    #[error("{}", .0.log())]
    Upstream(#[from] UpstreamError),
    #[error("{told}")]
    Vault { told: String, cause: VaultError },
}

impl From<VaultError> for ApiError {
    fn from(cause: VaultError) -> Self {
        match cause {
            VaultError::Platform(error) => Self::Platform(error),
            cause @ (VaultError::Unopened | VaultError::Gone { .. } | VaultError::Root(_)) => {
                Self::Vault { told: cause.told().to_owned(), cause }
            }
        }
    }
}

impl From<schemas::ParseError> for ApiError {
    fn from(error: schemas::ParseError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<BrokerError> for ApiError {
    fn from(error: BrokerError) -> Self {
        match error {
            BrokerError::Platform(error) => Self::Platform(error),
            BrokerError::Vault(error) => error.into(),
            error @ (BrokerError::Ended(_)
            | BrokerError::Ours(_)
            | BrokerError::Later(_)
            | BrokerError::Lacks(_)
            | BrokerError::NotTaken(_)
            | BrokerError::Unopened) => {
                error.fault().log(&error.to_string());
                Self::Refused { message: error.told(), details: json!([]) }
            }
        }
    }
}

impl ApiError {
    /// Why there is no body.
    pub(super) fn unread(why: Unread, limit: usize) -> Self {
        match why {
            Unread::TooLarge => Self::TooLarge(limit),
            Unread::Broken => Self::Malformed("the body broke off".to_owned()),
            Unread::Late => Self::TooSlow,
        }
    }

    /// The last part of the problem's type, its title, and the status.
    fn kind(&self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Self::Malformed(_) => ("malformed", "the request makes no sense", StatusCode::BAD_REQUEST),
            Self::Identity(IdentityError::Platform(_)) | Self::Platform(_) => {
                // A batch that the store refused is no fault of the store.
                if let Self::Platform(cause) = self
                    && Refused::of(cause) == Some(Refused::Conflict)
                {
                    return ("conflict", "that does not go with what there is", StatusCode::CONFLICT);
                }
                ("unavailable", "the gateway can't answer at the moment", Fault::Platform.status())
            }
            Self::Identity(_) => ("identity", "nobody proved who is asking", Fault::Unproven.status()),
            Self::Forbidden(_) => ("forbidden", "you may not do that", StatusCode::FORBIDDEN),
            Self::OperatorOnly => {
                ("operator-only", "only the operator of the deployment may do that", StatusCode::FORBIDDEN)
            }
            Self::Quota { .. } => {
                ("quota", "the organisation has as many as it may have", StatusCode::FORBIDDEN)
            }
            Self::NotFound(_) => ("not-found", "there is no such thing", StatusCode::NOT_FOUND),
            Self::Method(_) => ("method", "that can't be done there", StatusCode::METHOD_NOT_ALLOWED),
            Self::TooSlow => ("too-slow", "the body took too long", StatusCode::REQUEST_TIMEOUT),
            Self::Conflict(_) => ("conflict", "that does not go with what there is", StatusCode::CONFLICT),
            Self::UnderWay(_) => ("under-way", "that was asked for already", StatusCode::CONFLICT),
            Self::Precondition => {
                ("precondition", "it was changed in the meantime", StatusCode::PRECONDITION_FAILED)
            }
            Self::TooLarge(_) => ("too-large", "the body is too large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::MediaType(_) => ("media-type", "the body is no JSON", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::Refused { .. } => {
                ("refused", "that did not pass its checks", StatusCode::UNPROCESSABLE_ENTITY)
            }
            Self::KeyOfAnother => {
                ("key-of-another", "the key is another request's", StatusCode::UNPROCESSABLE_ENTITY)
            }
            Self::TooOften(_) => ("too-often", "that was too often", StatusCode::TOO_MANY_REQUESTS),
            Self::Vault { .. } => {
                ("vault", "the vault can't be opened at the moment", Fault::Platform.status())
            }
            Self::Upstream(error) => {
                ("upstream", "a server behind the gateway failed", error.fault().status())
            }
        }
    }
}

fn words(methods: &[Method]) -> String {
    methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

/// What the last part of a problem's `type` means, for whoever opens that address.
const MEANINGS: [(&str, &str); 19] = [
    ("malformed", "The request makes no sense: a name, a query or a body is not what the address takes."),
    (
        "identity",
        "Nobody proved who is asking: show a person's key, an access token for this API, or the operator's key as a bearer token.",
    ),
    (
        "forbidden",
        "The policies of the organisation do not allow it. The refusal is in the audit trail, with the decision.",
    ),
    ("operator-only", "Only the operator of the deployment may do that."),
    ("quota", "The organisation has as many things of that kind as the deployment lets it have."),
    ("not-found", "There is no such thing in this organisation, or no such address."),
    ("method", "The address takes other methods; `Allow` says which."),
    ("too-slow", "The body took too long to arrive."),
    ("conflict", "What is there stands in the way: look at it, then decide anew."),
    (
        "under-way",
        "A request with the same `Idempotency-Key` is under way, or was done and its answer got lost.",
    ),
    (
        "precondition",
        "`If-Match` or `If-None-Match` does not hold: somebody changed it in the meantime. Read it again.",
    ),
    ("too-large", "The body is larger than it may be."),
    ("media-type", "Bodies are JSON: `application/json`, and for PATCH `application/merge-patch+json`."),
    ("refused", "It was understood, and did not pass its checks; `errors` says what was found."),
    ("key-of-another", "The `Idempotency-Key` was used for another request: take a new one for each."),
    ("too-often", "Too many requests of late; `Retry-After` says when it is worth another try."),
    (
        "vault",
        "The key service, or the secret, that holds the root key of the vault refuses or can't be asked. The log says why.",
    ),
    ("upstream", "A server behind the gateway, or the provisioner that runs it, failed."),
    (
        "unavailable",
        "The gateway, or its database, can't answer at the moment. Nothing was changed; try again.",
    ),
];

/// `GET /problems/{kind}`: what a problem means, in words.
pub(in crate::routes) fn meaning(kind: &str) -> Option<&'static str> {
    MEANINGS.iter().find(|(known, _)| *known == kind).map(|(_, words)| *words)
}

/// The answer that says so.
pub(super) fn problem<S>(gateway: &Gateway, error: &ApiError) -> Response<Body<S>> {
    let (kind, title, status) = error.kind();
    if let ApiError::Platform(cause) = error
        && status.is_server_error()
    {
        Fault::Platform.log(&cause.to_string());
    }
    if let ApiError::Vault { cause, .. } = error {
        cause.fault().log(&cause.to_string());
    }
    if let ApiError::Upstream(cause) = error {
        cause.fault().log(&cause.log());
    }
    let detail = if matches!(error, ApiError::Platform(_)) && !status.is_server_error() {
        "it is not in a state for this any more: look at what there is now".to_owned()
    } else {
        error.to_string()
    };
    let mut document = json!({
        "type": format!("{}/problems/{kind}", gateway.settings.public_url),
        "title": title,
        "status": status.as_u16(),
        "detail": detail,
    });
    if let (ApiError::Refused { details, .. }, Some(document)) = (error, document.as_object_mut()) {
        document.insert("errors".into(), details.clone());
    }
    let mut response = answer(status, document.to_string());
    if let ApiError::TooOften(often) = error {
        often.mark(&mut response);
    }
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
