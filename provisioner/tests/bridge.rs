//! The bridge through the real router, over a simulated host, against a server of each era.
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

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use provisioner::simulated::Simulated;
use provisioner::{Provisioner, Settings};
use rig::fake::{Era, Seen, serve};
use rig::{Rig, hear, key, request, until};
use serde_json::{Value, json};

const NAME: &str = "acme.ops.fake";

fn spec() -> Value {
    json!({"org": "acme", "toolbox": "ops", "server": "fake", "image": "x", "digest": format!("sha256:{}", "0".repeat(64)),
        "transport": {"type": "stdio"}, "limits": {"call_timeout_ms": 2000}})
}

struct Bench {
    rig: Rig,
    host: Simulated,
    seen: Seen,
}

impl Bench {
    fn with(era: Era, settings: Settings) -> Self {
        let seen = Seen::default();
        let shown = Arc::clone(&seen);
        let host = Simulated::new(move |_, pipes| Box::pin(serve(era, Arc::clone(&shown), pipes)));
        Self { rig: Rig::new(Provisioner::with_host(host.clone(), key(), settings)), host, seen }
    }

    async fn up(era: Era) -> Self {
        let bench = Self::with(era, Settings::default());
        let (status, body) = bench.rig.put(&spec()).await;
        assert_eq!(status, 200, "{body}");
        bench
    }

    fn saw(&self, method: &str) -> Vec<Value> {
        self.seen.lock().unwrap().iter().filter(|message| message["method"] == method).cloned().collect()
    }

    async fn tool(&self, tool: &str, arguments: Value) -> rig::Heard {
        self.rig.tool(NAME, tool, arguments).await
    }
}

#[tokio::test]
async fn both_eras_look_the_same() {
    for (era, protocol) in
        [(Era::Modern, "2026-07-28"), (Era::Legacy, "2025-11-25"), (Era::Brittle, "2025-11-25")]
    {
        let bench = Bench::up(era).await;
        let (_, status) = bench.rig.json("GET", &format!("/v1/workloads/{NAME}"), "").await;
        assert_eq!(status["protocol"], protocol);
        let found = bench.rig.rpc(NAME, "server/discover", json!({})).await;
        assert_eq!(found.result()["supportedVersions"], json!(["2026-07-28"]));
        let list = bench.rig.rpc(NAME, "tools/list", json!({})).await;
        assert_eq!(list.result()["resultType"], "complete");
        assert_eq!(list.headers["ambit-answer"], "complete");
        assert_eq!(bench.tool("echo", json!({"message": "hi"})).await.text(), "hi");
        let asked = bench.rig.rpc(NAME, "no/such", json!({})).await;
        assert_eq!((asked.status.as_u16(), asked.last()["error"]["code"].as_i64()), (200, Some(-32601)));
        assert!(asked.headers.get("ambit-answer").is_none());
    }
}

#[tokio::test]
async fn an_older_server_gets_what_it_knows_and_gives_what_is_needed() {
    let bench = Bench::up(Era::Legacy).await;
    let list = bench.rig.rpc(NAME, "tools/list", json!({"cursor": ""})).await;
    assert_eq!(
        (list.result()["ttlMs"].as_u64(), list.result()["cacheScope"].as_str()),
        (Some(60_000), Some("private"))
    );
    assert_eq!(bench.saw("tools/list")[0]["params"], json!({"cursor": ""}));
    let heard = bench
        .rig
        .rpc(
            NAME,
            "tools/call",
            json!({"name": "meta", "_meta": {"traceparent": "00-1", "com.example/x": [1]}}),
        )
        .await;
    // As a value: whether maps keep their order is for the build to say, not for this test.
    let meta: serde_json::Value = serde_json::from_str(heard.text()).unwrap();
    assert_eq!(meta, json!({"com.example/x": [1], "traceparent": "00-1"}));
    let gone = bench.rig.rpc(NAME, "resources/read", json!({"uri": "test://none"})).await;
    assert_eq!(gone.last()["error"]["code"], -32602);
    for removed in ["initialize", "ping", "logging/setLevel", "resources/subscribe"] {
        let heard = bench.rig.rpc(NAME, removed, json!({})).await;
        assert_eq!(heard.last()["error"]["code"], -32601, "{removed}");
    }
}

