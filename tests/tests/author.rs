//! The work of whoever writes policies, with the `ambit policy` that they use: on a directory, and against a running gateway.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use policies::{PolicySource, Scenario, SourceFile, compile, decide};
use schemas::inventory::Inventory;
use serde_json::{Value, json};
use tests::fixture::Remote;
use tests::mcp::text;
use tests::operator::Operator;
use tests::programs::program;
use tests::stack::{Host, Stack, run};

/// Runs `ambit policy` in a directory.
fn ambit(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program("ambit"));
    for name in ["AMBIT_GATEWAY", "AMBIT_ORG", "AMBIT_KEY", "AMBIT_KEY_FILE", "AMBIT_PROVER"] {
        command.env_remove(name);
    }
    command.arg("policy").args(arguments).current_dir(dir).output().unwrap()
}

/// What it prints, if it ends as expected.
fn says(dir: &Path, code: i32, arguments: &[&str]) -> String {
    let output = ambit(dir, arguments);
    let (told, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}:\n{told}\n{complained}");
    format!("{told}{complained}")
}

fn json_of(dir: &Path, code: i32, arguments: &[&str]) -> Value {
    let output = ambit(dir, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

const INCIDENTS: &str = r#"@id("oncall-incident-channels")
permit (
  principal == Ambit::Agent::"oncall",
  action in Ambit::Action::"callTool",
  resource == Ambit::Tool::"slack/post"
)
when
{
  context.args.hasTag("channel") &&
  context.args.getTag("channel") like "C-INC-*"
};
"#;

fn inventory() -> Value {
    let org = json!({ "id": "org_aaaaaaaaaaaaaaaaaaaaaaaaaa", "name": "acme" });
    let server = |name: &str| json!({ "name": name, "org": org, "toolbox": "dev", "status": "active", "trust": "verified" });
    let tool = |of: &str, name: &str, destructive: bool| {
        json!({
            "name": name, "server": server(of), "state": "approved", "definition": "0".repeat(64), "read_only": false,
            "destructive": destructive, "idempotent": false, "open_world": false,
        })
    };
    let agent = |name: &str, grants: Value| json!({ "name": name, "org": org, "status": "active", "owner": "ann", "grants": grants });
    json!({
        "v": 1,
        "org": org,
        "agents": [agent("oncall", json!({})), agent("bot", json!({ "servers": ["github"] }))],
        "users": [{ "name": "ann", "org": org, "status": "active", "roles": ["owner"] }],
        "servers": [server("slack"), server("github")],
        "tools": [tool("slack", "post", false), tool("github", "create_issue", false), tool("github", "delete_repo", true)],
    })
}

/// A directory with one policy and an inventory.
fn directory() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    fs::write(dir.join("oncall.cedar"), INCIDENTS).unwrap();
    fs::write(dir.join("inventory.json"), inventory().to_string()).unwrap();
    fs::create_dir(dir.join("cases")).unwrap();
    let cases = json!({
        "about": "who may post",
        "base": { "agent": "oncall", "user": "ann", "tool": "slack/post" },
        "cases": [
            { "name": "into an incident", "args": { "channel": "C-INC-7" },
              "expect": { "effect": "allow", "policies": ["oncall-incident-channels"] } },
            { "name": "elsewhere", "args": { "channel": "C-GENERAL" }, "expect": { "effect": "deny" } },
            { "name": "destroying needs a person", "agent": "bot", "tool": "github/delete_repo",
              "expect": { "effect": "deny", "policies": ["g4-approval"], "obligations": ["approval:user"] } },
        ],
    });
    fs::write(dir.join("cases/posting.json"), cases.to_string()).unwrap();
    folder
}

#[test]
fn a_directory_to_start_from() {
    let folder = tempfile::tempdir().unwrap();
    let told = says(folder.path(), 0, &["init", "policies"]);
    assert!(told.contains("ambit.cedarschema") && told.contains("policies.cedar"), "{told}");
    let dir = folder.path().join("policies");
    let settings: Value =
        serde_json::from_str(&fs::read_to_string(dir.join(".vscode/settings.json")).unwrap()).unwrap();
    assert_eq!(settings["cedar.schemaFile"], "ambit.cedarschema");
    assert!(says(&dir, 0, &["init"]).contains("all is there already"));
    assert!(says(&dir, 0, &["check"]).contains("ok: 1 file"));
    assert!(says(&dir, 2, &["check", "nowhere"]).contains("`ambit policy init nowhere` makes one"));
    let help = says(&dir, 0, &["--help"]);
    for word in ["edit", "check", "test", "replay", "publish", "rollback"] {
        assert!(help.contains(word), "{word}: {help}");
    }
}

#[test]
fn errors_as_a_compiler_tells_them() {
    let folder = directory();
    let dir = folder.path();
    assert!(says(dir, 0, &["check"]).contains("ok: 1 file"));
    let wrong = INCIDENTS.replace("like \"C-INC-*\"", "== 7");
    fs::write(dir.join("oncall.cedar"), &wrong).unwrap();
    let told = says(dir, 1, &["check"]);
    assert!(told.contains("oncall.cedar:10:3"), "{told}");
    assert!(told.contains("context.args.getTag(\"channel\") == 7"), "the line of the source: {told}");
    let findings = json_of(dir, 1, &["check", "--json"]);
    assert_eq!((&findings["ok"], &findings["findings"][0]["line"]), (&json!(false), &json!(10)));

    let untidy = INCIDENTS.replace("\n  ", " ").replace("\"oncall\"", "\"oncal\"");
    fs::write(dir.join("oncall.cedar"), untidy).unwrap();
    let told = says(dir, 1, &["check"]);
    assert!(told.contains("there is no agent `oncal`") && told.contains("did you mean `oncall`?"), "{told}");
    assert!(told.contains("error[format]"), "{told}");
    let told = says(dir, 1, &["check", "--fix"]);
    assert!(told.contains("laid out oncall.cedar") && !told.contains("error[format]"), "{told}");
    assert_eq!(
        fs::read_to_string(dir.join("oncall.cedar")).unwrap(),
        INCIDENTS.replace("\"oncall\"", "\"oncal\"")
    );
}

#[test]
fn cases_and_the_matrix() {
    let folder = directory();
    let dir = folder.path();
    assert!(says(dir, 0, &["test"]).contains("ok: 3 cases"));
    assert!(says(dir, 0, &["test", "--update"]).contains("access.txt written"));
    let matrix = fs::read_to_string(dir.join("access.txt")).unwrap();
    for line in [
        "oncall | callTool      | dev: slack/post          | depends on arguments",
        "bot    | callTool      | dev: github/create_issue | allow   p-grants",
        "bot    | callTool      | dev: github/delete_repo  | asks    approval:user",
        "oncall | callTool      | dev: github/create_issue | DENY    nothing permits",
    ] {
        assert!(matrix.contains(line), "{line}\n{matrix}");
    }
    fs::write(
        dir.join("oncall.cedar"),
        INCIDENTS.replace("C-INC-*", "C-OPS-*").replace("\"oncall\"", "\"bot\""),
    )
    .unwrap();
    let told = says(dir, 1, &["test"]);
    assert!(told.contains("FAILED  posting.json: into an incident"), "{told}");
    assert!(told.contains("expected  allow by [\"oncall-incident-channels\"]"), "{told}");
    assert!(
        told.contains("+bot    | callTool      | dev: slack/post          | depends on arguments"),
        "{told}"
    );
    assert_eq!(json_of(dir, 1, &["test", "--json"])["failed"][0]["file"], "posting.json");
    fs::write(dir.join("cases/posting.json"), "{ \"about\": \"x\", \"cases\": [{ \"name\": \"x\", \"agnet\": \"y\", \"expect\": { \"effect\": \"deny\" } }] }").unwrap();
    assert!(says(dir, 2, &["test"]).contains("unknown field `agnet`"));
}

#[test]
fn why_who_and_what() {
    let folder = directory();
    let dir = folder.path();
    let request =
        json!({ "agent": "oncall", "user": "ann", "tool": "slack/post", "args": { "channel": "C-GENERAL" } });
    let told = says(dir, 0, &["explain", &request.to_string()]);
    assert!(told.starts_with("denied: nothing permits it"), "{told}");
    assert!(told.contains("NO   context.args.getTag(\"channel\") like \"C-INC-*\"  (line 10)"), "{told}");
    assert!(told.contains("context.args.getTag(\"channel\") = \"C-GENERAL\""), "{told}");
    assert!(
        told.contains("context.args.getTag(\"channel\") == \"C-GENERAL\""),
        "the smallest permit: {told}"
    );
    let explained = json_of(dir, 0, &["explain", "--json", &request.to_string()]);
    assert_eq!(explained["decision"]["effect"], "deny");
    // The smallest permit, put beside the policies, allows it.
    let permit = explained["smallest_permit"]["text"].as_str().unwrap();
    fs::write(dir.join("more.cedar"), permit).unwrap();
    assert!(
        says(dir, 0, &["explain", &request.to_string()]).starts_with("allowed by `allow-oncall-slack/post`")
    );
    fs::remove_file(dir.join("more.cedar")).unwrap();

    let told = says(dir, 0, &["who-can", "slack/post"]);
    assert!(
        told.contains(
            "only when  context.args.getTag(\"channel\") like \"C-INC-*\"  [oncall-incident-channels]"
        ),
        "{told}"
    );
    let told = says(dir, 0, &["what-can", "bot"]);
    assert!(told.contains("github/create_issue  through dev  always"), "{told}");
    assert!(told.contains("asks for approval:user"), "{told}");
    assert!(says(dir, 2, &["what-can", "bott"]).contains("did you mean `bot`?"));
}

/// 600 calls of two agents, as the trail has them, and the set that decided them.
fn records(dir: &Path) {
    let inventory: Inventory = serde_json::from_value(inventory()).unwrap();
    let source = PolicySource::with_built_in(vec![SourceFile::new("oncall.cedar", INCIDENTS)]);
    let set = compile(&source).unwrap();
    let mut lines = String::new();
    for index in 0..600 {
        let agent = ["oncall", "bot"][index % 2];
        let tool = ["slack/post", "github/create_issue", "github/delete_repo"][index % 3];
        let channel = ["C-INC-1", "C-GENERAL"][index / 6 % 2];
        let told = json!({ "agent": agent, "user": "ann", "tool": tool, "args": { "channel": channel } });
        let scenario: Scenario = serde_json::from_value(told).unwrap();
        let mut request = scenario.request(&set, &inventory).unwrap();
        request.context.now.0 += i64::try_from(index).unwrap();
        let at = request.context.now.0;
        let record = match decide(&set, request) {
            Ok(permit) => permit.record().clone(),
            Err(denial) => denial.record().clone(),
        };
        lines.push_str(
            &json!({ "event": { "id": format!("evt_{index}"), "at": at, "decision": record } }).to_string(),
        );
        lines.push('\n');
    }
    fs::write(dir.join("records.jsonl"), lines).unwrap();
    fs::create_dir_all(dir.join("sets")).unwrap();
    fs::write(dir.join(format!("sets/{}.json", set.hash())), serde_json::to_string(&source).unwrap())
        .unwrap();
}

#[test]
fn what_a_change_changes() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let old = directory();
    let new = directory();
    let draft = format!(
        "{}\n@id(\"bot-posts\")\npermit (\n  principal == Ambit::Agent::\"bot\",\n  action in Ambit::Action::\"callTool\",\n  \
         resource == Ambit::Tool::\"slack/post\"\n);\n\n@id(\"labels\")\nforbid (\n  principal,\n  action in \
         Ambit::Action::\"callTool\",\n  resource == Ambit::Tool::\"github/create_issue\"\n)\nunless {{ \
         context.args.hasTag(\"labels\") }};\n",
        INCIDENTS.replace("C-INC-*", "C-OPS-*")
    );
    fs::write(new.path().join("oncall.cedar"), draft).unwrap();
    let (old, new) = (old.path().to_str().unwrap(), new.path().to_str().unwrap());
    let told = says(dir, 1, &["diff", old, new]);
    for part in [
        "added permit bot-posts",
        "added forbid labels",
        "changed permit oncall-incident-channels",
        "-  context.args.getTag(\"channel\") like \"C-INC-*\"",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    assert!(told.contains("DENY nothing permits -> allow bot-posts"), "{told}");
    assert!(told.contains("case posting.json: into an incident: allow -> deny"), "{told}");
    assert!(says(dir, 0, &["diff", old, old]).contains("the policies are the same"));

    records(dir);
    // Of 600: bot posts 100 times; oncall posts 100 times, half of them into incidents; bot makes 100 issues.
    let arguments = ["replay", new, "--records", "records.jsonl", "--sets", "sets", "--json"];
    let report = &json_of(dir, 0, &arguments)["report"];
    let number = |name: &str| report[name].as_u64().unwrap();
    assert_eq!(
        [
            number("decided"),
            number("newly_allowed"),
            number("newly_denied"),
            number("cannot_tell"),
            number("unchanged")
        ],
        [600, 100, 50, 100, 350]
    );
    let told =
        says(dir, 1, &["replay", new, "--records", "records.jsonl", "--sets", "sets", "--refuse-any-change"]);
    assert!(
        told.contains("100 x  bot  callTool  slack/post  (was by nothing, would be by bot-posts)"),
        "{told}"
    );
    assert!(
        says(dir, 0, &["replay", old, "--records", "records.jsonl", "--refuse-any-change"])
            .contains("600 unchanged")
    );
    assert!(says(dir, 2, &["replay", old]).contains("--records FILE"));

    let told = says(dir, 0, &["advise", old, "--agent", "bot", "--records", "records.jsonl"]);
    assert!(told.contains("tool/github/create_issue"), "{told}");
    assert!(told.contains("100 of 100 recorded calls still allowed"), "{told}");
    assert!(told.contains("1 of 2 tools taken away: github/delete_repo"), "{told}");
}

#[test]
fn a_day_at_a_gateway() {
    run(async {
        let stack = Stack::start(Host::Standalone).await;
        let operator = stack.organisation().await;
        let remote = Remote::start().await;
        operator.toolbox("main", &[("fixture", remote.server())]).await;
        let agent = operator.agent("worker", "main").await;
        operator.grant("worker", "server/fixture").await;
        let author = operator.person("ann", &["policy-author", "owner"]).await;
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        fs::write(dir.join("key"), &author.key).unwrap();
        let at = |arguments: &[&'static str]| -> Vec<String> {
            let at = ["--gateway", stack.door.url(), "--org", &operator.org, "--key-file", "key"];
            arguments.iter().copied().chain(at).map(str::to_owned).collect()
        };
        let does = |code: i32, arguments: &[&'static str]| {
            let arguments = at(arguments);
            says(dir, code, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
        };

        for said in ["hello", "C-INC-7"] {
            assert_eq!(text(&agent.call("echo", json!({ "text": said })).await), said);
        }
        let told = does(0, &["pull", "mine"]);
        assert!(told.contains("1 agent") && told.contains("1 person"), "{told}");
        let schema = fs::read_to_string(dir.join("mine/ambit.cedarschema")).unwrap();
        assert!(schema.contains("fixture/echo"), "editors know the tools' arguments");
        assert!(says(dir, 0, &["what-can", "worker", "--dir", "mine"]).contains("fixture/echo"));

        fs::write(dir.join("mine/quiet.cedar"), "@id(\"quiet\")\nforbid (\n  principal,\n  action in Ambit::Action::\"callTool\",\n  resource == Ambit::Tool::\"fixture/echo\"\n);\n").unwrap();
        let told = does(0, &["replay", "mine", "--since", "1d"]);
        assert!(told.contains("2 newly denied"), "{told}");
        assert!(
            told.contains("2 x  worker  callTool  fixture/echo  (was by p-grants, would be by quiet)"),
            "{told}"
        );
        let told = does(0, &["publish", "mine", "--dry-run"]);
        assert!(told.contains("2 newly denied") && told.contains("dry run"), "{told}");
        let told = does(0, &["publish", "mine", "--note", "quiet"]);
        assert!(told.contains("version 1 is in force"), "{told}");
        assert!(agent.call("echo", json!({ "text": "x" })).await["error"].is_object(), "at the next call");
        assert!(does(0, &["history"]).contains("quiet"));
        assert!(does(0, &["publish", "mine"]).contains("in force already"));

        let denied = last_denial(&operator).await;
        let event: &'static str = Box::leak(denied.into_boxed_str());
        let told = does(0, &["explain", "--event", event]);
        assert!(told.starts_with("denied by `quiet`"), "{told}");

        fs::write(dir.join("mine/quiet.cedar"), "@id(\"quiet\")\nforbid (principal, action, resorce);\n")
            .unwrap();
        assert!(
            does(1, &["publish", "mine"]).contains("quiet.cedar:2"),
            "what does not check is not published"
        );
    });
}

async fn last_denial(operator: &Operator) -> String {
    let trail = operator.trail().await;
    let denial = trail.iter().rev().find(|event| event["phase"] == "denial" && event["decision"].is_object());
    denial.unwrap()["id"].as_str().unwrap().to_owned()
}

/// What a newcomer reads first: it checks, its cases hold, its matrix is up to date, and its invariants are proved.
#[test]
fn the_example_is_sound() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/example");
    assert!(says(&example, 0, &["check"]).starts_with("ok"));
    assert!(says(&example, 0, &["test"]).starts_with("ok: 26 cases, access.txt"));
    let python = tests::node::folder().join(".venv/bin/python");
    let proved = Command::new(program("ambit"))
        .args(["policy", "prove", "."])
        .env("AMBIT_PROVER_PYTHON", &python)
        .env_remove("CVC5")
        .current_dir(&example)
        .output()
        .unwrap();
    assert_eq!(proved.status.code(), Some(0), "{proved:?}");
}
