//! HTTP in: every core has a runtime, a gateway and a database connection of its own, and accepts from one shared socket.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use gateway::platform::{Peer, PlatformError};
use gateway::{Body, Gateway, Settings};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::database::Database;
use crate::fetch::Inbound;
use crate::platform::{Native, Secrets};
use crate::upload::Upload;

/// Of each core. Checking policies recurses as deep as their expressions and types do; only what is used is ever paid for.
const STACK: usize = 8 * 1024 * 1024;

/// How long open connections get to finish when we are asked to stop.
const GRACE: Duration = Duration::from_secs(10);
/// Outcomes are written within 100 ms of their answers.
const LAST_WRITES: Duration = Duration::from_millis(200);

/// Why serving ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The socket can't be used.
    #[error("can't listen on `{address}`: {reason}; choose another address with `--listen`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        reason: std::io::Error,
    },
    /// A thread or a runtime can't be started.
    #[error("can't start: {0}")]
    Start(#[from] std::io::Error),
    /// The database failed.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// The settings are no good.
    #[error(transparent)]
    Settings(#[from] gateway::BadSettings),
}

/// How to serve.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// Threads, each with a gateway of its own.
    pub cores: usize,
    /// Where clients' addresses are taken from.
    pub addresses: Addresses,
}

/// Where clients' addresses are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// Whoever connects is the client.
    Socket,
    /// A proxy connects, and says in the last entry of `X-Forwarded-For` who the client is.
    Forwarded,
}

impl Addresses {
    fn peer(self, socket: IpAddr, headers: &http::HeaderMap) -> Peer {
        let forwarded = || {
            let last = headers.get_all("x-forwarded-for").iter().next_back()?;
            last.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
        };
        match self {
            Self::Socket => Peer(socket),
            Self::Forwarded => Peer(forwarded().unwrap_or(socket)),
        }
    }
}

/// Binds the socket.
///
/// # Errors
/// The address is taken or not ours.
pub fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let listen = |reason| ServeError::Listen { address, reason };
    let listener = TcpListener::bind(address).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    Ok(listener)
}

/// Serves until `stop` says true; returns when the last connection is done or its time is up.
///
/// # Errors
/// A core can't be started.
pub fn serve(
    listener: &TcpListener,
    settings: &Settings,
    database: &Database,
    secrets: &Secrets,
    stop: &watch::Receiver<bool>,
    how: How,
) -> Result<(), ServeError> {
    let mut threads = Vec::new();
    for core in 0..how.cores.max(1) {
        let (listener, settings, database, secrets, stop) =
            (listener.try_clone()?, settings.clone(), database.clone(), secrets.clone(), stop.clone());
        let builder = std::thread::Builder::new().name(format!("ambit-{core}")).stack_size(STACK);
        let thread = builder.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            LocalSet::new()
                .block_on(&runtime, one_core(core, how, listener, settings, (database, secrets), stop))
        })?;
        threads.push(thread);
    }
    for thread in threads {
        thread.join().map_err(|_| std::io::Error::other("a core panicked"))??;
    }
    Ok(())
}

async fn one_core(
    core: usize,
    how: How,
    listener: TcpListener,
    settings: Settings,
    (database, secrets): (Database, Secrets),
    mut stop: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let platform = Native::new(database, secrets)?;
    let gateway = Rc::new(Gateway::new(settings, &platform)?);
    let listener = tokio::net::TcpListener::from_std(listener)?;
    if core == 0 {
        tokio::task::spawn_local(tick(Rc::clone(&gateway), platform.clone()));
    }
    let open = Rc::new(std::cell::Cell::new(0_usize));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, client)) => {
                let _ = stream.set_nodelay(true);
                open.set(open.get() + 1);
                let (gateway, platform, open, stop) =
                    (Rc::clone(&gateway), platform.clone(), Rc::clone(&open), stop.clone());
                tokio::task::spawn_local(async move {
                    let peer = move |headers: &_| how.addresses.peer(client.ip(), headers);
                    connection(gateway, platform, stream, peer, stop).await;
                    open.set(open.get().saturating_sub(1));
                });
            }
            // Out of file descriptors, most likely: give some a chance to close.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    let done = async {
        while open.get() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = tokio::time::timeout(GRACE, done).await;
    tokio::time::sleep(LAST_WRITES).await;
    Ok(())
}

/// Once a minute, and once at the start: whatever a crash left open is found soon.
async fn tick(gateway: Rc<Gateway>, platform: Native) {
    loop {
        match gateway.tick(&platform).await {
            Ok(0) => {}
            Ok(unknown) => tracing::warn!(unknown, "closed intents that never ended"),
            Err(error) => tracing::error!(%error, "scheduled work failed"),
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
}

async fn connection(
    gateway: Rc<Gateway>,
    platform: Native,
    stream: tokio::net::TcpStream,
    peer: impl Fn(&http::HeaderMap) -> Peer,
    mut stop: watch::Receiver<bool>,
) {
    let service = service_fn(|mut request: http::Request<Incoming>| {
        let peer = peer(request.headers());
        request.extensions_mut().insert(peer);
        answer(Rc::clone(&gateway), platform.clone(), request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(30))
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stop.wait_for(|stop| *stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn answer(
    gateway: Rc<Gateway>,
    platform: Native,
    request: http::Request<Incoming>,
) -> Result<http::Response<Body<Inbound>>, std::convert::Infallible> {
    Ok(gateway.handle(&platform, Upload::of(request)).await)
}
