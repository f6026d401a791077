//! Credentials that are renewed by many who know nothing of each other, and with everything failing at every step; rows that somebody
//! moved, and accounts that are disconnected while their provider is away.

use std::rc::Rc;
use std::time::Duration;

use gateway::platform::{Batch, Statement, Value as Column};
use http::Method;
use serde_json::{Value, json};
use tests::acting::Acting;
use tests::door::Door;
use tests::hermetic::settle;
use tests::mcp::{Client, text};
use tests::memory::{Asked, Memory, MemoryPlatform, Moment, count};
use tests::operator::Operator;
use tests::people::{client_for, connect, connect_url, signed_in};
use tests::provider::{Fault, Provider, Rotation};
use tests::stack::{Host, Stack, run};

/// How long tokens live, and a time after which they are over.
const LIVES: Duration = Duration::from_hours(2);

struct Scene {
    stack: Stack,
    operator: Operator,
    provider: Provider,
    acting: Acting,
    client: Client,
}

impl Scene {
    async fn start(host: Host) -> Self {
        let stack =
            Stack::with_rates(host, "sign-in=off token=off register=off call=off list=off manage=off").await;
        let operator = stack.organisation().await;
        let provider = Provider::start().await;
        provider.play("gitlab");
        operator.must(Method::PUT, "/providers/code", provider.settings("gitlab")).await;
        let acting = Acting::start(&format!("{}/account", provider.url())).await;
        operator.toolbox("main", &[("acting", acting.server("code", &json!({})))]).await;
        operator.must(Method::PUT, "/agents/helper", json!({})).await;
        operator.grant("helper", "toolbox/main").await;
        let client = client_for(&operator, "helper", "main", "ann").await;
        let scene = Self { stack, operator, provider, acting, client };
        scene.reconnect("ann", "1001").await;
        scene
    }

    async fn reconnect(&self, person: &str, subject: &str) -> Client {
        let client = client_for(&self.operator, "helper", "main", person).await;
        let mut browser = signed_in(&self.operator, person).await;
        self.provider.sign_in(subject);
        let asked = client.call("whoami", json!({})).await;
        if asked["result"]["inputRequests"].is_object() {
            connect(&mut browser, connect_url(&asked)).await;
        }
        self.provider.hits("token");
        client
    }

    fn memory(&self) -> &Memory {
        match &self.stack.door {
            Door::Memory(memory) => memory,
            Door::Socket { .. } => panic!("this test looks inside"),
        }
    }

    fn platform(&self) -> &MemoryPlatform {
        &self.memory().platform
    }

    /// Time goes by, here and there.
    fn advance(&self, by: Duration) {
        self.platform().advance(by);
        self.provider.advance(by);
    }

    async fn call(&self) -> Value {
        self.client.call("whoami", json!({})).await
    }

    /// How often a credential was used, by the trail.
    async fn used(&self) -> usize {
        let trail = self.operator.trail().await;
        trail.iter().filter(|event| event["method"] == "connection.use").count()
    }

    async fn tick(&self) {
        self.memory().gateway.tick(self.platform()).await.unwrap();
        settle().await;
    }

    fn write(&self, sql: &'static str, parameters: Vec<Column>) {
        self.platform().look(&Batch::write([Statement::new(sql, parameters)]));
    }
}

fn works(answer: &Value) -> bool {
    answer["result"]["isError"] != true
        && answer["result"]["content"].is_array()
        && text(answer).contains("git-1001")
}

fn asks_to_connect(answer: &Value) -> bool {
    answer["result"]["inputRequests"]["ambit_connect"].is_object()
}

