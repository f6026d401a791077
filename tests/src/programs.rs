//! The programs under test, as cargo builds them, and the ports they listen on.

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The path of a program of this workspace, built if it is stale, in the profile of whoever asks.
///
/// All programs are built at once, and as parts of the whole workspace: then their dependencies are the ones that the tests were
/// built with, and nothing is compiled twice.
pub fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let arguments = ["--workspace", "--exclude", "cloudflare", "--bins"];
        let release = if cfg!(debug_assertions) { None } else { Some("--release") };
        build("..", arguments.into_iter().chain(release))
    });
    built.get(name).unwrap_or_else(|| panic!("the workspace has no program `{name}`")).clone()
}

/// The path of a program of the tools workspace, built if it is stale: `ambit-prove`, and Cedar's own `cedar`.
pub fn tool(name: &str) -> PathBuf {
    static BUILT: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let arguments = ["-p", "prove", "-p", "cedar-policy-cli", "--bin", "ambit-prove", "--bin", "cedar"];
        build("../policies/prove", arguments)
    });
    built.get(name).unwrap_or_else(|| panic!("the tools have no program `{name}`")).clone()
}

/// Builds programs of a workspace, by its folder from here, and returns where they are.
fn build<'a>(workspace: &str, arguments: impl IntoIterator<Item = &'a str>) -> HashMap<String, PathBuf> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--locked", "--message-format=json"])
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(workspace))
        .output()
        .expect("cargo must run");
    assert!(
        output.status.success(),
        "the programs don't build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| {
            let name = message["target"]["name"].as_str()?.to_owned();
            Some((name, message["executable"].as_str()?.into()))
        })
        .collect()
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A name that no other run uses.
pub fn unique(prefix: &str) -> String {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).unwrap();
    format!("{prefix}-{:08x}", u32::from_be_bytes(bytes))
}

/// 32 random bytes in base64url.
pub fn random_key() -> String {
    use base64::Engine as _;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).unwrap();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
