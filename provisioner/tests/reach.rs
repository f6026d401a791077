//! HTTP servers in real containers: reached by us, and reaching nothing. Needs Docker, root and `iptables`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on says so and fails"
)]

mod rig;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use provisioner::Settings;
use provisioner::docker::Engine;
use provisioner::host::DockerHost as _;
use provisioner::images::BuiltImage;
use provisioner::reach::RULES;
use rig::docker::{ADDRESS, Cleanup, engine, image, probe, provisioner};
use rig::{Rig, name_of, unique};
use serde_json::{Value, json};

fn spec(org: &str, image: &BuiltImage) -> Value {
    let mut spec = rig::docker::spec(org, "probe", image);
    spec["transport"] = json!({"type": "http", "port": 8080, "path": "/mcp"});
    spec
}

fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().unwrap();
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// Undone when the test ends, also when it fails.
struct Undo(Vec<String>);

impl Drop for Undo {
    fn drop(&mut self) {
        for line in &self.0 {
            let _ = Command::new("sh").args(["-c", line]).output();
        }
    }
}

const METADATA: &str = "169.254.169.254";
/// The tests change the same host.
static HOST: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What a host offers on all its addresses, as the Docker API and our own might be; and a metadata service.
struct Services {
    port: u16,
    addresses: Vec<String>,
    _metadata: Undo,
}

