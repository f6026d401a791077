//! A Docker host in memory, for tests: containers are tasks, attaching is a pipe, and any step can fail before or after
//! it took effect.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use schemas::ids::{Sha256Hex, Timestamp};
use schemas::image::{ImageDigest, ImageReference};
use schemas::names::WorkloadName;
use schemas::provisioner::WorkloadEvent;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::AbortHandle;

use crate::host::{
    Attachment, Container, ContainerBody, ContainerId, ContainerState, DockerHost, Ending, Frame, HostError,
    HostFacts, Image, ImageConfig, Network, Usage, WORKLOAD_LABEL,
};

/// The standard streams of a simulated server.
#[derive(Debug)]
pub struct Pipes {
    /// What it reads.
    pub stdin: DuplexStream,
    /// What it answers.
    pub stdout: DuplexStream,
    /// What it complains.
    pub stderr: DuplexStream,
}

/// Runs a server until it exits, and gives its exit code.
pub type Serve = dyn Fn(&str, Pipes) -> BoxFuture<'static, i64> + Send + Sync;

/// Where in a step it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happened.
    Before,
    /// It happened, and nobody was told.
    After,
}

struct Process {
    body: ContainerBody,
    name: String,
    state: ContainerState,
    ending: Ending,
    outputs: Vec<mpsc::UnboundedSender<Frame>>,
    stdin: Option<mpsc::UnboundedSender<Bytes>>,
    frozen: watch::Sender<bool>,
    task: Option<AbortHandle>,
    /// Tells a late end of an earlier life from an end of this one.
    life: u64,
}

#[derive(Default)]
struct World {
    containers: BTreeMap<ContainerId, Process>,
    networks: BTreeMap<String, Network>,
    images: HashMap<String, Image>,
    missing: Vec<String>,
    endpoints: HashMap<String, SocketAddr>,
    journal: Vec<String>,
    /// Fails the step with this number, counted from when it was set.
    fault: Option<(usize, Fault)>,
}

/// A Docker host in memory. Clones are the same host.
#[derive(Clone)]
pub struct Simulated {
    address: &'static str,
    world: Arc<Mutex<World>>,
    serve: Arc<Serve>,
    ids: Arc<AtomicU64>,
    events: broadcast::Sender<WorkloadEvent>,
}

impl std::fmt::Debug for Simulated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Simulated")
    }
}

impl Simulated {
    /// A host whose every container runs this server.
    pub fn new(serve: impl Fn(&str, Pipes) -> BoxFuture<'static, i64> + Send + Sync + 'static) -> Self {
        Self {
            address: "simulated",
            world: Arc::default(),
            serve: Arc::new(serve),
            ids: Arc::default(),
            events: broadcast::channel(256).0,
        }
    }

    /// The same host under another address, for tests with several.
    #[must_use]
    pub fn at(mut self, address: &'static str) -> Self {
        self.address = address;
        self
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the n-th step from now (from 0) fail.
    pub fn fail(&self, nth: usize, fault: Fault) {
        self.world().fault = Some((nth, fault));
    }

    /// Whether the fault that was set has not struck yet; clears it.
    pub fn spared(&self) -> bool {
        self.world().fault.take().is_some()
    }

    /// Every step that took effect, such as `start`.
    pub fn journal(&self) -> Vec<String> {
        self.world().journal.clone()
    }

    /// The host has no such image.
    pub fn lacks_image(&self, reference: &str) {
        self.world().missing.push(reference.to_owned());
    }

    /// Where the ports of a container are, in truth.
    pub fn endpoint_of(&self, name: &str, address: SocketAddr) {
        self.world().endpoints.insert(name.to_owned(), address);
    }

    /// Ends a container's process as `kill -9` would.
    pub fn kill(&self, name: &str) {
        let found =
            self.world().containers.iter().find(|(_, p)| p.name == name).map(|(id, p)| (id.clone(), p.life));
        if let Some((id, life)) = found {
            self.ended(&id, life, 137);
        }
    }

    /// What a container was made from.
    pub fn body(&self, name: &str) -> Option<ContainerBody> {
        self.world()
            .containers
            .values()
            .find(|process| process.name == name)
            .map(|process| process.body.clone())
    }

    fn told(&self, process: &Process, event: &str) {
        let workload =
            process.body.labels.get(WORKLOAD_LABEL).and_then(|name| WorkloadName::parse(name).ok());
        if let Some(workload) = workload {
            let _ = self.events.send(WorkloadEvent { workload, event: event.to_owned(), at: Timestamp(0) });
        }
    }

    fn ended(&self, id: &ContainerId, life: u64, code: i64) {
        let mut world = self.world();
        let Some(process) = world.containers.get_mut(id).filter(|process| process.life == life) else {
            return;
        };
        if !matches!(process.state, ContainerState::Running | ContainerState::Paused) {
            return;
        }
        process.state = ContainerState::Exited;
        process.ending = Ending { code, out_of_memory: false };
        process.outputs.clear();
        process.stdin = None;
        if let Some(task) = process.task.take() {
            task.abort();
        }
        self.told(process, "die");
    }

    /// One step: may fail before or after its effect.
    fn step<T>(
        &self,
        name: &str,
        effect: impl FnOnce(&mut World) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        let mut world = self.world();
        let strikes = match &mut world.fault {
            Some((0, fault)) => Some(*fault),
            Some((count, _)) => {
                *count -= 1;
                None
            }
            None => None,
        };
        let failed = || HostError::Unreachable {
            address: "simulated".to_owned(),
            reason: format!("`{name}` was cut off"),
        };
        if strikes.is_some() {
            world.fault = None;
        }
        if strikes == Some(Fault::Before) {
            return Err(failed());
        }
        let outcome = effect(&mut world)?;
        world.journal.push(name.to_owned());
        if strikes == Some(Fault::After) { Err(failed()) } else { Ok(outcome) }
    }

    /// Like Docker, gives what a container writes to everyone who is attached.
    async fn hand_out(self, id: ContainerId, mut from: DuplexStream, frame: fn(Bytes) -> Frame) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(size @ 1..) = from.read(&mut buffer).await {
            let piece = Bytes::copy_from_slice(buffer.get(..size).unwrap_or_default());
            if let Some(process) = self.world().containers.get(&id) {
                process.outputs.iter().for_each(|output| drop(output.send(frame(piece.clone()))));
            }
        }
    }

