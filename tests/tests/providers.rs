//! Providers of accounts as operators see them, on every host: what is refused when one is set up, what becomes of its secret, what the
//! doctor finds, MCP servers that are discovered, and `oidc-provider`, which is not ours, with rotation and the detection of reuse.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::acting::Acting;
use tests::mcp::text;
use tests::node;
use tests::operator::Operator;
use tests::people::{client_for, connect, connect_url, signed_in};
use tests::provider::{CLIENT, Fault, Provider, SECRET};
use tests::stack::{Host, Stack, step};

tests::on_every_host!(suite);

struct Scene {
    operator: Operator,
    provider: Provider,
}

async fn suite(host: Host) {
    let stack = Stack::with_rates(host, "manage=off sign-in=off token=off call=off list=off").await;
    let scene = Scene { operator: stack.organisation().await, provider: Provider::start().await };
    step("kinds", kinds(&scene)).await;
    step("setting one up", setting_up(&scene)).await;
    step("its secret", secrets(&scene)).await;
    step("the doctor", doctor(&scene)).await;
    step("an MCP server", mcp(&scene)).await;
    step("a provider that is not ours", independent(&scene)).await;
    tests::description::check();
}

impl Scene {
    async fn doctor(&self, name: &str) -> Value {
        self.operator.must(Method::POST, &format!("/providers/{name}/doctor"), json!({})).await
    }
}

/// One check of the doctor's.
fn check<'a>(found: &'a Value, name: &str) -> &'a Value {
    let checks = found["checks"].as_array().unwrap();
    checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("no `{name}`: {found}"))
}

