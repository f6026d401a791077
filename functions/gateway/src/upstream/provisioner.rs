//! To a container: one signed request. If the provisioner does not know the workload (yet, or any more), it is told and asked again.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::{KeyInit as _, Mac as _};
use http::{HeaderValue, Request, Response, StatusCode};
use schemas::ids::{ConnectionId, Sha256Hex};
use schemas::names::{OrgName, ServerName, ToolboxName, WorkloadName};
use schemas::provisioner::{
    CREDENTIAL_HEADER, Problem, ProblemKind, SIGNATURE_HEADER, Subject, WorkloadSpec, signature_base,
    signature_base_with_credential,
};

use super::transit::{self, Channel};
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
    let subject = credential.filter(|credential| credential.is_at_start());
    let path = format!("/v1/workloads/{}", name_of(toolbox, server, subject).map_err(failed)?);
    let url = format!("{}{path}", base(gateway, server)?);
    let plain = credential
        .map(|credential| credential.delivered().to_bytes())
        .transpose()
        .map_err(|error| failed(error.to_string()))?;
    // What it does not know it is told, once: a workload, or ourselves a key.
    let (mut told, mut keyed) = (false, false);
    loop {
        let request = request(&format!("{url}/mcp"), message).map_err(|error| failed(error.to_string()))?;
        let channel = match &plain {
            Some(_) => Some(channel(gateway, platform, server).await?),
            None => None,
        };
        let sealed = channel.as_deref().zip(plain.as_deref().map(Vec::as_slice));
        let request = sign(gateway, platform, request, sealed).map_err(|reason| failed(reason.to_owned()))?.0;
        let answer = platform.send(request).await.map_err(|error| unreachable(server, &error))?;
        match self::problem(platform, answer).await.map_err(|error| unreachable(server, &error))? {
            Ok(answer) => return Ok(answer),
            Err(problem) if problem.kind == ProblemKind::UnknownWorkload && !told => {
                told = true;
                let spec = spec_of(toolbox, server, spec, subject)
                    .map_err(|error| failed(format!("its workload is ill-formed: {error}")))?;
                put(gateway, platform, server, &url, &spec).await?;
            }
            Err(problem) if problem.kind == ProblemKind::UnknownKey && !keyed => {
                keyed = true;
                if let Some(channel) = &channel {
                    gateway.transit.forget(channel);
                }
            }
            Err(problem) => return Err(self::told(server, problem)),
        }
    }
}

fn base<'a>(gateway: &'a Gateway, server: &Server) -> Result<&'a str, UpstreamError> {
    let base = gateway.settings.provisioner_url.as_deref();
    base.ok_or_else(|| UpstreamError::NoProvisioner { server: server.name.to_string() })
}

/// The workload of a server; for a server that gets its credential when it starts, that of one account.
fn name_of(toolbox: &Toolbox, server: &Server, subject: Option<&Delivery>) -> Result<WorkloadName, String> {
    let name = WorkloadName::of(&toolbox.org.name, &toolbox.name, &server.name);
    let name = name.map_err(|error| error.to_string())?;
    match subject {
        Some(credential) => name.for_subject(&credential.subject).map_err(|error| error.to_string()),
        None => Ok(name),
    }
}

/// What credentials are sealed with.
async fn channel<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    server: &Server,
) -> Result<Rc<Channel>, UpstreamError> {
    if let Some(channel) = gateway.transit.current(platform.now()) {
        return Ok(channel);
    }
    let failed =
        |reason: String| UpstreamError::Provisioner { server: server.name.to_string(), reason, log: None };
    let request = Request::get(format!("{}/v1/key", base(gateway, server)?))
        .body(Bytes::new())
        .map_err(|error| failed(error.to_string()))?;
    let (request, nonce) =
        sign(gateway, platform, request, None).map_err(|reason| failed(reason.to_owned()))?;
    let answer = platform.send(request).await.map_err(|error| unreachable(server, &error))?;
    let answer = problem_or(server, problem(platform, answer).await)?;
    let body = read_whole(platform, answer.into_body(), PROBLEM, QUICKLY)
        .await
        .map_err(|error| unreachable(server, &error))?;
    let opened = transit::proven(&gateway.provisioner_key, &nonce, platform.now(), &body)
        .and_then(|key| Channel::open(&|bytes: &mut [u8]| platform.fill_random(bytes), key));
    Ok(gateway.transit.keep(opened.map_err(|reason| failed(reason.to_owned()))?))
}