#[tokio::test]
async fn ids_come_back_as_they_were() {
    let bench = Bench::up(Era::Legacy).await;
    for id in [json!("a\u{1F600}"), json!(0), json!(-5), json!(9_007_199_254_740_993_i64)] {
        let heard = bench.rig.say(NAME, request(id.clone(), "tools/list", json!({}))).await;
        assert_eq!(heard.last()["id"], id);
    }
    // Byte for byte, escapes included.
    let body = request(json!("ID"), "tools/list", json!({})).to_string().replace("\"ID\"", "\"\\u0041\"");
    let response = bench.rig.send("POST", &format!("/v1/workloads/{NAME}/mcp"), body).await;
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains(r#""id":"\u0041""#));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_calls_at_once_each_get_their_own_answer() {
    for era in [Era::Modern, Era::Legacy] {
        let bench = Bench::up(era).await;
        let calls = (0..1000_u64).map(|number| {
            let rig = bench.rig.clone();
            async move {
                let arguments = json!({"ms": number % 7, "message": format!("m{number}")});
                // The same id on all: it is the bridge that keeps them apart.
                rig.tool(NAME, "later", arguments).await.text() == format!("m{number}")
            }
        });
        assert!(join_all(calls).await.into_iter().all(|same| same));
    }
}

#[tokio::test]
async fn progress_streams_to_whom_it_belongs() {
    for era in [Era::Modern, Era::Legacy] {
        let bench = Bench::up(era).await;
        let call = |token: &str| {
            let params = json!({"name": "progress", "arguments": {"message": token}, "_meta": {"progressToken": token}});
            bench.rig.rpc(NAME, "tools/call", params)
        };
        let (one, other) = tokio::join!(call("t1"), call("t2"));
        for (heard, token) in [(one, "t1"), (other, "t2")] {
            assert_eq!(heard.headers["content-type"], "text/event-stream");
            assert_eq!(heard.headers["x-accel-buffering"], "no");
            assert_eq!(heard.messages.len(), 4);
            for notice in &heard.messages[..3] {
                assert_eq!(
                    (&notice["params"]["progressToken"], &notice["params"]["message"]),
                    (&json!(token), &json!(token))
                );
            }
            assert_eq!(heard.text(), "done");
        }
        // Nobody asked, nobody is told.
        assert_eq!(bench.tool("progress", json!({})).await.messages.len(), 1);
    }
}

#[tokio::test]
async fn logs_go_to_who_asked_and_only_if_it_is_clear_who() {
    let bench = Bench::up(Era::Legacy).await;
    let asking =
        json!({"name": "log", "arguments": {}, "_meta": {"io.modelcontextprotocol/logLevel": "warning"}});
    let heard = bench.rig.rpc(NAME, "tools/call", asking.clone()).await;
    assert_eq!(heard.messages.len(), 2, "one is below the level: {:?}", heard.messages);
    assert_eq!(heard.messages[0]["params"]["level"], "error");
    assert_eq!(bench.saw("logging/setLevel")[0]["params"], json!({"level": "warning"}));
    assert_eq!(bench.tool("log", json!({})).await.messages.len(), 1, "not asked for");
    let (heard, _) =
        tokio::join!(bench.rig.rpc(NAME, "tools/call", asking), bench.tool("later", json!({"ms": 100})));
    assert_eq!(heard.messages.len(), 1, "whose it is cannot be told");
    assert!(bench.rig.logs(NAME).await.contains("psst"));
}

#[tokio::test]
async fn hanging_up_cancels() {
    for era in [Era::Modern, Era::Legacy] {
        let bench = Bench::up(era).await;
        let call = bench.tool("later", json!({"ms": 60_000}));
        assert!(tokio::time::timeout(Duration::from_millis(100), call).await.is_err());
        until("cancelled", async || !bench.saw("notifications/cancelled").is_empty()).await;
        let sent = bench.saw("tools/call")[0]["id"].clone();
        assert_eq!(bench.saw("notifications/cancelled")[0]["params"]["requestId"], sent);
        assert_eq!(bench.tool("echo", json!({"message": "still here"})).await.text(), "still here");
    }
}

#[tokio::test]
async fn no_answer_in_time_is_a_timeout_and_cancels() {
    let bench = Bench::up(Era::Legacy).await;
    let heard = bench.tool("silent", json!({})).await;
    assert_eq!(heard.status, 504);
    assert_eq!(heard.last()["type"], "urn:ambit:timeout");
    until("cancelled", async || bench.saw("notifications/cancelled").len() == 1).await;
}

#[tokio::test]
async fn a_crash_fails_every_call_clearly_and_the_next_call_restarts() {
    let bench = Bench::up(Era::Legacy).await;
    let waiting = bench.tool("later", json!({"ms": 1500}));
    let streaming = bench.rig.rpc(
        NAME,
        "tools/call",
        json!({"name": "progress", "arguments": {}, "_meta": {"progressToken": 1}}),
    );
    let crash = async {
        tokio::time::sleep(Duration::from_millis(4)).await;
        bench.tool("crash", json!({})).await
    };
    let (waiting, streaming, crash) = tokio::join!(waiting, streaming, crash);
    for heard in [&waiting, &crash] {
        assert_eq!(heard.status, 502, "{:?}", heard.messages);
        assert_eq!(heard.last()["type"], "urn:ambit:server-failed");
        assert!(heard.last()["detail"].as_str().unwrap().contains("exited with code 9"));
    }
    assert_eq!(streaming.status, 200);
    assert_eq!(
        (&streaming.last()["id"], &streaming.last()["error"]["code"]),
        (&json!(1), &json!(-32603)),
        "{streaming:?}"
    );
    assert_eq!(bench.tool("echo", json!({"message": "back"})).await.text(), "back");
    bench.host.kill(NAME);
    until("restarted", async || bench.tool("echo", json!({"message": "x"})).await.status == 200).await;
}

#[tokio::test]
async fn a_server_that_keeps_failing_is_left_alone_for_a_while() {
    let bench = Bench::with(Era::Dead, Settings { patience: Duration::ZERO, ..Settings::default() });
    let (status, body) = bench.rig.put(&spec()).await;
    assert_eq!((status.as_u16(), body["type"].as_str()), (502, Some("urn:ambit:server-failed")));
    assert!(body["detail"].as_str().unwrap().contains("exited with code 3"), "{body}");
    let response = bench.rig.open(NAME, request(json!(1), "tools/list", json!({}))).await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(hear(response).await.last()["type"], "urn:ambit:backing-off");
    assert!(bench.rig.logs(NAME).await.contains("no such table"), "logs of failed starts are kept");
    let (_, status) = bench.rig.json("GET", &format!("/v1/workloads/{NAME}"), "").await;
    assert_eq!(status["state"], "failed");
}

#[tokio::test]
async fn a_mute_server_fails_its_start() {
    let settings = Settings { ready_within: Duration::from_millis(300), ..Settings::default() };
    let bench = Bench::with(Era::Mute, settings);
    let (status, body) = bench.rig.put(&spec()).await;
    assert_eq!(status, 502, "{body}");
    assert!(body["detail"].as_str().unwrap().contains("answered neither"), "{body}");
}

#[tokio::test]
async fn ten_megabytes_pass_and_more_is_refused_both_ways() {
    let bench = Bench::up(Era::Legacy).await;
    let text = "y".repeat(10_000_000);
    assert_eq!(bench.tool("echo", json!({"message": text})).await.text().len(), 10_000_000);
    let heard = bench.tool("echo", json!({"message": "y".repeat(10 * 1024 * 1024)})).await;
    assert_eq!((heard.status.as_u16(), heard.last()["type"].as_str()), (413, Some("urn:ambit:too-large")));
    let (big, small) =
        tokio::join!(bench.tool("big", json!({"bytes": 11_000_000})), bench.tool("later", json!({"ms": 50})));
    assert_eq!(big.status, 502);
    assert!(big.last()["detail"].as_str().unwrap().contains("larger than"), "{big:?}");
    assert_eq!(small.text(), "late", "only the one that was too large fails");
}

#[tokio::test]
async fn noise_is_kept_as_logs_and_requests_of_the_server_are_declined() {
    let bench = Bench::up(Era::Legacy).await;
    assert_eq!(bench.tool("noise", json!({})).await.text(), "quiet");
    assert!(bench.rig.logs(NAME).await.contains("stdout: Listening on stdio..."));
    assert_eq!(bench.tool("ask", json!({})).await.text(), "asked");
    until("declined", async || {
        let seen = bench.seen.lock().unwrap();
        let of = |id: &str| seen.iter().find(|message| message["id"] == id).cloned();
        of("s1").is_some_and(|m| m["error"]["code"] == -32601)
            && of("s2").is_some_and(|m| m["result"] == json!({}))
    })
    .await;
}

#[tokio::test]
async fn what_a_modern_server_asks_for_passes_through() {
    let bench = Bench::up(Era::Modern).await;
    let heard = bench.tool("input", json!({})).await;
    assert_eq!(
        (&heard.result()["resultType"], &heard.result()["requestState"]),
        (&json!("input_required"), &json!("opaque"))
    );
    assert!(heard.headers.get("ambit-answer").is_none());
    let heard = bench
        .rig
        .say(NAME, request(json!("sub"), "subscriptions/listen", json!({"notifications": {}})))
        .await;
    assert_eq!(heard.messages.len(), 3);
    let tag = "io.modelcontextprotocol/subscriptionId";
    assert_eq!(heard.messages[0]["params"]["_meta"][tag], "sub");
    assert_eq!(heard.messages[1]["params"]["_meta"][tag], "sub");
    assert_eq!((&heard.last()["id"], &heard.result()["_meta"][tag]), (&json!("sub"), &json!("sub")));
}

#[tokio::test]
async fn listening_to_an_older_server() {
    let bench = Bench::up(Era::Legacy).await;
    let wants = json!({"notifications": {"toolsListChanged": true, "promptsListChanged": true,
        "resourceSubscriptions": ["test://a", "test://refused"]}});
    let response = bench.rig.open(NAME, request(json!(7), "subscriptions/listen", wants.clone())).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = response.into_body().into_data_stream();
    let mut next = async || -> Value {
        let piece = stream.next().await.unwrap().unwrap();
        serde_json::from_slice(piece.strip_prefix(b"data: ").unwrap()).unwrap()
    };
    let acknowledged = next().await;
    assert_eq!(
        acknowledged["params"]["notifications"],
        json!({"toolsListChanged": true, "resourceSubscriptions": ["test://a"]})
    );
    assert_eq!(acknowledged["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7);
    let other = bench.rig.open(NAME, request(json!(8), "subscriptions/listen", wants)).await;
    bench.tool("change", json!({})).await;
    assert_eq!(next().await["method"], "notifications/tools/list_changed");
    let updated = next().await;
    assert_eq!(
        (&updated["method"], &updated["params"]["uri"]),
        (&json!("notifications/resources/updated"), &json!("test://a"))
    );
    assert_eq!(updated["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7);
    let subscribed = |bench: &Bench| {
        bench.saw("resources/subscribe").iter().filter(|m| m["params"]["uri"] == "test://a").count()
    };
    assert_eq!(subscribed(&bench), 1, "the second listener shares the subscription");
    drop(other);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(bench.saw("resources/unsubscribe").is_empty());
    drop(stream);
    until("unsubscribed", async || bench.saw("resources/unsubscribe").len() == 1).await;
}

#[tokio::test]
async fn malformed_messages_never_reach_the_server() {
    let bench = Bench::up(Era::Legacy).await;
    let before = bench.seen.lock().unwrap().len();
    for bad in [
        "",
        "{",
        "[]",
        "null",
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#,
    ] {
        let (status, body) = bench.rig.json("POST", &format!("/v1/workloads/{NAME}/mcp"), bad).await;
        assert_eq!((status.as_u16(), body["type"].as_str()), (400, Some("urn:ambit:malformed")), "{bad}");
    }
    let note = json!({"jsonrpc": "2.0", "method": "notifications/whatever", "params": {}});
    assert_eq!(bench.rig.say(NAME, note).await.status, 202);
    assert_eq!(bench.seen.lock().unwrap().len(), before);
    // Line breaks between tokens are legal JSON and would be two messages on a pipe.
    let body = request(json!(1), "tools/call", json!({"name": "echo", "arguments": {"message": "a\nb"}}));
    let pretty = serde_json::to_string_pretty(&body).unwrap();
    let response = bench.rig.send("POST", &format!("/v1/workloads/{NAME}/mcp"), pretty).await;
    assert_eq!(hear(response).await.text(), "a\nb");
}
