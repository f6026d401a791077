//! On whose account calls go out, on every host: the way to connect one in each era, each person on their own, credentials that end, are
//! refused, taken back or renewed, and accounts that are shared and disconnected. Whatever happens, what reached the server is on record.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tests::acting::Acting;
use tests::browser::Browser;
use tests::canaries;
use tests::mcp::{Client, modern, text};
use tests::operator::Operator;
use tests::people::{client_for, connect, connect_url, signed_in};
use tests::provider::{Fault, Provider};
use tests::stack::{Host, Stack, step};

tests::on_every_host!(suite);

struct Scene {
    operator: Operator,
    provider: Provider,
    acting: Acting,
}

async fn suite(host: Host) {
    let stack =
        Stack::with_rates(host, "sign-in=off token=off register=off call=off list=off manage=off").await;
    let scene = Scene::start(stack.organisation().await).await;
    step("the way to connect, in every era", eras(&scene)).await;
    step("each acts as themselves", themselves(&scene)).await;
    step("a state of another call is worth nothing, and on record", states(&scene)).await;
    step("a person may say no", decline(&scene)).await;
    step("a tool that needs more", more_scopes(&scene)).await;
    step("first the account, then the approval", approvals(&scene)).await;
    step("prompts act on accounts, too", prompts(&scene)).await;
    step("fifty calls when the token is over", fifty(&scene)).await;
    step("a provider that is away", away(&scene)).await;
    step("a provider that does not know us", stranger(&scene)).await;
    step("a credential that the server does not take", not_taken(&scene)).await;
    step("a consent that was taken back there", taken_back(&scene)).await;
    step("an account that is shared with a team", shared(&scene)).await;
    step("nobody is asked to connect what they may not use", pointless(&scene)).await;
    step("everything that reached the server is on record", conservation(&scene)).await;
    step("a remote server that wants an account before it says anything", remote(&scene)).await;
    step("no token is anywhere", nowhere(&scene, &stack)).await;
}

/// Tokens live so long at the provider of these tests: those who want to see one end need not wait long.
const LIVES: u64 = 4;

impl Scene {
    async fn start(operator: Operator) -> Self {
        let provider = Provider::start().await;
        provider.play("gitlab");
        operator.must(Method::PUT, "/providers/code", provider.settings("gitlab")).await;
        let acting = Acting::start(&format!("{}/account", provider.url())).await;
        let server = acting.server("code", &json!({ "scopes": ["read_user"] }));
        operator.toolbox("main", &[("acting", server)]).await;
        operator.must(Method::PUT, "/agents/helper", json!({})).await;
        operator.grant("helper", "toolbox/main").await;
        Self { operator, provider, acting }
    }

    async fn client(&self, person: &str) -> Client {
        client_for(&self.operator, "helper", "main", person).await
    }

    /// A person who has connected an account as that subject.
    async fn connected(&self, person: &str, subject: &str) -> (Client, Browser) {
        let client = self.client(person).await;
        let mut browser = signed_in(&self.operator, person).await;
        self.provider.sign_in(subject);
        let asked = client.call("whoami", json!({})).await;
        connect(&mut browser, connect_url(&asked)).await;
        (client, browser)
    }

    /// The same, with a token that is over in a moment; waits until it is.
    async fn with_ended_token(&self, person: &str, subject: &str) -> Client {
        self.provider.change(|it| it.lives = LIVES);
        let (client, _) = self.connected(person, subject).await;
        self.provider.change(|it| it.lives = 7200);
        tokio::time::sleep(Duration::from_secs(LIVES)).await;
        self.provider.hits("token");
        client
    }
}

/// Whom the server takes the caller for.
fn who(answer: &Value) -> &str {
    text(answer)
}