/// Ends the process that a server runs for one account. Best effort: without it, it ends when nobody has used it for a while, and nobody
/// else's call ever reaches it.
///
/// # Errors
/// The provisioner was not heard, or could not.
pub(crate) async fn end_subject<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    (org, toolbox, server): (&OrgName, &ToolboxName, &ServerName),
    connection: &ConnectionId,
) -> Result<(), String> {
    let Some(base) = gateway.settings.provisioner_url.as_deref() else { return Ok(()) };
    let name = WorkloadName::of(org, toolbox, server).and_then(|name| name.for_subject(connection));
    let name = name.map_err(|error| error.to_string())?;
    let request = Request::delete(format!("{base}/v1/workloads/{name}"))
        .body(Bytes::new())
        .map_err(|error| error.to_string())?;
    let (request, _) = sign(gateway, platform, request, None)?;
    let answer = platform.send(request).await.map_err(|error| error.to_string())?;
    match problem(platform, answer).await.map_err(|error| error.to_string())? {
        Ok(_) => Ok(()),
        Err(problem) => Err(in_full(problem)),
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
    server: &Server,
    url: &str,
    spec: &WorkloadSpec,
) -> Result<(), UpstreamError> {
    let failed =
        |reason: String| UpstreamError::Provisioner { server: server.name.to_string(), reason, log: None };
    let body = serde_json::to_vec(spec).map_err(|error| failed(error.to_string()))?;
    let request = Request::put(url)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(body))
        .map_err(|error| failed(error.to_string()))?;
    let request = sign(gateway, platform, request, None).map_err(|reason| failed(reason.to_owned()))?.0;
    let answer = platform.send(request).await.map_err(|error| unreachable(server, &error))?;
    problem_or(server, problem(platform, answer).await).map(drop)
}

/// The whole spec: what is stored with the server, and whom it is for.
pub(crate) fn spec_of(
    toolbox: &Toolbox,
    server: &Server,
    spec: &str,
    subject: Option<&Delivery>,
) -> Result<WorkloadSpec, serde_json::Error> {
    let mut spec: serde_json::Value = serde_json::from_str(spec)?;
    if let Some(spec) = spec.as_object_mut() {
        spec.insert("org".into(), toolbox.org.name.as_str().into());
        spec.insert("toolbox".into(), toolbox.name.as_str().into());
        spec.insert("server".into(), server.name.as_str().into());
    }
    let mut spec: WorkloadSpec = serde_json::from_value(spec)?;
    spec.subject = subject.map(|credential| Subject {
        connection: credential.subject.clone(),
        takes: credential.placed.iter().map(|(at, _)| at).filter(|at| at.is_at_start()).cloned().collect(),
    });
    Ok(spec)
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
        ProblemKind::HostUnreachable
        | ProblemKind::Internal
        | ProblemKind::Unsigned
        | ProblemKind::UnknownKey
        | ProblemKind::WrongCredential => {
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

/// Signs a request for a provisioner (`schemas::provisioner`): short-lived, bound to method, path and body; with a credential
/// that is sealed for this very request, if there is one. Answers the nonce, too.
fn sign<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    mut request: Request<Bytes>,
    credential: Option<(&Channel, &[u8])>,
) -> Result<(Request<Bytes>, String), &'static str> {
    let at = platform.now();
    let mut random = [0; 16];
    platform.fill_random(&mut random);
    let nonce = URL_SAFE_NO_PAD.encode(random);
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let digest = Sha256Hex::of(request.body());
    let mut base = signature_base(request.method().as_str(), path, at, &nonce, digest.as_str());
    let unsigned = |_| "the request could not be signed";
    if let Some((channel, plain)) = credential {
        let header = channel.seal(&|bytes: &mut [u8]| platform.fill_random(bytes), &base, plain)?.header();
        base = signature_base_with_credential(&base, &header);
        let mut header = HeaderValue::from_str(&header).map_err(unsigned)?;
        header.set_sensitive(true);
        request.headers_mut().insert(CREDENTIAL_HEADER, header);
    }
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&gateway.provisioner_key)
        .map_err(|_| "the request could not be signed")?;
    mac.update(base.as_bytes());
    let mac = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    let value = HeaderValue::from_str(&format!("v1 ts={},nonce={nonce},mac={mac}", at.0));
    request.headers_mut().insert(SIGNATURE_HEADER, value.map_err(unsigned)?);
    Ok((request, nonce))
}

/// What the provisioner says of itself, if there is one.
pub(crate) async fn status<P: Platform>(gateway: &Gateway, platform: &P) -> Option<Result<Bytes, String>> {
    let base = gateway.settings.provisioner_url.as_deref()?;
    let ask = async {
        let request = Request::get(format!("{base}/v1/status"))
            .body(Bytes::new())
            .map_err(|error| error.to_string())?;
        let (request, _) = sign(gateway, platform, request, None)?;
        let answer = platform.send(request).await.map_err(|error| error.to_string())?;
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
