//! The management API, on every host: lists and pages, conditions, requests that are sent twice, keys, and what a deletion takes with it.
//! Every answer is held against `schemas/openapi.yaml`; schemathesis tries the rest of it.

use std::fmt::Write as _;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::description;
use tests::fixture::Remote;
use tests::mcp::Client;
use tests::operator::Operator;
use tests::stack::{Host, Stack, step};

tests::on_every_host!(suite);

struct Scene {
    operator: Operator,
    owner: Operator,
    agent: Client,
    _stack: Stack,
    _remote: Remote,
}

async fn suite(host: Host) {
    let stack = Stack::start(host).await;
    let operator = stack.organisation().await;
    let remote = Remote::start().await;
    operator.toolbox("main", &[("fixture", remote.server())]).await;
    let agent = operator.agent("worker", "main").await;
    operator.grant("worker", "toolbox/main").await;
    let owner = operator.person("olga", &["owner"]).await;
    let scene = Scene { operator, owner, agent, _stack: stack, _remote: remote };

    step("addresses and methods", addresses(&scene)).await;
    step("who am I", who(&scene)).await;
    step("every thing is listed, read, changed and deleted", things(&scene)).await;
    step("pages", pages(&scene)).await;
    step("conditions", conditions(&scene)).await;
    step("conditions on policies", policies(&scene)).await;
    step("a part of a thing", patches(&scene)).await;
    step("requests that are sent twice", twice(&scene)).await;
    step("keys of one toolbox and of some scopes", reach(&scene)).await;
    step("keys that end and rotate", rotation(&scene)).await;
    step("bodies", bodies(&scene)).await;
    step("switches that stop agents", switches(&scene)).await;
    step("the rest is read", readings(&scene)).await;
    description::check();
}

