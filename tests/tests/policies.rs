//! Policies as people manage them, on every host: who may, what is published and what is not, back again, on trial, and how soon a call
//! feels it.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::changing::Changing;
use tests::fixture::Remote;
use tests::mcp::{Client, text};
use tests::operator::Operator;
use tests::stack::{Host, Stack, step};

tests::on_every_host!(suite);

/// An organisation with a server, an agent that was granted nothing, and people with roles.
struct Scene {
    stack: Stack,
    operator: Operator,
    author: Operator,
    owner: Operator,
    auditor: Operator,
    agent: Client,
    _remote: Remote,
}

async fn suite(host: Host) {
    let stack = Stack::start(host).await;
    let operator = stack.organisation().await;
    let remote = Remote::start().await;
    operator.toolbox("main", &[("fixture", remote.server())]).await;
    let agent = operator.agent("worker", "main").await;
    let author = operator.person("ann", &["policy-author"]).await;
    let owner = operator.person("olga", &["owner"]).await;
    let auditor = operator.person("axel", &["auditor"]).await;
    let scene = Scene { stack, operator, author, owner, auditor, agent, _remote: remote };

    step("roles", roles(&scene)).await;
    step("two organisations", two_organisations(&scene)).await;
    step("grants to teams and to everybody", grants(&scene)).await;
    step("what does not check is not published", checks(&scene)).await;
    step("history and back again", history(&scene)).await;
    step("a forbid goes by two people", second_person(&scene)).await;
    step("typed arguments", typed(&scene)).await;
    step("a definition that the policies do not fit", typed_anew(&scene)).await;
    step("a draft on trial", shadow(&scene)).await;
    step("three views of why", why(&scene)).await;
    step("what a call needs", obliged(&scene)).await;
    step("a pin and its difference", pin(&scene)).await;
    step("allowed by a click", by_a_click(&scene)).await;
    step("names are no code", names(&scene)).await;
}

const PERMIT: &str = "@id(\"worker-echoes\")\npermit (\n  principal == Ambit::Agent::\"worker\",\n  action in Ambit::Action::\"callTool\",\n  \
     resource == Ambit::Tool::\"fixture/echo\"\n);\n";
const FORBID: &str = "@id(\"nobody-echoes\")\nforbid (\n  principal,\n  action in Ambit::Action::\"callTool\",\n  \
     resource == Ambit::Tool::\"fixture/echo\"\n);\n";

fn files(text: &str) -> Value {
    json!([{ "name": "own.cedar", "text": text }])
}

async fn publish(who: &Operator, text: &str) -> (StatusCode, Value) {
    who.ask(Method::PUT, "/policies", json!({ "files": files(text) })).await
}

async fn echo(client: &Client, said: Value) -> Value {
    client.call("echo", json!({ "text": said })).await
}

fn is_unknown(answer: &Value) -> bool {
    answer["error"]["message"].as_str().is_some_and(|message| message.starts_with("unknown tool"))
}

fn echoed(answer: &Value) -> bool {
    answer["result"]["content"].is_array() && !text(answer).is_empty()
}

async fn live(who: &Operator) -> String {
    who.must(Method::GET, "/policies", Value::Null).await["hash"].as_str().unwrap().to_owned()
}

