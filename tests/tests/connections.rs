//! Connecting accounts, on every host: at every kind of provider, as each has its quirks; and everything that must be refused on the way,
//! before the provider hears of it, and with a trace.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::acting::Acting;
use tests::browser::{Browser, Page};
use tests::door::Door;
use tests::mcp::text;
use tests::operator::Operator;
use tests::people::{client_for, signed_in};
use tests::provider::{API_KEY, PASSWORD, Provider};
use tests::stack::{Host, Stack, step};
use url::Url;

tests::on_every_host!(suite);

/// Kinds of providers to which browsers are sent, what the account there is known by, and how its id reads.
const KINDS: [(&str, &str, &str); 13] = [
    ("github", "octo-1001", "1001"),
    ("github-app", "octo-1001", "1001"),
    ("google", "1001@example.org", "1001"),
    ("microsoft", "1001@contoso.example", "6babcaad-604b-40ac-a9d7-9fd97c0b779f.1001"),
    ("slack", "slacker-1001", "T1.1001"),
    ("gitlab", "git-1001", "1001"),
    ("atlassian", "1001@example.org", "1001"),
    ("notion", "1001@example.org", "w1.1001"),
    ("linear", "1001@example.org", "1001"),
    ("dropbox", "1001@example.org", "1001"),
    ("salesforce", "https://acme.my.salesforce.com", "https://login.salesforce.com/id/00D/1001"),
    ("oidc", "1001@example.org", "1001"),
    ("mcp", "", ""),
];
/// Those of which nobody can tell when a token ends, or that give nothing to renew it with.
const NEVER_DUE: [&str; 3] = ["github", "notion", "salesforce"];
/// Those that take nothing back.
const NEVER_REVOKE: [&str; 2] = ["microsoft", "atlassian"];
/// Access tokens live for so long, in seconds.
const LIVES: u64 = 8;

struct Scene {
    door: Door,
    operator: Operator,
    provider: Provider,
    other: Provider,
}

async fn suite(host: Host) {
    let stack = Stack::with_rates(host, "manage=off sign-in=off token=off call=off list=off").await;
    let scene = Scene {
        door: stack.door.clone(),
        operator: stack.organisation().await,
        provider: Provider::start().await,
        other: Provider::start().await,
    };
    step("every kind of provider: connect, use, refresh, revoke", every_kind(&scene)).await;
    step("keys and passwords", entered(&scene)).await;
    scene.provider.play("oidc");
    scene.other.play("oidc");
    scene.set("hub", scene.provider.settings("oidc")).await;
    scene.set("other", scene.other.settings("oidc")).await;
    step("the page before", page_before(&scene)).await;
    step("a link for somebody else", foreign_tickets(&scene)).await;
    step("answers that this browser did not ask for", strays(&scene)).await;
    step("codes of somebody else", injected(&scene)).await;
    step("mix-up", mix_up(&scene)).await;
    step("forms that are not ours", forged(&scene)).await;
    step("what changes meanwhile", meanwhile(&scene)).await;
    step("fewer scopes and more", scopes(&scene)).await;
    step("another account takes a word", another(&scene)).await;
    step("accounts that are shared", shared(&scene)).await;
    step("what the policies forbid", forbidden(&scene)).await;
    if let Door::Memory(memory) = &scene.door {
        step("ten minutes", late(&scene, &memory.platform)).await;
    }
    step("nothing secret is told", canaries(&scene)).await;
}

impl Scene {
    fn forget_hits(&self) {
        for endpoint in ["authorize", "token"] {
            let _ = self.provider.hits(endpoint) + self.other.hits(endpoint);
        }
    }

    async fn set(&self, name: &str, settings: Value) -> Value {
        self.operator.must(Method::PUT, &format!("/providers/{name}"), settings).await
    }

    /// The page before leaving for a provider, as the person's own wish.
    async fn ask(&self, browser: &mut Browser, provider: &str) -> Page {
        self.ask_with(browser, provider, "personal").await
    }

