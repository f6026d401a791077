//! Signing in at an organisation's identity provider, on every host: an honest one, and one that is hostile in every way we know.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tests::browser::{Browser, Page};
use tests::door::Door;
use tests::identity_provider::{Conduct, IdentityProvider, Signed};
use tests::operator::Operator;
use tests::stack::{Host, Stack, step};
use url::Url;

tests::on_every_host!(suite);

const COOKIE: &str = "__Host-ambit";

struct Scene {
    door: Door,
    operator: Operator,
    idp: IdentityProvider,
    /// Another provider of the same organisation.
    other: IdentityProvider,
}

async fn suite(host: Host) {
    let stack = Stack::with_rates(host, "sign-in=off token=off register=off").await;
    let (idp, other) = (IdentityProvider::start().await, IdentityProvider::start().await);
    let scene = Scene { door: stack.door.clone(), operator: stack.organisation().await, idp, other };
    step("setting one up", setting_up(&scene)).await;
    step("everyone, by issuer and subject", everyone(&scene)).await;
    step("nobody by name or e-mail address", never_by_name(&scene)).await;
    step("only who is known", only_known(&scene)).await;
    step("linking an account", linking(&scene)).await;
    step("groups are teams", groups(&scene)).await;
    step("hostile ID tokens", hostile_tokens(&scene)).await;
    step("hostile answers", hostile_answers(&scene)).await;
    step("a stolen code", stolen_code(&scene)).await;
    step("mix-up", mix_up(&scene)).await;
    step("keys change", keys_change(&scene)).await;
    step("off-boarding", off_boarding(&scene)).await;
    step("the trail", trail(&scene)).await;
    if let Door::Memory(memory) = &scene.door {
        step("outages and floods", outages(&scene, &memory.platform)).await;
    }
}

impl Scene {
    fn browser(&self) -> Browser {
        Browser::new(&self.door)
    }

    async fn set(&self, name: &str, settings: Value) -> Value {
        self.operator.must(Method::PUT, &format!("/identity-providers/{name}"), settings).await
    }

    fn start(&self, idp: &str) -> String {
        format!("/sign-in/{}/{idp}", self.operator.org)
    }

    /// Tries to sign in, in a new browser.
    async fn attempt(&self, idp: &str) -> (Browser, Page) {
        let mut browser = self.browser();
        let page = browser.open(&self.start(idp)).await;
        (browser, page)
    }

    /// Leaves for a provider, and stops before coming back.
    async fn until_callback(&self, browser: &mut Browser, idp: &str) -> Url {
        let left = browser.look(&self.start(idp)).await;
        let there = browser.look(left.location().unwrap_or_else(|| panic!("{}", left.text())).as_str()).await;
        there.location().unwrap()
    }

    /// A browser that is signed in with a link.
    async fn with_link(&self, name: &str) -> Browser {
        self.operator.must(Method::PUT, &format!("/users/{name}"), json!({})).await;
        let made = self.operator.must(Method::POST, &format!("/users/{name}/links"), json!({})).await;
        let mut browser = self.browser();
        let page = browser.open(made["url"].as_str().unwrap()).await;
        browser.press(&page, "Sign in", &[]).await;
        browser
    }
}

fn is_in(page: &Page) -> bool {
    page.status == StatusCode::OK && page.url.path() == "/account"
}

fn claims(claims: Value) -> Map<String, Value> {
    let Value::Object(claims) = claims else { panic!("no object: {claims}") };
    claims
}

/// That nobody was signed in, and why.
#[track_caller]
fn refused(what: &str, (browser, page): &(Browser, Page), why: &str) {
    assert!(browser.cookie(COOKIE).is_none(), "{what}");
    assert!(
        page.status.is_client_error() && page.text().contains(why),
        "{what}: {} {}",
        page.status,
        page.text()
    );
    assert!(!browser.cookie_names().iter().any(|name| name.contains("flow")), "{what}: the flow is over");
}

