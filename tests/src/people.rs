//! People at their browsers.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::browser::{Browser, Page};
use crate::mcp::Client;
use crate::operator::Operator;

/// A person of an organisation, at a browser in which they are signed in.
pub async fn signed_in(operator: &Operator, name: &str) -> Browser {
    operator.must(Method::PUT, &format!("/users/{name}"), json!({})).await;
    let made = operator.must(Method::POST, &format!("/users/{name}/links"), json!({})).await;
    let mut browser = Browser::new(&operator.door);
    let page = browser.open(made["url"].as_str().unwrap()).await;
    let page = browser.press(&page, "Sign in", &[]).await;
    assert_eq!((page.status, page.url.path()), (StatusCode::OK, "/account"), "{}", page.text());
    browser
}

/// An agent's client that acts for a person.
pub async fn client_for(operator: &Operator, agent: &str, toolbox: &str, person: &str) -> Client {
    operator.must(Method::PUT, &format!("/users/{person}"), json!({})).await;
    let key = operator.must(Method::POST, &format!("/agents/{agent}/keys"), json!({ "user": person })).await;
    operator.client(toolbox, key["key"].as_str().unwrap())
}

/// Goes the whole way of a connect URL: the page, the provider, and back.
pub async fn connect(browser: &mut Browser, url: &str) -> Page {
    let page = browser.open(url).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text());
    let page = browser.press(&page, "Continue", &[]).await;
    assert_eq!(page.status, StatusCode::OK, "{}: {}", page.url, page.text());
    page
}

/// Where a call sends its person to connect an account, as a modern client is told.
pub fn connect_url(answer: &Value) -> &str {
    let url = answer["result"]["inputRequests"]["ambit_connect"]["params"]["url"].as_str();
    url.unwrap_or_else(|| panic!("nobody is asked to connect: {answer}"))
}
