//! `ambit` at a terminal: the real program against a running gateway.

#![expect(
    clippy::unused_async,
    reason = "a step of a suite is a future; most of these wait for a program instead"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Output, Stdio};

use http::Method;
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::fixture::Remote;
use tests::identity_provider::IdentityProvider;
use tests::operator::Operator;
use tests::programs::program;
use tests::stack::{Host, Stack, run, step};

/// Somebody at a terminal, with a home of their own.
struct Terminal {
    home: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Terminal {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    /// With a key for an organisation in its environment.
    fn of(operator: &Operator) -> Self {
        let variables = vec![
            ("AMBIT_GATEWAY", operator.door.url().to_owned()),
            ("AMBIT_ORG", operator.org.clone()),
            ("AMBIT_KEY", operator.key.clone()),
        ];
        Self { variables, ..Self::new() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("ambit"));
        for name in ["AMBIT_GATEWAY", "AMBIT_ORG", "AMBIT_KEY", "AMBIT_KEY_FILE"] {
            command.env_remove(name);
        }
        command.env("XDG_CONFIG_HOME", self.home.path()).envs(self.variables.clone()).args(arguments);
        command
    }

    /// Runs it, with this on standard input.
    fn run_with(&self, input: &str, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = streams.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// What it says on standard output, if it ends well.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run_with("", arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// The same, without spaces at the ends of lines, and without what differs from run to run.
    fn shows(&self, arguments: &[&str]) -> String {
        self.says(arguments).trim_end().to_owned()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.says(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// What it complains of, if it ends so.
    fn complains(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run_with("", arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        text(&output.stderr)
    }

    fn credentials(&self) -> std::path::PathBuf {
        self.home.path().join("ambit/credentials.json")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn what_makes_no_sense_is_told_apart_from_what_fails() {
    let mut terminal = Terminal::new();
    let told = terminal.complains(2, &["agent", "list", "--gateway", "http://127.0.0.1:9", "--org", "acme"]);
    assert!(told.contains("run `ambit login http://127.0.0.1:9`, put a key into AMBIT_KEY"), "{told}");
    terminal.variables.push(("AMBIT_KEY", "ambit_pk_x".to_owned()));
    let told = terminal.complains(2, &["agent", "list"]);
    assert!(told.contains("there is no organisation: name one with --org"), "{told}");
    for nonsense in [
        &["server", "add", "x", "--org", "acme"][..],
        &["server", "add", "x", "--url", "https://a.test", "--image", "a@sha256:0"],
        &["server", "add", "x", "--image", "a:latest"],
        &["key", "create", "--org", "acme"],
        &["key", "create", "--user", "ann", "--scope", "mcp:read"],
        &["tool", "approve", "s", "t", "--flags", "harmless"],
        &["agent", "allow", "worker"],
        &["agent", "list", "--gateway", "ftp://a.test", "--org", "acme"],
        &["agent", "list", "--gateway", "https://a.test/api/v1", "--org", "acme"],
        &["no-such-thing"],
    ] {
        let told = terminal.complains(2, nonsense);
        assert!(told.starts_with("error: "), "{nonsense:?}: {told}");
    }
    // Nobody answers there.
    let told = terminal.complains(1, &["agent", "list", "--gateway", "http://127.0.0.1:9", "--org", "acme"]);
    assert!(told.contains("http://127.0.0.1:9"), "{told}");
}

#[test]
fn shells_read_the_completions() {
    let terminal = Terminal::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = terminal.says(&["completion", shell]);
        assert!(script.contains("disallow") && script.contains("key-file"), "{shell}");
    }
    let mut bash =
        Command::new("bash").args(["-n"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(terminal.says(&["completion", "bash"]).as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn an_organisation_from_a_terminal() {
    run(async {
        let stack = Stack::start(Host::Standalone).await;
        let operator = stack.organisation().await;
        let terminal = Terminal::of(&operator);
        let remote = Remote::start().await;
        step("people and teams", people(&terminal)).await;
        step("servers, toolboxes, tools", servers(&terminal, &remote)).await;
        step("agents and grants", agents(&terminal)).await;
        step("keys", keys(&terminal, &operator)).await;
        step("clients", clients(&terminal)).await;
        step("identity providers", idps(&terminal)).await;
        step("who asks, and what they may not", rights(&terminal, &operator)).await;
        step("organisations", orgs(&terminal, &operator)).await;
        step("keys of the vault", vault(&terminal, &operator)).await;
    });
}

async fn vault(terminal: &Terminal, operator: &Operator) {
    let org = operator.org.as_str();
    assert!(terminal.shows(&["vault", "status", org]).starts_with("no keys"));
    assert!(terminal.shows(&["vault", "rotate", org]).starts_with(&format!("`{org}` seals under version 1")));
    assert_eq!(terminal.json(&["vault", "rotate", org])[0]["version"], 2);
    let versions = terminal.json(&["vault", "status", org]);
    assert_eq!((&versions[1]["version"], &versions[1]["newest"]), (&json!(2), &json!(true)));
    let status = terminal.shows(&["vault", "status"]);
    assert!(
        status.starts_with("root key  local#") && status.contains("to move   0 keys, 0 values"),
        "{status}"
    );
    let told = terminal.shows(&["vault", "rewrap"]);
    assert_eq!(told, "moved 0 keys and 0 values; 0 keys and 0 values left");
    assert_eq!(terminal.json(&["vault", "rewrap", "--batch", "5"])["failed"], json!([]));
    let told = terminal.complains(2, &["vault", "shred", org]);
    assert!(told.contains("say `--yes`"), "{told}");
    let told = terminal.says(&["vault", "shred", org, "--yes"]);
    assert!(told.starts_with(&format!("2 keys of `{org}` are deleted")), "{told}");
    assert!(terminal.complains(1, &["vault", "rotate", "nobody"]).contains("no organisation `nobody`"));
    terminal.complains(2, &["vault", "rotate"]);
}

async fn people(terminal: &Terminal) {
    assert_eq!(terminal.shows(&["user", "list"]), "no users");
    terminal.says(&[
        "user",
        "create",
        "ann",
        "--email",
        "ann@acme.test",
        "--role",
        "owner",
        "--role",
        "auditor",
    ]);
    terminal.says(&["user", "create", "bob"]);
    terminal.says(&["team", "create", "ops", "--user", "ann"]);
    terminal.says(&["team", "add", "ops", "--user", "bob"]);
    let expected = "NAME  STATUS  ROLES           TEAMS  EMAIL\n\
                    ann   active  auditor, owner  ops    ann@acme.test\n\
                    bob   active  -               ops    -";
    assert_eq!(terminal.shows(&["user", "list"]), expected);
    assert_eq!(terminal.shows(&["team", "list"]), "NAME  USERS     AGENTS  TEAMS\nops   ann, bob  -       -");
    terminal.says(&["team", "remove", "ops", "--user", "ann"]);
    assert_eq!(terminal.json(&["team", "show", "ops"])["users"], json!(["bob"]));
    // Parts that are not given stay.
    terminal.says(&["user", "set", "ann", "--role", "owner"]);
    let ann = terminal.json(&["user", "show", "ann"]);
    assert_eq!((&ann["roles"], &ann["email"]), (&json!(["owner"]), &json!("ann@acme.test")));
    assert_eq!(terminal.shows(&["user", "suspend", "bob"]), "user `bob` is suspended");
    assert_eq!(terminal.json(&["user", "list", "--status", "suspended"]).as_array().unwrap().len(), 1);
    assert_eq!(terminal.shows(&["user", "resume", "bob"]), "user `bob` is active");
    let told = terminal.complains(1, &["user", "create", "bob"]);
    assert_eq!(told, "error: there is a user `bob` already: change it with `ambit user set`\n");
    let told = terminal.complains(2, &["user", "set", "bob"]);
    assert!(told.contains("say what to change: see `ambit user set --help`"), "{told}");
    let invited = terminal.says(&["user", "invite", "cyd", "--role", "member", "--team", "ops"]);
    assert!(
        invited.starts_with("cyd signs in here, once, until ") && invited.contains("/sign-in/link/"),
        "{invited}"
    );
    assert!(terminal.json(&["user", "link", "ann"])["url"].as_str().unwrap().contains("/sign-in/link/"));
    assert_eq!(terminal.shows(&["user", "sign-out", "ann"]), "user `ann` is signed in nowhere");
    assert_eq!(terminal.shows(&["user", "delete", "cyd"]), "user `cyd` is deleted");
    let told = terminal.complains(1, &["user", "show", "cyd"]);
    assert_eq!(told, "error: no user `cyd`\n");
}

async fn servers(terminal: &Terminal, remote: &Remote) {
    let url = remote.server()["url"].as_str().unwrap().to_owned();
    terminal.says(&["server", "add", "fixture", "--url", &url, "--trust", "verified"]);
    let told = terminal.complains(2, &["server", "inspect", "fixture"]);
    assert!(told.contains("`ambit toolbox add TOOLBOX fixture`"), "{told}");
    let digest = format!("acme/tool:1@sha256:{}", "0".repeat(64));
    terminal.says(&[
        "server",
        "add",
        "boxed",
        "--image",
        &digest,
        "--env",
        "LEVEL=debug",
        "--",
        "serve",
        "--fast",
    ]);
    let boxed = terminal.json(&["server", "show", "boxed"]);
    assert_eq!(boxed["workload"]["command"], json!(["serve", "--fast"]));
    assert_eq!(boxed["workload"]["env"], json!({ "LEVEL": "debug" }));
    terminal.says(&["toolbox", "create", "main", "--server", "fixture"]);
    terminal.says(&["toolbox", "add", "main", "boxed=b"]);
    let servers = &terminal.json(&["toolbox", "show", "main"])["servers"];
    assert_eq!((&servers[0]["name"], &servers[1]["prefix"]), (&json!("fixture"), &json!("b")));
    terminal.says(&["toolbox", "remove", "main", "boxed"]);
    assert_eq!(terminal.shows(&["toolbox", "list"]), "NAME  SERVERS\nmain  fixture");
    let expected = format!(
        "NAME     STATUS  TRUST      TOOLBOXES  SOURCE\n\
         boxed    active  untrusted  -          acme/tool:1\n\
         fixture  active  verified   main       {url}"
    );
    assert_eq!(terminal.shows(&["server", "list"]), expected);
    terminal.says(&["server", "delete", "boxed"]);
    terminal.says(&["server", "set", "fixture", "--trust", "first_party"]);

    // Looked at, then approved as the server says, then judged one by one.
    let seen = terminal.run_with("", &["server", "inspect", "fixture"]);
    assert!(text(&seen.stderr).contains("ambit server inspect fixture --approve declared"), "{seen:?}");
    assert!(
        text(&seen.stdout).lines().any(|line| line.starts_with("echo ") && line.contains(" new ")),
        "{seen:?}"
    );
    let seen = terminal.says(&["server", "inspect", "fixture", "--approve", "declared"]);
    assert!(
        seen.lines().any(|line| line.starts_with("echo ") && line.ends_with(" approved  readOnly")),
        "{seen}"
    );
    terminal.says(&["tool", "approve", "fixture", "add", "--flags", "destructive,idempotent"]);
    let flags = json!({ "readOnly": false, "destructive": true, "idempotent": true, "openWorld": false });
    assert_eq!(terminal.json(&["tool", "show", "fixture", "add"])["flags"], flags);
    terminal.says(&["tool", "quarantine", "fixture", "add"]);
    let tools = terminal.json(&["tool", "list", "fixture", "--state", "quarantined"]);
    assert_eq!((tools.as_array().unwrap().len(), &tools[0]["name"]), (1, &json!("add")));
    assert_eq!(terminal.json(&["tool", "show", "fixture", "add"])["flags"], flags, "they stay");
}

async fn agents(terminal: &Terminal) {
    terminal.says(&["agent", "create", "worker", "--owner", "ann", "--client", "https://claude.ai/*"]);
    terminal.says(&["agent", "create", "bot"]);
    terminal.says(&[
        "agent",
        "allow",
        "worker",
        "--client",
        "ambit_client_1",
        "--client",
        "https://claude.ai/*",
    ]);
    let expected = "NAME    STATUS  OWNER  TEAMS  CLIENTS\n\
                    bot     active  -      -      -\n\
                    worker  active  ann    -      ambit_client_1, https://claude.ai/*";
    assert_eq!(terminal.shows(&["agent", "list"]), expected);
    terminal.says(&["agent", "disallow", "worker", "--client", "https://claude.ai/*"]);
    let worker = terminal.json(&["agent", "set", "worker", "--no-owner"]);
    assert_eq!((&worker["clients"], &worker["owner"]), (&json!(["ambit_client_1"]), &Value::Null));
    assert_eq!(terminal.shows(&["agent", "suspend", "bot"]), "agent `bot` is suspended");
    assert_eq!(terminal.json(&["agent", "suspend", "bot"])["status"], "suspended");
    terminal.says(&["agent", "delete", "bot"]);

    terminal.says(&["grant", "add", "agent:worker", "toolbox:main"]);
    terminal.says(&["grant", "add", "everybody", "tool:fixture:echo"]);
    let grants = terminal.shows(&["grant", "list"]);
    let rows: Vec<&str> =
        grants.lines().map(|line| line.split("  operator").next().unwrap().trim_end()).collect();
    assert_eq!(rows[1..], ["agent:worker  toolbox:main", "everybody     tool:fixture:echo"], "{grants}");
    assert_eq!(terminal.json(&["grant", "list", "--holder", "everybody"]).as_array().unwrap().len(), 1);
    let told = terminal.shows(&["grant", "revoke", "everybody", "tool:fixture:echo"]);
    assert_eq!(told, "everybody may not use tool:fixture:echo by grant");
    let told = terminal.complains(1, &["grant", "add", "everyone", "toolbox:main"]);
    assert!(told.contains("a holder is `agent:{name}`, `team:{name}` or `everybody`"), "{told}");
}

async fn keys(terminal: &Terminal, operator: &Operator) {
    let made =
        terminal.run_with("", &["key", "create", "--agent", "worker", "--user", "ann", "--expires", "30d"]);
    assert_eq!(text(&made.stderr), "Keep the key now: nobody can show it again.\n");
    let made = text(&made.stdout);
    let (id, key) = made.lines().nth(1).unwrap().split_once("  ").unwrap();
    let client = operator.client("main", key);
    assert!(client.names("tools/list", "tools", "name").await.contains(&"echo".to_owned()));
    let kept = terminal.json(&["key", "show", id]);
    assert_eq!((&kept["agent"], &kept["user"]), (&json!("worker"), &json!("ann")));
    assert!(!kept.to_string().contains(key), "its secret is gone");

    let narrow = ["key", "create", "--agent", "worker", "--toolbox", "main", "--scope", "mcp:read"];
    assert_eq!(
        terminal.json(&["key", "show", terminal.json(&narrow)["id"].as_str().unwrap()])["toolbox"],
        "main"
    );
    let new = terminal.json(&["key", "rotate", id, "--overlap", "10m"]);
    let renewed = operator.client("main", new["key"].as_str().unwrap());
    for client in [&client, &renewed] {
        assert_eq!(client.modern("tools/list", json!({})).await.status, 200);
    }
    let id = new["id"].as_str().unwrap();
    assert_eq!(terminal.shows(&["key", "revoke", id]), format!("key `{id}` is worth nothing any more"));
    assert_eq!(renewed.modern("tools/list", json!({})).await.status, 401);
    let list = terminal.shows(&["key", "list", "--agent", "worker"]);
    assert!(list.starts_with("ID ") && list.lines().count() >= 3 && !list.contains(key), "{list}");
    let told = terminal.complains(1, &["key", "revoke", "key_nonsense"]);
    assert!(told.starts_with("error: "), "{told}");
}

async fn idps(terminal: &Terminal) {
    let provider = IdentityProvider::start().await;
    let add = [
        "idp",
        "add",
        "work",
        "--issuer",
        provider.url(),
        "--client-id",
        "ambit",
        "--client-secret-file",
        "-",
    ];
    let added = terminal.run_with("a-secret\n", &[&add[..], &["--domain", "acme.test"]].concat());
    assert!(added.status.success() && !text(&added.stdout).contains("a-secret"), "{added:?}");
    let url = provider.url();
    let gap = " ".repeat(url.len() - "ISSUER".len());
    let expected = format!("NAME  ISSUER{gap}  CLIENT ID  ADMITS\nwork  {url}  ambit      known");
    assert_eq!(terminal.shows(&["idp", "list"]), expected);
    let set = terminal.json(&["idp", "set", "work", "--admits", "everyone"]);
    assert_eq!((&set["admits"], &set["domains"]), (&json!("everyone"), &json!(["acme.test"])));
    assert_eq!(set["hasClientSecret"], true, "it stays");
    terminal.complains(2, &["idp", "set", "work", "--admits", "anybody"]);
    assert_eq!(terminal.shows(&["idp", "delete", "work"]), "idp `work` is deleted");
    assert_eq!(terminal.shows(&["idp", "list"]), "no identity providers");
}

async fn clients(terminal: &Terminal) {
    let made = terminal.json(&["client", "create", "ci", "--agent", "worker"]);
    assert!(made["clientSecret"].as_str().is_some_and(|secret| secret.len() > 30), "{made}");
    let id = made["clientId"].as_str().unwrap();
    let set = terminal.json(&["client", "set", "ci", "--title", "Continuous integration"]);
    assert_eq!(
        (&set["title"], &set["agent"], &set["hasSecret"]),
        (&json!("Continuous integration"), &json!("worker"), &json!(true))
    );
    assert_ne!(terminal.json(&["client", "rotate", "ci"])["clientSecret"], made["clientSecret"]);
    let list = terminal.shows(&["client", "list"]);
    assert!(
        list.starts_with("NAME  CLIENT ID") && list.contains(id) && list.contains("client_secret_basic"),
        "{list}"
    );
    assert_eq!(terminal.shows(&["client", "authorizations"]), "no authorizations");
    assert_eq!(terminal.shows(&["client", "delete", "ci"]), "client `ci` is deleted");
}

async fn rights(terminal: &Terminal, operator: &Operator) {
    let me = terminal.shows(&["whoami"]);
    assert!(me.contains("user        @operator"), "{me}");
    let cyd = operator.person("dan", &["auditor"]).await;
    let terminal = Terminal::of(&cyd);
    let me = terminal.json(&["whoami"]);
    assert_eq!((&me["user"], &me["org"]), (&json!("dan"), &json!(cyd.org)));
    let told = terminal.complains(1, &["agent", "create", "mine"]);
    assert!(told.contains("your roles do not allow `administer` here: ask an owner"), "{told}");
    let mut wrong = Terminal::of(&cyd);
    wrong.variables.push(("AMBIT_KEY", "ambit_pk_nonsense".to_owned()));
    let told = wrong.complains(1, &["whoami"]);
    assert!(told.contains("sign in again with `ambit login`, or show another key"), "{told}");
}

async fn orgs(terminal: &Terminal, operator: &Operator) {
    assert_eq!(terminal.json(&["org", "show"])["name"], operator.org.as_str());
    terminal.says(&["org", "create", "globex"]);
    let names = terminal.json(&["org", "list"]);
    assert!(names.as_array().unwrap().iter().any(|org| org["name"] == "globex"), "{names}");
    assert_eq!(terminal.shows(&["org", "suspend", "globex"]), "org `globex` is suspended");
    assert_eq!(terminal.shows(&["org", "resume", "globex"]), "org `globex` is active");
}

#[test]
fn a_key_is_kept() {
    run(async {
        let stack = Stack::start(Host::Standalone).await;
        let operator = stack.organisation().await;
        let ann = operator.person("ann", &["owner"]).await;
        let bob = operator.person("bob", &["auditor"]).await;
        let (url, terminal) = (stack.door.url().to_owned(), Terminal::new());
        let kept = terminal.run_with(&format!("{}\n", ann.key), &["login", &url, "--key", "-"]);
        assert_eq!(text(&kept.stdout), format!("you are `ann` of `{}` at {url}\n", ann.org), "{kept:?}");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &fs::metadata(terminal.credentials()).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);

        // Gateway and organisation are the usual ones from now on; for `ambit policy` too.
        assert_eq!(terminal.json(&["whoami"])["user"], "ann");
        terminal.says(&["policy", "history"]);
        // What is said for one command wins.
        let mut other = terminal.command(&["whoami", "--json"]);
        let other = other.env("AMBIT_KEY", &bob.key).output().unwrap();
        assert!(text(&other.stdout).contains("\"bob\""), "{other:?}");
        let file = terminal.home.path().join("bob.key");
        fs::write(&file, &bob.key).unwrap();
        assert_eq!(terminal.json(&["whoami", "--key-file", file.to_str().unwrap()])["user"], "bob");

        // Wrong keys and wrong organisations are not kept.
        let wrong = terminal.run_with("ambit_pk_nonsense", &["login", &url, "--key", "-"]);
        assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
        let wrong = terminal.run_with(&bob.key, &["login", &url, "--key", "-", "--org", "globex"]);
        assert!(text(&wrong.stderr).contains("not of `globex`"), "{wrong:?}");
        assert_eq!(terminal.json(&["whoami"])["user"], "ann");

        // Others can't read it, or it is not used.
        let exposed = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::set_permissions(terminal.credentials(), exposed).unwrap();
        assert!(terminal.complains(1, &["whoami"]).contains("run `chmod 600` on it"));
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(terminal.credentials(), private).unwrap();

        let told = terminal.says(&["logout"]);
        assert!(told.contains("it is still good: `ambit key revoke` ends it"), "{told}");
        assert!(!fs::read_to_string(terminal.credentials()).unwrap().contains(&ann.key));
        assert!(terminal.complains(2, &["whoami", "--gateway", &url]).contains("nobody is signed in"));
    });
}

#[test]
fn signing_in_with_a_browser() {
    run(async {
        let stack = Stack::start(Host::Standalone).await;
        let operator = stack.organisation().await;
        operator.must(Method::PUT, "/users/ann", json!({ "roles": ["owner"] })).await;
        let made = operator.must(Method::POST, "/users/ann/links", json!({})).await;
        let mut browser = Browser::new(&operator.door);
        let page = browser.open(made["url"].as_str().unwrap()).await;
        browser.press(&page, "Sign in", &[]).await;
        let (url, terminal) = (stack.door.url().to_owned(), Terminal::new());

        // Somebody says no.
        let (child, page) = begin(&terminal, &url);
        let page = browser.open(&page).await;
        browser.press(&page, "No", &[]).await;
        let (code, _, complained) = child.end();
        assert_eq!(code, Some(1));
        assert!(complained.contains("error: you were not signed in: "), "{complained}");
        assert!(!terminal.credentials().exists());

        // And yes.
        let (child, page) = begin(&terminal, &url);
        let page = browser.open(&page).await;
        let done = browser.press(&page, "Let it in", &[]).await;
        assert!(done.text().contains("you can close this page"), "{}", done.text());
        let (_, said, complained) = child.end();
        assert_eq!(said, format!("you are `ann` of `{}` at {url}\n", operator.org), "{complained}");
        assert_eq!(terminal.json(&["whoami"])["user"], "ann");
        terminal.says(&["agent", "create", "worker"]);

        // An old token is renewed, once, though two ask at the same time; and the new one is kept.
        let mut kept: Value =
            serde_json::from_str(&fs::read_to_string(terminal.credentials()).unwrap()).unwrap();
        let before = kept["gateways"][&url]["proof"]["tokens"].clone();
        kept["gateways"][&url]["proof"]["tokens"]["expiresAt"] = json!(1);
        fs::write(terminal.credentials(), kept.to_string()).unwrap();
        let children: Vec<_> = (0..4)
            .map(|_| {
                terminal.command(&["whoami"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{output:?}");
        }
        let kept: Value = serde_json::from_str(&fs::read_to_string(terminal.credentials()).unwrap()).unwrap();
        let after = &kept["gateways"][&url]["proof"]["tokens"];
        assert!(after["access"] != before["access"] && after["refresh"] != before["refresh"], "{after}");

        // Signed out, the token is worth nothing, here and there.
        assert_eq!(terminal.says(&["logout"]), format!("you are signed out of {url}\n"));
        let mut thief = Terminal::new();
        thief.variables.push(("AMBIT_GATEWAY", url.clone()));
        thief.variables.push(("AMBIT_KEY", after["access"].as_str().unwrap().to_owned()));
        thief.complains(1, &["whoami"]);
        assert!(terminal.complains(2, &["whoami", "--gateway", &url]).contains("nobody is signed in"));
    });
}

/// Begins to sign in. Answers the page to open.
fn begin(terminal: &Terminal, url: &str) -> (Login, String) {
    let mut command = terminal.command(&["login", url]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let page = lines.find_map(|line| Some(line.trim().to_owned()).filter(|line| line.starts_with("http")));
    (Login(child, std::thread::spawn(move || lines.collect())), page.expect("it prints the page"))
}

/// A sign-in under way, and what it will have complained of.
struct Login(std::process::Child, std::thread::JoinHandle<Vec<String>>);

impl Login {
    /// How it ended: its code, what it said, what it complained of.
    fn end(self) -> (Option<i32>, String, String) {
        let output = self.0.wait_with_output().unwrap();
        (output.status.code(), text(&output.stdout), self.1.join().unwrap().join("\n"))
    }
}