async fn setting_up(scene: &Scene) {
    let put = async |change: Value| {
        let mut settings = scene.idp.settings();
        settings.as_object_mut().unwrap().extend(claims(change));
        scene.operator.ask(Method::PUT, "/identity-providers/staff", settings).await
    };
    for bad in [
        json!({ "issuer": "http://169.254.169.254" }),
        json!({ "issuer": "https://10.0.0.1" }),
        json!({ "issuer": "https://2130706433" }),
        json!({ "issuer": "https://idp.internal" }),
        json!({ "issuer": "https://user@idp.example.com" }),
        json!({ "issuer": "https://idp.example.com:8443" }),
        json!({ "issuer": "http://idp.example.com" }),
        json!({ "issuer": format!("{}/", scene.idp.url()) }),
        json!({ "issuer": format!("{}/nowhere", scene.idp.url()) }),
        json!({ "issuer": scene.idp.url().replace("127.0.0.1", "localhost") }),
        json!({ "issuer": "x" }),
        json!({ "issuer": format!("{}?x", scene.idp.url()) }),
        json!({ "clientId": "" }),
        json!({ "scopes": ["profile"] }),
        json!({ "scopes": ["openid", "a b"] }),
        json!({ "domains": ["Acme.Example"] }),
        json!({ "admits": "some" }),
        json!({ "groupsClaim": "groups" }),
        json!({ "groupsClaim": "groups", "teams": { "g": "nowhere" } }),
        json!({ "secret": "x" }),
    ] {
        let (status, told) = put(bad.clone()).await;
        assert!(status.is_client_error(), "{bad}: {status} {told}");
    }
    let made = scene.set("staff", scene.idp.settings()).await;
    let expected = format!("{}/sign-in/{}/staff/callback", scene.door.url(), scene.operator.org);
    assert_eq!((&made["redirectUri"], &made["hasClientSecret"]), (&json!(expected), &json!(true)));
    let told = scene.operator.must(Method::GET, "/identity-providers", Value::Null).await;
    assert!(!told.to_string().contains("c%ret"), "{told}");

    // The secret stays with the issuer and the client that it was given for.
    let without = |url: &str| json!({ "issuer": url, "clientId": tests::identity_provider::CLIENT, "admits": "everyone" });
    assert_eq!(scene.set("staff", without(scene.idp.url())).await["hasClientSecret"], true);
    assert_eq!(scene.set("staff", without(scene.other.url())).await["hasClientSecret"], false);
    assert_eq!(scene.set("staff", without(scene.idp.url())).await["hasClientSecret"], false);
    scene.set("staff", scene.idp.settings()).await;
    scene.set("other", scene.other.settings()).await;
    scene.set("third", scene.other.settings()).await;
    let gone = scene.operator.must(Method::DELETE, "/identity-providers/third", Value::Null).await;
    assert_eq!(gone, Value::Null);
    let (status, _) = scene.operator.ask(Method::GET, "/identity-providers/third", Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let auditor = scene.operator.person("auditor", &["auditor"]).await;
    for (method, path) in
        [(Method::GET, ""), (Method::GET, "/staff"), (Method::PUT, "/staff"), (Method::DELETE, "/staff")]
    {
        let (status, _) = auditor.ask(method, &format!("/identity-providers{path}"), Value::Null).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
}

async fn everyone(scene: &Scene) {
    scene.idp.be(|idp| idp.claims = claims(json!({ "email": "ann@acme.example", "email_verified": true })));
    let mut browser = scene.browser();
    let ways = browser.open(&format!("/sign-in/{}", scene.operator.org)).await;
    let account = browser.click(&ways, "Sign in with staff").await;
    assert!(is_in(&account), "{}", account.text());
    assert!(
        account.text().contains("ann@acme.example") && account.text().contains("by staff"),
        "{}",
        account.text()
    );
    assert!(!browser.cookie_names().iter().any(|name| name.contains("flow")), "{:?}", browser.cookie_names());

    // Whoever has the same subject is the same person, whatever else changes.
    scene.idp.be(|idp| idp.claims = claims(json!({ "email": "bob@acme.example", "email_verified": true })));
    let (_, again) = scene.attempt("staff").await;
    assert!(again.text().starts_with("ann@acme.example"), "{}", again.text());
    // An address that is not verified names nobody.
    scene.idp.be(|idp| {
        idp.sign_in("u-2");
        idp.claims = claims(json!({ "email": "eve@acme.example" }));
    });
    let (_, account) = scene.attempt("staff").await;
    assert!(account.text().starts_with("u-2") && !account.text().contains("eve@"), "{}", account.text());
    let mut named = scene.idp.settings();
    named["nameClaim"] = json!("preferred_username");
    scene.set("staff", named).await;
    scene.idp.be(|idp| {
        idp.sign_in("u-3");
        idp.claims = claims(json!({ "preferred_username": "carol" }));
    });
    assert!(scene.attempt("staff").await.1.text().starts_with("carol"));
    for (subject, name) in
        [("u-4", json!(null)), ("u-5", json!("@operator")), ("u-6", json!("a b")), ("u-7", json!(7))]
    {
        scene.idp.be(|idp| {
            idp.sign_in(subject);
            idp.claims = claims(json!({ "preferred_username": name }));
        });
        refused("a name", &scene.attempt("staff").await, "no name that a person can have");
    }
    scene.set("staff", scene.idp.settings()).await;
    // Somebody who comes back where they came from.
    scene.idp.be(|_| {});
    let page = scene.browser().open(&format!("{}?return_to=/console", scene.start("staff"))).await;
    assert_eq!(page.url.path(), "/console");
    let page = scene.browser().open(&format!("{}?return_to=//evil.example", scene.start("staff"))).await;
    assert!(is_in(&page));
}

async fn never_by_name(scene: &Scene) {
    // The same address, the same name, the same subject: at another provider it is somebody else.
    scene.other.be(|idp| idp.claims = claims(json!({ "email": "ann@acme.example", "email_verified": true })));
    refused("an address", &scene.attempt("other").await, "is here already");
    scene.other.be(|idp| idp.sign_in("carol"));
    refused("a name", &scene.attempt("other").await, "is here already");
    let mut bounded = scene.other.settings();
    bounded["domains"] = json!(["acme.example"]);
    scene.set("other", bounded).await;
    for (what, said) in [
        ("no address", json!({})),
        ("unverified", json!({ "email": "new@acme.example", "email_verified": false })),
        ("not said", json!({ "email": "new@acme.example" })),
        ("elsewhere", json!({ "email": "new@evil.example", "email_verified": true })),
        ("below", json!({ "email": "new@x.acme.example", "email_verified": true })),
        ("around", json!({ "email": "new@evilacme.example", "email_verified": true })),
        ("before", json!({ "email": "new@acme.example@evil.example", "email_verified": true })),
    ] {
        scene.other.be(|idp| {
            idp.sign_in("fresh");
            idp.claims = claims(said);
        });
        refused(what, &scene.attempt("other").await, "its own domains only");
    }
    scene.other.be(|idp| {
        idp.sign_in("fresh");
        idp.claims = claims(json!({ "email": "new@ACME.example", "email_verified": "true" }));
    });
    assert!(is_in(&scene.attempt("other").await.1));
}

async fn only_known(scene: &Scene) {
    let mut settings = scene.other.settings();
    settings["admits"] = json!("known");
    scene.set("other", settings).await;
    scene.other.be(|idp| idp.sign_in("stranger"));
    refused("a stranger", &scene.attempt("other").await, "nobody here is linked");
}

async fn linking(scene: &Scene) {
    scene.other.be(|idp| idp.sign_in("dora-there"));
    let mut dora = scene.with_link("dora").await;
    let account = dora.open("/account").await;
    let before = dora.cookie(COOKIE).unwrap().to_owned();
    let asked = dora.press(&account, "Link other", &[]).await;
    assert!(asked.text().contains("sign in here as dora"), "{}", asked.text());
    let account = dora.click(&asked, "Continue to other").await;
    assert!(is_in(&account) && account.text().contains("dora-there"), "{}", account.text());
    assert_eq!(dora.cookie(COOKIE), Some(before.as_str()), "linking signs nobody in");
    let (_, signed) = scene.attempt("other").await;
    assert!(is_in(&signed) && signed.text().starts_with("dora"), "{}", signed.text());

    // Nobody else gets that account.
    let mut eve = scene.with_link("eve").await;
    let page = eve.open("/account").await;
    let asked = eve.press(&page, "Link other", &[]).await;
    let page = eve.click(&asked, "Continue to other").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "{}", page.text());
    // A flow of one browser links nothing to the session of another, nor to one that is over.
    scene.other.be(|idp| idp.sign_in("eve-there"));
    let page = eve.open("/account").await;
    let asked = eve.press(&page, "Link other", &[]).await;
    let there = eve.look(asked.link("Continue to other").unwrap().as_str()).await;
    let back = there.location().unwrap();
    let stranger = dora.open(back.as_str()).await;
    assert_eq!(stranger.status, StatusCode::BAD_REQUEST, "{}", stranger.text());
    let page = eve.open("/account").await;
    let mut over = eve.clone();
    eve.press(&page, "Sign out everywhere", &[]).await;
    let page = over.open(back.as_str()).await;
    assert!(page.status == StatusCode::FORBIDDEN && page.text().contains("is over"), "{}", page.text());
    refused("nothing was linked", &scene.attempt("other").await, "nobody here is linked");

    scene.other.be(|idp| idp.sign_in("dora-there"));
    let account = dora.open("/account").await;
    let account = dora.press(&account, "Unlink", &[]).await;
    assert!(!account.text().contains("dora-there"), "{}", account.text());
    refused("unlinked", &scene.attempt("other").await, "nobody here is linked");
    scene.set("other", scene.other.settings()).await;
}

async fn groups(scene: &Scene) {
    for team in ["finance", "ops", "own"] {
        scene.operator.must(Method::PUT, &format!("/teams/{team}"), json!({})).await;
    }
    let mut settings = scene.idp.settings();
    settings["groupsClaim"] = json!("groups");
    settings["teams"] = json!({ "G-fin": "finance", "G-ops": "ops", "G-sre": "ops" });
    scene.set("staff", settings).await;
    let come = async |groups: Value| {
        scene.idp.be(|idp| {
            idp.sign_in("grouped");
            idp.claims = claims(json!({ "groups": groups }));
        });
        let page = scene.attempt("staff").await.1;
        assert!(is_in(&page), "{}", page.text());
        page.text().split_once("Teams ").unwrap().1.split_once(" Connected accounts").unwrap().0.to_owned()
    };
    assert_eq!(come(json!(["G-fin", "G-unknown"])).await, "finance");
    scene.operator.must(Method::PUT, "/teams/own", json!({ "users": ["grouped"] })).await;
    assert_eq!(come(json!(["G-ops", "G-fin"])).await, "finance, ops, own");
    assert_eq!(come(json!(["G-sre"])).await, "ops, own");
    assert_eq!(come(json!("G-fin")).await, "finance, own");
    assert_eq!(come(json!(null)).await, "own");
    scene.set("staff", scene.idp.settings()).await;
}

type Fields = Vec<(String, String)>;

type Change = Box<dyn FnOnce(&mut Conduct)>;

async fn hostile_tokens(scene: &Scene) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let client = tests::identity_provider::CLIENT;
    let said = |said: Value| move |idp: &mut Conduct| idp.claims = claims(said);
    let header = |said: Value| move |idp: &mut Conduct| idp.header = claims(said);
    let earlier = scene.idp.id_token(Some("of an earlier attempt"));
    let table: Vec<(&str, Change)> = vec![
        ("alg none", Box::new(|idp| idp.signed = Signed::Not)),
        ("HS256 with the public key", Box::new(|idp| idp.signed = Signed::ByPublicKey)),
        ("a stranger's key", Box::new(|idp| idp.signed = Signed::ByStranger)),
        ("another nonce", Box::new(said(json!({ "nonce": "x" })))),
        ("no nonce", Box::new(said(json!({ "nonce": null })))),
        ("another audience", Box::new(said(json!({ "aud": "somebody-else" })))),
        ("two audiences", Box::new(said(json!({ "aud": [client, "somebody-else"] })))),
        ("no audience", Box::new(said(json!({ "aud": null })))),
        ("no audiences", Box::new(said(json!({ "aud": [] })))),
        ("another authorized party", Box::new(said(json!({ "azp": "somebody-else" })))),
        ("another issuer", Box::new(said(json!({ "iss": "https://evil.example" })))),
        ("no issuer", Box::new(said(json!({ "iss": null })))),
        ("almost the issuer", Box::new(said(json!({ "iss": format!("{}/", scene.idp.url()) })))),
        ("expired", Box::new(said(json!({ "exp": now - 60 })))),
        ("no expiry", Box::new(said(json!({ "exp": null })))),
        ("no time of issue", Box::new(said(json!({ "iat": null })))),
        ("from the future", Box::new(said(json!({ "iat": now + 300 })))),
        ("not yet", Box::new(said(json!({ "nbf": now + 300 })))),
        ("long ago", Box::new(said(json!({ "iat": now - 3600 })))),
        ("no subject", Box::new(said(json!({ "sub": null })))),
        ("an empty subject", Box::new(said(json!({ "sub": "" })))),
        ("a number as subject", Box::new(said(json!({ "sub": 1 })))),
        ("an access token", Box::new(header(json!({ "typ": "at+jwt" })))),
        ("a logout token", Box::new(header(json!({ "typ": "logout+jwt" })))),
        ("a critical extension", Box::new(header(json!({ "crit": ["exp"] })))),
        ("a key id that is a path", Box::new(header(json!({ "kid": "../../../../dev/null" })))),
        ("a key id that is SQL", Box::new(header(json!({ "kid": "k1' OR '1'='1" })))),
        ("an earlier token", Box::new(move |idp| idp.token = Some(earlier))),
        ("no JWT", Box::new(|idp| idp.token = Some("x.y.z".into()))),
        ("an empty token", Box::new(|idp| idp.token = Some(String::new()))),
    ];
    for (what, change) in table {
        scene.idp.be(change);
        refused(what, &scene.attempt("staff").await, "ID token");
    }
    // A key of their own in the header, under our key id: ours is taken all the same, and does not fit.
    scene.idp.be(|idp| {
        idp.signed = Signed::ByStranger;
        idp.header = claims(
            json!({ "jku": format!("{}/jwks", scene.other.url()), "jwk": { "kty": "oct", "k": "AA" } }),
        );
    });
    scene.other.hits("jwks");
    refused("jwk and jku", &scene.attempt("staff").await, "ID token");
    assert_eq!(scene.other.hits("jwks"), 0, "nobody is asked because a token says so");
    scene.idp.be(|idp| idp.header = claims(json!({ "typ": "JWT" })));
    assert!(is_in(&scene.attempt("staff").await.1), "and an honest one is taken");
    scene.idp.be(|idp| idp.claims = claims(json!({ "aud": [client], "azp": client })));
    assert!(is_in(&scene.attempt("staff").await.1));
}

