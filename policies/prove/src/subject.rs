//! What is asked about: schema, policies and invariants, parsed and checked.

use std::collections::BTreeSet;
use std::fmt;

use cedar_policy::{Authorizer, Effect, Entities, Policy, PolicyId, PolicySet, Request, Schema, Validator};
use cedar_policy::{EntityUid, SchemaFragment, ValidationMode};
use cedar_policy_core::ast;

use crate::document::{File, Task};

/// What no organisation's policies may ever allow.
const BUILT_IN: [(&str, &str); 1] = [("ambit.cedar", include_str!("../invariants/ambit.cedar"))];

/// Everything that the questions are about.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) schema: Schema,
    pub(crate) policies: Set,
    pub(crate) old: Option<Set>,
    pub(crate) invariants: Vec<Invariant>,
    /// Entity types whose members the schema lists.
    pub(crate) enumerated: BTreeSet<String>,
}

/// A policy set, and the files of its policies.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) policies: PolicySet,
    pub(crate) files: Vec<(PolicyId, String)>,
    /// The one permit that allows what the gateway allows under this set.
    pub(crate) as_decided: PolicySet,
    /// The one permit that allows whatever the forbids of this set leave: no less than is allowed, and much smaller.
    pub(crate) not_forbidden: PolicySet,
}

/// Something that is never allowed.
#[derive(Debug)]
pub(crate) struct Invariant {
    pub(crate) id: String,
    pub(crate) file: String,
    pub(crate) about: String,
    /// Matches what must not be allowed.
    pub(crate) matches: Policy,
    /// Permits everything else, and nothing of which it cannot be said.
    pub(crate) kept: Policy,
}

