//! Real containers on a real Docker host. Fails, with the reason, where there is none.

mod rig;

use std::sync::Arc;
use std::time::{Duration, Instant};

use provisioner::docker::Engine;
use provisioner::host::{ContainerState, DockerHost};
use provisioner::images::{self, BuiltImage};
use provisioner::{Provisioner, Settings};
use rig::{Rig, key, name_of, unique};
use schemas::image::ImageReference;
use serde_json::{Value, json};

const ADDRESS: &str = "unix:///var/run/docker.sock";

async fn engine() -> Arc<Engine> {
    let engine = Engine::connect(ADDRESS).unwrap_or_else(|error| panic!("these tests need Docker: {error}"));
    engine.facts().await.unwrap_or_else(|error| panic!("these tests need Docker: {error}"));
    Arc::new(engine)
}

fn provisioner(engine: &Arc<Engine>, settings: Settings) -> Rig {
    Rig::new(Provisioner::with_hosts(vec![Arc::clone(engine) as Arc<dyn DockerHost>], key(), settings))
}

/// One image is built once, whichever test asks first.
static BUILDING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn image(engine: &Engine, name: &str) -> BuiltImage {
    let _one_at_a_time = BUILDING.lock().await;
    images::build(engine, images::recipe(name).unwrap(), &|line| eprintln!("{line}")).await.unwrap()
}

/// A server of ours, in one line of Node: it tells what it sees from inside, and misbehaves on request.
const PROBE: &str = include_str!("rig/probe.js");

async fn probe(engine: &Engine, mode: &str) -> BuiltImage {
    let _one_at_a_time = BUILDING.lock().await;
    let node = std::process::Command::new("node").args(["-p", "process.execPath"]).output().expect("these tests need Node");
    let node = String::from_utf8(node.stdout).unwrap();
    let reference = ImageReference::parse(&format!("ambit/probe-{mode}:test")).unwrap();
    images::from_binary(engine, &reference, node.trim().as_ref(), &["-e", PROBE, mode], &|line| eprintln!("{line}")).await.unwrap()
}

fn spec(org: &str, server: &str, image: &BuiltImage) -> Value {
    json!({"org": org, "toolbox": "t", "server": server, "image": image.reference.as_str(),
        "digest": image.digest.as_str(), "transport": {"type": "stdio"}})
}

/// Removes what a test made, also when it fails.
struct Cleanup(String);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let listed = std::process::Command::new("docker").args(["ps", "-aq", "--filter", &format!("name=^/?{}", self.0)]).output();
        let ids = listed.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
        for id in ids.split_whitespace() {
            let _ = std::process::Command::new("docker").args(["rm", "-f", id]).output();
        }
        let _ = std::process::Command::new("docker").args(["network", "rm", &format!("ambit.{}.t", self.0)]).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_lists_and_calls() {
    let engine = engine().await;
    let rig = provisioner(&engine, Settings::default());
    let org = unique("every");
    let _cleanup = Cleanup(org.clone());
    let built = image(&engine, "everything").await;
    assert!(!image(&engine, "everything").await.fresh, "a second build is a look-up");
    let spec = spec(&org, "everything", &built);
    let name = name_of(&spec);
    let started = Instant::now();
    let (status, body) = rig.put(&spec).await;
    assert_eq!(status, 200, "{body}");
    eprintln!("everything: cold start {} ms", started.elapsed().as_millis());
    assert_eq!((body["state"].as_str(), body["protocol"].as_str()), (Some("running"), Some("2025-11-25")));
    let found = rig.rpc(&name, "server/discover", json!({})).await;
    assert_eq!(found.result()["supportedVersions"], json!(["2026-07-28"]));
    let list = rig.rpc(&name, "tools/list", json!({})).await;
    assert_eq!((list.result()["resultType"].as_str(), list.result()["cacheScope"].as_str()), (Some("complete"), Some("private")));
    assert_eq!(list.headers["ambit-answer"], "complete");
    assert!(list.result()["tools"].as_array().unwrap().iter().any(|tool| tool["name"] == "echo"));
    assert_eq!(rig.tool(&name, "echo", json!({"message": "hi"})).await.text(), "Echo: hi");
    let progress = rig
        .rpc(&name, "tools/call", json!({"name": "trigger-long-running-operation", "arguments": {"duration": 1, "steps": 3}, "_meta": {"progressToken": "p-1"}}))
        .await;
    assert!(progress.messages.len() >= 3, "{:?}", progress.messages);
    assert_eq!(progress.messages[0]["params"]["progressToken"], "p-1");
    let mut fastest = Duration::MAX;
    for _ in 0..50 {
        let started = Instant::now();
        rig.tool(&name, "echo", json!({"message": "hi"})).await;
        fastest = fastest.min(started.elapsed());
    }
    eprintln!("everything: fastest call {fastest:?}");
    assert_eq!(rig.json("DELETE", &format!("/v1/workloads/{name}"), "").await.0, 204);
    assert!(engine.containers(Some(&name)).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn time_tells_the_time() {
    let engine = engine().await;
    let rig = provisioner(&engine, Settings::default());
    let org = unique("time");
    let _cleanup = Cleanup(org.clone());
    let spec = spec(&org, "time", &image(&engine, "time").await);
    let started = Instant::now();
    let (status, body) = rig.put(&spec).await;
    assert_eq!(status, 200, "{body}");
    eprintln!("time: cold start {} ms", started.elapsed().as_millis());
    assert_eq!(body["protocol"], "2026-07-28");
    let name = name_of(&spec);
    let heard = rig.tool(&name, "convert_time", json!({"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"})).await;
    assert!(heard.text().contains("21:00"), "{}", heard.text());
    assert_eq!(heard.result()["resultType"], "complete");
}
