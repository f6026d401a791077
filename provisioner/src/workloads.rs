//! Workloads: made so, woken, put to sleep, removed. One at a time per workload; the truth is on the hosts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use bytes::Bytes;
use schemas::names::WorkloadName;
use schemas::provisioner::{WorkloadSpec, WorkloadState, WorkloadStatus};
use tokio::time::Instant;

use crate::backoff::BackOff;
use crate::bridge::Server;
use crate::bridge::exchange::Busy;
use crate::bridge::link::End;
use crate::bridge::logs::Logs;
use crate::error::Error;
use crate::hardening;
use crate::host::{Container, ContainerId, ContainerState, HostError, SPEC_LABEL};
use crate::hosts::Hosts;
use crate::plan::{Observed, Step, plan};
use crate::settings::Settings;
use crate::start::Eras;

/// Everything this provisioner runs.
#[derive(Debug)]
pub(crate) struct Workloads {
    pub(crate) hosts: Hosts,
    pub(crate) settings: Settings,
    pub(crate) eras: Eras,
    known: Mutex<HashMap<WorkloadName, Arc<Workload>>>,
}

/// One workload: what we know of it, and whose turn it is to change it.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: WorkloadName,
    pub(crate) logs: Arc<Logs>,
    /// Calls under way.
    busy: Arc<AtomicUsize>,
    used: Mutex<Instant>,
    /// The server while it is up: all that a call needs.
    awake: RwLock<Option<Awake>>,
    turn: tokio::sync::Mutex<Turn>,
}

#[derive(Debug, Clone)]
struct Awake {
    server: Arc<Server>,
    limit: Duration,
}

/// What only the holder of the turn may look at.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    spec: Option<WorkloadSpec>,
    /// The host and container it runs in.
    place: Option<(usize, ContainerId)>,
    /// The server of a paused container.
    asleep: Option<Arc<Server>>,
    back_off: BackOff,
}