async fn eras(scene: &Scene) {
    let client = scene.client("era").await;
    // 2026-07-28: input_required, with a state to come back with.
    let asked = client.call("whoami", json!({})).await;
    let url = connect_url(&asked).to_owned();
    assert!(url.starts_with(&format!("{}/connect/tkt_", scene.operator.door.url())), "{url}");
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    assert!(asked["result"]["requestState"].is_string(), "{asked}");
    let message = &asked["result"]["inputRequests"]["ambit_connect"]["params"]["message"];
    assert!(message.as_str().unwrap().contains("connect your code (GitLab) account"), "{message}");
    let again = client.call("whoami", json!({})).await;
    assert_eq!(connect_url(&again), url, "the same wish has the same ticket");

    // The same revision, without the capability: words in a result that the model reads.
    let mut plain = modern("tools/call", json!({ "name": "whoami", "arguments": {} }));
    plain.1["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    let told = client.post(&plain.0, plain.1.to_string()).await.last().await;
    assert_eq!(told["result"]["isError"], true, "{told}");
    assert!(text(&told).contains(&url), "{told}");

    // 2025-11-25 says what it can at initialize; without that, and before, there are words.
    for version in ["2025-11-25", "2025-06-18", "2025-03-26"] {
        let told = client.legacy(version, "tools/call", json!({ "name": "whoami", "arguments": {} })).await;
        let told = told.last().await;
        assert_eq!(told["result"]["isError"], true, "{version}: {told}");
        assert!(text(&told).contains(&url), "{version}: {told}");
    }
    let initialize = json!({
        "protocolVersion": "2025-11-25", "clientInfo": { "name": "t", "version": "1" },
        "capabilities": { "elicitation": { "url": {} } },
    });
    let hello = client.legacy("2025-11-25", "initialize", initialize).await;
    let session = hello.header("mcp-session-id").to_owned();
    let headers = [
        ("mcp-protocol-version".to_owned(), "2025-11-25".to_owned()),
        ("mcp-session-id".to_owned(), session),
    ];
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "whoami", "arguments": {} } });
    let told = client.post(&headers, call.to_string()).await.last().await;
    assert_eq!(told["error"]["code"], -32042, "{told}");
    let elicitation = &told["error"]["data"]["elicitations"][0];
    assert_eq!((&elicitation["mode"], &elicitation["url"]), (&json!("url"), &json!(url)), "{told}");
    assert_eq!(scene.acting.calls(), 0, "nothing reached the server");

    // Each retry works once the account is there.
    let mut browser = signed_in(&scene.operator, "era").await;
    connect(&mut browser, &url).await;
    let told = client.post(&headers, call.to_string()).await.last().await;
    assert!(who(&told).contains("git-1001"), "{told}");
    let told = client.legacy("2025-03-26", "tools/call", json!({ "name": "whoami", "arguments": {} })).await;
    assert!(who(&told.last().await).contains("git-1001"));
}

async fn themselves(scene: &Scene) {
    let (ann, _) = scene.connected("ann", "2001").await;
    let (bob, _) = scene.connected("bob", "2002").await;
    for _ in 0..3 {
        assert!(who(&ann.call("whoami", json!({})).await).contains("git-2001"));
        assert!(who(&bob.call("whoami", json!({})).await).contains("git-2002"));
    }
    let both = [(&ann, "git-2001"), (&bob, "git-2002")];
    let calls = both.iter().cycle().take(20).map(|(client, expected)| async move {
        let answer = client.call("whoami", json!({})).await;
        assert!(who(&answer).contains(expected), "{answer}");
    });
    futures_util::future::join_all(calls).await;
}