async fn kinds(scene: &Scene) {
    let (status, _, told) = scene.operator.whole(Method::GET, "/provider-kinds", &[], Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let told: Value = serde_json::from_str(&told).unwrap();
    let all = told["kinds"].as_array().unwrap();
    assert_eq!(all.len(), 15);
    assert_eq!(all[0]["words"]["repo"], "read and write your repositories, private ones too");
}

async fn setting_up(scene: &Scene) {
    let put = async |body: Value| scene.operator.ask(Method::PUT, "/providers/bad", body).await;
    for (bad, why) in [
        (json!({ "kind": "nothing" }), "provider-kinds"),
        (json!({ "kind": "github" }), "clientId"),
        (json!({ "kind": "github", "clientId": "a b" }), "clientId"),
        (json!({ "kind": "github", "clientId": "c", "scopes": ["a b"] }), "scopes"),
        (json!({ "kind": "github", "clientId": "c", "settings": { "host": "10.0.0.1" } }), "host"),
        (
            json!({ "kind": "github", "clientId": "c", "settings": { "host": "metadata.google.internal" } }),
            "host",
        ),
        (json!({ "kind": "github", "clientId": "c", "settings": { "tenant": "x" } }), "no setting `tenant`"),
        (
            json!({ "kind": "github", "clientId": "c", "settings": { "endpoints": { "token": "http://169.254.169.254/" } } }),
            "token",
        ),
        (
            json!({ "kind": "gitlab", "clientId": "c", "settings": { "endpoints": { "jwks": "https://a.example/" } } }),
            "no endpoint `jwks`",
        ),
        (json!({ "kind": "oidc", "clientId": "c" }), "issuer"),
        (
            json!({ "kind": "oidc", "clientId": "c", "settings": { "issuer": "https://idp.internal" } }),
            "issuer",
        ),
        (json!({ "kind": "mcp" }), "server"),
        (json!({ "kind": "mcp", "settings": { "server": "https://[::ffff:10.0.0.1]/mcp" } }), "server"),
        (json!({ "kind": "api-key", "clientId": "c" }), "clientId"),
        (json!({ "kind": "api-key", "settings": { "header": "a: b" } }), "header"),
        (json!({ "kind": "github", "clientId": "c", "secret": "x" }), "secret"),
    ] {
        let (status, told) = put(bad.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}: {told}");
        assert!(told["detail"].as_str().unwrap().contains(why), "{bad}: {told}");
    }
    let made = scene
        .operator
        .must(Method::PUT, "/providers/hub", json!({ "kind": "github", "clientId": "c" }))
        .await;
    assert_eq!((&made["hasClientSecret"], &made["connections"]["active"]), (&json!(false), &json!(0)));
    let (status, _) =
        scene.operator.ask(Method::PUT, "/providers/hub", json!({ "kind": "gitlab", "clientId": "c" })).await;
    assert_eq!(status, StatusCode::CONFLICT, "what it is does not change");
    let path = format!("/orgs/{}/providers/hub", scene.operator.org);
    let (_, headers, _) = scene.operator.whole(Method::GET, &path, &[], Value::Null).await;
    let tag = headers["etag"].to_str().unwrap().to_owned();
    let body = json!({ "kind": "github", "clientId": "d" });
    let change = async |tag: &str| {
        scene.operator.whole(Method::PUT, &path, &[("if-match", tag)], body.clone()).await.0
    };
    assert_eq!(change(&tag).await, StatusCode::OK);
    assert_eq!(change(&tag).await, StatusCode::PRECONDITION_FAILED);
    let listed = scene.operator.must(Method::GET, "/providers?kind=github", Value::Null).await;
    assert_eq!(listed["providers"].as_array().unwrap().len(), 1);
    // Who may: those who deploy.
    for (role, status) in
        [("operator", StatusCode::OK), ("auditor", StatusCode::FORBIDDEN), ("member", StatusCode::FORBIDDEN)]
    {
        let person = scene.operator.person(role, &[role]).await;
        assert_eq!(person.ask(Method::GET, "/providers/hub", Value::Null).await.0, status, "{role}");
    }
    scene.operator.must(Method::DELETE, "/providers/hub", Value::Null).await;
    assert_eq!(scene.operator.ask(Method::GET, "/providers/hub", Value::Null).await.0, StatusCode::NOT_FOUND);
}

async fn secrets(scene: &Scene) {
    let put = async |change: Value| {
        let mut body = json!({ "kind": "gitlab", "clientId": "c" });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        scene.operator.must(Method::PUT, "/providers/code", body).await["hasClientSecret"].clone()
    };
    assert_eq!(put(json!({ "clientSecret": "canary-secret" })).await, true);
    assert_eq!(put(json!({ "scopes": ["api"] })).await, true, "it stays");
    assert_eq!(put(json!({ "clientId": "d" })).await, false, "but with its client only");
    assert_eq!(put(json!({ "clientSecret": "canary-secret" })).await, true);
    assert_eq!(
        put(json!({ "settings": { "host": "git.acme.example" } })).await,
        false,
        "and at its own place"
    );
    assert_eq!(put(json!({ "clientSecret": "" })).await, false);
    let told = scene.operator.must(Method::GET, "/providers", Value::Null).await.to_string();
    let trail = json!(scene.operator.trail().await).to_string();
    assert!(!told.contains("canary") && !trail.contains("canary"));
}

async fn doctor(scene: &Scene) {
    let set = async |settings: Value| scene.operator.must(Method::PUT, "/providers/code", settings).await;
    scene.provider.play("gitlab");
    set(scene.provider.settings("gitlab")).await;
    let well = scene.doctor("code").await;
    assert_eq!(well["ok"], true, "{well}");
    assert_eq!(check(&well, "client")["ok"], true, "{well}");
    let redirect = check(&well, "redirect URI")["found"].as_str().unwrap();
    assert!(
        redirect.ends_with("/providers/code/callback") || redirect.ends_with("/code/callback"),
        "{redirect}"
    );

    let mut wrong = scene.provider.settings("gitlab");
    wrong["clientSecret"] = json!("another");
    set(wrong).await;
    let told = scene.doctor("code").await;
    assert_eq!((&told["ok"], &check(&told, "client")["ok"]), (&json!(false), &json!(false)), "{told}");
    assert!(check(&told, "client")["found"].as_str().unwrap().contains("invalid_client"), "{told}");
    assert!(check(&told, "client")["fix"].as_str().unwrap().contains("client secret"), "{told}");

    set(scene.provider.settings("gitlab")).await;
    scene.provider.change(|it| it.fault = Some(Fault::Status(503)));
    let told = scene.doctor("code").await;
    assert!(
        told["ok"] == false && check(&told, "client")["fix"].as_str().unwrap().contains("later"),
        "{told}"
    );
    scene.provider.change(|it| it.fault = None);

    let mut nowhere = scene.provider.settings("gitlab");
    nowhere["settings"]["endpoints"]["authorize"] = json!(format!("{}/nowhere", scene.provider.url()));
    set(nowhere).await;
    assert_eq!(check(&scene.doctor("code").await, "authorization endpoint")["ok"], false);

    // What a kind should be watched for.
    for (kind, name, ok) in [
        ("github", "wildcard redirects", Value::Null),
        ("google", "note", Value::Null),
        ("slack", "PKCE", json!(true)),
    ] {
        scene.provider.play(kind);
        scene.operator.must(Method::PUT, &format!("/providers/{kind}"), scene.provider.settings(kind)).await;
        let told = scene.doctor(kind).await;
        assert_eq!((&told["ok"], &check(&told, name)["ok"]), (&json!(true), &ok), "{kind}: {told}");
        assert_eq!(check(&told, "client")["ok"], true, "{kind}: {told}");
    }
    scene.provider.play("microsoft");
    let mut all = scene.provider.settings("microsoft");
    all["settings"].as_object_mut().unwrap().remove("tenants");
    scene.operator.must(Method::PUT, "/providers/microsoft", all).await;
    let told = scene.doctor("microsoft").await;
    assert_eq!((&told["ok"], &check(&told, "tenants")["ok"]), (&json!(false), &json!(false)), "{told}");

    // An issuer that is somebody else.
    scene.provider.play("oidc");
    let mut other = scene.provider.settings("oidc");
    other["settings"]["issuer"] = json!(scene.provider.url().replace("127.0.0.1", "localhost"));
    scene.operator.must(Method::PUT, "/providers/idp", other).await;
    let told = scene.doctor("idp").await;
    assert!(check(&told, "discovery")["found"].as_str().unwrap().contains("another issuer"), "{told}");

    // What people ran into shows, and goes away.
    scene.provider.play("gitlab");
    set(scene.provider.settings("gitlab")).await;
    let mut browser = signed_in(&scene.operator, "dora").await;
    scene.provider.change(|it| it.fault = Some(Fault::Error("invalid_client")));
    let page = begin(&mut browser, "code").await;
    let refused = browser.press(&page, "Continue", &[]).await;
    assert!(refused.text().contains("not set up well"), "{}", refused.text());
    assert!(!refused.html.contains("invalid_client"), "that is for operators");
    let told = scene.doctor("code").await;
    assert!(check(&told, "last trouble")["found"].as_str().unwrap().contains("invalid_client"), "{told}");
    scene.provider.change(|it| it.fault = None);
    let page = begin(&mut browser, "code").await;
    assert!(browser.press(&page, "Continue", &[]).await.text().contains("is connected"));
    assert_eq!(scene.doctor("code").await["ok"], true);
}

/// The page before leaving, as a person's own wish.
async fn begin(browser: &mut tests::browser::Browser, provider: &str) -> tests::browser::Page {
    let page = browser.open("/account/connections").await;
    let mut form = page.form("Connect", &[]).unwrap();
    form.action = browser.absolute("/account/connections/connect");
    form.fields.retain(|(name, _)| name == "token");
    form.fields.push(("provider".into(), provider.into()));
    form.fields.push(("with".into(), "personal".into()));
    let page = browser.send(&form, Some(&page.url)).await;
    browser.follow(page).await
}

async fn mcp(scene: &Scene) {
    scene.provider.play("mcp");
    scene.operator.must(Method::PUT, "/providers/notes", scene.provider.settings("mcp")).await;
    let mut browser = signed_in(&scene.operator, "mona").await;
    let connects = async |browser: &mut tests::browser::Browser| {
        let page = begin(browser, "notes").await;
        browser.press(&page, "Continue", &[]).await
    };
    // Registered once, for the scopes that the server says there are.
    scene.provider.hits("register");
    let done = connects(&mut browser).await;
    assert!(done.text().contains("is connected"), "{}", done.text());
    assert_eq!(scene.provider.hits("register"), 1);
    let asked = scene.provider.asked("authorize");
    let resource = format!("{}/mcp", scene.provider.url());
    assert_eq!(
        (asked["resource"].as_str(), asked["scope"].as_str()),
        (resource.as_str(), "notes:read notes:write")
    );
    assert_eq!(asked["client_id"], "registered-0");
    assert_eq!(scene.provider.asked("token")["resource"], resource);
    // What its challenge names comes first; and the registration is kept.
    scene.provider.change(|it| it.challenge = Some("notes:read"));
    assert!(connects(&mut browser).await.text().contains("is connected"));
    assert_eq!(scene.provider.asked("authorize")["scope"], "notes:read");
    assert_eq!(scene.provider.hits("register"), 0);
    let shown = scene.operator.must(Method::GET, "/providers/notes", Value::Null).await;
    assert_eq!(shown["issuer"], scene.provider.url());

    // Metadata of somebody else; without S256; and nobody who lets us in.
    let own = scene.provider.url().to_owned();
    scene.provider.change(|it| "https://evil.example".clone_into(&mut it.issuer));
    assert!(connects(&mut browser).await.text().contains("not set up well"));
    assert!(
        check(&scene.doctor("notes").await, "discovery")["found"]
            .as_str()
            .unwrap()
            .contains("another issuer")
    );
    scene.provider.change(|it| it.issuer.clone_from(&own));
    scene.provider.change(|it| it.pkce = tests::provider::Pkce::Refused);
    assert!(check(&scene.doctor("notes").await, "discovery")["found"].as_str().unwrap().contains("S256"));
    scene.provider.change(|it| {
        it.pkce = tests::provider::Pkce::Required;
        it.registers = false;
    });
    scene.operator.must(Method::PUT, "/providers/strict", scene.provider.settings("mcp")).await;
    let told = scene.doctor("strict").await;
    assert!(
        check(&told, "discovery")["found"].as_str().unwrap().contains("lets no client register itself"),
        "{told}"
    );
    // The operator's own client is who we are then.
    scene.provider.change(|it| it.proof = tests::provider::Proof::Basic);
    let mut given = scene.provider.settings("mcp");
    given["clientId"] = json!(CLIENT);
    given["clientSecret"] = json!(SECRET);
    scene.operator.must(Method::PUT, "/providers/strict", given).await;
    assert_eq!(check(&scene.doctor("strict").await, "client")["ok"], true);
    let page = begin(&mut browser, "strict").await;
    assert!(browser.press(&page, "Continue", &[]).await.text().contains("is connected"));
    assert_eq!(scene.provider.asked("authorize")["client_id"], CLIENT);

    // Our own document is there for those who take it; it is the same whatever there is.
    for name in ["notes", "nowhere"] {
        let path = format!("/connect/{}/{name}/client.json", scene.operator.org);
        let page = browser.look(&path).await;
        let document: Value = serde_json::from_str(&page.html).unwrap();
        let url = format!("{}{path}", scene.operator.door.url());
        assert_eq!(document["client_id"], url);
        assert_eq!(document["redirect_uris"], json!([url.replace("client.json", "callback")]));
        assert_eq!(document["token_endpoint_auth_method"], "none");
    }
}

async fn independent(scene: &Scene) {
    let redirect = format!("{}/connect/{}/certified/callback", scene.operator.door.url(), scene.operator.org);
    let (_running, ready) = node::start("clients/account-provider.mjs", &[&redirect]);
    let issuer = ready["issuer"].as_str().unwrap();
    let settings = json!({ "kind": "oidc", "clientId": CLIENT, "clientSecret": SECRET, "settings": { "issuer": issuer } });
    scene.operator.must(Method::PUT, "/providers/certified", settings).await;
    let told = scene.doctor("certified").await;
    assert_eq!(told["ok"], true, "{told}");
    let acting = Acting::start(&format!("{issuer}/me")).await;
    scene.operator.must(Method::PUT, "/agents/helper", json!({})).await;
    scene.operator.toolbox("certified", &[("certified", acting.server("certified", &json!({})))]).await;
    scene.operator.grant("helper", "toolbox/certified").await;
    let client = client_for(&scene.operator, "helper", "certified", "ida").await;
    let mut browser = signed_in(&scene.operator, "ida").await;
    let asked = client.call("whoami", json!({})).await;
    let login = connect(&mut browser, connect_url(&asked)).await;
    let consent = browser.press(&login, "Sign-in", &[("login", "ida-there"), ("password", "any")]).await;
    let done = browser.press(&consent, "Continue", &[]).await;
    assert!(done.text().contains("is connected"), "{}", done.text());
    assert!(text(&client.call("whoami", json!({})).await).contains("ida-there"));
    // Its tokens live for five seconds; a refresh token that is used twice would end everything.
    for _ in 0..2 {
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        let calls = (0..8).map(|_| client.call("whoami", json!({})));
        for answer in futures_util::future::join_all(calls).await {
            assert!(text(&answer).contains("ida-there"), "{answer}");
        }
    }
    let token = acting.brought().into_keys().next_back().unwrap();
    let alive = async || {
        let asked = reqwest::Client::new().get(format!("{issuer}/me")).header("authorization", &token);
        asked.send().await.unwrap().status() == StatusCode::OK
    };
    let found = scene.operator.must(Method::GET, "/connections?provider=certified", Value::Null).await;
    let id = found["connections"][0]["id"].as_str().unwrap();
    let ida = Operator { key: scene.operator.key.clone(), ..scene.operator.clone() };
    ida.must(Method::DELETE, &format!("/connections/{id}"), Value::Null).await;
    for _ in 0..100 {
        if !alive().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the provider has not heard of it");
}
