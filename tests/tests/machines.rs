//! Callers that are no people, and callers that act for people: client credentials, workload identity, token exchange, ID-JAG. One suite, on
//! every host.

use http::{Method, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::documents::{Document, Site};
use tests::fixture;
use tests::issuer::Issuer;
use tests::mcp;
use tests::oauth::{Client, REDIRECT, Told};
use tests::operator::Operator;
use tests::stack::{Host, Stack, step};

tests::on_every_host!(suite);

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

struct Scene {
    stack: Stack,
    operator: Operator,
    resource: String,
    issuer: Issuer,
}

async fn suite(host: Host) {
    let stack = Stack::with_rates(host, "register=off sign-in=off token=off").await;
    let operator = stack.organisation().await;
    operator.toolbox("main", &[("fixture", fixture::stdio("modern").await)]).await;
    for (agent, body) in [
        ("batch", json!({})),
        ("assistant", json!({ "clients": ["*"] })),
        ("deputy", json!({})),
        ("ci", json!({ "oauthClient": "repo:acme/app:ref:refs/heads/main" })),
    ] {
        operator.must(Method::PUT, &format!("/agents/{agent}"), body).await;
        operator.grant(agent, "toolbox/main").await;
    }
    let issuer = Issuer::start().await;
    operator.trust(&issuer.url).await;
    let resource = format!("{}/mcp/{}/main", stack.door.url(), operator.org);
    let scene = Scene { stack, operator, resource, issuer };

    step("client credentials", client_credentials(&scene)).await;
    step("a key of its own", private_key_jwt(&scene)).await;
    step("workload identity", workload(&scene)).await;
    step("token exchange", exchange(&scene)).await;
    step("identity assertions of an enterprise", id_jag(&scene)).await;
    step("introspection", introspection(&scene)).await;
    step("documents of clients", documents(&scene)).await;
    step("two organisations", neighbours(&scene)).await;
}

impl Scene {
    /// A client that the organisation registers.
    async fn client(&self, name: &str, body: Value) -> Client {
        registered(&self.operator, name, body).await
    }

    async fn status(&self, token: &str) -> StatusCode {
        self.operator.client("main", token).modern("tools/list", json!({})).await.status
    }

    async fn echo(&self, token: &str) {
        let answer = self.operator.client("main", token).call("echo", json!({ "text": "hello" })).await;
        assert_eq!(mcp::text(&answer), "hello");
    }

    /// A person who is signed in.
    async fn person(&self, name: &str) -> Browser {
        self.operator.must(Method::PUT, &format!("/users/{name}"), json!({})).await;
        let made = self.operator.must(Method::POST, &format!("/users/{name}/links"), json!({})).await;
        let mut browser = Browser::new(&self.stack.door);
        let page = browser.open(made["url"].as_str().unwrap()).await;
        browser.press(&page, "Sign in", &[]).await;
        browser
    }

    /// A token with which `assistant` acts for somebody.
    async fn token_of(&self, browser: &mut Browser) -> Told {
        let client = Client::registered(&self.stack.door).await;
        let code = client.code(browser, &self.resource).await;
        client.redeem(&code).await
    }
}

async fn registered(operator: &Operator, name: &str, body: Value) -> Client {
    let made = operator.must(Method::PUT, &format!("/clients/{name}"), body).await;
    Client {
        door: operator.door.clone(),
        id: made["clientId"].as_str().unwrap().to_owned(),
        secret: made["clientSecret"].as_str().map(str::to_owned),
        redirect_uri: REDIRECT.to_owned(),
    }
}

fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap())
        .unwrap()
}

