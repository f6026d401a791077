//! From a container to a server that has greeted us.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use schemas::image::ImageDigest;
use schemas::provisioner::{Transport, WorkloadSpec};
use tokio::io::AsyncWriteExt as _;

use crate::bridge::Server;
use crate::bridge::era::Era;
use crate::bridge::http::HttpServer;
use crate::bridge::link::Link;
use crate::bridge::stdio::{GreetingError, StdioServer};
use crate::credential::Given;
use crate::entry;
use crate::error::Error;
use crate::host::{Attachment, ContainerId, DockerHost, Ending, HostError};
use crate::hosts::Slot;
use crate::workloads::{Workload, Workloads};

/// The era of each stdio server, once probed. It is a property of the image and of what it is told to do.
#[derive(Debug, Default)]
pub(crate) struct Eras(Mutex<HashMap<Key, Era>>);

type Key = (ImageDigest, Vec<String>, BTreeMap<String, String>);

impl Eras {
    fn with<T>(&self, spec: &WorkloadSpec, look: impl FnOnce(Entry<'_, Key, Era>) -> T) -> T {
        let key = (spec.digest.clone(), spec.command.clone(), spec.env.clone());
        look(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key))
    }

    fn get(&self, spec: &WorkloadSpec) -> Option<Era> {
        self.with(spec, |entry| match entry {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(_) => None,
        })
    }

    fn set(&self, spec: &WorkloadSpec, era: Era) {
        self.with(spec, |entry| {
            entry.insert_entry(era);
        });
    }

    fn forget(&self, spec: &WorkloadSpec) {
        self.with(spec, |entry| {
            if let Entry::Occupied(known) = entry {
                known.remove();
            }
        });
    }
}

fn in_words(ending: Ending) -> String {
    if ending.out_of_memory {
        "it ran out of memory and was killed".to_owned()
    } else {
        format!("it exited with code {}", ending.code)
    }
}

/// How a container ended whose output has. Docker may need a moment to know.
fn why(host: Arc<dyn DockerHost>, id: ContainerId) -> BoxFuture<'static, String> {
    async move {
        for _ in 0..20 {
            match host.ending(&id).await {
                Ok(Some(ending)) => return in_words(ending),
                Ok(None) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => return gone(&error),
            }
        }
        "it closed its output".to_owned()
    }
    .boxed()
}

/// Waits for the end of a container whose connections may not show it: its network goes with it.
fn end(host: Arc<dyn DockerHost>, id: ContainerId) -> BoxFuture<'static, String> {
    async move { host.ended(&id).await.map_or_else(|error| gone(&error), in_words) }.boxed()
}

/// What callers are told when the host can't say how a container ended. Where the host is, and its words, are for the log.
fn gone(error: &HostError) -> String {
    tracing::warn!(%error, "how a container ended is unknown");
    "its container is gone".to_owned()
}

impl Workloads {
    /// Starts a container that does not run, and greets its server.
    pub(crate) async fn start(
        &self,
        slot: &Slot,
        workload: &Workload,
        spec: &WorkloadSpec,
        id: &ContainerId,
        given: Option<&Given>,
    ) -> Result<Arc<Server>, Error> {
        // Held until the server answered: booting is what costs.
        let _leave = slot.leave_to_start().await?;
        match self.start_as(slot, workload, spec, id, given, self.eras.get(spec)).await {
            Err(GreetingError::DiedOfProbe) => {
                workload.logs.note("it ended when asked `server/discover`: started again for the handshake");
                let again = self.start_as(slot, workload, spec, id, given, Some(Era::Legacy)).await;
                self.settle(slot, spec, id, again).await
            }
            outcome => self.settle(slot, spec, id, outcome).await,
        }
    }

    async fn settle(
        &self,
        slot: &Slot,
        spec: &WorkloadSpec,
        id: &ContainerId,
        outcome: Result<Server, GreetingError>,
    ) -> Result<Arc<Server>, Error> {
        match outcome {
            Ok(server) => {
                self.eras.set(spec, server.greeting().era());
                Ok(Arc::new(server))
            }
            // It is up, and wants another credential than this call's, or one.
            Err(GreetingError::Failed(error @ Error::WrongCredential { .. })) => Err(error),
            Err(error) => {
                // What we believed of the image may be what was wrong.
                self.eras.forget(spec);
                let _ = slot.host().stop(id, 1).await;
                Err(match error {
                    GreetingError::Failed(error) => error,
                    GreetingError::DiedOfProbe => {
                        Error::ServerFailed { reason: "it ended during its start".to_owned() }
                    }
                })
            }
        }
    }

