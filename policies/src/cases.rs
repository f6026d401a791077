//! Policy tests as data: a request and the decision it must get.
//!
//! A case file has one complete request (`base`) and many cases; each sets a few facts by JSON pointer, so that a case shows
//! what it is about and nothing else. `null` removes a fact. Expectations are exact: the effect, and every deciding policy.
//!
//! ```json
//! {
//!   "about": "what these cases show",
//!   "policies": [{ "name": "oncall.cedar", "text": "@id(\"oncall\") permit (...);" }],
//!   "base": { "principal": {}, "action": "callTool", "resource": {}, "context": {} },
//!   "cases": [
//!     { "name": "a suspended agent", "set": { "/principal/status": "suspended" },
//!       "expect": { "effect": "deny", "policies": ["g2-active-principals"] } }
//!   ]
//! }
//! ```
//!
//! Where there is an inventory, a case can tell its request by names instead (see [`Scenario`]); `base` holds what the cases
//! share:
//!
//! ```json
//! {
//!   "about": "who may post",
//!   "base": { "agent": "oncall", "user": "ann", "tool": "slack/post" },
//!   "cases": [
//!     { "name": "into an incident", "args": { "channel": "C-INC-7" },
//!       "expect": { "effect": "allow", "policies": ["oncall-incident-channels"] } }
//!   ]
//! }
//! ```

use std::collections::BTreeMap;

use schemas::decision::{Decision, DecisionRequest, Effect};
use schemas::inventory::{Inventory, ToolDefinition};
use serde_json::{Map, Value};

use crate::decision::evaluate_request;
use crate::publish::CompiledSet;
use crate::scenario::Scenario;
use crate::source::SourceFile;

/// One file of cases.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// What these cases show.
    pub about: String,
    /// The organisation's own policies that the cases are about, besides the built-in ones.
    #[serde(default)]
    pub policies: Vec<SourceFile>,
    /// Definitions of the tools whose typed arguments the policies look into.
    #[serde(default)]
    pub tools: Vec<ToolDefinition>,
    /// A complete request; or what the cases share that tell theirs by names.
    #[serde(default)]
    pub base: Value,
    /// What changes, and what must be decided then.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Case {
    /// What it shows, in words.
    pub name: String,
    /// Facts to set in the base, by JSON pointer; `null` removes one.
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
    /// What must be decided.
    pub expect: Expectation,
    /// The request by names: the members of a [`Scenario`].
    #[serde(flatten)]
    pub named: Map<String, Value>,
}

/// What must be decided.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Allow or deny.
    pub effect: Effect,
    /// Every policy that decides, sorted by id. None means: nothing permitted.
    #[serde(default)]
    pub policies: Vec<String>,
    /// What would turn the deny into an allow.
    #[serde(default)]
    pub obligations: Vec<String>,
    /// What could not be evaluated, word for word.
    #[serde(default)]
    pub errors: Vec<String>,
}

/// Why a case did not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    /// The case file cannot be read.
    #[error("this is no case file: {0}")]
    File(String),
    /// A pointer of `set` leads nowhere.
    #[error("case `{case}`: `{pointer}` leads nowhere in the base request; write it as `/principal/status`")]
    Pointer {
        /// The case.
        case: String,
        /// Its pointer.
        pointer: String,
    },
    /// The facts make no request.
    #[error("case `{case}`: these facts make no request: {reason}")]
    Request {
        /// The case.
        case: String,
        /// What is wrong with them.
        reason: String,
    },
    /// Another decision than expected.
    #[error("case `{case}`: expected {expected}, decided {decided}")]
    Decided {
        /// The case.
        case: String,
        /// What the case says.
        expected: String,
        /// What the policies say.
        decided: String,
    },
}

impl CaseFile {
    /// Reads a case file.
    ///
    /// # Errors
    /// Says what is wrong with the JSON, with line and column; or which case is neither of the one form nor of the other.
    pub fn parse(text: &str) -> Result<Self, CaseError> {
        let file: Self = serde_json::from_str(text).map_err(|error| CaseError::File(error.to_string()))?;
        for case in &file.cases {
            if file.is_whole() {
                if let Some(key) = case.named.keys().next() {
                    let reason = format!("`base` is a whole request, so `{key}` says nothing; use `set`");
                    return Err(CaseError::Request { case: case.name.clone(), reason });
                }
            } else {
                file.scenario(case)?;
            }
        }
        Ok(file)
    }