async fn client_credentials(scene: &Scene) {
    let body = json!({ "title": "Nightly", "agent": "batch", "grantTypes": ["client_credentials"] });
    let client = scene.client("nightly", body.clone()).await;
    assert_eq!(client.id, format!("{}.nightly", scene.operator.org));
    assert!(client.secret.as_ref().unwrap().starts_with("ambit_cs_"));
    let grant = ("grant_type", "client_credentials");
    let told = client.token(&[grant, ("resource", &scene.resource)]).await;
    scene.echo(told.token()).await;
    assert!(told.body.get("refresh_token").is_none(), "it can ask again at any time");
    let claims = claims(told.token());
    assert_eq!(claims["sub"], claims["agent"], "nobody is behind it");
    assert!(claims.get("act").is_none() && claims.get("user").is_none());
    // The secret in the body is another method than the one it is registered with.
    let posted = Client { secret: None, ..client.clone() };
    let in_body =
        [grant, ("resource", &scene.resource), ("client_secret", client.secret.as_deref().unwrap())];
    assert_eq!(posted.token(&in_body).await.error(), "invalid_client");
    for (what, fields, error) in [
        ("no resource", vec![grant], "invalid_target"),
        ("another host", vec![grant, ("resource", "https://evil.example/mcp/a/b")], "invalid_target"),
        (
            "the API",
            vec![grant, ("resource", &format!("{}/api/v1", scene.stack.door.url()))],
            "invalid_target",
        ),
    ] {
        assert_eq!(client.token(&fields).await.error(), error, "{what}");
    }
    let narrow = client.token(&[grant, ("resource", &scene.resource), ("scope", "mcp:read")]).await;
    assert_eq!(narrow.text("scope"), "mcp:read");

    // Its secret shows once, and is replaced when it is asked for.
    let again = scene.operator.must(Method::PUT, "/clients/nightly", body).await;
    assert!(again.get("clientSecret").is_none(), "{again}");
    let rotated = scene.operator.must(Method::POST, "/clients/nightly/secret", json!({})).await;
    assert_eq!(client.token(&[grant, ("resource", &scene.resource)]).await.error(), "invalid_client");
    let client = Client { secret: rotated["clientSecret"].as_str().map(str::to_owned), ..client };
    let told = client.token(&[grant, ("resource", &scene.resource)]).await;
    assert_eq!(scene.status(told.token()).await, StatusCode::OK);
    // Suspended: tokens that are out stop too.
    scene.operator.must(Method::PUT, "/agents/batch", json!({ "status": "suspended" })).await;
    assert_eq!(client.token(&[grant, ("resource", &scene.resource)]).await.error(), "invalid_grant");
    let list = scene.operator.client("main", told.token()).modern("tools/list", json!({})).await.json().await;
    assert!(list["result"]["tools"].as_array().is_none_or(Vec::is_empty), "{list}");
    scene.operator.must(Method::PUT, "/agents/batch", json!({})).await;
    // Gone, with everything it got.
    scene.operator.must(Method::DELETE, "/clients/nightly", Value::Null).await;
    assert_eq!(client.token(&[grant, ("resource", &scene.resource)]).await.error(), "invalid_client");
    assert_eq!(scene.status(told.token()).await, StatusCode::UNAUTHORIZED);
}

/// A key pair for ES256: what signs, and the public JWK.
fn key_pair() -> (EncodingKey, Value) {
    use base64::Engine as _;
    use p256::elliptic_curve::sec1::ToEncodedPoint as _;
    use p256::pkcs8::EncodePrivateKey as _;
    let b64 = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut bytes = [9; 32];
    getrandom::fill(&mut bytes[1..]).unwrap();
    let secret = p256::SecretKey::from_slice(&bytes).unwrap();
    let point = secret.public_key().to_encoded_point(false);
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "own",
        "x": b64.encode(point.x().unwrap()), "y": b64.encode(point.y().unwrap()),
    });
    (EncodingKey::from_ec_der(secret.to_pkcs8_der().unwrap().as_bytes()), jwk)
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

