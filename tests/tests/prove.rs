//! What the policies can never allow, proved; and that a proof is refused where there is none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use policies::{PolicySource, SourceFile};
use serde_json::{Value, json};
use tests::node::folder;
use tests::programs::{program, tool};

/// The Python that has the solver.
fn python() -> PathBuf {
    let python = folder().join(".venv/bin/python");
    assert!(python.exists(), "the Python environment tests/.venv is missing: run `cargo verify`");
    python
}

/// Asks the prover itself.
fn prove(task: &Value, timeout: &str, python: &Path) -> (Option<i32>, Value) {
    let input = tempfile::NamedTempFile::new().unwrap();
    fs::write(&input, task.to_string()).unwrap();
    let output = Command::new(tool("ambit-prove"))
        .args(["--timeout", timeout])
        .env("AMBIT_PROVER_PYTHON", python)
        .env_remove("CVC5")
        .stdin(fs::File::open(&input).unwrap())
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), report)
}

fn task(policies: &[SourceFile]) -> Value {
    let schema = PolicySource::with_built_in(Vec::new()).schema_text().unwrap();
    json!({ "schema": schema, "policies": policies })
}

/// The built-in policies, with a piece of text taken out of one.
fn built_in_without(start: &str, end: &str) -> Vec<SourceFile> {
    let mut taken = 0;
    let files = policies::built_in().iter().map(|file| match file.text.split_once(start) {
        Some((before, rest)) => {
            taken += 1;
            let (_, after) = rest.split_once(end).unwrap();
            SourceFile::new(file.name.clone(), format!("{before}{after}"))
        }
        None => file.clone(),
    });
    let files = files.collect();
    assert_eq!(taken, 1, "`{start}` is in no file, or in several");
    files
}

fn without_policy(id: &str) -> Vec<SourceFile> {
    built_in_without(&format!("@id(\"{id}\")"), ";\n")
}

/// Every counterexample to a question, in words.
fn counterexamples(report: &Value, id: &str) -> Vec<String> {
    let answers = report["answers"].as_array().unwrap();
    let answer = answers.iter().find(|answer| answer["id"] == id || answer["question"] == id);
    let findings = answer.unwrap_or_else(|| panic!("`{id}` was not asked"))["findings"].as_array().unwrap();
    let text = |finding: &Value| finding["counterexample"]["text"].as_str().map(str::to_owned);
    findings.iter().filter_map(text).collect()
}

fn refuted(report: &Value) -> Vec<&str> {
    let answers = report["answers"].as_array().unwrap().iter();
    answers
        .filter(|answer| answer["verdict"] == "refuted")
        .map(|answer| answer["id"].as_str().or(answer["question"].as_str()).unwrap())
        .collect()
}

#[test]
fn the_built_in_policies_are_proved() {
    let (code, report) = prove(&task(policies::built_in()), "30", &python());
    assert_eq!((code, &report["verdict"]), (Some(0), &json!("proved")), "{report:#}");
    let answers = report["answers"].as_array().unwrap();
    let invariants: Vec<_> = answers.iter().filter(|answer| answer["question"] == "invariant").collect();
    assert!(invariants.len() >= 10, "the invariants are gone");
    for answer in answers {
        assert!(!answer["findings"].as_array().unwrap().is_empty(), "nothing was asked: {answer}");
    }
}

/// Every guardrail is needed, and taking it away is noticed and told as a call that somebody could make.
#[test]
fn without_a_guardrail_there_is_a_counterexample() {
    for (guardrail, invariant, told) in [
        (
            "g1-tenants-apart",
            "tenants-apart",
            "agent `agent-1` of `org-1` could call tool `tool-1` of `org-2`; permitted by `p-grants`",
        ),
        (
            "g1b-people-of-the-same-tenant",
            "people-of-the-same-tenant",
            "could call tool `tool-1` of `org-1`, on behalf of user `user-1` of `org-2`; permitted by `p-grants`",
        ),
        (
            "g1c-people-at-home",
            "people-stay-in-their-organisation",
            "user `user-1` of `org-1` could do `administer` on org `org-2`; permitted by `r-owner`",
        ),
        ("g2-active-principals", "only-who-is-active", "deleted"),
        (
            "g2c-acted-for-while-active",
            "acts-for-the-active-of-its-tenant",
            "agent `agent-1` of `org-1` could act for user `user-1` (deleted) of `org-1`",
        ),
        (
            "g8-token-scopes",
            "read-tokens-read",
            "could call tool `tool-1` of `org-1`, token scopes `mcp:read`; permitted by `p-grants`",
        ),
        (
            "g3-approved-definitions",
            "only-approved-definitions",
            "could call tool `tool-1` (its definition is changed) of `org-1`; permitted by `p-grants`",
        ),
        (
            "g3b-active-server",
            "only-active-servers",
            "could read resource `resource-1` (its server is deleted) of `org-1`",
        ),
        (
            "g4-approval",
            "destructive-needs-approval",
            "could call tool `tool-1` (destructive) of `org-1`, on behalf of user `user-1` of `org-1`; permitted by `p-grants`",
        ),
        (
            "g4b-nobody-to-ask",
            "secrets-stay-inside",
            "could call tool `tool-1` (open world) of `org-1`, after reading what is `secret`; permitted by `p-grants`",
        ),
        (
            "g6-second-person",
            "forbids-go-by-two",
            "user `user-1` of `org-1` could do `publishPolicy` on org `org-1`, and removes forbid; permitted by `r-",
        ),
        (
            "g5-connection-owner",
            "own-accounts-only",
            "could use connection `connection-1` (owner `user-1`) of `org-1`, for server `server-1` of `org-1`",
        ),
    ] {
        let (code, report) = prove(&task(&without_policy(guardrail)), "30", &python());
        assert_eq!(code, Some(1), "without {guardrail}: {report:#}");
        let texts = counterexamples(&report, invariant);
        assert!(texts.iter().any(|text| text.contains(told)), "without {guardrail}: {texts:#?}");
    }
}

