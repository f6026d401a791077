//! Runs MCP servers as hardened containers and serves each as stateless MCP 2026-07-28.
//!
//! Reading order: `api` (routes, signatures) → `workloads` (made so, woken, put to sleep) → [`plan`] (pure) →
//! `converge` and `start` → `bridge` (one server, many calls; [`reach`] is the way in). `credential` is what a call is made on: it
//! comes sealed ([`transit`]), goes into headers, `_meta` or, through [`entry`], into a process, and does not come back (`secrets`). [`host`] is the port to Docker, [`docker`] the real one,
//! [`simulated`] its twin; [`hardening`] makes the container; [`images`] builds images without a registry.

mod api;
mod backoff;
mod bridge;
mod converge;
mod credential;
pub mod docker;
pub mod entry;
pub mod error;
pub mod hardening;
pub mod host;
mod hosts;
pub mod images;
pub mod plan;
pub mod reach;
mod secrets;
mod settings;
pub mod signature;
pub mod simulated;
mod sleep;
mod start;
mod told;
pub mod transit;
mod workloads;

use std::sync::Arc;
use std::time::Duration;

pub use settings::Settings;
pub use signature::SharedKey;

use crate::docker::Engine;
use crate::host::{DockerHost, HostError};
use crate::hosts::Hosts;
use crate::signature::Verifier;
use crate::workloads::Workloads;

/// A provisioner, ready to be served.
#[derive(Debug, Clone)]
pub struct Provisioner {
    workloads: Arc<Workloads>,
    verifier: Arc<Verifier>,
    keys: Arc<transit::Keys>,
}

impl Provisioner {
    /// A provisioner of Docker hosts by their addresses, such as `unix:///var/run/docker.sock`. Nothing is sent yet.
    ///
    /// # Errors
    /// When an address has no form we know.
    pub fn connect(addresses: &[String], key: SharedKey, settings: Settings) -> Result<Self, HostError> {
        let mut hosts: Vec<Arc<dyn DockerHost>> = Vec::new();
        for address in addresses {
            hosts.push(Arc::new(Engine::connect(address)?));
        }
        Ok(Self::with_hosts(hosts, key, settings))
    }

    /// A provisioner of any kind of host.
    pub fn with_hosts(hosts: Vec<Arc<dyn DockerHost>>, key: SharedKey, settings: Settings) -> Self {
        Self {
            workloads: Arc::new(Workloads::new(Hosts::new(hosts), settings)),
            verifier: Arc::new(Verifier::new(key)),
            keys: Arc::default(),
        }
    }

    /// A provisioner of one host.
    pub fn with_host(host: impl DockerHost, key: SharedKey, settings: Settings) -> Self {
        Self::with_hosts(vec![Arc::new(host)], key, settings)
    }

    /// Its API. Needs a multi-threaded tokio runtime around it.
    pub fn router(&self) -> axum::Router {
        api::router(Arc::clone(&self.workloads), Arc::clone(&self.verifier), Arc::clone(&self.keys))
    }

    /// Puts idle workloads to sleep for as long as it is polled.
    pub fn background(&self) -> impl Future<Output = ()> + Send + 'static {
        let workloads = Arc::clone(&self.workloads);
        async move {
            let every = (workloads.settings.pause_after / 4)
                .clamp(Duration::from_millis(100), Duration::from_secs(15));
            if let Err(error) = workloads.take_note().await {
                tracing::warn!(%error, "what runs already is unknown");
            }
            loop {
                tokio::time::sleep(every).await;
                workloads.put_to_sleep().await;
            }
        }
    }
}
