//! How people sign in, on every host: one-time links, sessions, and the ways out.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::browser::{Browser, Form, Page};
use tests::door::Door;
use tests::operator::Operator;
use tests::stack::{Host, Stack, step};

tests::on_every_host!(suite);

const COOKIE: &str = "__Host-ambit";

struct Scene {
    door: Door,
    operator: Operator,
}

async fn suite(host: Host) {
    let stack = Stack::with_rates(host, "sign-in=off token=off register=off").await;
    let scene = Scene { door: stack.door.clone(), operator: stack.organisation().await };
    step("a link signs in once", once(&scene)).await;
    step("a link is looked at and sent by its own page only", own_page(&scene)).await;
    step("nobody signs in by guessing", guessing(&scene)).await;
    step("forms of other pages and sessions", forms(&scene)).await;
    step("sign out, here and everywhere", sign_out(&scene)).await;
    step("invitations", invitations(&scene)).await;
    step("suspended", suspended(&scene)).await;
    step("who may make links", who_may(&scene)).await;
    step("back to where somebody came from", back(&scene)).await;
    step("the trail", trail(&scene)).await;
    if let Door::Memory(memory) = &scene.door {
        step("a session gets new secrets and ends", time(&scene, &memory.platform)).await;
    }
}

impl Scene {
    fn browser(&self) -> Browser {
        Browser::new(&self.door)
    }

    async fn person(&self, name: &str) {
        self.operator.must(Method::PUT, &format!("/users/{name}"), json!({})).await;
    }

    async fn link(&self, name: &str) -> String {
        let made = self.operator.must(Method::POST, &format!("/users/{name}/links"), json!({})).await;
        assert!(made["expiresAt"].as_i64().unwrap() > 0, "{made}");
        made["url"].as_str().unwrap().to_owned()
    }

    /// A browser in which somebody is signed in.
    async fn signed_in(&self, name: &str) -> Browser {
        self.person(name).await;
        let mut browser = self.browser();
        let page = browser.open(&self.link(name).await).await;
        let page = browser.press(&page, "Sign in", &[]).await;
        assert_eq!((page.status, page.url.path()), (StatusCode::OK, "/account"), "{}", page.text());
        browser
    }
}

/// Whether somebody is signed in.
async fn is_in(browser: &mut Browser) -> bool {
    browser.look("/account").await.status == StatusCode::OK
}

async fn once(scene: &Scene) {
    scene.person("ada").await;
    let link = scene.link("ada").await;
    let mut browser = scene.browser();
    let door = browser.open(&link).await;
    assert!(door.text().contains("ada") && door.text().contains(&scene.operator.org), "{}", door.text());
    assert_eq!(door.headers["cache-control"], "no-store");
    assert!(browser.cookie_names().is_empty(), "looking signs nobody in");
    browser.open(&link).await;

    let account = browser.press(&door, "Sign in as ada", &[]).await;
    assert_eq!(account.url.path(), "/account");
    assert!(account.text().contains("ada") && account.text().contains("This browser"), "{}", account.text());
    assert!(!account.html.contains(browser.cookie(COOKIE).unwrap()), "no page shows the secret");

    let mut second = scene.browser();
    let again = second.send(&door.form("Sign in", &[]).unwrap(), Some(&door.url)).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND, "{}", again.text());
    assert_eq!(second.open(&link).await.status, StatusCode::NOT_FOUND);
    assert!(second.cookie_names().is_empty());
    // Two at once: one of them.
    let link = scene.link("ada").await;
    let (mut left, mut right) = (scene.browser(), scene.browser());
    let door = left.open(&link).await;
    let form = door.form("Sign in", &[]).unwrap();
    let (one, other) =
        futures_util::future::join(left.send(&form, Some(&door.url)), right.send(&form, Some(&door.url)))
            .await;
    let mut statuses = [one.status, other.status];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::SEE_OTHER, StatusCode::NOT_FOUND]);
}

