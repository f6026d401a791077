//! Servers that get a credential when they start, in real containers. Fails, with the reason, where there is no Docker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on says so and fails"
)]

mod rig;

use std::time::{Duration, Instant};

use provisioner::Settings;
use provisioner::host::DockerHost;
use provisioner::transit::Sender;
use rig::credential::{account, at, credential, for_subject, signed, variable};
use rig::docker::{Cleanup, engine, image, probe, provisioner, spec};
use rig::{Rig, hear, name_of, request, unique};
use schemas::provisioner::{Delivered, Placement};
use serde_json::{Value, json};

const TOKEN: &str = "CANARY-0123456789";

fn places() -> Vec<Placement> {
    vec![variable("TOKEN"), at(json!({"in": "file", "path": "/run/secrets/token"}))]
}

fn token() -> Delivered {
    credential(&account(b'a'), 1, TOKEN, &places())
}

async fn known(rig: &Rig, spec: &Value, places: &[Placement]) -> String {
    let (spec, name) = for_subject(spec, &account(b'a'), places);
    let (status, body) = rig.json("PUT", &format!("/v1/workloads/{name}"), spec.to_string()).await;
    assert_eq!(status, 200, "{body}");
    name
}

async fn report(rig: &Rig, name: &str) -> Value {
    serde_json::from_str(rig.tool_with(name, "report", json!({}), &token()).await.text()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn hardening_holds_for_a_server_that_was_given_something() {
    let engine = engine().await;
    let rig = provisioner(&engine, Settings::default());
    for mode in ["stdio", "http"] {
        let org = unique("given");
        let _cleanup = Cleanup(org.clone());
        let mut spec = spec(&org, "probe", &probe(&engine, mode).await);
        if mode == "http" {
            spec["transport"] = json!({"type": "http", "port": 8080, "path": "/mcp"});
        }
        let name = known(&rig, &spec, &places()).await;
        let report = report(&rig, &name).await;
        assert_eq!(report["env"]["TOKEN"], "[redacted]", "it has it, and does not get it past us");
        assert_eq!(report["env"]["HOME"], "/tmp", "and what the image says is kept");
        assert_eq!(report["uid"], 10001);
        assert_eq!(report["status"]["CapEff"], "0000000000000000");
        assert_eq!(report["status"]["NoNewPrivs"], "1");
        assert!(report["limits"].as_str().unwrap().contains("Max core file size        0"));
        let mounts: Vec<&str> =
            report["mounts"].as_array().unwrap().iter().map(|at| at.as_str().unwrap()).collect();
        let mount = |path: &str| *mounts.iter().find(|line| line.split(' ').nth(1) == Some(path)).unwrap();
        assert!(mount("/.ambit").contains(" ro"), "{}", mount("/.ambit"));
        for option in ["tmpfs", "nosuid", "nodev", "noexec", "mode=700", "uid=10001"] {
            assert!(mount("/run/secrets").contains(option), "{}", mount("/run/secrets"));
        }
        let file = rig.tool_with(&name, "read", json!({"path": "/run/secrets/token"}), &token()).await;
        assert_eq!(file.text(), "[redacted] 400");
        let shown = std::process::Command::new("docker").args(["inspect", &name]).output().unwrap();
        assert!(!String::from_utf8_lossy(&shown.stdout).contains(TOKEN));
        assert!(report["init"]["ok"].as_str().unwrap().contains("init"), "{}", report["init"]);
        // An exit is told as it is, and the next call gives it again.
        assert_eq!(rig.tool_with(&name, "die", json!({}), &token()).await.status, 502);
        rig::until("back", async || {
            rig.tool_with(&name, "echo", json!({"message": "x"}), &token()).await.status == 200
        })
        .await;
        assert_eq!(rig.json("DELETE", &format!("/v1/workloads/{}", name_of(&spec)), "").await.0, 204);
        assert!(engine.containers(Some(&name)).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stdio_server_that_may_reach_its_toolbox_reaches_nothing_else() {
    let engine = engine().await;
    let rig = provisioner(&engine, Settings::default());
    let org = unique("peers");
    let _cleanup = Cleanup(org.clone());
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let image = probe(&engine, "stdio").await;
    let side = |server: &str| {
        let mut spec = spec(&org, server, &image);
        spec["network"] = json!("toolbox");
        spec
    };
    let (one, other) = (side("one"), side("other"));
    for spec in [&one, &other] {
        let (status, body) = rig.put(spec).await;
        assert_eq!(status, 200, "{body}");
    }
    let name = name_of(&one);
    let docker = |arguments: &[&str]| {
        let said = std::process::Command::new("docker").args(arguments).output().unwrap();
        String::from_utf8_lossy(&said.stdout).trim().to_owned()
    };
    let network = format!("ambit.{org}.t.peers");
    assert_eq!(docker(&["inspect", "-f", "{{.HostConfig.NetworkMode}}", &name]), network);
    // A side container in the toolbox, by its name.
    let web = probe(&engine, "http").await;
    let beside = format!("{org}-beside");
    docker(&["run", "-d", "--name", &beside, "--network", &network, web.digest.as_str()]);
    let dial = async |host: &str, port: u16| {
        let heard = rig.tool(&name, "dial", json!({"host": host, "port": port})).await;
        heard.text().to_owned()
    };
    rig::until("the side container listens", async || dial(&beside, 8080).await == "open").await;
    // The host by each of its addresses, where something listens; other networks; the internet; metadata.
    let mut hosts = vec!["169.254.169.254".to_owned(), "1.1.1.1".to_owned()];
    hosts.push(docker(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "bridge"]));
    hosts.push(docker(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", &network]));
    let own = std::process::Command::new("hostname").arg("-I").output().unwrap();
    hosts.extend(String::from_utf8_lossy(&own.stdout).split_whitespace().map(str::to_owned));
    for host in hosts.iter().filter(|host| !host.is_empty() && !host.contains(':')) {
        assert_ne!(dial(host, port).await, "open", "{host}");
    }
    drop(listener);
}

/// Figures, not assertions: what the entry program and the seal cost.
#[tokio::test(flavor = "multi_thread")]
async fn what_it_costs() {
    let engine = engine().await;
    let rig = provisioner(&engine, Settings::default());
    let org = unique("cost");
    let _cleanup = Cleanup(org.clone());
    let spec = spec(&org, "everything", &image(&engine, "everything").await);
    let (mut plain, mut entered) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let started = Instant::now();
        assert_eq!(rig.put(&spec).await.0, 200);
        rig.tool(&name_of(&spec), "echo", json!({"message": "x"})).await.text();
        plain.push(started.elapsed());
        let name = known(&rig, &spec, &[variable("TOKEN")]).await;
        let token = credential(&account(b'a'), 1, TOKEN, &[variable("TOKEN")]);
        let started = Instant::now();
        rig.tool_with(&name, "echo", json!({"message": "x"}), &token).await.text();
        entered.push(started.elapsed());
        assert_eq!(rig.json("DELETE", &format!("/v1/workloads/{}", name_of(&spec)), "").await.0, 204);
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let (plain, entered) = (median(&mut plain), median(&mut entered));
    eprintln!(
        "cold start and a call: {plain:?} plain, {entered:?} with a credential: {:.2} times as long",
        entered.as_secs_f64() / plain.as_secs_f64()
    );
    // Warm: one after the other, so that both have the same weather.
    assert_eq!(rig.put(&spec).await.0, 200);
    let (base, name) = (name_of(&spec), known(&rig, &spec, &[variable("TOKEN")]).await);
    let token = credential(&account(b'a'), 1, TOKEN, &[variable("TOKEN")]);
    let message = request(json!(1), "tools/call", json!({"name": "echo", "arguments": {"message": "x"}}));
    let sender = Sender::new(&rig.transit_key().await).unwrap();
    let (mut plain, mut sealed, mut sealing) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..300 {
        let started = Instant::now();
        assert_eq!(rig.say(&base, message.clone()).await.text(), "Echo: x");
        plain.push(started.elapsed());
        let started = Instant::now();
        let request = signed(&sender, &name, &message, &token);
        sealing.push(started.elapsed());
        assert_eq!(hear(rig.raw(request).await).await.text(), "Echo: x");
        sealed.push(started.elapsed());
    }
    let (plain, sealed, sealing) = (median(&mut plain), median(&mut sealed), median(&mut sealing));
    eprintln!(
        "a call: {plain:?} plain, {sealed:?} with a credential ({sealing:?} of it sealed and signed): {:.2} times as long",
        sealed.as_secs_f64() / plain.as_secs_f64()
    );
}