/// The hole of the first draft: definitions that nobody approved were not called, but listed.
#[test]
fn listing_what_nobody_approved_is_noticed() {
    let policies =
        built_in_without(", Ambit::Action::\"listTool\"],\n  resource is Ambit::Tool\n)\nunless", "{");
    let mended: Vec<SourceFile> = policies
        .into_iter()
        .map(|file| {
            SourceFile::new(
                file.name,
                file.text.replace(
                    "[Ambit::Action::\"toolUse\" resource.state",
                    "Ambit::Action::\"toolUse\", resource is Ambit::Tool) unless { resource.state",
                ),
            )
        })
        .collect();
    let (code, report) = prove(&task(&mended), "30", &python());
    assert_eq!((code, refuted(&report)), (Some(1), vec!["only-approved-definitions"]), "{report:#}");
    let told = "agent `agent-1` of `org-1` could see tool `tool-1` (its definition is changed) of `org-1` in a list; permitted by `p-grants`";
    assert_eq!(counterexamples(&report, "only-approved-definitions"), [told]);
}

/// Cedar skips a policy that errs, and would allow what it forbids. The gateway denies, and is what is reasoned about here.
#[test]
fn a_policy_that_can_err_is_told_and_does_not_open_anything() {
    let mut draft = policies::built_in().to_vec();
    let errs = "@id(\"draft\") forbid (principal is Ambit::Agent, action, resource) when \
                { context.call.now.offset(duration(\"1d\")) < datetime(\"2020-01-01\") };";
    draft.push(SourceFile::new("draft.cedar", errs));
    let mut question = task(policies::built_in());
    question["old"] = json!(draft);
    let (_, report) = prove(&question, "30", &python());
    // Where the draft errs it denied everything: without it something is newly allowed. Cedar's own reading has the same answer only
    // for the times before 2020.
    assert_eq!(refuted(&report), ["nothing_new"], "{report:#}");

    let (code, report) = prove(&task(&draft), "30", &python());
    assert_eq!((code, refuted(&report)), (Some(1), vec!["draft"]), "{report:#}");
    let texts = counterexamples(&report, "draft");
    assert!(texts[0].contains("may ask to") && texts[0].contains("overflow"), "{texts:#?}");
}

#[test]
fn without_an_answer_nothing_is_proved() {
    let everything = task(policies::built_in());
    let (code, report) = prove(&everything, "0.001", &python());
    assert_eq!((code, &report["verdict"]), (Some(3), &json!("not_proved")));
    assert!(report.to_string().contains("\"reason\":\"timeout\""));
    // A solver that dies is no solver that says yes.
    let mute = tempfile::tempdir().unwrap();
    let script = mute.path().join("python");
    fs::write(&script, "#!/bin/sh\ncase \"$*\" in *print*) echo 1.4.2;; esac\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (code, report) = prove(&everything, "30", &script);
    assert_eq!((code, &report["verdict"]), (Some(3), &json!("not_proved")));
    assert!(report.to_string().contains("\"reason\":\"solver_failed\""));
}

/// A directory of an organisation's policies.
struct Policies(tempfile::TempDir);

impl Policies {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    fn prove(&self, arguments: &[&str], python: &Path) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = Command::new(program("ambit"))
            .args(["policy", "prove"])
            .arg(self.0.path())
            .args(arguments)
            .env("AMBIT_PROVER", tool("ambit-prove"))
            .env("AMBIT_PROVER_PYTHON", python)
            .env_remove("CVC5")
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code(), text(stdout), text(stderr))
    }
}

/// A release pipeline may delete branches of one server, and nobody may delete anything of servers that nobody vouches for.
const RELEASE: &str = "@id(\"release\") permit (principal == Ambit::Agent::\"ci-bot\", action in Ambit::Action::\"toolUse\", \
                       resource in Ambit::McpServer::\"github\") when { context.args.hasTag(\"force\") && \
                       context.args.getTag(\"force\") == \"true\" };";