async fn own_page(scene: &Scene) {
    let link = scene.link("ada").await;
    let mut browser = scene.browser();
    let page = browser.open(&link).await;
    let form = page.form("Sign in", &[]).unwrap();
    for from in [None, Some("https://evil.example/"), Some("http://evil.example/")] {
        let from = from.map(|from| from.parse().unwrap());
        let refused = browser.send(&form, from.as_ref()).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{from:?}");
    }
    assert!(browser.cookie_names().is_empty());
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
}

async fn guessing(scene: &Scene) {
    let mut browser = scene.browser();
    assert!(!is_in(&mut browser).await);
    let real = scene.signed_in("ada").await.cookie(COOKIE).unwrap().to_owned();
    let nobody = "A".repeat(43);
    for secret in ["", "x", nobody.as_str(), &real[1..], &format!("{real}A"), &real.to_lowercase()] {
        browser.set_cookie(COOKIE, secret);
        assert!(!is_in(&mut browser).await, "{secret}");
    }
    browser.set_cookie("ambit", &real);
    assert!(!is_in(&mut browser).await, "the name of the cookie is what protects it");
    browser.forget("ambit");
    browser.set_cookie(COOKIE, &real);
    assert!(is_in(&mut browser).await, "the session is the cookie");
    for token in ["x", "ambit_sl_", &format!("ambit_sl_{nobody}")] {
        let page = browser.look(&format!("/sign-in/link/{token}")).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND);
    }
}

async fn forms(scene: &Scene) {
    let mut ada = scene.signed_in("ada").await;
    let mut grace = scene.signed_in("grace").await;
    let of_ada = ada.open("/account").await;
    let of_grace = grace.open("/account").await;
    let form = of_ada.form("Sign out everywhere", &[]).unwrap();
    let token_of = |page: &Page| -> String {
        let form = page.form("Sign out", &[]).unwrap();
        form.fields.iter().find(|(name, _)| name == "token").unwrap().1.clone()
    };
    let with = |token: Option<String>| {
        let mut form: Form = form.clone();
        form.fields.retain(|(name, _)| name != "token");
        form.fields.extend(token.map(|token| ("token".to_owned(), token)));
        form
    };
    let evil = "https://evil.example/".parse().unwrap();
    for (what, form, from) in [
        ("no token", with(None), Some(&of_ada.url)),
        ("an empty one", with(Some(String::new())), Some(&of_ada.url)),
        ("another person's", with(Some(token_of(&of_grace))), Some(&of_ada.url)),
        ("another site", form.clone(), Some(&evil)),
        ("no origin", form.clone(), None),
    ] {
        assert_eq!(ada.send(&form, from).await.status, StatusCode::FORBIDDEN, "{what}");
    }
    let mut doubled = form.clone();
    doubled.fields.push(("token".into(), token_of(&of_ada)));
    assert_eq!(ada.send(&doubled, Some(&of_ada.url)).await.status, StatusCode::FORBIDDEN);
    assert!(is_in(&mut ada).await);
    // Nobody ends a session of somebody else.
    let of_grace_alone = of_grace.form("Sign out", &[]).unwrap();
    let hers = of_grace_alone.fields.iter().find(|(name, _)| name == "session").unwrap().clone();
    let mut foreign = of_ada.form("Sign out", &[]).unwrap();
    foreign.fields.retain(|(name, _)| name != "session");
    foreign.fields.push(hers);
    ada.send(&foreign, Some(&of_ada.url)).await;
    assert!(is_in(&mut grace).await && is_in(&mut ada).await);
}

