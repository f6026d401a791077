//! A real third-party server that reads its token from the environment, in real containers, for two people at once: each acts as
//! themselves, and neither token is anywhere but in the process that uses it. Fails, with the reason, where there is no Docker.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use provisioner::docker::Engine;
use provisioner::transit::Sender;
use provisioner::{Provisioner, Settings, SharedKey};
use schemas::ids::{ConnectionId, Sha256Hex, Timestamp};
use schemas::names::WorkloadName;
use schemas::provisioner::{
    CREDENTIAL_HEADER, Delivered, Placement, SIGNATURE_HEADER, SecretText, TransitKey, signature_base,
};
use serde_json::{Value, json};
use tests::fixture::docker_host;
use tests::github::{self, Api, Server, VARIABLE, docker};
use tests::programs::unique;
use tower::ServiceExt as _;

/// The gateway's side of one life of a provisioner.
#[derive(Debug, Clone)]
struct Life {
    router: axum::Router,
    transit: Option<TransitKey>,
}

fn key() -> SharedKey {
    SharedKey::new([42; 32])
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(since.as_millis()).unwrap())
}

impl Life {
    async fn begin() -> Self {
        let engine = Arc::new(Engine::connect(&docker_host()).unwrap());
        let router = Provisioner::with_hosts(vec![engine], key(), Settings::default()).router();
        let mut life = Self { router, transit: None };
        let (status, transit) = life.send("GET", "/v1/key", "", None).await;
        assert_eq!(status, 200, "{transit}");
        life.transit = Some(serde_json::from_value(transit).unwrap());
        life
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: impl Into<String>,
        credential: Option<&Delivered>,
    ) -> (StatusCode, Value) {
        let (body, at) = (body.into(), now());
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).unwrap();
        let mut request = Request::builder().method(method).uri(path);
        if let Some(credential) = credential {
            let digest = Sha256Hex::of(body.as_bytes());
            let base = signature_base(method, path, at, &URL_SAFE_NO_PAD.encode(nonce), digest.as_str());
            let sender = Sender::new(self.transit.as_ref().unwrap()).unwrap();
            let header = sender.seal(&base, credential).unwrap().header();
            request = request
                .header(SIGNATURE_HEADER, key().sign_with(&base, &header, at, nonce))
                .header(CREDENTIAL_HEADER, header);
        } else {
            request = request.header(SIGNATURE_HEADER, key().sign(method, path, body.as_bytes(), at, nonce));
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body))))
    }

    async fn put(&self, name: &str, spec: &Value) {
        let (status, body) = self.send("PUT", &format!("/v1/workloads/{name}"), spec.to_string(), None).await;
        assert_eq!(status, 200, "{body}");
    }

    async fn tool(
        &self,
        name: &str,
        tool: &str,
        arguments: Value,
        credential: &Delivered,
    ) -> (StatusCode, Value) {
        let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {} });
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": { "name": tool, "arguments": arguments, "_meta": meta } });
        self.send("POST", &format!("/v1/workloads/{name}/mcp"), message.to_string(), Some(credential)).await
    }

    /// Opens an issue, and answers who GitHub says did.
    async fn open_issue(&self, of: &Person) -> String {
        let arguments = json!({ "owner": "acme", "repo": "site", "title": "it is broken" });
        let (status, answer) = self.tool(&of.workload, "create_issue", arguments, &of.credential()).await;
        assert_eq!(status, 200, "{answer}");
        let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
        let issue: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"));
        issue["user"]["login"].as_str().unwrap().to_owned()
    }
}

/// Somebody with an account, and what it takes to act on it.
#[derive(Debug, Clone)]
struct Person {
    connection: ConnectionId,
    version: i64,
    token: String,
    workload: String,
    spec: Value,
}

impl Person {
    fn new(letter: u8, spec: &Value, base: &WorkloadName) -> Self {
        let connection = ConnectionId::mint(Timestamp(1), [letter; 10]);
        let mut spec = spec.clone();
        spec["subject"] = json!({ "connection": connection, "takes": places() });
        let workload = base.for_subject(&connection).unwrap().to_string();
        Self { connection, version: 1, token: format!("CANARY{}", unique("gho")), workload, spec }
    }

