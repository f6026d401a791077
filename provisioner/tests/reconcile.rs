//! Workloads through the real router, over a simulated host: idempotent, adopted, healed, put to sleep; and signatures.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on says so and fails"
)]

mod rig;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use provisioner::host::DockerHost;
use provisioner::simulated::{Fault, Simulated};
use provisioner::{Provisioner, Settings, SharedKey};
use rig::fake::{Era, Seen, serve};
use rig::{Rig, key, now, request, until};
use schemas::provisioner::SIGNATURE_HEADER;
use serde_json::{Value, json};

const NAME: &str = "acme.ops.fake";

fn spec() -> Value {
    json!({"org": "acme", "toolbox": "ops", "server": "fake", "image": "x", "digest": format!("sha256:{}", "0".repeat(64)),
        "transport": {"type": "stdio"}})
}

fn host() -> Simulated {
    Simulated::new(|_, pipes| Box::pin(serve(Era::Legacy, Seen::default(), pipes)))
}

fn rig(host: &Simulated, settings: Settings) -> Rig {
    Rig::new(Provisioner::with_host(host.clone(), key(), settings))
}

fn count(host: &Simulated, step: &str) -> usize {
    host.journal().iter().filter(|done| *done == step).count()
}

async fn echo(rig: &Rig) -> u16 {
    rig.tool(NAME, "echo", json!({"message": "x"})).await.status.as_u16()
}

#[tokio::test]
async fn putting_twice_is_putting_once() {
    let host = host();
    let rig = rig(&host, Settings::default());
    for _ in 0..3 {
        let (status, body) = rig.put(&spec()).await;
        assert_eq!((status.as_u16(), body["state"].as_str()), (200, Some("running")), "{body}");
    }
    assert_eq!((count(&host, "create"), count(&host, "start")), (1, 1));
    let spec = spec();
    let (one, other) = tokio::join!(rig.put(&spec), rig.put(&spec));
    assert_eq!((one.0.as_u16(), other.0.as_u16(), count(&host, "create")), (200, 200, 1));
}

#[tokio::test]
async fn putting_again_removes_what_lies_beside_and_keeps_the_server() {
    let host = host();
    let rig = rig(&host, Settings::default());
    rig.put(&spec()).await;
    let stray = host.body(NAME).unwrap();
    host.create("stray", &stray).await.unwrap();
    let (slow, put) = tokio::join!(rig.tool(NAME, "later", json!({"ms": 100})), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        rig.put(&spec()).await
    });
    assert_eq!((slow.status.as_u16(), put.0.as_u16()), (200, 200), "a call under way is not disturbed");
    assert_eq!(host.containers(Some(NAME)).await.unwrap().len(), 1);
    assert_eq!((count(&host, "start"), count(&host, "attach")), (1, 1));
    // A host that does not answer for a moment costs no server either.
    host.fail(0, Fault::Before);
    assert_eq!(rig.put(&spec()).await.0, 503);
    assert_eq!(echo(&rig).await, 200);
    assert_eq!((count(&host, "start"), count(&host, "attach")), (1, 1));
}

#[tokio::test]
async fn what_an_earlier_life_left_running_is_put_to_sleep_too() {
    let host = host();
    rig(&host, Settings::default()).put(&spec()).await;
    let settings = Settings {
        pause_after: Duration::from_millis(50),
        stop_after: Duration::from_millis(300),
        ..Settings::default()
    };
    let next = rig(&host, settings);
    tokio::spawn(next.provisioner.background());
    let stopped =
        async || next.json("GET", &format!("/v1/workloads/{NAME}"), "").await.1["state"] == "stopped";
    until("stopped", stopped).await;
    assert_eq!(echo(&next).await, 200);
}

