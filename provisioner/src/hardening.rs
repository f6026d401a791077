//! The one place that turns a workload into a container. Nothing here is a setting: a server that needs more than this
//! is refactored, not trusted.

use std::collections::BTreeMap;

use schemas::ids::Sha256Hex;
use schemas::image::ImageReference;
use schemas::names::WorkloadName;
use schemas::provisioner::{NetworkAccess, Placement, Transport, WorkloadSpec};

use crate::entry;
use crate::host::{
    ContainerBody, HostSide, Image, Network, SPEC_HASH_LABEL, SPEC_LABEL, TOOLBOX_LABEL, WORKLOAD_LABEL,
};
use crate::reach::Wiring;

/// Raised when the container made of an unchanged spec changes, so that running ones are replaced.
const REVISION: u32 = 2;

/// Nobody in particular: the same in every image of ours, and not root in any.
pub const USER: &str = "10001:10001";

/// What two containers have in common that may stand for each other.
pub fn spec_hash(spec: &WorkloadSpec) -> String {
    // Specs serialize without fail: names, numbers and maps with text keys.
    let json = serde_json::to_string(spec).unwrap_or_default();
    Sha256Hex::of(format!("{REVISION}\n{json}").as_bytes()).as_str().to_owned()
}

/// What is on the label of a container made of this spec on this network.
pub fn made_from(spec: &WorkloadSpec, network: Option<&Network>) -> String {
    let mut made_from = spec_hash(spec);
    // Containers that are alone and containers on a bridge do not stand for each other.
    match network.map(|network| network.host) {
        Some(HostSide::Addressed) => made_from.push_str(".bridge"),
        Some(HostSide::Absent) => made_from.push_str(".peers"),
        None => {}
    }
    if spec.subject.is_some() {
        made_from.push('.');
        made_from.push_str(&entry::volume());
    }
    made_from
}

/// Refuses a spec that would loosen what is below. Docker reads a limit of zero as no limit at all.
///
/// # Errors
/// Says which field is wrong, and what would be right.
pub fn check(spec: &WorkloadSpec) -> Result<(), String> {
    let limits = &spec.limits;
    for (field, given, least) in [
        ("memory_mib", limits.memory_mib, 16),
        ("cpu_millis", limits.cpu_millis, 10),
        ("pids", limits.pids, 4),
        ("tmp_mib", limits.tmp_mib, 1),
        ("call_timeout_ms", limits.call_timeout_ms, 1),
    ] {
        if given < least {
            return Err(format!("`limits.{field}` is {given}: it must be at least {least}"));
        }
    }
    for name in spec.env.keys() {
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!("`{name}` is no name of an environment variable: letters, digits and `_`"));
        }
        // Whoever sets these runs their own code in the server before it starts, past what the image's digest promises.
        if name.starts_with("LD_") {
            return Err(format!("`{name}` may not be set: it belongs to the image"));
        }
    }
    if spec.env.values().chain(&spec.command).any(|text| text.contains('\0')) {
        return Err("a setting or argument contains a NUL character".to_owned());
    }
    if let Some(subject) = &spec.subject {
        if subject.takes.is_empty() || !subject.takes.iter().all(Placement::is_at_start) {
            return Err(
                "`subject.takes` must name environment variables and files, and at least one".to_owned()
            );
        }
        if let Some(name) = subject.takes.iter().find_map(|at| match at {
            Placement::Env { name } => spec.env.contains_key(name.as_str()).then_some(name),
            Placement::File { .. } | Placement::Header { .. } | Placement::Meta { .. } => None,
        }) {
            return Err(format!("`{name}` is a plain setting and a credential: it can be one of them only"));
        }
    }
    if let Transport::Http { port, path } = &spec.transport
        && (*port == 0 || !path.starts_with('/'))
    {
        return Err("`transport` needs a port above 0 and a path that starts with `/`".to_owned());
    }
    Ok(())
}

