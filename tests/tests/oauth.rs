//! The authorization server, as clients meet it: one suite, on every host.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::canaries;
use tests::door::Door;
use tests::fixture;
use tests::mcp;
use tests::memory::{Memory, Moment};
use tests::oauth::{Client, REDIRECT, Told, VERIFIER, back, challenge, get, register, send};
use tests::operator::Operator;
use tests::stack::{Host, Stack, step};

tests::on_every_host!(suite);

/// Row 42 of the threats: whoever floods an endpoint is told to wait, and the storage stays bounded.
#[test]
fn floods() {
    tests::stack::run(async {
        let stack = Stack::with_rates(Host::Standalone, "register=60 token=60").await;
        let metadata = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none" });
        let told = futures_util::future::join_all((0..200).map(|_| register(&stack.door, &metadata))).await;
        let made = told.iter().filter(|told| told.status == StatusCode::CREATED).count();
        let refused: Vec<&Told> =
            told.iter().filter(|told| told.status == StatusCode::TOO_MANY_REQUESTS).collect();
        assert_eq!(made + refused.len(), told.len());
        // A bucket lives in one core: each lets a burst of 20 through, and one a second.
        let cores = std::thread::available_parallelism().unwrap().get();
        assert!((20..=(20 + 30) * cores).contains(&made), "{made}");
        for told in refused {
            assert_eq!(told.error(), "temporarily_unavailable");
            assert!(told.headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() >= 1);
        }
        let client =
            Client { door: stack.door.clone(), id: "x".into(), secret: None, redirect_uri: REDIRECT.into() };
        let guesses = futures_util::future::join_all((0..200).map(|_| client.redeem("ambit_ac_guess"))).await;
        assert!(
            guesses.iter().any(|told| told.status == StatusCode::TOO_MANY_REQUESTS),
            "nobody guesses without end"
        );
    });
}

/// An organisation with a toolbox, an agent that lets every client in, and a person who is signed in.
struct Scene {
    stack: Stack,
    operator: Operator,
    resource: String,
}

async fn suite(host: Host) {
    let stack = Stack::with_rates(host, "register=off sign-in=off token=off").await;
    let operator = stack.organisation().await;
    operator.toolbox("main", &[("fixture", fixture::stdio("modern").await)]).await;
    operator.toolbox("other", &[]).await;
    operator.must(Method::PUT, "/agents/assistant", json!({ "clients": ["*"] })).await;
    operator.grant("assistant", "toolbox/main").await;
    operator.grant("assistant", "toolbox/other").await;
    let resource = format!("{}/mcp/{}/main", stack.door.url(), operator.org);
    let scene = Scene { stack, operator, resource };

    step("what is published", published(&scene)).await;
    step("by URL alone", by_url_alone(&scene)).await;
    step("requests that never leave our page", local_errors(&scene)).await;
    step("requests that are answered with an error", redirected_errors(&scene)).await;
    step("a person's word", consent(&scene)).await;
    step("no agent lets it in", nobody(&scene)).await;
    step("clients that name no resource", no_resource(&scene)).await;
    step("codes", codes(&scene)).await;
    step("refresh tokens", refreshing(&scene)).await;
    step("less than everything", scopes(&scene)).await;
    step("access tokens are for one toolbox", audiences(&scene)).await;
    step("switched off", switched_off(&scene)).await;
    step("revocation", revocation(&scene)).await;
    step("clients that register themselves", registrations(&scene)).await;
    step("names that would deceive", names(&scene)).await;
    step("endpoints are strict", strict(&scene)).await;
    step("what a person let in, and lets out", own_page(&scene)).await;
    if let Door::Memory(memory) = &scene.stack.door {
        step("every step of a refresh failing", faults(&scene, memory)).await;
    }
    step("no secret is kept or told", canaries(&scene)).await;
}

impl Scene {
    /// A browser in which somebody is signed in.
    async fn person(&self, name: &str) -> Browser {
        signed_in(&self.operator, name).await
    }

    /// A client of a toolbox with a token.
    fn mcp(&self, toolbox: &str, token: &str) -> mcp::Client {
        self.operator.client(toolbox, token)
    }

    /// The status of a list with a token.
    async fn status(&self, token: &str) -> StatusCode {
        self.mcp("main", token).modern("tools/list", json!({})).await.status
    }

    /// A new client, and the tokens that somebody let it have.
    async fn let_in(&self, browser: &mut Browser) -> (Client, Told) {
        let client = Client::registered(&self.stack.door).await;
        let code = client.code(browser, &self.resource).await;
        let told = client.redeem(&code).await;
        assert_eq!(told.status, StatusCode::OK, "{}", told.body);
        (client, told)
    }
}

async fn signed_in(operator: &Operator, name: &str) -> Browser {
    operator.must(Method::PUT, &format!("/users/{name}"), json!({})).await;
    let made = operator.must(Method::POST, &format!("/users/{name}/links"), json!({})).await;
    let mut browser = Browser::new(&operator.door);
    let page = browser.open(made["url"].as_str().unwrap()).await;
    browser.press(&page, "Sign in", &[]).await;
    browser
}

