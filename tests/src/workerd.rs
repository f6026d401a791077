//! The gateway on workerd, the runtime of Cloudflare Workers, as a process on this machine.
//!
//! It runs what `cargo run -p bundle` built, by `functions/cloudflare/workerd.capnp`; the binary is npm's (`npm ci` in `tests/`).

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a start may take: an optimised Worker needs 0.2 s of a free core.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a gateway is started with.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The folder for its database and its log; a second start on the same folder finds the data of the first.
    pub state: PathBuf,
    /// The port on loopback; see [`free_port`].
    pub port: u16,
    /// Variables and secrets, by the names they have in `wrangler.toml`. `AMBIT_PUBLIC_URL` is set from the port.
    pub environment: Vec<(String, String)>,
}

/// A running gateway. Dropped, it is killed.
#[derive(Debug)]
pub struct Workerd {
    child: Child,
    deployment: Deployment,
}

impl Workerd {
    /// Starts a gateway, and waits until it answers.
    ///
    /// # Errors
    /// The binary or the Worker is not there, the process ended at once, or it does not answer in time; the message says which,
    /// and holds the end of the log.
    pub fn start(deployment: Deployment) -> io::Result<Self> {
        let binary = tests().join("node_modules/.bin/workerd");
        let config = tests().join("../functions/cloudflare/workerd.capnp");
        let worker = tests().join("../functions/cloudflare/build/worker.js");
        missing(&binary, "run `npm ci` in tests/")?;
        missing(&worker, "run `cargo run -p bundle`")?;
        fs::create_dir_all(&deployment.state)?;
        let log = File::create(deployment.state.join("workerd.log"))?;
        let child = Command::new(&binary)
            .args(["serve", "--experimental"])
            .arg(&config)
            .arg(format!("--directory-path=state={}", deployment.state.display()))
            .arg(format!("--socket-addr=http=127.0.0.1:{}", deployment.port))
            .env("AMBIT_PUBLIC_URL", format!("http://127.0.0.1:{}", deployment.port))
            .envs(deployment.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut gateway = Self { child, deployment };
        gateway.wait()?;
        Ok(gateway)
    }

    /// Where it answers: scheme, host and port.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.deployment.port)
    }

    /// Its process, for measuring.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn log(&self) -> io::Result<String> {
        fs::read_to_string(self.deployment.state.join("workerd.log"))
    }

    /// Kills it as a power cut would, and starts it again on the same data.
    ///
    /// # Errors
    /// Those of [`Self::start`].
    pub fn restart(mut self) -> io::Result<Self> {
        self.kill();
        Self::start(self.deployment.clone())
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn wait(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.failed(&format!("workerd ended with {status}")));
            }
            if is_ready(self.deployment.port) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(self.failed("workerd does not answer"));
            }
            sleep(Duration::from_millis(50));
        }
    }

    fn failed(&self, what: &str) -> io::Error {
        let log = self.log().unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(3).collect();
        io::Error::other(format!("{what}; the log ends with (last line first): {}", last.join("\n")))
    }
}

impl Drop for Workerd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port on loopback that nobody uses at the moment.
///
/// # Errors
/// There is none.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Whether `/healthz` is answered with 200.
fn is_ready(port: u16) -> bool {
    let ask = || -> io::Result<Vec<u8>> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
}

fn missing(path: &Path, remedy: &str) -> io::Result<()> {
    if path.exists() {
        Ok(())
    } else {
        Err(io::Error::other(format!("`{}` is not there: {remedy}", path.display())))
    }
}

fn tests() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