async fn roles(scene: &Scene) {
    let Scene { operator, author, owner, auditor, .. } = scene;
    auditor.must(Method::GET, "/audit?limit=1", Value::Null).await;
    for (who, method, path) in [
        (auditor, Method::PUT, "/policies"),
        (auditor, Method::PUT, "/users/eve"),
        (author, Method::PUT, "/agents/other"),
        (author, Method::PUT, "/toolboxes/other"),
        (author, Method::POST, "/users/ann/keys"),
    ] {
        let (status, problem) = who.ask(method.clone(), path, json!({})).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}: {problem}");
    }
    let denials: Vec<Value> =
        operator.trail().await.into_iter().filter(|event| event["method"] == "administer").collect();
    assert_eq!(denials.len(), 3, "a refusal is on record: {denials:#?}");
    assert_eq!(denials[0]["decision"]["request"]["principal"]["type"], "user");

    owner.must(Method::PUT, "/users/axel", json!({ "status": "suspended" })).await;
    let (status, _) = auditor.ask(Method::GET, "/audit", Value::Null).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "at once");
    owner.must(Method::PUT, "/users/axel", json!({ "status": "active" })).await;
    auditor.must(Method::GET, "/audit?limit=1", Value::Null).await;

    let nobody = Operator { key: format!("ambit_pk_{}", "A".repeat(43)), ..operator.clone() };
    assert_eq!(nobody.ask(Method::GET, "/audit", Value::Null).await.0, StatusCode::UNAUTHORIZED);
    let agent = Operator { key: scene.agent.token.clone(), ..operator.clone() };
    assert_eq!(agent.ask(Method::GET, "/policies", Value::Null).await.0, StatusCode::UNAUTHORIZED);
    let (status, _) = owner.ask(Method::PUT, "/users/@operator", json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "nobody takes the operator's name");
}

async fn two_organisations(scene: &Scene) {
    let other = scene.stack.organisation().await;
    let boss = other.person("boss", &["owner"]).await;
    let intruder = Operator { org: scene.operator.org.clone(), ..boss.clone() };
    let nowhere = Operator { org: "nowhere".to_owned(), ..boss };
    for (method, path) in [
        (Method::GET, "/policies"),
        (Method::PUT, "/policies"),
        (Method::GET, "/audit"),
        (Method::GET, "/inventory"),
        (Method::PUT, "/users/eve"),
        (Method::GET, "/approvals"),
    ] {
        let (status, foreign) = intruder.ask(method.clone(), path, json!({})).await;
        let (_, unknown) = nowhere.ask(method, path, json!({})).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {foreign}");
        let told =
            |value: &Value| value.to_string().replace(&scene.operator.org, "…").replace("nowhere", "…");
        assert_eq!(told(&foreign), told(&unknown), "foreign and unknown are told alike");
    }
    let hash = live(&scene.operator).await;
    let (status, _) = other.ask(Method::GET, &format!("/policies/sets/{hash}"), Value::Null).await;
    let same = live(&other).await == hash;
    assert_eq!(status, if same { StatusCode::OK } else { StatusCode::NOT_FOUND });
}

async fn grants(scene: &Scene) {
    let Scene { owner, agent, .. } = scene;
    assert!(is_unknown(&echo(agent, json!("a")).await));
    owner.must(Method::PUT, "/teams/bots", json!({ "agents": ["worker"] })).await;
    owner.must(Method::PUT, "/teams/everything", json!({ "teams": ["bots"] })).await;
    owner.must(Method::PUT, "/grants/team:everything/tool:fixture:echo", Value::Null).await;
    assert!(echoed(&echo(agent, json!("a")).await), "a team within a team has what that one has");
    assert_eq!(agent.names("tools/list", "tools", "name").await, ["echo"]);
    let inventory = owner.must(Method::GET, "/inventory", Value::Null).await["inventory"].clone();
    let worker = inventory["agents"].as_array().unwrap().iter().find(|a| a["name"] == "worker").unwrap();
    assert_eq!(worker["teams"], json!(["bots", "everything"]));
    assert_eq!(worker["grants"]["tools"], json!(["fixture/echo"]));
    owner.must(Method::PUT, "/teams/everything", json!({})).await;
    assert!(is_unknown(&echo(agent, json!("a")).await), "at once");

    owner.must(Method::PUT, "/grants/everybody/server:fixture", Value::Null).await;
    assert!(echoed(&echo(agent, json!("a")).await), "granted to everybody");
    owner.must(Method::DELETE, "/grants/everybody/server:fixture", Value::Null).await;
    assert!(is_unknown(&echo(agent, json!("a")).await));
    // Teams within each other are no endless climb.
    owner.must(Method::PUT, "/teams/bots", json!({ "agents": ["worker"], "teams": ["everything"] })).await;
    owner.must(Method::PUT, "/teams/everything", json!({ "teams": ["bots"] })).await;
    owner.must(Method::PUT, "/teams/bots", json!({})).await;
    owner.must(Method::PUT, "/teams/everything", json!({})).await;
}

