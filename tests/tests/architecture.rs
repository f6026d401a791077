//! The house rules of DESIGN.md, held against what cargo and the sources say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Who may import whom, of our own. Tests may import anybody.
const MAY_IMPORT: [(&str, &[&str]); 8] = [
    ("schemas", &[]),
    ("policies", &["schemas"]),
    ("gateway", &["policies", "schemas"]),
    ("provisioner", &["schemas"]),
    ("standalone", &["gateway", "policies", "provisioner", "schemas"]),
    ("cloudflare", &["gateway", "schemas"]),
    ("spin", &["gateway", "schemas"]),
    ("bundle", &[]),
];

/// What stands for a part of the outside world is imported in one place.
const IN_ONE_PLACE: [(&str, &str); 5] = [
    ("worker", "cloudflare"),
    ("rusqlite", "standalone"),
    ("bollard", "provisioner"),
    ("cedar-policy", "policies"),
    ("spin-sdk", "spin"),
];

/// Packages that test: they are no part of the product.
const TESTS: [&str; 6] = ["tests", "fixture", "load", "policies-wasm-bench", "vault-vectors", "verify"];

const LONGEST_FILE: usize = 450;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The workspace of the tools: another Cedar, and nothing of ours.
fn tools() -> PathBuf {
    root().join("policies/prove")
}

/// Our packages: name, folder, and the names of what they depend on outside of tests.
fn packages() -> Vec<(String, PathBuf, BTreeSet<String>)> {
    packages_of(&root())
}

fn packages_of(workspace: &Path) -> Vec<(String, PathBuf, BTreeSet<String>)> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--locked", "--offline", "--format-version", "1"])
        .current_dir(workspace)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter().map(|package| {
        let manifest = PathBuf::from(text(&package["manifest_path"]));
        let needed = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dependency| dependency["kind"] != "dev");
        let needed = needed.map(|dependency| text(&dependency["name"])).collect();
        (text(&package["name"]), manifest.parent().unwrap().to_owned(), needed)
    });
    packages.collect()
}

fn product() -> Vec<(String, PathBuf, BTreeSet<String>)> {
    packages().into_iter().filter(|(name, ..)| !TESTS.contains(&name.as_str())).collect()
}

#[test]
fn who_may_import_whom() {
    let rules: BTreeMap<_, _> = MAY_IMPORT.into();
    let product = product();
    let ours: BTreeSet<String> = packages().into_iter().map(|(name, ..)| name).collect();
    let mut wrong = Vec::new();
    for (name, _, needed) in &product {
        let Some(allowed) = rules.get(name.as_str()) else {
            wrong.push(format!("`{name}` is new: say in this test whom it may import"));
            continue;
        };
        let imported =
            needed.iter().filter(|other| ours.contains(*other) && !allowed.contains(&other.as_str()));
        wrong.extend(imported.map(|other| format!("`{name}` must not import `{other}`")));
    }
    nothing(wrong);
}

#[test]
fn the_outside_world_has_one_door_each() {
    let mut wrong = Vec::new();
    for (outside, place) in IN_ONE_PLACE {
        for (name, _, needed) in product() {
            if needed.contains(outside) && name != place {
                wrong.push(format!("`{outside}` is for `{place}` alone, not for `{name}`"));
            }
        }
        let there = packages().iter().any(|(name, ..)| name == place);
        let used = packages().iter().any(|(name, _, needed)| name == place && needed.contains(outside));
        if there && !used {
            wrong.push(format!("`{place}` does not import `{outside}` any more: correct this test"));
        }
    }
    nothing(wrong);
}

/// The prover speaks Cedar because it is no part of the product: the two exchange text and share no code.
#[test]
fn the_tools_stand_apart() {
    let ours: BTreeSet<String> = packages().into_iter().map(|(name, ..)| name).collect();
    let mut wrong = Vec::new();
    for (name, _, needed) in packages_of(&tools()) {
        if ours.contains(&name) {
            wrong.push(format!("the tool `{name}` is in the main workspace, too"));
        }
        wrong.extend(
            needed.intersection(&ours).map(|other| format!("the tool `{name}` must not import `{other}`")),
        );
    }
    nothing(wrong);
}

#[test]
fn files_are_read_in_one_sitting() {
    let long = sources().into_iter().filter_map(|(path, text)| {
        let lines = text.lines().count();
        (lines > LONGEST_FILE).then(|| format!("{path} has {lines} lines; it holds two subjects"))
    });
    nothing(long);
}

