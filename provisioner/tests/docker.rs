//! Real containers on a real Docker host. Fails, with the reason, where there is none.
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
use provisioner::host::{ContainerState, DockerHost};
use rig::docker::{Cleanup, engine, image, probe, provisioner, spec};
use rig::{name_of, unique};
use serde_json::{Value, json};

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
    assert_eq!(
        (list.result()["resultType"].as_str(), list.result()["cacheScope"].as_str()),
        (Some("complete"), Some("private"))
    );
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
    let heard = rig
        .tool(
            &name,
            "convert_time",
            json!({"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}),
        )
        .await;
    assert!(heard.text().contains("21:00"), "{}", heard.text());
    assert_eq!(heard.result()["resultType"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn hardening_holds_from_inside() {
    let engine = engine().await;
    let rig = provisioner(&engine, Settings::default());
    let org = unique("hard");
    let _cleanup = Cleanup(org.clone());
    let spec = spec(&org, "probe", &probe(&engine, "stdio").await);
    let (status, body) = rig.put(&spec).await;
    assert_eq!(status, 200, "{body}");
    let name = name_of(&spec);
    let report: Value = serde_json::from_str(rig.tool(&name, "report", json!({})).await.text()).unwrap();
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(report["status"][set], "0000000000000000", "{set}");
    }
    assert_eq!(report["status"]["NoNewPrivs"], "1");
    assert_eq!(report["status"]["Seccomp"], "2", "a seccomp filter");
    assert_eq!((&report["uid"], &report["gid"]), (&json!(10001), &json!(10001)));
    assert!(
        !report["groups"].to_string().contains("0,") && report["groups"] != json!([0]),
        "{}",
        report["groups"]
    );
    assert_eq!(
        (&report["devices"], &report["routes"]),
        (&json!(["lo"]), &json!([])),
        "no network but loopback"
    );
    assert_eq!(
        (&report["writeRoot"]["error"], &report["writeSrv"]["error"]),
        (&json!("EROFS"), &json!("EROFS"))
    );
    assert!(report["writeTmp"].get("error").is_none(), "{report}");
    assert_eq!(report["fillTmp"]["error"], "ENOSPC", "/tmp is bounded");
    assert_eq!(report["runTmp"]["error"], "EACCES", "/tmp is noexec");
    assert_eq!(report["chown"]["error"], "EPERM");
    assert!(report["sysrq"].get("error").is_some() && report["shm"].get("error").is_some(), "{report}");
    let mounts = report["mounts"].to_string();
    let tmp = report["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m.as_str().unwrap().starts_with("tmpfs /tmp "))
        .unwrap();
    for option in ["rw", "nosuid", "nodev", "noexec"] {
        assert!(tmp.as_str().unwrap().contains(option), "{tmp}");
    }
    assert!(mounts.contains(" / ") && !mounts.contains("docker.sock"), "{mounts}");
    assert_eq!(report["socket"], false);
    assert!(report["init"]["ok"].as_str().unwrap().contains("init"), "{}", report["init"]);
    assert!(report["limits"].as_str().unwrap().contains("Max core file size        0"));
    let spawned: Value = serde_json::from_str(rig.tool(&name, "spawn", json!({})).await.text()).unwrap();
    assert!(spawned["refused"].as_u64().unwrap() > 100, "the pids limit: {spawned}");
    assert_ne!(rig.tool(&name, "dial", json!({"host": "169.254.169.254", "port": 80})).await.text(), "open");
    assert_ne!(rig.tool(&name, "dial", json!({"host": "1.1.1.1", "port": 443})).await.text(), "open");
    // Nothing of what callers say may be left behind in Docker.
    let inspected = std::process::Command::new("docker").args(["inspect", &name]).output().unwrap();
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    let host = &inspected[0]["HostConfig"];
    assert_eq!(
        (&host["LogConfig"]["Type"], &host["RestartPolicy"]["Name"], &host["NetworkMode"]),
        (&json!("none"), &json!("no"), &json!("none"))
    );
    assert_eq!(
        (&host["Memory"], &host["MemorySwap"], &host["NanoCpus"]),
        (&json!(256 << 20), &json!(256 << 20), &json!(1_000_000_000))
    );
    assert_eq!(
        (&host["Privileged"], &host["IpcMode"], &host["Binds"]),
        (&json!(false), &json!("none"), &Value::Null)
    );
    assert!(
        inspected[0]["Image"] == spec["digest"] && inspected[0]["Config"]["Image"] == spec["digest"],
        "pinned by digest"
    );
    assert!(rig.logs(&name).await.contains("probe is up"));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_mid_call_is_told_and_restarted() {
    let engine = engine().await;
    let rig = provisioner(&engine, Settings::default());
    let org = unique("kill");
    let _cleanup = Cleanup(org.clone());
    let spec = spec(&org, "probe", &probe(&engine, "stdio").await);
    assert_eq!(rig.put(&spec).await.0, 200);
    let name = name_of(&spec);
    let waiting = rig.tool(&name, "silent", json!({}));
    let started = Instant::now();
    let killing = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        rig.tool(&name, "die", json!({})).await
    };
    let (waiting, killed) = tokio::join!(waiting, killing);
    for heard in [waiting, killed] {
        assert_eq!(
            (heard.status.as_u16(), heard.last()["type"].as_str()),
            (502, Some("urn:ambit:server-failed")),
            "{heard:?}"
        );
        assert!(heard.last()["detail"].as_str().unwrap().contains("137"), "{heard:?}");
    }
    eprintln!("kill -9 told after {:?}", started.elapsed());
    let started = Instant::now();
    assert_eq!(rig.tool(&name, "echo", json!({"message": "back"})).await.text(), "back");
    eprintln!("restart and call {:?}", started.elapsed());
    let heard = rig.tool(&name, "eat", json!({})).await;
    assert!(heard.last()["detail"].as_str().unwrap().contains("out of memory"), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn adopted_after_a_restart_and_rid_of_duplicates() {
    let engine = engine().await;
    let org = unique("adopt");
    let _cleanup = Cleanup(org.clone());
    let spec = spec(&org, "probe", &probe(&engine, "stdio").await);
    let name = name_of(&spec);
    let first = provisioner(&engine, Settings::default());
    assert_eq!(first.put(&spec).await.0, 200);
    let made = engine.containers(Some(&name)).await.unwrap();
    drop(first);
    // As `kill -9` leaves things: a duplicate under another name, and one that was created but never started.
    let second = provisioner(&engine, Settings::default());
    assert_eq!(second.tool(&name, "echo", json!({"message": "adopted"})).await.text(), "adopted");
    assert_eq!(engine.containers(Some(&name)).await.unwrap(), made, "the same container");
    let label = |key: &str| format!("{key}={}", made[0].labels[key]);
    for stray in ["stray-1", "stray-2"] {
        let image = spec["digest"].as_str().unwrap();
        let created = std::process::Command::new("docker")
            .args([
                "create",
                "--network",
                "none",
                "--name",
                &format!("{org}-{stray}"),
                "--label",
                &label("dev.ambit.workload"),
            ])
            .args(["--label", &label("dev.ambit.spec-hash"), image])
            .output()
            .unwrap();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    }
    assert_eq!(engine.containers(Some(&name)).await.unwrap().len(), 3);
    let third = provisioner(&engine, Settings::default());
    assert_eq!(third.put(&spec).await.0, 200);
    assert_eq!(
        engine.containers(Some(&name)).await.unwrap(),
        made,
        "the strays are gone, the server runs on"
    );
    // A crash between create and start: what is left is started, not made again.
    assert_eq!(third.json("DELETE", &format!("/v1/workloads/{name}"), "").await.0, 204);
    let created = {
        let spec: schemas::provisioner::WorkloadSpec = serde_json::from_value(spec.clone()).unwrap();
        let image = engine.image(spec.digest.as_str()).await.unwrap().unwrap();
        let body = provisioner::hardening::container(&name.parse().unwrap(), &spec, &image, None);
        engine.create(&name, &body).await.unwrap()
    };
    let fourth = provisioner(&engine, Settings::default());
    assert_eq!(fourth.put(&spec).await.0, 200);
    let found = engine.containers(Some(&name)).await.unwrap();
    assert_eq!((found.len(), &found[0].id, found[0].state), (1, &created, ContainerState::Running));
}

#[tokio::test(flavor = "multi_thread")]
async fn sleeps_and_wakes() {
    let engine = engine().await;
    let org = unique("sleep");
    let _cleanup = Cleanup(org.clone());
    let settings = Settings {
        pause_after: Duration::from_millis(400),
        stop_after: Duration::from_secs(3),
        ..Settings::default()
    };
    let rig = provisioner(&engine, settings);
    let idle = tokio::spawn(rig.provisioner.background());
    let spec = spec(&org, "probe", &probe(&engine, "stdio").await);
    let name = name_of(&spec);
    assert_eq!(rig.put(&spec).await.0, 200);
    for (state, label) in [("paused", "paused"), ("stopped", "stopped")] {
        rig::until(label, async || {
            rig.json("GET", &format!("/v1/workloads/{name}"), "").await.1["state"] == state
        })
        .await;
        let started = Instant::now();
        assert_eq!(rig.tool(&name, "echo", json!({"message": "x"})).await.text(), "x");
        eprintln!("woken from {label} in {:?}", started.elapsed());
    }
    idle.abort();
    // A paused one is deleted and replaced like any other.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let id = engine.containers(Some(&name)).await.unwrap().remove(0).id;
    let _ = engine.pause(&id).await;
    assert_eq!(rig.json("DELETE", &format!("/v1/workloads/{name}"), "").await.0, 204);
    assert!(engine.containers(Some(&name)).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_through_a_real_server() {
    let engine = engine().await;
    let rig = provisioner(&engine, Settings::default());
    let org = unique("big");
    let _cleanup = Cleanup(org.clone());
    let spec = spec(&org, "everything", &image(&engine, "everything").await);
    assert_eq!(rig.put(&spec).await.0, 200);
    let name = name_of(&spec);
    let heard = rig.tool(&name, "echo", json!({"message": "z".repeat(10_000_000)})).await;
    assert_eq!(heard.text().len(), 10_000_006);
    let heard = rig.tool(&name, "echo", json!({"message": "z".repeat(10 * 1024 * 1024 - 2000)})).await;
    assert_eq!(heard.status, 413, "said at once, where the server would have gone deaf");
    assert_eq!(rig.tool(&name, "echo", json!({"message": "still here"})).await.text(), "Echo: still here");
}