    async fn ask_with(&self, browser: &mut Browser, provider: &str, with: &str) -> Page {
        let page = browser.open("/account/connections").await;
        let mut form = page.form("Connect", &[]).unwrap_or_else(|| panic!("{}", page.text()));
        form.action = browser.absolute("/account/connections/connect");
        form.fields.retain(|(name, _)| name == "token");
        form.fields.push(("provider".into(), provider.into()));
        form.fields.push(("with".into(), with.into()));
        let page = browser.send(&form, Some(&page.url)).await;
        browser.follow(page).await
    }

    /// Where a browser comes back to, before it does.
    async fn until_callback(&self, browser: &mut Browser, provider: &str) -> Url {
        let page = self.ask(browser, provider).await;
        self.leave(browser, &page).await
    }

    async fn leave(&self, browser: &mut Browser, page: &Page) -> Url {
        let form = page.form("Continue", &[]).unwrap_or_else(|| panic!("{}", page.text()));
        let left = browser.send(&form, Some(&page.url)).await;
        let there = browser.look(left.location().unwrap_or_else(|| panic!("{}", left.text())).as_str()).await;
        there.location().unwrap()
    }

    /// Connects, and answers the page at the end.
    async fn connect(&self, browser: &mut Browser, provider: &str) -> Page {
        let back = self.until_callback(browser, provider).await;
        browser.open(back.as_str()).await
    }

    async fn connections(&self, filter: &str) -> Vec<Value> {
        let found = self.operator.must(Method::GET, &format!("/connections?{filter}"), Value::Null).await;
        found["connections"].as_array().unwrap().clone()
    }

    /// How many connections of a person there are.
    async fn count(&self, person: &str) -> usize {
        self.connections(&format!("user={person}&status=active")).await.len()
    }

    /// Refusals of that name in the trail.
    async fn refusals(&self, method: &str) -> Vec<Value> {
        let trail = self.operator.trail().await;
        trail.into_iter().filter(|event| event["phase"] == "denial" && event["method"] == method).collect()
    }

    /// That a browser was refused, that nobody was asked for a token, that nothing is connected, and that it is on record.
    async fn refused(&self, person: &str, page: &Page, why: &str, before: usize) {
        assert!(page.status.is_client_error(), "{why}: {} {}", page.status, page.text());
        assert!(page.text().contains(why), "{why}: {}", page.text());
        assert_eq!(self.provider.hits("token") + self.other.hits("token"), 0, "{why}");
        assert_eq!(self.count(person).await, 0, "{why}");
        let refusals = self.refusals("connect.arrive").await;
        assert_eq!(refusals.len(), before + 1, "{why}: {:?}", refusals.last());
    }
}

/// Waits until something is so that happens after its answer left.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..200 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}");
}

