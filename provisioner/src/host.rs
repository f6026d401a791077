//! The port to a Docker host: all that a provisioner asks of one. [`crate::docker`] is the real one,
//! [`crate::simulated`] its twin in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use schemas::image::{ImageDigest, ImageReference};
use schemas::provisioner::WorkloadEvent;
use tokio::io::AsyncWrite;

use crate::reach::{Endpoint, RULES, Wiring};

/// Label with the workload's name; every container and every network of ours has it.
pub const WORKLOAD_LABEL: &str = "dev.ambit.workload";
/// Label with the JSON of the [`schemas::provisioner::WorkloadSpec`] the container was made from.
pub const SPEC_LABEL: &str = "dev.ambit.spec";
/// Label with the SHA-256 of that JSON and of everything else that shapes the container.
pub const SPEC_HASH_LABEL: &str = "dev.ambit.spec-hash";
/// Label on images and networks of ours: the hash of the recipe, or the toolbox.
pub const RECIPE_LABEL: &str = "dev.ambit.recipe";
/// Label on containers that copy the entry program into its volume: never started, and gone a moment later.
pub const COPIER_LABEL: &str = "dev.ambit.copier";
/// Label on networks: `org.toolbox`.
pub const TOOLBOX_LABEL: &str = "dev.ambit.toolbox";

/// Why a Docker host did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing answers there.
    #[error(
        "the Docker host `{address}` does not answer: {reason}; check that Docker runs and that we may use its socket"
    )]
    Unreachable {
        /// The host's address.
        address: String,
        /// What the operating system said.
        reason: String,
    },
    /// There is no such container, image or network.
    #[error("the Docker host has no {what}")]
    Missing {
        /// What was looked for.
        what: String,
    },
    /// The name is taken, or the state forbids the step: someone else was faster.
    #[error("the Docker host reports a conflict: {reason}")]
    Conflict {
        /// Docker's own words.
        reason: String,
    },
    /// An HTTP server there could not be reached, or only over a network that would let it reach the host.
    #[error(
        "HTTP servers cannot run on the Docker host `{address}`: {reason}. Run the provisioner on that machine as root, or \
         use the server over stdio; or, where we have a route to the host's bridges, close the host to them and name it \
         with --guarded-host instead of --host:\n{RULES}"
    )]
    NoWayIn {
        /// The host's address.
        address: String,
        /// What is missing.
        reason: String,
    },
    /// Docker refused or failed.
    #[error("the Docker host refused: {reason}")]
    Refused {
        /// Docker's own words.
        reason: String,
    },
}

/// The id Docker gives a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(pub String);

/// What a container does, in Docker's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContainerState {
    /// Never started.
    Created,
    /// Runs.
    Running,
    /// Frozen, with its memory.
    Paused,
    /// Ended.
    Exited,
    /// Half removed, restarting by another's policy, or anything else that can only be removed.
    Dead,
}

/// A container of ours as the host lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Docker's id.
    pub id: ContainerId,
    /// Its name, without the leading slash.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its state.
    pub state: ContainerState,
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ending {
    /// The exit code.
    pub code: i64,
    /// Whether the kernel killed it for its memory.
    pub out_of_memory: bool,
}

/// Everything a container is created from. Made by [`crate::hardening`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerBody {
    /// What runs: an image id, or `repository@sha256:...`.
    pub image: String,
    /// Replaces the image's entry point when not empty.
    pub entrypoint: Vec<String>,
    /// Replaces the image's command when not empty.
    pub command: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `uid:gid`.
    pub user: String,
    /// Whether stdin stays open for attaching.
    pub open_stdin: bool,
    /// `none`, or the name of an internal network.
    pub network: String,
    /// Capabilities taken away.
    pub cap_drop: Vec<String>,
    /// Docker's security options.
    pub security_opt: Vec<String>,
    /// Whether the root file system is read-only.
    pub read_only_root: bool,
    /// Mount point to options of each tmpfs.
    pub tmpfs: BTreeMap<String, String>,
    /// Mount point to name of each volume; read-only.
    pub volumes: BTreeMap<String, String>,
    /// Processes and threads.
    pub pids_limit: i64,
    /// Bytes of memory; swap on top is none.
    pub memory_bytes: i64,
    /// Billionths of a core.
    pub nano_cpus: i64,
    /// Name, soft and hard limit.
    pub ulimits: Vec<(String, i64)>,
    /// Whether Docker's init reaps zombies and forwards signals.
    pub init: bool,
    /// IPC name space.
    pub ipc: String,
    /// Log driver: `none`, since stdout carries what callers say.
    pub log_driver: String,
    /// Restart policy: `no`, since reconciling is ours.
    pub restart: String,
}

