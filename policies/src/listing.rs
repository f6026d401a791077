//! Many resources at once: filtering a list.

use schemas::decision::{
    Action, AgentFacts, ContextFacts, Decision, DecisionRequest, Effect, Principal, ResourceFacts,
    ServerFacts, ToolFacts,
};

use crate::decision::{evaluate, evaluate_request, slice_grants};
use crate::foresight::{Foresight, Known, foresee};
use crate::publish::CompiledSet;
use crate::slice::{Builder, Reach, Request, SliceError};

/// What a list has in common: who lists, and under which circumstances.
#[derive(Debug, Clone)]
pub struct ListRequest {
    /// Who. Its grants bear on the whole list.
    pub principal: AgentFacts,
    /// One of the `list` actions.
    pub action: Action,
    /// Under which circumstances.
    pub context: ContextFacts,
}

/// Which of these tools an agent sees: those that a permit of `listTool` covers, and those that it could call with some arguments;
/// neither where a forbid hides them. Who may call a tool on a condition would otherwise have to be permitted to see it, too.
pub fn visible<'a>(
    set: &CompiledSet,
    list: &ListRequest,
    tools: impl IntoIterator<Item = &'a ResourceFacts> + Clone,
) -> Vec<bool> {
    let decisions = decide_many(set, list, tools.clone());
    let callable = |resource: &ResourceFacts| {
        let mut request = DecisionRequest {
            principal: Principal::Agent(list.principal.clone()),
            action: Action::CallTool,
            resource: resource.clone(),
            context: list.context.clone(),
        };
        slice_grants(&mut request);
        foresee(set, &request, &Known::NONE) != Foresight::Deny
    };
    let sees = |(resource, decision): (&ResourceFacts, &Decision)| match decision.effect {
        Effect::Allow => true,
        Effect::Deny => {
            let hidden = !decision.policies.is_empty() || !decision.errors.is_empty();
            !hidden && set.permits_unlisted_calls && callable(resource)
        }
    };
    tools.into_iter().zip(&decisions).map(sees).collect()
}

/// Decides one request per resource; the answers come in the same order. Each is the one that [`crate::decide`] gives for that
/// resource alone, but what the requests have in common is built once per server.
pub fn decide_many<'a>(
    set: &CompiledSet,
    list: &ListRequest,
    resources: impl IntoIterator<Item = &'a ResourceFacts>,
) -> Vec<Decision> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut current = 0;
    for (index, resource) in resources.into_iter().enumerate() {
        let server = resource.server();
        // Lists come server by server, so the last group is nearly always the one.
        if groups.get(current).is_none_or(|group| group.server != server) {
            current = groups.iter().position(|group| group.server == server).unwrap_or(groups.len());
        }
        match groups.get_mut(current) {
            Some(group) => {
                group.indices.push(index);
                group.resources.push(resource);
            }
            None => groups.push(Group { server, indices: vec![index], resources: vec![resource] }),
        }
    }
    let mut decisions: Vec<(usize, Decision)> = Vec::new();
    for group in &groups {
        let decided = group.decide(set, list).unwrap_or_else(|_| group.decide_singly(set, list));
        decisions.extend(group.indices.iter().copied().zip(decided));
    }
    decisions.sort_by_key(|(index, _)| *index);
    decisions.into_iter().map(|(_, decision)| decision).collect()
}

/// Resources of one server, and where they stand in the list.
struct Group<'a> {
    server: Option<&'a ServerFacts>,
    indices: Vec<usize>,
    resources: Vec<&'a ResourceFacts>,
}

impl Group<'_> {
    /// All with one set of entities. The agent then has the grants that bear on any of them; no policy can tell, since
    /// `publish` lets policies ask of grants only whether they cover the resource.
    fn decide(&self, set: &CompiledSet, list: &ListRequest) -> Result<Vec<Decision>, SliceError> {
        let mut builder = Builder::new(&set.typed)?;
        let action = builder.action(list.action)?;
        let context = builder.context(list.action, &list.context, None)?;
        let ids: Vec<_> = self.resources.iter().map(|resource| builder.resource(resource)).collect();
        let tools: Vec<&ToolFacts> = self.resources.iter().filter_map(|resource| resource.tool()).collect();
        let principal = builder.agent(&list.principal, Reach { server: self.server, tools: &tools });
        let requests: Vec<Request> = ids
            .into_iter()
            .map(|resource| Request {
                principal: principal.clone(),
                action: action.clone(),
                resource,
                context: context.clone(),
            })
            .collect();
        let Some(first) = requests.first() else { return Ok(Vec::new()) };
        let entities = builder.finish(first)?;
        let decide = |request| evaluate(set, request, &entities);
        Ok(requests.into_iter().map(decide).collect())
    }

    /// One by one, when they do not go together (two of one name, say): the fault of one is not the others'.
    fn decide_singly(&self, set: &CompiledSet, list: &ListRequest) -> Vec<Decision> {
        let decide = |resource: &&ResourceFacts| {
            let request = DecisionRequest {
                principal: Principal::Agent(list.principal.clone()),
                action: list.action,
                resource: (*resource).clone(),
                context: list.context.clone(),
            };
            evaluate_request(set, &request)
        };
        self.resources.iter().map(decide).collect()
    }
}