/// The network of the workload's toolbox, for workloads that need one: HTTP servers on a host that we cannot go inside of, and
/// stdio servers that may reach what else is in their toolbox.
///
/// `--internal` gives it no route out: what remains reachable is the host itself, which [`crate::reach::RULES`] close. Where
/// nobody vouches for those, and we need no address ourselves, the host has none on it.
pub fn network(spec: &WorkloadSpec, wiring: Wiring) -> Option<Network> {
    let (suffix, host) = match (&spec.transport, spec.network, wiring) {
        (Transport::Stdio, NetworkAccess::None, _) | (Transport::Http { .. }, _, Wiring::Alone) => {
            return None;
        }
        (Transport::Http { .. }, _, Wiring::Bridge)
        | (Transport::Stdio, NetworkAccess::Toolbox, Wiring::Bridge) => ("", HostSide::Addressed),
        (Transport::Stdio, NetworkAccess::Toolbox, Wiring::Alone) => (".peers", HostSide::Absent),
    };
    let toolbox = format!("{}.{}", spec.org, spec.toolbox);
    Some(Network {
        name: format!("ambit.{toolbox}{suffix}"),
        labels: BTreeMap::from([(TOOLBOX_LABEL.to_owned(), toolbox)]),
        host,
    })
}

/// `repository@sha256:...`: how an image that came from a registry is found by digest.
pub fn pinned_reference(reference: &ImageReference, digest: &schemas::image::ImageDigest) -> String {
    let text = reference.as_str();
    let repository = match text.rsplit_once(':') {
        // A colon before the last slash belongs to the registry's port.
        Some((before, tag)) if !tag.contains('/') => before,
        _ => text,
    };
    format!("{repository}@{digest}")
}

