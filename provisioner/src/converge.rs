//! From what is to what should be. Any step may have been the last before a crash: the next walk heals it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use schemas::names::WorkloadName;
use schemas::provisioner::WorkloadSpec;
use tokio::time::Instant;

use crate::bridge::Server;
use crate::bridge::link::End;
use crate::credential::Given;
use crate::error::Error;
use crate::hardening;
use crate::host::{Container, ContainerId, HostError};
use crate::plan::{Desired, Observed, Step, plan};
use crate::workloads::{Awake, Place, Turn, Workload, Workloads};

/// Whether a server that is up is proof enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// It is: a call wants an answer.
    IfNeeded,
    /// It is not: what lies around beside it is to be found and removed.
    Again,
}

impl Workloads {
    /// Makes the workload run as its spec says, in its turn.
    pub(crate) async fn converge(
        &self,
        workload: &Workload,
        turn: &mut Turn,
        look: Look,
        given: Option<&Given>,
    ) -> Result<(), Error> {
        let Some(spec) = turn.spec.clone() else { return Ok(()) };
        let hash = hardening::spec_hash(&spec);
        let limit = Duration::from_millis(u64::from(spec.limits.call_timeout_ms));
        if let Some(awake) = workload.take_awake() {
            let stale = turn.place.as_ref().is_none_or(|place| place.hash != hash);
            let outdated = awake.held.as_ref().zip(given).is_some_and(|(held, given)| held.is_stale(given));
            match awake.server.ended() {
                None if !stale && !outdated && look == Look::IfNeeded => {
                    workload.set_awake(awake);
                    return Ok(());
                }
                None if !stale && outdated => {
                    self.drain(&awake).await;
                    awake.server.close();
                }
                // Set aside: the walk finds it again, unless something is wrong.
                None if !stale => turn.asleep = Some(awake),
                Some(End::Failed(why)) => turn.back_off.failed(&why, &self.settings),
                None | Some(End::Closed) => awake.server.close(),
            }
        }
        let held = spec.subject.as_ref().and(given).map(Given::held);
        let awake = |server| Awake { server, limit, held: held.clone(), calls: Arc::default() };
        let wait = turn.back_off.remaining();
        if wait > self.settings.patience {
            let reason = turn.back_off.last_reason().to_owned();
            return Err(Error::BackingOff { retry_after: wait, reason });
        }
        tokio::time::sleep(wait).await;
        turn.stopped = false;
        for last in [false, false, true] {
            let standing = turn.asleep.clone();
            match self.walk(workload, turn, &spec, &hash, given, &awake).await {
                // Someone else changed the world under us: look again.
                Err(Error::Host(HostError::Conflict { .. } | HostError::Missing { .. })) if !last => {}
                Err(error) => {
                    let error = given.map_or(error.clone(), |given| error.strike(given.secrets()));
                    if let Error::ServerFailed { reason } | Error::Host(HostError::Refused { reason }) =
                        &error
                    {
                        turn.back_off.failed(reason, &self.settings);
                        workload.logs.note(&format!("start failed: {reason}"));
                    } else if look == Look::Again
                        && let Some(standing) = standing.filter(|awake| awake.server.ended().is_none())
                    {
                        // Docker does not answer; the server may: its streams are open.
                        turn.asleep = None;
                        workload.set_awake(standing);
                    }
                    return Err(error);
                }
                Ok(awake) => {
                    turn.back_off.started();
                    workload.set_awake(awake);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Lets calls under way on a server come to their end, for a while. No new ones come: it was taken away.
    async fn drain(&self, awake: &Awake) {
        let deadline = Instant::now() + self.settings.drain;
        while awake.calls.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn walk(
        &self,
        workload: &Workload,
        turn: &mut Turn,
        spec: &WorkloadSpec,
        hash: &str,
        given: Option<&Given>,
        awake: &(dyn Fn(Arc<Server>) -> Awake + Sync),
    ) -> Result<Awake, Error> {
        let observed = self.hosts.containers(&workload.name).await?;
        let home = self.hosts.home(&workload.name, &observed);
        let mut made: Option<ContainerId> = None;
        let mut up = None;
        for (index, slot) in self.hosts.all().iter().enumerate() {
            let here: Vec<Container> = observed
                .iter()
                .filter(|(at, _)| *at == index)
                .map(|(_, container)| container.clone())
                .collect();
            let kept = here.iter().find(|c| c.name == workload.name.as_str()).map(|c| c.id.clone());
            let network = if index == home { slot.network(spec, &here).await? } else { None };
            let desired = (index == home).then(|| Desired {
                made_from: hardening::made_from(spec, network.as_ref()),
                networked: network.is_some(),
            });
            let seen = Observed { name: workload.name.clone(), containers: here };
            for step in plan(desired.as_ref(), &seen) {
                tracing::debug!(workload = %workload.name, host = slot.address(), ?step, "step");
                match step {
                    Step::Remove(id) => slot.remove(&id).await?,
                    Step::EnsureNetwork => {
                        if let Some(network) = &network {
                            slot.host().ensure_network(network).await?;
                        }
                    }
                    Step::Create => {
                        let image = slot.image(spec).await?;
                        if spec.subject.is_some() {
                            slot.host().ensure_entry().await?;
                        }
                        let body = hardening::container(&workload.name, spec, &image, network.as_ref());
                        made = Some(slot.host().create(workload.name.as_str(), &body).await?);
                    }
                    Step::Start(one) => {
                        let id = one.or_else(|| made.clone()).ok_or_else(|| lost(&workload.name))?;
                        made = Some(id.clone());
                        turn.asleep = None;
                        up = Some(awake(self.start(slot, workload, spec, &id, given).await?));
                    }
                    Step::Unpause(id) => slot.host().unpause(&id).await?,
                }
            }
            if index == home {
                let id = made.clone().or(kept).ok_or_else(|| lost(&workload.name))?;
                let place = Place { host: index, id: id.clone(), hash: hash.to_owned() };
                let known = turn.asleep.take().filter(|_| turn.place.as_ref() == Some(&place));
                turn.place = Some(place);
                if up.is_none() {
                    // It runs already: either we know it, or another life of ours started it.
                    let known = known.filter(|awake| awake.server.ended().is_none());
                    let outdated = |known: &Awake| {
                        known.held.as_ref().zip(given).is_some_and(|(held, given)| held.is_stale(given))
                    };
                    up = Some(match known {
                        Some(known) if !outdated(&known) => known,
                        _ => awake(self.adopt(slot, workload, spec, &id, given).await?),
                    });
                }
            }
        }
        up.ok_or_else(|| Error::Host(lost(&workload.name)))
    }
}

fn lost(name: &WorkloadName) -> HostError {
    HostError::Missing { what: format!("container of workload `{name}`") }
}
