//! A whole deployment: a gateway on one of its hosts, and a provisioner on real Docker.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gateway::Settings;
use gateway::secret::Secret;
use tempfile::TempDir;

use crate::door::Door;
use crate::fixture::docker_host;
use crate::memory::{Memory, MemoryPlatform, real_network};
use crate::operator::Operator;
use crate::programs::{free_port, program, random_key, unique};
use crate::workerd::{Deployment, Workerd};

/// What a gateway runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// A function call.
    Memory,
    /// The native server.
    Standalone,
    /// workerd, the runtime of Cloudflare Workers.
    Workerd,
}

/// A running deployment. Dropped, its processes are killed and its containers removed.
#[derive(Debug)]
pub struct Stack {
    /// The way in.
    pub door: Door,
    /// The operator's key.
    pub operator_key: String,
    /// The provisioner's process.
    pub provisioner: Process,
    gateway: Running,
    keys: Keys,
    orgs: std::cell::RefCell<Vec<String>>,
    folder: TempDir,
}

#[derive(Debug)]
enum Running {
    Memory,
    Standalone(Process, u16),
    Workerd(Option<Workerd>),
}

#[derive(Debug, Clone)]
struct Keys {
    root: String,
    operator: String,
    provisioner: String,
    provisioner_url: String,
    rates: String,
    quota: u32,
}

impl Keys {
    /// Of a gateway in memory.
    fn settings(&self) -> Settings {
        Settings::new(crate::memory::URL)
            .unwrap()
            .provisioner(Some(self.provisioner_url.clone()))
            .bounds(self.rates.parse().unwrap(), self.quota)
    }

    fn environment(&self) -> Vec<(String, String)> {
        [
            ("AMBIT_ROOT_KEY", &self.root),
            ("AMBIT_OPERATOR_KEY", &self.operator),
            ("AMBIT_PROVISIONER_KEY", &self.provisioner),
            ("AMBIT_PROVISIONER_URL", &self.provisioner_url),
            ("AMBIT_RATES", &self.rates),
            ("AMBIT_QUOTA", &self.quota.to_string()),
            // Rates are counted on each core.
            ("AMBIT_CORES", &if self.rates.is_empty() { String::new() } else { "1".to_owned() }),
        ]
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect()
    }
}

/// A child process. Dropped, it is killed.
#[derive(Debug)]
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Stack {
    /// Starts one.
    pub async fn start(host: Host) -> Self {
        Self::with_rates(host, "").await
    }

    /// Starts one with other rates than the usual.
    pub async fn with_rates(host: Host, rates: &str) -> Self {
        Self::with_bounds(host, rates, 10_000).await
    }

    /// Starts one with other rates, on one core, and another quota.
    pub async fn with_bounds(host: Host, rates: &str, quota: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let keys = Keys {
            root: random_key(),
            operator: random_key(),
            provisioner: random_key(),
            provisioner_url: format!("http://127.0.0.1:{port}"),
            rates: rates.to_owned(),
            quota,
        };
        std::fs::write(folder.path().join("provisioner.key"), &keys.provisioner).unwrap();
        let provisioner = start_provisioner(&folder, port);
        wait_for(port).await;
        let (gateway, door) = start_gateway(host, &folder, &keys).await;
        Self {
            door,
            operator_key: keys.operator.clone(),
            provisioner,
            gateway,
            keys,
            orgs: std::cell::RefCell::default(),
            folder,
        }
    }

    /// An operator of a new organisation.
    pub async fn organisation(&self) -> Operator {
        let org = unique("t");
        self.orgs.borrow_mut().push(org.clone());
        let operator = Operator { door: self.door.clone(), key: self.operator_key.clone(), org };
        operator.found().await;
        operator
    }

    /// Kills the gateway as a power cut would, and starts it again on the same data and address.
    pub async fn restart_gateway(&mut self) {
        match &mut self.gateway {
            Running::Memory => panic!("memory does not outlive a power cut"),
            Running::Standalone(process, port) => {
                process.kill();
                let port = *port;
                let process = start_standalone(&self.folder, &self.keys, port);
                self.gateway = Running::Standalone(process, port);
                wait_for(port).await;
            }
            Running::Workerd(workerd) => {
                let restarted = workerd.take().unwrap().restart().unwrap();
                *workerd = Some(restarted);
            }
        }
    }

    /// Another gateway of the same deployment, which has nothing in common with the first but the platform's database.
    pub fn another_gateway(&self, platform: &MemoryPlatform) -> gateway::Gateway {
        gateway::Gateway::new(self.keys.settings(), platform).unwrap()
    }

    /// The same, of the provisioner.
    pub async fn restart_provisioner(&mut self) {
        let port: u16 = self.keys.provisioner_url.rsplit(':').next().unwrap().parse().unwrap();
        self.provisioner.kill();
        self.provisioner = start_provisioner(&self.folder, port);
        wait_for(port).await;
    }

    /// The process id of the gateway, for measuring.
    pub fn gateway_process(&self) -> u32 {
        match &self.gateway {
            Running::Memory => std::process::id(),
            Running::Standalone(process, _) => process.0.id(),
            Running::Workerd(workerd) => workerd.as_ref().unwrap().process(),
        }
    }

    /// The folder with everything that the deployment keeps.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Names of the containers of an organisation, whatever their state.
    pub fn containers(org: &str) -> Vec<String> {
        let output = Command::new("docker")
            .env("DOCKER_HOST", docker_host())
            .args(["ps", "--all", "--format", "{{.Names}}", "--filter", &format!("name=^/{org}\\.")])
            .output()
            .expect("the docker client must be there");
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for log in ["gateway.log", "workerd/workerd.log", "provisioner.log"] {
                let text = std::fs::read_to_string(self.folder.path().join(log)).unwrap_or_default();
                let lines: Vec<&str> = text.lines().rev().take(12).collect();
                println!("the end of {log}, last line first:\n{}", lines.join("\n"));
            }
        }
        for org in self.orgs.borrow().iter() {
            let containers = Self::containers(org);
            if !containers.is_empty() {
                let _ = Command::new("docker")
                    .env("DOCKER_HOST", docker_host())
                    .args(["rm", "--force"])
                    .args(containers)
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status();
            }
        }
    }
}

