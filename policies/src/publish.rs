//! From text to a policy set that may be used: parse, unique ids, strict validation, no warning, no look at facts we don't have.
//!
//! An impossible policy (wrong type in its scope, say) is only a warning to Cedar, and then never applies: for a forbid
//! that is an open door. So warnings block as errors do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use cedar_policy::{
    ActionConstraint, Effect, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator,
};
use schemas::decision::{DecisionRequest, ToolFacts};
use schemas::ids::Sha256Hex;
use schemas::inventory::ToolDefinition;
use serde_json::Value;

use crate::arguments::ArgumentNames;
use crate::foresight::Known;
use crate::inspect::{self, Looks};
use crate::problem::Problem;
use crate::selection::{self, Selection};
use crate::source::{PolicySource, SourceFile};
use crate::typed::{self, Extended, InputNames, Typed};

/// A policy set that passed every check, ready to decide.
#[derive(Debug)]
pub struct CompiledSet {
    hash: Sha256Hex,
    arguments: ArgumentNames,
    pub(crate) policies: PolicySet,
    pub(crate) selection: Selection,
    /// Some permit is of calls and not of lists.
    pub(crate) permits_unlisted_calls: bool,
    pub(crate) typed: Typed,
    pub(crate) schema: Schema,
    /// What each policy looks at, by its id.
    pub(crate) looks: HashMap<String, Looks>,
    /// The name of the file of each policy, by its id.
    file_of: HashMap<String, String>,
}

impl CompiledSet {
    /// SHA-256 of the source.
    pub fn hash(&self) -> &Sha256Hex {
        &self.hash
    }

    /// Which arguments of a call the policies look into.
    pub fn argument_names(&self) -> &ArgumentNames {
        &self.arguments
    }

    /// The typed arguments of a call that the policies look into: none for a tool without a typed action.
    pub fn select_input(&self, tool: &ToolFacts, arguments: &Value) -> BTreeMap<String, Value> {
        let input = self.typed.of(tool).ok().flatten();
        input.map(|input| input.select(arguments)).unwrap_or_default()
    }

    /// Takes out typed arguments that this set does not look into, as a record of another set may hold them.
    pub(crate) fn trim(&self, request: &mut DecisionRequest) {
        if !request.context.input.is_empty() {
            let known = self.recorded(request).input;
            request.context.input.retain(|name, _| known.contains(name));
        }
    }

    /// Which arguments a record of this set tells for certain: those that it looks into.
    pub(crate) fn recorded(&self, request: &DecisionRequest) -> Known {
        let typed = request.resource.tool().and_then(|tool| self.typed.of(tool).ok().flatten());
        let shown = |input: &typed::Input| {
            let shown = input.fields().filter(|(.., shown)| *shown).map(|(name, ..)| name.to_owned());
            ArgumentNames::Some(shown.collect())
        };
        Known { args: self.arguments.clone(), input: typed.map_or(ArgumentNames::None, shown) }
    }

    /// Whether some policy looks into arguments of this tool, typed or not.
    pub fn looks_into(&self, tool: &ToolFacts) -> bool {
        self.arguments != ArgumentNames::None || !matches!(self.typed.of(tool), Ok(None))
    }

    /// The tools that have typed actions, as `server/tool`.
    pub fn typed_tools(&self) -> impl Iterator<Item = &str> {
        self.typed.tools()
    }

    /// How many policies it holds.
    pub fn len(&self) -> usize {
        self.policies.num_of_policies()
    }

    /// Whether it holds no policy at all, and so denies everything.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// An annotation of a policy.
    pub(crate) fn annotation(&self, id: &str, key: &str) -> Option<&str> {
        self.policies.annotation(&PolicyId::new(id), key)
    }

    /// A policy by its id.
    pub(crate) fn policy(&self, id: &str) -> Option<&Policy> {
        self.policies.policy(&PolicyId::new(id))
    }

    /// The name of the file that a policy is in.
    pub(crate) fn file_of(&self, policy: &Policy) -> &str {
        self.file_of.get(AsRef::<str>::as_ref(policy.id())).map_or("", String::as_str)
    }

    /// Whether a policy permits.
    pub(crate) fn is_permit(&self, id: &str) -> bool {
        self.policy(id).is_some_and(|policy| policy.effect() == Effect::Permit)
    }

    /// A policy as its author wrote it.
    pub(crate) fn policy_source(&self, id: &str) -> Option<String> {
        let policy: &cedar_policy_core::ast::Policy = self.policy(id)?.as_ref();
        policy.loc().and_then(cedar_policy_core::parser::Loc::snippet).map(str::to_owned)
    }

    /// The text of a policy, for explaining a decision to whoever may read policies.
    pub fn policy_text(&self, id: &str) -> Option<String> {
        self.policies.policy(&PolicyId::new(id)).map(ToString::to_string)
    }
}

