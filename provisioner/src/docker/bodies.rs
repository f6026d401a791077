//! Our words in the Engine API's, and back.

use bollard::models::{
    ContainerCreateBody, ContainerSummary, ContainerSummaryStateEnum, HostConfig, HostConfigLogConfig, Ipam,
    IpamConfig, Mount, MountType, MountVolumeOptions, NetworkCreateRequest, NetworkInspect, ResourcesUlimits,
    RestartPolicy, RestartPolicyNameEnum,
};
use schemas::ids::Sha256Hex;

use crate::host::{COPIER_LABEL, Container, ContainerBody, ContainerId, ContainerState, HostSide, Network};
use crate::reach::BRIDGE_PREFIX;

/// What a container is created from.
pub(super) fn container(body: &ContainerBody) -> ContainerCreateBody {
    let ulimits = body.ulimits.iter().map(|(name, bound)| ResourcesUlimits {
        name: Some(name.clone()),
        soft: Some(*bound),
        hard: Some(*bound),
    });
    ContainerCreateBody {
        image: Some(body.image.clone()),
        entrypoint: (!body.entrypoint.is_empty()).then(|| body.entrypoint.clone()),
        cmd: (!body.command.is_empty()).then(|| body.command.clone()),
        env: Some(body.env.clone()),
        labels: Some(body.labels.clone().into_iter().collect()),
        user: Some(body.user.clone()),
        open_stdin: Some(body.open_stdin),
        attach_stdin: Some(body.open_stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        // Closing stdin on detach would end the server whenever we restart.
        stdin_once: Some(false),
        tty: Some(false),
        host_config: Some(HostConfig {
            network_mode: Some(body.network.clone()),
            cap_drop: Some(body.cap_drop.clone()),
            security_opt: Some(body.security_opt.clone()),
            readonly_rootfs: Some(body.read_only_root),
            tmpfs: Some(body.tmpfs.clone().into_iter().collect()),
            mounts: (!body.volumes.is_empty()).then(|| body.volumes.iter().map(volume).collect()),
            pids_limit: Some(body.pids_limit),
            memory: Some(body.memory_bytes),
            memory_swap: Some(body.memory_bytes),
            nano_cpus: Some(body.nano_cpus),
            ulimits: Some(ulimits.collect()),
            init: Some(body.init),
            ipc_mode: Some(body.ipc.clone()),
            log_config: Some(HostConfigLogConfig { typ: Some(body.log_driver.clone()), config: None }),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// A volume, read-only, and as it is: nothing of the image is copied into it.
fn volume((target, source): (&String, &String)) -> Mount {
    Mount {
        target: Some(target.clone()),
        source: Some(source.clone()),
        typ: Some(MountType::VOLUME),
        read_only: Some(true),
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
        ..Mount::default()
    }
}

/// A container that is never started: by being created it copies the entry program of its image into the volume.
pub(super) fn entry_copier(image: &str) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(image.to_owned()),
        labels: Some([(COPIER_LABEL.to_owned(), String::new())].into()),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            mounts: Some(vec![Mount {
                target: Some(crate::entry::DIRECTORY.to_owned()),
                source: Some(crate::entry::volume()),
                typ: Some(MountType::VOLUME),
                ..Mount::default()
            }]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// An archive with the entry program where it belongs.
pub(super) fn entry_archive() -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(u64::try_from(crate::entry::PROGRAM.len()).unwrap_or_default());
    header.set_mode(0o555);
    archive.append_data(&mut header, crate::entry::PATH.trim_start_matches('/'), crate::entry::PROGRAM)?;
    archive.into_inner()
}

/// One of a listing; nothing when it is half gone.
pub(super) fn listed(summary: ContainerSummary) -> Option<Container> {
    Some(Container {
        id: ContainerId(summary.id?),
        name: summary.names?.into_iter().next()?.trim_start_matches('/').to_owned(),
        labels: summary.labels.unwrap_or_default().into_iter().collect(),
        state: match summary.state? {
            ContainerSummaryStateEnum::CREATED => ContainerState::Created,
            ContainerSummaryStateEnum::RUNNING => ContainerState::Running,
            ContainerSummaryStateEnum::PAUSED => ContainerState::Paused,
            ContainerSummaryStateEnum::EXITED => ContainerState::Exited,
            ContainerSummaryStateEnum::EMPTY
            | ContainerSummaryStateEnum::RESTARTING
            | ContainerSummaryStateEnum::REMOVING
            | ContainerSummaryStateEnum::DEAD
            | ContainerSummaryStateEnum::STOPPING => ContainerState::Dead,
        },
    })
}

/// One of the 4,096 small ranges of 10.213.0.0/16. Docker's default pools hold some thirty networks, these hold a toolbox each.
fn subnet(name: &str, attempt: u16) -> String {
    let digest = Sha256Hex::of(name.as_bytes());
    let start =
        digest.as_str().get(..4).and_then(|hex| u16::from_str_radix(hex, 16).ok()).unwrap_or_default();
    let slot = start.wrapping_add(attempt) % 4096;
    format!("10.213.{}.{}/28", slot / 16, (slot % 16) * 16)
}

const BRIDGE_NAME: &str = "com.docker.network.bridge.name";

/// Interfaces have names of at most 15 characters.
fn bridge(name: &str) -> String {
    Sha256Hex::of(name.as_bytes()).as_str().chars().take(9).fold(BRIDGE_PREFIX.to_owned(), |mut bridge, c| {
        bridge.push(c);
        bridge
    })
}

const INHIBIT: &str = "com.docker.network.bridge.inhibit_ipv4";

/// Whether a network is as we make it: the rules of a guarded host cover it, or the host has no address on it.
pub(super) fn is_ours(found: &NetworkInspect, network: &Network) -> bool {
    let option = |name: &str| found.options.as_ref().and_then(|options| options.get(name));
    let absent = option(INHIBIT).is_some_and(|value| value == "true");
    option(BRIDGE_NAME) == Some(&bridge(&network.name))
        && found.internal == Some(true)
        && absent == (network.host == HostSide::Absent)
}

/// What a network is created from, on the n-th range that may be free.
pub(super) fn network(network: &Network, attempt: u16) -> NetworkCreateRequest {
    NetworkCreateRequest {
        name: network.name.clone(),
        driver: Some("bridge".to_owned()),
        internal: Some(true),
        labels: Some(network.labels.clone().into_iter().collect()),
        options: Some(
            [(BRIDGE_NAME.to_owned(), bridge(&network.name))]
                .into_iter()
                .chain((network.host == HostSide::Absent).then(|| (INHIBIT.to_owned(), "true".to_owned())))
                .collect(),
        ),
        ipam: Some(Ipam {
            config: Some(vec![IpamConfig {
                subnet: Some(subnet(&network.name, attempt)),
                ..IpamConfig::default()
            }]),
            ..Ipam::default()
        }),
        ..NetworkCreateRequest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridges_have_names_that_the_rules_cover_and_the_kernel_takes() {
        let (one, other) = (bridge("ambit.acme.ops"), bridge("ambit.acme.web"));
        assert!(one.starts_with(BRIDGE_PREFIX) && one.len() == 15 && one != other, "{one}");
        let ours = Network {
            name: "ambit.acme.ops".to_owned(),
            labels: std::collections::BTreeMap::new(),
            host: HostSide::Addressed,
        };
        let of_ours = |internal, name: &str| NetworkInspect {
            internal: Some(internal),
            options: Some([(BRIDGE_NAME.to_owned(), name.to_owned())].into()),
            ..NetworkInspect::default()
        };
        assert!(is_ours(&of_ours(true, &one), &ours));
        let absent = Network { host: HostSide::Absent, ..ours.clone() };
        assert!(!is_ours(&of_ours(true, &one), &absent), "the host has an address on it");
        for found in [of_ours(true, "br-1"), of_ours(false, &one), NetworkInspect::default()] {
            assert!(!is_ours(&found, &ours));
        }
    }
}