    fn credential(&self) -> Delivered {
        let value = || SecretText::new(self.token.clone());
        Delivered {
            subject: self.connection.clone(),
            version: self.version,
            until: None,
            token: value(),
            placed: places().into_iter().map(|at| (at, value())).collect(),
        }
    }
}

/// Where the server looks; and a file, as other servers want it.
fn places() -> Vec<Placement> {
    let places = json!([{ "in": "env", "name": VARIABLE }, { "in": "file", "path": "/run/secrets/github" }]);
    serde_json::from_value(places).unwrap()
}

/// Removes what a test made, also when it fails.
#[derive(Debug)]
struct Cleanup(String);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let named = docker(&["ps", "-aq", "--filter", &format!("name=^/?{}", self.0)]);
        for id in String::from_utf8_lossy(&named.stdout).split_whitespace() {
            docker(&["rm", "-f", id]);
        }
        docker(&["network", "rm", &github::network(&self.0, "dev")]);
    }
}

struct Deployment {
    org: String,
    base: WorkloadName,
    spec: Value,
    server: Server,
    _cleanup: Cleanup,
}

async fn deployment() -> Deployment {
    let org = unique("creds");
    let server = Server::build().await;
    let mut spec = server.workload();
    for (field, name) in [("org", org.as_str()), ("toolbox", "dev"), ("server", "github")] {
        spec[field] = json!(name);
    }
    let base = WorkloadName::parse(&format!("{org}.dev.github")).unwrap();
    Deployment { _cleanup: Cleanup(org.clone()), org, base, spec, server }
}

/// Everything that Docker shows or keeps of a container, and its logs.
fn everything_about(container: &str) -> Vec<u8> {
    let mut all = Vec::new();
    for arguments in [["inspect", container], ["diff", container], ["logs", container], ["top", container]] {
        let said = docker(&arguments);
        all.extend([said.stdout, said.stderr].concat());
    }
    let image = docker(&["inspect", "-f", "{{.Image}}", container]);
    all.extend(docker(&["history", "--no-trunc", String::from_utf8_lossy(&image.stdout).trim()]).stdout);
    all
}

/// The files below a folder that hold a text.
fn files_with(text: &str, folder: &Path) -> String {
    let found = Command::new("grep").args(["-rlaF", "--", text]).arg(folder).output().unwrap();
    assert!(found.status.code() != Some(2), "these tests read what Docker keeps, as root: {found:?}");
    String::from_utf8_lossy(&found.stdout).into_owned()
}