async fn hostile_answers(scene: &Scene) {
    scene.idp.be(|_| {});
    let mut honest = scene.browser();
    let back = scene.until_callback(&mut honest, "staff").await;
    let query: Vec<(String, String)> = back.query_pairs().into_owned().collect();
    let with = |change: &dyn Fn(&mut Fields)| {
        let mut query = query.clone();
        change(&mut query);
        let mut url = back.clone();
        url.query_pairs_mut().clear().extend_pairs(query);
        url
    };
    let state = query.iter().find(|(name, _)| name == "state").unwrap().clone();
    scene.idp.hits("token");
    let elsewhere = with(&|_| {}).as_str().replace("/staff/", "/other/");
    for (what, url) in [
        ("no state", with(&|query| query.retain(|(name, _)| name != "state")).to_string()),
        (
            "an empty state",
            with(&|query| query.iter_mut().filter(|(n, _)| n == "state").for_each(|(_, v)| v.clear()))
                .to_string(),
        ),
        (
            "another state",
            with(&|query| query.iter_mut().filter(|(n, _)| n == "state").for_each(|(_, v)| v.push('x')))
                .to_string(),
        ),
        ("two states", with(&|query| query.push(state.clone())).to_string()),
        ("two codes", with(&|query| query.push(("code".into(), "x".into()))).to_string()),
        ("two issuers", with(&|query| query.push(("iss".into(), scene.idp.url().into()))).to_string()),
        ("at another provider's address", elsewhere),
    ] {
        let mut browser = honest.clone();
        let page = browser.open(&url).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{what}: {}", page.text());
        assert!(browser.cookie(COOKIE).is_none(), "{what}");
    }
    // Another browser: without a cookie, and with one of its own flow.
    assert_eq!(scene.browser().open(back.as_str()).await.status, StatusCode::BAD_REQUEST, "no cookie");
    let mut victim = scene.browser();
    scene.until_callback(&mut victim, "staff").await;
    assert_eq!(victim.open(back.as_str()).await.status, StatusCode::BAD_REQUEST, "a foreign cookie");
    let name = honest.cookie_names().into_iter().find(|name| name.contains("flow")).unwrap().to_owned();
    let foreign = victim.cookie_names().into_iter().find(|name| name.contains("flow")).unwrap().to_owned();
    let mut swapped = scene.browser();
    swapped.set_cookie(&name, victim.cookie(&foreign).unwrap());
    assert_eq!(
        swapped.open(back.as_str()).await.status,
        StatusCode::BAD_REQUEST,
        "another flow under this name"
    );
    assert_eq!(scene.idp.hits("token"), 0, "nobody asked for a token");

    assert!(is_in(&honest.clone().open(back.as_str()).await), "and the honest one gets in");
    let twice = honest.clone().open(back.as_str()).await;
    assert!(!is_in(&twice) && twice.text().contains("refused the code"), "once: {}", twice.text());
}