/// Tries whatever the description allows, and some of what it doesn't: no answer of ours may be a fault, or undescribed.
#[test]
fn schemathesis() {
    tests::stack::run(async {
        let rates = "manage=off sign-in=off";
        let stack = Stack::with_rates(Host::Standalone, rates).await;
        let operator = stack.organisation().await;
        let remote = Remote::start().await;
        operator.toolbox("main", &[("fixture", remote.server())]).await;
        operator.agent("worker", "main").await;
        operator.person("olga", &["owner"]).await;
        let folder = tempfile::tempdir().unwrap();
        let description = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/openapi.yaml");
        let mut known = String::from("[parameters]\n");
        for (part, name) in [
            ("org", operator.org.as_str()),
            ("agent", "worker"),
            ("user", "olga"),
            ("server", "fixture"),
            ("toolbox", "main"),
        ] {
            writeln!(known, "\"path.{part}\" = \"{name}\"").unwrap();
        }
        // A server behind the gateway may fail, above all one that was made up: that is described as 502.
        known.push_str(
            "[[operations]]\ninclude-operation-id = \"inspectServer\"\n\
             [operations.checks.not_a_server_error]\nexpected-statuses = [\"2xx\", \"3xx\", \"4xx\", \"502\"]\n",
        );
        let config = folder.path().join("schemathesis.toml");
        std::fs::write(&config, known).unwrap();
        let output = tokio::process::Command::new(description::python().with_file_name("schemathesis"))
            .arg("--config-file")
            .arg(&config)
            .args(["run", description, "--url"])
            .arg(format!("{}/api/v1", operator.door.url()))
            .args(["--header", &format!("Authorization: Bearer {}", operator.key)])
            .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance"])
            .args(["--phases", "examples,coverage,fuzzing", "--mode", "all", "--seed", "1", "--max-examples", "4"])
            .args(["--generation-deterministic", "--no-color", "--max-time", "50"])
            .current_dir(folder.path())
            .output()
            .await
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        println!("{told}");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
}

fn of(who: &Operator, path: &str) -> String {
    format!("/orgs/{}{path}", who.org)
}

async fn calls(client: &Client) -> bool {
    let answer = client.call("echo", json!({ "text": "x" })).await;
    answer["result"]["content"].is_array()
}

async fn addresses(Scene { operator, .. }: &Scene) {
    let ask = async |method: Method, path: &str| operator.whole(method, path, &[], Value::Null).await;
    let (status, headers, problem) = ask(Method::GET, "/nothing").await;
    assert_eq!(
        (status, &headers["content-type"]),
        (StatusCode::NOT_FOUND, &"application/problem+json".parse().unwrap())
    );
    let problem: Value = serde_json::from_str(&problem).unwrap();
    assert!(problem["type"].as_str().unwrap().ends_with("/problems/not-found"), "{problem}");
    let (status, headers, _) = ask(Method::PATCH, &of(operator, "/policies/shadow")).await;
    assert_eq!(
        (status, &headers["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"PUT, DELETE".parse().unwrap())
    );
    for misspelt in [
        "/users?limits=1",
        "/users?limit=0",
        "/users?limit=501",
        "/users?cursor=%20",
        "/users?limit=1&limit=1",
    ] {
        assert_eq!(
            operator.ask(Method::GET, misspelt, Value::Null).await.0,
            StatusCode::BAD_REQUEST,
            "{misspelt}"
        );
    }
    let nobody = Operator { key: String::new(), ..operator.clone() };
    assert_eq!(nobody.ask(Method::GET, "/users", Value::Null).await.0, StatusCode::UNAUTHORIZED);
    // People may be called what an address can't hold as it is.
    operator.must(Method::PUT, "/users/%C3%A9v%2Fa", json!({})).await;
    assert_eq!(operator.must(Method::GET, "/users/%C3%A9v%2Fa", Value::Null).await["name"], "\u{e9}v/a");
    operator.must(Method::DELETE, "/users/%C3%A9v%2Fa", Value::Null).await;
}

async fn who(Scene { operator, owner, .. }: &Scene) {
    let ask = async |who: &Operator, path: &str| {
        let (status, _, text) = who.whole(Method::GET, path, &[], Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    assert_eq!(ask(operator, "/whoami").await["operator"], true);
    let me = ask(owner, "/whoami").await;
    assert_eq!(
        (&me["user"], &me["org"], &me["roles"]),
        (&json!("olga"), &json!(owner.org), &json!(["owner"]))
    );
    assert_eq!(me["may"].as_array().unwrap().len(), 6, "{me}");
    let auditor = operator.person("axel", &["auditor"]).await;
    assert_eq!(ask(&auditor, "/whoami").await["may"], json!(["readPolicy", "readAudit"]));
    let orgs = ask(owner, "/orgs").await["orgs"].clone();
    assert_eq!(orgs.as_array().unwrap().len(), 1, "a person sees their own: {orgs}");
    ask(operator, "/orgs").await;
    ask(operator, "/status").await;
    let known: Vec<Value> = provisioner::images::catalogue()
        .iter()
        .map(|recipe| json!({ "name": recipe.name, "image": recipe.image, "summary": recipe.summary }))
        .collect();
    assert_eq!(ask(owner, "/catalogue").await["servers"], json!(known), "what the provisioner can build");
}

async fn things(Scene { owner, .. }: &Scene) {
    let workload = json!({ "image": "x", "digest": format!("sha256:{}", "0".repeat(64)), "transport": { "type": "stdio" } });
    let issuer = json!({ "jwksUri": "https://issuer.example/jwks", "algorithms": ["ES256"] });
    let before = owner.must(Method::GET, "/inventory", Value::Null).await;
    let things = [
        ("users", "ann", json!({ "email": "ann@example.org", "roles": ["member"] })),
        (
            "agents",
            "helper",
            json!({ "owner": "ann", "clients": ["https://host.example/*"], "oauthClient": "c" }),
        ),
        ("teams", "crew", json!({ "users": ["ann"], "agents": ["helper"] })),
        ("servers", "files", json!({ "workload": workload })),
        ("toolboxes", "box", json!({ "servers": [{ "name": "files", "prefix": "disk" }] })),
        ("issuers", "https%3A%2F%2Fissuer.example", issuer),
        (
            "clients",
            "chat",
            json!({ "title": "Chat", "redirectUris": ["https://chat.example/"], "tokenEndpointAuthMethod": "none" }),
        ),
        (
            "providers",
            "hub",
            json!({ "kind": "gitlab", "clientId": "c", "scopes": ["api"], "settings": { "host": "git.acme.example" } }),
        ),
    ];
    for (list, name, body) in &things {
        let path = format!("/{list}/{name}");
        let (status, headers, made) = owner.whole(Method::PUT, &of(owner, &path), &[], body.clone()).await;
        assert_eq!(status, StatusCode::CREATED, "{path}: {made}");
        let location = headers["location"].to_str().unwrap().trim_start_matches("/api/v1").to_owned();
        let (status, again, read) = owner.whole(Method::GET, &location, &[], Value::Null).await;
        assert_eq!((status, &read, &again["etag"]), (StatusCode::OK, &made, &headers["etag"]), "{location}");
        let (status, _, again) = owner.whole(Method::PUT, &of(owner, &path), &[], body.clone()).await;
        assert_eq!((status, &again), (StatusCode::OK, &made), "twice is once");
        let made: Value = serde_json::from_str(&made).unwrap();
        for (member, value) in body.as_object().unwrap() {
            let same = made[member] == *value || member == "servers";
            assert!(same, "{path}: {member} is {}, not {value}", made[member]);
        }
        let listed = owner.must(Method::GET, &format!("/{list}"), Value::Null).await;
        assert!(listed[list].as_array().unwrap().contains(&made), "{listed}");
    }
    for grant in ["agent:helper/server:files", "team:crew/toolbox:box", "everybody/tool:files:read"] {
        let path = format!("/grants/{grant}");
        owner.must(Method::PUT, &path, Value::Null).await;
        let made = owner.must(Method::GET, &path, Value::Null).await;
        let (holder, resource) = grant.split_once('/').unwrap();
        assert_eq!((&made["holder"], &made["resource"]), (&json!(holder), &json!(resource)));
        let narrowed = owner.must(Method::GET, &format!("/grants?holder={holder}"), Value::Null).await;
        assert!(narrowed["grants"].as_array().unwrap().contains(&made), "{narrowed}");
        assert!(narrowed["grants"].as_array().unwrap().iter().all(|grant| grant["holder"] == *holder));
    }
    let key =
        owner.must(Method::POST, "/agents/helper/keys", json!({ "user": "ann", "toolbox": "box" })).await;
    let key = key["id"].as_str().unwrap().to_owned();
    assert_eq!(
        owner.ask(Method::PUT, "/agents/other", json!({ "oauthClient": "c" })).await.0,
        StatusCode::CONFLICT
    );
    for list in [
        "agents?owner=ann",
        "agents?status=active",
        "keys?agent=helper",
        "servers?trust=untrusted",
        "users?email=ann@example.org",
    ] {
        let found = owner.must(Method::GET, &format!("/{list}"), Value::Null).await;
        assert!(found.to_string().contains("files") || found.to_string().contains("ann"), "{list}: {found}");
    }
    for (list, name, _) in things.iter().rev() {
        let path = format!("/{list}/{name}");
        owner.must(Method::DELETE, &path, Value::Null).await;
        for method in [Method::GET, Method::DELETE] {
            let (status, problem) = owner.ask(method, &path, Value::Null).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {problem}");
        }
    }
    let ended = owner.must(Method::GET, &format!("/keys/{key}"), Value::Null).await;
    assert_eq!(ended["status"], "revoked", "with its toolbox");
    let grants = owner.must(Method::GET, "/grants", Value::Null).await;
    assert_eq!(grants["grants"].as_array().unwrap().len(), 1, "only the one of the scene is left: {grants}");
    assert_eq!(owner.must(Method::GET, "/inventory", Value::Null).await, before, "nothing is left of it");
    // Whoever comes back is the same by name, and has nothing of before.
    let again = owner.must(Method::PUT, "/users/ann", json!({})).await;
    assert_eq!((&again["roles"], &again["teams"]), (&json!([]), &json!([])));
}

async fn pages(Scene { owner, .. }: &Scene) {
    for number in 0..7 {
        owner.must(Method::PUT, &format!("/agents/page-{number}"), json!({})).await;
    }
    for list in ["agents", "users", "policies/history", "audit", "keys"] {
        let member = match list {
            "policies/history" => "versions",
            "audit" => "events",
            list => list,
        };
        let whole = owner.must(Method::GET, &format!("/{list}?limit=500"), Value::Null).await;
        let whole = whole[member].as_array().unwrap();
        let (mut all, mut next) = (Vec::new(), String::new());
        loop {
            let page = owner.must(Method::GET, &format!("/{list}?limit=3{next}"), Value::Null).await;
            let items = page[member].as_array().unwrap();
            assert!(items.len() <= 3);
            all.extend(items.clone());
            match page["next"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(all[..whole.len()], whole[..], "{list}: the pages are the list");
    }
    let few = owner.must(Method::GET, "/audit?method=agent.put&limit=2", Value::Null).await;
    assert!(
        few["events"].as_array().unwrap().iter().all(|row| row["event"]["method"] == "agent.put"),
        "{few}"
    );
}

async fn conditions(Scene { owner, .. }: &Scene) {
    let path = of(owner, "/agents/tagged");
    let put = async |headers: &[(&str, &str)], body: Value| {
        let (status, headers, _) = owner.whole(Method::PUT, &path, headers, body).await;
        (status, headers.get("etag").map(|tag| tag.to_str().unwrap().to_owned()).unwrap_or_default())
    };
    assert_eq!(put(&[("if-match", "*")], json!({})).await.0, StatusCode::PRECONDITION_FAILED);
    let (status, first) = put(&[("if-none-match", "*")], json!({})).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(put(&[("if-none-match", "*")], json!({})).await.0, StatusCode::PRECONDITION_FAILED);
    let (status, second) = put(&[("if-match", &first)], json!({ "status": "suspended" })).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(first, second);
    assert_eq!(put(&[("if-match", &first)], json!({})).await.0, StatusCode::PRECONDITION_FAILED);
    let read =
        async |tag: &str| owner.whole(Method::GET, &path, &[("if-none-match", tag)], Value::Null).await;
    let (status, headers, body) = read(&second).await;
    assert_eq!(
        (status, body.as_str(), &headers["etag"]),
        (StatusCode::NOT_MODIFIED, "", &second.parse().unwrap())
    );
    assert_eq!(read(&first).await.0, StatusCode::OK);
    let delete =
        async |tag: &str| owner.whole(Method::DELETE, &path, &[("if-match", tag)], Value::Null).await.0;
    assert_eq!(delete(&first).await, StatusCode::PRECONDITION_FAILED);
    assert_eq!(delete(&format!("\"x\", {second}")).await, StatusCode::NO_CONTENT);
}

/// Policies are a thing, too.
async fn policies(Scene { owner, .. }: &Scene) {
    let path = of(owner, "/policies");
    let (_, headers, _) = owner.whole(Method::GET, &path, &[], Value::Null).await;
    let tag = headers["etag"].to_str().unwrap().to_owned();
    let file = |id: &str| json!([{ "name": "own.cedar", "text": format!("@id(\"{id}\")\npermit (\n  principal == Ambit::Agent::\"{id}\",\n  action,\n  resource\n);\n") }]);
    let put = async |id: &str| {
        let body = json!({ "files": file(id) });
        owner.whole(Method::PUT, &path, &[("if-match", &tag)], body).await
    };
    let (status, _, answer) = put("a").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(put("b").await.0, StatusCode::PRECONDITION_FAILED);
}

async fn patches(Scene { owner, .. }: &Scene) {
    owner.must(Method::PUT, "/agents/part", json!({ "owner": "ann", "clients": ["a"] })).await;
    let patch = async |body: Value| owner.must(Method::PATCH, "/agents/part", body).await;
    let changed = patch(json!({ "status": "suspended" })).await;
    assert_eq!((&changed["owner"], &changed["clients"]), (&json!("ann"), &json!(["a"])), "the rest stays");
    assert_eq!(patch(json!({ "owner": null })).await["owner"], Value::Null);
    let (status, _) = owner.ask(Method::PATCH, "/agents/part", json!({ "name": "other" })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "names do not change");
    assert_eq!(owner.ask(Method::PATCH, "/agents/nobody", json!({})).await.0, StatusCode::NOT_FOUND);
    owner.must(Method::PATCH, "/users/ann", json!({ "email": "a@example.org" })).await;
    owner.must(Method::PATCH, "/servers/fixture", json!({ "trust": "community" })).await;
    let toolbox = owner.must(Method::GET, "/toolboxes/main", Value::Null).await;
    assert_eq!(owner.must(Method::PATCH, "/toolboxes/main", json!({})).await, toolbox);
}

async fn twice(Scene { owner, operator, .. }: &Scene) {
    let path = of(owner, "/agents/worker/keys");
    let post = async |who: &Operator, key: &str, body: Value| {
        who.whole(Method::POST, &path, &[("idempotency-key", key)], body).await
    };
    let (status, headers, first) = post(owner, "one", json!({})).await;
    assert_eq!(status, StatusCode::CREATED, "{first}");
    let (status, again, second) = post(owner, "one", json!({})).await;
    assert_eq!((status, &second, &again["location"]), (StatusCode::CREATED, &first, &headers["location"]));
    assert_eq!(post(owner, "one", json!({ "scopes": [] })).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_ne!(post(operator, "one", json!({})).await.2, first, "each has keys of their own");
    assert_ne!(post(owner, "two", json!({})).await.2, first);
    // What failed may be put right and sent again.
    assert_eq!(post(owner, "three", json!({ "expiresAt": 1 })).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(post(owner, "three", json!({})).await.0, StatusCode::CREATED);
    assert_eq!(post(owner, "", json!({})).await.0, StatusCode::BAD_REQUEST);
    let (one, other) = futures_util::join!(post(owner, "four", json!({})), post(owner, "four", json!({})));
    let made = [&one, &other].iter().filter(|answer| answer.0 == StatusCode::CREATED).count();
    assert!(
        made == 1 && (one.0 == StatusCode::CONFLICT || other.0 == StatusCode::CONFLICT) || one.2 == other.2
    );
}

async fn reach(Scene { owner, agent, .. }: &Scene) {
    owner.must(Method::PUT, "/toolboxes/second", json!({ "servers": [{ "name": "fixture" }] })).await;
    owner.grant("worker", "toolbox/second").await;
    let key = owner.must(Method::POST, "/agents/worker/keys", json!({ "toolbox": "second" })).await;
    let secret = key["key"].as_str().unwrap();
    assert!(key["hint"].as_str().unwrap().ends_with(&secret[secret.len() - 4..]), "{key}");
    assert!(calls(&owner.client("second", secret)).await);
    let answer = owner.client("main", secret).modern("tools/list", json!({})).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "a key of one toolbox is unknown at another");
    let narrow = owner.must(Method::POST, "/agents/worker/keys", json!({ "scopes": ["mcp:read"] })).await;
    let narrow = owner.client("main", narrow["key"].as_str().unwrap());
    assert!(calls(agent).await);
    assert!(!calls(&narrow).await, "echo was not confirmed as read-only");
    assert_eq!(
        owner.ask(Method::POST, "/agents/worker/keys", json!({ "scopes": ["all"] })).await.0,
        StatusCode::BAD_REQUEST
    );
    let listed = owner.must(Method::GET, "/keys?agent=worker", Value::Null).await.to_string();
    assert!(!listed.contains(secret), "a secret shows once");
    owner.must(Method::DELETE, "/toolboxes/second", Value::Null).await;
}

async fn rotation(Scene { owner, .. }: &Scene) {
    let past = json!({ "expiresAt": 1 });
    assert_eq!(owner.ask(Method::POST, "/agents/worker/keys", past.clone()).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(owner.ask(Method::POST, "/users/olga/keys", past).await.0, StatusCode::BAD_REQUEST);
    let make = async |body: Value| owner.must(Method::POST, "/agents/worker/keys", body).await;
    let rotate = async |key: &Value, body: Value| {
        owner.must(Method::POST, &format!("/keys/{}/rotate", key["id"].as_str().unwrap()), body).await
    };
    let client = |key: &Value| owner.client("main", key["key"].as_str().unwrap());
    let first = make(json!({ "scopes": ["mcp:read"] })).await;
    let second = rotate(&first, json!({})).await;
    assert_eq!(second["scopes"], json!(["mcp:read"]));
    let lists =
        async |key: &Value| client(key).modern("tools/list", json!({})).await.status == StatusCode::OK;
    assert!(!lists(&first).await && lists(&second).await, "the old one ends at once");
    let third = rotate(&second, json!({ "overlapSeconds": 3600 })).await;
    assert!(lists(&second).await && lists(&third).await, "both, for a while");
    let old = format!("/keys/{}/rotate", first["id"].as_str().unwrap());
    assert_eq!(owner.ask(Method::POST, &old, json!({})).await.0, StatusCode::CONFLICT);
    assert_eq!(
        owner.ask(Method::POST, &old, json!({ "overlapSeconds": 604_801 })).await.0,
        StatusCode::BAD_REQUEST
    );
    owner.must(Method::DELETE, &format!("/keys/{}", third["id"].as_str().unwrap()), Value::Null).await;
    assert!(!lists(&third).await);
    // A person's key, rotated with itself.
    let own = owner.must(Method::POST, "/users/olga/keys", json!({})).await;
    let me = Operator { key: own["key"].as_str().unwrap().to_owned(), ..owner.clone() };
    me.must(Method::POST, &format!("/keys/{}/rotate", own["id"].as_str().unwrap()), json!({})).await;
    assert_eq!(me.ask(Method::GET, "/users", Value::Null).await.0, StatusCode::UNAUTHORIZED);
}

async fn bodies(Scene { owner, .. }: &Scene) {
    let path = of(owner, "/users/ann");
    let send = async |kind: &'static str, body: String| {
        let request = http::Request::put(format!("/api/v1{path}"))
            .header("host", owner.door.url().trim_start_matches("http://"))
            .header("authorization", format!("Bearer {}", owner.key))
            .header("content-type", kind)
            .body(body.into())
            .unwrap();
        owner.door.send(request).await.status
    };
    assert_eq!(send("application/json; charset=utf-8", "{}".into()).await, StatusCode::OK);
    assert_eq!(send("text/plain", "{}".into()).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    for wrong in ["[]", "{", "{\"email\":\"a\",\"email\":\"b\"}", "{\"mail\":\"a\"}", "\u{0}"] {
        assert_eq!(send("application/json", wrong.into()).await, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let large = format!("{{\"email\":\"{}\"}}", "a".repeat(1024 * 1024));
    assert_eq!(send("application/json", large).await, StatusCode::PAYLOAD_TOO_LARGE);
}

/// The kill switches (threat 44): an agent, a server, an organisation; each bites at the next call.
async fn switches(Scene { owner, agent, .. }: &Scene) {
    for thing in ["/agents/worker", "/servers/fixture", ""] {
        assert!(calls(agent).await, "{thing}");
        owner.must(Method::PATCH, thing, json!({ "status": "suspended" })).await;
        assert!(!calls(agent).await, "{thing}: at the next call");
        owner.must(Method::PATCH, thing, json!({ "status": "active" })).await;
        assert!(calls(agent).await, "{thing}: and back");
    }
}

async fn readings(Scene { owner, .. }: &Scene) {
    for path in [
        "",
        "/teams",
        "/servers",
        "/servers/fixture",
        "/servers/fixture/tools?state=approved",
        "/servers/fixture/tools/echo",
        "/toolboxes",
        "/issuers",
        "/policies",
        "/policies/proposals",
        "/approvals",
        "/users/olga/sessions",
        "/identity-providers",
        "/authorizations",
        "/providers",
        "/connections",
    ] {
        owner.must(Method::GET, path, Value::Null).await;
    }
    let flags = json!({ "readOnly": true, "destructive": false, "idempotent": false, "openWorld": false });
    let judgement = json!({ "state": "approved", "flags": flags });
    owner.must(Method::PUT, "/servers/fixture/tools/echo", judgement.clone()).await;
    assert_eq!(
        owner.ask(Method::PUT, "/servers/fixture/tools/nothing", judgement).await.0,
        StatusCode::NOT_FOUND
    );
    owner.must(Method::POST, "/users/ann/links", json!({})).await;
    owner.must(Method::POST, "/invitations", json!({ "name": "ivy", "roles": ["member"] })).await;
    owner.must(Method::DELETE, "/users/ann/sessions", Value::Null).await;
}