/// A search that would find nothing anywhere proves nothing: a container that was given its token in the plain way shows it.
fn the_search_finds_what_is_there(org: &str, image: &str) {
    let (name, token) = (format!("{org}-plain"), unique("CANARY-plain"));
    let made = docker(&["create", "--name", &name, "-e", &format!("TOKEN={token}"), image]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(String::from_utf8_lossy(&everything_about(&name)).contains(&token));
    assert_ne!(files_with(&token, &root().join("containers")), "");
    docker(&["rm", "-f", &name]);
}

fn root() -> PathBuf {
    let root = docker(&["info", "-f", "{{.DockerRootDir}}"]);
    PathBuf::from(String::from_utf8_lossy(&root.stdout).trim())
}

fn is_nowhere(token: &str, containers: &[&str]) {
    for container in containers {
        let shown = String::from_utf8_lossy(&everything_about(container)).into_owned();
        assert!(!shown.contains(token), "{container}");
        let layers = docker(&["inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", container]);
        let layers = String::from_utf8_lossy(&layers.stdout).trim().to_owned();
        assert_eq!(files_with(token, Path::new(&layers)), "", "the container's own layer");
    }
    for kept in ["containers", "volumes"] {
        assert_eq!(files_with(token, &root().join(kept)), "", "what Docker keeps");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_person_acts_as_themselves_and_neither_token_is_anywhere_else() {
    let Deployment { org, base, spec, server: _server, _cleanup } = deployment().await;
    let life = Life::begin().await;
    let started = Instant::now();
    life.put(base.as_str(), &spec).await;
    println!("cold start without a credential: {:?}", started.elapsed());
    let (mut ann, bob) = (Person::new(b'a', &spec, &base), Person::new(b'b', &spec, &base));
    let next = format!("CANARY{}", unique("gho"));
    let people = [(ann.token.as_str(), "ann"), (bob.token.as_str(), "bob"), (next.as_str(), "ann")];
    let api = Api::start(&github::network(&org, "dev"), &people).await;
    for person in [&ann, &bob] {
        life.put(&person.workload, &person.spec).await;
    }
    let started = Instant::now();
    assert_eq!(life.open_issue(&ann).await, "ann");
    println!("cold start with one, and a call: {:?}", started.elapsed());
    let (one, other) = tokio::join!(life.open_issue(&bob), life.open_issue(&ann));
    assert_eq!((one.as_str(), other.as_str()), ("bob", "ann"));
    // Bob has Ann's workload and his own credential.
    let (status, _) = life.tool(&ann.workload, "get_issue", json!({}), &bob.credential()).await;
    assert_eq!(status, 403);
    assert_eq!(api.asked().len(), 3);
    the_search_finds_what_is_there(&org, spec["digest"].as_str().unwrap());
    for person in [&ann, &bob] {
        is_nowhere(&person.token, &[&ann.workload, &bob.workload, base.as_str()]);
        let (_, logs) = life.send("GET", &format!("/v1/workloads/{}/logs", person.workload), "", None).await;
        assert!(logs.as_str().unwrap().contains("GitHub MCP Server"), "{logs}");
        assert!(!logs.as_str().unwrap().contains(&person.token));
        let limits = docker(&["inspect", "-f", "{{json .HostConfig.Ulimits}}", &person.workload]);
        assert!(String::from_utf8_lossy(&limits.stdout).contains(r#""Name":"core","Hard":0,"Soft":0"#));
    }
    // A new token: the old one is dead, and what had it is gone.
    let old = std::mem::replace(&mut ann.token, next);
    ann.version = 2;
    assert_eq!(life.open_issue(&ann).await, "ann");
    is_nowhere(&old, &[&ann.workload]);
    is_nowhere(&ann.token, &[&ann.workload]);
    let mut asked = api.asked();
    asked.sort();
    assert_eq!(asked, ["ann", "ann", "ann", "bob"].map(|who| format!("{who} POST /repos/acme/site/issues")));
    // Disconnected: her process ends, his does not.
    let (status, _) = life.send("DELETE", &format!("/v1/workloads/{}", ann.workload), "", None).await;
    assert_eq!(status, 204);
    assert!(!docker(&["inspect", &ann.workload]).status.success());
    assert_eq!(life.open_issue(&bob).await, "bob");
    // And with the server, everybody's.
    let (status, _) = life.send("DELETE", &format!("/v1/workloads/{base}"), "", None).await;
    assert_eq!(status, 204);
    let left = docker(&["ps", "-aq", "--filter", &format!("name=^/?{org}")]);
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provisioner_that_is_killed_midway_leaves_nothing_that_the_next_call_does_not_heal() {
    let Deployment { org, base, spec, server: _server, _cleanup } = deployment().await;
    Life::begin().await.put(base.as_str(), &spec).await;
    let ann = Person::new(b'a', &spec, &base);
    let api = Api::start(&github::network(&org, "dev"), &[(&ann.token, "ann")]).await;
    for moment in [0, 30, 120, 250, 400, 600, 900] {
        docker(&["rm", "-f", &ann.workload]);
        let doomed =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let person = ann.clone();
        let (known, soon) = tokio::sync::oneshot::channel();
        doomed.spawn(async move {
            let life = Life::begin().await;
            life.put(&person.workload, &person.spec).await;
            known.send(()).unwrap();
            let _ = life.tool(&person.workload, "get_issue", json!({}), &person.credential()).await;
        });
        soon.await.unwrap();
        tokio::time::sleep(Duration::from_millis(moment)).await;
        doomed.shutdown_background();
        let next = Life::begin().await;
        next.put(&ann.workload, &ann.spec).await;
        assert_eq!(next.open_issue(&ann).await, "ann", "killed after {moment} ms");
    }
    is_nowhere(&ann.token, &[&ann.workload]);
    drop(api);
}
