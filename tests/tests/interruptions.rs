//! The walk, cut short: every call of the host fails before and after its effect, answers break off, callers hang up.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::door::Answer;
use tests::hermetic::{CALL_LIMIT, Hermetic, settle};
use tests::mcp::Client;
use tests::memory::Moment;
use tests::operator::Operator;
use tests::stack::run;

#[derive(Debug, Clone, Copy)]
enum Era {
    Modern,
    Legacy,
}

/// What a caller asks for, and what the server then hears.
fn walks() -> Vec<(&'static str, Value)> {
    vec![
        ("tools/call", json!({ "name": "echo", "arguments": { "text": "x" } })),
        // So long that a modern one is looked at before its body is read.
        ("tools/call", json!({ "name": "echo", "arguments": { "text": "y".repeat(70_000) } })),
        ("tools/call", json!({ "name": "count", "arguments": { "to": 3 }, "_meta": { "progressToken": 1 } })),
        ("prompts/get", json!({ "name": "greet" })),
        ("resources/read", json!({ "uri": "test://a" })),
        ("prompts/list", json!({})),
        ("resources/list", json!({})),
        (
            "completion/complete",
            json!({ "ref": { "type": "ref/prompt", "name": "greet" }, "argument": { "name": "a", "value": "" } }),
        ),
    ]
}

async fn scene() -> (Hermetic, Operator, Client) {
    scene_of(Hermetic::start().await).await
}

async fn scene_of(scene: Hermetic) -> (Hermetic, Operator, Client) {
    let operator = scene.organisation().await;
    let agent = operator.agent("worker", "main").await;
    operator.grant("worker", "toolbox/main").await;
    settle().await;
    (scene, operator, agent)
}

