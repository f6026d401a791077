//! Workloads: made so, woken, put to sleep, removed. One at a time per workload; the truth is on the hosts.

use std::collections::{BTreeSet, HashMap};
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
use crate::bridge::exchange::Busy;
use crate::bridge::logs::Logs;
use crate::bridge::{Call, Server};
use crate::converge::Look;
use crate::credential::{self, Fit, Given, Held};
use crate::error::Error;
use crate::hardening;
use crate::host::{ContainerId, SPEC_LABEL, WORKLOAD_LABEL};
use crate::hosts::Hosts;
use crate::reach::Wiring;
use crate::settings::Settings;
use crate::start::Eras;
use crate::told;

/// Everything this provisioner runs.
#[derive(Debug)]
pub(crate) struct Workloads {
    pub(crate) hosts: Hosts,
    pub(crate) settings: Settings,
    pub(crate) eras: Eras,
    pub(crate) known: Mutex<HashMap<WorkloadName, Arc<Workload>>>,
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
    pub(crate) turn: tokio::sync::Mutex<Turn>,
}

/// A server that is up, how long one call to it may take, and whose credential it has, if it got one when it started.
#[derive(Debug, Clone)]
pub(crate) struct Awake {
    pub(crate) server: Arc<Server>,
    pub(crate) limit: Duration,
    pub(crate) held: Option<Held>,
    /// Calls under way on it.
    pub(crate) calls: Arc<AtomicUsize>,
}

impl Awake {
    /// Whether a call may go to it.
    ///
    /// # Errors
    /// The call is on another account.
    fn serves(&self, given: Option<&Given>) -> Result<bool, Error> {
        let subject = self.held.as_ref().map(|held| &held.subject);
        if subject == given.filter(|given| !given.at_start().is_empty()).map(Given::subject) {
            return Ok(!self.held.as_ref().zip(given).is_some_and(|(held, given)| held.is_stale(given)));
        }
        let reason = "the workload serves another account, or all";
        Err(Error::WrongCredential { reason: reason.to_owned() })
    }
}

/// Where a workload runs, and what it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) host: usize,
    pub(crate) id: ContainerId,
    pub(crate) hash: String,
}

