//! How an HTTP server inside a container is reached without a network that it could use in turn.
//!
//! No route of its own is the one guard that nothing can undo: its container has loopback and nothing else, and we open
//! our connections from inside its network namespace. No rule is installed that a firewall's reload could drop, and the
//! host, other containers and 169.254.169.254 are not there to be asked. Entering takes root on the machine that runs
//! the containers. Where we are not that, an operator may vouch for a host: see [`RULES`].

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What the container of an HTTP server is wired to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wiring {
    /// Nothing: we go inside.
    Alone,
    /// The bridge of its toolbox, on a host that an operator has closed to such bridges.
    Bridge,
}

/// How the names of our bridges begin.
pub const BRIDGE_PREFIX: &str = "ambit-";

/// What an operator does to a host before vouching for it: `--internal` does not keep containers from the host itself.
pub const RULES: &str = "\
iptables -I INPUT -i ambit-+ -j DROP
iptables -I INPUT -i ambit-+ -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
iptables -I DOCKER-USER -i ambit-+ -d 169.254.0.0/16 -j DROP
ip6tables -I INPUT -i ambit-+ -j DROP";

/// A port of a running container.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Where it is, seen from where we connect.
    address: SocketAddr,
    namespace: Option<Arc<namespace::Namespace>>,
}

impl Endpoint {
    /// A port with an address that we have a route to.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, namespace: None }
    }

    /// A port on the loopback of a container, by the id of one of its processes.
    ///
    /// # Errors
    /// Says why we may not go there, or why the process is not the container's.
    pub fn inside(container: &str, process: i64, port: u16) -> Result<Self, String> {
        let namespace = Some(Arc::new(namespace::Namespace::of(container, process)?));
        Ok(Self { address: (Ipv4Addr::LOCALHOST, port).into(), namespace })
    }

    /// Where it is, seen from where we connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    async fn dial(self) -> std::io::Result<TcpStream> {
        let stream = match self.namespace {
            // A socket stays where it was made.
            Some(namespace) => namespace.socket().await?.connect(self.address).await?,
            None => TcpStream::connect(self.address).await?,
        };
        // Small writes that wait for each other's acknowledgement cost 40 ms a call.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl tower_service::Service<Uri> for Endpoint {
    type Response = TokioIo<TcpStream>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let endpoint = self.clone();
        Box::pin(async move { endpoint.dial().await.map(TokioIo::new) })
    }
}

/// Whether we may go inside containers of this machine at all.
///
/// # Errors
/// Says what is missing.
pub async fn may_enter() -> Result<(), String> {
    namespace::try_own().await.map_err(|error| {
        format!("entering a container's network takes root (CAP_SYS_ADMIN and CAP_SYS_PTRACE): {error}")
    })
}

#[cfg(target_os = "linux")]
mod namespace {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;

    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    use tokio::net::TcpSocket;
    use tokio::sync::oneshot;

    const OURS: &str = "/proc/self/ns/net";

    /// The network namespace of a container; open, so that no other can take its place.
    #[derive(Debug)]
    pub(super) struct Namespace(File);

    impl Namespace {
        pub(super) fn of(container: &str, process: i64) -> Result<Self, String> {
            let path = format!("/proc/{process}/ns/net");
            let failed = |error: io::Error| format!("`{path}` cannot be opened: {error}");
            let namespace = File::open(&path).map_err(failed)?;
            // Docker's process ids are those of its own machine, and of its own process namespace.
            let groups = std::fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
            if !groups.contains(container) {
                return Err(format!("process {process} as we see it is not the container's"));
            }
            let identity = |file: &File| file.metadata().map(|it| (it.dev(), it.ino())).map_err(failed);
            if identity(&namespace)? == identity(&File::open(OURS).map_err(failed)?)? {
                return Err("the container shares our own network".to_owned());
            }
            Ok(Self(namespace))
        }

        /// A socket inside.
        pub(super) async fn socket(&self) -> io::Result<TcpSocket> {
            made_in(self.0.try_clone()?).await
        }
    }

    pub(super) async fn try_own() -> io::Result<()> {
        made_in(File::open(OURS)?).await.map(drop)
    }

    /// Makes a socket on a thread that enters the namespace and ends with it: no other thread is ever anywhere else.
    async fn made_in(namespace: File) -> io::Result<TcpSocket> {
        let (said, heard) = oneshot::channel();
        std::thread::Builder::new().name("ambit-enter".to_owned()).spawn(move || {
            let entered = move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network));
            let _ = said.send(entered.map_err(io::Error::from).and_then(|()| TcpSocket::new_v4()));
        })?;
        heard.await.unwrap_or_else(|_| Err(io::Error::other("the thread that went inside was lost")))
    }
}

#[cfg(not(target_os = "linux"))]
mod namespace {
    use std::io;

    use tokio::net::TcpSocket;

    const ELSEWHERE: &str = "containers do not run on this machine but in a virtual one";

    /// There are none here.
    #[derive(Debug)]
    pub(super) struct Namespace;

    impl Namespace {
        pub(super) fn of(_: &str, _: i64) -> Result<Self, String> {
            Err(ELSEWHERE.to_owned())
        }

        pub(super) async fn socket(&self) -> io::Result<TcpSocket> {
            Err(io::Error::new(io::ErrorKind::Unsupported, ELSEWHERE))
        }
    }

    pub(super) async fn try_own() -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, ELSEWHERE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_is_not_the_containers_is_not_entered() {
        let id = "0123456789abcdef".repeat(4);
        let ours = i64::from(std::process::id());
        assert!(Endpoint::inside(&id, ours, 80).unwrap_err().contains("not the container's"));
        assert!(Endpoint::inside(&id, i64::MAX, 80).unwrap_err().contains("cannot be opened"));
        // Every cgroup is in the root one: even a daemon that lies about ids does not send us to our own loopback.
        assert!(Endpoint::inside("/", ours, 80).unwrap_err().contains("shares our own network"));
    }

    #[test]
    fn every_rule_is_for_our_bridges() {
        assert!(RULES.lines().count() >= 4);
        assert!(RULES.lines().all(|rule| rule.contains(&format!(" -i {BRIDGE_PREFIX}+ "))));
    }
}
