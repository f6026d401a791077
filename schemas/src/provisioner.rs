//! The wire between the gateway and a provisioner.
//!
//! | request | meaning |
//! |---|---|
//! | `PUT /v1/workloads/{name}` + [`WorkloadSpec`] | make it so; idempotent; answers [`WorkloadStatus`] when it is ready |
//! | `GET /v1/workloads/{name}` | [`WorkloadStatus`] |
//! | `DELETE /v1/workloads/{name}` | remove it, and with it those of its subjects; 204, also when there was none |
//! | `POST /v1/workloads/{name}/mcp` | one MCP 2026-07-28 message; wakes the workload if it sleeps; with the credential it is made on, sealed, in [`CREDENTIAL_HEADER`] |
//! | `GET /v1/workloads/{name}/logs` | what the server wrote to stderr, newest last, as `text/plain` |
//! | `GET /v1/workloads` | `[WorkloadStatus]` |
//! | `GET /v1/key` | [`TransitKey`]: what credentials are sealed to |
//! | `GET /v1/status` | [`ProvisionerStatus`] |
//! | `GET /v1/events` | `text/event-stream` of [`WorkloadEvent`] |
//!
//! Errors are RFC 9457 `application/problem+json`, see [`Problem`]. Every request but `GET /healthz` is signed, see [`signature_base`].

mod credential;
mod placement;
mod transit;

pub use credential::{Delivered, SecretText};
pub use placement::{
    CredentialFile, CredentialHeader, CredentialMetaKey, CredentialVariable, Injection, Placement, Template,
};
pub use transit::{
    CREDENTIAL_HEADER, Sealed, TRANSIT_EXPORT, TRANSIT_KEY_LIFETIME_MS, TransitKey,
    signature_base_with_credential, transit_info,
};

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{ConnectionId, Timestamp};
use crate::image::{ImageDigest, ImageReference};
use crate::names::{OrgName, ServerName, ToolboxName, WorkloadName};

/// Header with the signature of a request: `v1 ts=<milliseconds>,nonce=<22 base64url>,mac=<base64url HMAC-SHA256>`.
pub const SIGNATURE_HEADER: &str = "ambit-signature";
/// How long a signature holds, either side of its time stamp, in milliseconds.
pub const SIGNATURE_LIFETIME_MS: i64 = 30_000;
/// The largest MCP message a provisioner takes or gives, in bytes: what the slowest stdio server SDK still reads.
pub const MAX_MESSAGE_BYTES: usize = 10 * 1024 * 1024;
/// Response header of the data path: `complete` when the JSON body is a `resultType: "complete"` answer that needs no rewriting.
pub const ANSWER_HEADER: &str = "ambit-answer";

/// What a signature covers: one line each of version, method, path with query, time stamp, nonce, and SHA-256 of the body in hex.
/// The workload is bound through the path.
pub fn signature_base(method: &str, path: &str, at: Timestamp, nonce: &str, body_sha256: &str) -> String {
    format!("ambit-v1\n{method}\n{path}\n{}\n{nonce}\n{body_sha256}", at.0)
}

/// A workload as it should be. Two equal specs are the same workload; a changed one replaces it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkloadSpec {
    /// Who it belongs to.
    pub org: OrgName,
    /// The toolbox it serves; its network is shared with that toolbox only.
    pub toolbox: ToolboxName,
    /// The MCP server it runs.
    pub server: ServerName,
    /// Where the image came from; for people.
    pub image: ImageReference,
    /// What runs: the container is created from this digest, never from a tag.
    pub digest: ImageDigest,
    /// How the server inside is reached.
    pub transport: Transport,
    /// Replaces the image's command, if given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Plain settings. Never secrets: these show in `docker inspect`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Bounds on what it may use.
    #[serde(default)]
    pub limits: Limits,
    /// What it may reach.
    #[serde(default, skip_serializing_if = "NetworkAccess::is_none")]
    pub network: NetworkAccess,
    /// For a server that gets a credential when it starts: whose process this is. Each call brings the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
}

/// Whom a workload serves, if it serves one account only.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The account.
    pub connection: ConnectionId,
    /// Where its credential is when the server starts: environment variables and files, nothing else.
    pub takes: BTreeSet<Placement>,
}

/// What a stdio server may reach. HTTP servers are on the toolbox's network where there has to be one.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkAccess {
    /// Nothing: loopback only.
    #[default]
    None,
    /// What else is on the internal network of its toolbox: not the host, not other toolboxes, not the internet.
    Toolbox,
}