/// What only the holder of the turn may look at.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub(crate) spec: Option<WorkloadSpec>,
    pub(crate) place: Option<Place>,
    /// The server of a paused container.
    pub(crate) asleep: Option<Awake>,
    /// Whether it is known to be stopped.
    pub(crate) stopped: bool,
    pub(crate) back_off: BackOff,
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

    pub(crate) fn awake(&self) -> Option<Awake> {
        let awake = self.awake.read().unwrap_or_else(PoisonError::into_inner).clone();
        awake.filter(|awake| awake.server.ended().is_none())
    }

    /// The server, if it is up and need not be given anything first, with the call counted as one of its own.
    fn serving(&self, given: Option<&Given>, busy: &mut Busy) -> Result<Option<Awake>, Error> {
        // Counted under the lock: whoever takes the server away counts after that.
        let awake = self.awake.read().unwrap_or_else(PoisonError::into_inner);
        let Some(awake) = awake.as_ref().filter(|awake| awake.server.ended().is_none()) else {
            return Ok(None);
        };
        if !awake.serves(given)? {
            return Ok(None);
        }
        busy.also(&awake.calls);
        Ok(Some(awake.clone()))
    }

    pub(crate) fn take_awake(&self) -> Option<Awake> {
        self.awake.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn set_awake(&self, awake: Awake) {
        *self.awake.write().unwrap_or_else(PoisonError::into_inner) = Some(awake);
    }

    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub(crate) fn idle(&self) -> Duration {
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

    pub(crate) fn entry(&self, name: &WorkloadName) -> Arc<Workload> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(name.clone()).or_insert_with(|| Arc::new(Workload::new(name.clone()))))
    }

    pub(crate) fn entries(&self) -> Vec<Arc<Workload>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Makes it so, and waits until it is ready.
    pub(crate) async fn put(&self, name: &WorkloadName, spec: WorkloadSpec) -> Result<WorkloadStatus, Error> {
        let derived = WorkloadName::of(&spec.org, &spec.toolbox, &spec.server);
        let derived = derived.and_then(|name| match &spec.subject {
            Some(subject) => name.for_subject(&subject.connection),
            None => Ok(name),
        });
        let derived = derived.map_err(|error| Error::Malformed { reason: error.to_string() })?;
        if derived != *name {
            let reason = format!("`{name}` is not the name of this spec, which is `{derived}`");
            return Err(Error::Malformed { reason });
        }
        hardening::check(&spec).map_err(|reason| Error::Malformed { reason })?;
        let workload = self.entry(name);
        let mut turn = workload.turn.lock().await;
        if spec.subject.is_some() {
            return self.expect(&workload, &mut turn, spec).await;
        }
        if turn.spec.as_ref() != Some(&spec) {
            // Another spec deserves another chance.
            turn.back_off = BackOff::default();
            turn.spec = Some(spec);
        }
        workload.touch();
        match self.converge(&workload, &mut turn, Look::Again, None).await {
            // It is up, and greets only who brings a credential: a call will.
            Ok(()) | Err(Error::WrongCredential { .. }) => {}
            Err(error) => return Err(error),
        }
        let (spec, protocol) = (turn.spec.clone(), Self::protocol(&workload));
        drop(turn);
        let spec = spec.ok_or_else(|| Error::UnknownWorkload { name: name.clone() })?;
        Ok(told::status(name, &spec, WorkloadState::Running, protocol, None))
    }

    /// Takes note of how the process of one account should be. It is started by a call, which brings the credential.
    async fn expect(
        &self,
        workload: &Workload,
        turn: &mut Turn,
        spec: WorkloadSpec,
    ) -> Result<WorkloadStatus, Error> {
        let home = self.hosts.home(&workload.name, &[]);
        if let Some(slot) = self.hosts.all().get(home) {
            slot.image(&spec).await?;
        }
        if turn.spec.as_ref() != Some(&spec) {
            turn.back_off = BackOff::default();
            if let Some(awake) = workload.take_awake() {
                awake.server.close();
            }
            turn.spec = Some(spec.clone());
        }
        workload.touch();
        let protocol = Self::protocol(workload);
        let state = if protocol.is_some() { WorkloadState::Running } else { WorkloadState::Created };
        Ok(told::status(&workload.name, &spec, state, protocol, None))
    }

    /// Answers one MCP message, on the account of the credential that came along, waking the workload if it sleeps.
    pub(crate) async fn call(
        self: &Arc<Self>,
        name: &WorkloadName,
        headers: &HeaderMap,
        body: Bytes,
        given: Option<Arc<Given>>,
    ) -> Result<Response<Body>, Error> {
        let workload = self.entry(name);
        // Counted before the server is looked up: whoever wants to pause it looks in the other order.
        let mut busy = Busy::new(&workload.busy);
        workload.touch();
        if let Some(given) = &given {
            workload.logs.conceal(given.secrets());
        }
        let awake = if let Some(awake) = workload.serving(given.as_deref(), &mut busy)? {
            awake
        } else {
            // Finished even if the gateway hangs up: half a start helps nobody.
            let (this, workload) = (Arc::clone(self), Arc::clone(&workload));
            let given = given.clone();
            let woken = tokio::spawn(async move { this.wake(&workload, given.as_deref(), busy).await }).await;
            let (awake, counted) = woken.map_err(|error| Error::ServerFailed {
                reason: format!("waking it ended early: {error}"),
            })??;
            busy = counted;
            awake
        };
        let call = Call { headers, limit: awake.limit, busy, given: given.as_deref() };
        let answer = awake.server.answer(body, call).await;
        workload.touch();
        if matches!((&answer, &*awake.server), (Err(Error::ServerFailed { .. }), Server::Http(_))) {
            // Nothing tells us when an HTTP server ends: look again before the next call.
            drop(workload.take_awake());
        }
        answer
    }

    async fn wake(
        &self,
        workload: &Workload,
        given: Option<&Given>,
        mut busy: Busy,
    ) -> Result<(Awake, Busy), Error> {
        let mut turn = workload.turn.lock().await;
        if turn.spec.is_none() {
            // We may have been restarted: what a container was made from is on its label.
            let found = self.hosts.containers(&workload.name).await?;
            let spec = found
                .iter()
                .find_map(|(_, container)| serde_json::from_str(container.labels.get(SPEC_LABEL)?).ok());
            turn.spec = Some(spec.ok_or_else(|| Error::UnknownWorkload { name: workload.name.clone() })?);
        }
        let subject = turn.spec.as_ref().and_then(|spec| spec.subject.as_ref());
        if credential::check(subject, given)? == Fit::OtherSpec {
            // The gateway sends the one it has now.
            return Err(Error::UnknownWorkload { name: workload.name.clone() });
        }
        let converged = self.converge(workload, &mut turn, Look::IfNeeded, given).await;
        converged.map_err(|error| match given {
            Some(given) => error.strike(given.secrets()),
            None => error,
        })?;
        let awake = workload.serving(given, &mut busy)?;
        awake
            .map(|awake| (awake, busy))
            .ok_or_else(|| Error::ServerFailed { reason: "it ended as soon as it was up".to_owned() })
    }

    /// Removes a workload, and those of its subjects; of an account, also its session with a server that all share. No error if
    /// there is none.
    pub(crate) async fn delete(&self, name: &WorkloadName) -> Result<(), Error> {
        let mut names: BTreeSet<WorkloadName> =
            self.entries().iter().map(|known| known.name.clone()).collect();
        let found = self.hosts.every_container().await?;
        names.extend(found.iter().filter_map(|(_, found)| found.labels.get(WORKLOAD_LABEL)?.parse().ok()));
        names.retain(|other| name.covers(other));
        for base in self.entries().iter().filter(|base| base.name != *name && base.name.covers(name)) {
            // Of an account that a server has requests of, and no process for.
            if let Some(Awake { server, .. }) = base.awake()
                && let Server::Http(server) = &*server
            {
                server.forget(|account| base.name.for_subject(account).as_ref() == Ok(name));
            }
        }
        for name in names {
            self.delete_one(&name).await?;
        }
        Ok(())
    }

    async fn delete_one(&self, name: &WorkloadName) -> Result<(), Error> {
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
            for wiring in [Wiring::Bridge, Wiring::Alone] {
                let of = label.as_ref().or(spec.as_ref());
                if let Some(network) = of.and_then(|spec| hardening::network(spec, wiring)) {
                    slot.host().remove_network(&network.name).await?;
                }
            }
        }
        drop(turn);
        Ok(())
    }
}
