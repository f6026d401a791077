//! Calls on somebody's account, over a simulated host: whose process serves whom, what a replay is worth, what comes back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on says so and fails"
)]

mod rig;

use std::time::Duration;

use axum::http::HeaderValue;
use provisioner::host::DockerHost;
use provisioner::simulated::{Fault, Simulated};
use provisioner::{Provisioner, Settings};
use rig::credential::{account, at, credential, for_subject, variable};
use rig::fake::{Era, Seen, serve};
use rig::{Rig, hear, key, request, until};
use schemas::provisioner::{CREDENTIAL_HEADER, Delivered, SIGNATURE_HEADER};
use serde_json::{Value, json};

const NAME: &str = "acme.ops.fake";
const ANN: &str = "CANARY-ann-0123456789";
const BOB: &str = "CANARY-bob-9876543210";

fn spec() -> Value {
    json!({"org": "acme", "toolbox": "ops", "server": "fake", "image": "x", "digest": format!("sha256:{}", "0".repeat(64)),
        "transport": {"type": "stdio"}})
}

fn host(era: Era) -> Simulated {
    Simulated::new(move |_, pipes| Box::pin(serve(era, Seen::default(), pipes)))
}

fn rig(host: &Simulated) -> Rig {
    Rig::new(Provisioner::with_host(host.clone(), key(), Settings::default()))
}

fn count(host: &Simulated, step: &str) -> usize {
    host.journal().iter().filter(|done| *done == step).count()
}

/// The workload of an account, made known.
async fn known(rig: &Rig, letter: u8) -> String {
    let (spec, name) = for_subject(&spec(), &account(letter), &[variable("TOKEN")]);
    let (status, body) = rig.json("PUT", &format!("/v1/workloads/{name}"), spec.to_string()).await;
    assert_eq!(status, 200, "{body}");
    name
}

fn token(letter: u8, version: i64, token: &str) -> Delivered {
    credential(&account(letter), version, token, &[variable("TOKEN")])
}

async fn given(rig: &Rig, name: &str, credential: &Delivered) -> String {
    rig.tool_with(name, "given", json!({}), credential).await.text().to_owned()
}

#[tokio::test]
async fn each_account_has_a_process_of_its_own() {
    let host = host(Era::Legacy);
    let rig = rig(&host);
    let (ann, bob) = (known(&rig, b'a').await, known(&rig, b'b').await);
    assert_ne!(ann, bob);
    assert_eq!(count(&host, "create"), 0, "a process is made when a call brings what it needs");
    for _ in 0..2 {
        assert_eq!(given(&rig, &ann, &token(b'a', 1, ANN)).await, "TOKEN=456789");
        assert_eq!(given(&rig, &bob, &token(b'b', 1, BOB)).await, "TOKEN=543210");
    }
    assert_eq!((count(&host, "create"), count(&host, "start"), count(&host, "entry")), (2, 2, 2));
    // Whoever knows the other's name gets nowhere, and neither does who brings nothing.
    for refused in [
        rig.tool_with(&ann, "given", json!({}), &token(b'b', 9, BOB)).await,
        rig.tool(&ann, "given", json!({})).await,
    ] {
        assert_eq!(
            (refused.status.as_u16(), refused.last()["type"].as_str()),
            (403, Some("urn:ambit:wrong-credential"))
        );
    }
    // And the process of nobody in particular takes none.
    assert_eq!(rig.put(&spec()).await.0, 200);
    assert_eq!(rig.tool_with(NAME, "given", json!({}), &token(b'a', 1, ANN)).await.status, 403);
    assert_eq!(given(&rig, &ann, &token(b'a', 1, ANN)).await, "TOKEN=456789", "undisturbed");
    assert_eq!(count(&host, "start"), 3);
}

