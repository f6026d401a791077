//! The Docker hosts of one provisioner: which workload lives where, and how many may start at once.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use schemas::ids::Sha256Hex;
use schemas::names::WorkloadName;
use schemas::provisioner::{HostStatus, NetworkAccess, Transport, WorkloadEvent, WorkloadSpec};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use crate::error::Error;
use crate::hardening;
use crate::host::{Container, ContainerId, DockerHost, HostError, Image, Network};
use crate::reach::Wiring;

/// One host with its bound on starts.
pub(crate) struct Slot {
    host: Arc<dyn DockerHost>,
    starts: OnceCell<Semaphore>,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slot({})", self.host.address())
    }
}

impl Slot {
    pub(crate) fn host(&self) -> &Arc<dyn DockerHost> {
        &self.host
    }

    pub(crate) fn address(&self) -> &str {
        self.host.address()
    }

    /// Leave to start one container: two per core at once, since more only make each other late (`docker.md` §2).
    pub(crate) async fn leave_to_start(&self) -> Result<SemaphorePermit<'_>, Error> {
        let bound = async {
            self.host.facts().await.map(|facts| Semaphore::new(facts.cores.saturating_mul(2).max(1)))
        };
        let starts = self.starts.get_or_try_init(|| bound).await?;
        // The semaphore is never closed.
        starts.acquire().await.map_err(|error| Error::Host(HostError::Refused { reason: error.to_string() }))
    }

    /// What the host has by the spec's digest.
    pub(crate) async fn image(&self, spec: &WorkloadSpec) -> Result<Image, Error> {
        for reference in
            [spec.digest.as_str().to_owned(), hardening::pinned_reference(&spec.image, &spec.digest)]
        {
            if let Some(image) = self.host.image(&reference).await? {
                return Ok(image);
            }
        }
        Err(Error::UnknownImage { image: format!("{}@{}", spec.image, spec.digest) })
    }

    /// The network that the workload's container here is on, if any. Where it could only be on one that lets it reach the
    /// host, nothing of it goes on running.
    pub(crate) async fn network(
        &self,
        spec: &WorkloadSpec,
        here: &[Container],
    ) -> Result<Option<Network>, Error> {
        if matches!(spec.transport, Transport::Stdio) {
            // Where nobody vouches for the host, it is not on the network at all.
            let wiring = match spec.network {
                NetworkAccess::None => return Ok(None),
                NetworkAccess::Toolbox => self.host.wiring().await.unwrap_or(Wiring::Alone),
            };
            return Ok(hardening::network(spec, wiring));
        }
        match self.host.wiring().await {
            Ok(wiring) => Ok(hardening::network(spec, wiring)),
            Err(error) => {
                if matches!(error, HostError::NoWayIn { .. }) {
                    for container in here {
                        self.remove(&container.id).await?;
                    }
                }
                Err(error.into())
            }
        }
    }

    pub(crate) async fn remove(&self, id: &ContainerId) -> Result<(), Error> {
        Ok(self.host.remove(id).await?)
    }
}

/// All hosts.
#[derive(Debug)]
pub(crate) struct Hosts {
    slots: Vec<Slot>,
}

impl Hosts {
    pub(crate) fn new(hosts: Vec<Arc<dyn DockerHost>>) -> Self {
        let slots = hosts.into_iter().map(|host| Slot { host, starts: OnceCell::new() }).collect();
        Self { slots }
    }

    pub(crate) fn all(&self) -> &[Slot] {
        &self.slots
    }

    /// The containers of a workload, with the index of their host. A host that does not answer fails the whole question:
    /// half an answer would make duplicates.
    pub(crate) async fn containers(&self, name: &WorkloadName) -> Result<Vec<(usize, Container)>, Error> {
        let mut all = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            let found = slot.host.containers(Some(name.as_str())).await?;
            all.extend(found.into_iter().map(|container| (index, container)));
        }
        Ok(all)
    }

    pub(crate) async fn every_container(&self) -> Result<Vec<(usize, Container)>, Error> {
        let mut all = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            all.extend(slot.host.containers(None).await?.into_iter().map(|container| (index, container)));
        }
        Ok(all)
    }

    /// Where a workload lives: where its container is, else the host its toolbox hashes to (highest random weight), so
    /// that the servers of one toolbox share a network.
    pub(crate) fn home(&self, name: &WorkloadName, observed: &[(usize, Container)]) -> usize {
        let lived =
            observed.iter().find(|(_, container)| container.name == name.as_str()).map(|(index, _)| *index);
        let toolbox = name.toolbox();
        let weight = |slot: &Slot| Sha256Hex::of(format!("{toolbox}\n{}", slot.address()).as_bytes());
        lived
            .or_else(|| {
                self.slots.iter().enumerate().max_by_key(|(_, slot)| weight(slot)).map(|(index, _)| index)
            })
            .unwrap_or_default()
    }

    /// Each host's state, for an operator.
    pub(crate) async fn status(&self) -> Vec<HostStatus> {
        let mut all = Vec::new();
        for slot in &self.slots {
            let facts = slot.host.facts().await;
            let workloads = slot.host.containers(None).await.map_or(0, |found| found.len());
            all.push(HostStatus {
                address: slot.address().to_owned(),
                error: facts.as_ref().err().map(ToString::to_string),
                docker: facts.ok().map(|facts| facts.version),
                workloads: u32::try_from(workloads).unwrap_or(u32::MAX),
            });
        }
        all
    }

    /// What happens on any host.
    pub(crate) async fn events(&self) -> Result<BoxStream<'static, WorkloadEvent>, Error> {
        let mut all = Vec::new();
        for slot in &self.slots {
            all.push(slot.host.events().await?);
        }
        Ok(stream::select_all(all).boxed())
    }
}
