//! A call of a remote server that costs next to nothing: directly, through nginx, and through the gateway on its hosts.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use gateway::platform::{Batch, Statement};
use http::Method;
use serde_json::json;
use standalone::database::{Database, Session};
use tempfile::TempDir;
use tests::door::Door;
use tests::issuer::Issuer;
use tests::mcp::{self, Client};
use tests::operator::Operator;
use tests::people;
use tests::programs::{free_port, program};
use tests::provider::Provider;
use tests::stack::{Host, Process, Stack};

use crate::report::{Cell, Table};
use crate::wrk::{self, Ask, Outcome};
use crate::{cpu, nginx};

const LEGACY: &str = "2025-11-25";
const TOOL: &str = "look";
/// Outcomes are durable 100 ms after their answers.
const SETTLED: Duration = Duration::from_millis(250);

/// Where a call can go.
struct Target {
    name: &'static str,
    client: Client,
    /// Whose CPU time counts.
    process: u32,
    trail: Option<Trail>,
    /// Signs a token that lives through the next measurement, if calls need one.
    token: Option<Box<dyn Fn() -> String>>,
}

/// Calls of every target, in both eras, at every concurrency.
pub(crate) async fn measure(quick: bool, only: Option<usize>) -> Table {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let (port, proxy) = (free_port(), free_port());
    let upstream = start_upstream(port);
    let nginx = nginx::start(folder.path(), proxy, port);
    let url = format!("http://127.0.0.1:{port}/mcp");
    let issuer = Issuer::start().await;
    let (standalone, worker) = (Stack::start(Host::Standalone).await, Stack::start(Host::Workerd).await);
    let mut targets = vec![plain("direct", port, upstream.0.id()), plain("nginx", proxy, nginx.0.id())];
    targets.extend(behind(&standalone, &url, issuer, "standalone").await);
    targets.extend(behind(&worker, &url, Issuer::start().await, "workerd").await);

    let seconds = if quick { 3 } else { 8 };
    let title = format!(
        "A call of a remote tool, {seconds} s a figure; nginx has 1 worker, standalone {} cores, workerd 1 process; CPU is that of \
         the process named (direct: the server itself), and “recorded” the intents in the trail less the calls answered (those \
         under way at the end: no more than connections)",
        std::thread::available_parallelism().map_or(1, usize::from)
    );
    let columns =
        &["era", "path", "conns", "calls/s", "CPU us/call", "x nginx", "p50 ms", "p99 ms", "recorded"];
    let mut table = Table::new("gateway", title, columns);
    for era in [mcp::MODERN, LEGACY] {
        for connections in [1, 16, 64, 256].into_iter().filter(|count| only.is_none_or(|only| only == *count))
        {
            let mut nginx = None;
            for target in &mut targets {
                let cost = target.measure(&folder, era, connections, seconds).await;
                if target.name == "nginx" {
                    nginx = Some(cost.cpu);
                }
                table.row(vec![
                    era.into(),
                    target.name.into(),
                    connections.into(),
                    Cell::Number(cost.outcome.rate, 0),
                    Cell::Number(cost.cpu, 1),
                    nginx.map_or(Cell::Nothing, |nginx| Cell::Number(cost.cpu / nginx, 2)),
                    Cell::Number(cost.outcome.p50, 3),
                    Cell::Number(cost.outcome.p99, 3),
                    cost.surplus.map_or(Cell::Nothing, |surplus| Cell::Text(format!("+{surplus}"))),
                ]);
            }
        }
    }
    table
}

fn start_upstream(port: u16) -> Process {
    let child = Command::new(program("upstream")).arg(port.to_string()).stdin(Stdio::null()).spawn();
    Process(child.expect("it was built just now"))
}

fn plain(name: &'static str, port: u16, process: u32) -> Target {
    let door = Door::socket(&format!("http://127.0.0.1:{port}"));
    Target {
        name,
        client: Client { door, path: "/mcp".into(), token: String::new() },
        process,
        trail: None,
        token: None,
    }
}

/// A gateway in front of the server: with an API key, and with tokens of an issuer.
async fn behind(stack: &Stack, url: &str, issuer: Issuer, host: &'static str) -> Vec<Target> {
    let operator = stack.organisation().await;
    operator.toolbox("main", &[("up", json!({ "url": url, "trust": "first_party" }))]).await;
    let client = operator.agent("worker", "main").await;
    operator.grant("worker", "toolbox/main").await;
    let process = stack.gateway_process();
    let mut targets = vec![Target {
        name: if host == "standalone" { "standalone, key" } else { "workerd, key" },
        trail: Some(Trail::open(stack.folder())),
        client,
        process,
        token: None,
    }];
    targets.push(Target {
        name: if host == "standalone" { "standalone, key + account" } else { "workerd, key + account" },
        trail: Some(Trail::open(stack.folder())),
        client: on_an_account(&operator, url).await,
        process,
        token: None,
    });
    if host == "standalone" {
        let mut tokened = trust(&operator, &issuer).await;
        let audience = format!("{}{}", operator.door.url(), tokened.path);
        tokened.token.clear();
        let sign = move || issuer.sign(&issuer.claims("client-1", &audience));
        targets.push(Target {
            name: "standalone, JWT",
            trail: Some(Trail::open(stack.folder())),
            client: tokened,
            process,
            token: Some(Box::new(sign)),
        });
    }
    targets
}