/// An internal network: no route out, shared by the workloads of one toolbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Deterministic name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Whether the host is there.
    pub host: HostSide,
}

/// The host's side of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostSide {
    /// It has an address, and reaches who is on it; what may reach the host is up to its firewall ([`RULES`]).
    Addressed,
    /// It has none: neither reaches the other.
    Absent,
}

/// A piece of what a container wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// On stdout.
    Stdout(Bytes),
    /// On stderr.
    Stderr(Bytes),
}

/// Both ends of a container's standard streams.
pub struct Attachment {
    /// What it writes. Ends when the container ends.
    pub output: BoxStream<'static, Result<Frame, HostError>>,
    /// What it reads.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Attachment")
    }
}

/// An image as the host has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its id, which is also the digest of its configuration.
    pub id: ImageDigest,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What runs.
    pub entrypoint: Vec<String>,
    /// Its arguments.
    pub command: Vec<String>,
}

/// How an imported root file system runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// What runs.
    pub entrypoint: Vec<String>,
    /// Its arguments, which a workload's `command` replaces.
    pub command: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<(String, String)>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `uid:gid`.
    pub user: String,
    /// Working directory.
    pub directory: String,
}

/// What a container uses now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes of memory without the page cache that can be dropped.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
}

/// What an operator learns about a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// Docker's version.
    pub version: String,
    /// Processors; bounds how many containers start at once.
    pub cores: usize,
}

/// One Docker host.
#[async_trait::async_trait]
pub trait DockerHost: Send + Sync + 'static {
    /// Its address, such as `unix:///var/run/docker.sock`.
    fn address(&self) -> &str;
    /// Its version and size.
    async fn facts(&self) -> Result<HostFacts, HostError>;
    /// The image, if the host has it.
    async fn image(&self, reference: &str) -> Result<Option<Image>, HostError>;
    /// Makes an image of a tar archive with a root file system.
    async fn import(
        &self,
        name: &ImageReference,
        rootfs: &Path,
        config: &ImageConfig,
    ) -> Result<ImageDigest, HostError>;
    /// Our containers: all, or those of one workload.
    async fn containers(&self, workload: Option<&str>) -> Result<Vec<Container>, HostError>;
    /// Makes sure that the volume with the entry program ([`crate::entry`]) is there, as it should be.
    async fn ensure_entry(&self) -> Result<(), HostError>;
    /// Creates a container; [`HostError::Conflict`] when the name is taken.
    async fn create(&self, name: &str, body: &ContainerBody) -> Result<ContainerId, HostError>;
    /// Starts a container; no error if it runs.
    async fn start(&self, id: &ContainerId) -> Result<(), HostError>;
    /// Stops a container with a grace of seconds; no error if it is stopped.
    async fn stop(&self, id: &ContainerId, grace_seconds: i32) -> Result<(), HostError>;
    /// Freezes a container.
    async fn pause(&self, id: &ContainerId) -> Result<(), HostError>;
    /// Thaws a container.
    async fn unpause(&self, id: &ContainerId) -> Result<(), HostError>;
    /// Kills and removes a container; no error if there is none.
    async fn remove(&self, id: &ContainerId) -> Result<(), HostError>;
    /// Attaches to a container's standard streams.
    async fn attach(&self, id: &ContainerId) -> Result<Attachment, HostError>;
    /// How a container ended, if it did.
    async fn ending(&self, id: &ContainerId) -> Result<Option<Ending>, HostError>;
    /// Waits until a container ends.
    async fn ended(&self, id: &ContainerId) -> Result<Ending, HostError>;
    /// What the containers of HTTP servers are wired to here; [`HostError::NoWayIn`] where none may run.
    async fn wiring(&self) -> Result<Wiring, HostError>;
    /// The way to a port of a running container, which is on this network or on none.
    async fn endpoint(
        &self,
        id: &ContainerId,
        network: Option<&Network>,
        port: u16,
    ) -> Result<Endpoint, HostError>;
    /// What a container uses.
    async fn usage(&self, id: &ContainerId) -> Result<Usage, HostError>;
    /// Makes sure an internal network exists, on a bridge whose name begins with [`crate::reach::BRIDGE_PREFIX`].
    async fn ensure_network(&self, network: &Network) -> Result<(), HostError>;
    /// Removes a network if nothing uses it; no error if there is none or it is in use.
    async fn remove_network(&self, name: &str) -> Result<(), HostError>;
    /// What happens to our containers from now on.
    async fn events(&self) -> Result<BoxStream<'static, WorkloadEvent>, HostError>;
}