async fn services() -> Services {
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    run("ip", &["address", "replace", &format!("{METADATA}/32"), "dev", "lo"]);
    let undo = Undo(vec![format!("ip address delete {METADATA}/32 dev lo")]);
    // The address that leads out, as the kernel chooses it.
    let out = UdpSocket::bind("0.0.0.0:0").unwrap();
    out.connect("1.1.1.1:1").unwrap();
    let out = out.local_addr().unwrap().ip();
    assert_ne!(out, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    // The address that the default bridge has, where there is one.
    let mut addresses = Vec::new();
    for address in [gateway("bridge"), out.to_string(), METADATA.to_owned()] {
        if tokio::net::TcpStream::connect((address.as_str(), port)).await.is_ok() {
            addresses.push(address);
        }
    }
    assert!(
        addresses.contains(&out.to_string()) && addresses.contains(&METADATA.to_owned()),
        "{addresses:?}"
    );
    Services { port, addresses, _metadata: undo }
}

async fn dialled(rig: &Rig, name: &str, services: &Services, more: &[&str]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for host in services.addresses.iter().map(String::as_str).chain(more.iter().copied()) {
        let heard = rig.tool(name, "dial", json!({"host": host, "port": services.port})).await;
        all.push((host.to_owned(), heard.text().to_owned()));
    }
    all
}

fn open(dialled: &[(String, String)]) -> usize {
    eprintln!("{dialled:?}");
    dialled.iter().filter(|(_, answer)| answer == "open").count()
}

/// The gateway of a network.
fn gateway(network: &str) -> String {
    // Docker chooses the first address, and does not always tell.
    let subnet = run("docker", &["network", "inspect", network, "-f", "{{(index .IPAM.Config 0).Subnet}}"]);
    let base: Ipv4Addr = subnet.split('/').next().unwrap().parse().unwrap();
    Ipv4Addr::from(u32::from(base) + 1).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_server_reaches_nothing() {
    let _alone = HOST.lock().await;
    let engine = engine().await;
    let rig = provisioner(&engine, Settings::default());
    let org = unique("alone");
    let _cleanup = Cleanup(org.clone());
    let spec = spec(&org, &probe(&engine, "http").await);
    let (status, body) = rig.put(&spec).await;
    assert_eq!(status, 200, "{body}");
    let name = name_of(&spec);
    assert_eq!(rig.tool(&name, "echo", json!({"message": "we come in"})).await.text(), "we come in");
    let report: Value = serde_json::from_str(rig.tool(&name, "report", json!({})).await.text()).unwrap();
    assert_eq!((&report["devices"], &report["routes"]), (&json!(["lo"]), &json!([])));
    let services = services().await;
    let tried = dialled(&rig, &name, &services, &["127.0.0.1", "172.17.0.1", "1.1.1.1"]).await;
    assert_eq!(open(&tried), 0, "{tried:?}");
    // It runs on without Docker's help; after a restart of its own it is found again, in a new namespace.
    run("docker", &["restart", "-t", "0", &name]);
    let heard = rig.tool(&name, "echo", json!({"message": "back"})).await;
    let heard =
        if heard.status == 200 { heard } else { rig.tool(&name, "echo", json!({"message": "back"})).await };
    assert_eq!(heard.text(), "back");
    let other = provisioner(&engine, Settings::default());
    assert_eq!(other.tool(&name, "echo", json!({"message": "adopted"})).await.text(), "adopted");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_guarded_host_the_rules_hold() {
    let _alone = HOST.lock().await;
    let plain = engine().await;
    let guarded = Arc::new(Engine::connect(ADDRESS).unwrap().guarded());
    let rig = provisioner(&guarded, Settings::default());
    let org = unique("guard");
    let _cleanup = Cleanup(org.clone());
    let spec = spec(&org, &probe(&plain, "http").await);
    let (status, body) = rig.put(&spec).await;
    assert_eq!(status, 200, "{body}");
    let name = name_of(&spec);
    let services = services().await;
    let gateway = gateway(&format!("ambit.{org}.t"));
    let tried = dialled(&rig, &name, &services, &[&gateway]).await;
    assert!(open(&tried) >= 3, "without the rules an internal network is open to the host: {tried:?}");
    let undo = RULES.lines().map(|rule| rule.replacen(" -I ", " -D ", 1)).collect();
    let rules = Undo(undo);
    for rule in RULES.lines() {
        run("sh", &["-c", rule]);
    }
    let tried = dialled(&rig, &name, &services, &[&gateway]).await;
    assert_eq!(open(&tried), 0, "{tried:?}");
    assert_eq!(rig.tool(&name, "echo", json!({"message": "we get through"})).await.text(), "we get through");
    // A host that is no longer vouched for: what was on a bridge is replaced by what is alone.
    drop(rules);
    let entered = provisioner(&plain, Settings::default());
    assert_eq!(entered.tool(&name, "echo", json!({"message": "alone"})).await.text(), "alone");
    assert_eq!(run("docker", &["inspect", "-f", "{{.HostConfig.NetworkMode}}", &name]), "none");
    assert_eq!(entered.json("DELETE", &format!("/v1/workloads/{name}"), "").await.0, 204);
    let networks = run("docker", &["network", "ls", "--format", "{{.Name}}"]);
    assert!(!networks.contains(&format!("ambit.{org}.t")), "the network went too");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_server_from_start_to_end() {
    let engine = engine().await;
    let rig = provisioner(&engine, Settings::default());
    let org = unique("http");
    let _cleanup = Cleanup(org.clone());
    let spec = spec(&org, &probe(&engine, "http").await);
    let (status, body) = rig.put(&spec).await;
    assert_eq!(status, 200, "{body}");
    let name = name_of(&spec);
    assert_eq!(body["protocol"], "2025-11-25");
    assert_eq!(rig.tool(&name, "echo", json!({"message": "over http"})).await.text(), "over http");
    let heard = rig
        .rpc(
            &name,
            "tools/call",
            json!({"name": "echo", "arguments": {"message": "m"}, "_meta": {"progressToken": "p"}}),
        )
        .await;
    assert_eq!((heard.messages.len(), heard.messages[0]["params"]["progressToken"].as_str()), (2, Some("p")));
    rig.tool(&name, "forget", json!({})).await;
    assert_eq!(rig.tool(&name, "echo", json!({"message": "new session"})).await.text(), "new session");
    let heard = rig.tool(&name, "die", json!({})).await;
    assert_eq!(heard.last()["type"], "urn:ambit:server-failed", "{heard:?}");
    assert_eq!(rig.tool(&name, "echo", json!({"message": "again"})).await.text(), "again");
    assert_eq!(rig.json("DELETE", &format!("/v1/workloads/{name}"), "").await.0, 204);
    assert!(engine.containers(Some(&name)).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_over_http() {
    let engine = engine().await;
    let rig = provisioner(&engine, Settings::default());
    let org = unique("web");
    let _cleanup = Cleanup(org.clone());
    let mut spec = rig::docker::spec(&org, "everything", &image(&engine, "everything").await);
    spec["transport"] = json!({"type": "http", "port": 3001, "path": "/mcp"});
    spec["command"] = json!(["streamableHttp"]);
    let (status, body) = rig.put(&spec).await;
    assert_eq!(status, 200, "{body}");
    let name = name_of(&spec);
    assert_eq!(rig.tool(&name, "echo", json!({"message": "hi"})).await.text(), "Echo: hi");
    let mut fastest = Duration::MAX;
    for _ in 0..50 {
        let started = Instant::now();
        rig.tool(&name, "echo", json!({"message": "hi"})).await;
        fastest = fastest.min(started.elapsed());
    }
    eprintln!("everything over HTTP: fastest call {fastest:?}");
    // What it pushes on a stream of its own reaches who listens.
    let uri = "demo://resource/dynamic/text/1";
    let wants = json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": [uri]}});
    let listening = rig.open(&name, rig::request(json!("l"), "subscriptions/listen", wants)).await;
    let mut pushed = listening.into_body().into_data_stream();
    let mut next = async || {
        let piece = tokio::time::timeout(Duration::from_secs(20), pushed.next()).await.expect("told in time");
        String::from_utf8(piece.unwrap().unwrap().to_vec()).unwrap()
    };
    let acknowledged = next().await;
    assert!(acknowledged.contains(uri) && acknowledged.contains("toolsListChanged"), "{acknowledged}");
    rig.tool(&name, "toggle-subscriber-updates", json!({})).await;
    let updated = next().await;
    assert!(updated.contains("notifications/resources/updated") && updated.contains(uri), "{updated}");
    let params = json!({"name": "trigger-long-running-operation", "arguments": {"duration": 1, "steps": 2}, "_meta": {"progressToken": 7}});
    let heard = rig.rpc(&name, "tools/call", params).await;
    assert!(heard.messages.len() >= 2 && heard.messages[0]["params"]["progressToken"] == 7, "{heard:?}");
    assert_eq!(rig.json("DELETE", &format!("/v1/workloads/{name}"), "").await.0, 204);
}