async fn checks(scene: &Scene) {
    let Scene { author, .. } = scene;
    let before = live(author).await;
    let (status, problem) =
        publish(author, "@id(\"x\")\npermit (principal, action, resource)\nwhen { 1 };\n").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem["errors"][0].as_str().unwrap().starts_with("own.cedar:3:"), "{problem}");
    let (status, problem) = publish(author, &FORBID.replace("Ambit::Tool::", "Ambit::Prompt::")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "what can never match: {problem}");

    let base = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/cases/grants.json"))
        .unwrap();
    let mut cases: Value = serde_json::from_str(&base).unwrap();
    cases["cases"] = json!([{ "name": "nobody", "expect": { "effect": "allow", "policies": ["p-grants"] } }]);
    let body =
        json!({ "files": files(PERMIT), "cases": [{ "name": "own.json", "text": cases.to_string() }] });
    let (status, problem) = author.ask(Method::PUT, "/policies", body).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert!(problem["errors"][0].as_str().unwrap().contains("case `nobody`"), "{problem}");

    let out = "@id(\"out\")\nforbid (\n  principal is Ambit::User,\n  action == Ambit::Action::\"publishPolicy\",\n  resource\n);\n";
    let (status, problem) = publish(author, out).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(problem["detail"].as_str().unwrap().contains("could not publish again"), "{problem}");
    let (status, _) = author
        .ask(Method::PUT, "/policies", json!({ "files": [{ "name": "tenancy.cedar", "text": "" }] }))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "guardrails are not replaced");
    author.must(Method::POST, "/policies/check", json!({ "files": files(PERMIT) })).await;
    assert_eq!(live(author).await, before, "nothing of this was published");
}

async fn history(scene: &Scene) {
    let Scene { author, agent, .. } = scene;
    let before = live(author).await;
    let (_, first) = publish(author, PERMIT).await;
    assert_eq!(first["changed"], true, "{first}");
    assert!(echoed(&echo(agent, json!("a")).await), "the next call decides by the new version");
    let stale = json!({ "files": files(FORBID), "replaces": before });
    assert_eq!(author.ask(Method::PUT, "/policies", stale).await.0, StatusCode::CONFLICT);
    let (_, second) = publish(author, "").await;
    assert!(is_unknown(&echo(agent, json!("a")).await));

    let versions = author.must(Method::GET, "/policies/history", Value::Null).await["versions"].clone();
    assert_eq!(versions[0]["version"], second["version"]);
    assert_eq!(versions[1]["publishedBy"], "ann");
    let back = author.must(Method::POST, "/policies/rollback", json!({ "to": first["version"] })).await;
    assert_eq!(back["hash"], first["hash"], "the very set of then");
    assert!(echoed(&echo(agent, json!("a")).await));
    let set = author.must(Method::GET, &format!("/policies/sets/{}", live(author).await), Value::Null).await;
    assert!(set["files"].to_string().contains("worker-echoes"));
    assert_eq!(
        author.ask(Method::POST, "/policies/rollback", json!({ "to": 999 })).await.0,
        StatusCode::NOT_FOUND
    );
}

