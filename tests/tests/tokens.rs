//! How far a token reaches, and for whom its agent acts, on every host: with tokens of an issuer that the organisation trusts.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::door::Answer;
use tests::fixture::Remote;
use tests::issuer::Issuer;
use tests::mcp::{Client, modern, text};
use tests::operator::Operator;
use tests::stack::{Host, Stack, step};

tests::on_every_host!(suite);

/// An organisation that trusts an issuer, with an agent for its client `chat` and a tool of every kind: `echo` changes nothing, `add`
/// may change something, `DESTRUCTIVE` may destroy something.
struct Scene {
    stack: Stack,
    operator: Operator,
    issuer: Issuer,
    _remote: Remote,
}

const DESTRUCTIVE: &str = "test_input_required_result_multi_round";

async fn suite(host: Host) {
    let stack = Stack::start(host).await;
    let operator = stack.organisation().await;
    let remote = Remote::start().await;
    operator.toolbox("main", &[("fixture", remote.server())]).await;
    for (tool, reads, destroys) in [("echo", true, false), (DESTRUCTIVE, false, true)] {
        let flags =
            json!({ "readOnly": reads, "destructive": destroys, "idempotent": false, "openWorld": false });
        let path = format!("/servers/fixture/tools/{tool}");
        operator.must(Method::PUT, &path, json!({ "state": "approved", "flags": flags })).await;
    }
    let issuer = Issuer::start().await;
    operator.trust(&issuer.url).await;
    operator.must(Method::PUT, "/agents/chat", json!({ "oauthClient": "chat" })).await;
    operator.grant("chat", "toolbox/main").await;
    for user in ["ada", "grace"] {
        operator.must(Method::PUT, &format!("/users/{user}"), json!({})).await;
    }
    let scene = Scene { stack, operator, issuer, _remote: remote };

    step("a token to read reads", reading(&scene)).await;
    step("and is sent for more, all at once", step_up(&scene)).await;
    step("where a scope is all that is missing", only_the_scope(&scene)).await;
    step("in every revision, and to pages", told_alike(&scene)).await;
    step("for whom an agent acts", acting(&scene)).await;
    step("the trail", trail(&scene)).await;
}

impl Scene {
    /// A client with a token for Ada, or for the agent itself.
    fn client(&self, scope: &str, user: Option<&str>) -> Client {
        let audience = format!("{}/mcp/{}/main", self.stack.door.url(), self.operator.org);
        let mut claims = self.issuer.claims("chat", &audience);
        claims["scope"] = json!(scope);
        if let Some(user) = user {
            claims["sub"] = json!(user);
        }
        self.operator.client("main", &self.issuer.sign(&claims))
    }
}

async fn call(client: &Client, tool: &str) -> Answer {
    let arguments = if tool == "add" { json!({ "a": 1, "b": 2 }) } else { json!({ "text": "hello" }) };
    client.modern("tools/call", json!({ "name": tool, "arguments": arguments })).await
}

fn assert_wants_scopes(answer: &Answer, scopes: &str) {
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let challenge = answer.header("www-authenticate");
    assert!(challenge.starts_with("Bearer error=\"insufficient_scope\", "), "{challenge}");
    assert!(challenge.contains(&format!(" scope=\"{scopes}\", resource_metadata=\"http")), "{challenge}");
    let told = "error_description=\"this call needs a token with the scope `mcp:write`\"";
    assert!(challenge.ends_with(told), "{challenge}");
}

async fn reading(scene: &Scene) {
    let client = scene.client("mcp:read", Some("ada"));
    let names = client.names("tools/list", "tools", "name").await;
    assert!(names.contains(&"add".to_owned()), "what a token is too short for is listed: {names:?}");
    assert_eq!(text(&call(&client, "echo").await.last().await), "hello");
    let prompts = client.modern("prompts/list", json!({})).await;
    assert_eq!(prompts.status, StatusCode::OK);
    // Words of another issuer limit nothing, nor does a token without any.
    for scope in ["", "openid profile", "mcp:write", "mcp:read mcp:write"] {
        let answer = call(&scene.client(scope, Some("ada")), "add").await;
        assert_eq!(answer.status, StatusCode::OK, "{scope}");
        assert_eq!(text(&answer.last().await), "3", "{scope}");
    }
}