impl NetworkAccess {
    /// Whether it may reach nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// How a server inside a container speaks MCP.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Transport {
    /// Newline-delimited JSON-RPC on stdin and stdout, reached by attaching. No network at all.
    Stdio,
    /// Streamable HTTP on a port of the container, on the toolbox's internal network.
    Http {
        /// TCP port inside the container.
        port: u16,
        /// Path of the endpoint, such as `/mcp`.
        path: String,
    },
}

/// Bounds on what a workload may use.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Memory, in MiB; swap is off.
    pub memory_mib: u32,
    /// CPU time, in thousandths of a core.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub pids: u32,
    /// Size of the writable `/tmp` (tmpfs), in MiB.
    pub tmp_mib: u32,
    /// Longest time one call may take, in milliseconds.
    pub call_timeout_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_mib: 256, cpu_millis: 1000, pids: 64, tmp_mib: 16, call_timeout_ms: 60_000 }
    }
}

/// A workload as it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct WorkloadStatus {
    /// Its name.
    pub name: WorkloadName,
    /// Its state.
    pub state: WorkloadState,
    /// The image it runs.
    pub digest: ImageDigest,
    /// SHA-256 of the spec it was made from.
    pub spec_hash: String,
    /// The MCP revision the server inside speaks, once probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Why it is not running, in words for an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The states of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WorkloadState {
    /// Created, not started yet.
    Created,
    /// Running.
    Running,
    /// Paused: memory kept, back in milliseconds.
    Paused,
    /// Stopped: back in seconds.
    Stopped,
    /// Its server fails to start; see `reason` and the logs.
    Failed,
}

/// A provisioner as it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct ProvisionerStatus {
    /// Version of the provisioner.
    pub version: String,
    /// Its Docker hosts.
    pub hosts: Vec<HostStatus>,
}

/// One Docker host.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct HostStatus {
    /// Its address, such as `unix:///var/run/docker.sock`.
    pub address: String,
    /// Docker's version, when it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker: Option<String>,
    /// Why it does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Workloads on it.
    pub workloads: u32,
}

/// Something that happened to a workload.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct WorkloadEvent {
    /// Which workload.
    pub workload: WorkloadName,
    /// Docker's word for it: `create`, `start`, `die`, `oom`, `pause`, `unpause`, `destroy`.
    pub event: String,
    /// When, by the host's clock.
    pub at: Timestamp,
}

/// RFC 9457 problem details.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Problem {
    /// What kind of problem; the stable part.
    #[serde(rename = "type")]
    pub kind: ProblemKind,
    /// One line for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The kinds of problem a provisioner reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub enum ProblemKind {
    /// 401: signature missing, wrong, too old, or seen before.
    #[serde(rename = "urn:ambit:unsigned")]
    Unsigned,
    /// 400: the request makes no sense.
    #[serde(rename = "urn:ambit:malformed")]
    Malformed,
    /// 413: larger than [`MAX_MESSAGE_BYTES`].
    #[serde(rename = "urn:ambit:too-large")]
    TooLarge,
    /// 409: sealed to a key that is not, or no longer, known here: `GET /v1/key`, seal again.
    #[serde(rename = "urn:ambit:unknown-key")]
    UnknownKey,
    /// 403: the credential does not open with this call, or is not of the account that the workload serves; or none came along.
    #[serde(rename = "urn:ambit:wrong-credential")]
    WrongCredential,
    /// 404: no such workload here: PUT it first.
    #[serde(rename = "urn:ambit:unknown-workload")]
    UnknownWorkload,
    /// 404: the host does not have the image.
    #[serde(rename = "urn:ambit:unknown-image")]
    UnknownImage,
    /// 502: the server exited or broke the protocol.
    #[serde(rename = "urn:ambit:server-failed")]
    ServerFailed,
    /// 503: the server keeps failing; `Retry-After` says when it is tried again.
    #[serde(rename = "urn:ambit:backing-off")]
    BackingOff,
    /// 504: the server did not answer in time.
    #[serde(rename = "urn:ambit:timeout")]
    Timeout,
    /// 503: the Docker host does not answer.
    #[serde(rename = "urn:ambit:host-unreachable")]
    HostUnreachable,
    /// 500: ours.
    #[serde(rename = "urn:ambit:internal")]
    Internal,
}