#[tokio::test]
async fn of_several_hosts_one_is_home() {
    let hosts = [host().at("one"), host().at("two"), host().at("three")];
    let rig = || {
        let hosts = hosts.iter().map(|host| Arc::new(host.clone()) as Arc<dyn DockerHost>).collect();
        Rig::new(Provisioner::with_hosts(hosts, key(), Settings::default()))
    };
    assert_eq!(rig().put(&spec()).await.0, 200);
    let at = |host: &Simulated| host.body(NAME).is_some();
    let home = hosts.iter().position(at).unwrap();
    assert_eq!(hosts.iter().filter(|host| at(host)).count(), 1);
    // The servers of one toolbox live together: they share a network.
    let mut sibling = spec();
    sibling["server"] = json!("other");
    assert_eq!(rig().put(&sibling).await.0, 200);
    assert!(hosts[home].body("acme.ops.other").is_some());
    // A copy elsewhere, as a partition leaves it, goes at the next PUT; calls go on.
    let next = rig();
    assert_eq!(echo(&next).await, 200);
    let lost = &hosts[(home + 1) % 3];
    lost.create("stray", &hosts[home].body(NAME).unwrap()).await.unwrap();
    assert_eq!(next.put(&spec()).await.0, 200);
    assert_eq!(lost.containers(Some(NAME)).await.unwrap().len(), 0);
    assert_eq!(echo(&next).await, 200);
    assert_eq!(count(&hosts[home], "start"), 2, "one each");
}

#[tokio::test]
async fn another_spec_replaces_the_container() {
    let host = host();
    let rig = rig(&host, Settings::default());
    let (_, before) = rig.put(&spec()).await;
    let mut changed = spec();
    changed["limits"] = json!({"pids": 32});
    let (status, after) = rig.put(&changed).await;
    assert_eq!(status, 200);
    assert_ne!(before["spec_hash"], after["spec_hash"]);
    assert_eq!((count(&host, "create"), count(&host, "remove")), (2, 1));
    assert_eq!(host.body(NAME).unwrap().pids_limit, 32);
    assert_eq!(echo(&rig).await, 200);
}