async fn sign_out(scene: &Scene) {
    let mut first = scene.signed_in("ada").await;
    let mut second = scene.signed_in("ada").await;
    let mut third = scene.signed_in("ada").await;
    let page = first.open("/account").await;
    let secret = first.cookie(COOKIE).unwrap().to_owned();
    let page = first.press(&page, "Sign out", &[]).await;
    // The youngest session is listed first: it is the third's.
    assert_eq!(page.url.path(), "/account", "{}", page.text());
    assert!(is_in(&mut first).await && is_in(&mut second).await && !is_in(&mut third).await);

    let page = second.open("/account").await;
    let spare = scene.link("ada").await;
    let gone = second.press(&page, "Sign out everywhere", &[]).await;
    assert!(gone.text().contains("signed out") && second.cookie(COOKIE).is_none(), "{}", gone.text());
    assert!(!is_in(&mut first).await);
    first.set_cookie(COOKIE, &secret);
    assert!(!is_in(&mut first).await, "what was signed out stays so");
    assert_eq!(first.open(&spare).await.status, StatusCode::NOT_FOUND, "links go with the sessions");

    let mut fourth = scene.signed_in("ada").await;
    let listed = scene.operator.must(Method::GET, "/users/ada/sessions", Value::Null).await;
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["sessions"][0]["openedBy"], "link", "{listed}");
    let ended = scene.operator.must(Method::DELETE, "/users/ada/sessions", Value::Null).await;
    assert_eq!(ended, json!({ "ended": 1 }));
    assert!(!is_in(&mut fourth).await);

    // Whoever signs in as another is the first no more.
    let mut both = scene.signed_in("ada").await;
    let ada = both.cookie(COOKIE).unwrap().to_owned();
    let page = both.open(&scene.link("grace").await).await;
    let page = both.press(&page, "Sign in as grace", &[]).await;
    assert!(page.text().contains("grace"));
    let mut thief = scene.browser();
    thief.set_cookie(COOKIE, &ada);
    assert!(!is_in(&mut thief).await);
}

async fn invitations(scene: &Scene) {
    scene.operator.must(Method::PUT, "/teams/finance", json!({})).await;
    let body =
        json!({ "name": "lin", "email": "lin@acme.example", "roles": ["auditor"], "teams": ["finance"] });
    let made = scene.operator.must(Method::POST, "/invitations", body.clone()).await;
    let mut browser = scene.browser();
    let page = browser.open(made["url"].as_str().unwrap()).await;
    let account = browser.press(&page, "Sign in", &[]).await;
    for told in ["lin@acme.example", "auditor", "finance"] {
        assert!(account.text().contains(told), "{}", account.text());
    }
    let (status, again) = scene.operator.ask(Method::POST, "/invitations", body).await;
    assert_eq!(status, StatusCode::CONFLICT, "{again}");
    for bad in [
        json!({ "name": "@root" }),
        json!({ "name": "a b" }),
        json!({ "name": "x", "roles": ["No Role"] }),
        json!({ "name": "x", "admin": true }),
        json!({}),
    ] {
        let (status, told) = scene.operator.ask(Method::POST, "/invitations", bad.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}: {told}");
    }
    let nowhere = json!({ "name": "x", "teams": ["nowhere"] });
    let (status, told) = scene.operator.ask(Method::POST, "/invitations", nowhere).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{told}");
}

async fn suspended(scene: &Scene) {
    let mut browser = scene.signed_in("mallory").await;
    let link = scene.link("mallory").await;
    scene.operator.must(Method::PUT, "/users/mallory", json!({ "status": "suspended" })).await;
    assert!(!is_in(&mut browser).await, "at the next request");
    assert_eq!(scene.browser().open(&link).await.status, StatusCode::NOT_FOUND);
}

async fn who_may(scene: &Scene) {
    let auditor = scene.operator.person("auditor", &["auditor"]).await;
    let owner = scene.operator.person("boss", &["owner"]).await;
    for (method, path) in [
        (Method::POST, "/users/ada/links"),
        (Method::GET, "/users/ada/sessions"),
        (Method::DELETE, "/users/ada/sessions"),
        (Method::POST, "/invitations"),
    ] {
        let (status, told) = auditor.ask(method.clone(), path, json!({})).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}: {told}");
    }
    owner.must(Method::POST, "/users/ada/links", json!({})).await;
    owner.must(Method::DELETE, "/users/ada/sessions", Value::Null).await;
    for path in ["/users/nobody/links", "/users/nobody/sessions"] {
        let method = if path.ends_with("links") { Method::POST } else { Method::DELETE };
        assert_eq!(owner.ask(method, path, Value::Null).await.0, StatusCode::NOT_FOUND);
    }
}

