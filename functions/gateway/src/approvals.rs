//! A person's word on one exact call: what it covers, how long it holds, and how it is given.

use policies::{Denial, Permit};
use schemas::audit::{Actor, Subject};
use schemas::decision::{Action, ContextFacts, DecisionRequest, OrgFacts, Principal, ResourceFacts};
use schemas::ids::{OrgId, Sha256Hex, Timestamp};
use serde_json::Value;

use crate::Gateway;
use crate::audit::{About, Step};
use crate::identity::person::Person;
use crate::platform::{Batch, Platform, PlatformError};
use crate::store::approvals::{self, Approval, State};
use crate::store::callers::Credential;
use crate::store::{people, targets};
use crate::toolboxes::{Server, Tool};
use crate::vault::{Purpose, Vault};

/// What a policy says is needed: its `@obligation`.
pub(crate) const OBLIGATION: &str = "approval:user";

/// How long a decision holds, in milliseconds. The guardrail says so too: whoever is stricter wins.
pub(crate) const HOLDS: i64 = 5 * 60 * 1000;
/// How long a question waits for its decision, in milliseconds; asking again makes it wait anew.
pub(crate) const WAITS: i64 = 15 * 60 * 1000;

/// More arguments than these, in bytes, nobody reads before approving of them.
const LONGEST: usize = 64 * 1024;
/// Whole numbers up to this one are the same to everybody who reads JSON (RFC 8785 §3.2.2.3).
const LARGEST: u64 = 1 << 53;

/// Why nobody can be asked to approve of these arguments. Safe for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unapprovable {
    #[error("this call needs a person's approval, and its arguments are too long to be read: 64 KiB at most")]
    TooLong,
    #[error(
        "this call needs a person's approval, and its arguments hold a number beyond 2^53, which not all readers take for the same: send it as text"
    )]
    Inexact,
    #[error("this call needs a person's approval, and its arguments can't be kept for one")]
    Unsealed,
}

/// The arguments of a call as they are approved and then run: their values, in the one spelling of RFC 8785.
#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    pub(crate) text: String,
    pub(crate) hash: Sha256Hex,
}

impl Arguments {
    /// Reads the `arguments` of a call; a call without any has `{}`.
    pub(crate) fn read(arguments: Option<&str>) -> Result<Self, Unapprovable> {
        let value: Value =
            serde_json::from_str(arguments.unwrap_or("{}")).map_err(|_| Unapprovable::Inexact)?;
        if !is_exact(&value) {
            return Err(Unapprovable::Inexact);
        }
        let text = serde_json_canonicalizer::to_string(&value).map_err(|_| Unapprovable::Inexact)?;
        if text.len() > LONGEST {
            return Err(Unapprovable::TooLong);
        }
        let hash = Sha256Hex::of(text.as_bytes());
        Ok(Self { text, hash })
    }

    /// Seals them for the store.
    pub(crate) fn seal(
        &self,
        platform: &impl Platform,
        vault: &Vault,
        org: &OrgId,
    ) -> Result<String, Unapprovable> {
        vault
            .seal(platform, Purpose::Approval, &place(org, &self.hash), self.text.as_bytes())
            .ok_or(Unapprovable::Unsealed)
    }

    /// Opens what the store keeps; nothing if it is not kept any more, or is not what it should be.
    pub(crate) fn open(vault: &Vault, approval: &Approval) -> Option<Self> {
        let place = place(&approval.org, &approval.arguments_hash);
        let text = String::from_utf8(vault.open(Purpose::Approval, &place, &approval.sealed).ok()?).ok()?;
        let hash = Sha256Hex::of(text.as_bytes());
        (hash == approval.arguments_hash).then_some(Self { text, hash })
    }
}

fn place(org: &OrgId, hash: &Sha256Hex) -> Vec<u8> {
    format!("arguments\n{org}\n{hash}").into_bytes()
}

/// Whether every number is one that all readers of JSON agree on.
fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            let whole = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            whole.is_none_or(|whole| whole <= LARGEST)
        }
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(fields) => fields.values().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// What a person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Word {
    Approve,
    Refuse,
}