async fn every_kind(scene: &Scene) {
    let acting = Acting::start(&format!("{}/account", scene.provider.url())).await;
    let mut browser = signed_in(&scene.operator, "ann").await;
    scene.operator.must(Method::PUT, "/agents/helper", json!({})).await;
    let mut clients = Vec::new();
    for (kind, label, id) in KINDS {
        println!("  {kind}");
        scene.provider.play(kind);
        scene.provider.change(|it| it.lives = LIVES);
        let made = scene.set(kind, scene.provider.settings(kind)).await;
        let callback = format!("{}/connect/{}/{kind}/callback", scene.door.url(), scene.operator.org);
        assert_eq!(made["redirectUri"], callback, "{kind}");
        let page = scene.connect(&mut browser, kind).await;
        assert!(
            page.status == StatusCode::OK && page.text().contains("is connected"),
            "{kind}: {}",
            page.text()
        );
        assert!(page.url.path().ends_with("/done") && page.url.query().is_none(), "{kind}: {}", page.url);
        assert!(!browser.cookie_names().iter().any(|name| name.contains("connect")), "the flow is over");
        let found = scene.connections(&format!("provider={kind}")).await;
        assert_eq!(found.len(), 1, "{kind}");
        let told = (&found[0]["account"], &found[0]["accountId"], &found[0]["status"], &found[0]["user"]);
        assert_eq!(told, (&json!(label), &json!(id), &json!("active"), &json!("ann")), "{kind}");
        let asked = scene.provider.asked("authorize");
        assert_eq!(asked["redirect_uri"], callback);
        assert_eq!(asked.contains_key("code_challenge"), !["slack", "notion"].contains(&kind), "{kind}");
        assert_eq!(asked.contains_key("resource"), kind == "mcp", "{kind}");

        scene.operator.toolbox(kind, &[(kind, acting.server(kind, &json!({})))]).await;
        scene.operator.grant("helper", &format!("toolbox/{kind}")).await;
        let client = client_for(&scene.operator, "helper", kind, "ann").await;
        let answer = client.call("whoami", json!({})).await;
        assert!(text(&answer).contains("1001"), "{kind}: {answer}");
        clients.push((kind, client));
    }
    // All tokens end, at the provider and here.
    scene.provider.expire();
    tokio::time::sleep(Duration::from_secs(LIVES)).await;
    for (kind, client) in clients.iter().filter(|(kind, _)| !NEVER_DUE.contains(kind)) {
        scene.provider.play(kind);
        scene.provider.hits("token");
        let answer = client.call("whoami", json!({})).await;
        assert!(text(&answer).contains("1001"), "{kind}: {answer}");
        assert_eq!(scene.provider.hits("token"), 1, "{kind}: one refresh");
        assert_eq!(scene.provider.asked("token")["grant_type"], "refresh_token", "{kind}");
    }
    // And back: the provider forgets the consent, where it can.
    for (kind, _, _) in KINDS {
        scene.provider.play(kind);
        let (alive, _) = (scene.provider.alive(), scene.provider.hits("revoke"));
        let found = scene.connections(&format!("provider={kind}")).await;
        let page = browser.open("/account/connections").await;
        let mut form = page.form("Disconnect", &[]).unwrap();
        form.fields.retain(|(name, _)| name == "token");
        form.fields.push(("connection".into(), found[0]["id"].as_str().unwrap().into()));
        let sure = browser.send(&form, Some(&page.url)).await;
        let gone = browser.press(&sure, "Disconnect", &[]).await;
        assert_eq!(gone.status, StatusCode::OK, "{kind}: {}", gone.text());
        let found = scene.connections(&format!("provider={kind}")).await;
        assert_eq!(found[0]["status"], "disconnected", "{kind}");
        if !NEVER_REVOKE.contains(&kind) {
            until(kind, || scene.provider.alive() < alive).await;
        }
    }
    assert_eq!(scene.count("ann").await, 0);
    scene.forget_hits();
}

async fn entered(scene: &Scene) {
    let mut browser = signed_in(&scene.operator, "kim").await;
    for (kind, good, bad) in [
        ("api-key", vec![("key", API_KEY)], vec![("key", "canary-wrong")]),
        (
            "basic",
            vec![("username", PASSWORD.0), ("password", PASSWORD.1)],
            vec![("username", "ann"), ("password", "canary-wrong")],
        ),
    ] {
        scene.provider.play(kind);
        scene.set(kind, scene.provider.settings(kind)).await;
        let page = scene.ask(&mut browser, kind).await;
        assert!(page.html.contains("type=\"password\""), "{kind}: {}", page.html);
        let refused = browser.press(&page, "Connect", &bad).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
        assert!(
            refused.text().contains("oes not take it") && !refused.html.contains("canary"),
            "{}",
            refused.html
        );
        let done = browser.press(&refused, "Connect", &good).await;
        assert!(done.text().contains("is connected"), "{kind}: {}", done.text());
        let found = scene.connections(&format!("provider={kind}")).await;
        assert_eq!((&found[0]["account"], &found[0]["accountId"]), (&json!("person 1001"), &json!("1001")));
        assert_eq!(scene.provider.hits("authorize"), 0, "nobody is sent anywhere");
    }
    assert_eq!(scene.refusals("connect.enter").await.len(), 2);
}

