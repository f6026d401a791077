//! The real Docker host, over its Engine API. Nothing else knows bollard.

mod bodies;
mod entry;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, CreateImageOptionsBuilder,
    EventsOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, StatsOptionsBuilder,
    StopContainerOptionsBuilder,
};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use schemas::ids::Timestamp;
use schemas::image::{ImageDigest, ImageReference};
use schemas::names::WorkloadName;
use schemas::provisioner::WorkloadEvent;

use crate::host::{
    Attachment, Container, ContainerBody, ContainerId, DockerHost, Ending, Frame, HostError, HostFacts,
    Image, ImageConfig, Network, Usage, WORKLOAD_LABEL,
};
use crate::reach::{self, Endpoint, Wiring};

/// Longer than the slowest answer of a loaded daemon, shorter than a caller's patience.
const TIMEOUT: Duration = Duration::from_mins(1);
/// An import answers only when the whole archive is unpacked.
const IMPORT_TIMEOUT: Duration = Duration::from_mins(10);

/// A Docker host reached over its API.
#[derive(Debug)]
pub struct Engine {
    address: String,
    docker: Docker,
    patient: Docker,
    /// Docker 20.10 lets two networks have one name: looking and creating must be one step.
    networks: tokio::sync::Mutex<()>,
    /// Whether the volume with the entry program was seen to be whole.
    entry: tokio::sync::Mutex<bool>,
    /// Whether an operator vouches for it: [`reach::RULES`].
    guarded: bool,
}

impl Engine {
    /// A client for an address such as `unix:///var/run/docker.sock`. Nothing is sent yet.
    ///
    /// # Errors
    /// When the address has no form we know, or its socket is missing.
    pub fn connect(address: &str) -> Result<Self, HostError> {
        let unreachable =
            |error: &Error| HostError::Unreachable { address: address.to_owned(), reason: error.to_string() };
        let docker = Docker::connect_with_host(address).map_err(|error| unreachable(&error))?;
        let patient = docker.clone().with_timeout(IMPORT_TIMEOUT);
        Ok(Self {
            address: address.to_owned(),
            docker: docker.with_timeout(TIMEOUT),
            patient,
            networks: tokio::sync::Mutex::default(),
            entry: tokio::sync::Mutex::default(),
            guarded: false,
        })
    }

    /// The same host, closed by its operator to our bridges ([`reach::RULES`]): HTTP servers are reached over those.
    #[must_use]
    pub fn guarded(mut self) -> Self {
        self.guarded = true;
        self
    }

    fn no_way_in(&self, reason: String) -> HostError {
        HostError::NoWayIn { address: self.address.clone(), reason }
    }

    fn failed(&self, what: &str, error: Error) -> HostError {
        if let Error::DockerStreamError { error } = error {
            return HostError::Refused { reason: error };
        }
        let Error::DockerResponseServerError { status_code, message } = error else {
            return HostError::Unreachable { address: self.address.clone(), reason: error.to_string() };
        };
        match status_code {
            404 => HostError::Missing { what: format!("{what} ({message})") },
            409 => HostError::Conflict { reason: message },
            _ => HostError::Refused { reason: message },
        }
    }
}

#[async_trait::async_trait]
impl DockerHost for Engine {
    fn address(&self) -> &str {
        &self.address
    }

    async fn facts(&self) -> Result<HostFacts, HostError> {
        let info = self.docker.info().await.map_err(|error| self.failed("API", error))?;
        Ok(HostFacts {
            version: info.server_version.unwrap_or_default(),
            cores: info.ncpu.and_then(|count| usize::try_from(count).ok()).unwrap_or(1),
        })
    }