async fn published(scene: &Scene) {
    let door = &scene.stack.door;
    let url = door.url();
    let metadata = get(door, "/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata.status, StatusCode::OK);
    assert_eq!(metadata.headers["access-control-allow-origin"], "*");
    assert_eq!(metadata.text("issuer"), url, "byte for byte what the address was built from (RFC 8414 §3.3)");
    assert_eq!(metadata.body["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(metadata.body["response_types_supported"], json!(["code"]));
    for flag in ["authorization_response_iss_parameter_supported", "client_id_metadata_document_supported"] {
        assert_eq!(metadata.body[flag], true, "{flag}");
    }
    for (member, path) in [
        ("authorization_endpoint", "/authorize"),
        ("token_endpoint", "/token"),
        ("registration_endpoint", "/register"),
        ("revocation_endpoint", "/revoke"),
        ("introspection_endpoint", "/introspect"),
        ("jwks_uri", "/jwks.json"),
    ] {
        assert_eq!(metadata.text(member), format!("{url}{path}"));
    }
    assert_eq!(get(door, "/.well-known/openid-configuration").await.body, metadata.body);

    let keys = get(door, "/jwks.json").await.body;
    let keys = keys["keys"].as_array().unwrap();
    assert!(keys.len() >= 2, "this month's and the next one's");
    for key in keys {
        assert!(key.get("d").is_none() && key["alg"] == "EdDSA" && key["kid"].is_string(), "{key}");
    }

    let path = format!("/.well-known/oauth-protected-resource/mcp/{}/main", scene.operator.org);
    let resource = get(door, &path).await.body;
    assert_eq!(resource["resource"], scene.resource);
    assert_eq!(resource["authorization_servers"][0], url);
    assert_eq!(resource["scopes_supported"], json!(["mcp:read", "mcp:write"]), "and no `offline_access`");

    let bare = scene.mcp("main", "").modern("tools/list", json!({})).await;
    assert_eq!(bare.status, StatusCode::UNAUTHORIZED);
    let expected = format!("Bearer resource_metadata=\"{url}{path}\", scope=\"mcp:read mcp:write\"");
    assert_eq!(bare.header("www-authenticate"), expected);
    let bad = scene.mcp("main", "nonsense").modern("tools/list", json!({})).await;
    assert_eq!(bad.status, StatusCode::UNAUTHORIZED);
    assert_eq!(bad.header("www-authenticate"), format!("{expected}, error=\"invalid_token\""));
}

/// What every MCP client does that knows nothing but a URL.
async fn by_url_alone(scene: &Scene) {
    let client = Client::registered(&scene.stack.door).await;
    // Nobody is signed in: the browser is sent to sign in, and comes back to the question.
    let request = client.request(&scene.resource);
    let mut stranger = Browser::new(&scene.stack.door);
    let door = stranger.open(&Client::address(&request)).await;
    assert!(door.url.path().starts_with(&format!("/sign-in/{}", scene.operator.org)), "{}", door.url);
    assert!(door.url.query().unwrap_or_default().contains("authorize"), "it comes back: {}", door.url);

    let mut browser = scene.person("ann").await;
    let page = client.asked(&mut browser, &scene.resource).await;
    for words in
        ["Test client", "it registered itself", "http://127.0.0.1:9", "assistant", "ann", &scene.operator.org]
    {
        assert!(page.text().contains(words), "`{words}` is missing: {}", page.text());
    }
    let code = client.code(&mut browser, &scene.resource).await;
    let told = client.redeem(&code).await;
    assert_eq!(told.text("token_type"), "Bearer");
    assert_eq!(told.text("scope"), "mcp:read mcp:write");
    assert!(told.body["expires_in"].as_i64().unwrap() <= 600);
    let answer = scene.mcp("main", told.token()).call("echo", json!({ "text": "hello" })).await;
    assert_eq!(mcp::text(&answer), "hello");

    let again = client.refresh(told.text("refresh_token")).await;
    let answer = scene.mcp("main", again.token()).call("echo", json!({ "text": "again" })).await;
    assert_eq!(mcp::text(&answer), "again");

    // Who acted for whom, through what, is on record; no token is.
    let trail = scene.operator.trail().await;
    let call =
        trail.iter().rfind(|event| event["method"] == "tools/call" && event["phase"] == "intent").unwrap();
    assert_eq!((&call["actor"]["agent"], &call["actor"]["user"]), (&json!("assistant"), &json!("ann")));
    assert!(call["actor"]["credential"].as_str().unwrap().starts_with("authorization:aut_"), "{call}");
    let text = serde_json::to_string(&trail).unwrap();
    for secret in [told.token(), told.text("refresh_token"), &code] {
        assert!(!text.contains(secret));
    }
    let noted = trail.iter().find(|event| event["method"] == "authorization.add").unwrap();
    assert_eq!(noted["decision"]["request"]["action"], "actFor", "{noted}");
}

fn without(request: &[(String, String)], name: &str) -> Vec<(String, String)> {
    request.iter().filter(|(other, _)| other != name).cloned().collect()
}

fn with(request: &[(String, String)], name: &str, value: &str) -> Vec<(String, String)> {
    let mut changed = without(request, name);
    changed.push((name.to_owned(), value.to_owned()));
    changed
}

async fn local_errors(scene: &Scene) {
    let client = Client::registered(&scene.stack.door).await;
    let mut browser = scene.person("ann").await;
    let good = client.request(&scene.resource);
    let mut twice = good.clone();
    twice.push(("client_id".to_owned(), client.id.clone()));
    let mut cases = vec![
        ("no client", without(&good, "client_id")),
        ("unknown client", with(&good, "client_id", "ambit_client_unknown")),
        ("a parameter twice", twice),
    ];
    // Row 16 of the threats: every way to bend a redirect.
    for bent in [
        "http://127.0.0.1:9/callback/",
        "http://127.0.0.1:9/Callback",
        "http://127.0.0.1:9/callback?x",
        "http://127.0.0.1:9/callback#f",
        "http://127.0.0.1:9@evil.example/callback",
        "http://127.0.0.1.evil.example/callback",
        "//127.0.0.1:9/callback",
        "/\\evil.example",
        "https:evil.example",
        "https://evil.example/callback",
        "http://localhost:9/callback",
        "http://127.0.0.1.:9/callback",
        "javascript://127.0.0.1/%0aalert(1)",
        "%2f%2fevil.example",
        "data:text/html,x",
    ] {
        cases.push(("a bent redirect", with(&good, "redirect_uri", bent)));
    }
    for (what, request) in cases {
        let page = browser.look(&Client::address(&request)).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{what}: {request:?}");
        assert!(page.location().is_none() && page.text().contains("can't be answered"), "{what}");
    }
    // A native program listens where it finds a free port (RFC 8252 §7.3).
    let page =
        browser.open(&Client::address(&with(&good, "redirect_uri", "http://127.0.0.1:49152/callback"))).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text());
}

async fn redirected_errors(scene: &Scene) {
    let client = Client::registered(&scene.stack.door).await;
    let mut browser = scene.person("ann").await;
    let good = client.request(&scene.resource);
    let url = scene.stack.door.url();
    for (what, request, error) in [
        ("no PKCE", without(&without(&good, "code_challenge"), "code_challenge_method"), "invalid_request"),
        ("no method", without(&good, "code_challenge_method"), "invalid_request"),
        ("plain", with(&good, "code_challenge_method", "plain"), "invalid_request"),
        ("no challenge", with(&good, "code_challenge", "short"), "invalid_request"),
        ("implicit", with(&good, "response_type", "token"), "unsupported_response_type"),
        ("no type", without(&good, "response_type"), "invalid_request"),
        ("fragment mode", with(&good, "response_mode", "fragment"), "invalid_request"),
        ("request object", with(&good, "request", "x.y.z"), "request_not_supported"),
        ("foreign resource", with(&good, "resource", "https://evil.example/mcp"), "invalid_target"),
        (
            "resource with fragment",
            with(&good, "resource", &format!("{}#f", scene.resource)),
            "invalid_target",
        ),
        ("resource with slash", with(&good, "resource", &format!("{}/", scene.resource)), "invalid_target"),
        ("no such toolbox", with(&good, "resource", &format!("{}x", scene.resource)), "invalid_target"),
        ("resource beside ours", with(&good, "resource", &format!("{url}-other/mcp/a/b")), "invalid_target"),
        ("the management API", with(&good, "resource", &format!("{url}/api/v1")), "invalid_target"),
        ("silent", with(&good, "prompt", "none"), "consent_required"),
    ] {
        let back = back(&browser.look(&Client::address(&request)).await);
        assert!(back.0.as_str().starts_with(REDIRECT), "{what}: {}", back.0);
        assert_eq!(back.get("error"), error, "{what}: {}", back.0);
        assert_eq!((back.get("state").as_str(), back.get("iss").as_str()), ("the-state", url), "{what}");
        assert!(back.get("code").is_empty() && !back.get("error_description").is_empty(), "{what}");
    }
    let nobody =
        back(&Browser::new(&scene.stack.door).look(&Client::address(&with(&good, "prompt", "none"))).await);
    assert_eq!(nobody.get("error"), "login_required");
}

async fn consent(scene: &Scene) {
    let client = Client::registered(&scene.stack.door).await;
    let mut browser = scene.person("ann").await;
    let page = client.asked(&mut browser, &scene.resource).await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(policy.contains("form-action 'self' http://127.0.0.1:9;"), "{policy}");
    assert_eq!(page.headers["cache-control"], "no-store");

    // Another person's browser, another site's page, nobody's browser: none of them can answer it.
    let form = page.form("Let it in", &[]).unwrap();
    let mut bob = scene.person("bob").await;
    assert_eq!(bob.send(&form, Some(&page.url)).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        browser.send(&form, Some(&"https://evil.example/".parse().unwrap())).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(browser.send(&form, None).await.status, StatusCode::BAD_REQUEST);
    let mut stranger = Browser::new(&scene.stack.door);
    assert_eq!(stranger.send(&form, Some(&page.url)).await.status, StatusCode::BAD_REQUEST);

    // More than was asked for is not given, whatever the form says.
    let mut narrow = client.request(&scene.resource);
    narrow.push(("scope".to_owned(), "mcp:read".to_owned()));
    let narrow_page = browser.open(&Client::address(&narrow)).await;
    let wide = narrow_page.form("Let it in", &[("scope:mcp:write", "yes"), ("scope:manage", "yes")]).unwrap();
    let code = back(&browser.send(&wide, Some(&narrow_page.url)).await).get("code");
    assert_eq!(client.redeem(&code).await.text("scope"), "mcp:read");

    // An agent that does not let it in can't be chosen either.
    scene.operator.must(Method::PUT, "/agents/closed", json!({})).await;
    let other = client.asked(&mut browser, &scene.resource).await;
    let chosen = other.form("Let it in", &[("agent", "closed")]).unwrap();
    assert_eq!(back(&browser.send(&chosen, Some(&other.url)).await).get("error"), "access_denied");

    // Yes is said once.
    let first = browser.send(&form, Some(&page.url)).await;
    assert!(!back(&first).get("code").is_empty());
    let replayed = browser.send(&form, Some(&page.url)).await;
    assert_eq!(replayed.status, StatusCode::CONFLICT, "{}", replayed.text());

    let page = client.asked(&mut browser, &scene.resource).await;
    let no = page.form("No", &[]).unwrap();
    assert_eq!(back(&browser.send(&no, Some(&page.url)).await).get("error"), "access_denied");
}

async fn nobody(scene: &Scene) {
    let client = Client::registered(&scene.stack.door).await;
    scene
        .operator
        .must(Method::PUT, "/agents/assistant", json!({ "clients": ["https://claude.ai/*"] }))
        .await;
    let mut browser = scene.person("ann").await;
    let page = client.asked(&mut browser, &scene.resource).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text().contains("ambit agent allow") && page.text().contains(&client.id), "{}", page.text());
    let form = page.form("Go back", &[]).unwrap();
    assert_eq!(back(&browser.send(&form, Some(&page.url)).await).get("error"), "access_denied");

    // An agent with an owner acts for its owner.
    scene.operator.must(Method::PUT, "/agents/assistant", json!({ "clients": ["*"], "owner": "ann" })).await;
    assert_eq!(client.asked(&mut browser, &scene.resource).await.status, StatusCode::OK);
    let mut bob = scene.person("bob").await;
    assert_eq!(client.asked(&mut bob, &scene.resource).await.status, StatusCode::FORBIDDEN);
    scene.operator.must(Method::PUT, "/agents/assistant", json!({ "clients": ["*"] })).await;
    assert_eq!(client.asked(&mut bob, &scene.resource).await.status, StatusCode::OK);
}

/// Clients of 2025-03-26 know no resource indicators: the person chooses the toolbox.
async fn no_resource(scene: &Scene) {
    let client = Client::registered(&scene.stack.door).await;
    let mut browser = scene.person("ann").await;
    let request = without(&client.request(&scene.resource), "resource");
    let page = browser.open(&Client::address(&request)).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text());
    assert!(page.text().contains("main") && page.text().contains("other"), "{}", page.text());
    let form = page.form("Let it in", &[("toolbox", "main")]).unwrap();
    let code = back(&browser.send(&form, Some(&page.url)).await).get("code");
    let told = client.redeem(&code).await;
    assert_eq!(scene.status(told.token()).await, StatusCode::OK);
    let page = browser.open(&Client::address(&request)).await;
    let form = page.form("Let it in", &[("toolbox", "../x")]).unwrap();
    assert_eq!(back(&browser.send(&form, Some(&page.url)).await).get("error"), "invalid_target");
}

async fn codes(scene: &Scene) {
    let client = Client::registered(&scene.stack.door).await;
    let other = Client::registered(&scene.stack.door).await;
    let mut browser = scene.person("ann").await;
    let code = client.code(&mut browser, &scene.resource).await;
    assert!(code.starts_with("ambit_ac_"), "scanners know it by its prefix");
    let grant = ("grant_type", "authorization_code");
    let uri = ("redirect_uri", REDIRECT);
    // What is wrong with a request does not use the code up.
    for (what, fields, error) in [
        ("no verifier", vec![grant, ("code", code.as_str()), uri], "invalid_request"),
        (
            "wrong verifier",
            vec![grant, ("code", &code), uri, ("code_verifier", &VERIFIER[1..])],
            "invalid_grant",
        ),
        (
            "the challenge as verifier",
            vec![grant, ("code", &code), uri, ("code_verifier", &challenge(VERIFIER))],
            "invalid_grant",
        ),
        (
            "another redirect",
            vec![
                grant,
                ("code", &code),
                ("redirect_uri", "http://127.0.0.1:9/other"),
                ("code_verifier", VERIFIER),
            ],
            "invalid_grant",
        ),
        (
            "another resource",
            vec![
                grant,
                ("code", &code),
                uri,
                ("code_verifier", VERIFIER),
                ("resource", &format!("{}x", scene.resource)),
            ],
            "invalid_target",
        ),
        ("no code", vec![grant, ("code", "ambit_ac_x"), uri, ("code_verifier", VERIFIER)], "invalid_grant"),
    ] {
        let told = client.token(&fields).await;
        assert_eq!((told.status, told.error()), (StatusCode::BAD_REQUEST, error), "{what}: {}", told.body);
    }
    assert_eq!(other.redeem(&code).await.error(), "invalid_grant", "another client's");
    let told = client.redeem(&code).await;
    assert_eq!(scene.status(told.token()).await, StatusCode::OK);
    // Twice: whoever was first may be the thief, so both lose.
    assert_eq!(client.redeem(&code).await.error(), "invalid_grant");
    assert_eq!(scene.status(told.token()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(client.refresh(told.text("refresh_token")).await.error(), "invalid_grant");

    // Two at once: one wins, and then neither.
    let code = client.code(&mut browser, &scene.resource).await;
    let (one, two) = futures_util::future::join(client.redeem(&code), client.redeem(&code)).await;
    let good = [&one, &two].iter().filter(|told| told.status == StatusCode::OK).count();
    assert!(good <= 1, "{} {}", one.body, two.body);
}

async fn refreshing(scene: &Scene) {
    let mut browser = scene.person("ann").await;
    let (client, first) = scene.let_in(&mut browser).await;
    let one = first.text("refresh_token").to_owned();
    assert!(one.starts_with("ambit_rt_"));
    let other = Client::registered(&scene.stack.door).await;
    assert_eq!(other.refresh(&one).await.error(), "invalid_grant", "another client's");
    let wider = client
        .token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", &one),
            ("resource", &format!("{}x", scene.resource)),
        ])
        .await;
    assert_eq!(wider.error(), "invalid_target");

    let second = client.refresh(&one).await;
    let two = second.text("refresh_token").to_owned();
    assert_ne!(one, two, "they rotate");
    // The answer was lost on its way: the same token is good once more, until its successor is used.
    let sibling = client.refresh(&one).await.text("refresh_token").to_owned();
    let third = client.refresh(&two).await;
    assert_eq!(third.status, StatusCode::OK, "{}", third.body);
    assert_eq!(client.refresh(&sibling).await.status, StatusCode::OK, "two tabs of one client both go on");
    let three = third.text("refresh_token").to_owned();
    let fourth = client.refresh(&three).await;
    assert_eq!(scene.status(fourth.token()).await, StatusCode::OK);
    // One that was replaced twice over is in a thief's hands: everything of the family ends.
    let stolen = client.refresh(&one).await;
    assert_eq!(stolen.error(), "invalid_grant", "{}", stolen.body);
    assert_eq!(client.refresh(fourth.text("refresh_token")).await.error(), "invalid_grant");
    assert_eq!(scene.status(fourth.token()).await, StatusCode::UNAUTHORIZED);
    let trail = scene.operator.trail().await;
    assert!(trail.iter().any(|event| event["method"] == "authorization.end"), "the owner can see it");

    // Fifty at once with one token: nobody is stranded, as none had used a successor.
    let (client, told) = scene.let_in(&mut browser).await;
    let token = told.text("refresh_token");
    let all = futures_util::future::join_all((0..50).map(|_| client.refresh(token))).await;
    assert!(all.iter().all(|told| told.status == StatusCode::OK));
    let last = client.refresh(all[49].text("refresh_token")).await;
    assert_eq!(last.status, StatusCode::OK, "{}", last.body);
}

async fn scopes(scene: &Scene) {
    let client = Client::registered(&scene.stack.door).await;
    let mut browser = scene.person("ann").await;
    let page = client.asked(&mut browser, &scene.resource).await;
    // The person unticks "act".
    let mut form = page.form("Let it in", &[]).unwrap();
    form.fields.retain(|(name, _)| name != "scope:mcp:write");
    let code = back(&browser.send(&form, Some(&page.url)).await).get("code");
    let told = client.redeem(&code).await;
    assert_eq!(told.text("scope"), "mcp:read");
    let mcp = scene.mcp("main", told.token());
    assert!(mcp.names("tools/list", "tools", "name").await.contains(&"echo".to_owned()));
    let refused = mcp.modern("tools/call", json!({ "name": "echo", "arguments": { "text": "x" } })).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let wanted = refused.header("www-authenticate").to_owned();
    assert!(
        wanted.contains("insufficient_scope") && wanted.contains("scope=\"mcp:read mcp:write\""),
        "{wanted}"
    );
    assert_eq!(
        mcp.call("no_such_tool", json!({})).await["error"]["code"],
        -32602,
        "which tools there are is not told"
    );
    let wider = client
        .token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", told.text("refresh_token")),
            ("scope", "mcp:read mcp:write"),
        ])
        .await;
    assert_eq!(wider.error(), "invalid_scope");
    // Step-up: the client asks for all of it, and the person says yes.
    let code = client.code(&mut browser, &scene.resource).await;
    let told = client.redeem(&code).await;
    let answer = scene.mcp("main", told.token()).call("echo", json!({ "text": "now" })).await;
    assert_eq!(mcp::text(&answer), "now");
    let narrower = client
        .token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", told.text("refresh_token")),
            ("scope", "mcp:read"),
        ])
        .await;
    assert_eq!(narrower.text("scope"), "mcp:read");
}