async fn states(scene: &Scene) {
    let cat = scene.client("cat").await;
    let asked = cat.call("whoami", json!({})).await;
    let state = asked["result"]["requestState"].as_str().unwrap().to_owned();
    let mut broken = state.clone().into_bytes();
    let middle = broken.len() / 2;
    broken[middle] = if broken[middle] == b'A' { b'B' } else { b'A' };
    let broken = String::from_utf8(broken).unwrap();
    let dan = scene.client("dan").await;
    let before = refused_states(scene).await;
    let tries = [
        (&cat, "whoami", json!({}), &broken),
        // Another person's, another tool's, other arguments'.
        (&dan, "whoami", json!({}), &state),
        (&cat, "write", json!({}), &state),
        (&cat, "whoami", json!({ "x": 1 }), &state),
    ];
    for (client, tool, arguments, state) in &tries {
        let params = json!({ "name": tool, "arguments": arguments, "requestState": state });
        let refused = client.modern("tools/call", params).await.last().await;
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
    }
    assert_eq!(refused_states(scene).await, before + tries.len());
    // With its own state the call goes on: for a client that says "accept" at once, as soon as its person is done.
    let mut browser = signed_in(&scene.operator, "cat").await;
    scene.provider.sign_in("2003");
    let params = json!({
        "name": "whoami", "arguments": {}, "requestState": state,
        "inputResponses": { "ambit_connect": { "action": "accept" } },
    });
    let (answer, _) =
        futures_util::join!(async { cat.modern("tools/call", params).await.last().await }, async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            connect(&mut browser, connect_url(&asked)).await
        });
    assert!(who(&answer).contains("git-2003"), "{answer}");
}

async fn refused_states(scene: &Scene) -> usize {
    let trail = scene.operator.trail().await;
    let about = |event: &&Value| {
        event["phase"] == "denial" && event["reason"].as_str().is_some_and(|why| why.contains("requestState"))
    };
    trail.iter().filter(about).count()
}

async fn decline(scene: &Scene) {
    let client = scene.client("eve").await;
    let asked = client.call("whoami", json!({})).await;
    for action in ["decline", "cancel"] {
        let params = json!({
            "name": "whoami", "arguments": {}, "requestState": asked["result"]["requestState"],
            "inputResponses": { "ambit_connect": { "action": action } },
        });
        let told = client.modern("tools/call", params).await.last().await;
        assert_eq!(told["result"]["isError"], true, "{told}");
        assert!(text(&told).contains("did not want to connect"), "{told}");
    }
}

async fn more_scopes(scene: &Scene) {
    let (client, mut browser) = scene.connected("fay", "2004").await;
    let flags = json!({ "readOnly": false, "destructive": false, "idempotent": false, "openWorld": false });
    let judgement = json!({ "state": "approved", "flags": flags, "scopes": ["api"] });
    scene.operator.must(Method::PUT, "/servers/acting/tools/write", judgement).await;
    assert!(who(&client.call("whoami", json!({})).await).contains("git-2004"));
    let asked = client.call("write", json!({})).await;
    let message = &asked["result"]["inputRequests"]["ambit_connect"]["params"]["message"];
    assert!(message.as_str().unwrap().contains("more"), "{asked}");
    connect(&mut browser, connect_url(&asked)).await;
    let asked_for = &scene.provider.asked("authorize")["scope"];
    assert!(asked_for.contains("api") && asked_for.contains("read_user"), "{asked_for}");
    assert!(who(&client.call("write", json!({})).await).contains("git-2004"));
}

/// A word that is given is used up by one try: so nobody is asked for theirs before everything else is there.
async fn approvals(scene: &Scene) {
    let judge = async |destructive: bool| {
        let flags =
            json!({ "readOnly": false, "destructive": destructive, "idempotent": false, "openWorld": false });
        let judgement = json!({ "state": "approved", "flags": flags });
        scene.operator.must(Method::PUT, "/servers/acting/tools/write", judgement).await;
    };
    judge(true).await;
    let client = scene.client("liz").await;
    let mut browser = signed_in(&scene.operator, "liz").await;
    scene.provider.sign_in("2014");
    let asked = client.call("write", json!({})).await;
    connect(&mut browser, connect_url(&asked)).await;
    let asked = client.call("write", json!({})).await;
    let url = asked["result"]["inputRequests"]["ambit_approval"]["params"]["url"].as_str();
    let page = browser.open(url.unwrap_or_else(|| panic!("{asked}"))).await;
    browser.press(&page, "Approve", &[]).await;
    assert!(who(&client.call("write", json!({})).await).contains("git-2014"));
    judge(false).await;
}

