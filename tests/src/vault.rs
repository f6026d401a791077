//! A gateway in memory whose vault has something in it: keys under any root, accounts with sealed credentials, snapshots of the database.

use std::collections::HashMap;

use gateway::platform::{Batch, Platform as _, Row, Statement, Value};
use gateway::secret::Secret;
use gateway::vault::{Keys, Place, VaultError};
use gateway::{BadSettings, Gateway, Settings};
use http::{Method, StatusCode};
use schemas::ids::{ConnectionId, OrgId, ProviderId, UserId};
use serde_json::json;

use crate::door::Door;
use crate::kms::Kms;
use crate::memory::{Memory, MemoryPlatform, URL, real_network};
use crate::operator::Operator;
use crate::programs::{random_key, unique};

/// The tables that the vault has something in.
const TABLES: [&str; 4] = ["tenant_keys", "providers", "connections", "revocations"];

/// A gateway in memory.
#[derive(Debug)]
pub struct Vault {
    /// The gateway.
    pub memory: Memory,
    /// The root key and the roots before it, as they are set.
    pub roots: (String, String),
    operator_key: String,
    endpoint: Option<String>,
}

/// An account, and whose it is.
#[derive(Debug, Clone)]
pub struct Account {
    /// The organisation.
    pub org: OrgId,
    /// The account itself.
    pub connection: ConnectionId,
    /// Who connected it.
    pub owner: UserId,
    /// Where it is.
    pub provider: ProviderId,
}

impl Account {
    /// Where its credential of a version belongs.
    pub fn place(&self, version: i64) -> Place<'_> {
        let Self { org, connection, owner, provider } = self;
        Place::Credential { org, connection, owner, provider, version }
    }
}