/// Whether the policies let somebody speak on a call: the person it is made for, or who passes on what that person said. Nothing if what
/// the call is about is not there any more.
pub(crate) async fn may_decide<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    person: &Person,
    approval: &Approval,
) -> Result<Option<Result<Permit, Denial>>, PlatformError> {
    let org = OrgFacts { id: approval.org.clone(), name: approval.org_name.clone() };
    let nobody = Credential::KeyHash(String::new());
    let found = targets::tools(platform, &nobody, (&org.name, &approval.toolbox)).await?;
    let Some(toolbox) = found.toolbox else { return Ok(None) };
    let is_it =
        |(server, tool): &&(Server, Tool)| server.name == approval.server && tool.name == approval.tool;
    let Some((server, tool)) = found.rest.iter().find(is_it) else { return Ok(None) };
    let everybody = people::all(platform, &org).await?;
    let set = gateway
        .policy_set(platform, &toolbox.policy_set)
        .await
        .map_err(|refusal| PlatformError::Database(refusal.to_string()))?;
    let context = ContextFacts {
        user: everybody.into_iter().find(|person| person.name == approval.user),
        ..ContextFacts::at(platform.now(), org)
    };
    let request = DecisionRequest {
        principal: Principal::User(person.facts.clone()),
        action: Action::ApproveCall,
        resource: ResourceFacts::Tool(tool.facts(server, &toolbox)),
        context,
    };
    Ok(Some(policies::decide(&set, request)))
}

/// Takes a person's word on what waits. Answers whether it counted: the question may have been decided, or have waited too long.
/// `credential` is what proved who speaks, and `attested` says on whose word it is taken for that person's.
pub(crate) async fn decide<P: Platform>(
    vault: &Vault,
    platform: &P,
    approval: &Approval,
    word: Word,
    (credential, attested): (&str, &str),
) -> Result<bool, PlatformError> {
    // Nobody approves of what they can't have read.
    let readable = approval.definition.is_some() && Arguments::open(vault, approval).is_some();
    if word == Word::Approve && !readable {
        return Ok(false);
    }
    let (state, action, said) = match word {
        Word::Approve => (State::Approved, "approval.approve", "approved"),
        Word::Refuse => (State::Refused, "approval.refuse", "refused"),
    };
    let about = About {
        org: approval.org.clone(),
        actor: Actor { agent: None, user: Some(approval.user.clone()), credential: credential.to_owned() },
        method: String::new(),
        subject: Some(Subject {
            toolbox: Some(approval.toolbox.clone()),
            server: Some(approval.server.clone()),
            name: Some(approval.tool.clone()),
        }),
        arguments: Some(approval.arguments_hash.clone()),
        traceparent: None,
    };
    let what = format!(
        "{}: {said} for agent `{}` by `{}`, attested by {attested}",
        approval.id, approval.agent, approval.user
    );
    let step = Step::new(platform, &about, action, what)?;
    let now: Timestamp = platform.now();
    let swap = approvals::decide(approval, state, (now, now.plus(HOLDS)), &step.id);
    let results = platform.sql(Batch::write(vec![swap, step.line])).await?;
    Ok(results.first().is_some_and(|rows| !rows.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_values_not_spellings() {
        let read = |text| Arguments::read(Some(text)).unwrap();
        assert_eq!(read(r#"{"b": 1.0, "a": "\u0041"}"#).text, r#"{"a":"A","b":1}"#);
        assert_eq!(read(r#"{"a":"A","b":1}"#).hash, read(r#"{ "b":1e0, "a":"A" }"#).hash);
        assert_ne!(read(r#"{"a":"1"}"#).hash, read(r#"{"a":1}"#).hash);
        assert_eq!(Arguments::read(None).unwrap().hash, read("{}").hash);
    }

    #[test]
    fn what_readers_disagree_on_is_not_approved() {
        for text in [r#"{"a":9007199254740993}"#, r#"{"a":[{"b":-9007199254740993}]}"#] {
            assert_eq!(Arguments::read(Some(text)).unwrap_err(), Unapprovable::Inexact, "{text}");
        }
        assert!(Arguments::read(Some(r#"{"a":9007199254740992,"b":0.1,"c":1e300}"#)).is_ok());
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(LONGEST));
        assert_eq!(Arguments::read(Some(&long)).unwrap_err(), Unapprovable::TooLong);
    }
}