#[test]
fn names_say_something() {
    let empty = ["util", "utils", "helper", "helpers", "common", "manager", "handler"];
    nothing(named(&empty, "says nothing"));
}

#[test]
fn identity_policy_or_broker() {
    // `oauth` is one word, and a name of its own; `auth` alone could mean who, whether, or with whose account.
    nothing(named(&["auth", "authn", "authz"], "is ambiguous: say identity, policy or broker"));
}

#[test]
fn sql_has_one_room() {
    let words = [
        "SELECT ",
        "INSERT INTO",
        "INSERT OR",
        "UPDATE ",
        "DELETE FROM",
        "CREATE TABLE",
        "CREATE INDEX",
        "ALTER TABLE",
        "DROP TABLE",
    ];
    // The last wraps a query of the store, so that D1 does not merge columns that it names alike.
    let rooms = ["functions/gateway/src/store/", "schemas/sql/", "functions/cloudflare/src/database.rs"];
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if rooms.iter().any(|room| path.starts_with(room)) {
            continue;
        }
        // A module's own tests may ask for anything.
        for (number, line) in text.lines().take_while(|line| line.trim() != "#[cfg(test)]").enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if words.iter().any(|word| code.contains(word)) {
                wrong.push(format!("{path}:{} holds SQL: {}", number + 1, line.trim()));
            }
        }
    }
    nothing(wrong);
}

/// Files and items of the product with one of these words in their names.
fn named(words: &[&str], why: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let stem = Path::new(&path).with_extension("");
        if stem.iter().any(|part| holds(&part.to_string_lossy(), words)) {
            wrong.push(format!("{path}: the name {why}"));
        }
        for (number, line) in text.lines().enumerate() {
            if let Some(item) = item(line).filter(|item| holds(item, words)) {
                wrong.push(format!("{path}:{}: the name `{item}` {why}", number + 1));
            }
        }
    }
    wrong
}

/// What a line of Rust defines, if it does.
fn item(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = match line.strip_prefix("pub(") {
        Some(rest) => rest.split_once(')')?.1,
        None => line.strip_prefix("pub ").unwrap_or(line),
    };
    let mut words = line.split_whitespace().peekable();
    let keywords = ["fn", "struct", "enum", "trait", "mod", "type", "static", "const", "macro_rules!"];
    // `const fn` and `async fn` define a function.
    while words.next_if(|word| ["async", "unsafe"].contains(word)).is_some() {}
    words.next_if(|word| keywords.contains(word))?;
    words.next_if_eq(&"fn");
    words.next()?.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

/// Whether a name, in any case style, has one of these words.
fn holds(name: &str, words: &[&str]) -> bool {
    let mut parts: Vec<String> = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && was_lower) {
            parts.push(String::new());
        }
        was_lower = c.is_lowercase();
        if let Some(last) = parts.last_mut().filter(|_| c.is_alphanumeric()) {
            last.extend(c.to_lowercase());
        }
    }
    parts.iter().any(|part| words.contains(&part.as_str()))
}

#[test]
fn these_rules_see_what_they_should() {
    assert_eq!(item("    pub(crate) async fn check_auth(x: u8) -> bool {"), Some("check_auth"));
    assert_eq!(item("pub(in crate::walk) struct AuthHandler<T> {"), Some("AuthHandler"));
    assert_eq!(item("const AUTH: &str = \"x\";"), Some("AUTH"));
    assert_eq!(item("pub const fn auth() {}"), Some("auth"));
    assert_eq!(item("    let auth = 1;"), None);
    assert!(
        holds("check_auth", &["auth"])
            && holds("AuthHandler", &["handler"])
            && holds("HTTPUtils", &["httputils"])
    );
    assert!(
        !holds("oauth_server", &["auth"])
            && !holds("Author", &["auth"])
            && !holds("OAuthClient", &["handler"])
    );
}

/// Sources of the product and of the tools, by their path from the root.
fn sources() -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    for (_, folder, _) in product() {
        walk(&folder.join("src"), &mut found);
    }
    walk(&tools().join("src"), &mut found);
    assert!(found.len() > 50, "where are the sources?");
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn nothing(wrong: impl IntoIterator<Item = String>) {
    let wrong: Vec<String> = wrong.into_iter().collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
