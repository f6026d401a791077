//! Our words in the Engine API's, and back.

use bollard::models::{
    ContainerCreateBody, ContainerSummary, ContainerSummaryStateEnum, HostConfig, HostConfigLogConfig, Ipam,
    IpamConfig, NetworkCreateRequest, NetworkInspect, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use schemas::ids::Sha256Hex;

use crate::host::{Container, ContainerBody, ContainerId, ContainerState, Network};
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

/// Whether the rules of a guarded host cover a network.
pub(super) fn is_on_our_bridge(found: &NetworkInspect, name: &str) -> bool {
    let at = found.options.as_ref().and_then(|options| options.get(BRIDGE_NAME));
    at == Some(&bridge(name)) && found.internal == Some(true)
}

/// What a network is created from, on the n-th range that may be free.
pub(super) fn network(network: &Network, attempt: u16) -> NetworkCreateRequest {
    NetworkCreateRequest {
        name: network.name.clone(),
        driver: Some("bridge".to_owned()),
        internal: Some(true),
        labels: Some(network.labels.clone().into_iter().collect()),
        options: Some([(BRIDGE_NAME.to_owned(), bridge(&network.name))].into()),
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
        let of_ours = |internal, name: &str| NetworkInspect {
            internal: Some(internal),
            options: Some([(BRIDGE_NAME.to_owned(), name.to_owned())].into()),
            ..NetworkInspect::default()
        };
        assert!(is_on_our_bridge(&of_ours(true, &one), "ambit.acme.ops"));
        for found in [of_ours(true, "br-1"), of_ours(false, &one), NetworkInspect::default()] {
            assert!(!is_on_our_bridge(&found, "ambit.acme.ops"));
        }
    }
}