async fn prompts(scene: &Scene) {
    let (client, _) = scene.connected("gil", "2005").await;
    assert_eq!(client.names("prompts/list", "prompts", "name").await, ["mine"]);
    let got = client.modern("prompts/get", json!({ "name": "mine" })).await.last().await;
    assert!(got["result"]["messages"][0]["content"]["text"].as_str().unwrap().contains("git-2005"), "{got}");
    let stranger = scene.client("hal").await;
    let asked = stranger.modern("prompts/get", json!({ "name": "mine" })).await.last().await;
    connect_url(&asked);
}

async fn fifty(scene: &Scene) {
    let client = scene.with_ended_token("ida", "2006").await;
    scene.acting.brought();
    let calls = (0..50).map(|_| async {
        let answer = client.call("whoami", json!({})).await;
        assert!(who(&answer).contains("git-2006"), "{answer}");
    });
    futures_util::future::join_all(calls).await;
    // The provider ends the whole consent when a refresh token comes twice.
    assert_eq!(scene.provider.hits("token"), 1, "exactly one refresh");
    let brought = scene.acting.brought();
    assert_eq!(brought.values().sum::<usize>(), 50, "{brought:?}");
    assert_eq!(brought.len(), 1, "all with the new token: {}", brought.len());
}

async fn away(scene: &Scene) {
    let client = scene.with_ended_token("jon", "2007").await;
    for fault in [Fault::Status(503), Fault::TooMany(1), Fault::Garbage] {
        scene.provider.change(|it| it.fault = Some(fault));
        let told = client.call("whoami", json!({})).await;
        assert_eq!(told["result"]["isError"], true, "{fault:?}: {told}");
        assert!(text(&told).contains("try again"), "{fault:?}: {told}");
    }
    let tried = scene.provider.hits("token");
    assert_eq!(tried, 1, "after a failure it is left alone for a while");
    scene.provider.change(|it| it.fault = None);
    let answer = until(Duration::from_secs(40), || async {
        let answer = client.call("whoami", json!({})).await;
        (answer["result"]["isError"] != true).then_some(answer)
    })
    .await;
    assert!(who(&answer).contains("git-2007"), "{answer}");
}