const NOTHING_UNTRUSTED: &str = "@id(\"no-untrusted\") @doc(\"tools of untrusted servers are not used\") forbid (principal, \
                                 action in Ambit::Action::\"toolUse\", resource is Ambit::Tool) when \
                                 { resource.server.trust == Ambit::Trust::\"untrusted\" };";

#[test]
fn an_invariant_of_the_author_holds_or_is_broken() {
    let held = Policies::new(&[
        ("release.cedar", RELEASE),
        ("trust.cedar", &NOTHING_UNTRUSTED.replace("no-untrusted", "g-untrusted")),
        ("invariants/trust.cedar", NOTHING_UNTRUSTED),
    ]);
    let (code, told, errors) = held.prove(&[], &python());
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{told}");
    assert!(told.contains("proved      no-untrusted: tools of untrusted servers are not used"), "{told}");

    let broken = Policies::new(&[("invariants/trust.cedar", NOTHING_UNTRUSTED)]);
    let (code, told, _) = broken.prove(&[], &python());
    assert_eq!(code, Some(1));
    let line = "REFUTED     no-untrusted: tools of untrusted servers are not used\n            agent `agent-1` of `org-1` could \
                call tool `tool-1` (its server is of trust `untrusted`) of `org-1`; permitted by `p-grants`";
    assert!(told.contains(line), "{told}");
}

#[test]
fn what_is_newly_allowed_is_told() {
    let (old, new) = (Policies::new(&[]), Policies::new(&[("release.cedar", RELEASE)]));
    let path = old.0.path().to_str().unwrap().to_owned();
    let (code, told, _) = new.prove(&["--old", &path], &python());
    assert_eq!(code, Some(1), "{told}");
    let line = "agent `ci-bot` of `org-1` could call tool `tool-1` of `org-1`, with argument `force` = `true`; permitted by `release`";
    assert!(told.contains(line), "{told}");
    // Taking it away again allows nothing new.
    let path = new.0.path().to_str().unwrap().to_owned();
    let (code, told, _) = old.prove(&["--old", &path], &python());
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("proved      nothing is allowed that was not allowed before"), "{told}");
}

/// What a counterexample says is what Cedar's own command line says.
#[test]
fn cedar_itself_allows_the_counterexample() {
    let new = Policies::new(&[("release.cedar", RELEASE), ("invariants/trust.cedar", NOTHING_UNTRUSTED)]);
    let (_, report, _) = new.prove(&["--json"], &python());
    let report: Value = serde_json::from_str(&report).unwrap();
    let answers = report["answers"].as_array().unwrap();
    let broken = answers.iter().find(|answer| answer["id"] == "no-untrusted").unwrap();
    let example = &broken["findings"][0]["counterexample"];
    let source = PolicySource::with_built_in(vec![SourceFile::new("release.cedar", RELEASE)]);
    let folder = new.0.path();
    let texts: Vec<&str> = source.files.iter().map(|file| file.text.as_str()).collect();
    for (name, text) in [
        ("all", texts.join("\n")),
        ("schema", source.schema_text().unwrap()),
        ("request", example["request"].to_string()),
        ("entities", example["entities"].to_string()),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    let output = Command::new(tool("cedar"))
        .args([
            "authorize",
            "--policies",
            "all",
            "--schema",
            "schema",
            "--request-json",
            "request",
            "--entities",
            "entities",
        ])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("ALLOW"), "{output:?}");
}

#[test]
fn wrong_policies_and_a_missing_solver_are_told_apart() {
    let wrong = Policies::new(&[(
        "invariants/typo.cedar",
        "@id(\"typo\") forbid (principal, action, resource) when { principal.nam };",
    )]);
    let (code, _, errors) = wrong.prove(&[], &python());
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("typo.cedar:1:"), "{errors}");

    // An invariant is what never happens; a permit says what may.
    let permit = Policies::new(&[(
        "invariants/permit.cedar",
        "@id(\"yes\") permit (principal is Ambit::Agent, action, resource);",
    )]);
    let (code, _, errors) = permit.prove(&[], &python());
    assert_eq!(
        (code, errors.contains("write what is never allowed as a forbid")),
        (Some(2), true),
        "{errors}"
    );

    let (code, told, errors) = Policies::new(&[]).prove(&[], Path::new("/usr/bin/false"));
    assert_eq!(code, Some(3), "{told}{errors}");
    assert!(
        told.contains("not proved: there is no `cvc5` on the PATH") && !told.contains("\nproved"),
        "{told}"
    );

    let (code, told, errors) = Policies::new(&[]).prove(&["--prover", "/no/such/prover"], &python());
    assert_eq!((code, told.as_str()), (Some(3), ""));
    assert!(errors.contains("`cargo build` in policies/prove"), "{errors}");
}
