//! A real Docker host for tests.

use std::sync::Arc;

use provisioner::docker::Engine;
use provisioner::host::DockerHost;
use provisioner::images::{self, BuiltImage};
use provisioner::{Provisioner, Settings};
use schemas::image::ImageReference;
use serde_json::{Value, json};

use super::{Rig, key};

pub(crate) const ADDRESS: &str = "unix:///var/run/docker.sock";

pub(crate) async fn engine() -> Arc<Engine> {
    let engine = Engine::connect(ADDRESS).unwrap_or_else(|error| panic!("these tests need Docker: {error}"));
    engine.facts().await.unwrap_or_else(|error| panic!("these tests need Docker: {error}"));
    Arc::new(engine)
}

pub(crate) fn provisioner(engine: &Arc<Engine>, settings: Settings) -> Rig {
    Rig::new(Provisioner::with_hosts(vec![Arc::clone(engine) as Arc<dyn DockerHost>], key(), settings))
}

/// One image is built once, whichever test asks first.
static BUILDING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

pub(crate) async fn image(engine: &Engine, name: &str) -> BuiltImage {
    let _one_at_a_time = BUILDING.lock().await;
    images::build(engine, images::recipe(name).unwrap(), &|line| eprintln!("{line}")).await.unwrap()
}

/// A server of ours, in one line of Node: it tells what it sees from inside, and misbehaves on request.
const PROBE: &str = include_str!("probe.js");

pub(crate) async fn probe(engine: &Engine, mode: &str) -> BuiltImage {
    let _one_at_a_time = BUILDING.lock().await;
    let node = std::process::Command::new("node")
        .args(["-p", "process.execPath"])
        .output()
        .expect("these tests need Node");
    let node = String::from_utf8(node.stdout).unwrap();
    let reference = ImageReference::parse(&format!("ambit/probe-{mode}:test")).unwrap();
    images::from_binary(engine, &reference, node.trim().as_ref(), &["-e", PROBE, mode], &|line| {
        eprintln!("{line}");
    })
    .await
    .unwrap()
}

pub(crate) fn spec(org: &str, server: &str, image: &BuiltImage) -> Value {
    json!({"org": org, "toolbox": "t", "server": server, "image": image.reference.as_str(),
        "digest": image.digest.as_str(), "transport": {"type": "stdio"}})
}

/// Removes what a test made, also when it fails.
pub(crate) struct Cleanup(pub(crate) String);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let listed = std::process::Command::new("docker")
            .args(["ps", "-aq", "--filter", &format!("name=^/?{}", self.0)])
            .output();
        let ids = listed.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
        for id in ids.split_whitespace() {
            let _ = std::process::Command::new("docker").args(["rm", "-f", id]).output();
        }
        for suffix in ["", ".peers"] {
            let network = format!("ambit.{}.t{suffix}", self.0);
            let _ = std::process::Command::new("docker").args(["network", "rm", &network]).output();
        }
    }
}