/// The container of a workload. `image` is what the host has by the spec's digest.
pub fn container(
    name: &WorkloadName,
    spec: &WorkloadSpec,
    image: &Image,
    network: Option<&Network>,
) -> ContainerBody {
    let mebibytes = |count: u32| i64::from(count).saturating_mul(1024 * 1024);
    let mut tmpfs = BTreeMap::from([(
        "/tmp".to_owned(),
        format!("rw,noexec,nosuid,nodev,mode=1777,size={}m", spec.limits.tmp_mib),
    )]);
    let (mut entrypoint, mut command, mut volumes) = (Vec::new(), spec.command.clone(), BTreeMap::new());
    if let Some(subject) = &spec.subject {
        // The same program with the same arguments, a moment later.
        let arguments = if command.is_empty() { &image.command } else { &command };
        command = [image.entrypoint.as_slice(), arguments].concat();
        entrypoint.push(entry::PATH.to_owned());
        volumes.insert(entry::DIRECTORY.to_owned(), entry::volume());
        if subject.takes.iter().any(|at| matches!(at, Placement::File { .. })) {
            let (user, group) = USER.split_once(':').unwrap_or((USER, USER));
            tmpfs.insert(
                entry::SECRETS.to_owned(),
                format!("rw,noexec,nosuid,nodev,mode=0700,uid={user},gid={group},size=1m"),
            );
        }
    }
    ContainerBody {
        image: image.id.as_str().to_owned(),
        entrypoint,
        command,
        env: spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        labels: BTreeMap::from([
            (WORKLOAD_LABEL.to_owned(), name.as_str().to_owned()),
            (SPEC_LABEL.to_owned(), serde_json::to_string(spec).unwrap_or_default()),
            (SPEC_HASH_LABEL.to_owned(), made_from(spec, network)),
        ]),
        user: USER.to_owned(),
        open_stdin: matches!(spec.transport, Transport::Stdio) || spec.subject.is_some(),
        network: network.map_or("none", |network| &network.name).to_owned(),
        cap_drop: vec!["ALL".to_owned()],
        security_opt: vec!["no-new-privileges".to_owned()],
        read_only_root: true,
        tmpfs,
        volumes,
        pids_limit: i64::from(spec.limits.pids),
        memory_bytes: mebibytes(spec.limits.memory_mib),
        nano_cpus: i64::from(spec.limits.cpu_millis).saturating_mul(1_000_000),
        ulimits: vec![("nofile".to_owned(), 1024), ("core".to_owned(), 0)],
        init: true,
        ipc: "none".to_owned(),
        log_driver: "none".to_owned(),
        restart: "no".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(transport: &str) -> WorkloadSpec {
        serde_json::from_str(&format!(
            r#"{{"org":"acme","toolbox":"ops","server":"time","image":"ambit/time:1",
                "digest":"sha256:{}","transport":{transport}}}"#,
            "0".repeat(64)
        ))
        .unwrap()
    }

    fn image(spec: &WorkloadSpec) -> Image {
        Image {
            id: spec.digest.clone(),
            labels: BTreeMap::new(),
            entrypoint: vec!["/usr/bin/node".to_owned()],
            command: vec!["stdio".to_owned()],
        }
    }

    #[test]
    fn a_server_with_a_credential_is_started_by_our_program_as_it_would_be_without() {
        let plain = spec(r#"{"type":"stdio"}"#);
        let name = WorkloadName::parse("acme.ops.time.x").unwrap();
        let mut spec = plain.clone();
        let subject = |takes: &str| {
            let connection = format!("con_{}", "0".repeat(26));
            serde_json::from_str(&format!(r#"{{"connection":"{connection}","takes":{takes}}}"#)).unwrap()
        };
        spec.subject = subject(r#"[{"in":"env","name":"TOKEN"},{"in":"file","path":"/run/secrets/t"}]"#);
        assert_eq!(check(&spec), Ok(()));
        let body = container(&name, &spec, &image(&spec), None);
        assert_eq!(body.entrypoint, [entry::PATH]);
        assert_eq!(body.command, ["/usr/bin/node", "stdio"]);
        assert_eq!(body.volumes[entry::DIRECTORY], entry::volume());
        assert!(body.tmpfs[entry::SECRETS].contains("mode=0700,uid=10001,gid=10001"));
        assert_ne!(made_from(&spec, None), made_from(&plain, None));
        spec.command = vec!["other".to_owned()];
        assert_eq!(container(&name, &spec, &image(&spec), None).command, ["/usr/bin/node", "other"]);
        for bad in ["[]", r#"[{"in":"header","name":"x"}]"#] {
            spec.subject = subject(bad);
            assert!(check(&spec).is_err(), "{bad}");
        }
        spec.subject = subject(r#"[{"in":"env","name":"TOKEN"}]"#);
        assert!(!container(&name, &spec, &image(&spec), None).tmpfs.contains_key(entry::SECRETS));
        spec.env.insert("TOKEN".to_owned(), "plain".to_owned());
        assert!(check(&spec).unwrap_err().contains("TOKEN"));
    }

    #[test]
    fn a_stdio_server_may_be_let_to_its_toolbox_and_to_nobody_else() {
        let mut spec = spec(r#"{"type":"stdio"}"#);
        spec.network = NetworkAccess::Toolbox;
        let (alone, vouched) =
            (network(&spec, Wiring::Alone).unwrap(), network(&spec, Wiring::Bridge).unwrap());
        assert_eq!((alone.name.as_str(), alone.host), ("ambit.acme.ops.peers", HostSide::Absent));
        assert_eq!((vouched.name.as_str(), vouched.host), ("ambit.acme.ops", HostSide::Addressed));
        assert_ne!(made_from(&spec, Some(&alone)), made_from(&spec, Some(&vouched)));
    }

    #[test]
    fn a_stdio_server_has_no_network_and_no_rights() {
        let spec = spec(r#"{"type":"stdio"}"#);
        let body = container(&WorkloadName::parse("acme.ops.time").unwrap(), &spec, &image(&spec), None);
        assert_eq!(network(&spec, Wiring::Bridge), None);
        assert_eq!(body.network, "none");
        assert_eq!(body.cap_drop, ["ALL"]);
        assert_eq!(body.security_opt, ["no-new-privileges"]);
        assert!(body.read_only_root && body.init && body.open_stdin);
        assert_eq!(
            (body.user.as_str(), body.ipc.as_str(), body.log_driver.as_str()),
            ("10001:10001", "none", "none")
        );
        assert_eq!(body.tmpfs["/tmp"], "rw,noexec,nosuid,nodev,mode=1777,size=16m");
        assert_eq!((body.pids_limit, body.memory_bytes, body.nano_cpus), (64, 256 << 20, 1_000_000_000));
        assert_eq!(body.restart, "no");
    }

    #[test]
    fn an_http_server_is_alone_or_shares_a_network_with_its_toolbox_only() {
        let spec = spec(r#"{"type":"http","port":8080,"path":"/mcp"}"#);
        let name = WorkloadName::parse("acme.ops.time").unwrap();
        let body = |network: Option<&Network>| container(&name, &spec, &image(&spec), network);
        assert_eq!(network(&spec, Wiring::Alone), None);
        let (alone, shared) = (body(None), body(network(&spec, Wiring::Bridge).as_ref()));
        assert_eq!((alone.network.as_str(), shared.network.as_str()), ("none", "ambit.acme.ops"));
        assert!(!alone.open_stdin);
        assert_ne!(alone.labels[SPEC_HASH_LABEL], shared.labels[SPEC_HASH_LABEL], "one replaces the other");
    }

    #[test]
    fn no_spec_loosens_anything() {
        let good = spec(r#"{"type":"stdio"}"#);
        assert_eq!(check(&good), Ok(()));
        let spoilt = |spoil: fn(&mut WorkloadSpec)| {
            let mut spec = good.clone();
            spoil(&mut spec);
            check(&spec)
        };
        assert!(spoilt(|spec| spec.limits.memory_mib = 0).unwrap_err().contains("memory_mib"));
        for spoil in [
            (|spec| spec.limits.cpu_millis = 0) as fn(&mut WorkloadSpec),
            |spec| spec.limits.pids = 0,
            |spec| spec.limits.tmp_mib = 0,
            |spec| spec.limits.call_timeout_ms = 0,
            |spec| drop(spec.env.insert("A=B".to_owned(), String::new())),
            |spec| drop(spec.env.insert("LD_PRELOAD".to_owned(), "/tmp/x".to_owned())),
            |spec| drop(spec.env.insert("A".to_owned(), "\0".to_owned())),
            |spec| spec.command.push("\0".to_owned()),
            |spec| spec.transport = Transport::Http { port: 0, path: "/".to_owned() },
            |spec| spec.transport = Transport::Http { port: 1, path: "mcp".to_owned() },
        ] {
            assert!(spoilt(spoil).is_err());
        }
    }

    #[test]
    fn the_hash_covers_the_whole_spec() {
        let one = spec(r#"{"type":"stdio"}"#);
        let mut other = one.clone();
        other.limits.pids += 1;
        assert_ne!(spec_hash(&one), spec_hash(&other));
        assert_eq!(spec_hash(&one), spec_hash(&one.clone()));
    }

    #[test]
    fn a_registry_port_is_no_tag() {
        let digest = spec(r#"{"type":"stdio"}"#).digest;
        let pinned = |text: &str| pinned_reference(&ImageReference::parse(text).unwrap(), &digest);
        assert!(pinned("localhost:5000/x").starts_with("localhost:5000/x@sha256:"));
        assert!(pinned("localhost:5000/x:1").starts_with("localhost:5000/x@sha256:"));
        assert!(pinned("ambit/time:1").starts_with("ambit/time@sha256:"));
    }
}