async fn start_gateway(host: Host, folder: &TempDir, keys: &Keys) -> (Running, Door) {
    match host {
        Host::Memory => {
            let secrets: HashMap<String, Secret> =
                keys.environment().into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
            let settings = keys.settings();
            let memory = Memory::start(settings, MemoryPlatform::new(secrets, real_network())).await;
            (Running::Memory, Door::Memory(memory))
        }
        Host::Standalone => {
            let port = free_port();
            let process = start_standalone(folder, keys, port);
            wait_for(port).await;
            (Running::Standalone(process, port), Door::socket(&format!("http://127.0.0.1:{port}")))
        }
        Host::Workerd => {
            let port = free_port();
            let deployment =
                Deployment { state: folder.path().join("workerd"), port, environment: keys.environment() };
            let workerd = Workerd::start(deployment).unwrap_or_else(|error| panic!("{error}"));
            let door = Door::socket(&workerd.url());
            (Running::Workerd(Some(workerd)), door)
        }
    }
}

fn start_standalone(folder: &TempDir, keys: &Keys, port: u16) -> Process {
    let child = Command::new(program("ambit"))
        .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"])
        .arg(folder.path().join("data"))
        .envs(keys.environment())
        .env("SSL_CERT_FILE", crate::documents::trusted())
        .stderr(log(folder, "gateway.log"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Process(child)
}

fn start_provisioner(folder: &TempDir, port: u16) -> Process {
    let child = Command::new(program("provisioner"))
        .args(["--listen", &format!("127.0.0.1:{port}"), "--host", &docker_host(), "--key-file"])
        .arg(folder.path().join("provisioner.key"))
        .stderr(log(folder, "provisioner.log"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Process(child)
}

fn log(folder: &TempDir, name: &str) -> Stdio {
    let path: PathBuf = folder.path().join(name);
    std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap().into()
}

async fn wait_for(port: u16) {
    for _ in 0..400 {
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("nobody listens on port {port}");
}

/// The same suite as a test on every host.
#[macro_export]
macro_rules! on_every_host {
    ($suite:path) => {
        #[test]
        fn in_memory() {
            $crate::stack::run($suite($crate::stack::Host::Memory));
        }

        #[test]
        fn on_standalone() {
            $crate::stack::run($suite($crate::stack::Host::Standalone));
        }

        #[test]
        fn on_workerd() {
            $crate::stack::run($suite($crate::stack::Host::Workerd));
        }
    };
}

/// One step of a suite, by name.
pub async fn step(name: &str, check: impl Future<Output = ()>) {
    println!("- {name}");
    // On the heap: Cedar measures the stack that is left, and unoptimised futures are large.
    Box::pin(check).await;
}

/// Runs a test on one thread, as the gateway in memory needs it.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, Box::pin(test))
}
