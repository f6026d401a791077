//! What the tests stand on: the gateway on each of its hosts, a provisioner on real Docker, and clients that are not ours.

pub mod acting;
pub mod browser;
pub mod canaries;
pub mod changing;
pub mod daemon;
pub mod description;
pub mod documents;
pub mod door;
pub mod fixture;
pub mod github;
pub mod hermetic;
pub mod identity_provider;
pub mod issuer;
pub mod kms;
pub mod mcp;
pub mod memory;
pub mod node;
pub mod oauth;
pub mod operator;
pub mod people;
pub mod programs;
pub mod provider;
pub mod stack;
pub mod vault;
pub mod workerd;
