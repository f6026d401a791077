//! A Docker host in memory, for tests: containers are tasks, attaching is a pipe, and any step can fail before or after
//! it took effect.

mod entry;
mod steps;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use schemas::ids::Timestamp;
use schemas::names::WorkloadName;
use schemas::provisioner::WorkloadEvent;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::AbortHandle;

use crate::host::{
    ContainerBody, ContainerId, ContainerState, Ending, Frame, HostError, Image, Network, WORKLOAD_LABEL,
};
use crate::reach::Wiring;

/// The standard streams of a simulated server.
#[derive(Debug)]
pub struct Pipes {
    /// What it reads.
    pub stdin: DuplexStream,
    /// What it answers.
    pub stdout: DuplexStream,
    /// What it complains.
    pub stderr: DuplexStream,
    /// What the entry program gave it when it started: names of variables and files, and the secrets.
    pub given: Vec<(String, String)>,
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

struct World {
    containers: BTreeMap<ContainerId, Process>,
    networks: BTreeMap<String, Network>,
    images: HashMap<String, Image>,
    missing: Vec<String>,
    /// Whether the volume with the entry program is there.
    entry: bool,
    endpoints: HashMap<String, SocketAddr>,
    /// `None`: no HTTP servers here.
    wiring: Option<Wiring>,
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
            world: Arc::new(Mutex::new(World {
                containers: BTreeMap::new(),
                networks: BTreeMap::new(),
                images: HashMap::new(),
                missing: Vec::new(),
                entry: false,
                endpoints: HashMap::new(),
                wiring: Some(Wiring::Alone),
                journal: Vec::new(),
                fault: None,
            })),
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

    /// What the containers of HTTP servers are wired to from now on; `None`: none may run.
    pub fn wire(&self, wiring: Option<Wiring>) {
        self.world().wiring = wiring;
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
        let (name, serve, entered) =
            (process.name.clone(), Arc::clone(&self.serve), process.body.entrypoint == [crate::entry::PATH]);
        let (this, id, life) = (self.clone(), id.clone(), process.life);
        let task = tokio::spawn(async move {
            let mut pipes = Pipes { stdin: theirs, stdout: out, stderr: err, given: Vec::new() };
            let code = if entered && entry::enter(&mut pipes).await.is_err() {
                drop(pipes);
                125
            } else {
                serve(&name, pipes).await
            };
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
