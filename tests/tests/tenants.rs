//! Two organisations, every operation of the management API, and everybody who could ask for it: what is another organisation's is
//! answered like what does not exist, and nobody does anything without rights. On every host.

use std::collections::BTreeMap;

use gateway::Operation;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::description;
use tests::fixture::Remote;
use tests::mcp::Client;
use tests::operator::Operator;
use tests::stack::{Host, Stack, step};

tests::on_every_host!(suite);

/// Operations that are of no organisation: each tells whoever asks about the deployment or themselves.
const OF_NO_ORGANISATION: [&str; 9] = [
    "getStatus",
    "getVault",
    "rotateVault",
    "rewrapVault",
    "shredVault",
    "getCatalogue",
    "listProviderKinds",
    "whoAmI",
    "listOrgs",
];

/// Whoever belongs to the organisation may ask for these; what they show is about the asker, or is decided for each thing.
const FOR_EVERY_MEMBER: [&str; 9] = [
    "getCatalogue",
    "listProviderKinds",
    "whoAmI",
    "listOrgs",
    "getOrg",
    "listApprovals",
    "getApproval",
    "listConnections",
    "getConnection",
];
/// As above, but there is no such approval or connection.
const DECIDED_FOR_EACH: [&str; 3] = ["decideApproval", "shareConnection", "endConnection"];

const READ_POLICY: [&str; 13] = [
    "getInventory",
    "listUsers",
    "getUser",
    "listTeams",
    "getTeam",
    "listAgents",
    "getAgent",
    "listGrants",
    "getGrant",
    "getPolicies",
    "listPolicyVersions",
    "getPolicySet",
    "listProposals",
];
const READ_AUDIT: [&str; 2] = ["listEvents", "explainDecision"];
const PUBLISH: [&str; 7] = [
    "publishPolicies",
    "checkPolicies",
    "allowRefused",
    "rollBackPolicies",
    "putShadow",
    "endShadow",
    "decideProposal",
];
const DEPLOY: [&str; 18] = [
    "listProviders",
    "getProvider",
    "putProvider",
    "deleteProvider",
    "examineProvider",
    "listServers",
    "getServer",
    "putServer",
    "patchServer",
    "deleteServer",
    "listTools",
    "getTool",
    "listToolboxes",
    "getToolbox",
    "putToolbox",
    "patchToolbox",
    "deleteToolbox",
    "inspectServer",
];
const OF_THE_OPERATOR: [&str; 6] =
    ["getStatus", "getVault", "rotateVault", "rewrapVault", "shredVault", "putOrg"];

/// Names that stand for nothing anywhere, one for each variable part.
const NOTHING: [(&str, &str); 19] = [
    ("connection", "con_00000000000000000000000000"),
    ("org", "nowhere"),
    ("user", "nobody"),
    ("team", "no-team"),
    ("agent", "no-agent"),
    ("key", "key_00000000000000000000000000"),
    ("issuer", "https%3A%2F%2Fnowhere.example"),
    ("holder", "agent:no-agent"),
    ("resource", "toolbox:no-toolbox"),
    ("server", "no-server"),
    ("tool", "no-tool"),
    ("toolbox", "no-toolbox"),
    ("hash", "0000000000000000000000000000000000000000000000000000000000000000"),
    ("proposal", "prp_00000000000000000000000000"),
    ("approval", "apr_00000000000000000000000000"),
    ("event", "evt_00000000000000000000000000"),
    ("provider", "no-provider"),
    ("client", "no-client"),
    ("authorization", "aut_00000000000000000000000000"),
];

type Names = BTreeMap<String, String>;

fn names(pairs: &[(&str, &str)]) -> Names {
    pairs.iter().map(|(part, name)| ((*part).to_owned(), (*name).to_owned())).collect()
}

fn address(operation: Operation, names: &Names) -> String {
    let parts = operation.path().split('/').map(|part| {
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        name.map_or(part, |name| names.get(name).unwrap_or_else(|| panic!("what is a `{name}`?")))
    });
    format!("/{}", parts.collect::<Vec<_>>().join("/"))
}