    /// Whether `base` is a whole request, and not what scenarios share.
    fn is_whole(&self) -> bool {
        self.base.get("principal").is_some()
    }

    fn scenario(&self, case: &Case) -> Result<Scenario, CaseError> {
        let mut told = self.base.as_object().cloned().unwrap_or_default();
        told.extend(case.named.clone());
        serde_json::from_value(Value::Object(told))
            .map_err(|error| CaseError::Request { case: case.name.clone(), reason: error.to_string() })
    }

    /// Runs every case against a set, and returns those that do not hold.
    pub fn run(&self, set: &CompiledSet) -> Vec<CaseError> {
        self.run_with(set, None)
    }

    /// The same, with an inventory for cases that tell their requests by names.
    pub fn run_with(&self, set: &CompiledSet, inventory: Option<&Inventory>) -> Vec<CaseError> {
        self.cases.iter().filter_map(|case| self.run_one(set, inventory, case).err()).collect()
    }

    fn run_one(
        &self,
        set: &CompiledSet,
        inventory: Option<&Inventory>,
        case: &Case,
    ) -> Result<(), CaseError> {
        let decision = self.decide(set, inventory, case)?;
        let expect = &case.expect;
        let describe = |effect: Effect, policies: &[String], obligations: &[String]| {
            let effect = if effect == Effect::Allow { "allow" } else { "deny" };
            let asks =
                if obligations.is_empty() { String::new() } else { format!(" asking {obligations:?}") };
            format!("{effect} by {policies:?}{asks}")
        };
        let with = |described: String, errors: &[String]| {
            if errors.is_empty() { described } else { format!("{described}, with errors {errors:?}") }
        };
        let expected = describe(expect.effect, &expect.policies, &expect.obligations);
        let expected = with(expected, &expect.errors);
        let decided = describe(decision.effect, &decision.policies, &decision.obligations);
        let decided = with(decided, &decision.errors);
        if expected == decided {
            Ok(())
        } else {
            Err(CaseError::Decided { case: case.name.clone(), expected, decided })
        }
    }

    /// What a set decides on a case, whatever is expected.
    ///
    /// # Errors
    /// The case makes no request.
    pub fn decide(
        &self,
        set: &CompiledSet,
        inventory: Option<&Inventory>,
        case: &Case,
    ) -> Result<Decision, CaseError> {
        Ok(evaluate_request(set, &self.request_with(set, inventory, case)?))
    }

    /// The base with the facts of a case.
    ///
    /// # Errors
    /// A pointer leads nowhere, or the facts make no request.
    pub fn request(&self, case: &Case) -> Result<DecisionRequest, CaseError> {
        Self::changed(self.base.clone(), case)
    }

    /// The request of a case, told in whatever form.
    ///
    /// # Errors
    /// As [`Self::request`]; or something that is named is not in the inventory.
    pub fn request_with(
        &self,
        set: &CompiledSet,
        inventory: Option<&Inventory>,
        case: &Case,
    ) -> Result<DecisionRequest, CaseError> {
        if self.is_whole() {
            return self.request(case);
        }
        let no = |reason: String| CaseError::Request { case: case.name.clone(), reason };
        let inventory = inventory.ok_or_else(|| no("a request by names needs an inventory".to_owned()))?;
        let request = self.scenario(case)?.request(set, inventory).map_err(no)?;
        if case.set.is_empty() {
            return Ok(request);
        }
        Self::changed(serde_json::to_value(request).map_err(|error| no(error.to_string()))?, case)
    }

    fn changed(mut facts: Value, case: &Case) -> Result<DecisionRequest, CaseError> {
        for (pointer, value) in &case.set {
            place(&mut facts, pointer, value)
                .ok_or_else(|| CaseError::Pointer { case: case.name.clone(), pointer: pointer.clone() })?;
        }
        serde_json::from_value(facts)
            .map_err(|error| CaseError::Request { case: case.name.clone(), reason: error.to_string() })
    }
}

fn place(facts: &mut Value, pointer: &str, value: &Value) -> Option<()> {
    let (parent, field) = pointer.rsplit_once('/')?;
    let parent = facts.pointer_mut(parent)?.as_object_mut()?;
    let field = field.replace("~1", "/").replace("~0", "~");
    if value.is_null() {
        parent.remove(&field)?;
    } else {
        parent.insert(field, value.clone());
    }
    Some(())
}