/// Threat 12: nothing that lets a browser come back is there before its person said so.
async fn page_before(scene: &Scene) {
    scene.forget_hits();
    let mut browser = signed_in(&scene.operator, "pat").await;
    let page = scene.ask(&mut browser, "hub").await;
    let told = page.text();
    assert!(told.contains("Connect hub (OpenID Connect)?") && told.contains("know who you are"), "{told}");
    assert!(!browser.cookie_names().iter().any(|name| name.contains("connect")), "no cookie before the form");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains(&format!("form-action 'self' {};", scene.provider.url())), "{policy}");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(page.headers["cache-control"], "no-store");
    scene.provider.hits("authorize");
    let again = browser.open(page.url.as_str()).await;
    assert_eq!((again.status, scene.provider.hits("authorize")), (StatusCode::OK, 0));
    // A person may say no.
    let no = browser.press(&again, "No", &[]).await;
    assert!(no.status == StatusCode::FORBIDDEN && no.text().contains("You said no"), "{}", no.text());
    assert_eq!(scene.provider.hits("authorize"), 0);
    // And yes: the code leaves the address bar.
    let back = scene.leave(&mut browser, &page).await;
    assert!(browser.cookie_names().iter().any(|name| name.starts_with("__Host-ambit-connect-")));
    let landed = browser.look(back.as_str()).await;
    assert_eq!(landed.status, StatusCode::SEE_OTHER);
    assert_eq!(landed.headers["referrer-policy"], "no-referrer");
    assert_eq!(landed.headers["cache-control"], "no-store");
    let done = browser.follow(landed).await;
    assert!(done.text().contains("hub (OpenID Connect) is connected"), "{}", done.text());
}