async fn stolen_code(scene: &Scene) {
    // The attacker's own code, in a link for the victim, whose flow has another verifier.
    scene.idp.be(|idp| idp.sign_in("attacker"));
    let mut attacker = scene.browser();
    let of_attacker = scene.until_callback(&mut attacker, "staff").await;
    scene.idp.be(|idp| idp.sign_in("victim"));
    let mut victim = scene.browser();
    let of_victim = scene.until_callback(&mut victim, "staff").await;
    let code = of_attacker.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let mut forged = of_victim.clone();
    let others: Vec<_> = of_victim.query_pairs().into_owned().filter(|(name, _)| name != "code").collect();
    forged.query_pairs_mut().clear().extend_pairs(others).append_pair("code", &code);
    let page = victim.open(forged.as_str()).await;
    refused("a stolen code", &(victim, page), "refused the code");
}

async fn mix_up(scene: &Scene) {
    // What metadata promises, what the answer says, and whether that is taken (RFC 9207 §2.4).
    let other = scene.other.url().to_owned();
    let own = scene.idp.url().to_owned();
    let rows = [
        (true, Some(own.clone()), None),
        (true, None, Some("does not say")),
        (true, Some(other.clone()), Some("another identity provider")),
        (true, Some(format!("{own}/")), Some("another identity provider")),
        (false, None, None),
        (false, Some(own), None),
        (false, Some(other.clone()), Some("another identity provider")),
    ];
    for (promises, said, refusal) in rows {
        // What it promises is kept for a while: a provider that never was promises anew.
        let idp = IdentityProvider::start().await;
        let said = said.map(|said| said.replace(scene.idp.url(), idp.url()));
        let change = |idp: &mut Conduct| {
            idp.promises_iss = promises;
            idp.iss.clone_from(&said);
            idp.sign_in(&tests::programs::unique("mixed"));
        };
        idp.be(change);
        scene.set("mixed", idp.settings()).await;
        idp.hits("token");
        let attempt = scene.attempt("mixed").await;
        match refusal {
            None => assert!(is_in(&attempt.1), "{promises} {said:?}: {}", attempt.1.text()),
            Some(why) => {
                refused("mix-up", &attempt, why);
                assert_eq!(idp.hits("token"), 0, "the code went nowhere: {promises} {said:?}");
            }
        }
    }
    // An error is told only if it is the right one who says it, and in no words of theirs.
    scene.idp.be(|idp| {
        idp.error = Some("access_denied");
        idp.iss = Some(other);
    });
    let attempt = scene.attempt("staff").await;
    assert!(!attempt.1.text().contains("access_denied"), "{}", attempt.1.text());
    refused("an error of another", &attempt, "another identity provider");
    scene.idp.be(|idp| idp.error = Some("access_denied"));
    refused("an error", &scene.attempt("staff").await, "`access_denied`");
    scene.idp.be(|idp| idp.error = Some("<script>alert(1)</script>"));
    let attempt = scene.attempt("staff").await;
    assert!(!attempt.1.html.contains("alert(1)"));
    refused("a script", &attempt, "refused: `error`");
}