/// Rows of the tables that the vault has something in.
#[derive(Debug, Clone)]
pub struct Snapshot(Vec<(&'static str, Vec<Row>)>);

impl Vault {
    /// Starts one under a root, with the secrets that a key service asks for and with others.
    pub async fn start(root: &str, kms: Option<&Kms>, secrets: &[(&str, String)]) -> Self {
        let operator_key = random_key();
        let keys = [("AMBIT_ROOT_KEY", random_key()), ("AMBIT_OPERATOR_KEY", operator_key.clone())];
        let mut all: HashMap<String, Secret> = HashMap::new();
        for (name, value) in keys.iter().chain(secrets) {
            all.insert((*name).to_owned(), Secret::new(value.clone()));
        }
        all.extend(kms.iter().flat_map(|kms| kms.secrets()).map(|(name, value)| (name, Secret::new(value))));
        let endpoint = kms.map(|kms| kms.url().to_owned());
        let platform = MemoryPlatform::new(all, real_network());
        let memory = Memory::start(settings(root, "", endpoint.as_deref()), platform).await;
        Self { memory, roots: (root.to_owned(), String::new()), operator_key, endpoint }
    }

    /// The host.
    pub fn platform(&self) -> &MemoryPlatform {
        &self.memory.platform
    }

    /// Starts the gateway again under other roots, or the same: nothing is in its memory any more.
    pub fn restart(&mut self, root: &str, before: &str) {
        let settings = settings(root, before, self.endpoint.as_deref());
        self.memory.gateway = std::rc::Rc::new(Gateway::new(settings, &self.memory.platform).unwrap());
        self.roots = (root.to_owned(), before.to_owned());
    }

    /// Keys of another instance under the roots of now, with nothing in their memory.
    pub fn keys(&self) -> Keys {
        self.keys_under(&self.roots.0, &self.roots.1).unwrap()
    }

    /// The same, under other roots.
    pub fn keys_under(&self, root: &str, before: &str) -> Result<Keys, BadSettings> {
        Keys::new(&settings(root, before, self.endpoint.as_deref()), self.platform())
    }

    /// The operator of a new organisation.
    pub async fn organisation(&self) -> (Operator, OrgId) {
        let door = Door::Memory(self.memory.clone());
        let operator = Operator { door, key: self.operator_key.clone(), org: unique("v") };
        operator.found().await;
        let (_, _, text) =
            operator.whole(Method::GET, &format!("/orgs/{}", operator.org), &[], json!(null)).await;
        let org: serde_json::Value = serde_json::from_str(&text).unwrap();
        (operator, OrgId::parse(org["id"].as_str().unwrap()).unwrap())
    }

    /// A new account of a new person, with a credential of version 1.
    pub async fn account(&self, org: &OrgId, credential: &[u8]) -> Account {
        let at = self.platform().now();
        let mut random = [0; 10];
        getrandom::fill(&mut random).unwrap();
        let account = Account {
            org: org.clone(),
            connection: ConnectionId::mint(at, random),
            owner: UserId::mint(at, random),
            provider: ProviderId::mint(at, random),
        };
        let sealed = self.keys().seal(self.platform(), &account.place(1), credential).await.unwrap();
        let client_secret = Place::ClientSecret { org, provider: &account.provider, version: 1 };
        let client_secret =
            self.keys().seal(self.platform(), &client_secret, b"client-canary").await.unwrap();
        let (id, owner, provider) =
            (account.connection.as_str(), account.owner.as_str(), account.provider.as_str());
        let name = unique("x");
        self.run(
            "INSERT INTO users (id, org_id, name, created_at) VALUES (?1, ?2, ?3, 0)",
            [owner.into(), org.as_str().into(), name.as_str().into()],
        );
        self.run(
            "INSERT INTO providers (id, org_id, name, kind, client_secret, discovered, created_at, changed_at) \
             VALUES (?1, ?2, ?3, 'mcp', ?4, json_object('clientSecret', ?4), 0, 0)",
            [provider.into(), org.as_str().into(), name.as_str().into(), client_secret.into()],
        );
        self.run(
            "INSERT INTO connections (id, org_id, provider_id, owner_id, account_id, sealed, created_at, changed_at) \
             VALUES (?1, ?2, ?3, ?4, 'a', ?5, 0, 0)",
            [id.into(), org.as_str().into(), provider.into(), owner.into(), sealed.into()],
        );
        account
    }

    /// Runs a statement, and answers its rows.
    pub fn run<const N: usize>(&self, sql: &'static str, parameters: [Value; N]) -> Vec<Row> {
        self.platform().look(&Batch::write([Statement::new(sql, parameters)])).remove(0)
    }

    /// The sealed credential of an account, and its version.
    pub fn sealed(&self, account: &Account) -> Option<(String, i64)> {
        let rows = self.run(
            "SELECT sealed, version FROM connections WHERE id = ?1",
            [account.connection.as_str().into()],
        );
        Some((rows[0].maybe_text(0).unwrap()?.to_owned(), rows[0].integer(1).unwrap()))
    }

    /// Opens the credential of an account as it is in the database.
    pub async fn open(&self, keys: &Keys, account: &Account) -> Result<Vec<u8>, VaultError> {
        let (sealed, version) = self.sealed(account).expect("a credential is there");
        Ok(keys.open(self.platform(), &account.place(version), &sealed).await?.to_vec())
    }

    /// Moves all keys and values under the newest; answers how many.
    pub async fn rewrap(&self, operator: &Operator, batch: i64) -> (u64, u64) {
        let (mut keys, mut values, mut after) = (0, 0, json!(""));
        while after.is_string() {
            let answer = rewrap(operator, &json!({ "limit": batch, "after": after })).await;
            assert_eq!(answer["failed"], json!([]));
            keys += answer["done"]["keys"].as_u64().unwrap();
            values += answer["done"]["values"].as_u64().unwrap();
            after = answer["next"].clone();
        }
        (keys, values)
    }

    /// What a copy of the database has of the vault.
    pub fn snapshot(&self) -> Snapshot {
        let rows = |table: &'static str| {
            let sql = Statement::new(format!("SELECT * FROM {table}"), []);
            (table, self.platform().look(&Batch::read([sql])).remove(0))
        };
        Snapshot(TABLES.map(rows).to_vec())
    }

    /// Puts a copy back.
    pub fn restore(&self, snapshot: &Snapshot) {
        let mut statements: Vec<Statement> =
            TABLES.iter().rev().map(|table| Statement::new(format!("DELETE FROM {table}"), [])).collect();
        for (table, rows) in &snapshot.0 {
            for Row(values) in rows {
                let places: Vec<String> = (1..=values.len()).map(|place| format!("?{place}")).collect();
                let sql = format!("INSERT INTO {table} VALUES ({})", places.join(", "));
                statements.push(Statement::new(sql, values.clone()));
            }
        }
        self.platform().look(&Batch::write(statements));
    }
}

fn settings(root: &str, before: &str, endpoint: Option<&str>) -> Settings {
    Settings::new(URL).unwrap().vault(Some(root), before, endpoint)
}

/// One round of moving under newer keys.
pub async fn rewrap(operator: &Operator, round: &serde_json::Value) -> serde_json::Value {
    must(operator, Method::POST, "/vault/rewrap", round.clone()).await
}

/// Asks for something of the deployment that must work.
pub async fn must(
    operator: &Operator,
    method: Method,
    path: &str,
    body: serde_json::Value,
) -> serde_json::Value {
    let (status, _, text) = operator.whole(method, path, &[], body).await;
    assert_eq!(status, StatusCode::OK, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}
