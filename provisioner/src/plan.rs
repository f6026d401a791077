//! What has to happen, given what should be and what is. Pure: it asks nobody and does nothing.

use schemas::names::WorkloadName;

use crate::host::{Container, ContainerId, ContainerState, SPEC_HASH_LABEL};

/// A workload as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// What its container's label must say it was made from.
    pub made_from: String,
    /// Whether there must be a network for it.
    pub networked: bool,
}

/// A workload as its hosts show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The name it goes by.
    pub name: WorkloadName,
    /// Every container with its label.
    pub containers: Vec<Container>,
}

/// One step on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Kill and remove: a duplicate, a leftover, an old spec.
    Remove(ContainerId),
    /// The toolbox's internal network must be there before the container.
    EnsureNetwork,
    /// Create the container under the workload's name.
    Create,
    /// Start the container just created, or the one given.
    Start(Option<ContainerId>),
    /// Thaw it.
    Unpause(ContainerId),
}

/// The steps that lead from `observed` to `desired`, in order; none when it is so already.
pub fn plan(desired: Option<&Desired>, observed: &Observed) -> Vec<Step> {
    let remove = |container: &Container| Step::Remove(container.id.clone());
    let Some(desired) = desired else {
        return observed.containers.iter().map(remove).collect();
    };
    // Names are unique on a host, so at most one container per host can be kept; a second host's is a duplicate.
    let kept = observed
        .containers
        .iter()
        .filter(|container| container.name == observed.name.as_str())
        .filter(|container| container.labels.get(SPEC_HASH_LABEL) == Some(&desired.made_from))
        .filter_map(|container| Some((worth(container.state)?, container)))
        .max_by(|(one, a), (other, b)| one.cmp(other).then_with(|| b.id.cmp(&a.id)))
        .map(|(_, container)| container);
    let mut steps: Vec<Step> = observed
        .containers
        .iter()
        .filter(|container| kept.is_none_or(|kept| kept.id != container.id))
        .map(remove)
        .collect();
    match kept.map(|container| (container.state, container.id.clone())) {
        Some((ContainerState::Running, _)) => {}
        Some((ContainerState::Paused, id)) => steps.push(Step::Unpause(id)),
        Some((_, id)) => {
            // The network may have gone while the container slept.
            if desired.networked {
                steps.push(Step::EnsureNetwork);
            }
            steps.push(Step::Start(Some(id)));
        }
        None => {
            if desired.networked {
                steps.push(Step::EnsureNetwork);
            }
            steps.push(Step::Create);
            steps.push(Step::Start(None));
        }
    }
    steps
}