async fn back(scene: &Scene) {
    let mut browser = scene.browser();
    let asked = browser.look("/account").await;
    assert_eq!(asked.location().unwrap().path(), "/sign-in");
    let page = browser.follow(asked).await;
    let page = browser.press(&page, "Continue", &[("org", scene.operator.org.as_str())]).await;
    assert_eq!(page.url.path(), format!("/sign-in/{}", scene.operator.org));
    assert!(page.text().contains("one-time link"), "{}", page.text());
    let page = browser.open("/sign-in?org=No%20Org").await;
    assert!(page.text().contains("organisation name"), "{}", page.text());
    // An organisation that is not there looks like one without an identity provider.
    let other = browser.open("/sign-in/nowhere").await;
    let ours = browser.open(&format!("/sign-in/{}", scene.operator.org)).await;
    assert_eq!(other.html.replace("nowhere", "X"), ours.html.replace(&scene.operator.org, "X"));

    for (to, path) in
        [("/console", "/console"), ("//evil.example", "/account"), ("https://evil.example", "/account")]
    {
        let link = format!("{}?return_to={to}", scene.link("ada").await);
        let page = browser.open(&link).await;
        let page = browser.press(&page, "Sign in", &[]).await;
        assert_eq!((page.status, page.url.path()), (StatusCode::OK, path), "{to}");
    }
}

async fn trail(scene: &Scene) {
    let trail = scene.operator.trail().await;
    for method in ["link.create", "session.open", "session.end", "user.invite"] {
        assert!(trail.iter().any(|event| event["method"] == method), "{method}");
    }
    let opened = trail.iter().find(|event| event["method"] == "session.open").unwrap();
    assert_eq!((&opened["actor"]["user"], &opened["actor"]["credential"]), (&json!("ada"), &json!("link")));
    assert!(!serde_json::to_string(&trail).unwrap().contains("ambit_sl_"), "no secret is on record");
}

async fn time(scene: &Scene, host: &tests::memory::MemoryPlatform) {
    let minutes = |minutes| host.advance(Duration::from_mins(minutes));
    let mut browser = scene.signed_in("ada").await;
    let first = browser.cookie(COOKIE).unwrap().to_owned();
    minutes(14);
    browser.open("/account").await;
    assert_eq!(browser.cookie(COOKIE), Some(first.as_str()));
    minutes(2);
    let mut parallel = browser.clone();
    let page = browser.open("/account").await;
    let second = browser.cookie(COOKIE).unwrap().to_owned();
    assert_ne!(first, second, "a quarter of an hour is over");
    assert!(
        is_in(&mut parallel).await && parallel.cookie(COOKIE) == Some(first.as_str()),
        "one minute of overlap"
    );
    minutes(1);
    assert!(!is_in(&mut parallel).await, "and no more");
    assert!(is_in(&mut browser).await);
    assert!(
        browser.press(&page, "Sign out", &[]).await.status.is_success(),
        "forms live longer than secrets"
    );

    let mut idle = scene.signed_in("ada").await;
    minutes(8 * 60 - 1);
    let mut used = idle.clone();
    used.open("/account").await;
    minutes(2);
    assert!(!is_in(&mut idle).await && is_in(&mut used).await, "eight hours without use");
    for _ in 0..7 * 24 / 7 {
        minutes(7 * 60);
        used.open("/account").await;
    }
    assert!(!is_in(&mut used).await, "seven days");
    let link = scene.link("ada").await;
    minutes(24 * 60);
    assert_eq!(scene.browser().open(&link).await.status, StatusCode::NOT_FOUND, "a day");
    let platform = host.clone();
    if let Door::Memory(memory) = &scene.door {
        memory.gateway.tick(&platform).await.unwrap();
    }
    let left = tests::memory::count(host, "SELECT COUNT(*) FROM sessions")
        + tests::memory::count(host, "SELECT COUNT(*) FROM sign_in_links");
    assert_eq!(left, 0, "what has expired is forgotten");
}