/// Who asks, by role; and whether they are people of the organisation.
struct Asker {
    role: &'static str,
    who: Operator,
}

struct Scene {
    operator: Operator,
    askers: Vec<Asker>,
    own: Names,
    foreign: Names,
    agent: Client,
    foreign_agent: Client,
    _stack: Stack,
    _remote: Remote,
}

async fn suite(host: Host) {
    let stack = Stack::with_rates(host, "manage=off sign-in=off").await;
    let (operator, other) = (stack.organisation().await, stack.organisation().await);
    let remote = Remote::start().await;
    operator.toolbox("main", &[("fixture", remote.server())]).await;
    let agent = operator.agent("worker", "main").await;
    let mut askers = Vec::new();
    for (name, role) in [
        ("olga", "owner"),
        ("ann", "policy-author"),
        ("otto", "operator"),
        ("axel", "auditor"),
        ("mia", "member"),
    ] {
        askers.push(Asker { role, who: operator.person(name, &[role]).await });
    }
    askers.push(Asker { role: "an agent", who: Operator { key: agent.token.clone(), ..operator.clone() } });
    askers.push(Asker { role: "nobody", who: Operator { key: String::new(), ..operator.clone() } });
    let foreign_owner = other.person("fritz", &["owner"]).await;
    askers.push(Asker {
        role: "a foreign owner",
        who: Operator { org: operator.org.clone(), ..foreign_owner },
    });
    let (foreign, foreign_agent) = furnish(&other, &remote).await;
    let mut own = names(&NOTHING);
    own.insert("org".to_owned(), operator.org.clone());
    let scene =
        Scene { operator, askers, own, foreign, agent, foreign_agent, _stack: stack, _remote: remote };

    step("another organisation is told like none", other_organisations(&scene)).await;
    step("what is another's is told like nothing", foreign_things(&scene)).await;
    step("nobody does anything without rights", rights(&scene)).await;
    step("toolboxes of others", toolboxes(&scene)).await;
    step("metadata", metadata(&scene)).await;
    description::check();
}

/// Puts one thing of every kind into an organisation, under names that the other does not have.
async fn furnish(other: &Operator, remote: &Remote) -> (Names, Client) {
    other.toolbox("vault", &[("secrets", remote.server())]).await;
    let agent = other.agent("spy", "vault").await;
    other.grant("spy", "toolbox/vault").await;
    other.must(Method::PUT, "/users/frida", json!({})).await;
    other.must(Method::PUT, "/teams/foes", json!({ "users": ["frida"] })).await;
    other.trust("https://foreign.example").await;
    let chat = json!({ "redirectUris": ["https://chat.example/callback"] });
    other.must(Method::PUT, "/clients/chat", chat).await;
    let github = json!({ "kind": "github", "clientId": "c", "clientSecret": "s" });
    other.must(Method::PUT, "/providers/hub", github).await;
    let key = other.must(Method::POST, "/agents/spy/keys", json!({})).await;
    let refused = agent.call("nothing", json!({})).await;
    let event = refused["error"]["data"]["reference"].as_str().unwrap().to_owned();
    let forbid = "@id(\"f\")\nforbid (\n  principal == Ambit::Agent::\"spy\",\n  action,\n  resource == Ambit::Tool::\"a/b\"\n);\n";
    other.publish(forbid).await;
    let hash = other.must(Method::GET, "/policies", Value::Null).await["hash"].as_str().unwrap().to_owned();
    let owner = other.person("franz", &["owner"]).await;
    let answer = owner.must(Method::PUT, "/policies", json!({ "files": [] })).await;
    let proposal = answer["proposal"]["id"].as_str().unwrap().to_owned();
    let mut foreign = names(&NOTHING);
    for (part, name) in [
        ("org", other.org.clone()),
        ("user", "frida".to_owned()),
        ("team", "foes".to_owned()),
        ("agent", "spy".to_owned()),
        ("key", key["id"].as_str().unwrap().to_owned()),
        ("issuer", "https%3A%2F%2Fforeign.example".to_owned()),
        ("holder", "agent:spy".to_owned()),
        ("resource", "toolbox:vault".to_owned()),
        ("server", "secrets".to_owned()),
        ("tool", "echo".to_owned()),
        ("toolbox", "vault".to_owned()),
        ("hash", hash),
        ("proposal", proposal),
        ("event", event),
        ("client", "chat".to_owned()),
        ("provider", "hub".to_owned()),
    ] {
        foreign.insert(part.to_owned(), name);
    }
    (foreign, agent)
}