#[tokio::test]
async fn nothing_of_it_is_in_what_a_container_is_made_from() {
    let host = host(Era::Legacy);
    let rig = rig(&host);
    let ann = known(&rig, b'a').await;
    given(&rig, &ann, &token(b'a', 1, ANN)).await;
    let body = format!("{:?}", host.body(&ann).unwrap());
    assert!(!body.contains("CANARY") && body.contains("/.ambit/entry"), "{body}");
}

#[tokio::test]
async fn a_newer_credential_starts_the_process_anew_and_an_older_one_does_not() {
    let host = host(Era::Legacy);
    let rig = rig(&host);
    let ann = known(&rig, b'a').await;
    assert_eq!(given(&rig, &ann, &token(b'a', 2, ANN)).await, "TOKEN=456789");
    assert_eq!(given(&rig, &ann, &token(b'a', 1, BOB)).await, "TOKEN=456789", "what is held is younger");
    let late = token(b'a', 2, ANN);
    let slow = rig.tool_with(&ann, "later", json!({"ms": 300}), &late);
    let newer = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        given(&rig, &ann, &token(b'a', 3, BOB)).await
    };
    let (slow, newer) = tokio::join!(slow, newer);
    assert_eq!((slow.text(), newer.as_str()), ("late", "TOKEN=543210"), "a call under way is let end");
    assert_eq!((count(&host, "start"), count(&host, "create")), (2, 1));
}

#[tokio::test]
async fn another_life_of_ours_gives_it_again() {
    let host = host(Era::Legacy);
    let ann = {
        let first = rig(&host);
        let ann = known(&first, b'a').await;
        given(&first, &ann, &token(b'a', 1, ANN)).await;
        ann
    };
    let next = rig(&host);
    assert_eq!(next.tool(&ann, "given", json!({})).await.status, 403, "also in another life");
    assert_eq!(given(&next, &ann, &token(b'a', 2, BOB)).await, "TOKEN=543210");
    assert_eq!((count(&host, "start"), count(&host, "create")), (2, 1), "nobody knew what it had");
}

