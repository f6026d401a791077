//! GitHub without GitHub: its API as a container in the network of a toolbox, by HTTPS and under its own name; and the real
//! `@modelcontextprotocol/server-github`, which knows no other address, in an image that trusts our authority.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use provisioner::docker::Engine;
use provisioner::images;
use schemas::ids::Sha256Hex;
use schemas::image::ImageReference;
use serde_json::{Value, json};

use crate::documents;
use crate::fixture::docker_host;
use crate::programs::unique;

const SCRIPT: &str = include_str!("github.js");
const TRUSTED: &str = "/etc/authority.pem";

/// Where the server looks for a person's token.
pub const VARIABLE: &str = "GITHUB_PERSONAL_ACCESS_TOKEN";

/// The Docker command line, on the host of the tests.
pub fn docker(arguments: &[&str]) -> Output {
    let mut command = Command::new("docker");
    command.arg("-H").arg(docker_host()).args(arguments).env("DOCKER_BUILDKIT", "0");
    command.output().expect("these tests need the `docker` command")
}

fn succeeded(what: &str, ran: &Output) -> String {
    assert!(ran.status.success(), "{what}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).trim().to_owned()
}

/// The network that the stdio servers of a toolbox share, where the provisioner may not rely on the host's firewall.
pub fn network(org: &str, toolbox: &str) -> String {
    format!("ambit.{org}.{toolbox}.peers")
}

/// The real server, trusting our authority. Dropped, its image is removed.
#[derive(Debug)]
pub struct Server {
    tag: String,
    digest: String,
}

impl Server {
    /// Builds it, unless this host has it but for the certificate.
    pub async fn build() -> Self {
        let host = Engine::connect(&docker_host()).unwrap();
        let recipe = images::recipe("github").unwrap();
        let built = images::build(&host, recipe, &|line| println!("{line}"));
        let built = built.await.unwrap_or_else(|error| {
            panic!("these tests need Docker at {} and the recipe's tools: {error}", docker_host())
        });
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(documents::trusted(), folder.path().join("authority.pem")).unwrap();
        let recipe = format!("FROM {}\nCOPY authority.pem {TRUSTED}\n", built.reference);
        std::fs::write(folder.path().join("Dockerfile"), recipe).unwrap();
        let tag = format!("ambit/github-test:{}", unique("t"));
        succeeded(
            "docker build",
            &docker(&["build", "-q", "-t", &tag, &folder.path().display().to_string()]),
        );
        let digest = succeeded("docker inspect", &docker(&["inspect", "-f", "{{.Id}}", &tag]));
        Self { tag, digest }
    }

    /// Its workload: it may reach its toolbox, where [`Api`] is.
    pub fn workload(&self) -> Value {
        json!({ "image": self.tag, "digest": self.digest, "transport": { "type": "stdio" }, "network": "toolbox",
            "env": { "NODE_EXTRA_CA_CERTS": TRUSTED } })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        docker(&["rmi", "-f", &self.tag]);
    }
}

/// The API. Dropped, it is removed.
#[derive(Debug)]
pub struct Api {
    container: String,
    network: String,
}

impl Api {
    /// Starts it in a network, which must be there: a workload that is on it makes it. `people` are tokens and names.
    pub async fn start(network: &str, people: &[(&str, &str)]) -> Self {
        let host = Engine::connect(&docker_host()).unwrap();
        let node = Command::new("node").args(["-p", "process.execPath"]).output();
        let node = PathBuf::from(succeeded("node", &node.expect("these tests need Node")));
        let reference = ImageReference::parse("ambit/github-api:test").unwrap();
        let image =
            images::from_binary(&host, &reference, &node, &["-e", SCRIPT], &|line| println!("{line}"));
        let image = image.await.unwrap_or_else(|error| panic!("these tests need Docker: {error}"));
        let people: BTreeMap<String, &str> = people
            .iter()
            .map(|(token, login)| (Sha256Hex::of(token.as_bytes()).to_string(), *login))
            .collect();
        let (certificate, key) = documents::certificate("api.github.com");
        let container = unique("github-api");
        let set = |name: &str, value: &str| format!("{name}={value}");
        let ran = docker(&[
            "run",
            "-d",
            "--name",
            &container,
            "--network",
            network,
            "--network-alias",
            "api.github.com",
            "-e",
            &set("PEOPLE", &serde_json::to_string(&people).unwrap()),
            "-e",
            &set("CERTIFICATE", &certificate),
            "-e",
            &set("KEY", &key),
            image.digest.as_str(),
        ]);
        succeeded("docker run", &ran);
        let api = Self { container, network: network.to_owned() };
        for _ in 0..400 {
            if api.log().first().is_some_and(|line| line == "ready") {
                return api;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the API does not start: {:?}", docker(&["logs", &api.container]));
    }

    fn log(&self) -> Vec<String> {
        let said = docker(&["logs", &self.container]);
        String::from_utf8_lossy(&said.stdout).lines().map(str::to_owned).collect()
    }

    /// Who asked for what, in order: `ann POST /repos/acme/site/issues`.
    pub fn asked(&self) -> Vec<String> {
        self.log().into_iter().filter(|line| line != "ready").collect()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        docker(&["rm", "-f", &self.container]);
        // If it was the last one there.
        docker(&["network", "rm", &self.network]);
    }
}