/// A body that passes the shape of an operation, where it needs one to get as far as its address.
fn body(operation: Operation) -> Value {
    match operation.id().as_str() {
        "decideProposal" | "decideApproval" => json!({ "decision": "refuse" }),
        "shareConnection" => json!({ "sharing": "org" }),
        "judgeTool" => json!({ "state": "quarantined", "flags":
            { "readOnly": false, "destructive": true, "idempotent": false, "openWorld": true } }),
        "allowRefused" => json!({ "event": "evt_00000000000000000000000000" }),
        "rollBackPolicies" => json!({ "to": 999 }),
        _ => Value::Null,
    }
}

/// The status and the problem, with the names that were asked for taken out.
async fn ask(who: &Operator, operation: Operation, names: &Names) -> (StatusCode, String) {
    let path = address(operation, names);
    let (status, _, mut text) = who.whole(operation.method(), &path, &[], body(operation)).await;
    let mut parts: Vec<&String> = names.values().collect();
    parts.sort_by_key(|name| std::cmp::Reverse(name.len()));
    for name in parts {
        let plain = name.replace("%3A", ":").replace("%2F", "/");
        let last = plain.rsplit(':').next().unwrap_or(&plain).to_owned();
        text = text.replace(&format!("`{plain}`"), "`*`").replace(&format!("`{last}`"), "`*`");
    }
    // A tool and a grant are told by two names.
    (status, text.replace("agent:spy toolbox:vault", "*").replace("agent:no-agent toolbox:no-toolbox", "*"))
}

async fn other_organisations(scene: &Scene) {
    let nothing = names(&NOTHING);
    for Asker { role, who } in scene.askers.iter().filter(|asker| asker.role != "a foreign owner") {
        for operation in Operation::ALL.iter().copied() {
            let id = operation.id();
            if OF_NO_ORGANISATION.contains(&id.as_str()) {
                continue;
            }
            let (status, foreign) = ask(who, operation, &scene.foreign).await;
            let expected = match *role {
                "an agent" | "nobody" => StatusCode::UNAUTHORIZED,
                _ => StatusCode::NOT_FOUND,
            };
            assert_eq!(status, expected, "{role}: {id}: {foreign}");
            assert_eq!((status, foreign), ask(who, operation, &nothing).await, "{role}: {id}");
        }
    }
}

async fn foreign_things(scene: &Scene) {
    let mut at_home = scene.foreign.clone();
    at_home.insert("org".to_owned(), scene.own["org"].clone());
    let owner = &scene.askers[0].who;
    for operation in Operation::ALL.iter().copied() {
        let id = operation.id();
        // With PUT one makes a thing of one's own, whatever others call theirs.
        let makes = operation.method() == Method::PUT && !["judgeTool", "putGrant"].contains(&id.as_str());
        if OF_NO_ORGANISATION.contains(&id.as_str()) || makes || operation.path().matches('{').count() < 2 {
            continue;
        }
        let (status, foreign) = ask(owner, operation, &at_home).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{id}: {foreign}");
        assert_eq!((status, foreign), ask(owner, operation, &scene.own).await, "{id}");
    }
}