async fn private_key_jwt(scene: &Scene) {
    let (key, jwk) = key_pair();
    let body = json!({
        "title": "Signer", "agent": "batch", "grantTypes": ["client_credentials"],
        "tokenEndpointAuthMethod": "private_key_jwt", "jwks": { "keys": [jwk] },
    });
    let client = scene.client("signer", body).await;
    assert!(client.secret.is_none());
    let issuer = scene.stack.door.url();
    let sign = |claims: &Value, kid: &str| {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &key).unwrap()
    };
    let good = |jti: &str| json!({ "iss": client.id, "sub": client.id, "aud": issuer, "exp": now() + 60, "jti": jti });
    let ask = async |assertion: String| {
        let fields = [
            ("grant_type", "client_credentials"),
            ("resource", scene.resource.as_str()),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", &assertion),
        ];
        client.token(&fields).await
    };
    let assertion = sign(&good("one"), "own");
    scene.echo(ask(assertion.clone()).await.token()).await;
    assert_eq!(ask(assertion).await.error(), "invalid_client", "good once");
    let with = |member: &str, value: Value| {
        let mut claims = good(member);
        claims[member] = value;
        claims
    };
    for (what, assertion) in [
        ("another audience", sign(&with("aud", json!("https://evil.example")), "own")),
        ("two audiences", sign(&with("aud", json!([issuer, "https://evil.example"])), "own")),
        ("expired", sign(&with("exp", json!(now() - 120)), "own")),
        ("for a year", sign(&with("exp", json!(now() + 31_536_000)), "own")),
        ("about another", sign(&with("sub", json!("somebody")), "own")),
        ("by another", sign(&with("iss", json!("somebody")), "own")),
        ("not yet", sign(&with("nbf", json!(now() + 600)), "own")),
        ("no id", {
            let mut claims = good("x");
            claims.as_object_mut().unwrap().remove("jti");
            sign(&claims, "own")
        }),
        ("another key's id", sign(&good("kid"), "other")),
        ("another key", {
            let header = Header { kid: Some("own".into()), ..Header::new(Algorithm::ES256) };
            jsonwebtoken::encode(&header, &good("key"), &key_pair().0).unwrap()
        }),
        ("a shared secret", {
            let header = Header { kid: Some("own".into()), ..Header::new(Algorithm::HS256) };
            jsonwebtoken::encode(&header, &good("hs"), &EncodingKey::from_secret(b"x")).unwrap()
        }),
        ("nonsense", "a.b.c".to_owned()),
    ] {
        let told = ask(assertion).await;
        assert_eq!(
            (told.status, told.error()),
            (StatusCode::UNAUTHORIZED, "invalid_client"),
            "{what}: {}",
            told.body
        );
    }
}

async fn workload(scene: &Scene) {
    let nobody = Client {
        door: scene.stack.door.clone(),
        id: String::new(),
        secret: None,
        redirect_uri: String::new(),
    };
    let issuer = scene.stack.door.url();
    let subject = "repo:acme/app:ref:refs/heads/main";
    let mut job = scene.issuer.claims(subject, issuer);
    job.as_object_mut().unwrap().remove("client_id");
    let ask = async |assertion: &str| {
        nobody
            .token(&[("grant_type", JWT_BEARER), ("assertion", assertion), ("resource", &scene.resource)])
            .await
    };
    let told = ask(&scene.issuer.sign(&job)).await;
    scene.echo(told.token()).await;
    for (what, member, value) in [
        ("another branch", "sub", json!("repo:acme/app:ref:refs/heads/evil")),
        ("for a toolbox, not for us", "aud", json!(scene.resource)),
        ("expired", "exp", json!(now() - 120)),
        ("an unknown issuer", "iss", json!("https://evil.example")),
    ] {
        let mut bad = job.clone();
        bad[member] = value;
        let told = ask(&scene.issuer.sign(&bad)).await;
        assert_eq!(told.error(), "invalid_grant", "{what}: {}", told.body);
    }
    // Without the detour: the issuer's token itself, for the toolbox.
    let mut direct = job.clone();
    direct["aud"] = json!(scene.resource);
    scene.echo(&scene.issuer.sign(&direct)).await;
}

