//! A call of a stdio server: in a container, through the provisioner, and as a child process of our own.

use std::cell::{Cell as Shared, RefCell};
use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use provisioner::SharedKey;
use schemas::ids::Timestamp;
use schemas::provisioner::SIGNATURE_HEADER;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::fixture::{self, docker_host};
use tests::mcp;
use tests::programs::{free_port, program, unique};
use tests::stack::{Process, Stack};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::oneshot;

use crate::client::Connection;
use crate::cpu;
use crate::report::{Cell, Table};

/// A provisioner of our own, and one workload of it.
pub(crate) struct Rig {
    process: Process,
    port: u16,
    key: SharedKey,
    org: String,
    spec: Value,
    _folder: TempDir,
}

impl Rig {
    /// Starts it with these options.
    pub(crate) async fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let (port, org) = (free_port(), unique("load"));
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the system gives randomness");
        let path = folder.path().join("key");
        std::fs::write(&path, bytes).expect("the folder is ours");
        let child = Command::new(program("provisioner"))
            .args(["--listen", &format!("127.0.0.1:{port}"), "--host", &docker_host(), "--key-file"])
            .arg(path)
            .args(options)
            .env("RUST_LOG", "warn")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it was built just now");
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut spec = fixture::stdio("modern").await["workload"].take();
        for (member, value) in [("org", org.as_str()), ("toolbox", "main"), ("server", "fixture")] {
            spec[member] = value.into();
        }
        Self { process: Process(child), port, key: SharedKey::new(bytes), org, spec, _folder: folder }
    }

    /// A connection to it.
    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.port).await
    }

    /// A signed request about the workload.
    pub(crate) async fn ask(
        &self,
        line: &mut Connection,
        method: &str,
        below: &str,
        mut headers: Vec<(String, String)>,
        body: &str,
    ) -> (u16, String) {
        let path = format!("/v1/workloads/{}.main.fixture{below}", self.org);
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).expect("the system gives randomness");
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        headers.push((SIGNATURE_HEADER.into(), self.key.sign(method, &path, body.as_bytes(), now, nonce)));
        headers.push(("content-type".into(), "application/json".into()));
        headers.push(("accept".into(), "application/json, text/event-stream".into()));
        line.send(method, &path, &headers, body).await
    }

    /// Makes the workload so.
    pub(crate) async fn put(&self, line: &mut Connection) {
        let (status, body) = self.ask(line, "PUT", "", Vec::new(), &self.spec.to_string()).await;
        assert_eq!(status, 200, "{body}");
    }

    /// Calls its tool `echo`.
    pub(crate) async fn call(&self, line: &mut Connection) {
        let (headers, body) =
            mcp::modern("tools/call", json!({ "name": "echo", "arguments": { "text": "hello" } }));
        let (status, answer) = self.ask(line, "POST", "/mcp", headers, &body.to_string()).await;
        assert!(status == 200 && answer.contains(r#""text":"hello""#), "{status}: {answer}");
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", docker_host()).args(["rm", "--force"]).args(Stack::containers(&self.org));
        let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// Latency and CPU of both ways, one call at a time and 64 at a time.
pub(crate) async fn measure(quick: bool) -> Table {
    let time = Duration::from_secs(if quick { 3 } else { 8 });
    let columns = &["path", "at a time", "calls/s", "p50 ms", "p99 ms", "CPU us/call"];
    let title = format!(
        "A call of a stdio server, {} s a figure; CPU is that of the provisioner, or of the child process itself",
        time.as_secs()
    );
    let mut table = Table::new("bridge", title, columns);
    let child = Rc::new(Child::start());
    let rig = Rc::new(Rig::start(&[]).await);
    rig.put(&mut rig.connect().await).await;
    for at_a_time in [1, 64] {
        let mut lines = Vec::new();
        for _ in 0..at_a_time {
            lines.push((Rc::clone(&rig), rig.connect().await));
        }
        let direct = vec![Rc::clone(&child); at_a_time];
        let rows = [
            (
                "child process",
                child.process,
                run(direct, time, child.process, async |child| child.call().await).await,
            ),
            (
                "provisioner",
                rig.process.0.id(),
                run(lines, time, rig.process.0.id(), async |(rig, line)| rig.call(line).await).await,
            ),
        ];
        for (path, _, cost) in rows {
            table.row(vec![
                path.into(),
                at_a_time.into(),
                Cell::Number(cost.rate, 0),
                Cell::Number(cost.p50, 3),
                Cell::Number(cost.p99, 3),
                Cell::Number(cost.cpu, 1),
            ]);
        }
    }
    table
}

struct Cost {
    rate: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
}

/// Has each caller call again and again until the time is up, after half a second of warming up.
async fn run<C: 'static>(
    callers: Vec<C>,
    time: Duration,
    process: u32,
    call: impl AsyncFn(&mut C) + Copy + 'static,
) -> Cost {
    let took: Rc<RefCell<Vec<f64>>> = Rc::default();
    let started = Rc::new(Shared::new(Instant::now()));
    let until = Instant::now() + Duration::from_millis(500) + time;
    let mut tasks = Vec::new();
    for mut caller in callers {
        let took = Rc::clone(&took);
        tasks.push(tokio::task::spawn_local(async move {
            while Instant::now() < until {
                let begun = Instant::now();
                call(&mut caller).await;
                took.borrow_mut().push(begun.elapsed().as_secs_f64() * 1e3);
            }
        }));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    took.borrow_mut().clear();
    started.set(Instant::now());
    let used = cpu::of_tree(process);
    for task in tasks {
        task.await.expect("every call succeeds");
    }
    let used = cpu::of_tree(process).saturating_sub(used);
    let elapsed = started.get().elapsed().as_secs_f64();
    let mut took = took.take();
    took.sort_by(f64::total_cmp);
    let percentile = |percent: usize| took.get(took.len() * percent / 100).copied().unwrap_or_default();
    let calls = took.len() as f64;
    Cost {
        rate: calls / elapsed,
        p50: percentile(50),
        p99: percentile(99),
        cpu: used.as_secs_f64() * 1e6 / calls,
    }
}

/// The same server as a child process; calls are told apart by their ids.
struct Child {
    process: u32,
    input: tokio::sync::Mutex<ChildStdin>,
    waiting: Rc<RefCell<HashMap<u64, oneshot::Sender<Value>>>>,
    last: Shared<u64>,
    _handle: tokio::process::Child,
}

impl Child {
    fn start() -> Self {
        let mut child = tokio::process::Command::new(program("fixture"))
            .args(["--stdio", "--era", "modern"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("it was built just now");
        let input = child.stdin.take().expect("it was asked for");
        let output = child.stdout.take().expect("it was asked for");
        let waiting = Rc::default();
        tokio::task::spawn_local(hand_out(output, Rc::clone(&waiting)));
        let process = child.id().expect("it was started just now");
        Self { process, input: tokio::sync::Mutex::new(input), waiting, last: Shared::new(0), _handle: child }
    }

    async fn call(&self) {
        let id = self.last.get() + 1;
        self.last.set(id);
        let (_, mut body) =
            mcp::modern("tools/call", json!({ "name": "echo", "arguments": { "text": "hello" } }));
        body["id"] = id.into();
        let (answer, answered) = oneshot::channel();
        self.waiting.borrow_mut().insert(id, answer);
        self.input.lock().await.write_all(format!("{body}\n").as_bytes()).await.expect("it reads");
        let answer = answered.await.expect("it answers");
        assert_eq!(mcp::text(&answer), "hello");
    }
}

/// Gives each answer to whoever waits for it.
async fn hand_out(output: ChildStdout, waiting: Rc<RefCell<HashMap<u64, oneshot::Sender<Value>>>>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let message: Value = serde_json::from_str(&line).expect("it speaks JSON");
        let id = message["id"].as_u64();
        if let Some(answer) = id.and_then(|id| waiting.borrow_mut().remove(&id)) {
            let _ = answer.send(message);
        }
    }
}
