//! To a container: one signed request. If the provisioner does not know the workload (yet, or any more), it is told and asked again.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::{KeyInit as _, Mac as _};
use http::{Request, Response, StatusCode};
use schemas::ids::Sha256Hex;
use schemas::names::WorkloadName;
use schemas::provisioner::{Problem, ProblemKind, SIGNATURE_HEADER, WorkloadSpec, signature_base};

use super::{Delivery, Message, UpstreamError, content_type, request, unreachable};
use crate::Gateway;
use crate::body::read_whole;
use crate::platform::{Platform, PlatformError};
use crate::toolboxes::{Server, Toolbox};

/// A problem document is small, in bytes.
const PROBLEM: usize = 64 * 1024;
/// And comes at once.
const QUICKLY: Duration = Duration::from_secs(10);

pub(super) async fn send<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    toolbox: &Toolbox,
    server: &Server,
    spec: &str,
    message: &Message,
    credential: Option<&Delivery>,
) -> Result<Response<P::Stream>, UpstreamError> {
    let failed =
        |reason: String| UpstreamError::Provisioner { server: server.name.to_string(), reason, log: None };
    if credential.is_some() {
        return Err(failed("credentials do not reach containers yet".to_owned()));
    }
    let base = gateway
        .settings
        .provisioner_url
        .as_deref()
        .ok_or_else(|| UpstreamError::NoProvisioner { server: server.name.to_string() })?;
    let name = WorkloadName::of(&toolbox.org.name, &toolbox.name, &server.name)
        .map_err(|error| failed(error.to_string()))?;
    let path = format!("/v1/workloads/{name}");
    let call = || {
        let request =
            request(&format!("{base}{path}/mcp"), message).map_err(|error| failed(error.to_string()))?;
        Ok(sign(gateway, platform, request))
    };
    let answer = platform.send(call()?).await.map_err(|error| unreachable(server, &error))?;
    match problem(platform, answer).await.map_err(|error| unreachable(server, &error))? {
        Ok(answer) => Ok(answer),
        Err(problem) if problem.kind == ProblemKind::UnknownWorkload => {
            put(gateway, platform, toolbox, server, &format!("{base}{path}"), spec).await?;
            let answer = platform.send(call()?).await.map_err(|error| unreachable(server, &error))?;
            problem_or(server, self::problem(platform, answer).await)
        }
        Err(problem) => Err(told(server, problem)),
    }
}

fn problem_or<S>(
    server: &Server,
    answer: Result<Result<Response<S>, Problem>, PlatformError>,
) -> Result<Response<S>, UpstreamError> {
    answer.map_err(|error| unreachable(server, &error))?.map_err(|problem| told(server, problem))
}

/// Makes the workload so.
async fn put<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    toolbox: &Toolbox,
    server: &Server,
    url: &str,
    spec: &str,
) -> Result<(), UpstreamError> {
    let failed =
        |reason: String| UpstreamError::Provisioner { server: server.name.to_string(), reason, log: None };
    let spec = spec_of(toolbox, server, spec)
        .map_err(|error| failed(format!("its workload is ill-formed: {error}")))?;
    let body = serde_json::to_vec(&spec).map_err(|error| failed(error.to_string()))?;
    let request = Request::put(url)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(body))
        .map_err(|error| failed(error.to_string()))?;
    let answer =
        platform.send(sign(gateway, platform, request)).await.map_err(|error| unreachable(server, &error))?;
    problem_or(server, problem(platform, answer).await).map(drop)
}

/// The whole spec: what is stored with the server, and whom it is for.
pub(crate) fn spec_of(
    toolbox: &Toolbox,
    server: &Server,
    spec: &str,
) -> Result<WorkloadSpec, serde_json::Error> {
    let mut spec: serde_json::Value = serde_json::from_str(spec)?;
    if let Some(spec) = spec.as_object_mut() {
        spec.insert("org".into(), toolbox.org.name.as_str().into());
        spec.insert("toolbox".into(), toolbox.name.as_str().into());
        spec.insert("server".into(), server.name.as_str().into());
    }
    serde_json::from_value(spec)
}

