//! The provisioner as a service of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use provisioner::docker::Engine;
use provisioner::host::{DockerHost, HostError};
use provisioner::{Provisioner, Settings, SharedKey};

const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// How long calls under way may take once we are told to stop.
const GRACE: std::time::Duration = std::time::Duration::from_secs(5);

/// Runs MCP servers as hardened containers for an Ambit gateway.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Address to listen on. Only the gateway needs to reach it.
    #[arg(long, default_value = "127.0.0.1:7070", env = "AMBIT_PROVISIONER_LISTEN")]
    listen: SocketAddr,
    /// File with the 32-byte key shared with the gateway, raw or as base64url.
    #[arg(long, env = "AMBIT_PROVISIONER_KEY_FILE")]
    key_file: PathBuf,
    /// Docker hosts; repeat for several. HTTP servers run on this machine's alone, and only if we are root on it.
    /// [default: `unix:///var/run/docker.sock`]
    #[arg(long = "host", env = "AMBIT_DOCKER_HOSTS", value_delimiter = ',')]
    hosts: Vec<String>,
    /// Docker hosts whose firewall keeps our containers from the host itself, by rules that we print when they are
    /// needed; repeat for several. HTTP servers run on them if we have a route to their bridges.
    #[arg(long = "guarded-host", env = "AMBIT_GUARDED_DOCKER_HOSTS", value_delimiter = ',')]
    guarded_hosts: Vec<String>,
    /// Pause a workload after this many idle seconds.
    #[arg(long, default_value_t = 300)]
    pause_after: u64,
    /// Stop a workload after this many idle seconds.
    #[arg(long, default_value_t = 1800)]
    stop_after: u64,
    /// Log as JSON lines.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if options.json {
        log.json().init();
    } else {
        log.init();
    }
    match serve(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let key = tokio::fs::read(&options.key_file)
        .await
        .map_err(|error| format!("the key file `{}` cannot be read: {error}", options.key_file.display()))?;
    let settings = Settings {
        pause_after: std::time::Duration::from_secs(options.pause_after),
        stop_after: std::time::Duration::from_secs(options.stop_after),
        ..Settings::default()
    };
    let hosts = hosts(&options).await?;
    let addresses: Vec<String> = hosts.iter().map(|host| host.address().to_owned()).collect();
    let provisioner = Provisioner::with_hosts(hosts, SharedKey::parse(&key)?, settings);
    let listener = tokio::net::TcpListener::bind(options.listen).await?;
    tracing::info!(listen = %listener.local_addr()?, hosts = ?addresses, "ready");
    let idle = tokio::spawn(provisioner.background());
    let (told, mut stopping) = tokio::sync::watch::channel(false);
    let serving = axum::serve(listener, provisioner.router()).with_graceful_shutdown(async move {
        told_to_stop().await;
        let _ = told.send(true);
    });
    // Subscriptions never end by themselves: calls get a moment, then we go.
    let moment_over = async move {
        let _ = stopping.wait_for(|stop| *stop).await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = serving.into_future() => served?,
        () = moment_over => tracing::info!("some requests were still open"),
    }
    idle.abort();
    Ok(())
}

/// The hosts of the command line. What will not work on one is said now, not at the first call.
async fn hosts(options: &Options) -> Result<Vec<Arc<dyn DockerHost>>, HostError> {
    let default =
        (options.hosts.is_empty() && options.guarded_hosts.is_empty()).then(|| DEFAULT_HOST.to_owned());
    let mut hosts: Vec<Arc<dyn DockerHost>> = Vec::new();
    for address in options.hosts.iter().chain(&default) {
        hosts.push(Arc::new(Engine::connect(address)?));
    }
    for address in &options.guarded_hosts {
        hosts.push(Arc::new(Engine::connect(address)?.guarded()));
    }
    for host in &hosts {
        if let Err(error) = host.wiring().await {
            tracing::warn!("{error}");
        }
    }
    Ok(hosts)
}

/// Ends on SIGINT or SIGTERM. Containers stay: their labels are all that the next life needs.
async fn told_to_stop() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    if let Ok(mut terminated) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = interrupted => {}
            _ = terminated.recv() => {}
        }
        return;
    }
    let _ = interrupted.await;
}
