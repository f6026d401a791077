//! The first process of servers that get a credential when they start (`entry/main.rs`), and how it comes to them: on a read-only
//! volume that holds this program and nothing else, made on each host from an image of the same.

use schemas::ids::Sha256Hex;
use schemas::provisioner::{Placement, SecretText, Transport};
use zeroize::Zeroizing;

use crate::credential::Given;

/// The program, static, for this machine's kind of processor.
pub const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/entry"));
/// Where it is inside.
pub const PATH: &str = "/.ambit/entry";
/// Where the volume is mounted.
pub const DIRECTORY: &str = "/.ambit";
/// Where files with credentials are: a tmpfs.
pub const SECRETS: &str = "/run/secrets";

/// What begins every frame.
pub(crate) const MAGIC: &[u8; 8] = b"AMBITv1\n";
const VARIABLE: u8 = 1;
const FILE: u8 = 2;
const NO_INPUT: u8 = 3;

/// The volume's name, and what containers with it were made from: another program is another volume.
pub fn volume() -> String {
    let digest = Sha256Hex::of(PROGRAM);
    format!("ambit-entry-{}", digest.as_str().get(..16).unwrap_or_default())
}

/// What the program reads: see there.
pub(crate) fn frame(given: &Given, transport: &Transport) -> Zeroizing<Vec<u8>> {
    let entries: Vec<(u8, &str, &str)> = given
        .at_start()
        .iter()
        .filter_map(|(at, value): &(Placement, SecretText)| match at {
            Placement::Env { name } => Some((VARIABLE, name.as_str(), value.expose())),
            Placement::File { path } => Some((FILE, path.as_str(), value.expose())),
            Placement::Header { .. } | Placement::Meta { .. } => None,
        })
        .chain(matches!(transport, Transport::Http { .. }).then_some((NO_INPUT, "", "")))
        .collect();
    let length = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
    let size: usize = entries.iter().map(|(_, name, value)| 9 + name.len() + value.len()).sum();
    // Of one size from the start: a vector that grows leaves copies behind.
    let mut frame = Zeroizing::new(Vec::with_capacity(size + 12));
    frame.extend_from_slice(MAGIC);
    frame.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes());
    for (kind, name, value) in entries {
        frame.push(kind);
        for text in [name, value] {
            frame.extend_from_slice(&length(text));
            frame.extend_from_slice(text.as_bytes());
        }
    }
    frame
}
