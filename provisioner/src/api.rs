//! The management API and the data path: parse, verify, hand on.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use axum::{Extension, Router};
use bytes::Bytes;
use futures_util::StreamExt as _;
use schemas::names::WorkloadName;
use schemas::provisioner::{
    CREDENTIAL_HEADER, MAX_MESSAGE_BYTES, ProvisionerStatus, SIGNATURE_HEADER, WorkloadSpec,
};

use crate::bridge::exchange::events as event_stream;
use crate::credential::Given;
use crate::error::Error;
use crate::signature::{Claim, Refusal, Verifier, now};
use crate::transit::Keys;
use crate::workloads::Workloads;

/// The largest spec that makes sense.
const MAX_SPEC_BYTES: usize = 256 * 1024;

#[derive(Debug, Clone)]
struct Api {
    workloads: Arc<Workloads>,
    verifier: Arc<Verifier>,
    keys: Arc<Keys>,
}

/// What a request was proven to be: what its signature covers, without a credential that came along, and its nonce.
#[derive(Debug, Clone)]
struct Proven {
    base: String,
    nonce: String,
}

pub(crate) fn router(workloads: Arc<Workloads>, verifier: Arc<Verifier>, keys: Arc<Keys>) -> Router {
    let api = Api { workloads, verifier, keys };
    Router::new()
        .route("/v1/workloads", get(list))
        .route("/v1/workloads/{name}", put(make).get(show).delete(remove))
        .route("/v1/workloads/{name}/mcp", post(call))
        .route("/v1/workloads/{name}/logs", get(logs))
        .route("/v1/key", get(key))
        .route("/v1/status", get(status))
        .route("/v1/events", get(events))
        .fallback(nowhere)
        .method_not_allowed_fallback(nowhere)
        // `admit` has bounded the body already.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(api.clone(), admit))
        .route("/healthz", get(async || "ok\n"))
        .with_state(api)
}

impl IntoResponse for Error {
    fn into_response(self) -> Response<Body> {
        let problem = self.problem();
        if let Self::Host(error) = &self {
            tracing::error!(%error, "host");
        } else {
            tracing::info!(error = %self, "refused");
        }
        let mut response = Response::new(Body::from(serde_json::to_vec(&problem).unwrap_or_default()));
        *response.status_mut() =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Self::BackingOff { retry_after, .. } = &self {
            let seconds = retry_after.as_secs().saturating_add(1);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Lets only signed requests through. What costs nothing is checked before a body is read.
async fn admit(State(api): State<Api>, request: Request, next: Next) -> Result<Response<Body>, Error> {
    let (mut parts, body) = request.into_parts();
    let header = parts.headers.get(SIGNATURE_HEADER).ok_or(Refusal::Missing)?;
    let claim = Claim::parse(header.to_str().map_err(|_| Refusal::Malformed)?)?;
    claim.fresh(now())?;
    // Two bytes a message longer than the limit may need to be refused for what it is.
    let body = to_bytes(body, MAX_MESSAGE_BYTES).await.map_err(|_| Error::too_large())?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let credential = parts.headers.get(CREDENTIAL_HEADER).map(HeaderValue::to_str).transpose();
    let credential = credential.map_err(|_| Refusal::Malformed)?;
    let base = api.verifier.verify(&claim, parts.method.as_str(), path, &body, credential, now())?;
    let proven = Proven { base, nonce: claim.nonce().to_owned() };
    parts.extensions.insert(proven);
    Ok(next.run(Request::from_parts(parts, Body::from(body))).await)
}

fn named(name: &str) -> Result<WorkloadName, Error> {
    WorkloadName::parse(name).map_err(|error| Error::Malformed { reason: error.to_string() })
}

fn json(value: &impl serde::Serialize) -> Response<Body> {
    let mut response = Response::new(Body::from(serde_json::to_vec(value).unwrap_or_default()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn make(
    State(api): State<Api>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response<Body>, Error> {
    let name = named(&name)?;
    if body.len() > MAX_SPEC_BYTES {
        return Err(Error::TooLarge { limit: MAX_SPEC_BYTES });
    }
    let spec: WorkloadSpec = serde_json::from_slice(&body)
        .map_err(|error| Error::Malformed { reason: format!("the body is no workload spec: {error}") })?;
    // Finished even if the gateway hangs up: half a start helps nobody.
    let workloads = Arc::clone(&api.workloads);
    let made = tokio::spawn(async move { workloads.put(&name, spec).await }).await;
    let made =
        made.map_err(|error| Error::Malformed { reason: format!("the request ended early: {error}") })??;
    Ok(json(&made))
}

async fn show(State(api): State<Api>, Path(name): Path<String>) -> Result<Response<Body>, Error> {
    Ok(json(&api.workloads.status(&named(&name)?).await?))
}

async fn remove(State(api): State<Api>, Path(name): Path<String>) -> Result<Response<Body>, Error> {
    api.workloads.delete(&named(&name)?).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

async fn call(
    State(api): State<Api>,
    Path(name): Path<String>,
    Extension(proven): Extension<Proven>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response<Body>, Error> {
    let given = match headers.get(CREDENTIAL_HEADER).and_then(|header| header.to_str().ok()) {
        Some(header) => Some(Arc::new(Given::new(api.keys.open(header, &proven.base, now())?)?)),
        None => None,
    };
    api.workloads.call(&named(&name)?, &headers, body, given).await
}

async fn key(State(api): State<Api>, Extension(proven): Extension<Proven>) -> Result<Response<Body>, Error> {
    Ok(json(&api.keys.hand_out(api.verifier.key(), &proven.nonce, now())?))
}

async fn logs(State(api): State<Api>, Path(name): Path<String>) -> Result<Response<Body>, Error> {
    let mut response = Response::new(Body::from(api.workloads.logs(&named(&name)?).await?));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}

async fn list(State(api): State<Api>) -> Result<Response<Body>, Error> {
    Ok(json(&api.workloads.list().await?))
}

async fn status(State(api): State<Api>) -> Response<Body> {
    let hosts = api.workloads.hosts.status().await;
    json(&ProvisionerStatus { version: env!("CARGO_PKG_VERSION").to_owned(), hosts })
}

async fn events(State(api): State<Api>) -> Result<Response<Body>, Error> {
    let happened = api.workloads.hosts.events().await?;
    let pieces = happened.map(|event| {
        let json = serde_json::to_string(&event).unwrap_or_default();
        Ok::<_, Infallible>(Bytes::from(format!("data: {json}\n\n")))
    });
    // The head goes out at once, so that the listener knows it is heard.
    let hello = futures_util::stream::once(async { Ok(Bytes::from_static(b":\n\n")) });
    Ok(event_stream(hello.chain(pieces)))
}

async fn nowhere(request: Request) -> Error {
    Error::Malformed { reason: format!("there is no `{} {}` here", request.method(), request.uri().path()) }
}