async fn step_up(scene: &Scene) {
    let answer = call(&scene.client("mcp:read", Some("ada")), "add").await;
    assert_wants_scopes(&answer, "mcp:read mcp:write");
    let challenge = answer.header("www-authenticate").to_owned();
    let body = answer.json().await;
    assert_eq!((&body["id"], &body["error"]["code"]), (&json!(1), &json!(-32602)));
    assert_eq!(body["error"]["message"], "this call needs a token with the scope `mcp:write`");
    assert_eq!(body["error"]["data"]["code"], "needs");
    assert_eq!(body["error"]["data"]["needs"], json!(["scope:mcp:write"]));
    assert!(body["error"]["data"]["reference"].as_str().unwrap().starts_with("evt_"), "{body}");
    // The metadata is there, and is of this toolbox.
    let url = challenge.split("resource_metadata=\"").nth(1).unwrap().split('"').next().unwrap();
    let path = url.strip_prefix(scene.stack.door.url()).unwrap();
    let request = http::Request::get(path).body(bytes::Bytes::new()).unwrap();
    let metadata = scene.stack.door.send(request).await.json().await;
    assert!(metadata["resource"].as_str().unwrap().ends_with("/main"), "{metadata}");
    // What the token has is asked for again, but for what is no scope.
    let answer = call(&scene.client("openid mcp:read a\"b", None), "add").await;
    assert_wants_scopes(&answer, "mcp:read mcp:write openid");
}

async fn only_the_scope(scene: &Scene) {
    // With the scope a person would be asked: so first the scope, then the person.
    let short = scene.client("mcp:read", Some("ada"));
    assert_wants_scopes(&call(&short, DESTRUCTIVE).await, "mcp:read mcp:write");
    let long = scene.client("mcp:read mcp:write", Some("ada"));
    let asked = call(&long, DESTRUCTIVE).await.last().await;
    assert!(asked["result"]["inputRequests"]["ambit_approval"].is_object(), "{asked}");
    // Nobody is there to ask, nothing is granted, nothing is there: no scope helps, and nobody is sent for one.
    let nobody = scene.client("mcp:read", None);
    for (client, tool) in [(&nobody, DESTRUCTIVE), (&short, "no_such_tool")] {
        let answer = call(client, tool).await;
        assert_eq!(
            (answer.status, answer.header("www-authenticate")),
            (StatusCode::BAD_REQUEST, ""),
            "{tool}"
        );
        let body = answer.json().await;
        assert!(body["error"]["message"].as_str().unwrap().starts_with("unknown tool"), "{body}");
    }
    let policy = r#"@id("no-adding") forbid (principal, action in Ambit::Action::"callTool", resource == Ambit::Tool::"fixture/add");"#;
    scene.operator.publish(policy).await;
    let body = call(&short, "add").await.json().await;
    assert_eq!(body["error"]["data"]["code"], "not_permitted", "{body}");
    scene.operator.publish("").await;
}

async fn told_alike(scene: &Scene) {
    let client = scene.client("mcp:read", Some("ada"));
    for version in ["2025-11-25", "2025-06-18", "2025-03-26"] {
        let params = json!({ "name": "add", "arguments": { "a": 1, "b": 2 } });
        let answer = client.legacy(version, "tools/call", params).await;
        assert_wants_scopes(&answer, "mcp:read mcp:write");
    }
    let (mut headers, body) = modern("tools/call", json!({ "name": "add", "arguments": { "a": 1, "b": 2 } }));
    headers.push(("origin".to_owned(), scene.stack.door.url().to_owned()));
    let answer = client.post(&headers, body.to_string()).await;
    assert_wants_scopes(&answer, "mcp:read mcp:write");
    let exposed = answer.header("access-control-expose-headers");
    assert!(exposed.contains("www-authenticate"), "a page reads the challenge: {exposed:?}");
    // A long message is refused like a short one.
    let long = "x".repeat(100 * 1024);
    let params = json!({ "name": "add", "arguments": { "a": 1, "b": 2 }, "_meta": { "note": long } });
    assert_wants_scopes(&client.modern("tools/call", params).await, "mcp:read mcp:write");
}