/// Tells a provisioner's own problem from an answer of the server.
async fn problem<P: Platform>(
    platform: &P,
    answer: Response<P::Stream>,
) -> Result<Result<Response<P::Stream>, Problem>, PlatformError> {
    if content_type(&answer) != Some("application/problem+json") {
        return Ok(Ok(answer));
    }
    let status = answer.status();
    let body = read_whole(platform, answer.into_body(), PROBLEM, QUICKLY).await?;
    Ok(Err(serde_json::from_slice(&body).unwrap_or_else(|_| Problem {
        kind: ProblemKind::Internal,
        title: format!("status {}", status.as_u16()),
        status: status.as_u16(),
        detail: None,
    })))
}

fn told(server: &Server, problem: Problem) -> UpstreamError {
    let server = server.name.to_string();
    match problem.kind {
        ProblemKind::Timeout => UpstreamError::Late { server },
        ProblemKind::ServerFailed | ProblemKind::TooLarge | ProblemKind::Malformed => {
            UpstreamError::Failed { server, reason: in_full(problem) }
        }
        ProblemKind::BackingOff | ProblemKind::UnknownWorkload | ProblemKind::UnknownImage => {
            UpstreamError::Provisioner { server, reason: in_full(problem), log: None }
        }
        // What a Docker host says of itself, and where it is, is not for callers.
        ProblemKind::HostUnreachable | ProblemKind::Internal | ProblemKind::Unsigned => {
            UpstreamError::Provisioner { server, reason: problem.title, log: problem.detail }
        }
    }
}

fn in_full(problem: Problem) -> String {
    match problem.detail {
        Some(detail) => format!("{}: {detail}", problem.title),
        None => problem.title,
    }
}

/// Signs a request for a provisioner (`schemas::provisioner`): short-lived, bound to method, path and body.
fn sign<P: Platform>(gateway: &Gateway, platform: &P, mut request: Request<Bytes>) -> Request<Bytes> {
    let at = platform.now();
    let mut random = [0; 16];
    platform.fill_random(&mut random);
    let nonce = URL_SAFE_NO_PAD.encode(random);
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let digest = Sha256Hex::of(request.body());
    let base = signature_base(request.method().as_str(), path, at, &nonce, digest.as_str());
    // HMAC takes keys of any length, so this is always there.
    if let Ok(mut mac) = hmac::Hmac::<sha2::Sha256>::new_from_slice(&gateway.provisioner_key) {
        mac.update(base.as_bytes());
        let mac = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        if let Ok(value) = http::HeaderValue::from_str(&format!("v1 ts={},nonce={nonce},mac={mac}", at.0)) {
            request.headers_mut().insert(SIGNATURE_HEADER, value);
        }
    }
    request
}

/// What the provisioner says of itself, if there is one.
pub(crate) async fn status<P: Platform>(gateway: &Gateway, platform: &P) -> Option<Result<Bytes, String>> {
    let base = gateway.settings.provisioner_url.as_deref()?;
    let ask = async {
        let request = Request::get(format!("{base}/v1/status"))
            .body(Bytes::new())
            .map_err(|error| error.to_string())?;
        let answer =
            platform.send(sign(gateway, platform, request)).await.map_err(|error| error.to_string())?;
        if answer.status() != StatusCode::OK {
            return Err(format!("it answered with status {}", answer.status().as_u16()));
        }
        read_whole(platform, answer.into_body(), PROBLEM, QUICKLY).await.map_err(|error| error.to_string())
    };
    let limit = platform.sleep(Duration::from_secs(5));
    futures_util::pin_mut!(ask, limit);
    match futures_util::future::select(ask, limit).await {
        futures_util::future::Either::Left((answer, _)) => Some(answer),
        futures_util::future::Either::Right(_) => Some(Err("it does not answer in time".to_owned())),
    }
}
