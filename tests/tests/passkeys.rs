//! Passkeys: with a real browser, and with an authenticator of ours that cheats in every way we know. They are bound to a name, so this
//! gateway has one: it is not on every host of the other suites, which have addresses.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::EncodePublicKey as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::process::{Command, Stdio};
use std::time::Duration;
use tests::browser::{Browser, Page};
use tests::door::Door;
use tests::node;
use tests::programs::{free_port, program};
use tests::stack::{Process, run};

const COOKIE: &str = "__Host-ambit";

/// A deployment at a name, and the link of its first owner.
struct Scene {
    url: String,
    link: String,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let port = free_port();
        let url = format!("http://localhost:{port}");
        let process = Command::new(program("ambit"))
            .args([
                "serve",
                "--org",
                "acme",
                "--public-url",
                &url,
                "--listen",
                &format!("127.0.0.1:{port}"),
                "--data",
            ])
            .arg(folder.path().join("data"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let process = Process(process);
        for _ in 0..200 {
            let told = std::fs::read_to_string(&log).unwrap();
            if let Some(link) = told.split_whitespace().find(|word| word.contains("/sign-in/link/"))
                && tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
            {
                return Self { url, link: link.to_owned(), _process: process, _folder: folder };
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it does not start: {}", std::fs::read_to_string(&log).unwrap());
    }
}

#[test]
fn in_chromium() {
    run(async {
        let scene = Scene::start().await;
        let output = node::node("clients/passkey.mjs", &[&scene.link, "acme"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
}

/// An authenticator and the browser before it. Each attempt is honest but for what a test changes.
struct Device {
    key: SigningKey,
    id: Vec<u8>,
}

/// One ceremony, as it would honestly be.
#[derive(Clone)]
struct Attempt {
    client: Value,
    party: String,
    flags: u8,
    counter: u32,
    signer: Option<SigningKey>,
    public_key: Option<Vec<u8>>,
    id: Option<Vec<u8>>,
}

impl Device {
    fn new() -> Self {
        let mut bytes = [7; 32];
        getrandom::fill(&mut bytes[1..]).unwrap();
        Self { key: SigningKey::from_slice(&bytes).unwrap(), id: bytes[..20].to_vec() }
    }

    /// What it answers to the form of a page.
    fn answer(
        &self,
        page: &Page,
        ceremony: &str,
        change: impl FnOnce(&mut Attempt),
    ) -> Vec<(&'static str, String)> {
        let challenge = page.html.split("data-challenge=\"").nth(1).unwrap().split('"').next().unwrap();
        let mut attempt = Attempt {
            client: json!({ "type": format!("webauthn.{ceremony}"), "challenge": challenge,
                "origin": page.url.origin().ascii_serialization(), "crossOrigin": false }),
            party: "localhost".into(),
            flags: if ceremony == "create" { 0x45 } else { 0x05 },
            counter: 0,
            signer: None,
            public_key: None,
            id: None,
        };
        change(&mut attempt);
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let client = attempt.client.to_string();
        let mut data = Sha256::digest(&attempt.party).to_vec();
        data.push(attempt.flags);
        data.extend(attempt.counter.to_be_bytes());
        let key = attempt.signer.as_ref().unwrap_or(&self.key);
        if ceremony == "create" {
            data.extend([0; 16]);
            data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
            data.extend(&self.id);
        }
        let signed = [data.as_slice(), Sha256::digest(&client).as_slice()].concat();
        let signature: Signature = key.sign(&signed);
        let public = key.verifying_key().to_public_key_der().unwrap().to_vec();
        vec![
            ("id", encode(attempt.id.as_ref().unwrap_or(&self.id))),
            ("client_data", encode(client.as_bytes())),
            ("authenticator_data", encode(&data)),
            ("public_key", encode(attempt.public_key.as_ref().unwrap_or(&public))),
            ("signature", encode(signature.to_der().as_bytes())),
        ]
    }
}

async fn press(browser: &mut Browser, page: &Page, button: &str, filled: &[(&'static str, String)]) -> Page {
    let filled: Vec<(&str, &str)> = filled.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.press(page, button, &filled).await
}

type Change = (&'static str, fn(&mut Attempt), &'static str);

/// What both ceremonies refuse.
const CHEATS: &[Change] = &[
    ("another challenge", |attempt| attempt.client["challenge"] = json!("x".repeat(43)), "open for too long"),
    (
        "another origin",
        |attempt| attempt.client["origin"] = json!("http://evil.example"),
        "not used on this page",
    ),
    (
        "another port",
        |attempt| attempt.client["origin"] = json!("http://localhost:1"),
        "not used on this page",
    ),
    ("in a frame", |attempt| attempt.client["crossOrigin"] = json!(true), "not used on this page"),
    (
        "the other ceremony",
        |attempt| attempt.client["type"] = json!("webauthn.other"),
        "not used on this page",
    ),
    ("another party", |attempt| attempt.party = "evil.example".into(), "not used on this page"),
    ("nobody there", |attempt| attempt.flags &= !0x01, "did not verify"),
    ("nobody verified", |attempt| attempt.flags &= !0x04, "did not verify"),
    ("no origin", |attempt| attempt.client["origin"] = Value::Null, "no passkey"),
];

#[test]
fn hostile_authenticators() {
    run(async {
        let scene = Scene::start().await;
        let door = Door::socket(&scene.url);
        let mut browser = Browser::new(&door);
        let page = browser.open(&scene.link).await;
        browser.press(&page, "Sign in as owner", &[]).await;
        let device = Device::new();
        registering(&mut browser, &device).await;
        signing_in(&door, &device).await;
        copied(&door, &mut browser).await;
    });
}

async fn registering(browser: &mut Browser, device: &Device) {
    const BUTTON: &str = "Register a passkey";
    let more: &[Change] = &[
        ("no credential", |attempt| attempt.flags &= !0x40, "no passkey"),
        ("another id", |attempt| attempt.id = Some(vec![1, 2, 3]), "no passkey"),
        ("another kind of key", |attempt| attempt.public_key = Some(vec![0x30, 0]), "no passkey"),
        (
            "a point that is none",
            |attempt| attempt.public_key.get_or_insert_with(|| spki([9; 64])).truncate(91),
            "no passkey",
        ),
    ];
    for (what, change, why) in CHEATS.iter().chain(more) {
        let page = browser.open("/account").await;
        let refused = press(browser, &page, BUTTON, &device.answer(&page, "create", change)).await;
        assert!(
            refused.status == StatusCode::FORBIDDEN && refused.text().contains(why),
            "{what}: {}",
            refused.text()
        );
    }
    let page = browser.open("/account").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"),
        "{policy}"
    );
    let honest = device.answer(&page, "create", |_| {});
    // Without the session's token, nothing.
    let mut bare = page.form(BUTTON, &[]).unwrap();
    bare.fields.retain(|(name, _)| name != "token" && !honest.iter().any(|(other, _)| other == name));
    bare.fields.extend(honest.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    assert_eq!(browser.send(&bare, Some(&page.url)).await.status, StatusCode::FORBIDDEN);
    let mut again = browser.clone();
    let done = press(browser, &page, BUTTON, &honest).await;
    assert!(done.text().contains("registered just now"), "{}", done.text());
    let twice = press(&mut again, &page, BUTTON, &honest).await;
    assert!(twice.text().contains("was used before"), "{}", twice.text());
}

fn spki(point: [u8; 64]) -> Vec<u8> {
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    let mut der = key.verifying_key().to_public_key_der().unwrap().to_vec();
    der[27..].copy_from_slice(&point);
    der
}

async fn signing_in(door: &Door, device: &Device) {
    const BUTTON: &str = "Sign in with a passkey";
    let more: &[Change] = &[
        (
            "another key",
            |attempt| attempt.signer = Some(SigningKey::from_slice(&[9; 32]).unwrap()),
            "signs nobody in",
        ),
        ("another credential", |attempt| attempt.id = Some(vec![1; 20]), "signs nobody in"),
    ];
    for (what, change, why) in CHEATS.iter().chain(more) {
        let mut browser = Browser::new(door);
        let page = browser.open("/sign-in/acme").await;
        let refused = press(&mut browser, &page, BUTTON, &device.answer(&page, "get", change)).await;
        assert!(
            refused.status == StatusCode::FORBIDDEN && refused.text().contains(why),
            "{what}: {}",
            refused.text()
        );
        assert!(browser.cookie(COOKIE).is_none(), "{what}");
    }
    let mut browser = Browser::new(door);
    let page = browser.open("/sign-in/acme?return_to=/console").await;
    let honest = device.answer(&page, "get", |_| {});
    // In another browser, which was never asked, and from another site: nothing.
    let mut thief = Browser::new(door);
    let refused = press(&mut thief, &page, BUTTON, &honest).await;
    assert!(refused.text().contains("open for too long"), "{}", refused.text());
    let evil = "https://evil.example".parse().unwrap();
    let form = page.form(BUTTON, &[]).unwrap();
    assert_eq!(browser.send(&form, Some(&evil)).await.status, StatusCode::FORBIDDEN);
    let mut again = browser.clone();
    let inside = press(&mut browser, &page, BUTTON, &honest).await;
    assert!(inside.url.path() == "/console" && browser.cookie(COOKIE).is_some(), "{}", inside.text());
    let twice = press(&mut again, &page, BUTTON, &honest).await;
    assert!(twice.text().contains("was used before") && again.cookie(COOKIE).is_none(), "{}", twice.text());
    // At another organisation it is nobody's.
    let mut elsewhere = Browser::new(door);
    let page = elsewhere.open("/sign-in/other").await;
    let refused = press(&mut elsewhere, &page, BUTTON, &device.answer(&page, "get", |_| {})).await;
    assert!(refused.text().contains("signs nobody in"), "{}", refused.text());
}

/// A device whose counter does not rise is one of two.
async fn copied(door: &Door, owner: &mut Browser) {
    let device = Device::new();
    let page = owner.open("/account").await;
    let answer = device.answer(&page, "create", |attempt| attempt.counter = 5);
    press(owner, &page, "Register a passkey", &answer).await;
    for (counter, comes_in) in [(5, false), (4, false), (0, false), (6, true), (6, false), (7, true)] {
        let mut browser = Browser::new(door);
        let page = browser.open("/sign-in/acme").await;
        let answer = device.answer(&page, "get", |attempt| attempt.counter = counter);
        let told = press(&mut browser, &page, "Sign in with a passkey", &answer).await.text();
        assert_eq!(browser.cookie(COOKIE).is_some(), comes_in, "{counter}: {told}");
        assert!(comes_in || told.contains("was copied"), "{counter}: {told}");
    }
}