/// Threat 13: a link that somebody else's agent made connects nobody's account.
async fn foreign_tickets(scene: &Scene) {
    scene.forget_hits();
    let mut victim = signed_in(&scene.operator, "vera").await;
    let mut eve = signed_in(&scene.operator, "zoe").await;
    let page = scene.ask(&mut eve, "hub").await;
    let before = scene.refusals("connect.user_mismatch").await.len();
    let refused = victim.open(page.url.as_str()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let unknown = victim.open("/connect/tkt_00000000000000000000000000").await;
    let ill_formed = victim.open("/connect/nothing").await;
    assert_eq!((refused.text(), refused.status), (unknown.text(), unknown.status), "told alike");
    assert_eq!(refused.text(), ill_formed.text());
    assert!(!refused.html.contains("zoe") && !refused.html.contains("vera"), "it names nobody");
    // Nor with a form of their own.
    let own = scene.ask(&mut victim, "hub").await;
    let mut form = own.form("Continue", &[]).unwrap();
    form.action = page.url.clone();
    assert_eq!(victim.send(&form, Some(&own.url)).await.status, StatusCode::FORBIDDEN);
    let noted = scene.refusals("connect.user_mismatch").await;
    assert_eq!(noted.len(), before + 2);
    assert_eq!(noted[before]["actor"]["user"], "vera");
    // Without a session there is only the way to get one, and back.
    let mut nobody = Browser::new(&scene.door);
    let asked = nobody.look(page.url.as_str()).await;
    let to = asked.location().unwrap();
    assert!(to.path() == "/sign-in" && to.query().unwrap().contains("connect%2Ftkt_"), "{to}");
    assert_eq!(scene.provider.hits("authorize"), 0);
}

async fn strays(scene: &Scene) {
    scene.forget_hits();
    let mut browser = signed_in(&scene.operator, "sam").await;
    let mut before = scene.refusals("connect.arrive").await.len();
    let back = scene.until_callback(&mut browser, "hub").await;
    scene.provider.hits("authorize");

    // Somebody else's browser, signed in and not.
    let mut thief = signed_in(&scene.operator, "tom").await;
    let refused = thief.open(back.as_str()).await;
    scene.refused("tom", &refused, "nother session left for the provider", before).await;
    before += 1;
    let mut nobody = Browser::new(&scene.door);
    let refused = nobody.open(back.as_str()).await;
    scene.refused("sam", &refused, "You are not signed in any more", before).await;
    before += 1;
    // The right person, without the cookie, and with another.
    let name = browser.cookie_names().iter().find(|name| name.contains("connect")).unwrap().to_string();
    let value = browser.cookie(&name).unwrap().to_owned();
    for cookie in [None, Some("x".repeat(43))] {
        let mut robbed = browser.clone();
        robbed.forget(&name);
        if let Some(cookie) = cookie {
            robbed.set_cookie(&name, &cookie);
        }
        let refused = robbed.open(back.as_str()).await;
        scene.refused("sam", &refused, "his browser did not leave from here", before).await;
        before += 1;
    }
    assert_eq!(value.len(), 43);
    // Parameters that come twice, or not at all.
    let state = back.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    for query in [
        format!("{}&state={state}", back.query().unwrap()),
        format!("{}&code=x", back.query().unwrap()),
        format!("{}&iss=x", back.query().unwrap()),
        back.query().unwrap().replace(&state, &"A".repeat(43)),
        back.query().unwrap().replace("state=", "estate="),
        String::new(),
    ] {
        let mut wrong = back.clone();
        wrong.set_query(Some(&query));
        let refused = browser.clone().open(wrong.as_str()).await;
        scene.refused("sam", &refused, "This browser did not leave from here for there", before).await;
        before += 1;
    }
    // To another provider's address.
    let mut wrong = back.clone();
    wrong.set_path(&back.path().replace("/hub/", "/other/"));
    let refused = browser.clone().open(wrong.as_str()).await;
    scene.refused("sam", &refused, "came back to another provider", before).await;
    before += 1;
    let nowhere = back.path().replace("/hub/", "/nowhere/");
    wrong.set_path(&nowhere);
    assert_eq!(browser.clone().open(wrong.as_str()).await.status, StatusCode::NOT_FOUND);
    // It is good still; and then it is not.
    let done = browser.clone().open(back.as_str()).await;
    assert!(done.text().contains("is connected"), "{}", done.text());
    assert_eq!(scene.provider.hits("token"), 1);
    let replayed = browser.clone().open(back.as_str()).await;
    assert!(
        replayed.status.is_client_error() && replayed.text().contains("was used before"),
        "{}",
        replayed.text()
    );
    assert_eq!(scene.provider.hits("token"), 0, "used up before the token request");
    assert_eq!(scene.refusals("connect.arrive").await.len(), before + 1);
}

/// Threat 14: a code that was made for somebody else.
async fn injected(scene: &Scene) {
    scene.forget_hits();
    let mut eve = signed_in(&scene.operator, "mallory").await;
    let mut victim = signed_in(&scene.operator, "victor").await;
    scene.provider.sign_in("6666");
    let hers = scene.until_callback(&mut eve, "hub").await;
    scene.provider.sign_in("1001");
    let his = scene.until_callback(&mut victim, "hub").await;
    let before = scene.refusals("connect.arrive").await.len();
    // Her whole answer in his browser.
    let refused = victim.clone().open(hers.as_str()).await;
    scene.refused("victor", &refused, "nother session left", before).await;
    // Her code, with his state: only the provider can tell, by PKCE, and it does.
    let code = |url: &Url| url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let mut mixed = his.clone();
    mixed.set_query(Some(&his.query().unwrap().replace(&code(&his), &code(&hers))));
    let refused = victim.open(mixed.as_str()).await;
    assert!(
        refused.status.is_client_error() && refused.text().contains("invalid_grant"),
        "{}",
        refused.text()
    );
    assert_eq!((scene.provider.hits("token"), scene.count("victor").await), (1, 0));
}

/// Threat 15: an answer that another provider sent, or might have.
async fn mix_up(scene: &Scene) {
    scene.forget_hits();
    let mut browser = signed_in(&scene.operator, "max").await;
    let evil = "https://evil.example".to_owned();
    for (iss, why) in [
        (Some(evil), "nother provider"),
        (None, "does not say which provider"),
        (Some(format!("{}/", scene.provider.url())), "nother provider"),
    ] {
        scene.provider.change(|it| it.iss.clone_from(&iss));
        let before = scene.refusals("connect.arrive").await.len();
        let back = scene.until_callback(&mut browser, "hub").await;
        let refused = browser.open(back.as_str()).await;
        scene.refused("max", &refused, why, before).await;
        // An error of a stranger is not shown.
        scene.provider.change(|it| it.error = Some("access_denied"));
        let refused = scene.connect(&mut browser, "hub").await;
        scene.refused("max", &refused, why, before + 1).await;
        assert!(
            !refused.html.contains("access_denied") && !refused.html.contains("words"),
            "{}",
            refused.html
        );
        scene.provider.change(|it| it.error = None);
    }
    let own = scene.provider.url().to_owned();
    scene.provider.change(|it| it.iss = Some(own));
    // An error of the right one is, by its word alone.
    scene.provider.change(|it| it.error = Some("access_denied"));
    let before = scene.refusals("connect.arrive").await.len();
    let refused = scene.connect(&mut browser, "hub").await;
    scene.refused("max", &refused, "he provider refused: `access_denied`", before).await;
    assert!(!refused.html.contains("words"), "{}", refused.html);
    scene.provider.change(|it| it.error = None);
}

async fn forged(scene: &Scene) {
    scene.forget_hits();
    let mut browser = signed_in(&scene.operator, "finn").await;
    let page = scene.ask(&mut browser, "hub").await;
    let form = page.form("Continue", &[]).unwrap();
    let mut tampered = form.clone();
    tampered.fields.iter_mut().find(|(name, _)| name == "token").unwrap().1 = "x".repeat(43);
    let mut without = form.clone();
    without.fields.retain(|(name, _)| name != "token");
    let mut twice = form.clone();
    twice.fields.push(("token".into(), "x".into()));
    let evil = Url::parse("https://evil.example/").unwrap();
    for (form, from) in [
        (&tampered, Some(&page.url)),
        (&without, Some(&page.url)),
        (&twice, Some(&page.url)),
        (&form, Some(&evil)),
        (&form, None),
    ] {
        let before = scene.refusals("connect.form").await.len();
        let refused = browser.send(form, from).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
        assert_eq!(scene.refusals("connect.form").await.len(), before + 1);
    }
    for what in ["connect", "reconnect", "share", "disconnect"] {
        let mut form = tampered.clone();
        form.action = browser.absolute(&format!("/account/connections/{what}"));
        assert_eq!(browser.send(&form, Some(&page.url)).await.status, StatusCode::FORBIDDEN, "{what}");
    }
    assert_eq!(scene.provider.hits("authorize"), 0);
    // Sent twice, there are two flows, and each is used once.
    let (one, two) = (scene.leave(&mut browser, &page).await, scene.leave(&mut browser, &page).await);
    for back in [one, two] {
        let done = browser.open(back.as_str()).await;
        assert!(done.text().contains("is connected"), "{}", done.text());
    }
    assert_eq!((scene.provider.hits("token"), scene.count("finn").await), (2, 1));
}

async fn meanwhile(scene: &Scene) {
    scene.forget_hits();
    let mut browser = signed_in(&scene.operator, "mia").await;
    let before = scene.refusals("connect.arrive").await.len();
    let back = scene.until_callback(&mut browser, "hub").await;
    scene.set("hub", scene.provider.settings("oidc")).await;
    let refused = browser.open(back.as_str()).await;
    scene.refused("mia", &refused, "changed meanwhile", before).await;
    // Signed out and in again is another session.
    let back = scene.until_callback(&mut browser, "hub").await;
    let account = browser.open("/account").await;
    browser.press(&account, "Sign out everywhere", &[]).await;
    let made = scene.operator.must(Method::POST, "/users/mia/links", json!({})).await;
    let page = browser.open(made["url"].as_str().unwrap()).await;
    browser.press(&page, "Sign in", &[]).await;
    let refused = browser.open(back.as_str()).await;
    scene.refused("mia", &refused, "nother session left", before + 1).await;
}

/// Threat 33: what was granted is what counts.
async fn scopes(scene: &Scene) {
    scene.operator.must(Method::PUT, "/agents/helper", json!({})).await;
    scene.forget_hits();
    let mut browser = signed_in(&scene.operator, "sue").await;
    scene.provider.change(|it| it.grants = Some(vec!["openid", "offline_access", "admin"]));
    let done = scene.connect(&mut browser, "hub").await;
    assert!(done.text().contains("is connected"), "{}", done.text());
    let found = scene.connections("user=sue").await;
    assert_eq!(
        found[0]["scopes"],
        json!(["admin", "offline_access", "openid"]),
        "more is kept, for the policies to see"
    );
    scene.provider.change(|it| it.grants = None);

    // A tool needs more than the person lets it have: the account is kept, and the page says what lacks.
    let acting = Acting::start(&format!("{}/account", scene.provider.url())).await;
    let server = acting.server("hub", &json!({ "scopes": ["notes:write"] }));
    scene.operator.toolbox("notes", &[("notes", server)]).await;
    scene.operator.grant("helper", "toolbox/notes").await;
    let client = client_for(&scene.operator, "helper", "notes", "sue").await;
    let asked = client.call("whoami", json!({})).await;
    let url = tests::people::connect_url(&asked).to_owned();
    let page = browser.open(&url).await;
    let told = page.text();
    assert!(
        told.contains("Asked by agent helper") && told.contains("notes:write") && told.contains("whoami"),
        "{told}"
    );
    scene.provider.change(|it| it.grants = Some(vec!["openid"]));
    let back = scene.leave(&mut browser, &page).await;
    let done = browser.open(back.as_str()).await;
    assert!(
        done.text().contains("given less than what is needed") && done.text().contains("notes:write"),
        "{}",
        done.text()
    );
    let again = client.call("whoami", json!({})).await;
    assert_eq!(tests::people::connect_url(&again), url, "the call asks again");
    scene.provider.change(|it| it.grants = None);
    let page = browser.open(&url).await;
    let back = scene.leave(&mut browser, &page).await;
    let done = browser.open(back.as_str()).await;
    assert!(done.text().contains("go back to helper"), "{}", done.text());
    assert!(text(&client.call("whoami", json!({})).await).contains("1001"));
    assert_eq!(scene.count("sue").await, 1, "the same connection, again");
    let shown = browser.open("/account/connections").await.text();
    assert!(
        shown.contains("Agents with tools for it helper") && shown.contains("helper: whoami of notes"),
        "{shown}"
    );
}

async fn another(scene: &Scene) {
    scene.forget_hits();
    let mut browser = signed_in(&scene.operator, "ada").await;
    scene.connect(&mut browser, "hub").await;
    let of_ada = async || {
        let found = scene.connections("user=ada&status=active").await;
        assert_eq!(found.len(), 1);
        found[0]["accountId"].as_str().unwrap().to_owned()
    };
    let alive = scene.provider.alive();
    scene.provider.sign_in("2002");
    for word in ["Keep", "Use"] {
        let asked = scene.connect(&mut browser, "hub").await;
        assert!(asked.url.path().ends_with("/another"), "{}", asked.url);
        assert!(
            asked.text().contains("Another account than before") && asked.text().contains("2002"),
            "{}",
            asked.text()
        );
        assert_eq!(of_ada().await, "1001", "nothing is changed before a word");
        // Not for another browser of the same person.
        let mut elsewhere = signed_in(&scene.operator, "ada").await;
        assert_eq!(elsewhere.open(asked.url.as_str()).await.status, StatusCode::FORBIDDEN);
        let form = asked.form(word, &[]).unwrap();
        let said = browser.send(&form, Some(&asked.url)).await;
        let said = browser.follow(said).await;
        assert_eq!(said.status, StatusCode::OK, "{}", said.text());
        assert_eq!(of_ada().await, if word == "Keep" { "1001" } else { "2002" });
        // Once.
        let twice = browser.send(&form, Some(&asked.url)).await;
        assert_eq!(twice.status, StatusCode::FORBIDDEN, "{}", twice.text());
    }
    // What nobody wanted, and what was replaced, is revoked there.
    until("one consent is left", || scene.provider.alive() == alive).await;
    assert_eq!(scene.refusals("connect.another").await.len(), 1);
    scene.provider.sign_in("1001");
}

async fn shared(scene: &Scene) {
    scene.forget_hits();
    scene.operator.must(Method::PUT, "/teams/crew", json!({})).await;
    let mut owner = signed_in(&scene.operator, "olga").await;
    let mut mate = signed_in(&scene.operator, "mate").await;
    scene.operator.must(Method::PUT, "/teams/crew", json!({ "users": ["olga", "mate"] })).await;
    let page = scene.ask_with(&mut owner, "hub", "team:crew").await;
    assert!(page.text().contains("You share this account"), "{}", page.text());
    let back = scene.leave(&mut owner, &page).await;
    assert!(owner.open(back.as_str()).await.text().contains("is connected"));
    let found = scene.connections("user=olga").await;
    assert_eq!((&found[0]["sharing"], &found[0]["team"]), (&json!("team"), &json!("crew")));
    let seen = mate.open("/account/connections").await.text();
    assert!(seen.contains("Shared with you") && seen.contains("of olga, for team crew"), "{seen}");
    // Not to a team that one is not in, by the page; and back.
    let page = scene.ask_with(&mut owner, "hub", "team:nobodys").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    let page = owner.open("/account/connections").await;
    let mut form = page.form("Save", &[]).unwrap();
    form.fields.push(("with".into(), "personal".into()));
    let page = owner.send(&form, Some(&page.url)).await;
    assert!(owner.follow(page).await.text().contains("you alone"));
    assert!(!mate.open("/account/connections").await.text().contains("Shared with you"));
    // Nobody else's account can be shared or ended.
    let mut page = mate.open("/account/connections").await.form("Connect", &[]).unwrap();
    for what in ["share", "disconnect", "reconnect"] {
        page.action = mate.absolute(&format!("/account/connections/{what}"));
        page.fields.push(("connection".into(), found[0]["id"].as_str().unwrap().into()));
        let from = page.action.clone();
        assert_eq!(mate.send(&page, Some(&from)).await.status, StatusCode::NOT_FOUND, "{what}");
        page.fields.pop();
    }
}

async fn forbidden(scene: &Scene) {
    scene.forget_hits();
    let mut browser = signed_in(&scene.operator, "nia").await;
    let forbid = "@id(\"no-hub\")\nforbid (\n  principal,\n  action == Ambit::Action::\"connect\",\n  resource is Ambit::Connection\n)\nwhen { resource.provider == Ambit::Provider::\"hub\" };\n";
    scene.operator.publish(forbid).await;
    let refused = scene.connect(&mut browser, "hub").await;
    assert!(
        refused.status == StatusCode::FORBIDDEN && refused.text().contains("policies of your organisation"),
        "{}",
        refused.text()
    );
    assert_eq!(scene.count("nia").await, 0);
    let denials = scene.refusals("connect").await;
    assert_eq!(denials.last().unwrap()["decision"]["decision"]["policies"], json!(["no-hub"]));
    scene.operator.must(Method::PUT, "/policies", json!({ "files": [], "breakGlass": "a test" })).await;
}

async fn late(scene: &Scene, platform: &tests::memory::MemoryPlatform) {
    scene.forget_hits();
    let mut browser = signed_in(&scene.operator, "lea").await;
    let page = scene.ask(&mut browser, "hub").await;
    let back = scene.leave(&mut browser, &page).await;
    let before = scene.refusals("connect.arrive").await.len();
    platform.advance(Duration::from_mins(11));
    let refused = browser.open(back.as_str()).await;
    scene.refused("lea", &refused, "longer than ten minutes", before).await;
    assert_eq!(
        browser.open(page.url.as_str()).await.status,
        StatusCode::FORBIDDEN,
        "the ticket is over, too"
    );
}

async fn canaries(scene: &Scene) {
    let trail = json!(scene.operator.trail().await).to_string();
    let listed = json!(scene.connections("").await).to_string();
    let secrets = scene.provider.secrets();
    assert!(secrets.len() > 20);
    for secret in secrets.iter().map(String::as_str).chain([API_KEY, PASSWORD.1, "canary-wrong"]) {
        assert!(!trail.contains(secret) && !listed.contains(secret), "{secret}");
    }
}