/// Rows 21 and 22 of the threats: tokens for somebody else, and tokens that are none.
async fn audiences(scene: &Scene) {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut browser = scene.person("ann").await;
    let (_, told) = scene.let_in(&mut browser).await;
    let token = told.token();
    let other = scene.mcp("other", token).modern("tools/list", json!({})).await;
    assert_eq!(other.status, StatusCode::UNAUTHORIZED, "for `main`, not for `other`");
    let neighbour = scene.stack.organisation().await;
    neighbour.toolbox("main", &[]).await;
    assert_eq!(
        neighbour.client("main", token).modern("tools/list", json!({})).await.status,
        StatusCode::UNAUTHORIZED
    );

    let parts: Vec<&str> = token.split('.').collect();
    let decode =
        |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let (header, claims) = (decode(parts[0]), decode(parts[1]));
    assert_eq!((header["typ"].as_str(), header["alg"].as_str()), (Some("at+jwt"), Some("EdDSA")));
    assert_eq!(claims["aud"], scene.resource);
    assert_eq!(claims["iss"], scene.stack.door.url());
    assert_eq!(claims["act"]["sub"], claims["agent"], "an agent acts, for a person");
    assert!(claims["sub"].as_str().unwrap().starts_with("usr_"));
    let keys = get(&scene.stack.door, "/jwks.json").await.body;
    let public = keys["keys"][0].clone();
    let changed = |value: &Value, member: &str, to: Value| {
        let mut changed = value.clone();
        changed[member] = to;
        changed
    };
    let mut forged = vec![
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("alg none", format!("{}.{}.", encode(&changed(&header, "alg", json!("none"))), parts[1])),
        (
            "another audience",
            format!(
                "{}.{}.{}",
                parts[0],
                encode(&changed(&claims, "aud", json!(format!("{}x", scene.resource)))),
                parts[2]
            ),
        ),
        (
            "an ID token",
            format!("{}.{}.{}", encode(&changed(&header, "typ", json!("JWT"))), parts[1], parts[2]),
        ),
        (
            "a path as key id",
            format!(
                "{}.{}.{}",
                encode(&changed(&header, "kid", json!("../../etc/passwd"))),
                parts[1],
                parts[2]
            ),
        ),
        (
            "SQL as key id",
            format!("{}.{}.{}", encode(&changed(&header, "kid", json!("' OR 1=1 --"))), parts[1], parts[2]),
        ),
        (
            "its own key",
            format!("{}.{}.{}", encode(&changed(&header, "jwk", public.clone())), parts[1], parts[2]),
        ),
        (
            "a key elsewhere",
            format!(
                "{}.{}.{}",
                encode(&changed(&header, "jku", json!("http://127.0.0.1:9/jwks"))),
                parts[1],
                parts[2]
            ),
        ),
        ("two dots more", format!("{token}..")),
    ];
    // The public key as a shared secret.
    let x = URL_SAFE_NO_PAD.decode(public["x"].as_str().unwrap()).unwrap();
    let hs256 = jsonwebtoken::Header {
        kid: public["kid"].as_str().map(str::to_owned),
        typ: Some("at+jwt".into()),
        ..Default::default()
    };
    forged.push((
        "HS256",
        jsonwebtoken::encode(&hs256, &claims, &jsonwebtoken::EncodingKey::from_secret(&x)).unwrap(),
    ));
    for (what, token) in forged {
        assert_eq!(scene.status(&token).await, StatusCode::UNAUTHORIZED, "{what}");
    }
    if let Door::Memory(memory) = &scene.stack.door {
        memory.platform.advance(Duration::from_mins(10));
        assert_eq!(scene.status(token).await, StatusCode::UNAUTHORIZED, "expired");
    }
}