impl Workload {
    fn new(name: WorkloadName) -> Self {
        Self {
            name,
            logs: Arc::default(),
            busy: Arc::default(),
            used: Mutex::new(Instant::now()),
            awake: RwLock::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    fn awake(&self) -> Option<Awake> {
        let awake = self.awake.read().unwrap_or_else(PoisonError::into_inner).clone();
        awake.filter(|awake| awake.server.ended().is_none())
    }

    fn take_awake(&self) -> Option<Awake> {
        self.awake.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set_awake(&self, awake: Awake) {
        *self.awake.write().unwrap_or_else(PoisonError::into_inner) = Some(awake);
    }

    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn idle(&self) -> Duration {
        if self.busy.load(Ordering::SeqCst) > 0 {
            return Duration::ZERO;
        }
        self.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

impl Workloads {
    pub(crate) fn new(hosts: Hosts, settings: Settings) -> Self {
        Self { hosts, settings, eras: Eras::default(), known: Mutex::default() }
    }

    fn entry(&self, name: &WorkloadName) -> Arc<Workload> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(name.clone()).or_insert_with(|| Arc::new(Workload::new(name.clone()))))
    }

    fn entries(&self) -> Vec<Arc<Workload>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Makes it so, and waits until it is ready.
    pub(crate) async fn put(&self, name: &WorkloadName, spec: WorkloadSpec) -> Result<WorkloadStatus, Error> {
        let derived = WorkloadName::of(&spec.org, &spec.toolbox, &spec.server);
        if derived.as_ref() != Ok(name) {
            let reason = format!(
                "`{name}` is not the name of this spec, which is `{}.{}.{}`",
                spec.org, spec.toolbox, spec.server
            );
            return Err(Error::Malformed { reason });
        }
        let workload = self.entry(name);
        let mut turn = workload.turn.lock().await;
        if turn.spec.as_ref() != Some(&spec) {
            // Another spec deserves another chance.
            turn.back_off = BackOff::default();
            turn.spec = Some(spec);
        }
        workload.touch();
        self.converge(&workload, &mut turn).await?;
        let (spec, protocol) = (turn.spec.clone(), Self::protocol(&workload));
        drop(turn);
        let spec = spec.ok_or_else(|| Error::UnknownWorkload { name: name.clone() })?;
        Ok(status(name, &spec, WorkloadState::Running, protocol, None))
    }

    /// Answers one MCP message, waking the workload if it sleeps.
    pub(crate) async fn call(
        self: &Arc<Self>,
        name: &WorkloadName,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Body>, Error> {
        let workload = self.entry(name);
        // Counted before the server is looked up: whoever wants to pause it looks in the other order.
        let busy = Busy::new(&workload.busy);
        workload.touch();
        let awake = if let Some(awake) = workload.awake() {
            awake
        } else {
            // Finished even if the gateway hangs up: half a start helps nobody.
            let (this, workload) = (Arc::clone(self), Arc::clone(&workload));
            let woken = tokio::spawn(async move { this.wake(&workload).await }).await;
            woken.map_err(|error| Error::ServerFailed {
                reason: format!("waking it ended early: {error}"),
            })??
        };
        let answer = awake.server.answer(body, headers, awake.limit, busy).await;
        workload.touch();
        if matches!((&answer, &*awake.server), (Err(Error::ServerFailed { .. }), Server::Http(_))) {
            // Nothing tells us when an HTTP server ends: look again before the next call.
            drop(workload.take_awake());
        }
        answer
    }

    async fn wake(&self, workload: &Workload) -> Result<Awake, Error> {
        let mut turn = workload.turn.lock().await;
        if turn.spec.is_none() {
            // We may have been restarted: what a container was made from is on its label.
            let found = self.hosts.containers(&workload.name).await?;
            let spec = found
                .iter()
                .find_map(|(_, container)| serde_json::from_str(container.labels.get(SPEC_LABEL)?).ok());
            turn.spec = Some(spec.ok_or_else(|| Error::UnknownWorkload { name: workload.name.clone() })?);
        }
        self.converge(workload, &mut turn).await?;
        workload
            .awake()
            .ok_or_else(|| Error::ServerFailed { reason: "it ended as soon as it was up".to_owned() })
    }

    /// Walks from what is to what should be. Any step may have been the last before a crash: the next walk heals it.
    async fn converge(&self, workload: &Workload, turn: &mut Turn) -> Result<(), Error> {
        let Some(spec) = turn.spec.clone() else { return Ok(()) };
        if let Some(awake) = workload.take_awake() {
            match awake.server.ended() {
                None if !self.is_stale(turn, &spec) => {
                    workload.set_awake(awake);
                    return Ok(());
                }
                Some(End::Failed(why)) => turn.back_off.failed(&why, &self.settings),
                None | Some(End::Closed) => awake.server.close(),
            }
        }
        let wait = turn.back_off.remaining();
        if wait > self.settings.patience {
            return Err(Error::BackingOff {
                retry_after: wait,
                reason: turn.back_off.last_reason().to_owned(),
            });
        }
        tokio::time::sleep(wait).await;
        for last in [false, false, true] {
            match self.attempt(workload, turn, &spec).await {
                // Someone else changed the world under us: look again.
                Err(Error::Host(HostError::Conflict { .. } | HostError::Missing { .. })) if !last => {}
                Err(error) => {
                    if let Error::ServerFailed { reason } | Error::Host(HostError::Refused { reason }) =
                        &error
                    {
                        turn.back_off.failed(reason, &self.settings);
                        workload.logs.note(&format!("start failed: {reason}"));
                    }
                    return Err(error);
                }
                Ok(server) => {
                    turn.back_off.started();
                    let limit = Duration::from_millis(u64::from(spec.limits.call_timeout_ms));
                    workload.set_awake(Awake { server, limit });
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whether what runs was made from another spec.
    fn is_stale(&self, turn: &Turn, spec: &WorkloadSpec) -> bool {
        turn.place.is_none() || self.hosts.made_from(&turn.place) != Some(hardening::spec_hash(spec))
    }

    async fn attempt(
        &self,
        workload: &Workload,
        turn: &mut Turn,
        spec: &WorkloadSpec,
    ) -> Result<Arc<Server>, Error> {
        let observed = self.hosts.containers(&workload.name).await?;
        let home = self.hosts.home(&workload.name, &observed);
        let mut made: Option<ContainerId> = None;
        let mut server = None;
        for (index, slot) in self.hosts.all().iter().enumerate() {
            let here: Vec<Container> =
                observed.iter().filter(|(at, _)| *at == index).map(|(_, c)| c.clone()).collect();
            let kept = here.iter().find(|c| c.name == workload.name.as_str()).map(|c| c.id.clone());
            let desired = (index == home).then_some(spec);
            let seen = Observed { name: workload.name.clone(), containers: here };
            for step in plan(desired, &seen) {
                tracing::debug!(workload = %workload.name, host = slot.address(), ?step, "step");
                match step {
                    Step::Remove(id) => slot.remove(&id).await?,
                    Step::EnsureNetwork => {
                        if let Some(network) = hardening::network(spec) {
                            slot.host().ensure_network(&network).await?;
                        }
                    }
                    Step::Create => {
                        let image = slot.image(spec).await?;
                        let body = hardening::container(&workload.name, spec, &image);
                        made = Some(slot.host().create(workload.name.as_str(), &body).await?);
                    }
                    Step::Start(given) => {
                        let id = given.or_else(|| made.clone()).ok_or_else(|| lost(&workload.name))?;
                        made = Some(id.clone());
                        turn.asleep = None;
                        server = Some(self.start(slot, workload, spec, &id).await?);
                    }
                    Step::Unpause(id) => slot.host().unpause(&id).await?,
                }
            }
            if index == home {
                let id = made.clone().or(kept).ok_or_else(|| lost(&workload.name))?;
                let asleep = turn.asleep.take().filter(|_| turn.place.as_ref() == Some(&(index, id.clone())));
                turn.place = Some((index, id.clone()));
                self.hosts.remember(&turn.place, hardening::spec_hash(spec));
                if server.is_none() {
                    // It runs already: either we paused it, or another life of ours started it.
                    server = Some(match asleep.filter(|server| server.ended().is_none()) {
                        Some(server) => server,
                        None => self.adopt(slot, workload, spec, &id).await?,
                    });
                }
            }
        }
        server.ok_or_else(|| Error::Host(lost(&workload.name)))
    }

    /// Removes a workload; no error if there is none.
    pub(crate) async fn delete(&self, name: &WorkloadName) -> Result<(), Error> {
        let workload = self.entry(name);
        let mut turn = workload.turn.lock().await;
        if let Some(awake) = workload.take_awake() {
            awake.server.close();
        }
        let spec = turn.spec.take();
        *turn = Turn::default();
        for (index, container) in self.hosts.containers(name).await? {
            let Some(slot) = self.hosts.all().get(index) else { continue };
            slot.remove(&container.id).await?;
            let label = container
                .labels
                .get(SPEC_LABEL)
                .and_then(|json| serde_json::from_str::<WorkloadSpec>(json).ok());
            if let Some(network) = label.as_ref().or(spec.as_ref()).and_then(hardening::network) {
                slot.host().remove_network(&network.name).await?;
            }
        }
        drop(turn);
        Ok(())
    }

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
            reason = turn.and_then(|turn| turn.back_off.reason().map(str::to_owned));
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

    fn protocol(workload: &Workload) -> Option<String> {
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

    /// Pauses and stops whoever was idle for long enough, once.
    pub(crate) async fn put_to_sleep(&self) {
        for workload in self.entries() {
            let idle = workload.idle();
            let Ok(mut turn) = workload.turn.try_lock() else { continue };
            if let Err(error) = self.tuck_in(&workload, &mut turn, idle).await {
                tracing::warn!(workload = %workload.name, %error, "could not put to sleep");
            }
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, workload| {
            let unknown = workload.turn.try_lock().is_ok_and(|turn| turn.spec.is_none());
            !(unknown && Arc::strong_count(workload) == 1 && workload.idle() > self.settings.stop_after)
        });
    }

    async fn tuck_in(&self, workload: &Workload, turn: &mut Turn, idle: Duration) -> Result<(), Error> {
        let Some((index, id)) = turn.place.clone() else { return Ok(()) };
        let Some(slot) = self.hosts.all().get(index) else { return Ok(()) };
        if idle >= self.settings.stop_after && turn.asleep.is_some() {
            if let Some(server) = turn.asleep.take() {
                server.close();
            }
            // A frozen process cannot hear that it should end.
            slot.host().unpause(&id).await?;
            slot.host().stop(&id, 2).await?;
            workload.logs.note("stopped, since nobody used it");
        } else if idle >= self.settings.pause_after
            && let Some(awake) = workload.take_awake()
        {
            // From here on a new call waits for its turn; one that slipped in before counts as busy.
            if workload.idle() < self.settings.pause_after || awake.server.ended().is_some() {
                workload.set_awake(awake);
                return Ok(());
            }
            if let Err(error) = slot.host().pause(&id).await {
                workload.set_awake(awake);
                return Err(error.into());
            }
            turn.asleep = Some(awake.server);
        }
        Ok(())
    }
}

fn lost(name: &WorkloadName) -> HostError {
    HostError::Missing { what: format!("container of workload `{name}`") }
}

fn status(
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