#[test]
fn two_hosts_renew_once() {
    run(async {
        let scene = Scene::start(Host::Memory).await;
        // Another gateway: nothing but the database is shared.
        let platform = scene.platform().clone();
        let other = Memory { gateway: Rc::new(scene.stack.another_gateway(&platform)), platform };
        let there = Client { door: Door::Memory(other), ..scene.client.clone() };
        for round in 0..5 {
            scene.advance(LIVES);
            let both = [&scene.client, &there];
            let calls = both.iter().cycle().take(20).map(|client| client.call("whoami", json!({})));
            for answer in futures_util::future::join_all(calls).await {
                assert!(works(&answer), "round {round}: {answer}");
            }
            assert_eq!(scene.provider.hits("token"), 1, "round {round}");
        }
    });
}

#[test]
fn every_step_of_a_call_fails_before_and_after_it_took_effect() {
    run(async {
        let scene = Scene::start(Host::Memory).await;
        scene.platform().fail(None);
        assert!(works(&scene.call().await));
        settle().await;
        let steps = scene.platform().asked();
        assert!(steps.len() >= 4, "{steps:?}");
        for index in 0..steps.len() {
            for moment in [Moment::Before, Moment::After] {
                scene.acting.calls();
                let used = scene.used().await;
                scene.platform().fail(Some((index, moment)));
                let first = scene.call().await;
                settle().await;
                scene.platform().fail(None);
                let (reached, recorded) = (scene.acting.calls(), scene.used().await - used);
                assert!(
                    reached <= recorded,
                    "step {index} {moment:?}: {reached} calls, {recorded} lines; {first}"
                );
                assert!(works(&scene.call().await), "step {index} {moment:?}: the next call works");
            }
        }
        assert_eq!(scene.provider.hits("token"), 0, "a fault of ours is no reason to renew");
    });
}

#[test]
fn every_step_of_a_renewal_fails_before_and_after_it_took_effect() {
    run(async {
        let scene = Scene::start(Host::Memory).await;
        // A provider that forgives: whatever happens, the account works again by itself.
        scene.provider.change(|it| it.rotation = Rotation::Grace(Duration::from_mins(10)));
        let steps = faults(&scene, |_, answer| works(answer)).await;
        assert!(steps.len() >= 8, "{steps:?}");
        // One that does not: only where its answer was lost, the person is asked to connect again; never is anybody stranded without a way.
        let scene = Scene::start(Host::Memory).await;
        faults(&scene, |lost, answer| works(answer) || (lost && asks_to_connect(answer))).await;
    });
}

/// Fails each call of the host during a call that renews its credential, and says what must be true of a call after that.
async fn faults(scene: &Scene, fine: impl Fn(bool, &Value) -> bool) -> Vec<Asked> {
    scene.advance(LIVES);
    scene.platform().fail(None);
    assert!(works(&scene.call().await));
    settle().await;
    let steps = scene.platform().asked();
    for (index, asked) in steps.iter().enumerate() {
        for moment in [Moment::Before, Moment::After] {
            scene.advance(LIVES);
            scene.acting.calls();
            let used = scene.used().await;
            let tokens = scene.provider.hits("token");
            scene.platform().fail(Some((index, moment)));
            let first = scene.call().await;
            settle().await;
            scene.platform().fail(None);
            let lost = scene.provider.hits("token") > 0;
            let what = format!("step {index} ({asked:?}) {moment:?}, after {tokens} of before: {first}");
            // Whoever died with the lease in hand has it for 20 seconds; whoever failed is left alone for less.
            scene.advance(Duration::from_secs(25));
            let answer = scene.call().await;
            assert!(fine(lost, &answer), "{what}; then {answer}");
            assert!(scene.acting.calls() <= scene.used().await - used, "{what}: more calls than lines");
            if asks_to_connect(&answer) {
                scene.reconnect("ann", "1001").await;
            }
        }
    }
    steps
}