    async fn start_as(
        &self,
        slot: &Slot,
        workload: &Workload,
        spec: &WorkloadSpec,
        id: &ContainerId,
        given: Option<&Given>,
        era: Option<Era>,
    ) -> Result<Server, GreetingError> {
        let host = |error| GreetingError::Failed(Error::Host(error));
        let frame = spec.subject.as_ref().and(given).map(|given| entry::frame(given, &spec.transport));
        match &spec.transport {
            Transport::Stdio => {
                // Attached before the start: not a byte is lost.
                let mut attachment = slot.host().attach(id).await.map_err(host)?;
                slot.host().start(id).await.map_err(host)?;
                if let Some(frame) = frame {
                    hand_over(&mut attachment, &frame).await.map_err(GreetingError::Failed)?;
                }
                let link = Link::open(
                    attachment,
                    Arc::clone(&workload.logs),
                    why(Arc::clone(slot.host()), id.clone()),
                );
                StdioServer::greet(link, era, self.settings.ready_within).await.map(Server::Stdio)
            }
            Transport::Http { .. } => {
                match frame {
                    Some(frame) => {
                        let mut attachment = slot.host().attach(id).await.map_err(host)?;
                        slot.host().start(id).await.map_err(host)?;
                        hand_over(&mut attachment, &frame).await.map_err(GreetingError::Failed)?;
                    }
                    None => slot.host().start(id).await.map_err(host)?,
                }
                self.reach(slot, spec, id, given).await.map_err(GreetingError::Failed)
            }
        }
    }

    async fn reach(
        &self,
        slot: &Slot,
        spec: &WorkloadSpec,
        id: &ContainerId,
        given: Option<&Given>,
    ) -> Result<Server, Error> {
        let Transport::Http { port, path } = &spec.transport else {
            return Err(Error::Malformed { reason: "a stdio server has no address".to_owned() });
        };
        let network = slot.network(spec, &[]).await?;
        let endpoint = slot.host().endpoint(id, network.as_ref(), *port).await?;
        let end = end(Arc::clone(slot.host()), id.clone());
        let server = HttpServer::greet(endpoint, path, self.settings.ready_within, end, given).await?;
        Ok(Server::Http(Box::new(server)))
    }

    /// Greets the server of a container that runs already; one that does not play along is started anew, and so is one that got a
    /// credential from an earlier life of ours: nobody knows which.
    pub(crate) async fn adopt(
        &self,
        slot: &Slot,
        workload: &Workload,
        spec: &WorkloadSpec,
        id: &ContainerId,
        given: Option<&Given>,
    ) -> Result<Arc<Server>, Error> {
        if spec.subject.is_some() {
            slot.host().stop(id, 1).await?;
            return self.start(slot, workload, spec, id, given).await;
        }
        let era = self.eras.get(spec);
        let greeted = match &spec.transport {
            Transport::Http { .. } => match self.reach(slot, spec, id, given).await {
                Err(error @ Error::WrongCredential { .. }) => return Err(error),
                reached => reached.ok(),
            },
            Transport::Stdio => {
                let attachment = slot.host().attach(id).await?;
                let link = Link::open(
                    attachment,
                    Arc::clone(&workload.logs),
                    why(Arc::clone(slot.host()), id.clone()),
                );
                let patience = self.settings.ready_within.min(Duration::from_secs(15));
                StdioServer::greet(link, era, patience).await.ok().map(Server::Stdio)
            }
        };
        if let Some(server) = greeted {
            self.eras.set(spec, server.greeting().era());
            return Ok(Arc::new(server));
        }
        slot.host().stop(id, 1).await?;
        self.start(slot, workload, spec, id, given).await
    }
}

/// Gives the entry program what it waits for.
async fn hand_over(attachment: &mut Attachment, frame: &[u8]) -> Result<(), Error> {
    let written = async {
        attachment.input.write_all(frame).await?;
        attachment.input.flush().await
    };
    written
        .await
        .map_err(|error| Error::ServerFailed { reason: format!("it did not take its credential: {error}") })
}
