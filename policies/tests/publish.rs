//! What is refused before it can decide anything, and what an author is told.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use policies::{PolicySource, Problem, PublishError, SourceFile, compile};
use schemas::inventory::ToolDefinition;

fn problems(text: &str) -> Vec<Problem> {
    let own = vec![SourceFile::new("own.cedar", text)];
    match compile(&PolicySource::with_built_in(own)) {
        Err(PublishError::Refused(problems)) => problems,
        Err(other) => panic!("{other}"),
        Ok(_) => Vec::new(),
    }
}

/// Refused with one problem, at this place, saying this.
fn refused(text: &str, line: usize, column: usize, saying: &str) {
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{text}\n{problems:#?}");
    let Problem { file, message, source_line, .. } = &problems[0];
    assert_eq!((problems[0].line, problems[0].column), (line, column), "{text}\n{problems:#?}");
    assert_eq!((file.as_str(), source_line.as_str()), ("own.cedar", text.lines().nth(line - 1).unwrap()));
    assert!(message.contains(saying), "{message}");
}

const HEAD: &str =
    "@id(\"x\")\npermit (principal is Ambit::Agent, action == Ambit::Action::\"callTool\", resource)\n";

fn when(condition: &str) -> String {
    format!("{HEAD}when {{ {condition} }};\n")
}

#[test]
fn what_is_right_is_accepted() {
    for condition in [
        "context.args.hasTag(\"repo\") && context.args.getTag(\"repo\") like \"acme/*\"",
        "principal has owner && context.call has user && principal.owner == context.call.user",
        "resource in principal.grantedServers && resource.readOnly",
        "principal.grantedTools.contains(resource)",
        "resource.server.trust == Ambit::Trust::\"first_party\"",
    ] {
        assert_eq!(problems(&when(condition)), [], "{condition}");
    }
}

#[test]
fn syntax() {
    refused("@id(\"x\")\npermit (principal, action resource);\n", 2, 27, "unexpected token");
    refused(
        "// \u{e4}\u{f6}\u{fc}\n@id(\"\u{e4}\") permit (principal action, resource);",
        2,
        28,
        "unexpected token",
    );
}

#[test]
fn types() {
    refused(&when("resource.colour == 1"), 3, 8, "colour");
    refused(&when("context.args.getTag(\"repo\") == \"a\""), 3, 8, "hasTag");
    assert_eq!(problems(&when("context.call.user == principal.owner")).len(), 2, "both are optional");
    refused(&when("resource.readOnly == \"yes\""), 3, 8, "");
}

#[test]
fn a_warning_blocks() {
    // A prompt is never called: Cedar only warns, and the forbid would never apply.
    let text =
        "@id(\"x\")\nforbid (principal, action == Ambit::Action::\"callTool\", resource is Ambit::Prompt);\n";
    assert!(!problems(text).is_empty());
    assert!(
        !problems(&when("resource.readOnly && !resource.readOnly && resource is Ambit::Prompt")).is_empty()
    );
}

#[test]
fn every_policy_has_an_id_of_its_own() {
    let policy = "permit (principal, action, resource);\n";
    refused(policy, 1, 1, "put @id");
    refused(&format!("@id\n{policy}"), 1, 1, "is no policy id");
    refused(&format!("@id(\"a b\")\n{policy}"), 1, 1, "`a b` is no policy id");
    refused(
        &format!("@id(\"x\")\n{policy}\n@id(\"x\")\n{policy}"),
        4,
        1,
        "the id `x` is already taken in `own.cedar`",
    );
    refused(&format!("@id(\"p-grants\")\n{policy}"), 1, 1, "already taken in `grants.cedar`");
}

#[test]
fn what_would_never_match_is_refused() {
    let fails = |condition: &str, saying: &str| refused(&when(condition), 1, 1, saying);
    fails("context.call has ip && context.call.ip.isLoopback()", "nothing fills `ip` yet");
    fails("context.call has mfaAge", "nothing fills `mfaAge` yet");
    fails("context.call has user && context.call.user.hasTag(\"group\")", "only `context.args` has tags yet");
}

/// `slack/post`, with arguments that Cedar has types for and one that it has none for.
fn slack() -> ToolDefinition {
    let schema = serde_json::json!({
        "type": "object",
        "properties": {
            "channel": { "type": "string" },
            "my-flag": { "type": "boolean" },
            "in": { "type": "string" },
            "anything": {},
        },
        "required": ["channel"],
    });
    let definition = serde_json::json!({ "name": "post", "inputSchema": schema });
    ToolDefinition { server: "slack".parse().unwrap(), definition }
}

fn typed(condition: &str) -> Vec<policies::Problem> {
    let text = format!(
        "@id(\"x\")\npermit (principal, action == Ambit::Action::\"slack/post\", resource)\nwhen {{ {condition} }};\n"
    );
    let own = vec![SourceFile::new("own.cedar", text)];
    match compile(&PolicySource::with_built_in(own).with_tools([slack()])) {
        Ok(_) => Vec::new(),
        Err(error) => error.problems().to_vec(),
    }
}

#[test]
fn a_misspelt_argument_fails_its_check() {
    assert_eq!(typed("context.input.channel like \"C-*\""), []);
    let problems = typed("context.input.chanel like \"C-*\"");
    assert_eq!((problems.len(), problems[0].line), (1, 3));
    assert!(problems[0].message.contains("did you mean `channel`?"), "{}", problems[0]);
    assert_eq!(typed("context.input.channel == 1").len(), 1, "text is no number");
    assert_eq!(typed("context.input.anything == 1").len(), 1, "what has no type can't be looked into");
}

/// The generator refuses some names; the other arguments keep their types.
#[test]
fn an_argument_without_a_type_says_so() {
    let problems = typed("context.input has anything && context.input.anything == \"x\"");
    assert!(
        problems.iter().any(|problem| problem.message.contains("no counterpart in Cedar")),
        "{problems:?}"
    );
    let problems = typed("context.input[\"my-flag\"]");
    let expected = "no policy can look into argument `my-flag` of tool `slack/post`";
    assert!(problems.iter().any(|problem| problem.message.contains(expected)), "{problems:?}");
}

#[test]
fn a_tool_without_a_definition_has_no_types() {
    let text = "@id(\"x\")\npermit (principal, action == Ambit::Action::\"slack/post\", resource);\n";
    refused(text, 1, 1, "there is no approved definition of tool `slack/post`");
}

#[test]
fn plain_calls_only_is_said_where_there_are_typed_ones() {
    let own = |action: &str| {
        let text = format!(
            "@id(\"x\")\npermit (principal, action == Ambit::Action::\"slack/post\", resource);\n\
             @id(\"y\")\nforbid (principal, action {action} Ambit::Action::\"callTool\", resource is Ambit::Tool);\n"
        );
        let own = vec![SourceFile::new("own.cedar", text)];
        compile(&PolicySource::with_built_in(own).with_tools([slack()]))
    };
    let refused = own("==").unwrap_err();
    assert!(refused.to_string().contains("write `action in Ambit::Action::\"callTool\"`"), "{refused}");
    assert!(own("in").is_ok());
}

#[test]
fn an_owner_is_a_name_only() {
    for look in [
        "principal.owner is Ambit::User in Ambit::Team::\"eng\"",
        "principal.owner.email like \"*@acme.test\"",
        "principal.owner in Ambit::Org::\"a\"",
    ] {
        refused(&when(&format!("principal has owner && {look}")), 1, 1, "only the name is known");
    }
    let hidden = "principal has owner && context.call has user && \
                  (if resource.readOnly then principal.owner else context.call.user).email == \"x\"";
    refused(&when(hidden), 1, 1, "only the name is known");
}

#[test]
fn grants_are_asked_only_whether_they_cover_the_resource() {
    for question in [
        "principal.grantedTools.isEmpty()",
        "principal.grantedServers.contains(Ambit::McpServer::\"github\")",
        "principal.grantedTools.containsAll([resource])",
        "principal.grantedToolboxes == [Ambit::Toolbox::\"dev\"]",
    ] {
        let text = when(question).replace("resource)\n", "resource is Ambit::Tool)\n");
        refused(&text, 1, 1, "ask whether they cover the resource");
    }
}

#[test]
fn obligations_hang_on_forbids_and_templates_are_for_nobody() {
    refused(
        "@id(\"x\")\n@obligation(\"approval:user\")\npermit (principal, action, resource);\n",
        1,
        1,
        "on a forbid",
    );
    refused("@id(\"x\")\npermit (principal == ?principal, action, resource);\n", 1, 1, "is a template");
}

#[test]
fn one_name_one_file() {
    let own = vec![SourceFile::new("grants.cedar", "")];
    let error = compile(&PolicySource::with_built_in(own)).unwrap_err();
    assert!(
        error.to_string().starts_with("grants.cedar:1:1: there are two files named `grants.cedar`"),
        "{error}"
    );
}

#[test]
fn an_error_reads_like_a_compilers() {
    let error =
        compile(&PolicySource::with_built_in(vec![SourceFile::new("own.cedar", when("principal.x == 1"))]));
    let text = error.unwrap_err().to_string();
    assert!(text.starts_with("own.cedar:3:8: "), "{text}");
    assert!(text.ends_with("\n  | when { principal.x == 1 };\n  |        ^^^^^^^^^^^"), "{text}");
}