/// Whether a role of an organisation may ask for an operation, as `policies/roles.cedar` has it.
fn may(role: &str, id: &str) -> bool {
    if FOR_EVERY_MEMBER.contains(&id) || DECIDED_FOR_EACH.contains(&id) {
        return true;
    }
    match role {
        "owner" => !OF_THE_OPERATOR.contains(&id),
        "policy-author" => READ_POLICY.contains(&id) || READ_AUDIT.contains(&id) || PUBLISH.contains(&id),
        "operator" => DEPLOY.contains(&id) || id == "judgeTool",
        "auditor" => READ_POLICY.contains(&id) || READ_AUDIT.contains(&id),
        _ => false,
    }
}

async fn rights(scene: &Scene) {
    let before = scene.operator.must(Method::GET, "/inventory", Value::Null).await;
    for Asker { role, who } in &scene.askers {
        for operation in Operation::ALL.iter().copied() {
            let id = operation.id();
            // What an owner makes here would only be in the way.
            if *role == "owner" && ["putUser", "putTeam", "putAgent", "patchOrg"].contains(&id.as_str()) {
                continue;
            }
            let (status, problem) = ask(who, operation, &scene.own).await;
            let told = format!("{role}: {id}: {status} {problem}");
            match *role {
                "an agent" | "nobody" => assert_eq!(status, StatusCode::UNAUTHORIZED, "{told}"),
                "a foreign owner" if !OF_NO_ORGANISATION.contains(&id.as_str()) => {
                    assert_eq!(status, StatusCode::NOT_FOUND, "{told}");
                }
                "a foreign owner" => {
                    let refused = status == StatusCode::FORBIDDEN;
                    assert_eq!(refused, OF_THE_OPERATOR.contains(&id.as_str()), "{told}");
                }
                role if may(role, &id) => {
                    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
                    assert!(!refused && !status.is_server_error(), "{told}");
                }
                _ => assert_eq!(status, StatusCode::FORBIDDEN, "{told}"),
            }
        }
    }
    assert_eq!(
        scene.operator.must(Method::GET, "/inventory", Value::Null).await,
        before,
        "nothing was changed"
    );
}

async fn toolboxes(scene: &Scene) {
    for (client, own, foreign) in [
        (&scene.agent, "main", (&scene.foreign["org"], "vault")),
        (&scene.foreign_agent, "vault", (&scene.own["org"], "main")),
    ] {
        assert_eq!(client.modern("tools/list", json!({})).await.status, StatusCode::OK, "{own}");
        let (org, toolbox) = foreign;
        for method in
            ["tools/list", "tools/call", "prompts/list", "resources/list", "server/discover", "tools/nothing"]
        {
            let there = async |org: &str, toolbox: &str| {
                let client = Client { path: format!("/mcp/{org}/{toolbox}"), ..client.clone() };
                let answer = client.modern(method, json!({ "name": "echo", "arguments": {} })).await;
                (answer.status, answer.text().await.replace(toolbox, "*"))
            };
            let found = there(org, toolbox).await;
            assert_eq!(found, there("nowhere", "no-toolbox").await, "{method}");
            assert!(found.0.is_client_error(), "{method}: {found:?}");
        }
    }
}

/// Metadata is answered for any well-formed name, so it tells nobody what there is.
async fn metadata(scene: &Scene) {
    let ask = async |org: &str, toolbox: &str| {
        let path = format!("/.well-known/oauth-protected-resource/mcp/{org}/{toolbox}");
        let request = http::Request::get(path)
            .header("host", scene.operator.door.url().trim_start_matches("http://"))
            .body(bytes::Bytes::new())
            .unwrap();
        let answer = scene.operator.door.send(request).await;
        let status = answer.status;
        (status, answer.text().await.replace(toolbox, "*").replace(org, "*"))
    };
    let there = ask(&scene.own["org"], "main").await;
    assert_eq!(there.0, StatusCode::OK);
    assert_eq!(there, ask("nowhere", "no-toolbox").await);
}