/// The same server behind the account of somebody who has connected one: a second decision, a sealed credential, a header.
async fn on_an_account(operator: &Operator, url: &str) -> Client {
    let provider = Provider::start().await;
    provider.play("gitlab");
    operator.must(Method::PUT, "/providers/code", provider.settings("gitlab")).await;
    let server = json!({ "url": url, "trust": "first_party", "account": { "provider": "code" } });
    operator.toolbox("acting", &[("mine", server)]).await;
    operator.grant("worker", "toolbox/acting").await;
    let client = people::client_for(operator, "worker", "acting", "ann").await;
    let mut browser = people::signed_in(operator, "ann").await;
    let asked = client.call(TOOL, json!({})).await;
    people::connect(&mut browser, people::connect_url(&asked)).await;
    client
}

/// Makes an agent that signs in at an issuer.
async fn trust(operator: &Operator, issuer: &Issuer) -> Client {
    operator.trust(&issuer.url).await;
    operator.must(Method::PUT, "/agents/tokened", json!({ "oauthClient": "client-1" })).await;
    operator.grant("tokened", "toolbox/main").await;
    operator.client("main", "")
}

struct Cost {
    outcome: Outcome,
    /// Microseconds a call.
    cpu: f64,
    surplus: Option<i64>,
}

impl Target {
    async fn measure(&mut self, folder: &TempDir, era: &str, connections: usize, seconds: u64) -> Cost {
        if let Some(sign) = &self.token {
            self.client.token = sign();
        }
        self.probe(era).await;
        let ask = self.ask(era);
        wrk::run(folder.path(), &ask, connections, 1);
        tokio::time::sleep(SETTLED).await;
        let before = self.trail.as_ref().map(|trail| (trail.count(), trail.open_calls()));
        let used = cpu::of_tree(self.process);
        let outcome = wrk::run(folder.path(), &ask, connections, seconds);
        tokio::time::sleep(SETTLED).await;
        let mut surplus = None;
        if let Some((trail, (intents, open))) = self.trail.as_ref().zip(before) {
            let most = i64::try_from(connections).unwrap_or(i64::MAX);
            // Whoever hangs up while an intent is being written leaves it to the reaper; everybody else's gets an outcome.
            for attempt in 1.. {
                let open = trail.open_calls() - open;
                if open <= most {
                    break;
                }
                assert!(attempt < 200, "{}: {open} answered calls have no outcome", self.name);
                tokio::time::sleep(SETTLED).await;
            }
            let recorded = trail.count() - intents;
            let more = recorded - i64::try_from(outcome.calls).unwrap_or(i64::MAX);
            assert!((0..=most).contains(&more), "{}: {} calls, {recorded} intents", self.name, outcome.calls);
            surplus = Some(more);
        }
        let used = cpu::of_tree(self.process).saturating_sub(used);
        self.probe(era).await;
        Cost { outcome, cpu: used.as_secs_f64() * 1e6 / outcome.calls as f64, surplus }
    }

    /// One call, looked at: the right answer, by the way that is measured.
    async fn probe(&self, era: &str) {
        let (headers, body) = call(era);
        let answer = self.client.post(&headers, body).await;
        assert_eq!(answer.status, 200, "{}", self.name);
        let message = answer.last().await;
        assert!(mcp::text(&message).starts_with("Lorem ipsum"), "{}: {message}", self.name);
    }

    /// The same call, with the headers that [`Client::post`] sends.
    fn ask(&self, era: &str) -> Ask {
        let (mut headers, body) = call(era);
        headers.push(("content-type".into(), "application/json".into()));
        headers.push(("accept".into(), "application/json, text/event-stream".into()));
        if !self.client.token.is_empty() {
            headers.push(("authorization".into(), format!("Bearer {}", self.client.token)));
        }
        Ask { url: format!("{}{}", self.client.door.url(), self.client.path), headers, body }
    }
}

/// What is called, as headers and body.
fn call(era: &str) -> (Vec<(String, String)>, String) {
    let params = json!({ "name": TOOL, "arguments": { "key": "value" } });
    let (headers, body) = if era == mcp::MODERN {
        mcp::modern("tools/call", params)
    } else {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        (vec![("mcp-protocol-version".to_owned(), era.to_owned())], body)
    };
    (headers, body.to_string())
}

/// The audit trail, read behind the gateway's back.
struct Trail(Session);

impl Trail {
    fn open(folder: &Path) -> Self {
        let reader = databases(folder)
            .into_iter()
            .filter_map(|path| Database::open(&path).ok()?.reader().ok())
            .find(|reader| {
                reader.run(&Batch::read([Statement::new("SELECT 1 FROM audit LIMIT 1", [])])).is_ok()
            });
        Self(reader.expect("the gateway has a trail"))
    }

    fn number(&self, sql: &'static str) -> i64 {
        let rows = self.0.run(&Batch::read([Statement::new(sql, [])])).expect("the trail can be read");
        rows.first().and_then(|rows| rows.first()?.integer(0).ok()).expect("a count is a number")
    }

    /// Intents that are younger than the longest call, which has an index.
    fn count(&self) -> i64 {
        self.number("SELECT count(*) FROM audit WHERE due_at IS NOT NULL")
    }

    /// Intents without an outcome.
    fn open_calls(&self) -> i64 {
        self.number("SELECT count(*) FROM audit WHERE phase = 'intent'")
            - self.number("SELECT count(*) FROM audit WHERE intent_id IS NOT NULL")
    }
}

fn databases(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(databases(&path));
        } else if path.extension().is_some_and(|kind| kind == "sqlite") {
            found.push(path);
        }
    }
    found
}