async fn acting(scene: &Scene) {
    let (for_ada, for_grace, for_itself) =
        (scene.client("", Some("ada")), scene.client("", Some("grace")), scene.client("", None));
    let agent = async |change: Value| scene.operator.must(Method::PUT, "/agents/chat", change).await;
    let status = async |client: &Client| client.modern("tools/list", json!({})).await.status;

    // Nobody's agent acts for whoever lets it.
    assert_eq!((status(&for_ada).await, status(&for_grace).await), (StatusCode::OK, StatusCode::OK));
    // Somebody's agent acts for them; and for itself, as ever.
    agent(json!({ "oauthClient": "chat", "owner": "ada" })).await;
    assert_eq!((status(&for_ada).await, status(&for_itself).await), (StatusCode::OK, StatusCode::OK));
    let refused = call(&for_grace, "echo").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(refused.header("www-authenticate").contains("invalid_token"), "the client asks its person again");
    let why = refused.json().await["error"]["message"].to_string();
    assert!(why.contains("its agent may not act for its subject through this client"), "{why}");
    // A key that an administrator made for a person is not asked about.
    let key = json!({ "user": "grace" });
    let key = scene.operator.must(Method::POST, "/agents/chat/keys", key).await;
    let keyed = scene.operator.client("main", key["key"].as_str().unwrap());
    assert_eq!(text(&call(&keyed, "echo").await.last().await), "hello");

    // The organisation lends it to others, and shuts out clients.
    let lends = r#"@id("lent") permit (principal == Ambit::Agent::"chat", action == Ambit::Action::"actFor", resource == Ambit::User::"grace");"#;
    scene.operator.publish(lends).await;
    assert_eq!(status(&for_grace).await, StatusCode::OK);
    let shuts = r#"@id("shut") forbid (principal, action == Ambit::Action::"actFor", resource) when { context.client like "ch*" };"#;
    scene.operator.publish(shuts).await;
    assert_eq!(
        (status(&for_ada).await, status(&for_itself).await),
        (StatusCode::UNAUTHORIZED, StatusCode::OK)
    );
    scene.operator.publish("").await;

    // Whoever is switched off is acted for no more, at the next call.
    assert_eq!(status(&for_ada).await, StatusCode::OK);
    scene.operator.must(Method::PUT, "/users/ada", json!({ "status": "suspended" })).await;
    assert_eq!(status(&for_ada).await, StatusCode::UNAUTHORIZED);
    scene.operator.must(Method::PUT, "/users/ada", json!({ "status": "active" })).await;
    assert_eq!(status(&for_ada).await, StatusCode::OK);
}

async fn trail(scene: &Scene) {
    let events = scene.operator.trail().await;
    let decided = |action: &str, policy: &str| {
        events.iter().any(|event| {
            let record = &event["decision"];
            record["request"]["action"] == action
                && record["decision"]["effect"] == "deny"
                && record["decision"]["policies"].as_array().is_some_and(|ids| ids.contains(&json!(policy)))
        })
    };
    assert!(decided("callTool", "g8-token-scopes"));
    assert!(decided("actFor", "shut") && decided("actFor", "g2-active-principals"));
    let refusal = events.iter().find(|event| event["decision"]["request"]["action"] == "actFor").unwrap();
    assert_eq!(refusal["decision"]["request"]["context"]["client"], "chat");
    assert_eq!(refusal["decision"]["request"]["resource"]["type"], "user");
}