async fn keys_change(scene: &Scene) {
    let idp = IdentityProvider::start().await;
    scene.set("fresh", idp.settings()).await;
    idp.be(|idp| idp.sign_in("keyed"));
    assert!(is_in(&scene.attempt("fresh").await.1));
    assert_eq!((idp.hits("jwks"), idp.hits("discovery") > 0), (1, true));
    assert!(is_in(&scene.attempt("fresh").await.1));
    assert_eq!((idp.hits("jwks"), idp.hits("discovery")), (0, 0), "both are kept");
}

async fn off_boarding(scene: &Scene) {
    scene.idp.be(|idp| idp.sign_in("leaver"));
    let (mut browser, page) = scene.attempt("staff").await;
    assert!(is_in(&page));
    scene.operator.must(Method::PUT, "/users/leaver", json!({ "status": "suspended" })).await;
    assert!(!is_in(&browser.open("/account").await), "the session");
    refused("the account", &scene.attempt("staff").await, "not active");
    scene.operator.must(Method::DELETE, "/users/leaver", Value::Null).await;
    refused("a name that was", &scene.attempt("staff").await, "not active");
    let provider = scene.idp.settings();
    scene.operator.must(Method::DELETE, "/identity-providers/staff", Value::Null).await;
    assert_eq!(scene.attempt("staff").await.1.status, StatusCode::NOT_FOUND, "the provider");
    scene.set("staff", provider).await;
}

