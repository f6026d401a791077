//! How often somebody may ask, and how much an organisation may have, on every host (threats 42 to 44 of the design).

use bytes::Bytes;
use gateway::platform::Peer;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tests::description;
use tests::door::{Answer, Door};
use tests::fixture::Remote;
use tests::mcp::Client;
use tests::operator::Operator;
use tests::stack::{Host, Stack, step};

tests::on_every_host!(suite);

/// At least so many may come at once, however low a rate is.
const BURST: usize = 20;

async fn suite(host: Host) {
    let stack = Stack::with_bounds(host, "call=2 list=off manage=off sign-in=2 register=2 token=2", 12).await;
    let (operator, other) = (stack.organisation().await, stack.organisation().await);
    let remote = Remote::start().await;
    for operator in [&operator, &other] {
        operator.toolbox("main", &[("fixture", remote.server())]).await;
    }
    step("calls of an agent", calls(&operator, &other)).await;
    step("calls of an organisation", organisation(&operator, &other)).await;
    step("registrations", addresses(&stack.door, "/register", r#"{"redirect_uris":["https://a.example/"]}"#))
        .await;
    step("tokens", addresses(&stack.door, "/token", "grant_type=none")).await;
    step("failed sign-ins", addresses(&stack.door, "/sign-in/link/ambit_no", "")).await;
    step("quotas", quotas(&other)).await;
    let stack = Stack::with_rates(host, "manage=2").await;
    step("management", management(&stack)).await;
    description::check();
}

async fn echo(client: &Client) -> Answer {
    client.modern("tools/call", json!({ "name": "echo", "arguments": { "text": "x" } })).await
}

async fn agent(operator: &Operator, name: &str) -> Client {
    let client = operator.agent(name, "main").await;
    operator.grant(name, "toolbox/main").await;
    client
}

/// One agent that calls without end is stopped; nobody else feels it, and it may go on with what is not calls.
async fn calls(operator: &Operator, other: &Operator) {
    let (looping, calm, foreign) =
        (agent(operator, "looping").await, agent(operator, "calm").await, agent(other, "calm").await);
    for _ in 0..BURST {
        assert_eq!(echo(&looping).await.status, StatusCode::OK);
    }
    let stopped = echo(&looping).await;
    assert_eq!(stopped.status, StatusCode::TOO_MANY_REQUESTS);
    let seconds: u32 = stopped.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&seconds), "{seconds}");
    let error = stopped.json().await;
    assert!(error["error"]["message"].as_str().unwrap().contains("too often"), "{error}");
    assert_eq!(looping.modern("tools/list", json!({})).await.status, StatusCode::OK);
    for client in [&calm, &foreign] {
        assert_eq!(echo(client).await.status, StatusCode::OK);
    }
    // Whoever is not known uses up nobody's rate.
    let nobody = Client { token: format!("ambit_sk_{}", "A".repeat(43)), ..calm.clone() };
    for _ in 0..BURST + 5 {
        assert_eq!(echo(&nobody).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(echo(&calm).await.status, StatusCode::OK);
}

/// All agents of an organisation together may do ten times what one may; those of another go on.
async fn organisation(operator: &Operator, other: &Operator) {
    let mut stopped = 0;
    for number in 0..10 {
        let next = agent(operator, &format!("n{number}")).await;
        for _ in 0..BURST {
            stopped += usize::from(echo(&next).await.status == StatusCode::TOO_MANY_REQUESTS);
        }
    }
    assert!(stopped > 0, "the others used it up");
    assert_eq!(echo(&agent(other, "next").await).await.status, StatusCode::OK);
}

/// Whoever proves nothing is told apart by address.
async fn addresses(door: &Door, path: &str, body: &'static str) {
    let ask = async || {
        let kind =
            if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
        let method = if body.is_empty() { Method::GET } else { Method::POST };
        // Each host learns the address in its own way; the socket's is the same for every request.
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", door.url().trim_start_matches("http://"))
            .header("content-type", kind)
            .header("cf-connecting-ip", "192.0.2.7")
            .extension(Peer("192.0.2.7".parse().unwrap()))
            .body(Bytes::from_static(body.as_bytes()))
            .unwrap();
        door.send(request).await
    };
    for number in 0..BURST {
        assert_ne!(ask().await.status, StatusCode::TOO_MANY_REQUESTS, "{path}: {number}");
    }
    let stopped = ask().await;
    assert_eq!(stopped.status, StatusCode::TOO_MANY_REQUESTS, "{path}");
    assert!(stopped.header("retry-after").parse::<u32>().unwrap() > 0);
}

/// An organisation has at most so many of each kind; what is there may still be changed.
async fn quotas(operator: &Operator) {
    for (kind, body) in [
        ("agents", json!({})),
        ("users", json!({})),
        ("toolboxes", json!({ "servers": [] })),
        ("teams", json!({})),
    ] {
        let mut made = Vec::new();
        let refused = loop {
            let path = format!("/{kind}/q{}", made.len());
            let (status, answer) = operator.ask(Method::PUT, &path, body.clone()).await;
            if !status.is_success() {
                break (status, answer);
            }
            made.push(path);
            assert!(made.len() <= 12, "{kind} have no end");
        };
        assert_eq!(refused.0, StatusCode::FORBIDDEN, "{kind}: {}", refused.1);
        assert!(refused.1["type"].as_str().unwrap().ends_with("/problems/quota"), "{}", refused.1);
        let listed = operator.must(Method::GET, &format!("/{kind}"), Value::Null).await;
        assert_eq!(listed[kind].as_array().unwrap().len(), 12, "{listed}");
        let last = made.last().unwrap();
        operator.must(Method::PUT, last, body.clone()).await;
        operator.must(Method::DELETE, last, Value::Null).await;
        operator.must(Method::PUT, last, body).await;
    }
    let mut keys = 0;
    while operator.ask(Method::POST, "/agents/calm/keys", json!({})).await.0 == StatusCode::CREATED {
        keys += 1;
        assert!(keys <= 12, "keys have no end");
    }
}

async fn management(stack: &Stack) {
    let operator = stack.organisation().await;
    let owner = operator.person("olga", &["owner"]).await;
    let mut stopped = StatusCode::OK;
    for _ in 0..=BURST {
        stopped = owner.ask(Method::GET, "/users", Value::Null).await.0;
    }
    assert_eq!(stopped, StatusCode::TOO_MANY_REQUESTS);
    let (status, headers, _) =
        owner.whole(Method::GET, &format!("/orgs/{}", owner.org), &[], Value::Null).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(headers.contains_key("retry-after"));
    operator.must(Method::GET, "/users", Value::Null).await;
}