#[tokio::test(start_paused = true)]
async fn a_fault_at_any_step_heals_at_the_next_call() {
    for fault in [Fault::Before, Fault::After] {
        for nth in 0.. {
            let host = host(Era::Legacy);
            let first = rig(&host);
            let ann = known(&first, b'a').await;
            host.fail(nth, fault);
            let faulty = first.tool_with(&ann, "given", json!({}), &token(b'a', 1, ANN)).await;
            if host.spared() {
                assert_eq!(faulty.status, 200);
                assert!(nth >= 5, "list, entry, create, attach, start: {nth}");
                break;
            }
            assert_eq!(faulty.status, 503, "step {nth}");
            let second = rig(&host);
            known(&second, b'a').await;
            for healer in [first, second] {
                assert_eq!(
                    given(&healer, &ann, &token(b'a', 1, ANN)).await,
                    "TOKEN=456789",
                    "step {nth} {fault:?}"
                );
                assert_eq!(host.containers(Some(&ann)).await.unwrap().len(), 1);
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_dies_is_started_with_it_again() {
    let host = host(Era::Legacy);
    let rig = rig(&host);
    let ann = known(&rig, b'a').await;
    given(&rig, &ann, &token(b'a', 1, ANN)).await;
    host.kill(&ann);
    // Until its end is known, a call is told that it came too late.
    let back = async || rig.tool_with(&ann, "given", json!({}), &token(b'a', 1, ANN)).await.status == 200;
    until("back", back).await;
    assert_eq!(given(&rig, &ann, &token(b'a', 1, ANN)).await, "TOKEN=456789");
}

#[tokio::test]
async fn idle_processes_go_and_come_back() {
    let host = host(Era::Legacy);
    let settings = Settings {
        pause_after: Duration::from_millis(100),
        stop_after: Duration::from_millis(600),
        ..Settings::default()
    };
    let rig = Rig::new(Provisioner::with_host(host.clone(), key(), settings));
    let ann = known(&rig, b'a').await;
    given(&rig, &ann, &token(b'a', 1, ANN)).await;
    tokio::spawn(rig.provisioner.background());
    until("paused", async || count(&host, "pause") == 1).await;
    assert_eq!(given(&rig, &ann, &token(b'a', 1, ANN)).await, "TOKEN=456789");
    assert_eq!((count(&host, "unpause"), count(&host, "start")), (1, 1), "as it was");
    until("paused again", async || count(&host, "pause") == 2).await;
    assert_eq!(given(&rig, &ann, &token(b'a', 2, BOB)).await, "TOKEN=543210", "not as it was");
    until("gone", async || host.containers(Some(&ann)).await.unwrap().is_empty()).await;
    assert_eq!(rig.tool_with(&ann, "given", json!({}), &token(b'a', 2, BOB)).await.status, 404);
    known(&rig, b'a').await;
    assert_eq!(given(&rig, &ann, &token(b'a', 2, BOB)).await, "TOKEN=543210");
}

#[tokio::test]
async fn one_account_or_the_whole_server_is_ended() {
    let host = host(Era::Legacy);
    let rig = rig(&host);
    assert_eq!(rig.put(&spec()).await.0, 200);
    let (ann, bob) = (known(&rig, b'a').await, known(&rig, b'b').await);
    given(&rig, &ann, &token(b'a', 1, ANN)).await;
    given(&rig, &bob, &token(b'b', 1, BOB)).await;
    let left = async || host.containers(None).await.unwrap().len();
    assert_eq!(rig.json("DELETE", &format!("/v1/workloads/{ann}"), "").await.0, 204);
    assert_eq!(left().await, 2);
    assert_eq!(rig.tool_with(&ann, "given", json!({}), &token(b'a', 1, ANN)).await.status, 404);
    // Also those that only an earlier life knew.
    let next = Rig::new(Provisioner::with_host(host.clone(), key(), Settings::default()));
    assert_eq!(next.json("DELETE", &format!("/v1/workloads/{NAME}"), "").await.0, 204);
    assert_eq!(left().await, 0);
}

#[tokio::test]
async fn what_a_server_takes_may_change() {
    let host = host(Era::Legacy);
    let rig = rig(&host);
    let ann = known(&rig, b'a').await;
    given(&rig, &ann, &token(b'a', 1, ANN)).await;
    let places = [variable("OTHER"), at(json!({"in": "file", "path": "/run/secrets/t"}))];
    let other = credential(&account(b'a'), 1, ANN, &places);
    let heard = rig.tool_with(&ann, "given", json!({}), &other).await;
    assert_eq!(heard.last()["type"], "urn:ambit:unknown-workload", "the gateway sends the new spec");
    let (spec, _) = for_subject(&spec(), &account(b'a'), &places);
    assert_eq!(rig.json("PUT", &format!("/v1/workloads/{ann}"), spec.to_string()).await.0, 200);
    assert_eq!(given(&rig, &ann, &other).await, "OTHER=456789,/run/secrets/t=456789");
    assert_eq!(host.containers(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_sealed_credential_is_worth_nothing_elsewhere() {
    let host = host(Era::Legacy);
    let rig = rig(&host);
    let (ann, bob) = (known(&rig, b'a').await, known(&rig, b'b').await);
    let transit = rig.transit_key().await;
    let message = request(json!(1), "tools/call", json!({"name": "given", "arguments": {}}));
    let (mut caught, of_ann) = (None, token(b'a', 1, ANN));
    let heard = rig.sealed(&transit, &ann, &message, &of_ann, |request| {
        let headers = request.headers();
        caught = Some((headers[SIGNATURE_HEADER].clone(), headers[CREDENTIAL_HEADER].clone()));
    });
    assert_eq!(hear(heard.await).await.text(), "TOKEN=456789");
    let (signature, caught) = caught.unwrap();
    // Again, with what else is signed, elsewhere, and changed.
    let replayed = rig
        .sealed(&transit, &ann, &message, &token(b'a', 1, ANN), |request| {
            request.headers_mut().insert(SIGNATURE_HEADER, signature);
            request.headers_mut().insert(CREDENTIAL_HEADER, caught.clone());
        })
        .await;
    assert_eq!(replayed.status(), 401);
    for name in [&ann, &bob] {
        let moved = rig
            .sealed(&transit, name, &message, &token(b'a', 1, ANN), |request| {
                request.headers_mut().insert(CREDENTIAL_HEADER, caught.clone());
            })
            .await;
        assert_eq!(moved.status(), 401, "the signature is bound to it");
    }
    let dropped = rig
        .sealed(&transit, &ann, &message, &token(b'a', 1, ANN), |request| {
            request.headers_mut().remove(CREDENTIAL_HEADER);
        })
        .await;
    assert_eq!(dropped.status(), 401, "nor is it taken away unnoticed");
    let added = rig
        .sealed(&transit, &ann, &message, &token(b'a', 1, ANN), |request| {
            request.headers_mut().insert(CREDENTIAL_HEADER, HeaderValue::from_static("v1 key=x,enc=,ct="));
        })
        .await;
    assert_eq!(added.status(), 401);
    // Another life has other keys, and says so.
    let next = Rig::new(Provisioner::with_host(host.clone(), key(), Settings::default()));
    let heard = hear(next.sealed(&transit, &ann, &message, &token(b'a', 1, ANN), |_| {}).await).await;
    assert_eq!((heard.status.as_u16(), heard.last()["type"].as_str()), (409, Some("urn:ambit:unknown-key")));
}

#[tokio::test]
async fn a_message_brings_it_in_meta() {
    for era in [Era::Legacy, Era::Modern] {
        let host = host(era);
        let rig = rig(&host);
        assert_eq!(rig.put(&spec()).await.0, 200);
        let place = [at(json!({"in": "meta", "key": "com.example/token"}))];
        // Too short to be struck out of the answer, so that it can be seen here.
        let (ann, bob) =
            (credential(&account(b'a'), 1, "ann", &place), credential(&account(b'b'), 1, "bob", &place));
        for (who, name) in [(&ann, "ann"), (&bob, "bob"), (&ann, "ann")] {
            let heard = rig.tool_with(NAME, "meta", json!({}), who).await;
            let meta: Value = serde_json::from_str(heard.text()).unwrap();
            assert_eq!(meta["com.example/token"], name, "{era:?}");
        }
        let header = credential(&account(b'a'), 1, "ann", &[at(json!({"in": "header", "name": "x-key"}))]);
        assert_eq!(
            rig.tool_with(NAME, "meta", json!({}), &header).await.status,
            403,
            "it has no place there"
        );
        let heard = rig.tool(NAME, "meta", json!({})).await;
        assert!(!heard.text().contains("com.example/token"));
        assert_eq!(count(&host, "start"), 1, "one process for all");
    }
}

#[tokio::test]
async fn a_server_that_tells_what_it_was_given_is_not_passed_on() {
    let host = host(Era::Legacy);
    let rig = rig(&host);
    let ann = known(&rig, b'a').await;
    let heard = rig.tool_with(&ann, "tell", json!({}), &token(b'a', 1, ANN)).await;
    assert!(heard.text().contains("[redacted]") && !heard.text().contains("CANARY"), "{heard:?}");
    let message = json!({"message": ANN, "name": "progress"});
    let params = json!({"name": "progress", "arguments": message, "_meta": {"progressToken": "p"}});
    let transit = rig.transit_key().await;
    let message = request(json!(1), "tools/call", params);
    let heard = hear(rig.sealed(&transit, &ann, &message, &token(b'a', 1, ANN), |_| {}).await).await;
    assert_eq!(heard.messages.len(), 4);
    assert!(!format!("{heard:?}").contains("CANARY"), "{heard:?}");
    assert!(!rig.logs(&ann).await.contains("CANARY"));
}
