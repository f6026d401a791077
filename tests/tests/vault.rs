//! The vault's keys: rotated, moved and shredded over the management API on every host; and in memory what that is for: what is changed,
//! moved, put back or deleted does not open.

use std::collections::HashSet;
use std::rc::Rc;

use gateway::platform::{Batch, Statement, Value as Sql};
use gateway::vault::envelope::{self, TenantKey};
use gateway::vault::{RootError, VaultError};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::memory::{Asked, Moment};
use tests::operator::Operator;
use tests::programs::random_key;
use tests::stack::{Host, Stack, run, step};
use tests::vault::{Account, Vault, must, rewrap};

tests::on_every_host!(suite);

const CANARY: &[u8] = b"gho_canary";

async fn suite(host: Host) {
    let stack = Stack::start(host).await;
    let (operator, other) = (stack.organisation().await, stack.organisation().await);
    step("the operator's keys", keys(&operator, &other)).await;
    step("nobody else's", strangers(&operator)).await;
    step("what makes no sense", nonsense(&operator)).await;
    tests::description::check();
}

async fn keys(operator: &Operator, other: &Operator) {
    let of = async |who: &Operator| {
        must(operator, Method::GET, &format!("/vault?org={}", who.org), Value::Null).await["keys"].clone()
    };
    let org = json!({ "org": operator.org });
    assert_eq!(of(operator).await, json!([]), "the first value makes the first key");
    for version in 1..=3 {
        let rotated = must(operator, Method::POST, "/vault/rotate", org.clone()).await;
        assert_eq!(rotated, json!({ "org": operator.org, "version": version }));
    }
    let versions = of(operator).await;
    let versions: Vec<_> = versions
        .as_array()
        .unwrap()
        .iter()
        .map(|key| {
            (key["version"].clone(), key["state"].clone(), key["newest"].clone(), key["values"].clone())
        })
        .collect();
    let row = |version: i64, newest| (json!(version), json!("active"), json!(newest), json!(0));
    assert_eq!(versions, [row(1, false), row(2, false), row(3, true)]);
    assert_eq!(of(other).await, json!([]), "each organisation has its own");

    let status = must(operator, Method::GET, "/vault", Value::Null).await;
    let root = status["root"].as_str().unwrap();
    assert!(root.starts_with("local#") && status["trouble"].is_null(), "{status}");
    assert_eq!(status["roots"], json!([{ "root": root, "keys": 3, "orgs": 1 }]));
    assert_eq!(
        rewrap(operator, &json!({})).await,
        json!({ "done": { "keys": 0, "values": 0 }, "left": { "keys": 0, "values": 0 }, "failed": [], "next": null })
    );

    let shredded = must(operator, Method::POST, "/vault/shred", org.clone()).await;
    assert_eq!(shredded, json!({ "org": operator.org, "keys": 3, "connections": 0 }));
    assert!(of(operator).await.as_array().unwrap().iter().all(|key| key["state"] == "shredded"));
    let again = must(operator, Method::POST, "/vault/rotate", org).await;
    assert_eq!(again["version"], 4, "a number never means another key");
    // Events of one millisecond are in no order.
    let mut told: Vec<String> = operator
        .trail()
        .await
        .iter()
        .filter(|event| event["method"].as_str().unwrap().starts_with("vault."))
        .map(|event| event["method"].as_str().unwrap().to_owned())
        .collect();
    told.sort();
    assert_eq!(told, ["vault.rotate", "vault.rotate", "vault.rotate", "vault.rotate", "vault.shred"]);
}

const OPERATIONS: [(Method, &str); 4] = [
    (Method::GET, "/vault"),
    (Method::POST, "/vault/rotate"),
    (Method::POST, "/vault/rewrap"),
    (Method::POST, "/vault/shred"),
];

