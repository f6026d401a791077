//! What is read from standard input and written to standard output: one JSON document each.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The question: a schema, policies, and what they shall never allow.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Task {
    /// Cedar's human-readable schema.
    pub(crate) schema: String,
    /// The policies, built-in ones included. Every policy has an `@id`.
    pub(crate) policies: Vec<File>,
    /// The policies in use now: with them it is asked whether anything is newly allowed.
    pub(crate) old: Option<Vec<File>>,
    /// `forbid` policies with `@id` (and `@doc`), besides the built-in ones: no request that one matches is ever allowed.
    #[serde(default)]
    pub(crate) invariants: Vec<File>,
}

/// A Cedar file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// Its name, for errors and answers.
    pub(crate) name: String,
    /// Its text.
    pub(crate) text: String,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Version of this shape.
    pub(crate) v: u8,
    /// The worst of all answers.
    pub(crate) verdict: Verdict,
    /// The solver and its version, or nothing if there is none.
    pub(crate) solver: Option<String>,
    /// One answer per question.
    pub(crate) answers: Vec<Answer>,
}

/// From good to bad: the verdict on many things is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It holds for every request there can be.
    Proved,
    /// Nobody knows.
    NotProved,
    /// There is a request for which it does not hold.
    Refuted,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    /// A policy can always be evaluated. One that cannot denies everything it is about.
    NeverErrs,
    /// What an invariant matches is never allowed.
    Invariant,
    /// What is allowed is allowed by the old policies, too.
    NothingNew,
}

/// The answer to one question.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    /// What was asked.
    pub(crate) question: Question,
    /// The id of the policy or invariant it was asked of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// The file that it stands in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
    /// What was asked, in words.
    pub(crate) about: String,
    /// The worst of all findings.
    pub(crate) verdict: Verdict,
    /// One finding for each kind of request that it concerns.
    pub(crate) findings: Vec<Finding>,
}

/// The answer for one request environment: kind of principal, action, kind of resource.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    /// Type of the principal.
    pub(crate) principal: String,
    /// The action.
    pub(crate) action: String,
    /// Type of the resource.
    pub(crate) resource: String,
    /// Whether it holds.
    pub(crate) verdict: Verdict,
    /// Why it is not proved.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) unproved: Option<Unproved>,
    /// A request for which it does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) counterexample: Option<Counterexample>,
    /// How long it took.
    pub(crate) milliseconds: u128,
}

/// Why something is not proved.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Unproved {
    /// The kind of reason.
    pub(crate) reason: Reason,
    /// More about it.
    pub(crate) detail: String,
}

/// The kinds of reasons why something is not proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// There is no solver on this machine.
    NoSolver,
    /// The solver did not answer in time.
    Timeout,
    /// The solver does not know, or crashed.
    SolverFailed,
    /// The symbolic compiler cannot translate this.
    Unsupported,
    /// The solver's counterexample is none when it is decided by Cedar itself.
    Unconfirmed,
}

/// A request for which something does not hold, with as few other peculiarities as possible.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Counterexample {
    /// In words.
    pub(crate) text: String,
    /// The policies that decide it.
    pub(crate) policies: Vec<String>,
    /// The request, as `cedar authorize --request-json` reads it.
    pub(crate) request: Value,
    /// The entities, as `cedar authorize --entities` reads them.
    pub(crate) entities: Value,
}