async fn ask(agent: &Client, era: Era, method: &str, params: &Value) -> Answer {
    let asked = async {
        match era {
            Era::Modern => agent.modern(method, params.clone()).await,
            Era::Legacy => agent.legacy("2025-11-25", method, params.clone()).await,
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asked).await.unwrap_or_else(|_| panic!("{method} hangs"))
}

/// The final message, which is an answer of JSON-RPC: a result or an error, with the id of the request.
async fn well_formed(answer: Answer, what: &str) -> Value {
    let status = answer.status;
    let message = tokio::time::timeout(Duration::from_secs(30), answer.last())
        .await
        .unwrap_or_else(|_| panic!("{what} hangs"));
    assert_eq!(message["jsonrpc"], "2.0", "{what}: {message}");
    assert!(message.get("result").is_some() != message.get("error").is_some(), "{what}: {message}");
    if let Some(error) = message.get("error") {
        assert!(error["code"].is_i64() && error["message"].is_string(), "{what}: {message}");
        let text = message.to_string();
        assert!(
            !text.contains("a fault of the test") && !text.contains("provisioner/v1"),
            "{what} tells too much: {text}"
        );
    }
    assert!(message["id"] == 1 || status == StatusCode::SERVICE_UNAVAILABLE, "{what}: {message}");
    message
}

#[test]
fn every_call_of_the_host_fails() {
    run(async {
        for era in [Era::Modern, Era::Legacy] {
            for (method, params) in walks() {
                Box::pin(walk(era, method, &params)).await;
            }
        }
    });
}

async fn walk(era: Era, method: &str, params: &Value) {
    let (mut scene, _, mut agent) = scene().await;

    // As it should be, from nothing: this counts the steps.
    scene.restart();
    agent.door = scene.door();
    scene.memory.platform.fail(None);
    let before = scene.mark();
    let good = well_formed(ask(&agent, era, method, params).await, method).await;
    assert!(good.get("result").is_some(), "{method}: {good}");
    settle().await;
    let steps = scene.memory.platform.asked();
    assert!(
        scene.sent().len() >= 3 && steps.len() > 5,
        "{method} is not the whole walk: {steps:?} {:?}",
        scene.sent()
    );
    assert!(scene.sent().iter().all(|sent| sent.intents == before + 1), "{method}: {:?}", scene.sent());
    assert_eq!((scene.heard(method), scene.ended().as_deref()), (1, Some("answered")), "{method}");

    for step in 0..steps.len() {
        for moment in [Moment::Before, Moment::After] {
            let what = format!("{era:?} {method}, step {step} of {steps:?}, {moment:?}");
            scene.restart();
            agent.door = scene.door();
            let before = scene.mark();
            scene.memory.platform.fail(Some((step, moment)));
            well_formed(ask(&agent, era, method, params).await, &what).await;
            settle().await;
            scene.memory.platform.fail(None);
            let sent = scene.sent();
            assert!(
                sent.iter().all(|sent| sent.intents == before + 1),
                "{what}: sent without a durable intent: {sent:?}"
            );
            assert!(scene.heard(method) <= 1, "{what}: the server was asked twice");

            // The next one works, whatever happened to this one.
            let next = well_formed(ask(&agent, era, method, params).await, &what).await;
            assert!(next.get("result").is_some(), "{what}, the next: {next}");
            settle().await;
        }
    }
    println!("{era:?} {method}: {} steps", steps.len());
    Box::pin(reap(&scene, method)).await;
}

/// The reaper closes what is open, however often it is interrupted itself.
async fn reap(scene: &Hermetic, what: &str) {
    let platform = &scene.memory.platform;
    platform.fail(None);
    assert_eq!(scene.memory.gateway.tick(platform).await.unwrap(), 0, "nothing is due yet");
    let open = scene.open();
    assert!(open > 0, "{what}: some outcomes were lost");
    platform.advance(CALL_LIMIT + Duration::from_mins(1) + Duration::from_secs(1));
    for step in 0..3 {
        for moment in [Moment::Before, Moment::After] {
            platform.fail(Some((step, moment)));
            let _ = scene.memory.gateway.tick(platform).await;
        }
    }
    platform.fail(None);
    scene.memory.gateway.tick(platform).await.unwrap();
    assert_eq!((scene.open(), scene.due()), (0, 0), "{what}: an intent has not exactly one outcome");
}

/// A call that a person has to approve: whatever fails, it is made once at most, and never without an intent.
#[test]
fn approved_calls_are_interrupted() {
    run(async {
        let (mut scene, operator, _) = scene().await;
        let flags = json!({ "destructive": true, "openWorld": false });
        let path = "/servers/fake/tools/echo";
        operator.must(Method::PUT, path, json!({ "state": "approved", "flags": flags })).await;
        operator.must(Method::PUT, "/users/grace", json!({})).await;
        let key = operator.must(Method::POST, "/agents/worker/keys", json!({ "user": "grace" })).await;
        let mut agent = operator.client("main", key["key"].as_str().unwrap());

        let asking = Box::pin(approvals(&mut scene, &operator, &mut agent, Approved::Not, None)).await;
        let using = Box::pin(approvals(&mut scene, &operator, &mut agent, Approved::First, None)).await;
        for (approved, steps) in [(Approved::Not, asking), (Approved::First, using)] {
            for step in 0..steps {
                for moment in [Moment::Before, Moment::After] {
                    let fault = Some((step, moment));
                    Box::pin(approvals(&mut scene, &operator, &mut agent, approved, fault)).await;
                }
            }
        }
        println!("asking: {asking} steps, an approved call: {using} steps");
        assert!(asking >= 2 && using >= 5, "{asking} {using}");
    });
}

/// Whether a call was approved before it is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Approved {
    Not,
    First,
}

/// One call from its question to its end, with a fault in the first answer after the approval (or in the question). Answers how many
/// steps the interrupted part has.
async fn approvals(
    scene: &mut Hermetic,
    operator: &Operator,
    agent: &mut Client,
    approved: Approved,
    fault: Option<(usize, Moment)>,
) -> usize {
    let what = format!("{approved:?}, {fault:?}");
    scene.restart();
    agent.door = scene.door();
    let platform = scene.memory.platform.clone();
    // Another call each time, so that no approval of another turn is good for it.
    let said = format!("{what} {}", tests::programs::unique("x"));
    let params = json!({ "name": "echo", "arguments": { "text": said } });
    if approved == Approved::First {
        let asked = well_formed(ask(agent, Era::Modern, "tools/call", &params).await, &what).await;
        approve(operator, &asked).await;
    }
    let before = scene.mark();
    platform.fail(fault);
    let first = well_formed(ask(agent, Era::Modern, "tools/call", &params).await, &what).await;
    settle().await;
    let steps = platform.asked().len();
    platform.fail(None);
    if fault.is_none() {
        assert_eq!(first["result"].get("content").is_some(), approved == Approved::First, "{what}: {first}");
    }
    // Without another approval: however often it is repeated, it is made once at most, and not at all without one.
    let mut last = first;
    for _ in 0..2 {
        last = well_formed(ask(agent, Era::Modern, "tools/call", &params).await, &what).await;
        settle().await;
    }
    let once = usize::from(approved == Approved::First);
    assert!(scene.heard("tools/call") <= once, "{what}: made {} times", scene.heard("tools/call"));
    let sent = scene.sent();
    assert!(sent.iter().all(|sent| sent.intents == before + 1), "{what}: without an intent: {sent:?}");
    // The next approval is as good as the first.
    let heard = scene.heard("tools/call");
    approve(operator, &last).await;
    let done = well_formed(ask(agent, Era::Modern, "tools/call", &params).await, &what).await;
    settle().await;
    assert_eq!(
        (&done["result"]["content"][0]["text"], scene.heard("tools/call")),
        (&json!(said), heard + 1),
        "{what}"
    );
    steps
}

