//! Signing in at an identity provider that is not ours, as a person does: `oidc-provider`, with each way we prove to it who we are.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::browser::{Browser, Page};
use tests::identity_provider::{CLIENT, SECRET};
use tests::node;
use tests::operator::Operator;
use tests::stack::{Host, Stack, step};

tests::on_every_host!(suite);

async fn suite(host: Host) {
    let stack = Stack::start(host).await;
    let operator = stack.organisation().await;
    for team in ["finance", "ops"] {
        operator.must(Method::PUT, &format!("/teams/{team}"), json!({})).await;
    }
    for method in ["client_secret_basic", "client_secret_post", "none"] {
        step(method, signs_in(&operator, method)).await;
    }
}

async fn signs_in(operator: &Operator, method: &str) {
    let name = method.replace('_', "-");
    let start = format!("/sign-in/{}/{name}", operator.org);
    let redirect = format!("{}{start}/callback", operator.door.url());
    let (_provider, ready) = node::start("clients/oidc-provider.mjs", &[&redirect, method]);
    let secret = if method == "none" { "" } else { SECRET };
    let settings = json!({
        "issuer": ready["issuer"], "clientId": CLIENT, "clientSecret": secret, "admits": "everyone",
        "scopes": ["openid", "email", "groups"], "domains": ["acme.example"],
        "groupsClaim": "groups", "teams": { "fin": "finance", "ops": "ops" },
    });
    let made = operator.must(Method::PUT, &format!("/identity-providers/{name}"), settings).await;
    assert_eq!(made["redirectUri"], redirect);

    // In, again without being asked there, and as the same person.
    let person = format!("{}-fin-x", method.split('_').next_back().unwrap());
    let mut browser = Browser::new(&operator.door);
    let account = sign_in_as(&mut browser, &start, &person).await;
    let told = account.text();
    assert!(
        account.status == StatusCode::OK && told.starts_with(&format!("{person}@acme.example")),
        "{told}"
    );
    assert!(told.contains("Teams finance"), "{told}");
    let page = browser.press(&account, "Sign out", &[]).await;
    assert!(page.text().contains("signed out"), "{}", page.text());
    let again = browser.open(&start).await;
    assert!(again.text().contains(&format!("{person}@acme.example")), "{}", again.text());

    // Somebody whose address is not verified; and somebody who changes their mind there.
    let mut other = Browser::new(&operator.door);
    let refused = sign_in_as(&mut other, &start, "a+b").await;
    assert!(
        refused.status == StatusCode::FORBIDDEN && refused.text().contains("own domains"),
        "{}",
        refused.text()
    );
    let mut third = Browser::new(&operator.door);
    let login = third.open(&start).await;
    let cancelled = third.click(&login, "[ Cancel ]").await;
    assert!(cancelled.text().contains("refused: `access_denied`"), "{}", cancelled.text());
    assert!(third.cookie("__Host-ambit").is_none());

    let path = format!("/identity-providers/{name}");
    operator.must(Method::DELETE, &path, Value::Null).await;
    assert_eq!(operator.ask(Method::GET, &path, Value::Null).await.0, StatusCode::NOT_FOUND);
}

/// Signs in there by name, and lets us know who that is.
async fn sign_in_as(browser: &mut Browser, start: &str, name: &str) -> Page {
    let login = browser.open(start).await;
    let consent = browser.press(&login, "Sign-in", &[("login", name), ("password", "any")]).await;
    browser.press(&consent, "Continue", &[]).await
}
