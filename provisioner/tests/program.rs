//! The real program on a real Docker host: killed with `kill -9` between two steps and started again; with few rights.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on says so and fails"
)]

mod rig;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use provisioner::host::{ContainerState, DockerHost as _};
use rig::docker::{ADDRESS, Cleanup, engine, probe, spec};
use rig::{key, name_of, now, unique};
use schemas::provisioner::SIGNATURE_HEADER;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::Notify;

/// Passes everything to Docker but a request whose path ends so: that one is kept, and told.
fn docker_up_to(step: &'static str, socket: &Path) -> Arc<Notify> {
    let (listener, reached) = (UnixListener::bind(socket).unwrap(), Arc::new(Notify::new()));
    let told = Arc::clone(&reached);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let docker = UnixStream::connect(ADDRESS.trim_start_matches("unix://")).await.unwrap();
            let ((mut from, mut to), (mut answers, mut asks)) = (client.into_split(), docker.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut answers, &mut to).await });
            let told = Arc::clone(&told);
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(size @ 1..) = from.read(&mut buffer).await {
                    let piece = &buffer[..size];
                    let line = String::from_utf8_lossy(piece.split(|byte| *byte == b'\r').next().unwrap());
                    if line.starts_with("POST") && line.contains(step) {
                        told.notify_one();
                        return std::future::pending().await;
                    }
                    asks.write_all(piece).await.unwrap();
                }
            });
        }
    });
    reached
}

/// The program, killed when the test ends.
struct Program {
    child: Child,
    port: u16,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    async fn start(host: &str, key_file: &Path) -> Self {
        Self::run(&mut Command::new(env!("CARGO_BIN_EXE_provisioner")), host, key_file).await
    }

    async fn run(command: &mut Command, host: &str, key_file: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = command
            .args(["--host", host, "--listen", &format!("127.0.0.1:{port}"), "--key-file"])
            .arg(key_file)
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let program = Self { child, port };
        rig::until("it listens", async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        program
    }
}

/// Asks over the network, as the gateway does.
async fn put(port: u16, spec: &Value) -> String {
    let (path, body) = (format!("/v1/workloads/{}", name_of(spec)), spec.to_string());
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).unwrap();
    let signature = key().sign("PUT", &path, body.as_bytes(), now(), nonce);
    let request = format!(
        "PUT {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{SIGNATURE_HEADER}: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_create_and_start_it_starts_what_it_made() {
    let engine = engine().await;
    let org = unique("killed");
    let _cleanup = Cleanup(org.clone());
    let folder = Folder(std::env::temp_dir().join(&org));
    std::fs::create_dir(&folder.0).unwrap();
    let (socket, key_file) = (folder.0.join("docker.sock"), folder.0.join("key"));
    std::fs::write(&key_file, [42; 32]).unwrap();
    let spec = spec(&org, "probe", &probe(&engine, "stdio").await);
    let name = name_of(&spec);
    let reached = docker_up_to("/start", &socket);
    let mut first = Program::start(&format!("unix://{}", socket.display()), &key_file).await;
    let port = first.port;
    let killing = async {
        tokio::time::timeout(Duration::from_secs(20), reached.notified()).await.expect("asked to start");
        first.child.kill().unwrap();
    };
    let (answer, ()) = tokio::join!(put(port, &spec), killing);
    assert_eq!(answer, "", "it died before it answered");
    let made = engine.containers(Some(&name)).await.unwrap();
    assert_eq!((made.len(), made[0].state), (1, ContainerState::Created));
    let second = Program::start(ADDRESS, &key_file).await;
    let answer = put(second.port, &spec).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let now = engine.containers(Some(&name)).await.unwrap();
    assert_eq!((now.len(), &now[0].id, now[0].state), (1, &made[0].id, ContainerState::Running));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_root_it_runs_stdio_servers_and_says_why_no_others() {
    let engine = engine().await;
    let org = unique("rights");
    let _cleanup = Cleanup(org.clone());
    let folder = Folder(std::env::temp_dir().join(&org));
    std::fs::create_dir(&folder.0).unwrap();
    let key_file = folder.0.join("key");
    std::fs::write(&key_file, [42; 32]).unwrap();
    let socket = std::fs::metadata(ADDRESS.trim_start_matches("unix://")).unwrap();
    // Nobody, but in the group that may use Docker.
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", &format!("--regid={}", socket.gid()), "--clear-groups"]);
    command.arg(env!("CARGO_BIN_EXE_provisioner"));
    let program = Program::run(&mut command, ADDRESS, &key_file).await;
    let mut spec = spec(&org, "probe", &probe(&engine, "stdio").await);
    let answer = put(program.port, &spec).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    spec["server"] = json!("web");
    spec["transport"] = json!({"type": "http", "port": 8080, "path": "/mcp"});
    let answer = put(program.port, &spec).await;
    assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("CAP_SYS_ADMIN"), "{answer}");
    assert!(answer.contains("--guarded-host") && answer.contains("iptables -I INPUT"), "{answer}");
    assert!(engine.containers(Some(&name_of(&spec))).await.unwrap().is_empty());
}