/// Asks again and again, until something comes of it.
async fn until<T, F: Future<Output = Option<T>>>(longest: Duration, ask: impl Fn() -> F) -> T {
    let begun = std::time::Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(begun.elapsed() < longest, "nothing came of it in {longest:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn stranger(scene: &Scene) {
    let client = scene.with_ended_token("kim", "2008").await;
    scene.provider.change(|it| it.fault = Some(Fault::Error("invalid_client")));
    let told = client.call("whoami", json!({})).await;
    assert!(text(&told).contains("provider doctor"), "{told}");
    let provider = scene.operator.must(Method::GET, "/providers/code", Value::Null).await;
    assert!(provider.to_string().contains("invalid_client"), "an operator sees it: {provider}");
    scene.provider.change(|it| it.fault = None);
    let answer = until(Duration::from_secs(40), || async {
        let answer = client.call("whoami", json!({})).await;
        (answer["result"]["isError"] != true).then_some(answer)
    })
    .await;
    assert!(who(&answer).contains("git-2008"), "nobody's account was touched: {answer}");
}

async fn not_taken(scene: &Scene) {
    let (client, _) = scene.connected("lea", "2009").await;
    scene.provider.hits("token");
    scene.acting.refuse(1);
    let answer = client.call("whoami", json!({})).await;
    assert!(who(&answer).contains("git-2009"), "renewed once, and taken then: {answer}");
    assert_eq!(scene.provider.hits("token"), 1);
    // Nobody's account ends because a server of no trusted publisher says so.
    let trust = async |trust: &str| {
        scene.operator.must(Method::PATCH, "/servers/acting", json!({ "trust": trust })).await;
    };
    trust("community").await;
    scene.acting.refuse(1);
    let told = client.call("whoami", json!({})).await;
    assert!(text(&told).contains("does not take"), "{told}");
    assert!(who(&client.call("whoami", json!({})).await).contains("git-2009"));
    assert_eq!(scene.provider.hits("token"), 0);
    trust("first_party").await;
    // Never more than once: then the account is over.
    scene.acting.refuse(2);
    let told = client.call("whoami", json!({})).await;
    assert!(text(&told).contains("connect it again"), "{told}");
    assert_eq!(scene.provider.hits("token"), 1, "one more");
    let asked = client.call("whoami", json!({})).await;
    let message = &asked["result"]["inputRequests"]["ambit_connect"]["params"]["message"];
    assert!(message.as_str().unwrap().contains("connected again"), "{asked}");
}

async fn taken_back(scene: &Scene) {
    let client = scene.client("mia").await;
    let mut browser = signed_in(&scene.operator, "mia").await;
    scene.provider.change(|it| (it.subject, it.lives) = ("2010".to_owned(), LIVES));
    let asked = client.call("whoami", json!({})).await;
    connect(&mut browser, connect_url(&asked)).await;
    scene.provider.change(|it| {
        it.lives = 7200;
        it.fault = Some(Fault::Error("invalid_grant"));
    });
    tokio::time::sleep(Duration::from_secs(LIVES)).await;
    scene.provider.hits("token");
    for _ in 0..3 {
        let asked = client.call("whoami", json!({})).await;
        let message = &asked["result"]["inputRequests"]["ambit_connect"]["params"]["message"];
        assert!(message.as_str().unwrap().contains("connected again"), "{asked}");
    }
    assert_eq!(scene.provider.hits("token"), 1, "no loops");
    scene.provider.change(|it| it.fault = None);
    let asked = client.call("whoami", json!({})).await;
    connect(&mut browser, connect_url(&asked)).await;
    assert!(who(&client.call("whoami", json!({})).await).contains("git-2010"));
}

async fn shared(scene: &Scene) {
    let (_, mut browser) = scene.connected("ned", "2011").await;
    for person in ["ola", "pam"] {
        scene.operator.must(Method::PUT, &format!("/users/{person}"), json!({})).await;
    }
    scene.operator.must(Method::PUT, "/teams/crew", json!({ "users": ["ned", "ola"] })).await;
    let page = browser.open("/account/connections").await;
    let page = browser.press(&page, "Save", &[("with", "team:crew")]).await;
    assert!(page.text().contains("crew"), "{}", page.text());
    let (ola, pam) = (scene.client("ola").await, scene.client("pam").await);
    assert!(who(&ola.call("whoami", json!({})).await).contains("git-2011"));
    connect_url(&pam.call("whoami", json!({})).await);
    // An agent that acts for nobody, and is in no team.
    let key = scene.operator.must(Method::POST, "/agents/helper/keys", json!({})).await;
    let nobody = scene.operator.client("main", key["key"].as_str().unwrap());
    let told = nobody.call("whoami", json!({})).await;
    assert!(text(&told).contains("shared with this agent"), "{told}");
    scene
        .operator
        .must(Method::PUT, "/teams/crew", json!({ "users": ["ned", "ola"], "agents": ["helper"] }))
        .await;
    assert!(who(&nobody.call("whoami", json!({})).await).contains("git-2011"));
    // Without the team it is its owner's alone again.
    scene.operator.must(Method::DELETE, "/teams/crew", Value::Null).await;
    connect_url(&ola.call("whoami", json!({})).await);
    assert!(who(&scene.client("ned").await.call("whoami", json!({})).await).contains("git-2011"));
}

async fn pointless(scene: &Scene) {
    let forbid = "@id(\"no-accounts\") forbid (principal == Ambit::Agent::\"helper\", action == Ambit::Action::\"useConnection\", \
                  resource) when { context.call has user && context.call.user == Ambit::User::\"quin\" };";
    scene.operator.publish(forbid).await;
    let client = scene.client("quin").await;
    let refused = client.call("whoami", json!({})).await;
    assert!(refused["error"].is_object(), "{refused}");
    let last = scene.operator.trail().await.pop().unwrap();
    assert_eq!(last["decision"]["decision"]["policies"], json!(["no-accounts"]), "{last}");
}

/// A remote MCP server that needs OAuth itself is a provider like any other: whoever looks at it does so on their own account.
async fn remote(scene: &Scene) {
    let Scene { operator, .. } = scene;
    let guarded = Provider::start().await;
    guarded.play("mcp");
    guarded.change(|it| it.registers = true);
    operator.must(Method::PUT, "/providers/notes", guarded.settings("mcp")).await;
    let url = format!("{}/mcp", guarded.url());
    let server = json!({ "url": url, "account": { "provider": "notes" }, "trust": "verified" });
    operator.must(Method::PUT, "/servers/notes", server).await;
    operator.must(Method::PUT, "/toolboxes/notes", json!({ "servers": [{ "name": "notes" }] })).await;
    operator.grant("helper", "toolbox/notes").await;
    let look = "/toolboxes/notes/servers/notes/inspect";
    let (status, told) = operator.ask(Method::POST, look, json!({})).await;
    assert!(!status.is_success() && told.to_string().contains("wants an account"), "{told}");

    let owner = operator.person("olga", &["owner"]).await;
    let mut browser = signed_in(operator, "olga").await;
    operator.must(Method::PUT, "/users/olga", json!({ "roles": ["owner"] })).await;
    let page = browser.open("/account/connections").await;
    guarded.sign_in("4001");
    let page = browser.press(&page, "Connect notes", &[]).await;
    let page = browser.press(&page, "Continue", &[]).await;
    assert!(page.status.is_success(), "{}", page.text());
    owner.inspect("notes", "notes").await;

    let client = client_for(operator, "helper", "notes", "olga").await;
    assert!(who(&client.call("whoami", json!({})).await).contains("4001"));
    let stranger = client_for(operator, "helper", "notes", "sam").await;
    connect_url(&stranger.call("whoami", json!({})).await);
}

/// What the server heard, against what is on record: no credential was used without a line, and each line belongs to an intent.
async fn conservation(scene: &Scene) {
    let used = |trail: &[Value]| trail.iter().filter(|event| event["method"] == "connection.use").count();
    let before = used(&scene.operator.trail().await);
    scene.acting.calls();
    let (client, _) = scene.connected("rob", "2012").await;
    for _ in 0..5 {
        client.call("whoami", json!({})).await;
    }
    let trail = scene.operator.trail().await;
    assert_eq!(used(&trail) - before, scene.acting.calls());
    let intents: std::collections::BTreeMap<&str, &Value> = trail
        .iter()
        .filter(|event| event["phase"] == "intent")
        .map(|event| (event["id"].as_str().unwrap(), event))
        .collect();
    for event in trail.iter().filter(|event| event["method"] == "connection.use") {
        let intent = intents[event["within"].as_str().unwrap()];
        assert_eq!(intent["actor"], event["actor"]);
        assert_eq!(event["decision"]["request"]["action"], "useConnection");
        assert_eq!(event["decision"]["decision"]["effect"], "allow");
        assert_eq!(event["decision"]["request"]["resource"]["id"], event["connection"]["id"]);
    }
}

async fn nowhere(scene: &Scene, stack: &Stack) {
    let secrets = scene.provider.secrets();
    assert!(secrets.len() > 20, "{}", secrets.len());
    let trail = serde_json::to_string(&scene.operator.trail().await).unwrap();
    canaries::nowhere(&secrets, [("the trail", trail.into_bytes())]);
    let files = canaries::files(stack.folder());
    assert!(!files.is_empty());
    canaries::nowhere(&secrets, files);
}
