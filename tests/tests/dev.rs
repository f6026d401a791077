//! `ambit dev`, as somebody meets it on their first day; and `ambit migrate`.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::door::Door;
use tests::fixture::{Remote, docker_host};
use tests::mcp::{Client, text};
use tests::operator::Operator;
use tests::programs::{free_port, program};
use tests::stack::{Process, run};

/// A running `ambit dev`, and its ready line.
struct Dev {
    process: Process,
    ready: Value,
}

impl Dev {
    fn start(data: &Path, docker: &str) -> Self {
        let mut child = command(data, docker).arg("--ready-json").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("not ready ({error}): {line}"));
        Self { process: Process(child), ready }
    }

    fn get(&self, key: &str) -> &str {
        self.ready[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {}", self.ready))
    }

    fn door(&self) -> Door {
        Door::socket(self.get("mcp_url").strip_suffix("/mcp/demo/demo").unwrap())
    }

    fn agent(&self) -> Client {
        Client { door: self.door(), path: "/mcp/demo/demo".into(), token: self.get("api_key").into() }
    }

    fn operator(&self, data: &Path) -> Operator {
        let key = std::fs::read_to_string(data.join("operator.key")).unwrap();
        Operator { door: self.door(), key: key.trim().into(), org: "demo".into() }
    }

    /// Asks it to stop, as Ctrl-C does, and waits for that.
    fn stop(mut self) {
        Command::new("kill").args(["-INT", &self.process.0.id().to_string()]).status().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.process.0.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it does not stop");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(self.process.0.wait().unwrap().success());
    }
}

fn command(data: &Path, docker: &str) -> Command {
    let mut command = Command::new(program("ambit"));
    command.args(["dev", "--listen", "127.0.0.1:0", "--docker", docker, "--data"]).arg(data);
    command
}

#[test]
fn the_first_day() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let dev = Dev::start(&data, &docker_host());
        assert_eq!(dev.get("data_dir"), data.canonicalize().unwrap().to_str().unwrap());
        assert!(dev.get("api_url").ends_with("/api/v1"));
        for key in ["root.key", "operator.key", "demo.key"] {
            assert_eq!(
                std::fs::metadata(data.join(key)).unwrap().permissions().mode() & 0o777,
                0o600,
                "{key}"
            );
        }

        // The owner signs in by the link that is printed.
        let mut browser = Browser::new(&dev.door());
        let page = browser.open(dev.get("sign_in_url")).await;
        let account = browser.press(&page, "Sign in as owner", &[]).await;
        assert!(
            account.url.path() == "/account" && account.text().contains("Roles owner"),
            "{}",
            account.text()
        );

        // A real third-party server, in a container, in both eras.
        let agent = dev.agent();
        assert_eq!(text(&agent.call("echo", json!({ "message": "hello" })).await), "Echo: hello");
        let answer = agent.legacy(
            "2025-06-18",
            "tools/call",
            json!({ "name": "echo", "arguments": { "message": "hi" } }),
        );
        assert_eq!(text(&answer.await.last().await), "Echo: hi");
        let trail = dev.operator(&data).trail().await;
        let intents =
            trail.iter().filter(|event| event["phase"] == "intent" && event["method"] == "tools/call");
        assert_eq!(intents.count(), 2);

        // The author edits the policy file while it runs.
        let file = data.join("policies/demo.cedar");
        let policy = std::fs::read_to_string(&file).unwrap();
        let forbid =
            r#"@id("no-echo") forbid (principal, action, resource == Ambit::Tool::"everything/echo");"#;
        std::fs::write(&file, format!("{policy}\n{forbid}\n")).unwrap();
        until(async || agent.call("echo", json!({ "message": "x" })).await["error"]["code"] == -32602).await;
        assert!(!agent.names("tools/list", "tools", "name").await.contains(&"echo".to_owned()));
        // A file that does not check changes nothing.
        std::fs::write(&file, "permit (principal, action, resource);").unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(agent.call("echo", json!({ "message": "x" })).await["error"]["code"], -32602);
        std::fs::write(&file, &policy).unwrap();
        until(async || agent.call("echo", json!({ "message": "x" })).await.get("result").is_some()).await;

        // Started again, it finds its data.
        let key = dev.get("api_key").to_owned();
        dev.stop();
        let again = Dev::start(&data, &docker_host());
        assert_eq!(again.get("api_key"), key);
        assert_eq!(text(&again.agent().call("echo", json!({ "message": "again" })).await), "Echo: again");
        again.stop();
    });
}

