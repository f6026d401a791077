//! `/api/v1`: how operators manage a deployment. JSON in and out, RFC 9457 problems. Every change is noted in the audit trail, in
//! the same batch as the change.

mod approvals;
mod inspect;
mod people;
mod policy;
mod servers;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use schemas::audit::{Actor, Subject};
use schemas::names::OrgName;
use serde_json::{Value, json};

use super::mcp::answer;
use crate::Gateway;
use crate::audit::{self, About};
use crate::body::Body;
use crate::error::Fault;
use crate::identity::IdentityError;
use crate::identity::operator::{self, Operator};
use crate::platform::{Batch, Platform, PlatformError, Rows, Statement};
use crate::store::{self, admin::Org};
use crate::upstream::{UpstreamError, provisioner_status};

/// Why a management request failed. The text is for operators.
#[derive(Debug, thiserror::Error)]
enum ApiError {
    #[error("{0}")]
    Malformed(String),
    #[error("no {0}")]
    NotFound(String),
    #[error("{0}")]
    Conflict(String),
    #[error("{message}")]
    Refused { message: String, details: Value },
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
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Refused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Identity(IdentityError::Platform(_)) | Self::Platform(_) => Fault::Platform.status(),
            Self::Identity(_) => Fault::Unproven.status(),
            Self::Upstream(error) => error.fault().status(),
        }
    }
}

/// An organisation being managed, and the proof that its manager may.
struct Desk<'a, P: Platform> {
    gateway: &'a Gateway,
    platform: &'a P,
    operator: Operator,
    name: OrgName,
    org: Org,
}

impl<P: Platform> Desk<'_, P> {
    fn about(&self, action: &str, subject: Option<Subject>) -> About {
        about(&self.org.id, action, subject)
    }

    /// Changes something, and notes it, in one batch.
    async fn change(
        &self,
        action: &str,
        what: String,
        mut statements: Vec<Statement>,
    ) -> Result<Vec<Rows>, ApiError> {
        statements.push(audit::note_statement(self.platform, &self.about(action, None), what)?);
        Ok(self.platform.sql(Batch::write(statements)).await?)
    }
}

fn about(org: &schemas::ids::OrgId, action: &str, subject: Option<Subject>) -> About {
    About {
        org: org.clone(),
        actor: Actor { agent: None, user: None, credential: "operator".to_owned() },
        method: action.to_owned(),
        subject,
        arguments: None,
        traceparent: None,
    }
}

/// Serves one request.
pub(super) async fn serve<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: Request<Bytes>,
    path: &[&str],
) -> Response<Body<P::Stream>> {
    match handle(gateway, platform, &request, path).await {
        Ok(value) => answer(StatusCode::OK, value.to_string()),
        Err(error) => problem(&error),
    }
}

async fn handle<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    request: &Request<Bytes>,
    path: &[&str],
) -> Result<Value, ApiError> {
    let operator = operator::prove(platform, request.headers())?;
    let method = request.method();
    if let (&Method::GET, ["status"]) = (method, path) {
        return Ok(status(gateway, platform).await);
    }
    let ["orgs", org, rest @ ..] = path else {
        return Err(ApiError::NotFound("such address in the API".into()));
    };
    let name = OrgName::parse(org)?;
    if let (&Method::PUT, []) = (method, rest) {
        return policy::put_org(platform, &name).await;
    }
    let org = store::admin::org(platform, &name)
        .await?
        .ok_or_else(|| ApiError::NotFound(format!("organisation `{name}`")))?;
    let desk = Desk { gateway, platform, operator, name, org };
    let body = request.body();
    match (method, rest) {
        (&Method::GET, ["policies"]) => policy::get(&desk).await,
        (&Method::PUT, ["policies"]) => policy::publish(&desk, body).await,
        (&Method::PUT, ["users", user]) => people::put_user(&desk, user, body).await,
        (&Method::PUT, ["agents", agent]) => people::put_agent(&desk, agent, body).await,
        (&Method::POST, ["agents", agent, "keys"]) => people::add_key(&desk, agent, body).await,
        (&Method::DELETE, ["keys", key]) => people::revoke_key(&desk, key).await,
        (&Method::PUT, ["agents", agent, "grants", kind, what @ ..]) => {
            people::grant(&desk, agent, kind, what).await
        }
        (&Method::DELETE, ["agents", agent, "grants", kind, what @ ..]) => {
            people::revoke_grant(&desk, agent, kind, what).await
        }
        (&Method::PUT, ["issuers"]) => people::put_issuer(&desk, body).await,
        (&Method::PUT, ["servers", server]) => servers::put_server(&desk, server, body).await,
        (&Method::GET, ["servers", server, "tools"]) => servers::tools(&desk, server).await,
        (&Method::PUT, ["servers", server, "tools", tool]) => {
            servers::judge_tool(&desk, server, tool, body).await
        }
        (&Method::GET, ["toolboxes", toolbox]) => servers::toolbox(&desk, toolbox).await,
        (&Method::PUT, ["toolboxes", toolbox]) => servers::put_toolbox(&desk, toolbox, body).await,
        (&Method::POST, ["toolboxes", toolbox, "servers", server, "inspect"]) => {
            inspect::inspect(&desk, toolbox, server, body).await
        }
        (&Method::GET, ["approvals"]) => {
            approvals::list(&desk, request.uri().query().unwrap_or_default()).await
        }
        (&Method::GET, ["approvals", id]) => approvals::get(&desk, id).await,
        (&Method::POST, ["approvals", id]) => approvals::decide(&desk, id, body).await,
        (&Method::GET, ["audit"]) => trail(&desk, request.uri().query().unwrap_or_default()).await,
        _ => Err(ApiError::NotFound("such address in the API".into())),
    }
}

async fn status<P: Platform>(gateway: &Gateway, platform: &P) -> Value {
    let provisioner = match provisioner_status(gateway, platform).await {
        None => json!({ "configured": false }),
        Some(Ok(status)) => {
            json!({ "configured": true, "status": serde_json::from_slice::<Value>(&status).unwrap_or_default() })
        }
        Some(Err(error)) => json!({ "configured": true, "error": error }),
    };
    json!({ "version": env!("CARGO_PKG_VERSION"), "provisioner": provisioner })
}

/// `GET audit?after=<event id>&limit=<1 to 1000>`: the trail in order, with leaf hashes.
async fn trail<P: Platform>(desk: &Desk<'_, P>, query: &str) -> Result<Value, ApiError> {
    let get = |key: &str| {
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.into_owned())
    };
    let limit = get("limit").map_or(Ok(100), |limit| {
        limit.parse::<i64>().map_err(|_| ApiError::Malformed("`limit` is a number from 1 to 1000".into()))
    })?;
    let rows = store::audit::page(
        desk.platform,
        &desk.org.id,
        &get("after").unwrap_or_default(),
        limit.clamp(1, 1000),
    )
    .await?;
    let events: Vec<Value> = rows
        .iter()
        .map(|(leaf, event)| json!({ "leaf": leaf, "event": serde_json::from_str::<Value>(event).unwrap_or_default() }))
        .collect();
    Ok(json!({ "events": events }))
}

/// A request body of the expected shape; unknown members are refused, so that a misspelt one is not lost.
fn read<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    let text: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(text)
        .map_err(|error| ApiError::Malformed(format!("the body is not what this address takes: {error}")))
}

fn problem<S>(error: &ApiError) -> Response<Body<S>> {
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
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Ten random bytes, for an id.
fn random(platform: &impl Platform) -> [u8; 10] {
    let mut bytes = [0; 10];
    platform.fill_random(&mut bytes);
    bytes
}