    async fn image(&self, reference: &str) -> Result<Option<Image>, HostError> {
        let found = match self.docker.inspect_image(reference).await {
            Ok(found) => found,
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(None),
            Err(error) => return Err(self.failed("image", error)),
        };
        let config = found.config.unwrap_or_default();
        let id = found.id.unwrap_or_default();
        let id = ImageDigest::parse(&id).map_err(|error| HostError::Refused { reason: error.to_string() })?;
        Ok(Some(Image {
            id,
            labels: config.labels.unwrap_or_default().into_iter().collect(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            command: config.cmd.unwrap_or_default(),
        }))
    }

    async fn import(
        &self,
        name: &ImageReference,
        rootfs: &Path,
        config: &ImageConfig,
    ) -> Result<ImageDigest, HostError> {
        let refused = |reason: String| HostError::Refused { reason };
        let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
        let mut changes = vec![
            format!("ENTRYPOINT {}", serde_json::to_string(&config.entrypoint).unwrap_or_default()),
            format!("CMD {}", serde_json::to_string(&config.command).unwrap_or_default()),
            format!("USER {}", config.user),
            format!("WORKDIR {}", config.directory),
        ];
        changes.extend(config.env.iter().map(|(name, value)| format!("ENV {name}={}", quoted(value))));
        changes.extend(
            config.labels.iter().map(|(name, value)| format!("LABEL {}={}", quoted(name), quoted(value))),
        );
        let file = tokio::fs::File::open(rootfs).await.map_err(|error| refused(error.to_string()))?;
        let archive = tokio_util::io::ReaderStream::with_capacity(file, 256 * 1024);
        let (repo, tag) = name.as_str().rsplit_once(':').unwrap_or((name.as_str(), "latest"));
        let options =
            CreateImageOptionsBuilder::default().from_src("-").repo(repo).tag(tag).changes(changes).build();
        self.patient
            .create_image(Some(options), Some(bollard::body_try_stream(archive)), None)
            .try_collect::<Vec<_>>()
            .await
            .map_err(|error| self.failed("import", error))?;
        let image = self.image(name.as_str()).await?;
        image.map(|image| image.id).ok_or_else(|| refused(format!("`{name}` was imported and is not there")))
    }

    async fn containers(&self, workload: Option<&str>) -> Result<Vec<Container>, HostError> {
        let label =
            workload.map_or_else(|| WORKLOAD_LABEL.to_owned(), |name| format!("{WORKLOAD_LABEL}={name}"));
        let filters = HashMap::from([("label", vec![label.as_str()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let found =
            self.docker.list_containers(Some(options)).await.map_err(|error| self.failed("list", error))?;
        Ok(found.into_iter().filter_map(bodies::listed).collect())
    }

    async fn ensure_entry(&self) -> Result<(), HostError> {
        self.entry_volume().await
    }

    async fn create(&self, name: &str, body: &ContainerBody) -> Result<ContainerId, HostError> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let made = self.docker.create_container(Some(options), bodies::container(body)).await;
        made.map(|made| ContainerId(made.id)).map_err(|error| self.failed("image", error))
    }

    async fn start(&self, id: &ContainerId) -> Result<(), HostError> {
        match self.docker.start_container(&id.0, None).await {
            Ok(()) | Err(Error::DockerResponseServerError { status_code: 304, .. }) => Ok(()),
            Err(error) => Err(self.failed("container", error)),
        }
    }

    async fn stop(&self, id: &ContainerId, grace_seconds: i32) -> Result<(), HostError> {
        let options = StopContainerOptionsBuilder::default().t(grace_seconds).build();
        match self.docker.stop_container(&id.0, Some(options)).await {
            Ok(()) | Err(Error::DockerResponseServerError { status_code: 304, .. }) => Ok(()),
            Err(error) => Err(self.failed("container", error)),
        }
    }

    async fn pause(&self, id: &ContainerId) -> Result<(), HostError> {
        self.docker.pause_container(&id.0).await.map_err(|error| self.failed("container", error))
    }

    async fn unpause(&self, id: &ContainerId) -> Result<(), HostError> {
        self.docker.unpause_container(&id.0).await.map_err(|error| self.failed("container", error))
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), HostError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match self.docker.remove_container(&id.0, Some(options)).await {
            Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            // Another removal is on its way to the same end.
            Err(Error::DockerResponseServerError { status_code: 409, message })
                if message.contains("in progress") =>
            {
                Ok(())
            }
            Err(error) => Err(self.failed("container", error)),
        }
    }

    async fn attach(&self, id: &ContainerId) -> Result<Attachment, HostError> {
        let options = AttachContainerOptionsBuilder::default()
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .stream(true)
            .build();
        let attached = self.docker.attach_container(&id.0, Some(options)).await;
        let attached = attached.map_err(|error| self.failed("container", error))?;
        let address = self.address.clone();
        let output = attached.output.map(move |frame| match frame {
            Ok(LogOutput::StdErr { message }) => Ok(Frame::Stderr(message)),
            Ok(
                LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message },
            ) => Ok(Frame::Stdout(message)),
            Err(error) => Err(HostError::Unreachable { address: address.clone(), reason: error.to_string() }),
        });
        Ok(Attachment { output: output.boxed(), input: attached.input })
    }

    async fn ending(&self, id: &ContainerId) -> Result<Option<Ending>, HostError> {
        let seen = self
            .docker
            .inspect_container(&id.0, None)
            .await
            .map_err(|error| self.failed("container", error))?;
        let Some(state) = seen.state else { return Ok(None) };
        let ended = !state.running.unwrap_or_default();
        Ok(ended.then(|| Ending {
            code: state.exit_code.unwrap_or_default(),
            out_of_memory: state.oom_killed.unwrap_or_default(),
        }))
    }

    async fn ended(&self, id: &ContainerId) -> Result<Ending, HostError> {
        loop {
            let mut wait = std::pin::pin!(self.docker.wait_container(&id.0, None));
            match wait.next().await {
                // The exit code comes as an error; who killed it, only an inspection tells.
                Some(Ok(_) | Err(Error::DockerContainerWaitError { .. })) => {}
                Some(Err(Error::RequestTimeoutError)) | None => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Some(Err(error)) => return Err(self.failed("container", error)),
            }
            if let Some(ending) = self.ending(id).await? {
                return Ok(ending);
            }
        }
    }

    async fn wiring(&self) -> Result<Wiring, HostError> {
        if self.guarded {
            return Ok(Wiring::Bridge);
        }
        if !self.address.starts_with("unix:") {
            return Err(self.no_way_in("its containers are on another machine".to_owned()));
        }
        reach::may_enter().await.map_err(|reason| self.no_way_in(reason))?;
        Ok(Wiring::Alone)
    }

    async fn endpoint(
        &self,
        id: &ContainerId,
        network: Option<&Network>,
        port: u16,
    ) -> Result<Endpoint, HostError> {
        let seen = self.docker.inspect_container(&id.0, None).await;
        let seen = seen.map_err(|error| self.failed("container", error))?;
        let Some(network) = network else {
            // Docker says 0 of a container that has just ended.
            let process = seen.state.and_then(|state| state.pid).filter(|process| *process > 0);
            let process =
                process.ok_or_else(|| HostError::Missing { what: "process of the container".to_owned() })?;
            return Endpoint::inside(&id.0, process, port).map_err(|reason| self.no_way_in(reason));
        };
        seen.network_settings
            .and_then(|settings| settings.networks)
            .and_then(|networks| networks.get(&network.name)?.ip_address.clone())
            .and_then(|address| address.parse::<IpAddr>().ok())
            .map(|address| Endpoint::at((address, port).into()))
            .ok_or_else(|| HostError::Missing {
                what: format!("address of the container on network `{}`", network.name),
            })
    }

    async fn usage(&self, id: &ContainerId) -> Result<Usage, HostError> {
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let mut stats = std::pin::pin!(self.docker.stats(&id.0, Some(options)));
        let Some(seen) = stats.next().await else {
            return Err(HostError::Missing { what: "statistics".to_owned() });
        };
        let seen = seen.map_err(|error| self.failed("container", error))?;
        let memory = seen.memory_stats.unwrap_or_default();
        let detail = memory.stats.unwrap_or_default();
        let droppable = detail.get("total_inactive_file").or_else(|| detail.get("inactive_file")).copied();
        Ok(Usage {
            memory_bytes: memory.usage.unwrap_or_default().saturating_sub(droppable.unwrap_or_default()),
            pids: seen.pids_stats.and_then(|pids| pids.current).unwrap_or_default(),
        })
    }

    async fn ensure_network(&self, network: &Network) -> Result<(), HostError> {
        let _one_at_a_time = self.networks.lock().await;
        match self.docker.inspect_network(&network.name, None).await {
            Ok(found) if bodies::is_ours(&found, network) => return Ok(()),
            Ok(_) => {
                let reason = format!("network `{0}` is not ours: `docker network rm {0}`", network.name);
                return Err(HostError::Refused { reason });
            }
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(error) => return Err(self.failed("network", error)),
        }
        let mut last = None;
        for attempt in 0..64 {
            let request = bodies::network(network, attempt);
            match self.docker.create_network(request).await {
                Ok(_) | Err(Error::DockerResponseServerError { status_code: 409, .. }) => return Ok(()),
                Err(Error::DockerResponseServerError { message, .. }) if message.contains("overlap") => {
                    last = Some(HostError::Refused { reason: message });
                }
                Err(error) => return Err(self.failed("network", error)),
            }
        }
        Err(last.unwrap_or(HostError::Missing { what: "address range for a network".to_owned() }))
    }

    async fn remove_network(&self, name: &str) -> Result<(), HostError> {
        let _one_at_a_time = self.networks.lock().await;
        match self.docker.remove_network(name).await {
            // In use (403) or gone (404): both are fine.
            Ok(()) | Err(Error::DockerResponseServerError { status_code: 403 | 404, .. }) => Ok(()),
            Err(error) => Err(self.failed("network", error)),
        }
    }

    async fn events(&self) -> Result<BoxStream<'static, WorkloadEvent>, HostError> {
        let filters = HashMap::from([("type", vec!["container"]), ("label", vec![WORKLOAD_LABEL])]);
        let options = EventsOptionsBuilder::default().filters(&filters).build();
        let events = self.docker.events(Some(options)).filter_map(|event| async move {
            let event = event.ok()?;
            let attributes: BTreeMap<_, _> = event.actor?.attributes?.into_iter().collect();
            Some(WorkloadEvent {
                workload: WorkloadName::parse(attributes.get(WORKLOAD_LABEL)?).ok()?,
                event: event.action?,
                at: Timestamp(event.time_nano.unwrap_or_default() / 1_000_000),
            })
        });
        Ok(events.boxed())
    }
}
