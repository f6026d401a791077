//! The provisioner of the demo: a real one, on its own threads, reached over loopback by signed requests.

use gateway::secret::Secret;
use provisioner::docker::Engine;
use provisioner::images::{self, BuiltImage};
use provisioner::{Provisioner, SharedKey};
use tokio::runtime::Runtime;

use crate::operate::Failure;

pub(super) struct Running {
    /// Where it is; `None` where there is no Docker for it.
    pub(super) url: Option<String>,
    docker: String,
    runtime: Runtime,
}

/// Starts it.
pub(super) fn start(docker: &str, key: &Secret) -> Result<Running, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("ambit-provisioner")
        .enable_all()
        .build()?;
    let key = SharedKey::parse(key.expose().as_bytes())?;
    let docker = docker.to_owned();
    // Without Docker there are still remote servers; `build` tells what is missing.
    let Ok(provisioner) =
        Provisioner::connect(std::slice::from_ref(&docker), key, provisioner::Settings::default())
    else {
        return Ok(Running { url: None, docker, runtime });
    };
    let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0)))?;
    let url = format!("http://{}", listener.local_addr()?);
    runtime.spawn(provisioner.background());
    let router = provisioner.router();
    runtime.spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the provisioner stopped");
        }
    });
    Ok(Running { url: Some(url), docker, runtime })
}

impl Running {
    /// Builds the image of a server of the catalogue, unless Docker has it.
    pub(super) async fn build(&self, server: &str) -> Result<BuiltImage, Failure> {
        let recipe = images::recipe(server).ok_or_else(|| {
            let known: Vec<&str> = images::catalogue().iter().map(|recipe| recipe.name).collect();
            format!("no server `{server}` in the catalogue; there are {}", known.join(", "))
        })?;
        let host = Engine::connect(&self.docker)?;
        let building = self
            .runtime
            .spawn(async move { images::build(&host, recipe, &|line: &str| tracing::info!("{line}")).await });
        Ok(building.await??)
    }
}