/// The forbids of one set that are gone from another, or are not the same there: by id, sorted.
pub fn forbids_lost(old: &CompiledSet, new: &CompiledSet) -> Vec<String> {
    let forbids = old.policies.policies().filter(|policy| policy.effect() == Effect::Forbid);
    let kept = |policy: &Policy| {
        let other = new.policies.policy(policy.id());
        other.is_some_and(|other| policy.to_json().ok() == other.to_json().ok())
    };
    let mut lost: Vec<String> =
        forbids.filter(|policy| !kept(policy)).map(|policy| policy.id().to_string()).collect();
    lost.sort();
    lost
}

/// Why a policy set was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The author's errors, each with its place.
    #[error("{}", Listed(.0))]
    Refused(Vec<Problem>),
    /// The schema of this build does not parse, or policies that passed every check do not go together: ours, not the
    /// author's.
    #[error("this build cannot publish policies: {0}")]
    Ours(String),
}

impl PublishError {
    /// The author's errors; empty if the fault is ours.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Refused(problems) => problems,
            Self::Ours(_) => &[],
        }
    }
}

struct Listed<'a>(&'a [Problem]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// Checks a policy set and makes it ready to decide.
///
/// # Errors
/// Every problem at once, each with file, line and column. Unless all files parse there is nothing to validate, so
/// problems of the two kinds do not mix.
pub fn compile(source: &PolicySource) -> Result<CompiledSet, PublishError> {
    let extended = typed::extend(&source.tools).map_err(PublishError::Ours)?;
    let mut gathered = Gathered::new(source, &extended);
    for (index, file) in source.files.iter().enumerate() {
        if source.files.iter().take(index).any(|earlier| earlier.name == file.name) {
            let message = format!("there are two files named `{}`; rename one", file.name);
            gathered.problems.push(problem(file, 0, message));
        }
        gathered.file(file);
    }
    gathered.refuse()?;

    let validator = Validator::new(extended.schema.clone());
    let result = validator.validate(&gathered.policies, ValidationMode::Strict);
    for error in result.validation_errors() {
        gathered.diagnose(error.policy_id(), error);
    }
    for warning in result.validation_warnings() {
        gathered.diagnose(warning.policy_id(), warning);
    }
    gathered.refuse()?;
    let Gathered { policies, in_order, looks, arguments, input, files, .. } = gathered;
    let file_of = files.iter().map(|(id, file)| (id.to_string(), file.name.clone())).collect();
    let schema = extended.schema.clone();
    let typed = extended.typed(&input).map_err(PublishError::Ours)?;
    let selection = Selection::of(&in_order, &looks, &typed).map_err(PublishError::Ours)?;
    let permits_unlisted_calls = selection::permits_unlisted_calls(&in_order, &typed);
    Ok(CompiledSet {
        hash: source.hash(),
        arguments,
        policies,
        selection,
        permits_unlisted_calls,
        typed,
        schema,
        looks,
        file_of,
    })
}

struct Gathered<'a> {
    /// Typed actions that there are, by the tool's id.
    typed: BTreeSet<String>,
    extended: &'a Extended,
    policies: PolicySet,
    in_order: Vec<Policy>,
    looks: HashMap<String, Looks>,
    arguments: ArgumentNames,
    input: InputNames,
    files: HashMap<PolicyId, &'a SourceFile>,
    problems: Vec<Problem>,
}

impl<'a> Gathered<'a> {
    fn new(source: &PolicySource, extended: &'a Extended) -> Self {
        Self {
            typed: source.tools.iter().map(ToolDefinition::id).collect(),
            extended,
            policies: PolicySet::new(),
            in_order: Vec::new(),
            looks: HashMap::new(),
            arguments: ArgumentNames::None,
            input: InputNames::Some(BTreeSet::new()),
            files: HashMap::new(),
            problems: Vec::new(),
        }
    }

    fn refuse(&mut self) -> Result<(), PublishError> {
        if self.problems.is_empty() {
            return Ok(());
        }
        let mut problems = std::mem::take(&mut self.problems);
        problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        // Cedar repeats an error for every action that the policy applies to.
        let once = |message: &str| message.split(" for Ambit::Action::").next().map(str::to_owned);
        problems.dedup_by(|b, a| {
            (&a.file, a.line, a.column, once(&a.message)) == (&b.file, b.line, b.column, once(&b.message))
        });
        Err(PublishError::Refused(problems))
    }

    fn file(&mut self, file: &'a SourceFile) {
        let parsed: PolicySet = match file.text.parse() {
            Ok(parsed) => parsed,
            Err(errors) => {
                let errors: &cedar_policy::ParseErrors = &errors;
                self.problems.extend(errors.iter().map(|error| located(file, error)));
                return;
            }
        };
        for template in parsed.templates() {
            let message = "a policy with `?principal` or `?resource` is a template, and nothing here links \
                           templates; grant plainly, or name the principal and the resource";
            self.problems.push(problem(file, start_of(template.as_ref().loc()), message.to_owned()));
        }
        for policy in parsed.policies() {
            self.policy(file, policy);
        }
    }