async fn strangers(operator: &Operator) {
    let owner = operator.person("olga", &["owner"]).await;
    let nobody = Operator { key: String::new(), ..operator.clone() };
    for (method, path) in OPERATIONS {
        let ask = async |who: &Operator| who.whole(method.clone(), path, &[], Value::Null).await.0;
        assert_eq!(ask(&owner).await, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(ask(&nobody).await, StatusCode::UNAUTHORIZED, "{path}");
    }
}

async fn nonsense(operator: &Operator) {
    let ask = async |path: &str, body: Value| {
        let method = if body.is_null() { Method::GET } else { Method::POST };
        operator.whole(method, path, &[], body).await.0
    };
    for path in ["/vault/rotate", "/vault/shred"] {
        assert_eq!(ask(path, json!({ "org": "nobody-here" })).await, StatusCode::NOT_FOUND);
        assert_eq!(ask(path, json!({ "org": "No Name" })).await, StatusCode::BAD_REQUEST);
        assert_eq!(ask(path, json!({})).await, StatusCode::BAD_REQUEST);
    }
    for limit in [0, 501, -1] {
        assert_eq!(ask("/vault/rewrap", json!({ "limit": limit })).await, StatusCode::BAD_REQUEST);
    }
    assert_eq!(ask("/vault?org=nobody-here", Value::Null).await, StatusCode::NOT_FOUND);
    assert_eq!(ask("/vault?organisation=x", Value::Null).await, StatusCode::BAD_REQUEST);
}

/// Everything of every row and every organisation in the place of everything else.
#[test]
fn what_is_moved_or_put_back_does_not_open() {
    run(async {
        let vault = Vault::start("local", None, &[]).await;
        let ((_, one), (_, two)) = (vault.organisation().await, vault.organisation().await);
        let keys = vault.keys();
        let accounts = [
            vault.account(&one, b"one").await,
            vault.account(&one, b"another").await,
            vault.account(&two, b"two").await,
        ];
        for account in &accounts {
            let (sealed, _) = vault.sealed(account).unwrap();
            for place in &accounts {
                let opened = keys.open(vault.platform(), &place.place(1), &sealed).await;
                assert_eq!(opened.is_ok(), place.connection == account.connection);
            }
        }
        // A credential of before, put back into the row of now.
        let [account, ..] = &accounts;
        let (before, _) = vault.sealed(account).unwrap();
        let now = keys.seal(vault.platform(), &account.place(2), b"now").await.unwrap();
        let put = |sealed: &str| {
            vault.run(
                "UPDATE connections SET sealed = ?2, version = 2 WHERE id = ?1",
                [account.connection.as_str().into(), sealed.into()],
            )
        };
        put(&now);
        assert_eq!(vault.open(&keys, account).await.unwrap(), b"now");
        put(&before);
        assert!(matches!(vault.open(&keys, account).await, Err(VaultError::Unopened)));
        // The wrapped key of another organisation: refused by the root, and nobody learns more than that.
        vault.run(
            "UPDATE tenant_keys SET wrapped = (SELECT wrapped FROM tenant_keys WHERE org_id = ?2) WHERE org_id = ?1",
            [one.as_str().into(), two.as_str().into()],
        );
        let error = vault.open(&vault.keys(), &accounts[1]).await.unwrap_err();
        assert!(matches!(error, VaultError::Root(RootError::Forged { .. })), "{error}");
        assert_eq!(error.told(), "the vault can't be opened at the moment");
    });
}

/// Whoever has a copy of the database, and a root key of their own, has nothing.
#[test]
fn a_copy_of_the_database_alone_opens_nothing() {
    run(async {
        let mut vault =
            Vault::start("secret:FIRST", None, &[("FIRST", random_key()), ("OTHER", random_key())]).await;
        let (_, org) = vault.organisation().await;
        let account = vault.account(&org, CANARY).await;
        let dump = format!("{:?}", vault.snapshot());
        for secret in ["gho_canary", "client-canary", "Z2hvX2NhbmFyeQ", "Y2xpZW50LWNhbmFyeQ"] {
            assert!(!dump.contains(secret), "{secret}");
        }
        for (root, before) in [("secret:OTHER", ""), ("local", "secret:OTHER")] {
            let error = vault.open(&vault.keys_under(root, before).unwrap(), &account).await.unwrap_err();
            assert!(matches!(error, VaultError::Root(RootError::Unknown { .. })), "{error}");
            assert!(error.to_string().contains("AMBIT_VAULT_ROOTS_BEFORE"), "the way out: {error}");
        }
        assert!(vault.keys_under("secret:NONE", "").is_err(), "a gateway does not start without its root");
        // Another root from now on; the one before still unwraps, whatever it is called by now.
        vault.restart("secret:OTHER", "secret:FIRST");
        assert_eq!(vault.open(&vault.keys(), &account).await.unwrap(), CANARY);
    });
}

/// Shredding is real once the root that wrapped the keys is gone: then no copy of before opens.
#[test]
fn what_was_shredded_does_not_come_back() {
    run(async {
        let mut vault =
            Vault::start("secret:FIRST", None, &[("FIRST", random_key()), ("SECOND", random_key())]).await;
        let ((operator, org), (_, other)) = (vault.organisation().await, vault.organisation().await);
        let (account, bystander) =
            (vault.account(&org, CANARY).await, vault.account(&other, b"bystander").await);
        let before = vault.snapshot();
        let shredded = must(&operator, Method::POST, "/vault/shred", json!({ "org": operator.org })).await;
        assert_eq!(shredded, json!({ "org": operator.org, "keys": 1, "connections": 1 }));
        assert_eq!(vault.sealed(&account), None);
        let left = vault.run(
            "SELECT (SELECT COUNT(*) FROM providers WHERE org_id = ?1 AND (client_secret IS NOT NULL OR discovered <> '{}')) \
             + (SELECT COUNT(*) FROM connections WHERE org_id = ?1 AND status <> 'disconnected')",
            [org.as_str().into()],
        );
        assert_eq!(left[0].integer(0).unwrap(), 0);
        assert_eq!(vault.open(&vault.keys(), &bystander).await.unwrap(), b"bystander");
        // Whoever puts the values back without the keys has nothing.
        let shredded = vault.snapshot();
        vault.restore(&before);
        vault.run(
            "UPDATE tenant_keys SET state = 'shredded', wrapped = '' WHERE org_id = ?1",
            [org.as_str().into()],
        );
        assert!(matches!(vault.open(&vault.keys(), &account).await, Err(VaultError::Gone { .. })));
        // The root key changes, what is left moves under it, and the old one is destroyed: then the whole copy is worth nothing.
        vault.restore(&shredded);
        vault.restart("secret:SECOND", "secret:FIRST");
        let (operator, _) = vault.organisation().await;
        assert_eq!(vault.rewrap(&operator, 10).await, (1, 0));
        vault.restart("secret:SECOND", "");
        assert_eq!(vault.open(&vault.keys(), &bystander).await.unwrap(), b"bystander");
        vault.restore(&before);
        for account in [&account, &bystander] {
            let error = vault.open(&vault.keys(), account).await.unwrap_err();
            assert!(matches!(error, VaultError::Root(RootError::Unknown { .. })), "{error}");
        }
    });
}

/// Accounts are renewed all the time while everything moves: whoever renews is never undone, and nothing is lost.
#[test]
fn moving_under_newer_keys_undoes_no_renewal() {
    run(async {
        let vault = Rc::new(Vault::start("local", None, &[]).await);
        let (operator, org) = vault.organisation().await;
        let mut accounts = Vec::new();
        for _ in 0..40 {
            accounts.push(vault.account(&org, b"first").await);
        }
        vault.platform().take_turns();
        must(&operator, Method::POST, "/vault/rotate", json!({ "org": operator.org })).await;
        let renewing: Vec<_> = accounts
            .iter()
            .step_by(2)
            .cloned()
            .map(|account| {
                let vault = Rc::clone(&vault);
                tokio::task::spawn_local(async move {
                    for round in 0..8_i64 {
                        renew(&vault, &account, round + 1).await;
                    }
                })
            })
            .collect();
        let (mut moved, mut rounds) = (0, 0);
        while rounds < 200 && renewing.iter().any(|task| !task.is_finished()) {
            moved += vault.rewrap(&operator, 3).await.1;
            rounds += 1;
        }
        for task in renewing {
            task.await.unwrap();
        }
        moved += vault.rewrap(&operator, 3).await.1;
        assert!(moved >= 20, "what nobody renewed moved: {moved}");
        let keys = vault.keys();
        for (index, account) in accounts.iter().enumerate() {
            let (sealed, version) = vault.sealed(account).unwrap();
            let expected = if index % 2 == 0 { (9, b"renewed 9".to_vec()) } else { (1, b"first".to_vec()) };
            assert_eq!((version, vault.open(&keys, account).await.unwrap()), expected);
            assert_eq!(envelope::key_version(&sealed), Ok(2));
        }
        let left = must(&operator, Method::GET, "/vault", Value::Null).await["left"].clone();
        assert_eq!(left, json!({ "keys": 0, "values": 0 }));
        assert_eq!(vault.rewrap(&operator, 3).await, (0, 0));
    });
}

/// As a refresh does: a new credential for exactly the version before.
async fn renew(vault: &Vault, account: &Account, version: i64) {
    let (next, text) = (version + 1, format!("renewed {}", version + 1));
    let sealed = vault.keys().seal(vault.platform(), &account.place(next), text.as_bytes()).await.unwrap();
    tokio::task::yield_now().await;
    let rows = vault.run(
        "UPDATE connections SET sealed = ?2, version = ?3 WHERE id = ?1 AND version = ?3 - 1 RETURNING id",
        [account.connection.as_str().into(), sealed.into(), next.into()],
    );
    assert_eq!(rows.len(), 1, "nothing else changes a version");
}

/// What can't be moved is told of, and does not keep the rest from moving.
#[test]
fn what_can_t_be_moved_is_passed_over() {
    run(async {
        let vault = Vault::start("local", None, &[]).await;
        let (operator, org) = vault.organisation().await;
        let mut accounts = Vec::new();
        for _ in 0..3 {
            accounts.push(vault.account(&org, CANARY).await);
        }
        let forged = vault.sealed(&accounts[1]).unwrap().0;
        vault.run(
            "UPDATE connections SET sealed = ?2 WHERE id = ?1",
            [accounts[0].connection.as_str().into(), forged.into()],
        );
        must(&operator, Method::POST, "/vault/rotate", json!({ "org": operator.org })).await;
        let (mut failed, mut after) = (Vec::new(), json!(""));
        while after.is_string() {
            let answer = rewrap(&operator, &json!({ "limit": 1, "after": after })).await;
            failed.extend(answer["failed"].as_array().unwrap().clone());
            after = answer["next"].clone();
        }
        let what = format!("value/connection:{}", accounts[0].connection);
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert_eq!(failed[0]["what"], what.as_str());
        for account in &accounts[1..] {
            assert_eq!(envelope::key_version(&vault.sealed(account).unwrap().0), Ok(2));
        }
    });
}

/// Two instances make the first key of an organisation at the same moment: there is one, and both have it.
#[test]
fn the_first_key_is_made_once() {
    run(async {
        let vault = Rc::new(Vault::start("local", None, &[]).await);
        let (_, org) = vault.organisation().await;
        vault.platform().take_turns();
        let both: Vec<_> = (0..8)
            .map(|_| {
                let (vault, org) = (Rc::clone(&vault), org.clone());
                tokio::task::spawn_local(async move { vault.account(&org, CANARY).await })
            })
            .collect();
        let mut accounts = Vec::new();
        for task in both {
            accounts.push(task.await.unwrap());
        }
        assert_eq!(vault.run("SELECT version FROM tenant_keys", []).len(), 1);
        let keys = vault.keys();
        for account in &accounts {
            assert_eq!(vault.open(&keys, account).await.unwrap(), CANARY);
        }
    });
}

/// Every step of sealing and opening fails, before and after it took effect: it is told, and the next time goes well.
#[test]
fn a_database_that_fails_loses_nothing() {
    run(async {
        for moment in [Moment::Before, Moment::After] {
            for at in 0..8 {
                let vault = Vault::start("local", None, &[]).await;
                let (_, org) = vault.organisation().await;
                let account = vault.account(&org, CANARY).await;
                vault.platform().look(&Batch::write([Statement::new("DELETE FROM tenant_keys", [])]));
                let (keys, platform) = (vault.keys(), vault.platform());
                platform.fail(Some((at, moment)));
                let first = keys.seal(platform, &account.place(2), CANARY).await;
                let asked = platform.asked();
                platform.fail(None);
                assert!(asked.iter().all(|asked| *asked == Asked::Sql));
                assert_eq!(first.is_err(), at < asked.len(), "{at} {moment:?}");
                let second = keys.seal(platform, &account.place(3), CANARY).await.unwrap();
                for (version, sealed) in first.into_iter().map(|sealed| (2, sealed)).chain([(3, second)]) {
                    let opened = vault.keys().open(platform, &account.place(version), &sealed).await;
                    assert_eq!(opened.unwrap().as_slice(), CANARY);
                }
                let keys = vault.run("SELECT version FROM tenant_keys", []);
                assert_eq!(keys[0].0, [Sql::Integer(1)], "one key, whatever failed");
            }
        }
    });
}

/// A million seals, and never the same nonce or data key.
#[test]
fn a_million_seals_share_no_nonce() {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).unwrap();
    let key = TenantKey::new(1, bytes.into());
    let (org, provider) = (
        schemas::ids::OrgId::mint(schemas::ids::Timestamp(0), [1; 10]),
        schemas::ids::ProviderId::mint(schemas::ids::Timestamp(0), [1; 10]),
    );
    let place = gateway::vault::Place::ClientSecret { org: &org, provider: &provider, version: 1 };
    let random = |buffer: &mut [u8]| getrandom::fill(buffer).unwrap();
    let (mut wraps, mut keys) = (HashSet::new(), HashSet::new());
    for _ in 0..1_000_000 {
        let sealed = envelope::seal(&key, &place, random, b"").unwrap();
        // Six bytes of header are eight letters; then 24 bytes of nonce, and 48 of wrapped key.
        assert!(wraps.insert(sealed[8..40].to_owned()), "a nonce twice");
        assert!(keys.insert(sealed[40..60].to_owned()), "a data key twice");
    }
}