    fn run(&self, world: &mut World, id: &ContainerId) -> Result<(), HostError> {
        let process = world.containers.get_mut(id).ok_or_else(|| missing(id))?;
        if process.state == ContainerState::Running {
            return Ok(());
        }
        process.life += 1;
        process.state = ContainerState::Running;
        let _ = process.frozen.send(false);
        let (theirs, mut ours) = duplex(64 * 1024);
        let (out, out_read) = duplex(64 * 1024);
        let (err, err_read) = duplex(64 * 1024);
        let (sender, mut queue) = mpsc::unbounded_channel::<Bytes>();
        process.stdin = Some(sender);
        let mut frozen = process.frozen.subscribe();
        tokio::spawn(async move {
            while let Some(piece) = queue.recv().await {
                // What is frozen reads nothing.
                if frozen.wait_for(|frozen| !frozen).await.is_err() || ours.write_all(&piece).await.is_err() {
                    break;
                }
            }
        });
        let stdout = tokio::spawn(self.clone().hand_out(id.clone(), out_read, Frame::Stdout));
        let stderr = tokio::spawn(self.clone().hand_out(id.clone(), err_read, Frame::Stderr));
        let served = (self.serve)(&process.name, Pipes { stdin: theirs, stdout: out, stderr: err });
        let (this, id, life) = (self.clone(), id.clone(), process.life);
        let task = tokio::spawn(async move {
            let code = served.await;
            let _ = stdout.await;
            let _ = stderr.await;
            this.ended(&id, life, code);
        });
        process.task = Some(task.abort_handle());
        self.told(process, "start");
        Ok(())
    }
}

fn missing(id: &ContainerId) -> HostError {
    HostError::Missing { what: format!("container `{}`", id.0) }
}

fn container<'a>(world: &'a mut World, id: &ContainerId) -> Result<&'a mut Process, HostError> {
    world.containers.get_mut(id).ok_or_else(|| missing(id))
}

#[async_trait::async_trait]
impl DockerHost for Simulated {
    fn address(&self) -> &str {
        self.address
    }

    async fn facts(&self) -> Result<HostFacts, HostError> {
        Ok(HostFacts { version: "simulated".to_owned(), cores: 2 })
    }

    async fn image(&self, reference: &str) -> Result<Option<Image>, HostError> {
        let world = self.world();
        if let Some(image) = world.images.get(reference) {
            return Ok(Some(image.clone()));
        }
        let id = ImageDigest::parse(reference)
            .ok()
            .filter(|_| !world.missing.iter().any(|gone| gone == reference));
        Ok(id.map(|id| Image { id, labels: BTreeMap::new() }))
    }

    async fn import(
        &self,
        name: &ImageReference,
        _rootfs: &Path,
        config: &ImageConfig,
    ) -> Result<ImageDigest, HostError> {
        let id = format!("sha256:{}", Sha256Hex::of(format!("{name}{config:?}").as_bytes()));
        let id = ImageDigest::parse(&id).map_err(|error| HostError::Refused { reason: error.to_string() })?;
        self.step("import", |world| {
            let image = Image { id: id.clone(), labels: config.labels.clone() };
            world.images.insert(name.as_str().to_owned(), image);
            Ok(id)
        })
    }

