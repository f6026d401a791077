//! Who is not used is paused, and stopped later.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::error::Error;
use crate::hardening;
use crate::host::{ContainerState, SPEC_LABEL};
use crate::hosts::Slot;
use crate::workloads::{Place, Turn, Workload, Workloads};

impl Workloads {
    /// Takes note of what an earlier life of ours left running, so that it is put to sleep like any other.
    pub(crate) async fn take_note(&self) -> Result<(), Error> {
        for (host, container) in self.hosts.every_container().await? {
            let Ok(name) = container.name.parse() else { continue };
            let workload = self.entry(&name);
            let Ok(mut turn) = workload.turn.try_lock() else { continue };
            let spec = container.labels.get(SPEC_LABEL).and_then(|json| serde_json::from_str(json).ok());
            if turn.spec.is_none()
                && let Some(spec) = spec
            {
                turn.place = Some(Place { host, id: container.id, hash: hardening::spec_hash(&spec) });
                turn.spec = Some(spec);
            }
        }
        Ok(())
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
        let Some(place) = turn.place.clone() else { return Ok(()) };
        let Some(slot) = self.hosts.all().get(place.host) else { return Ok(()) };
        if idle < self.settings.pause_after || turn.stopped {
            return Ok(());
        }
        let Some(awake) = workload.take_awake() else {
            return if idle >= self.settings.stop_after {
                self.stop(slot, workload, turn, &place).await
            } else {
                Ok(())
            };
        };
        // From here on a new call waits for its turn; one that slipped in before counts as busy.
        if workload.idle() < self.settings.pause_after || awake.server.ended().is_some() {
            workload.set_awake(awake);
            return Ok(());
        }
        if let Err(error) = slot.host().pause(&place.id).await {
            workload.set_awake(awake);
            return Err(error.into());
        }
        turn.asleep = Some(awake);
        Ok(())
    }

    async fn stop(
        &self,
        slot: &Slot,
        workload: &Workload,
        turn: &mut Turn,
        place: &Place,
    ) -> Result<(), Error> {
        if let Some(asleep) = turn.asleep.take() {
            asleep.server.close();
        }
        if turn.spec.as_ref().is_some_and(|spec| spec.subject.is_some()) {
            // One per account: they would pile up, and what they had of a credential with them.
            slot.remove(&place.id).await?;
            workload.logs.note("removed, since nobody used it");
            *turn = Turn::default();
            return Ok(());
        }
        let found = slot.host().containers(Some(workload.name.as_str())).await?;
        let state = found.iter().find(|container| container.id == place.id).map(|container| container.state);
        if state == Some(ContainerState::Paused) {
            // A frozen process cannot hear that it should end.
            slot.host().unpause(&place.id).await?;
        }
        if matches!(state, Some(ContainerState::Paused | ContainerState::Running)) {
            slot.host().stop(&place.id, 2).await?;
            workload.logs.note("stopped, since nobody used it");
        }
        turn.stopped = true;
        Ok(())
    }
}