#[test]
fn what_is_due_is_renewed_before_a_call_has_to_wait() {
    run(async {
        let scene = Scene::start(Host::Memory).await;
        assert!(works(&scene.call().await));
        // Not yet.
        scene.advance(Duration::from_mins(90));
        scene.tick().await;
        assert_eq!(scene.provider.hits("token"), 0);
        // A tenth of two hours is left, give or take a fifth of that.
        scene.advance(Duration::from_mins(21));
        scene.tick().await;
        assert_eq!(scene.provider.hits("token"), 1);
        assert!(works(&scene.call().await));
        assert_eq!(scene.provider.hits("token"), 0, "nobody waited");
        // Without the scheduled work, a call renews it after its answer.
        scene.advance(Duration::from_mins(111));
        assert!(works(&scene.call().await));
        settle().await;
        assert_eq!(scene.provider.hits("token"), 1);
        // An account that nobody uses is left alone, and works when somebody does.
        scene.advance(Duration::from_hours(30));
        scene.tick().await;
        assert_eq!(scene.provider.hits("token"), 0);
        assert!(works(&scene.call().await));
        assert_eq!(scene.provider.hits("token"), 1);
    });
}

#[test]
fn rows_that_were_moved_or_put_back_open_nothing() {
    run(async {
        let scene = Scene::start(Host::Memory).await;
        let bob = scene.reconnect("bob", "1002").await;
        assert!(text(&bob.call("whoami", json!({})).await).contains("git-1002"));
        let sealed = |person: &str| {
            let sql =
                "SELECT sealed FROM connections WHERE owner_id = (SELECT id FROM users WHERE name = ?1)";
            let rows = scene.platform().look(&Batch::read([Statement::new(sql, [person.into()])]));
            rows[0][0].text(0).unwrap().to_owned()
        };
        let put = |person: &str, sealed: &str| {
            let sql =
                "UPDATE connections SET sealed = ?2 WHERE owner_id = (SELECT id FROM users WHERE name = ?1)";
            scene.write(sql, vec![person.into(), sealed.into()]);
        };
        let (of_ann, of_bob) = (sealed("ann"), sealed("bob"));
        scene.acting.calls();
        // Swapped.
        put("ann", &of_bob);
        put("bob", &of_ann);
        for client in [&scene.client, &bob] {
            let told = client.call("whoami", json!({})).await;
            assert_eq!(told["result"]["isError"], true, "{told}");
            assert!(text(&told).contains("connect the account again"), "{told}");
        }
        assert_eq!(scene.acting.calls(), 0);
        put("ann", &of_ann);
        put("bob", &of_bob);
        assert!(works(&scene.call().await));
        // Put back to before a renewal: the version says so, and so does the seal if somebody puts that back, too.
        scene.advance(LIVES);
        assert!(works(&scene.call().await));
        put("ann", &of_ann);
        assert!(!works(&scene.call().await));
        // Given to another: whoever owns the row now gets nothing.
        put("ann", &sealed("bob"));
        let sql =
            "UPDATE connections SET account_id = 'x' WHERE owner_id = (SELECT id FROM users WHERE name = ?1)";
        scene.write(sql, vec!["ann".into()]);
        assert!(!works(&scene.call().await));
        assert_eq!(scene.acting.calls(), 2, "only the two good calls reached the server");
        settle().await;
        let trail = scene.operator.trail().await;
        let failed = trail.iter().filter(|event| event["outcome"]["ended"] == "failed").count();
        let alarms = trail.iter().filter(|event| {
            event["phase"] == "denial"
                && event["reason"].as_str().is_some_and(|why| why.contains("moved or put back"))
        });
        assert_eq!((failed, alarms.count()), (4, 4), "each try is on record");
    });
}

