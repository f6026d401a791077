//! `ambit serve` and `ambit migrate`.

use std::io::Write as _;
use std::time::Duration;

use gateway::{Gateway, Settings};
use schemas::names::OrgName;
use standalone::data::DataDirectory;
use standalone::database::Database;
use standalone::platform::{Native, Secrets};
use standalone::serve::{self, Addresses};
use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::arguments::{Migrate, Serve};
use crate::operator::Operator;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) fn serve(options: &Serve) -> Result<(), Failure> {
    let data = DataDirectory::open(&options.data)?;
    let database = Database::open(&data.database())?;
    let listener = serve::bind(options.listen)?;
    let public_url = options.public_url.clone().unwrap_or_else(|| format!("http://{}", options.listen));
    let settings = Settings::new(&public_url)?
        .provisioner(options.provisioner_url.clone())
        .origins(options.origins.clone())
        .limits(Duration::from_secs(options.call_limit), Duration::from_mins(10))
        .bounds(options.rates.clone(), options.quota)
        .authorization_server(options.registration == "on", options.signing_generation)
        .vault(Some(&options.vault_root), &options.vault_roots_before, options.vault_endpoint.as_deref());
    let secrets = data.secrets(&settings.secrets())?;
    migrate_up(&settings, &database, &secrets)?;
    first_start(&settings, &database, &secrets, &options.org)?;
    let (stop, stopped) = watch::channel(false);
    stop_on_signal(stop)?;
    tracing::info!("serving {public_url} from {}", data.path().display());
    let how = serve::How {
        cores: options.cores.unwrap_or_else(cores),
        addresses: if options.trust_forwarded { Addresses::Forwarded } else { Addresses::Socket },
    };
    serve::serve(&listener, &settings, &database, &secrets, &stopped, how)?;
    Ok(())
}

/// Where there is no organisation yet, makes one with an owner, and tells whoever starts this how to sign in as that owner. Once: the
/// operator's key makes another link, if this one is lost.
fn first_start(
    settings: &Settings,
    database: &Database,
    secrets: &Secrets,
    org: &OrgName,
) -> Result<(), Failure> {
    on_this_thread(async {
        let platform = Native::new(database.clone(), secrets.clone())?;
        let gateway = Gateway::new(settings.clone(), &platform)?;
        if gateway.has_organisations(&platform).await? {
            return Ok(());
        }
        let operator = Operator::new(&gateway, &platform, secrets, org.as_str())?;
        operator.put("", &serde_json::Value::Null).await?;
        let link = operator.owner_link().await?;
        writeln!(
            std::io::stderr(),
            "\nThis is the first start: organisation `{org}` has one person, `owner`.\n\n  Sign in   {link} (once, within a day)\n"
        )?;
        Ok::<(), Failure>(())
    })?
}

pub(crate) fn migrate(options: &Migrate) -> Result<(), Failure> {
    let data = DataDirectory::open(&options.data)?;
    let database = Database::open(&data.database())?;
    let secrets = data.secrets(&[])?;
    let settings = Settings::new("http://127.0.0.1")?;
    let taken = match options.down_to {
        None => migrate_up(&settings, &database, &secrets)?,
        Some(version) => on_this_thread(async {
            let platform = Native::new(database, secrets)?;
            Ok::<_, Failure>(Gateway::new(settings, &platform)?.migrate_down(&platform, version).await?)
        })??,
    };
    tracing::info!("{taken} migrations {}", if options.down_to.is_some() { "taken back" } else { "applied" });
    Ok(())
}

pub(crate) fn migrate_up(
    settings: &Settings,
    database: &Database,
    secrets: &Secrets,
) -> Result<usize, Failure> {
    on_this_thread(async {
        let platform = Native::new(database.clone(), secrets.clone())?;
        Ok::<_, Failure>(Gateway::new(settings.clone(), &platform)?.migrate(&platform).await?)
    })?
}

/// Runs work that belongs to one thread.
pub(crate) fn on_this_thread<T>(work: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(LocalSet::new().block_on(&runtime, work))
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Says stop at SIGINT or SIGTERM. A second signal ends the process at once.
pub(crate) fn stop_on_signal(stop: watch::Sender<bool>) -> std::io::Result<()> {
    std::thread::Builder::new().name("ambit-signals".to_owned()).spawn(move || {
        let waited = on_this_thread(async {
            signal().await;
            tracing::info!("stopping; once more to stop at once");
            let _ = stop.send(true);
            signal().await;
        });
        match waited {
            Ok(()) => std::process::exit(130),
            Err(error) => tracing::error!(%error, "signals can't be waited for"),
        }
    })?;
    Ok(())
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    let _ = tokio::signal::ctrl_c().await;
}