/// Why there is nothing to ask about.
#[derive(Debug)]
pub(crate) struct Problems(Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Subject {
    /// Parses and checks a task.
    pub(crate) fn read(task: &Task) -> Result<Self, Problems> {
        let (schema, _) = Schema::from_cedarschema_str(&task.schema)
            .map_err(|error| Problems(vec![format!("schema: {error}")]))?;
        let validator = Validator::new(schema.clone());
        let policies = Set::read(&task.policies)?;
        let result = validator.validate(&policies.policies, ValidationMode::Strict);
        let mut problems: Vec<String> =
            result.validation_errors().map(|error| policies.tell(error.policy_id(), error)).collect();
        let old = task.old.as_deref().map(Set::read).transpose()?;
        let built_in = BUILT_IN.map(|(name, text)| File { name: name.to_owned(), text: text.to_owned() });
        let files: Vec<File> = built_in.into_iter().chain(task.invariants.iter().cloned()).collect();
        let invariants = Set::read(&files)?;
        let result = validator.validate(&invariants.policies, ValidationMode::Strict);
        problems.extend(result.validation_errors().map(|error| invariants.tell(error.policy_id(), error)));
        // An invariant that matches no request there can be would always hold, and say nothing.
        problems.extend(
            result.validation_warnings().map(|warning| invariants.tell(warning.policy_id(), warning)),
        );
        for policy in invariants.policies.policies().filter(|policy| policy.effect() == Effect::Permit) {
            let file = invariants.file(policy.id());
            problems.push(format!(
                "{file}: invariant `{}` is a permit; write what is never allowed as a forbid",
                policy.id()
            ));
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let ordered =
            invariants.files.iter().filter_map(|(id, file)| Some((invariants.policies.policy(id)?, file)));
        let invariants = ordered.map(|(policy, file)| Invariant::new(policy, file)).collect();
        Ok(Self { enumerated: enumerated(&task.schema), schema, policies, old, invariants })
    }

    /// Every entity that a policy names: it keeps its name in counterexamples.
    pub(crate) fn named(&self) -> BTreeSet<EntityUid> {
        let sets = std::iter::once(&self.policies).chain(&self.old).flat_map(|set| set.policies.policies());
        let invariants = self.invariants.iter().map(|invariant| &invariant.matches);
        sets.chain(invariants).flat_map(Policy::entity_literals).collect()
    }
}

impl Set {
    fn read(files: &[File]) -> Result<Self, Problems> {
        let mut set = Self {
            policies: PolicySet::new(),
            files: Vec::new(),
            as_decided: PolicySet::new(),
            not_forbidden: PolicySet::new(),
        };
        let mut problems = Vec::new();
        for file in files {
            let parsed: PolicySet = match file.text.parse() {
                Ok(parsed) => parsed,
                Err(error) => {
                    problems.push(format!("{}: {error}", file.name));
                    continue;
                }
            };
            if parsed.templates().next().is_some() {
                problems.push(format!("{}: a template is no policy; name principal and resource", file.name));
            }
            // In the order of the file: Cedar numbers policies as it reads them.
            let mut policies: Vec<&Policy> = parsed.policies().collect();
            policies.sort_by_key(|policy| policy.as_ref().loc().map(cedar_policy_core::parser::Loc::start));
            for policy in policies {
                let Some(id) = policy.annotation("id") else {
                    problems.push(format!("{}: a policy has no id; put @id(\"...\") before it", file.name));
                    continue;
                };
                let id = PolicyId::new(id);
                if let Err(error) = set.policies.add(policy.new_id(id.clone())) {
                    problems.push(format!("{}: {error}", file.name));
                }
                set.files.push((id, file.name.clone()));
            }
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let (permits, forbids) = (set.conditions(Effect::Permit), set.conditions(Effect::Forbid));
        let alone = |permit: Policy| {
            PolicySet::from_policies([permit]).map_err(|error| Problems(vec![error.to_string()]))
        };
        set.as_decided = alone(as_decided(&permits, &forbids))?;
        set.not_forbidden = alone(as_decided(&[ast::Expr::val(true)], &forbids))?;
        Ok(set)
    }

    /// Conditions in the order of the files, so that the same policies make the same formula.
    fn conditions(&self, effect: Effect) -> Vec<ast::Expr> {
        let in_order = self.files.iter().filter_map(|(id, _)| self.policies.policy(id));
        let of_effect = in_order.filter(|policy| policy.effect() == effect);
        of_effect.map(|policy| policy.as_ref().condition()).collect()
    }

    fn tell(&self, id: &PolicyId, error: &dyn fmt::Display) -> String {
        format!("{}: {error}", self.file(id))
    }

    /// The file that a policy stands in.
    pub(crate) fn file(&self, id: &PolicyId) -> &str {
        self.files.iter().find(|(known, _)| known == id).map_or("", |(_, file)| file)
    }

    /// Whether the gateway allows this.
    pub(crate) fn allows(&self, request: &Request, entities: &Entities) -> bool {
        allows(&self.as_decided, request, entities)
    }
}

/// Whether Cedar allows this.
pub(crate) fn allows(policies: &PolicySet, request: &Request, entities: &Entities) -> bool {
    Authorizer::new().is_authorized(request, policies, entities).decision() == cedar_policy::Decision::Allow
}

impl Invariant {
    fn new(policy: &Policy, file: &str) -> Self {
        let id = policy.id().to_string();
        let about = policy.annotation("doc").map_or_else(|| format!("`{id}`"), str::to_owned);
        let condition = policy.as_ref().condition();
        let matches = permit(policy.id(), condition.clone());
        let kept = permit(policy.id(), ast::Expr::not(condition));
        Self { id, file: file.to_owned(), about, matches, kept }
    }
}

/// The gateway's reading of a policy set as one permit. Cedar skips a policy that errs; the gateway denies. So every condition is
/// evaluated here, whatever the others say, and an error in any makes this permit err, which permits nothing.
fn as_decided(permits: &[ast::Expr], forbids: &[ast::Expr]) -> Policy {
    let any = |conditions: &[ast::Expr]| {
        joined(conditions.to_vec(), ast::Expr::or).unwrap_or_else(|| ast::Expr::val(false))
    };
    let evaluated = |condition: &ast::Expr| ast::Expr::or(condition.clone(), ast::Expr::val(true));
    let all = joined(permits.iter().chain(forbids).map(evaluated).collect(), ast::Expr::and);
    let decided = ast::Expr::and(any(permits), ast::Expr::not(any(forbids)));
    permit(&PolicyId::new("as-decided"), all.map_or(decided.clone(), |all| ast::Expr::and(all, decided)))
}

/// All of them as one, as flat as it can be: what follows goes into it by recursion.
fn joined(mut conditions: Vec<ast::Expr>, join: fn(ast::Expr, ast::Expr) -> ast::Expr) -> Option<ast::Expr> {
    while conditions.len() > 1 {
        let mut rest = conditions.into_iter();
        let mut pairs = Vec::new();
        while let Some(first) = rest.next() {
            pairs.push(match rest.next() {
                Some(second) => join(first, second),
                None => first,
            });
        }
        conditions = pairs;
    }
    conditions.pop()
}

fn permit(id: &PolicyId, condition: ast::Expr) -> Policy {
    ast::Policy::from_when_clause(ast::Effect::Permit, condition, ast::PolicyID::from_string(id), None).into()
}

/// Entity types whose members are listed, by their full names.
fn enumerated(schema: &str) -> BTreeSet<String> {
    let fragment = SchemaFragment::from_cedarschema_str(schema).ok();
    let json = fragment.and_then(|(fragment, _)| fragment.to_json_value().ok()).unwrap_or_default();
    let namespaces = json.as_object().into_iter().flatten();
    let types = namespaces.flat_map(|(namespace, content)| {
        let types = content.get("entityTypes").and_then(|types| types.as_object()).into_iter().flatten();
        types.filter(|(_, entity)| entity.get("enum").is_some()).map(move |(name, _)| {
            if namespace.is_empty() { name.clone() } else { format!("{namespace}::{name}") }
        })
    });
    types.collect()
}