/// Which of several to keep: the one that is back soonest. A dead one is worth nothing.
fn worth(state: ContainerState) -> Option<u8> {
    match state {
        ContainerState::Running => Some(4),
        ContainerState::Paused => Some(3),
        ContainerState::Exited => Some(2),
        ContainerState::Created => Some(1),
        ContainerState::Dead => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn desired(networked: bool) -> Desired {
        Desired { made_from: "new".to_owned(), networked }
    }

    fn container(id: usize, name: &str, hash: &str, state: ContainerState) -> Container {
        Container {
            id: ContainerId(format!("c{id}")),
            name: name.to_owned(),
            labels: BTreeMap::from([(SPEC_HASH_LABEL.to_owned(), hash.to_owned())]),
            state,
        }
    }

    /// What a faultless host would show afterwards.
    fn apply(steps: &[Step], desired: Option<&Desired>, observed: &Observed) -> Observed {
        let mut next = observed.clone();
        for step in steps {
            match step {
                Step::Remove(id) => next.containers.retain(|c| c.id != *id),
                Step::EnsureNetwork => {}
                Step::Create => {
                    assert!(
                        !next.containers.iter().any(|c| c.name == next.name.as_str()),
                        "the name is taken"
                    );
                    let hash = &desired.unwrap().made_from;
                    next.containers.push(container(99, next.name.as_str(), hash, ContainerState::Created));
                }
                Step::Start(id) => {
                    let id = id.clone().unwrap_or(ContainerId("c99".to_owned()));
                    let found = next.containers.iter_mut().find(|c| c.id == id).unwrap();
                    assert!(matches!(found.state, ContainerState::Created | ContainerState::Exited));
                    found.state = ContainerState::Running;
                }
                Step::Unpause(id) => {
                    let found = next.containers.iter_mut().find(|c| c.id == *id).unwrap();
                    assert_eq!(found.state, ContainerState::Paused);
                    found.state = ContainerState::Running;
                }
            }
        }
        next
    }

    /// Every combination of up to two containers, each in any state, with the right or another name and spec.
    fn worlds() -> Vec<Vec<Container>> {
        let mut ones = Vec::new();
        for state in [
            ContainerState::Created,
            ContainerState::Running,
            ContainerState::Paused,
            ContainerState::Exited,
            ContainerState::Dead,
        ] {
            for name in ["o.t.s", "stray"] {
                for hash in ["new", "old"] {
                    ones.push((name, hash, state));
                }
            }
        }
        let mut worlds = vec![Vec::new()];
        for (name, hash, state) in &ones {
            worlds.push(vec![container(0, name, hash, *state)]);
            for (second, other, then) in &ones {
                worlds.push(vec![container(0, name, hash, *state), container(1, second, other, *then)]);
            }
        }
        worlds
    }

    #[test]
    fn applied_to_its_own_outcome_a_plan_is_empty() {
        let mut seen = 0;
        for desired in [None, Some(&desired(false)), Some(&desired(true))] {
            for containers in worlds() {
                let observed = Observed { name: WorkloadName::parse("o.t.s").unwrap(), containers };
                let steps = plan(desired, &observed);
                let outcome = apply(&steps, desired, &observed);
                assert_eq!(plan(desired, &outcome), [], "{observed:?}");
                assert_eq!(outcome.containers.len(), usize::from(desired.is_some()), "{observed:?}");
                seen += 1;
            }
        }
        assert!(seen > 1000, "{seen}");
    }

    #[test]
    fn a_crash_after_any_step_heals_at_the_next_plan() {
        let desired = desired(true);
        for containers in worlds() {
            let observed = Observed { name: WorkloadName::parse("o.t.s").unwrap(), containers };
            let steps = plan(Some(&desired), &observed);
            for done in 0..=steps.len() {
                let halfway = apply(&steps[..done], Some(&desired), &observed);
                let outcome = apply(&plan(Some(&desired), &halfway), Some(&desired), &halfway);
                assert_eq!(outcome.containers.len(), 1);
                assert_eq!(outcome.containers[0].state, ContainerState::Running);
            }
        }
    }

    #[test]
    fn the_table() {
        let (desired, hash) = (desired(false), "new");
        let name = WorkloadName::parse("o.t.s").unwrap();
        let id = |n: usize| ContainerId(format!("c{n}"));
        let case =
            |containers: Vec<Container>| plan(Some(&desired), &Observed { name: name.clone(), containers });
        assert_eq!(case(vec![]), [Step::Create, Step::Start(None)]);
        assert_eq!(case(vec![container(0, "o.t.s", hash, ContainerState::Running)]), []);
        assert_eq!(case(vec![container(0, "o.t.s", hash, ContainerState::Paused)]), [Step::Unpause(id(0))]);
        assert_eq!(
            case(vec![container(0, "o.t.s", hash, ContainerState::Exited)]),
            [Step::Start(Some(id(0)))]
        );
        assert_eq!(
            case(vec![container(0, "o.t.s", hash, ContainerState::Created)]),
            [Step::Start(Some(id(0)))]
        );
        assert_eq!(
            case(vec![container(0, "o.t.s", "old", ContainerState::Running)]),
            [Step::Remove(id(0)), Step::Create, Step::Start(None)]
        );
        assert_eq!(
            case(vec![
                container(0, "stray", hash, ContainerState::Running),
                container(1, "o.t.s", hash, ContainerState::Paused)
            ]),
            [Step::Remove(id(0)), Step::Unpause(id(1))]
        );
    }
}
