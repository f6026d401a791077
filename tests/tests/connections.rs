//! Connecting accounts, on every host: at every kind of provider, as each has its quirks; and what is refused on the way, with its trace.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::browser::{Browser, Page};
use tests::door::Door;
use tests::operator::Operator;
use tests::provider::{API_KEY, PASSWORD, Provider};
use tests::stack::{Host, Stack, step};
use url::Url;

tests::on_every_host!(suite);

/// Kinds of providers to which browsers are sent, the account there, and how its id reads.
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

struct Scene {
    door: Door,
    operator: Operator,
    provider: Provider,
    other: Provider,
}

async fn suite(host: Host) {
    let stack = Stack::with_rates(host, "manage=off sign-in=off token=off").await;
    let scene = Scene {
        door: stack.door.clone(),
        operator: stack.organisation().await,
        provider: Provider::start().await,
        other: Provider::start().await,
    };
    step("every kind of provider", every_kind(&scene)).await;
    step("keys and passwords", entered(&scene)).await;
}

impl Scene {
    fn browser(&self) -> Browser {
        Browser::new(&self.door)
    }

    /// A browser in which somebody is signed in.
    async fn signed_in(&self, name: &str) -> Browser {
        self.operator.must(Method::PUT, &format!("/users/{name}"), json!({ "roles": ["member"] })).await;
        let made = self.operator.must(Method::POST, &format!("/users/{name}/links"), json!({})).await;
        let mut browser = self.browser();
        let page = browser.open(made["url"].as_str().unwrap()).await;
        browser.press(&page, "Sign in", &[]).await;
        browser
    }

    async fn set(&self, name: &str, settings: Value) -> Value {
        self.operator.must(Method::PUT, &format!("/providers/{name}"), settings).await
    }

    /// The page before leaving for a provider.
    async fn ask(&self, browser: &mut Browser, provider: &str) -> Page {
        let page = browser.open("/account/connections").await;
        let mut form = page.form("Disconnect", &[]).or_else(|| page.form("Connect", &[])).unwrap();
        form.action = browser.absolute("/account/connections/connect");
        form.fields.retain(|(name, _)| name == "token");
        form.fields.push(("provider".into(), provider.into()));
        form.fields.push(("with".into(), "personal".into()));
        let page = browser.send(&form, Some(&page.url)).await;
        browser.follow(page).await
    }

    /// Where a browser comes back to, before it does.
    async fn until_callback(&self, browser: &mut Browser, provider: &str) -> Url {
        let page = self.ask(browser, provider).await;
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
}

async fn every_kind(scene: &Scene) {
    let mut browser = scene.signed_in("ann").await;
    for (kind, label, id) in KINDS {
        println!("  {kind}");
        scene.provider.play(kind);
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
        let found = scene.connections(&format!("provider={kind}")).await;
        assert_eq!(found.len(), 1, "{kind}");
        let told = (&found[0]["account"], &found[0]["accountId"], &found[0]["status"], &found[0]["user"]);
        assert_eq!(told, (&json!(label), &json!(id), &json!("active"), &json!("ann")), "{kind}");
        let asked = scene.provider.asked("authorize");
        assert_eq!(asked["redirect_uri"], callback);
        let sends_pkce = !["slack", "notion"].contains(&kind);
        assert_eq!(asked.contains_key("code_challenge"), sends_pkce, "{kind}");

        // And back: the provider forgets the consent, where it can.
        let account = browser.open("/account/connections").await;
        assert!(account.text().contains(label), "{kind}: {}", account.text());
        let sure = browser.press(&account, "Disconnect", &[]).await;
        let gone = browser.press(&sure, "Disconnect", &[]).await;
        assert!(gone.status == StatusCode::OK && gone.text().contains("None yet"), "{kind}: {}", gone.text());
        scene.operator.must(Method::DELETE, &format!("/providers/{kind}"), Value::Null).await;
    }
}

async fn entered(scene: &Scene) {
    let mut browser = scene.signed_in("ann").await;
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
        assert!(
            refused.status == StatusCode::FORBIDDEN && refused.text().contains("does not take it"),
            "{}",
            refused.text()
        );
        assert!(!refused.html.contains("canary"), "{kind}: it is not shown again");
        let done = browser.press(&refused, "Connect", &good).await;
        assert!(done.text().contains("is connected"), "{kind}: {}", done.text());
        let found = scene.connections(&format!("provider={kind}")).await;
        assert_eq!((&found[0]["account"], &found[0]["accountId"]), (&json!("person 1001"), &json!("1001")));
        let account = browser.open("/account/connections").await;
        assert!(!account.html.contains("canary"));
        let sure = browser.press(&account, "Disconnect", &[]).await;
        browser.press(&sure, "Disconnect", &[]).await;
    }
    let trail = json!(scene.operator.trail().await).to_string();
    assert!(!trail.contains("canary"), "{trail}");
}