#[test]
fn an_account_is_erased_here_even_if_its_provider_is_away() {
    run(async {
        let scene = Scene::start(Host::Memory).await;
        scene.provider.change(|it| it.revoke_down = true);
        let disconnect = async || {
            let mut browser = signed_in(&scene.operator, "ann").await;
            let page = browser.open("/account/connections").await;
            let page = browser.press(&page, "Disconnect", &[]).await;
            let page = browser.press(&page, "Disconnect", &[]).await;
            settle().await;
            page
        };
        disconnect().await;
        let kept = |sql: &'static str| count(scene.platform(), sql);
        assert_eq!(kept("SELECT COUNT(*) FROM connections WHERE sealed IS NOT NULL"), 0, "erased at once");
        assert_eq!(kept("SELECT COUNT(*) FROM revocations"), 1);
        assert_eq!(scene.provider.alive(), 1);
        assert!(asks_to_connect(&scene.call().await));
        // It is told when it is back.
        scene.provider.change(|it| it.revoke_down = false);
        scene.advance(Duration::from_mins(2));
        scene.tick().await;
        assert_eq!((scene.provider.alive(), kept("SELECT COUNT(*) FROM revocations")), (0, 0));
        // And if it never is, nothing is kept for longer than a day.
        scene.reconnect("ann", "1001").await;
        scene.provider.change(|it| it.revoke_down = true);
        disconnect().await;
        for _ in 0..30 {
            scene.advance(Duration::from_hours(1));
            scene.tick().await;
        }
        assert_eq!(kept("SELECT COUNT(*) FROM revocations"), 0);
        let trail = scene.operator.trail().await;
        let notes: Vec<&str> = trail
            .iter()
            .filter(|event| event["method"] == "connection.revoke")
            .map(|event| event["reason"].as_str().unwrap())
            .collect();
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("revoked") && notes[1].contains("was not told"), "{notes:?}");
    });
}

#[test]
fn whoever_leaves_takes_their_accounts_with_them() {
    run(async {
        let scene = Scene::start(Host::Memory).await;
        assert!(works(&scene.call().await));
        scene.operator.must(Method::PATCH, "/users/ann", json!({ "status": "suspended" })).await;
        assert!(scene.call().await["error"].is_object(), "frozen at once");
        scene.tick().await;
        assert_eq!(scene.provider.alive(), 1, "and there again when they are");
        scene.operator.must(Method::PATCH, "/users/ann", json!({ "status": "active" })).await;
        assert!(works(&scene.call().await));
        scene.operator.must(Method::DELETE, "/users/ann", Value::Null).await;
        assert_eq!(count(scene.platform(), "SELECT COUNT(*) FROM connections WHERE sealed IS NOT NULL"), 0);
        scene.tick().await;
        assert_eq!(scene.provider.alive(), 0, "their provider was told");
    });
}

#[test]
fn a_gateway_that_is_killed_while_it_renews() {
    run(async {
        let mut scene = Scene::start(Host::Standalone).await;
        scene.provider.change(|it| {
            it.rotation = Rotation::Grace(Duration::from_mins(10));
            it.lives = 8;
        });
        let mut browser = signed_in(&scene.operator, "zoe").await;
        let zoe = client_for(&scene.operator, "helper", "main", "zoe").await;
        let asked = zoe.call("whoami", json!({})).await;
        connect(&mut browser, connect_url(&asked)).await;
        scene.provider.change(|it| {
            it.lives = 7200;
            it.fault = Some(Fault::Slow(Duration::from_secs(3)));
        });
        tokio::time::sleep(Duration::from_secs(8)).await;
        // The provider has the token and has not answered: then the power goes.
        let waiting = zoe.clone();
        let call = tokio::task::spawn_local(async move {
            let params = json!({ "name": "whoami", "arguments": {} });
            drop(tokio::time::timeout(Duration::from_secs(1), waiting.modern("tools/call", params)).await);
        });
        tokio::time::sleep(Duration::from_millis(1500)).await;
        scene.stack.restart_gateway().await;
        drop(call.await);
        scene.provider.change(|it| it.fault = None);
        let begun = std::time::Instant::now();
        loop {
            let answer = zoe.call("whoami", json!({})).await;
            if works(&answer) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "{answer}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
}