async fn second_person(scene: &Scene) {
    let Scene { author, owner, auditor, operator, agent, .. } = scene;
    let both = format!("{PERMIT}\n{FORBID}");
    publish(author, &both).await;
    assert!(is_unknown(&echo(agent, json!("a")).await), "a forbid wins");
    let narrower = both.replace("forbid (\n  principal,", "forbid (\n  principal == Ambit::Agent::\"x\",");
    for weaker in [PERMIT.to_owned(), narrower] {
        let (_, answer) = publish(author, &weaker).await;
        assert_eq!(answer["changed"], false, "{answer}");
        assert!(answer["proposal"]["why"].as_str().unwrap().contains("nobody-echoes"), "{answer}");
    }
    assert!(is_unknown(&echo(agent, json!("a")).await), "a proposal changes nothing");
    let waiting = author.must(Method::GET, "/policies/proposals", Value::Null).await["proposals"].clone();
    let id = |index: usize| waiting[index]["id"].as_str().unwrap().to_owned();
    let accept = json!({ "decision": "accept" });
    let path = format!("/policies/proposals/{}", id(1));
    let (status, problem) = author.ask(Method::POST, &path, accept.clone()).await;
    assert_eq!(status, StatusCode::CONFLICT, "nobody accepts their own: {problem}");
    assert_eq!(auditor.ask(Method::POST, &path, accept.clone()).await.0, StatusCode::FORBIDDEN);
    let refused = format!("/policies/proposals/{}", id(0));
    owner.must(Method::POST, &refused, json!({ "decision": "refuse" })).await;
    assert_eq!(owner.ask(Method::POST, &refused, accept.clone()).await.0, StatusCode::CONFLICT);
    let done = owner.must(Method::POST, &path, accept.clone()).await;
    assert_eq!(done["changed"], true);
    assert!(echoed(&echo(agent, json!("a")).await));
    assert_eq!(owner.ask(Method::POST, &path, accept).await.0, StatusCode::CONFLICT, "once");
    let newest = author.must(Method::GET, "/policies/history", Value::Null).await["versions"][0].clone();
    assert_eq!((&newest["publishedBy"], &newest["acceptedBy"]), (&json!("ann"), &json!("olga")));

    // A person who is alone can't; the operator can, and it is on record.
    publish(author, &both).await;
    let alone = json!({ "files": files(PERMIT), "breakGlass": "nobody is here" });
    assert!(owner.must(Method::PUT, "/policies", alone.clone()).await["proposal"].is_object());
    assert_eq!(operator.must(Method::PUT, "/policies", alone).await["changed"], true);
    let newest = author.must(Method::GET, "/policies/history", Value::Null).await["versions"][0].clone();
    assert!(newest["note"].as_str().unwrap().contains("glass broken"), "{newest}");
}

async fn typed(scene: &Scene) {
    let Scene { author, agent, operator, .. } = scene;
    let policy = |condition: &str| {
        format!(
            "@id(\"typed\")\npermit (\n  principal == Ambit::Agent::\"worker\",\n  action == Ambit::Action::\"fixture/echo\",\n  resource\n)\n\
             when {{ {condition} }};\n"
        )
    };
    let (status, problem) = publish(author, &policy("context.input.txt like \"C-*\"")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem["errors"][0].as_str().unwrap().contains("did you mean `text`"), "{problem}");
    publish(author, &policy("context.input.text like \"C-*\"")).await;
    assert_eq!(
        agent.names("tools/list", "tools", "name").await,
        ["echo"],
        "what can be called with some arguments is listed"
    );
    assert!(echoed(&echo(agent, json!("C-1")).await));
    for said in [json!("D-1"), json!(["C-1"]), json!(1), Value::Null] {
        assert!(is_unknown(&echo(agent, said.clone()).await), "{said}");
    }
    let extra = agent.call("echo", json!({ "text": "C-2", "secret": "not looked into" })).await;
    assert!(echoed(&extra) || extra["result"]["isError"] == true, "{extra}");
    let trail = operator.trail().await;
    let inputs: Vec<&Value> =
        trail.iter().map(|event| &event["decision"]["request"]["context"]["input"]).collect();
    assert!(
        inputs.contains(&&json!({ "text": "C-2" })),
        "what the policies look into is on record, and no more"
    );
    publish(author, "").await;
}