#[test]
fn without_docker_it_says_so_and_serves_remote_servers() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = format!("unix://{}/no.sock", folder.path().display());
        let data = folder.path().join("data");
        let output =
            Killed(command(&data, &nowhere).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
                .until("Ctrl-C stops it");
        assert!(
            output.contains("docker version") && output.contains("no.sock"),
            "it says what is missing: {output}"
        );
        assert!(output.contains("servers/mine"), "and how to go on: {output}");

        let dev = Dev::start(&data, &nowhere);
        let remote = Remote::start().await;
        let operator = dev.operator(&data);
        operator.toolbox("demo", &[("mine", remote.server())]).await;
        assert_eq!(text(&dev.agent().call("echo", json!({ "text": "from afar" })).await), "from afar");
        operator.must(Method::GET, "/toolboxes/demo", Value::Null).await;
        dev.stop();
    });
}

#[test]
fn the_first_start_of_a_deployment_makes_an_owner() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let serve = |port: u16| {
            let log = folder.path().join(format!("{port}.log"));
            let child = Command::new(program("ambit"))
                .args(["serve", "--org", "acme", "--listen", &format!("127.0.0.1:{port}"), "--data"])
                .arg(folder.path().join("data"))
                .stdout(Stdio::null())
                .stderr(std::fs::File::create(&log).unwrap())
                .spawn()
                .unwrap();
            (Process(child), log)
        };
        let port = free_port();
        let (process, log) = serve(port);
        until(async || std::fs::read_to_string(&log).unwrap().contains("serving")).await;
        let told = std::fs::read_to_string(&log).unwrap();
        let link = told.split_whitespace().find(|word| word.contains("/sign-in/link/")).unwrap();
        let mut browser = Browser::new(&Door::socket(&format!("http://127.0.0.1:{port}")));
        let page = browser.open(link).await;
        let account = browser.press(&page, "Sign in as owner", &[]).await;
        assert!(account.text().contains("Organisation acme Roles owner"), "{}", account.text());
        drop(process);

        let (_process, log) = serve(free_port());
        until(async || std::fs::read_to_string(&log).unwrap().contains("serving")).await;
        assert!(!std::fs::read_to_string(&log).unwrap().contains("/sign-in/"), "once");
    });
}

#[test]
fn migrations_go_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let migrate = |more: &[&str]| {
        let output = Command::new(program("ambit"))
            .args(["migrate", "--data"])
            .arg(folder.path())
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let all = schemas::sql::MIGRATIONS.len();
    assert!(migrate(&[]).contains(&format!("{all} migrations applied")));
    assert!(migrate(&[]).contains("0 migrations applied"));
    assert!(migrate(&["--down-to", "0"]).contains(&format!("{all} migrations taken back")));
    assert!(migrate(&[]).contains(&format!("{all} migrations applied")));
}

async fn until(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..100 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it does not come about");
}

/// A process whose output is read up to a word, and which is killed then.
struct Killed(Child);

impl Killed {
    fn until(mut self, word: &str) -> String {
        let mut seen = String::new();
        for line in BufReader::new(self.0.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            seen.push_str(&line);
            seen.push('\n');
            if line.contains(word) {
                break;
            }
        }
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        let mut errors = String::new();
        std::io::Read::read_to_string(&mut self.0.stderr.take().unwrap(), &mut errors).unwrap();
        seen + &errors
    }
}