async fn trail(scene: &Scene) {
    let trail = scene.operator.trail().await;
    let has = |method: &str, phase: &str, word: &str| {
        trail.iter().any(|event| {
            event["method"] == method
                && event["phase"] == phase
                && event["reason"].as_str().is_some_and(|reason| reason.contains(word))
        })
    };
    assert!(has("session.open", "note", "was let in"), "a newcomer");
    assert!(has("session.open", "note", "`dora` signed in"), "somebody known");
    assert!(
        has("session.open", "denial", "ID token") && has("session.open", "denial", "nobody here is linked")
    );
    assert!(has("identity.link", "note", "dora") && has("identity.unlink", "note", "dora"));
    assert!(
        has("identity-provider.put", "note", "staff") && has("identity-provider.delete", "note", "staff")
    );
    assert!(!serde_json::to_string(&trail).unwrap().contains("c%ret"), "no secret is on record");
}

async fn outages(scene: &Scene, host: &tests::memory::MemoryPlatform) {
    let idp = IdentityProvider::start().await;
    scene.set("frail", idp.settings()).await;
    let pass = |time: Duration| {
        host.advance(time);
        idp.advance(time);
    };
    assert!(is_in(&scene.attempt("frail").await.1));
    // A new key is found, but not more than one fetch in five seconds.
    pass(Duration::from_secs(11));
    idp.rotate("k2");
    idp.hits("jwks");
    assert!(is_in(&scene.attempt("frail").await.1), "rotated");
    assert_eq!(idp.hits("jwks"), 1);
    for number in 0..20 {
        idp.be(|idp| idp.header = claims(json!({ "kid": format!("x{number}") })));
        refused("an unknown key", &scene.attempt("frail").await, "no such key");
    }
    assert!(idp.hits("jwks") <= 1, "a flood of unknown keys");
    // Away: what we know of it is good for a day.
    idp.be(|idp| idp.away = true);
    pass(Duration::from_hours(1));
    assert!(is_in(&scene.attempt("frail").await.1), "away for an hour");
    pass(Duration::from_hours(24));
    let (browser, page) = scene.attempt("frail").await;
    assert!(browser.cookie(COOKIE).is_none() && page.status == StatusCode::BAD_GATEWAY, "away for a day");
    idp.hits("discovery");
    for _ in 0..10 {
        scene.attempt("frail").await;
    }
    assert!(idp.hits("discovery") <= 1, "who is away is not asked again and again");
    idp.be(|_| {});
    pass(Duration::from_secs(11));
    assert!(is_in(&scene.attempt("frail").await.1), "back");
    // Whoever takes too long starts again.
    let mut late = scene.browser();
    let back = scene.until_callback(&mut late, "frail").await;
    pass(Duration::from_mins(11));
    assert_eq!(late.open(back.as_str()).await.status, StatusCode::BAD_REQUEST);
}