#[tokio::test]
async fn a_new_life_adopts_what_runs() {
    let host = host();
    assert_eq!(rig(&host, Settings::default()).put(&spec()).await.0, 200);
    let next = rig(&host, Settings::default());
    // Without a PUT: the label says what it is.
    assert_eq!(echo(&next).await, 200);
    assert_eq!(next.put(&spec()).await.0, 200);
    assert_eq!((count(&host, "create"), count(&host, "start")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_fault_at_any_step_heals_at_the_next_put() {
    for fault in [Fault::Before, Fault::After] {
        for nth in 0.. {
            let host = host();
            host.fail(nth, fault);
            let first = rig(&host, Settings::default());
            let (status, body) = first.put(&spec()).await;
            if host.spared() {
                assert_eq!(status, 200);
                assert!(nth >= 4, "list, create, attach, start: {nth}");
                break;
            }
            assert_eq!(
                (status.as_u16(), body["type"].as_str()),
                (503, Some("urn:ambit:host-unreachable")),
                "step {nth}"
            );
            // The same provisioner, and another life of it.
            for healer in [first, rig(&host, Settings::default())] {
                let (status, body) = healer.put(&spec()).await;
                assert_eq!(status, 200, "step {nth} {fault:?}: {body}");
                assert_eq!(host.containers(Some(NAME)).await.unwrap().len(), 1);
                assert_eq!(echo(&healer).await, 200);
            }
        }
    }
}

#[tokio::test]
async fn unknown_things_are_told_apart() {
    let host = host();
    let rig = rig(&host, Settings::default());
    let unknown = rig.rpc(NAME, "tools/list", json!({})).await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.last()["type"].as_str()),
        (404, Some("urn:ambit:unknown-workload"))
    );
    assert_eq!(
        rig.json("GET", &format!("/v1/workloads/{NAME}"), "").await.1["type"],
        "urn:ambit:unknown-workload"
    );
    host.lacks_image(&format!("sha256:{}", "0".repeat(64)));
    let (status, body) = rig.put(&spec()).await;
    assert_eq!((status.as_u16(), body["type"].as_str()), (404, Some("urn:ambit:unknown-image")));
    let (status, _) = rig.json("PUT", "/v1/workloads/acme.ops.other", spec().to_string()).await;
    assert_eq!(status, 400, "the name is derived from the spec");
    assert_eq!(rig.json("PUT", &format!("/v1/workloads/{NAME}"), r#"{"org":"acme"}"#).await.0, 400);
    assert_eq!(rig.json("GET", "/v1/workloads/UPPER", "").await.0, 400);
    let mut loose = spec();
    loose["limits"] = json!({"memory_mib": 0});
    let (status, body) = rig.put(&loose).await;
    assert_eq!(status, 400);
    assert!(body["detail"].as_str().unwrap().contains("limits.memory_mib"), "{body}");
    assert_eq!(rig.json("DELETE", &format!("/v1/workloads/{NAME}"), "").await.0, 204);
}

#[tokio::test]
async fn deleted_is_unknown_until_put_again() {
    let host = host();
    let rig = rig(&host, Settings::default());
    rig.put(&spec()).await;
    assert_eq!(rig.json("GET", "/v1/workloads", "").await.1.as_array().unwrap().len(), 1);
    assert_eq!(rig.json("DELETE", &format!("/v1/workloads/{NAME}"), "").await.0, 204);
    assert_eq!(echo(&rig).await, 404);
    assert_eq!(host.containers(None).await.unwrap().len(), 0);
    assert_eq!(rig.put(&spec()).await.0, 200);
    assert_eq!(echo(&rig).await, 200);
}

#[tokio::test]
async fn idle_workloads_sleep_and_wake() {
    let host = host();
    let settings = Settings {
        pause_after: Duration::from_millis(200),
        stop_after: Duration::from_millis(1500),
        ..Settings::default()
    };
    let rig = rig(&host, settings);
    tokio::spawn(rig.provisioner.background());
    rig.put(&spec()).await;
    // A call under way keeps it awake, however long it takes.
    assert_eq!(rig.tool(NAME, "later", json!({"ms": 800})).await.status, 200);
    assert_eq!(count(&host, "pause"), 0);
    let state = async || rig.json("GET", &format!("/v1/workloads/{NAME}"), "").await.1["state"].clone();
    until("paused", async || state().await == "paused").await;
    assert_eq!(echo(&rig).await, 200);
    assert_eq!(
        (count(&host, "unpause"), count(&host, "start"), count(&host, "attach")),
        (1, 1, 1),
        "as it was"
    );
    until("stopped", async || state().await == "stopped").await;
    assert_eq!(echo(&rig).await, 200);
    assert_eq!((count(&host, "create"), count(&host, "start")), (1, 2));
}

#[tokio::test]
async fn events_and_status_for_operators() {
    use futures_util::StreamExt as _;
    let host = host();
    let rig = rig(&host, Settings::default());
    let response = rig.send("GET", "/v1/events", "").await;
    let mut stream = response.into_body().into_data_stream();
    assert_eq!(stream.next().await.unwrap().unwrap().as_ref(), b":\n\n");
    rig.put(&spec()).await;
    let piece = stream.next().await.unwrap().unwrap();
    let event: Value = serde_json::from_slice(piece.strip_prefix(b"data: ").unwrap()).unwrap();
    assert_eq!((event["workload"].as_str(), event["event"].as_str()), (Some(NAME), Some("start")));
    let (_, status) = rig.json("GET", "/v1/status", "").await;
    assert_eq!(
        (status["hosts"][0]["docker"].as_str(), status["hosts"][0]["workloads"].as_u64()),
        (Some("simulated"), Some(1))
    );
}

#[tokio::test]
async fn only_the_gateway_is_heard() {
    let rig = rig(&host(), Settings::default());
    let send = async |header: Option<String>, path: &str| {
        let mut request = Request::builder().method("GET").uri(path);
        if let Some(header) = header {
            request = request.header(SIGNATURE_HEADER, header);
        }
        rig.raw(request.body(Body::empty()).unwrap()).await
    };
    let path = "/v1/status";
    let good = || key().sign("GET", path, b"", now(), [9; 16]);
    assert_eq!(send(Some(good()), path).await.status(), 200);
    let other = SharedKey::new([1; 32]).sign("GET", path, b"", now(), [1; 16]);
    for (what, header) in [
        ("none", None),
        ("noise", Some("v1 x".to_owned())),
        ("seen before", Some(good())),
        ("another key", Some(other)),
        ("old", Some(key().sign("GET", path, b"", now().plus(-31_000), [2; 16]))),
        ("early", Some(key().sign("GET", path, b"", now().plus(31_000), [3; 16]))),
        ("another path", Some(key().sign("GET", "/v1/workloads", b"", now(), [4; 16]))),
        ("another method", Some(key().sign("DELETE", path, b"", now(), [5; 16]))),
        ("another body", Some(key().sign("GET", path, b"{}", now(), [6; 16]))),
    ] {
        let response = send(header, path).await;
        assert_eq!(response.status(), 401, "{what}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 9999).await.unwrap();
        assert!(
            !String::from_utf8_lossy(&body).contains("detail"),
            "the caller is not told which check failed"
        );
    }
    for path in ["/v1/workloads", "/v1/workloads/a/mcp", "/v1/events", "/v1/nothing", "/"] {
        assert_eq!(send(None, path).await.status(), 401, "{path}");
    }
    assert_eq!(send(None, "/healthz").await.status(), 200);
}

#[tokio::test]
async fn one_workload_starting_slowly_does_not_hold_another_up() {
    let slow = Arc::new(tokio::sync::Notify::new());
    let gate = Arc::clone(&slow);
    let host = Simulated::new(move |name, pipes| {
        let (wait, gate) = (name.ends_with("slow"), Arc::clone(&gate));
        Box::pin(async move {
            if wait {
                gate.notified().await;
            }
            serve(Era::Legacy, Seen::default(), pipes).await
        })
    });
    let rig = rig(&host, Settings::default());
    let mut other = spec();
    other["server"] = json!("slow");
    let starting = tokio::spawn({
        let rig = rig.clone();
        async move { rig.put(&other).await.0 }
    });
    assert_eq!(rig.put(&spec()).await.0, 200);
    assert_eq!(rig.say(NAME, request(json!(1), "tools/list", json!({}))).await.status, 200);
    assert!(!starting.is_finished());
    slow.notify_one();
    assert_eq!(starting.await.unwrap(), 200);
}

#[tokio::test]
async fn the_era_is_remembered_per_image_and_command() {
    let speaks = Arc::new(std::sync::Mutex::new(Era::Legacy));
    let (now_speaks, seen) = (Arc::clone(&speaks), Seen::default());
    let read = Arc::clone(&seen);
    let host = Simulated::new(move |_, pipes| {
        Box::pin(serve(*now_speaks.lock().unwrap(), Arc::clone(&read), pipes))
    });
    let rig = rig(&host, Settings::default());
    let protocol = async |spec: &Value| rig.put(spec).await.1["protocol"].clone();
    let probes =
        || seen.lock().unwrap().iter().filter(|message| message["method"] == "server/discover").count();
    assert_eq!(protocol(&spec()).await, "2025-11-25");
    let mut sibling = spec();
    sibling["server"] = json!("sibling");
    assert_eq!(protocol(&sibling).await, "2025-11-25");
    assert_eq!(probes(), 1, "what is known is not asked again");
    *speaks.lock().unwrap() = Era::Modern;
    let mut other = spec();
    other["command"] = json!(["--modern"]);
    assert_eq!(protocol(&other).await, "2026-07-28");
}