async fn typed_anew(scene: &Scene) {
    let Scene { author, operator, agent, .. } = scene;
    let server = Changing::start("acts").await;
    server.take(&json!({ "where": { "type": "string" } }));
    operator.toolbox("moods", &[("moody", json!({ "url": server.url, "trust": "community" }))]).await;
    let client = operator.client("moods", &agent.token);
    publish(
        author,
        "@id(\"there\")\npermit (\n  principal,\n  action == Ambit::Action::\"moody/act\",\n  resource\n)\nwhen { context.input has where && context.input.where == \"there\" };\n",
    )
    .await;
    let there = json!({ "where": "there" });
    assert!(echoed(&client.call("act", there.clone()).await));

    server.take(&json!({ "where": { "type": "string" }, "when": { "type": "string" } }));
    let before = live(author).await;
    operator.inspect("moods", "moody").await;
    assert_ne!(live(author).await, before, "approved: the policies know the new definition");
    assert!(echoed(&client.call("act", there.clone()).await));

    server.take(&json!({ "where": { "type": "integer" } }));
    let before = live(author).await;
    let look = "/toolboxes/moods/servers/moody/inspect";
    let (status, problem) = operator.ask(Method::POST, look, json!({ "approve": "declared" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("do not fit"), "{problem}");
    assert_eq!(live(author).await, before);
    operator.must(Method::POST, look, json!({})).await;
    assert!(is_unknown(&client.call("act", there).await), "and the changed tool is stopped");
    publish(author, "").await;
}

async fn shadow(scene: &Scene) {
    let Scene { author, agent, operator, .. } = scene;
    publish(author, PERMIT).await;
    let draft = format!("{PERMIT}\n{FORBID}");
    let on = author.must(Method::PUT, "/policies/shadow", json!({ "files": files(&draft) })).await;
    assert!(echoed(&echo(agent, json!("on trial")).await), "a draft decides nothing");
    let trail = operator.trail().await;
    let call = trail.iter().rev().find(|event| event["phase"] == "intent").unwrap();
    let record = &call["decision"];
    assert_eq!(record["decision"]["effect"], "allow");
    assert_eq!(record["shadow"]["policy_set"], on["shadow"]);
    assert_eq!(record["shadow"]["decision"]["policies"], json!(["nobody-echoes"]));
    author.must(Method::DELETE, "/policies/shadow", Value::Null).await;
    assert!(echoed(&echo(agent, json!("no trial")).await));
    let trail = operator.trail().await;
    let call = trail.iter().rev().find(|event| event["phase"] == "intent").unwrap();
    assert!(call["decision"]["shadow"].is_null());
}

async fn why(scene: &Scene) {
    let Scene { author, auditor, agent, .. } = scene;
    publish(author, &format!("{PERMIT}\n{FORBID}")).await;
    let forbidden = echo(agent, json!("a")).await;
    let unknown = agent.call("nothing", json!({})).await;
    let shape = |answer: &Value| {
        let mut data = answer["error"]["data"].clone();
        let reference = data["reference"].take();
        assert!(reference.as_str().unwrap().starts_with("evt_"), "{answer}");
        (answer["error"]["code"].clone(), data)
    };
    assert_eq!(shape(&forbidden), shape(&unknown), "forbidden and unknown are told alike");
    assert_eq!(forbidden["error"]["data"]["code"], "not_permitted");

    let event = forbidden["error"]["data"]["reference"].as_str().unwrap();
    let view = async |view: &str| {
        auditor.must(Method::GET, &format!("/decisions/{event}?view={view}"), Value::Null).await
    };
    assert_eq!(view("agent").await, forbidden["error"]["data"]);
    assert_eq!(view("auditor").await["decision"]["decision"]["policies"], json!(["nobody-echoes"]));
    let owner = view("owner").await;
    assert!(owner.to_string().contains("nobody-echoes"), "{owner}");
    let (status, _) = author.ask(Method::GET, "/decisions/evt_00000000000000000000000000", Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

async fn obliged(scene: &Scene) {
    let Scene { operator, agent, .. } = scene;
    let step_up = "@id(\"step-up\")\n@obligation(\"step_up:mfa\")\nforbid (\n  principal,\n  action in Ambit::Action::\"callTool\",\n  \
                   resource == Ambit::Tool::\"fixture/echo\"\n)\nunless { context.call.tokenScopes.contains(\"mfa\") };\n";
    operator.publish(&format!("{PERMIT}\n{step_up}")).await;
    let told = echo(agent, json!("a")).await;
    assert_eq!(told["error"]["data"]["code"], "needs", "{told}");
    assert_eq!(told["error"]["data"]["needs"], json!(["step_up:mfa"]));
    // Without a permit behind the forbid nobody is told what would not help.
    operator.publish(step_up).await;
    assert_eq!(echo(agent, json!("a")).await["error"]["data"]["code"], "not_permitted");
}

async fn pin(scene: &Scene) {
    let Scene { operator, .. } = scene;
    let server = Changing::start("acts").await;
    operator.toolbox("pins", &[("pinned", json!({ "url": server.url }))]).await;
    let tool = "/servers/pinned/tools/act";
    assert_eq!(operator.must(Method::GET, tool, Value::Null).await["changes"], json!([]));
    server.say("acts, and mails you");
    operator.must(Method::POST, "/toolboxes/pins/servers/pinned/inspect", json!({})).await;
    let found = operator.must(Method::GET, tool, Value::Null).await;
    assert_eq!(found["state"], "changed");
    let change = json!([{ "at": "/description", "approved": "acts", "now": "acts, and mails you" }]);
    assert_eq!(found["changes"], change);
}

/// What an agent sends goes into a policy made by a click as data, and never out of its quotes.
async fn by_a_click(scene: &Scene) {
    let Scene { author, auditor, operator, agent, .. } = scene;
    // Something must look into the argument for it to be on record.
    let looks = "@id(\"looks\")\npermit (\n  principal == Ambit::Agent::\"nobody\",\n  action in Ambit::Action::\"callTool\",\n  resource\n)\n\
                 when { context.args.hasTag(\"text\") && context.args.getTag(\"text\") == \"x\" };\n";
    operator.publish(looks).await;
    for said in [
        "plain",
        "a\"}; permit (principal, action, resource); //",
        "line\nbreak \\ 'q'",
        "caf\u{e9} \u{2028}\u{0}",
    ] {
        let refused = echo(agent, json!(said)).await;
        assert!(is_unknown(&refused), "{refused}");
        let event = refused["error"]["data"]["reference"].clone();
        let (status, _) = auditor.ask(Method::POST, "/policies/allow", json!({ "event": event })).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        author.must(Method::POST, "/policies/allow", json!({ "event": event })).await;
        assert!(echoed(&echo(agent, json!(said)).await), "{said:?} is allowed now");
        assert!(is_unknown(&echo(agent, json!(format!("{said}!"))).await), "and nothing but it");
        assert!(is_unknown(&agent.call("add", json!({ "a": 1, "b": 2 })).await));
    }
    // Text that shows itself otherwise than it is read: Cedar warns of it, so no policy may hold it.
    let refused = echo(agent, json!("txt.\u{202e}exe")).await;
    let event = json!({ "event": refused["error"]["data"]["reference"] });
    assert_eq!(author.ask(Method::POST, "/policies/allow", event).await.0, StatusCode::CONFLICT);
    let again = author
        .ask(Method::POST, "/policies/allow", json!({ "event": "evt_00000000000000000000000000" }))
        .await;
    assert_eq!(again.0, StatusCode::NOT_FOUND);
}

/// Names of people, teams and agents go into policies as data, and never out of their quotes.
async fn names(scene: &Scene) {
    let Scene { owner, .. } = scene;
    for name in ["a%22%7D", "a%0Ab", "%F0%9F%A6%8A%22", "permit(principal,action,resource);"] {
        let (status, answer) = owner.ask(Method::PUT, &format!("/users/{name}"), json!({})).await;
        if status.is_success() {
            owner.must(Method::PUT, &format!("/users/{name}"), json!({ "roles": ["auditor"] })).await;
        } else {
            assert_eq!(status, StatusCode::BAD_REQUEST, "{name}: {answer}");
        }
    }
    owner.must(Method::GET, "/inventory", Value::Null).await;
}
