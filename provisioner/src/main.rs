//! The provisioner as a service of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use provisioner::{Provisioner, Settings, SharedKey};

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
    /// Docker hosts; repeat for several.
    #[arg(
        long = "host",
        default_value = "unix:///var/run/docker.sock",
        env = "AMBIT_DOCKER_HOSTS",
        value_delimiter = ','
    )]
    hosts: Vec<String>,
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
    let provisioner = Provisioner::connect(&options.hosts, SharedKey::parse(&key)?, settings)?;
    let listener = tokio::net::TcpListener::bind(options.listen).await?;
    tracing::info!(listen = %listener.local_addr()?, hosts = ?options.hosts, "ready");
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
