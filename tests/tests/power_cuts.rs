//! Power cuts: gateway, provisioner and Docker are killed in the middle of calls. Nothing that happened lacks its intent, no container
//! is left over, and the next call works.

use std::time::Duration;

use serde_json::{Value, json};
use tests::daemon::Daemon;
use tests::door::Answer;
use tests::fixture;
use tests::mcp::Client;
use tests::operator::Operator;
use tests::stack::{Host, Stack, run};

/// Calls that are under way when the power fails.
const CALLS: usize = 5;

struct Scene {
    stack: Stack,
    operator: Operator,
    agent: Client,
}

impl Scene {
    async fn start(host: Host) -> Self {
        let stack = Stack::start(host).await;
        let operator = stack.organisation().await;
        operator.toolbox("main", &[("fixture", fixture::stdio("modern").await)]).await;
        let agent = operator.agent("worker", "main").await;
        operator.grant("worker", "toolbox/main").await;
        Self { stack, operator, agent }
    }

    /// Calls that have all reached the server: each has told of its progress.
    async fn under_way(&self) -> Vec<Answer> {
        let mut calls = Vec::new();
        for token in 0..CALLS {
            let params = json!({ "name": "slow", "arguments": { "seconds": 30 }, "_meta": { "progressToken": token } });
            let mut answer = self.agent.modern("tools/call", params).await;
            assert_eq!(answer.next_event().await.unwrap()["method"], "notifications/progress");
            calls.push(answer);
        }
        calls
    }

    /// The next call works, be it after a moment of patience, and there is one container.
    async fn recovers(&self) {
        let mut last = Value::Null;
        for _ in 0..150 {
            last = self.agent.call("echo", json!({ "text": "next" })).await;
            if last.get("result").is_some() {
                assert_eq!(last["result"]["content"][0]["text"], "next");
                let containers = Stack::containers(&self.operator.org);
                assert_eq!(containers.len(), 1, "orphans: {containers:?}");
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("the next call does not work: {last}");
    }

    /// The intents of `slow`, each with how it ended.
    async fn intents(&self) -> Vec<Option<String>> {
        let trail = self.operator.trail().await;
        let slow = |event: &&Value| event["phase"] == "intent" && event["subject"]["name"] == "slow";
        let outcome = |intent: &Value| {
            let outcomes: Vec<&Value> = trail
                .iter()
                .filter(|event| event["phase"] == "outcome" && event["intent"] == intent["id"])
                .collect();
            assert!(outcomes.len() <= 1, "an intent ends once: {outcomes:?}");
            outcomes.first().map(|event| event["outcome"]["ended"].as_str().unwrap().to_owned())
        };
        trail.iter().filter(slow).map(outcome).collect()
    }

    /// Waits until every intent of `slow` has ended in one of these ways.
    async fn all_ended(&self, ways: &[&str]) {
        for _ in 0..100 {
            let intents = self.intents().await;
            if intents.len() == CALLS
                && intents.iter().flatten().filter(|ended| ways.contains(&ended.as_str())).count() == CALLS
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not all {CALLS} ended in {ways:?}: {:?}", self.intents().await);
    }
}

/// Each of these calls ends in an error of JSON-RPC, and soon.
async fn end_in_errors(calls: Vec<Answer>) {
    for call in calls {
        let last = tokio::time::timeout(Duration::from_secs(20), call.last()).await.expect("a call hangs");
        assert_eq!((&last["id"], &last["error"]["code"]), (&json!(1), &json!(-32603)), "{last}");
        let message = last["error"]["message"].as_str().unwrap();
        assert!(message.contains("server"), "{message}");
        assert!(
            !message.contains("127.0.0.1") && !message.contains("unix://"),
            "addresses are not for callers: {message}"
        );
    }
}

async fn gateway(host: Host) {
    let mut scene = Scene::start(host).await;
    let calls = scene.under_way().await;
    scene.stack.restart_gateway().await;
    drop(calls);
    // Nobody was left to write an outcome; the reaper will, when the calls' time is up. The intents are there.
    let intents = scene.intents().await;
    assert_eq!(intents, vec![None; CALLS], "every call that reached the server has an intent");
    scene.recovers().await;
}

#[test]
fn gateway_on_standalone() {
    run(gateway(Host::Standalone));
}

#[test]
fn gateway_on_workerd() {
    run(gateway(Host::Workerd));
}

async fn provisioner(host: Host) {
    let mut scene = Scene::start(host).await;
    let calls = scene.under_way().await;
    scene.stack.restart_provisioner().await;
    end_in_errors(calls).await;
    scene.all_ended(&["failed"]).await;
    scene.recovers().await;

    // In the middle of making a container, sooner or later.
    for delay in [0, 30, 100, 200, 350, 600] {
        remove_containers(&scene.operator.org);
        let call = scene.agent.call("echo", json!({ "text": "cold" }));
        let cut = async {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            scene.stack.restart_provisioner().await;
        };
        let (answer, ()) = futures_util::future::join(call, cut).await;
        assert!(answer.get("result").is_some() != answer.get("error").is_some(), "{answer}");
        scene.recovers().await;
    }
}

fn remove_containers(org: &str) {
    let removed = std::process::Command::new("docker")
        .env("DOCKER_HOST", fixture::docker_host())
        .args(["rm", "--force"])
        .args(Stack::containers(org))
        .output()
        .unwrap();
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
}

#[test]
fn provisioner_under_standalone() {
    run(provisioner(Host::Standalone));
}

#[test]
fn provisioner_under_workerd() {
    run(provisioner(Host::Workerd));
}

#[test]
fn docker() {
    run(async {
        let mut daemon = Daemon::start().await;
        let scene = Scene::start(Host::Standalone).await;
        let calls = scene.under_way().await;
        daemon.restart().await;
        end_in_errors(calls).await;
        // The provisioner lives, and answers in the place of the server.
        scene.all_ended(&["failed", "refused"]).await;
        scene.recovers().await;
        drop(scene);
    });
}