/// Rows 44 and 47: whatever is switched off stops at the next call.
async fn switched_off(scene: &Scene) {
    let mut browser = scene.person("eve").await;
    let (client, told) = scene.let_in(&mut browser).await;
    assert_eq!(scene.status(told.token()).await, StatusCode::OK);
    let names = async || scene.mcp("main", told.token()).names("tools/list", "tools", "name").await;
    assert!(!names().await.is_empty());
    for (path, off, on) in [
        ("/users/eve", json!({ "status": "suspended" }), json!({ "status": "active" })),
        (
            "/agents/assistant",
            json!({ "clients": ["*"], "status": "suspended" }),
            json!({ "clients": ["*"] }),
        ),
    ] {
        scene.operator.must(Method::PUT, path, off).await;
        let list = scene.mcp("main", told.token()).modern("tools/list", json!({})).await;
        let stopped = list.status == StatusCode::UNAUTHORIZED
            || list.json().await["result"]["tools"].as_array().is_some_and(Vec::is_empty);
        assert!(stopped, "{path}");
        let refreshed = client.refresh(told.text("refresh_token")).await;
        assert_eq!(refreshed.error(), "invalid_grant", "{path}: {}", refreshed.body);
        scene.operator.must(Method::PUT, path, on).await;
    }
    assert_eq!(client.refresh(told.text("refresh_token")).await.status, StatusCode::OK, "nothing was lost");
    // The agent lets other clients in only: what it had ends at the next refresh at the latest.
    scene
        .operator
        .must(Method::PUT, "/agents/assistant", json!({ "clients": ["https://claude.ai/*"] }))
        .await;
    let told = client.refresh(told.text("refresh_token")).await;
    assert_eq!(told.error(), "invalid_grant", "{}", told.body);
    scene.operator.must(Method::PUT, "/agents/assistant", json!({ "clients": ["*"] })).await;
}

