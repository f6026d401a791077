//! What is told of workloads: their state, and what their servers wrote that was no message.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use schemas::names::WorkloadName;
use schemas::provisioner::{WorkloadSpec, WorkloadState, WorkloadStatus};

use crate::error::Error;
use crate::hardening;
use crate::host::{Container, ContainerState, SPEC_LABEL};
use crate::workloads::{Workload, Workloads};

impl Workloads {
    /// A workload as it is.
    pub(crate) async fn status(&self, name: &WorkloadName) -> Result<WorkloadStatus, Error> {
        let found = self.hosts.containers(name).await?;
        let container = found.into_iter().find(|(_, container)| container.name == name.as_str());
        let (_, container) = container.ok_or_else(|| Error::UnknownWorkload { name: name.clone() })?;
        self.describe(&container).await.ok_or_else(|| Error::UnknownWorkload { name: name.clone() })
    }

    /// Every workload on every host.
    pub(crate) async fn list(&self) -> Result<Vec<WorkloadStatus>, Error> {
        let mut all = Vec::new();
        for (_, container) in self.hosts.every_container().await? {
            all.extend(self.describe(&container).await);
        }
        all.sort_by(|one: &WorkloadStatus, other| one.name.cmp(&other.name));
        Ok(all)
    }

    async fn describe(&self, container: &Container) -> Option<WorkloadStatus> {
        let name = WorkloadName::parse(&container.name).ok()?;
        let spec: WorkloadSpec = serde_json::from_str(container.labels.get(SPEC_LABEL)?).ok()?;
        let workload = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        let mut reason = None;
        let mut protocol = None;
        if let Some(workload) = workload {
            protocol = Self::protocol(&workload);
            // Who holds the turn is working on it; what they will find is not known yet.
            let turn = tokio::time::timeout(Duration::from_millis(50), workload.turn.lock()).await.ok();
            if let Some(turn) = turn {
                reason = turn.back_off.reason().map(str::to_owned);
                let asleep = turn.asleep.as_ref().map(|awake| awake.server.greeting().protocol().to_owned());
                protocol = protocol.or(asleep);
            }
        }
        let state = match container.state {
            ContainerState::Running => WorkloadState::Running,
            ContainerState::Paused => WorkloadState::Paused,
            ContainerState::Created | ContainerState::Exited | ContainerState::Dead if reason.is_some() => {
                WorkloadState::Failed
            }
            ContainerState::Created => WorkloadState::Created,
            ContainerState::Exited | ContainerState::Dead => WorkloadState::Stopped,
        };
        Some(status(&name, &spec, state, protocol, reason))
    }

    pub(crate) fn protocol(workload: &Workload) -> Option<String> {
        workload.awake().map(|awake| awake.server.greeting().protocol().to_owned())
    }

    /// What the server wrote that was no message.
    pub(crate) async fn logs(&self, name: &WorkloadName) -> Result<String, Error> {
        let known = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .map(|known| Arc::clone(&known.logs));
        match known {
            Some(logs) => Ok(logs.text()),
            // One of an earlier life of ours: there, but silent so far.
            None => self.status(name).await.map(|_| String::new()),
        }
    }
}

pub(crate) fn status(
    name: &WorkloadName,
    spec: &WorkloadSpec,
    state: WorkloadState,
    protocol: Option<String>,
    reason: Option<String>,
) -> WorkloadStatus {
    WorkloadStatus {
        name: name.clone(),
        state,
        digest: spec.digest.clone(),
        spec_hash: hardening::spec_hash(spec),
        protocol,
        reason,
    }
}