    fn policy(&mut self, file: &'a SourceFile, policy: &Policy) {
        let start = start_of(policy.as_ref().loc());
        let id = match policy.annotation("id") {
            Some(id) if is_policy_id(id) => PolicyId::new(id),
            Some(id) => {
                let message =
                    format!("`{id}` is no policy id: 1 to 100 of A-Z, a-z, 0-9, `.`, `_`, `/` and `-`");
                self.problems.push(problem(file, start, message));
                return;
            }
            None => {
                let message =
                    "this policy has no id; put @id(\"...\") before it, so that decisions can name it";
                self.problems.push(problem(file, start, message.to_owned()));
                return;
            }
        };
        if let Some(earlier) = self.files.get(&id) {
            let message = format!("the id `{id}` is already taken in `{}`; choose another", earlier.name);
            self.problems.push(problem(file, start, message));
            return;
        }
        let permits = policy.effect() == Effect::Permit;
        if permits && policy.annotation("obligation").is_some() {
            let message =
                "an @obligation hangs on a forbid: write `forbid ... unless` what it asks for is there";
            self.problems.push(problem(file, start, message.to_owned()));
        }
        let json = match inspect::json(policy) {
            Ok(json) => json,
            Err(error) => {
                self.problems.push(problem(file, start, format!("this policy cannot be inspected: {error}")));
                return;
            }
        };
        let found = inspect::policy(&json);
        for message in self.typed_refusals(policy, &json, &found.input) {
            self.problems.push(problem(file, start, message));
        }
        self.looks.insert(id.to_string(), found.looks(&json));
        for message in found.refusals {
            self.problems.push(problem(file, start, message));
        }
        self.arguments.add(found.arguments);
        self.input.add(found.input);

        let policy = policy.new_id(id.clone());
        self.files.insert(id, file);
        self.in_order.push(policy.clone());
        if let Err(error) = self.policies.add(policy) {
            self.problems.push(problem(file, start, error.to_string()));
        }
    }

    /// What is wrong with how a policy speaks of tools with typed arguments.
    fn typed_refusals(&self, policy: &Policy, json: &Value, input: &InputNames) -> Vec<String> {
        let named = inspect::typed_tools(json);
        let unknown = named.iter().filter(|tool| !self.typed.contains(*tool));
        let mut refusals: Vec<String> = unknown
            .map(|tool| {
                format!(
                    "there is no approved definition of tool `{tool}`, so its arguments have no types; approve the \
                     tool, or put its definition into `tools/` beside the policies"
                )
            })
            .collect();
        for (tool, opaque) in self.extended.opaque.iter().filter(|(tool, _)| named.contains(*tool)) {
            for (argument, why) in opaque.iter().filter(|(argument, _)| input.names(argument)) {
                refusals
                    .push(format!("no policy can look into argument `{argument}` of tool `{tool}`: {why}"));
            }
        }
        let only_untyped = match policy.action_constraint() {
            ActionConstraint::Eq(action) => AsRef::<str>::as_ref(action.id()) == "callTool",
            ActionConstraint::Any | ActionConstraint::In(_) => false,
        };
        if only_untyped && !self.typed.is_empty() {
            let tools = self.typed.iter().map(|tool| format!("`{tool}`")).collect::<Vec<_>>().join(", ");
            refusals.push(format!(
                "`action == Ambit::Action::\"callTool\"` leaves out tools with typed arguments ({tools}); write \
                 `action in Ambit::Action::\"callTool\"`"
            ));
        }
        refusals
    }

    fn diagnose(&mut self, id: &PolicyId, error: &dyn miette::Diagnostic) {
        if let Some(file) = self.files.get(id) {
            self.problems.push(located(file, error));
        }
    }
}

fn is_policy_id(id: &str) -> bool {
    (1..=100).contains(&id.len())
        && id.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'/' | b'-'))
}

/// Where a policy or template starts.
fn start_of(loc: Option<&cedar_policy_core::parser::Loc>) -> usize {
    loc.map_or(0, cedar_policy_core::parser::Loc::start)
}

fn located(file: &SourceFile, error: &dyn miette::Diagnostic) -> Problem {
    let label = error.labels().and_then(|mut labels| labels.next());
    let place = label.map_or(0..0, |label| label.offset()..label.offset().saturating_add(label.len()));
    let message = match error.help() {
        Some(help) => format!("{error} ({help})"),
        None => error.to_string(),
    };
    Problem::at(file, place, message)
}

fn problem(file: &SourceFile, offset: usize, message: String) -> Problem {
    Problem::at(file, offset..offset, message)
}