async fn revocation(scene: &Scene) {
    let mut browser = scene.person("ann").await;
    let (client, told) = scene.let_in(&mut browser).await;
    let other = Client::registered(&scene.stack.door).await;
    for token in [told.token(), told.text("refresh_token"), "nonsense"] {
        assert_eq!(
            other.post("/revoke", &[("token", token)]).await.status,
            StatusCode::OK,
            "the same for all"
        );
    }
    assert_eq!(scene.status(told.token()).await, StatusCode::OK, "another client's word is nothing");
    let refreshed = client.refresh(told.text("refresh_token")).await;
    assert_eq!(client.post("/revoke", &[("token", told.token())]).await.status, StatusCode::OK);
    assert_eq!(scene.status(told.token()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.status(refreshed.token()).await, StatusCode::OK, "an access token revokes itself only");
    assert_eq!(
        client.post("/revoke", &[("token", refreshed.text("refresh_token"))]).await.status,
        StatusCode::OK
    );
    assert_eq!(scene.status(refreshed.token()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(client.refresh(refreshed.text("refresh_token")).await.error(), "invalid_grant");
}

async fn registrations(scene: &Scene) {
    let door = &scene.stack.door;
    let good = json!({ "redirect_uris": ["https://app.example/cb"], "client_name": "App" });
    let told = register(door, &good).await;
    assert_eq!(told.status, StatusCode::CREATED);
    assert!(told.text("client_secret").starts_with("ambit_cs_"), "it did not say `none`: {}", told.body);
    assert_eq!(told.body["client_secret_expires_at"], 0);
    assert!(
        told.body["client_id_issued_at"].is_i64() && told.body.get("registration_access_token").is_none()
    );
    for (what, metadata, error) in [
        ("no redirect", json!({}), "invalid_redirect_uri"),
        ("script", json!({ "redirect_uris": ["javascript://x/%0aalert(1)"] }), "invalid_redirect_uri"),
        ("http", json!({ "redirect_uris": ["http://app.example/cb"] }), "invalid_redirect_uri"),
        (
            "web on loopback",
            json!({ "redirect_uris": ["http://127.0.0.1/cb"], "application_type": "web" }),
            "invalid_redirect_uri",
        ),
        (
            "eleven redirects",
            json!({ "redirect_uris": vec!["https://app.example/cb"; 11] }),
            "invalid_redirect_uri",
        ),
        (
            "implicit",
            json!({ "redirect_uris": ["https://app.example/cb"], "response_types": ["token"] }),
            "invalid_client_metadata",
        ),
        ("an agent of its own", json!({ "grant_types": ["client_credentials"] }), "invalid_client_metadata"),
        (
            "a statement",
            json!({ "redirect_uris": ["https://app.example/cb"], "software_statement": "x.y.z" }),
            "unapproved_software_statement",
        ),
        (
            "no keys",
            json!({ "redirect_uris": ["https://app.example/cb"], "token_endpoint_auth_method": "private_key_jwt" }),
            "invalid_client_metadata",
        ),
        (
            "keys inside",
            json!({ "redirect_uris": ["https://app.example/cb"], "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://169.254.169.254/jwks" }),
            "invalid_client_metadata",
        ),
    ] {
        let told = register(door, &metadata).await;
        assert_eq!((told.status, told.error()), (StatusCode::BAD_REQUEST, error), "{what}: {}", told.body);
    }
    let large = json!({ "redirect_uris": ["https://app.example/cb"], "client_name": "x".repeat(6000) });
    assert_eq!(register(door, &large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    if let Door::Memory(memory) = door {
        let client = Client::registered(door).await;
        memory.platform.advance(Duration::from_hours(25));
        let mut browser = scene.person("ann").await;
        let page = client.asked(&mut browser, &scene.resource).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "nobody let it in within a day: {}", page.text());
    }
}

/// Row 45: a client's name is a stranger's word.
async fn names(scene: &Scene) {
    let door = &scene.stack.door;
    let mut browser = scene.person("ann").await;
    for name in ["<script>alert(1)</script>", "Claude\u{202e}\u{200b}", "\"><img src=x onerror=alert(1)>"] {
        let metadata =
            json!({ "client_name": name, "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none" });
        let told = register(door, &metadata).await;
        let client = Client {
            door: door.clone(),
            id: told.text("client_id").to_owned(),
            secret: None,
            redirect_uri: REDIRECT.into(),
        };
        let page = client.asked(&mut browser, &scene.resource).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(
            !page.html.contains("<script") && !page.html.contains("<img") && !page.html.contains('\u{202e}'),
            "{}",
            page.html
        );
    }
}

async fn strict(scene: &Scene) {
    let door = &scene.stack.door;
    let client = Client::registered(door).await;
    let json_body = send(door, Method::POST, "/token", &[("content-type", "application/json")], "{}").await;
    assert_eq!(json_body.error(), "invalid_request");
    let form = &[("content-type", "application/x-www-form-urlencoded")];
    let twice =
        send(door, Method::POST, "/token", form, "grant_type=refresh_token&grant_type=refresh_token").await;
    assert_eq!(twice.error(), "invalid_request");
    let query =
        send(door, Method::POST, "/token?grant_type=refresh_token", form, "grant_type=refresh_token").await;
    assert_eq!(query.error(), "invalid_request", "no parameters where logs keep them");
    assert_eq!(client.token(&[]).await.error(), "invalid_request");
    assert_eq!(client.token(&[("grant_type", "password")]).await.error(), "unsupported_grant_type");
    assert_eq!(client.token(&[("grant_type", "client_credentials")]).await.error(), "unauthorized_client");
    let stranger = Client { id: "ambit_client_nobody".into(), ..client.clone() };
    let told = stranger.token(&[("grant_type", "refresh_token"), ("refresh_token", "x")]).await;
    assert_eq!((told.status, told.error()), (StatusCode::UNAUTHORIZED, "invalid_client"));
    let secretive = Client { secret: Some("ambit_cs_wrong".into()), ..client.clone() };
    assert_eq!(secretive.redeem("x").await.error(), "invalid_client", "a public client has no secret");
    assert_eq!(send(door, Method::GET, "/token", &[], "").await.status, StatusCode::METHOD_NOT_ALLOWED);
    let preflight = send(door, Method::OPTIONS, "/token", &[("origin", "https://app.example")], "").await;
    assert_eq!(preflight.status, StatusCode::NO_CONTENT);
    assert_eq!(preflight.headers["access-control-allow-origin"], "*");
    let registered = register(door, &json!({ "redirect_uris": [REDIRECT] })).await;
    let confidential = Client {
        door: door.clone(),
        id: registered.text("client_id").to_owned(),
        secret: Some(registered.text("client_secret").to_owned()),
        redirect_uri: REDIRECT.into(),
    };
    let mut browser = scene.person("ann").await;
    let code = confidential.code(&mut browser, &scene.resource).await;
    let public = Client { secret: None, ..confidential.clone() };
    assert_eq!(public.redeem(&code).await.error(), "invalid_client", "without its secret");
    let wrong = Client { secret: Some("ambit_cs_wrong".into()), ..confidential.clone() };
    assert_eq!(wrong.redeem(&code).await.error(), "invalid_client");
    let told = wrong
        .post("/token", &[("grant_type", "authorization_code"), ("client_secret", "also in the body")])
        .await;
    assert_eq!(told.error(), "invalid_request", "one way, not two");
    assert_eq!(confidential.redeem(&code).await.status, StatusCode::OK, "none of that used the code up");
}

async fn own_page(scene: &Scene) {
    let mut browser = scene.person("kim").await;
    let (client, told) = scene.let_in(&mut browser).await;
    let page = browser.open("/account").await;
    assert!(page.text().contains("Test client acts for you as assistant"), "{}", page.text());
    let form = page.form("Let out", &[]).unwrap();
    let forged = tests::browser::Form {
        fields: form.fields.iter().filter(|(name, _)| name != "token").cloned().collect(),
        ..form.clone()
    };
    assert_eq!(browser.send(&forged, Some(&page.url)).await.status, StatusCode::FORBIDDEN);
    assert_eq!(scene.status(told.token()).await, StatusCode::OK);
    let page = browser.press(&page, "Let out", &[]).await;
    assert!(!page.text().contains("Test client"), "{}", page.text());
    assert_eq!(scene.status(told.token()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(client.refresh(told.text("refresh_token")).await.error(), "invalid_grant");
}

/// Whatever fails, and whether or not it took effect: the client is told to try again, and can.
async fn faults(scene: &Scene, memory: &Memory) {
    let mut browser = scene.person("ann").await;
    let (client, told) = scene.let_in(&mut browser).await;
    let mut token = told.text("refresh_token").to_owned();
    memory.platform.fail(None);
    client.refresh(&token).await.text("refresh_token").clone_into(&mut token);
    let steps = memory.platform.asked().len();
    assert!(steps >= 3, "{steps}");
    for at in 0..steps {
        for moment in [Moment::Before, Moment::After] {
            memory.platform.fail(Some((at, moment)));
            let failed = client.refresh(&token).await;
            memory.platform.fail(None);
            assert_eq!(
                (failed.status, failed.error()),
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
                "{at} {moment:?}"
            );
            let told = client.refresh(&token).await;
            assert_eq!(told.status, StatusCode::OK, "{at} {moment:?}: {}", told.body);
            assert_eq!(scene.status(told.token()).await, StatusCode::OK);
            told.text("refresh_token").clone_into(&mut token);
        }
    }
}

/// Row 34: canaries. Whatever a client or a browser holds is in no file of the deployment: not in the database, not in a log.
async fn canaries(scene: &Scene) {
    let registered = register(&scene.stack.door, &json!({ "redirect_uris": [REDIRECT] })).await;
    let client = Client {
        door: scene.stack.door.clone(),
        id: registered.text("client_id").to_owned(),
        secret: Some(registered.text("client_secret").to_owned()),
        redirect_uri: REDIRECT.into(),
    };
    scene.operator.must(Method::PUT, "/users/zoe", json!({})).await;
    let link = scene.operator.must(Method::POST, "/users/zoe/links", json!({})).await;
    let link = link["url"].as_str().unwrap();
    let mut browser = Browser::new(&scene.stack.door);
    let page = browser.open(link).await;
    browser.press(&page, "Sign in", &[]).await;
    let code = client.code(&mut browser, &scene.resource).await;
    let told = client.redeem(&code).await;
    assert_eq!(scene.status(told.token()).await, StatusCode::OK);
    let refused = client.refresh("ambit_rt_wrong").await;
    assert_eq!(refused.error(), "invalid_grant");
    let signature = told.token().rsplit('.').next().unwrap();
    let secrets = [
        link.rsplit('/').next().unwrap(),
        browser.cookie("__Host-ambit").unwrap(),
        client.secret.as_deref().unwrap(),
        &code,
        signature,
        told.text("refresh_token"),
    ];
    let files = canaries::files(scene.stack.folder());
    assert!(!files.is_empty() || matches!(scene.stack.door, Door::Memory(_)));
    canaries::nowhere(&secrets, files);
    let trail = serde_json::to_string(&scene.operator.trail().await).unwrap();
    assert!(secrets.iter().all(|secret| !trail.contains(secret)));
}
