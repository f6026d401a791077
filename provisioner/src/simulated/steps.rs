//! What may be asked of the simulated host, each step failing where a test wants it to.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use schemas::ids::Sha256Hex;
use schemas::image::{ImageDigest, ImageReference};
use schemas::provisioner::WorkloadEvent;
use tokio::io::{AsyncReadExt as _, duplex};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::{Process, Simulated, container};
use crate::host::{
    Attachment, Container, ContainerBody, ContainerId, ContainerState, DockerHost, Ending, HostError,
    HostFacts, Image, ImageConfig, Network, Usage, WORKLOAD_LABEL,
};
use crate::reach::{Endpoint, Wiring};

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
        Ok(id.map(|id| Image {
            id,
            labels: BTreeMap::new(),
            entrypoint: vec!["/usr/bin/server".to_owned()],
            command: Vec::new(),
        }))
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
            let image = Image {
                id: id.clone(),
                labels: config.labels.clone(),
                entrypoint: config.entrypoint.clone(),
                command: config.command.clone(),
            };
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

    async fn ensure_entry(&self) -> Result<(), HostError> {
        self.step("entry", |world| {
            world.entry = true;
            Ok(())
        })
    }

    async fn create(&self, name: &str, body: &ContainerBody) -> Result<ContainerId, HostError> {
        let id = ContainerId(format!("c{:04}", self.ids.fetch_add(1, Ordering::Relaxed)));
        self.step("create", |world| {
            if !body.volumes.is_empty() && !world.entry {
                return Err(HostError::Missing { what: "volume".to_owned() });
            }
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

    async fn wiring(&self) -> Result<Wiring, HostError> {
        self.world().wiring.ok_or_else(|| HostError::NoWayIn {
            address: self.address.to_owned(),
            reason: "it is simulated so".to_owned(),
        })
    }

    async fn endpoint(
        &self,
        id: &ContainerId,
        network: Option<&Network>,
        port: u16,
    ) -> Result<Endpoint, HostError> {
        let mut world = self.world();
        let process = container(&mut world, id)?;
        if process.body.network != network.map_or("none", |network| &network.name) {
            return Err(HostError::Missing { what: format!("{network:?} of the container") });
        }
        let name = process.name.clone();
        let address = world.endpoints.get(&name).copied();
        address
            .map(Endpoint::at)
            .ok_or_else(|| HostError::Missing { what: format!("address of port {port}") })
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