async fn exchange(scene: &Scene) {
    let mut browser = scene.person("ann").await;
    let of_ann = scene.token_of(&mut browser).await;
    let body =
        json!({ "title": "Deputy", "agent": "deputy", "grantTypes": [EXCHANGE, "client_credentials"] });
    let deputy = scene.client("deputy", body).await;
    let ask = async |token: &str, more: &[(&str, &str)]| {
        let mut fields = vec![
            ("grant_type", EXCHANGE),
            ("subject_token", token),
            ("subject_token_type", ACCESS_TOKEN),
            ("resource", scene.resource.as_str()),
        ];
        fields.extend(more);
        deputy.token(&fields).await
    };
    let told = ask(of_ann.token(), &[]).await;
    scene.echo(told.token()).await;
    assert_eq!(told.text("issued_token_type"), ACCESS_TOKEN);
    let (outer, inner) = (claims(told.token()), claims(of_ann.token()));
    assert_eq!(outer["sub"], inner["sub"], "still for ann");
    assert_eq!(outer["act"]["sub"], outer["agent"], "by deputy");
    assert_eq!(outer["act"]["act"]["sub"], inner["agent"], "which assistant asked");
    let trail = scene.operator.trail().await;
    let call =
        trail.iter().rfind(|event| event["method"] == "tools/call" && event["phase"] == "intent").unwrap();
    assert_eq!((&call["actor"]["agent"], &call["actor"]["user"]), (&json!("deputy"), &json!("ann")));

    // It never grows.
    let narrow = ask(of_ann.token(), &[("scope", "mcp:read")]).await;
    assert_eq!(narrow.text("scope"), "mcp:read");
    assert_eq!(ask(narrow.token(), &[]).await.text("scope"), "mcp:read");
    // Neither a refresh token nor a stranger's, nor one that speaks for nobody.
    assert_eq!(ask(of_ann.text("refresh_token"), &[]).await.error(), "invalid_request");
    let own = deputy.token(&[("grant_type", "client_credentials"), ("resource", &scene.resource)]).await;
    assert_eq!(ask(own.token(), &[]).await.error(), "invalid_request");
    assert_eq!(
        ask(of_ann.token(), &[("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")])
            .await
            .error(),
        "invalid_request"
    );
    // By the word of the organisation's issuer.
    let id_token = scene.issuer.sign(&scene.issuer.claims("ann", scene.stack.door.url()));
    let fields = [
        ("grant_type", EXCHANGE),
        ("subject_token", id_token.as_str()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("resource", scene.resource.as_str()),
    ];
    assert_eq!(claims(deputy.token(&fields).await.token())["sub"], inner["sub"]);
    let grant = scene.issuer.sign_as(&scene.issuer.claims("ann", scene.stack.door.url()), "oauth-id-jag+jwt");
    let fields = [fields[0], ("subject_token", grant.as_str()), fields[2], fields[3]];
    assert_eq!(deputy.token(&fields).await.error(), "invalid_request", "made for another client");
    // The policies are asked, and the refusal is on record.
    scene
        .operator
        .publish("@id(\"t\") forbid (principal == Ambit::Agent::\"deputy\", action == Ambit::Action::\"actFor\", resource == Ambit::User::\"ann\");")
        .await;
    assert_eq!(ask(of_ann.token(), &[]).await.error(), "invalid_grant");
    assert_eq!(scene.status(told.token()).await, StatusCode::UNAUTHORIZED, "those that are out stop too");
    let trail = scene.operator.trail().await;
    let denied =
        trail.iter().rfind(|event| event["phase"] == "denial" && event["method"] == "token.issue").unwrap();
    assert_eq!(denied["decision"]["decision"]["effect"], "deny", "{denied}");
    scene.operator.publish("").await;
    // A client that is no agent acts for nobody.
    let plain = scene.client("plain", json!({ "title": "Plain", "redirectUris": [REDIRECT], "grantTypes": ["authorization_code", EXCHANGE] })).await;
    let fields = [
        ("grant_type", EXCHANGE),
        ("subject_token", of_ann.token()),
        ("subject_token_type", ACCESS_TOKEN),
        ("resource", scene.resource.as_str()),
    ];
    assert_eq!(plain.token(&fields).await.error(), "unauthorized_client");
}

async fn id_jag(scene: &Scene) {
    scene.person("ann").await;
    let client = scene.client("desktop", json!({ "title": "Desktop", "grantTypes": [JWT_BEARER] })).await;
    let issuer = scene.stack.door.url();
    let sign = |claims: &Value, typ: &str| scene.issuer.sign_as(claims, typ);
    let good = |jti: &str| {
        let mut claims = scene.issuer.claims("ann", issuer);
        claims["client_id"] = json!(client.id);
        claims["resource"] = json!(scene.resource);
        claims["scope"] = json!("mcp:read");
        claims["jti"] = json!(jti);
        claims
    };
    let ask =
        async |assertion: &str| client.token(&[("grant_type", JWT_BEARER), ("assertion", assertion)]).await;
    let jag = "oauth-id-jag+jwt";
    let assertion = sign(&good("one"), jag);
    let told = ask(&assertion).await;
    assert_eq!(told.text("scope"), "mcp:read", "what the identity provider allows is the most");
    assert_eq!(scene.status(told.token()).await, StatusCode::OK);
    assert_eq!(ask(&assertion).await.error(), "invalid_grant", "good once");
    for (what, member, value, error) in [
        ("another client's", "client_id", json!("somebody"), "invalid_grant"),
        ("another audience", "aud", json!("https://evil.example"), "invalid_grant"),
        ("expired", "exp", json!(now() - 120), "invalid_grant"),
        ("nobody here", "sub", json!("mallory"), "invalid_grant"),
        ("bound to a key", "cnf", json!({ "jkt": "x" }), "invalid_grant"),
        ("another resource", "resource", json!("https://evil.example/mcp/a/b"), "invalid_target"),
        ("an unknown issuer", "iss", json!("https://evil.example"), "invalid_grant"),
    ] {
        let mut bad = good(member);
        bad[member] = value;
        let told = ask(&sign(&bad, jag)).await;
        assert_eq!(told.error(), error, "{what}: {}", told.body);
    }
    let told = ask(&sign(&good("typ"), "JWT")).await;
    assert_ne!(told.status, StatusCode::OK, "an ID token is no grant: {}", told.body);
}

async fn introspection(scene: &Scene) {
    let mut browser = scene.person("ann").await;
    let token = scene.token_of(&mut browser).await;
    let server = scene
        .client("inner", json!({ "title": "Inner", "agent": "batch", "grantTypes": ["client_credentials"] }))
        .await;
    let told = server.post("/introspect", &[("token", token.token())]).await;
    assert_eq!((told.body["active"].as_bool(), told.text("aud")), (Some(true), scene.resource.as_str()));
    for token in ["nonsense", token.text("refresh_token")] {
        assert_eq!(server.post("/introspect", &[("token", token)]).await.body, json!({ "active": false }));
    }
    let stranger = Client::registered(&scene.stack.door).await;
    assert_eq!(stranger.post("/introspect", &[("token", token.token())]).await.status, StatusCode::FORBIDDEN);
    let neighbour = scene.stack.organisation().await;
    neighbour.must(Method::PUT, "/agents/batch", json!({})).await;
    let other = registered(
        &neighbour,
        "inner",
        json!({ "title": "Inner", "agent": "batch", "grantTypes": ["client_credentials"] }),
    )
    .await;
    assert_eq!(other.post("/introspect", &[("token", token.token())]).await.body, json!({ "active": false }));
}

/// Client ID Metadata Documents, and row 24 of the threats as far as it can be seen from outside.
async fn documents(scene: &Scene) {
    let site = Site::plain();
    let mut browser = scene.person("ann").await;
    let good = json!({ "client_name": "By document", "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none" });
    let client = |id: String| Client {
        door: scene.stack.door.clone(),
        id,
        secret: None,
        redirect_uri: REDIRECT.into(),
    };
    let by_document = client(site.client("/client.json", good.clone()));
    let page = by_document.asked(&mut browser, &scene.resource).await;
    assert!(page.text().contains("By document") && page.text().contains(&by_document.id), "{}", page.text());
    let told = by_document.redeem(&by_document.code(&mut browser, &scene.resource).await).await;
    scene.echo(told.token()).await;
    assert_eq!(site.asked().len(), 1, "fetched once while its copy is good");

    let json_type = vec!["content-type: application/json".to_owned()];
    let with = |member: &str, value: Value| {
        let mut changed = good.clone();
        changed[member] = value;
        changed
    };
    let named = |path: &str, mut metadata: Value| {
        metadata["client_id"] = json!(format!("{}{path}", site.url));
        metadata
    };
    for (path, document) in [
        ("/other-id", Document::json(&with("client_id", json!("https://evil.example/client.json")))),
        ("/no-id", Document::json(&good)),
        ("/secret", Document::json(&named("/secret", with("client_secret", json!("x"))))),
        (
            "/shared",
            Document::json(&named(
                "/shared",
                with("token_endpoint_auth_method", json!("client_secret_basic")),
            )),
        ),
        ("/script", Document::json(&named("/script", with("redirect_uris", json!(["javascript://x/%0a"]))))),
        ("/nameless", Document::json(&named("/nameless", with("client_name", Value::Null)))),
        (
            "/text",
            Document {
                headers: vec!["content-type: text/html".into()],
                ..Document::json(&named("/text", good.clone()))
            },
        ),
        (
            "/moved",
            Document {
                status: "302 Found".into(),
                headers: vec![format!("location: {}", by_document.id)],
                body: String::new(),
            },
        ),
        ("/large", Document::json(&named("/large", with("padding", json!("x".repeat(6000)))))),
        ("/broken", Document { headers: json_type.clone(), ..Document::json(&json!("no object")) }),
        ("/gone", Document { status: "404 Not Found".into(), headers: json_type.clone(), body: "{}".into() }),
    ] {
        let client = client(site.publish(path, document));
        let page = client.asked(&mut browser, &scene.resource).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{path}: {}", page.text());
    }
    for inside in [
        "https://169.254.169.254/latest/meta-data/client.json",
        "https://[::ffff:10.0.0.1]/c.json",
        "https://0x7f.1/c.json",
        "https://metadata.google.internal/c.json",
        "https://localhost.:8443/c.json",
        "https://intranet/c.json",
        "https://a.example:8443/c.json",
        "https://user@a.example/c.json",
        "http://a.example/c.json",
        "ftp://a.example/c.json",
        "https://a.example/",
        "file:///etc/passwd",
    ] {
        let page = client(inside.to_owned()).asked(&mut browser, &scene.resource).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{inside}");
    }
}

async fn neighbours(scene: &Scene) {
    let neighbour = scene.stack.organisation().await;
    neighbour.toolbox("main", &[]).await;
    neighbour.must(Method::PUT, "/agents/batch", json!({ "clients": ["*"] })).await;
    let theirs = format!("{}/mcp/{}/main", scene.stack.door.url(), neighbour.org);
    let ours = scene.client("ours", json!({ "title": "Ours", "agent": "batch", "redirectUris": [REDIRECT], "grantTypes": ["authorization_code", "client_credentials"] })).await;
    assert_eq!(
        ours.token(&[("grant_type", "client_credentials"), ("resource", &theirs)]).await.error(),
        "invalid_target"
    );
    // A client that one organisation registered is let in nowhere else, whatever an agent there lets in.
    neighbour.must(Method::PUT, "/users/bob", json!({})).await;
    let link = neighbour.must(Method::POST, "/users/bob/links", json!({})).await;
    let mut bob = Browser::new(&scene.stack.door);
    let page = bob.open(link["url"].as_str().unwrap()).await;
    bob.press(&page, "Sign in", &[]).await;
    assert_eq!(ours.asked(&mut bob, &theirs).await.status, StatusCode::FORBIDDEN);
    // And somebody of another organisation is asked to sign in here.
    let page = ours.asked(&mut bob, &scene.resource).await;
    assert!(page.url.path().starts_with(&format!("/sign-in/{}", scene.operator.org)), "{}", page.url);
    let unknown = format!("{}/mcp/nobody-here/main", scene.stack.door.url());
    let page = ours.asked(&mut bob, &unknown).await;
    assert!(page.url.path().starts_with("/sign-in/nobody-here"), "told like one that is there: {}", page.url);
}