    async fn containers(&self, workload: Option<&str>) -> Result<Vec<Container>, HostError> {
        self.step("list", |world| {
            Ok(world
                .containers
                .iter()
                .filter(|(_, process)| {
                    let label = process.body.labels.get(WORKLOAD_LABEL).map(String::as_str);
                    workload.is_none_or(|name| label == Some(name))
                })
                .map(|(id, process)| Container {
                    id: id.clone(),
                    name: process.name.clone(),
                    labels: process.body.labels.clone(),
                    state: process.state,
                })
                .collect())
        })
    }

    async fn create(&self, name: &str, body: &ContainerBody) -> Result<ContainerId, HostError> {
        let id = ContainerId(format!("c{:04}", self.ids.fetch_add(1, Ordering::Relaxed)));
        self.step("create", |world| {
            if world.containers.values().any(|process| process.name == name) {
                return Err(HostError::Conflict { reason: format!("the name `{name}` is taken") });
            }
            let process = Process {
                body: body.clone(),
                name: name.to_owned(),
                state: ContainerState::Created,
                ending: Ending::default(),
                outputs: Vec::new(),
                stdin: None,
                frozen: watch::channel(false).0,
                task: None,
                life: 0,
            };
            world.containers.insert(id.clone(), process);
            Ok(id)
        })
    }

    async fn start(&self, id: &ContainerId) -> Result<(), HostError> {
        self.step("start", |world| self.run(world, id))
    }

    async fn stop(&self, id: &ContainerId, _grace_seconds: i32) -> Result<(), HostError> {
        let life = self.step("stop", |world| container(world, id).map(|process| process.life))?;
        self.ended(id, life, 143);
        Ok(())
    }

    async fn pause(&self, id: &ContainerId) -> Result<(), HostError> {
        self.step("pause", |world| {
            let process = container(world, id)?;
            if process.state != ContainerState::Running {
                return Err(HostError::Conflict { reason: "it does not run".to_owned() });
            }
            process.state = ContainerState::Paused;
            let _ = process.frozen.send(true);
            Ok(())
        })
    }

    async fn unpause(&self, id: &ContainerId) -> Result<(), HostError> {
        self.step("unpause", |world| {
            let process = container(world, id)?;
            if process.state != ContainerState::Paused {
                return Err(HostError::Conflict { reason: "it is not paused".to_owned() });
            }
            process.state = ContainerState::Running;
            let _ = process.frozen.send(false);
            Ok(())
        })
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), HostError> {
        self.step("remove", |world| {
            if let Some(process) = world.containers.remove(id) {
                process.task.iter().for_each(AbortHandle::abort);
            }
            Ok(())
        })
    }

    async fn attach(&self, id: &ContainerId) -> Result<Attachment, HostError> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.step("attach", |world| {
            container(world, id)?.outputs.push(sender);
            Ok(())
        })?;
        let (input, mut theirs) = duplex(64 * 1024);
        let (this, id) = (self.clone(), id.clone());
        tokio::spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(size @ 1..) = theirs.read(&mut buffer).await {
                let piece = Bytes::copy_from_slice(buffer.get(..size).unwrap_or_default());
                let stdin = this.world().containers.get(&id).and_then(|process| process.stdin.clone());
                let _ = stdin.map(|stdin| stdin.send(piece));
            }
        });
        let output =
            stream::unfold(receiver, |mut receiver| async { Some((Ok(receiver.recv().await?), receiver)) });
        Ok(Attachment { output: output.boxed(), input: Box::pin(input) })
    }

    async fn ending(&self, id: &ContainerId) -> Result<Option<Ending>, HostError> {
        let mut world = self.world();
        let process = container(&mut world, id)?;
        let runs = matches!(process.state, ContainerState::Running | ContainerState::Paused);
        Ok((!runs).then_some(process.ending))
    }

    async fn ended(&self, id: &ContainerId) -> Result<Ending, HostError> {
        loop {
            if let Some(ending) = self.ending(id).await? {
                return Ok(ending);
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    async fn endpoint(&self, id: &ContainerId, _network: &str, port: u16) -> Result<SocketAddr, HostError> {
        let mut world = self.world();
        let name = container(&mut world, id)?.name.clone();
        let address = world.endpoints.get(&name).copied();
        address.ok_or_else(|| HostError::Missing { what: format!("address of port {port}") })
    }

    async fn usage(&self, _id: &ContainerId) -> Result<Usage, HostError> {
        Ok(Usage::default())
    }

    async fn ensure_network(&self, network: &Network) -> Result<(), HostError> {
        self.step("network", |world| {
            world.networks.insert(network.name.clone(), network.clone());
            Ok(())
        })
    }

    async fn remove_network(&self, name: &str) -> Result<(), HostError> {
        self.step("remove network", |world| {
            world.networks.remove(name);
            Ok(())
        })
    }

    async fn events(&self) -> Result<BoxStream<'static, WorkloadEvent>, HostError> {
        let events = stream::unfold(self.events.subscribe(), |mut events| async {
            Some((events.recv().await.ok()?, events))
        });
        Ok(events.boxed())
    }
}
