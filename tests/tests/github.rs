//! End to end: two people, one toolbox, a real third-party GitHub server in real containers, and a GitHub that knows who asked for what.
//! Each connects their account once; what their agent does, it does as them; and when one disconnects, nothing of hers is left.

use std::path::PathBuf;

use http::Method;
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::canaries;
use tests::github::{self, Api, Server, VARIABLE};
use tests::mcp::{Client, text};
use tests::operator::Operator;
use tests::people::{client_for, connect, connect_url, signed_in};
use tests::provider::Provider;
use tests::stack::{Host, Stack, step};

tests::on_every_host!(suite);

struct Person {
    client: Client,
    browser: Browser,
    /// Her token, as the provider gave it.
    token: String,
}

async fn suite(host: Host) {
    let stack =
        Stack::with_rates(host, "sign-in=off token=off register=off call=off list=off manage=off").await;
    let operator = stack.organisation().await;
    let provider = Provider::start().await;
    provider.play("github-app");
    operator.must(Method::PUT, "/providers/github", provider.settings("github-app")).await;
    let server = Server::build().await;
    let account =
        json!({ "provider": "github", "inject": [{ "in": "env", "name": VARIABLE, "value": "{token}" }] });
    let body = json!({ "workload": server.workload(), "account": account, "trust": "verified" });
    operator.toolbox("dev", &[("github", body)]).await;
    operator.must(Method::PUT, "/agents/coder", json!({})).await;
    operator.grant("coder", "toolbox/dev").await;

    let ann = person(&operator, &provider, "ann", "3001").await;
    let bob = person(&operator, &provider, "bob", "3002").await;
    let network = github::network(&operator.org, "dev");
    let api = Api::start(&network, &[(&ann.token, "octo-3001"), (&bob.token, "octo-3002")]).await;

    step("each acts as themselves", async {
        let both = [(&ann, "octo-3001"), (&bob, "octo-3002"), (&ann, "octo-3001"), (&bob, "octo-3002")];
        let opened = both.map(|(person, login)| async move {
            assert_eq!(open_issue(&person.client).await, login);
        });
        futures_util::future::join_all(opened).await;
        let mut asked = api.asked();
        asked.sort();
        let expected = ["octo-3001", "octo-3001", "octo-3002", "octo-3002"];
        assert_eq!(asked, expected.map(|who| format!("{who} POST /repos/acme/site/issues")));
    })
    .await;
    step("what reached GitHub is on record", async {
        let trail = operator.trail().await;
        let used: Vec<&Value> = trail.iter().filter(|event| event["method"] == "connection.use").collect();
        assert_eq!(used.len(), api.asked().len());
        for name in ["ann", "bob"] {
            let of = |event: &&&Value| event["actor"]["user"] == name;
            assert_eq!(used.iter().filter(of).count(), 2, "{used:?}");
        }
    })
    .await;
    step("no token is kept in clear", nowhere(&stack, &operator, &provider)).await;
    step("she disconnects, and he goes on", disconnect(ann, &bob, &operator, &provider)).await;
}

async fn person(operator: &Operator, provider: &Provider, name: &str, subject: &str) -> Person {
    let client = client_for(operator, "coder", "dev", name).await;
    let mut browser = signed_in(operator, name).await;
    provider.sign_in(subject);
    let asked = client.call("create_issue", issue()).await;
    connect(&mut browser, connect_url(&asked)).await;
    let token = provider.access_of(subject).pop().unwrap();
    Person { client, browser, token }
}

fn issue() -> Value {
    json!({ "owner": "acme", "repo": "site", "title": "it is broken" })
}

/// Opens an issue, and answers who GitHub says did.
async fn open_issue(client: &Client) -> String {
    let answer = client.call("create_issue", issue()).await;
    let opened: Value = serde_json::from_str(text(&answer)).unwrap_or_else(|_| panic!("{answer}"));
    opened["user"]["login"].as_str().unwrap().to_owned()
}

async fn nowhere(stack: &Stack, operator: &Operator, provider: &Provider) {
    let containers = Stack::containers(&operator.org);
    assert!(containers.len() >= 2, "{containers:?}");
    let trail = serde_json::to_string(&operator.trail().await).unwrap();
    let mut kept = vec![(PathBuf::from("the trail"), trail.into_bytes())];
    for container in &containers {
        for what in ["inspect", "logs", "diff"] {
            let said = github::docker(&[what, container]);
            kept.push((format!("{what} {container}").into(), [said.stdout, said.stderr].concat()));
        }
    }
    kept.extend(canaries::files(stack.folder()));
    let secrets = provider.secrets();
    assert!(secrets.len() >= 4 && kept.len() > 7, "{} {}", secrets.len(), kept.len());
    canaries::nowhere(&secrets, kept);
}

async fn disconnect(mut ann: Person, bob: &Person, operator: &Operator, provider: &Provider) {
    let before = Stack::containers(&operator.org).len();
    let page = ann.browser.open("/account/connections").await;
    let page = ann.browser.press(&page, "Disconnect", &[]).await;
    ann.browser.press(&page, "Disconnect", &[]).await;
    connect_url(&ann.client.call("create_issue", issue()).await);
    for _ in 0..100 {
        if Stack::containers(&operator.org).len() < before && provider.access_of("3001").is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(Stack::containers(&operator.org).len(), before - 1, "her process is gone");
    assert!(provider.access_of("3001").is_empty(), "and what the provider gave is revoked");
    assert_eq!(open_issue(&bob.client).await, "octo-3002");
}
