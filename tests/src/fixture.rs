//! The fixture server, in a container image and as a process.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use provisioner::docker::Engine;
use provisioner::images;
use schemas::image::ImageReference;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::programs::{free_port, program};

/// The Docker host of the tests.
pub fn docker_host() -> String {
    let named = crate::daemon::private().or_else(|| std::env::var("DOCKER_HOST").ok());
    named.unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned())
}

/// The workload of the fixture on stdio, speaking these revisions: `modern`, `legacy` or `both`.
pub async fn stdio(era: &str) -> Value {
    workload(&["--stdio", "--era", era], "stdio", json!({ "type": "stdio" })).await
}

/// The workload of the fixture over HTTP.
pub async fn http(era: &str) -> Value {
    let transport = json!({ "type": "http", "port": 8000, "path": "/mcp" });
    workload(&["--http", "0.0.0.0:8000", "--era", era], "http", transport).await
}

async fn workload(arguments: &[&str], name: &str, transport: Value) -> Value {
    let era = arguments.last().unwrap();
    let image = image(&format!("ambit/fixture-{name}:{era}"), arguments).await;
    json!({ "workload": { "image": image.0, "digest": image.1, "transport": transport }, "trust": "first_party" })
}

async fn image(reference: &str, arguments: &[&str]) -> (String, String) {
    static BUILDING: OnceCell<tokio::sync::Mutex<()>> = OnceCell::const_new();
    let _one_at_a_time = BUILDING.get_or_init(async || tokio::sync::Mutex::new(())).await.lock().await;
    let host = Engine::connect(&docker_host()).unwrap();
    let program = program("fixture");
    let reference = ImageReference::parse(reference).unwrap();
    let built = images::from_binary(&host, &reference, &program, arguments, &|line| println!("{line}"))
        .await
        .unwrap_or_else(|error| panic!("these tests need Docker at {}: {error}", docker_host()));
    (built.reference.to_string(), built.digest.to_string())
}

/// A real third-party server of the catalogue, built without a registry.
pub async fn third_party(name: &str) -> Value {
    let host = Engine::connect(&docker_host()).unwrap();
    let recipe = images::recipe(name).unwrap();
    let built = images::build(&host, recipe, &|line| println!("{line}")).await.unwrap_or_else(|error| {
        panic!("these tests need Docker at {} and the recipe's tools: {error}", docker_host())
    });
    json!({ "workload": { "image": built.reference, "digest": built.digest, "transport": { "type": "stdio" } }, "trust": "verified" })
}

/// The fixture as a process on loopback: a remote server.
#[derive(Debug)]
pub struct Remote {
    child: Child,
    /// Its endpoint.
    pub url: String,
}

impl Remote {
    /// Starts it, modern only.
    pub async fn start() -> Self {
        let port = free_port();
        let binary: PathBuf = program("fixture");
        let child = Command::new(binary)
            .args(["--http", &format!("127.0.0.1:{port}"), "--era", "modern"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let remote = Self { child, url: format!("http://127.0.0.1:{port}/mcp") };
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return remote;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the fixture does not listen");
    }

    /// As a server of an organisation.
    pub fn server(&self) -> Value {
        json!({ "url": self.url, "trust": "first_party" })
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