async fn approve(operator: &Operator, asked: &Value) {
    let url = &asked["result"]["inputRequests"]["ambit_approval"]["params"]["url"];
    let id = url.as_str().unwrap_or_else(|| panic!("nobody is asked: {asked}")).rsplit_once('/').unwrap().1;
    operator.must(Method::POST, &format!("/approvals/{id}"), json!({ "decision": "approve" })).await;
}

#[test]
fn streams_break_off() {
    run(async {
        let (scene, _, agent) = scene().await;
        let params = json!({ "name": "count", "arguments": { "to": 3 }, "_meta": { "progressToken": 1 } });
        for era in [Era::Modern, Era::Legacy] {
            let mut broken = 0;
            for pieces in 0..8 {
                scene.cut(Some(pieces));
                let what = format!("{era:?}, cut after {pieces} pieces");
                let message = well_formed(ask(&agent, era, "tools/call", &params).await, &what).await;
                settle().await;
                let expected = if message.get("error").is_some() { "failed" } else { "answered" };
                assert_eq!(scene.ended().as_deref(), Some(expected), "{what}: {message}");
                broken += usize::from(expected == "failed");
            }
            assert!((1..8).contains(&broken), "{era:?}: {broken} of 8 streams broke");
            scene.cut(None);
        }
        assert_eq!(scene.open(), 0);
    });
}

#[test]
fn callers_hang_up() {
    run(async {
        let (scene, _, agent) = scene().await;
        let forever = json!({ "name": "count", "arguments": { "to": 0 } });
        let with_progress =
            json!({ "name": "count", "arguments": { "to": 100_000 }, "_meta": { "progressToken": 1 } });

        // While the server thinks.
        scene.mark();
        let answer = tokio::time::timeout(Duration::from_millis(300), async {
            agent.modern("tools/call", forever).await.last().await
        });
        assert!(answer.await.is_err(), "nobody answers that");
        cancelled(&scene).await;

        // In the middle of a stream.
        scene.mark();
        let mut answer = ask(&agent, Era::Modern, "tools/call", &with_progress).await;
        assert_eq!(answer.next_event().await.unwrap()["method"], "notifications/progress");
        drop(answer);
        cancelled(&scene).await;

        // Before anything happened: the walk ends where it was, and nothing is open.
        let before = scene.mark();
        drop(agent.call("echo", json!({ "text": "x" })));
        settle().await;
        assert_eq!((scene.mark(), scene.open()), (before, 0));
    });
}

/// The trail says that the last call was cancelled, and the server heard of it.
async fn cancelled(scene: &Hermetic) {
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if scene.ended().as_deref() == Some("cancelled") && scene.heard("notifications/cancelled") == 1 {
            assert_eq!((scene.heard("tools/call"), scene.open()), (1, 0));
            return;
        }
    }
    panic!("ended: {:?}, cancellations heard: {}", scene.ended(), scene.heard("notifications/cancelled"));
}

#[test]
fn a_server_that_never_answers_is_late() {
    run(async {
        let (scene, _, agent) = scene_of(Hermetic::with_limit(Duration::from_millis(400)).await).await;
        let message = agent.call("count", json!({ "to": 0 })).await;
        assert!(message["error"]["message"].as_str().unwrap().contains("in time"), "{message}");
        settle().await;
        assert_eq!((scene.ended().as_deref(), scene.open()), (Some("failed"), 0));
    });
}
