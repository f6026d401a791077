//! Publishing: one swap to a set that passed every check, on record, and back again.

use ::policies::forbids_lost;
use bytes::Bytes;
use schemas::decision::{
    Action, ContextFacts, DecisionRequest, Effect, Principal, Publication, ResourceFacts,
};
use schemas::ids::{ProposalId, Sha256Hex};
use serde_json::{Value, json};

use super::super::problem::ApiError;
use super::super::{Desk, random, read};
use super::draft::{self, Draft};
use crate::platform::{Platform, Statement};
use crate::store::policies::{Words, add, add_history, history, swap};
use crate::store::proposals::{self, Proposal};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Publish {
    files: Vec<::policies::SourceFile>,
    #[serde(default)]
    cases: Option<Vec<::policies::SourceFile>>,
    /// The hash this is meant to replace; without it, whatever is there.
    #[serde(default)]
    replaces: Option<Sha256Hex>,
    /// What it is for.
    #[serde(default)]
    note: String,
    /// Why nobody else could accept that a forbid goes. Only the deployment's operator may break the glass.
    #[serde(default)]
    break_glass: Option<String>,
}

/// Publishes the organisation's own files. Where a forbid goes, this makes a proposal for a second person.
pub(in crate::routes::api) async fn publish<P: Platform>(
    desk: &Desk<'_, P>,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let Publish { files, cases, replaces, note, break_glass } = read(body)?;
    // Whatever is published meanwhile is found by the swap.
    if desk.conditions.any() {
        desk.conditions.hold(Some(&super::get(desk).await?.to_string()))?;
    }
    let draft = draft::prepare(desk, draft::Body { files, cases }).await?;
    go(desk, draft, replaces, note, break_glass).await
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rollback {
    /// The version to go back to.
    to: i64,
    #[serde(default)]
    break_glass: Option<String>,
}

/// Publishes an earlier version's own files again, with today's guardrails and today's definitions of tools.
pub(in crate::routes::api) async fn rollback<P: Platform>(
    desk: &Desk<'_, P>,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let Rollback { to, break_glass } = read(body)?;
    let version = history(desk.platform, &desk.org.id, Some(to), 1).await?.into_iter().next();
    let version = version.ok_or_else(|| ApiError::NotFound(format!("version {to}")))?;
    let (source, built_in) = super::known(desk, &version.hash).await?;
    let files = source.files.into_iter().skip(built_in).collect();
    let draft = draft::prepare(desk, draft::Body { files, cases: Some(version.cases) }).await?;
    go(desk, draft, None, format!("back to version {to}"), break_glass).await
}

/// Publishes a draft, or proposes it.
pub(super) async fn go<P: Platform>(
    desk: &Desk<'_, P>,
    draft: Draft,
    replaces: Option<Sha256Hex>,
    note: String,
    break_glass: Option<String>,
) -> Result<Value, ApiError> {
    let hash = draft.source.hash();
    let expected = replaces.unwrap_or_else(|| desk.org.policy_set.clone());
    if expected != desk.org.policy_set {
        return Err(taken());
    }
    if hash == desk.org.policy_set {
        return Ok(json!({ "hash": hash, "changed": false }));
    }
    keeps_a_way_back(desk, &draft)?;
    let lost = forbids_lost(&desk.policies, &draft.set);
    let publication = Publication {
        removes_forbid: !lost.is_empty(),
        proposed_by: None,
        break_glass: break_glass.is_some(),
    };
    if desk.may_publish(publication).is_err() {
        return propose(desk, draft, expected, note, &lost).await;
    }
    let note = match break_glass.filter(|_| !lost.is_empty()) {
        Some(reason) => {
            format!("{note} (glass broken, {} gone: {reason})", lost.join(", ")).trim().to_owned()
        }
        None => note,
    };
    let words = Words { cases: draft.cases.clone(), note, by: desk.by().to_owned(), accepted_by: None };
    switch(desk, &draft, &expected, words, Vec::new()).await
}

/// Switches the organisation to a draft, if the expected set is still there.
pub(super) async fn switch<P: Platform>(
    desk: &Desk<'_, P>,
    draft: &Draft,
    expected: &Sha256Hex,
    words: Words,
    more: Vec<Statement>,
) -> Result<Value, ApiError> {
    let (hash, now) = (draft.source.hash(), desk.platform.now());
    let mut statements = vec![
        add(&draft.source, now)?,
        swap(&desk.org.id, expected, &hash),
        add_history(&desk.org.id, &hash, now, &words)?,
    ];
    statements.extend(more);
    let told = format!("policy set {hash} is to replace {expected}: {}", words.note);
    let results = desk.change("policy.publish", told, statements).await?;
    if results.get(1).is_none_or(Vec::is_empty) {
        return Err(taken());
    }
    let version = super::newest(desk).await?.map(|version| version.number);
    Ok(json!({ "hash": hash, "version": version, "changed": true }))
}

/// The statements that switch to a set with newer definitions of tools, for the batch that approves those: the last of them is the
/// history's, the one before it the swap.
pub(in crate::routes::api) async fn replacement<P: Platform>(
    desk: &Desk<'_, P>,
    draft: &Draft,
    note: &str,
) -> Result<Vec<Statement>, ApiError> {
    let (hash, now) = (draft.source.hash(), desk.platform.now());
    let words = Words {
        cases: draft.cases.clone(),
        note: format!("typed anew: {note}"),
        by: desk.by().to_owned(),
        accepted_by: None,
    };
    Ok(vec![
        add(&draft.source, now)?,
        swap(&desk.org.id, &desk.org.policy_set, &hash),
        add_history(&desk.org.id, &hash, now, &words)?,
    ])
}

/// Whoever publishes must be able to publish again: a set that locks its author out can't be put right.
pub(super) fn keeps_a_way_back<P: Platform>(desk: &Desk<'_, P>, draft: &Draft) -> Result<(), ApiError> {
    let request = DecisionRequest {
        principal: Principal::User(desk.person.facts.clone()),
        action: Action::PublishPolicy,
        resource: ResourceFacts::Org(desk.facts()),
        context: ContextFacts::at(desk.platform.now(), desk.facts()),
    };
    let decision = match ::policies::decide(&draft.set, request) {
        Ok(_) => return Ok(()),
        Err(denial) => denial.record().decision.clone(),
    };
    debug_assert_eq!(decision.effect, Effect::Deny);
    Err(ApiError::Conflict(format!(
        "under these policies you could not publish again ({}): leave yourself a way back",
        if decision.policies.is_empty() {
            "nothing permits it".to_owned()
        } else {
            decision.policies.join(", ")
        }
    )))
}

async fn propose<P: Platform>(
    desk: &Desk<'_, P>,
    draft: Draft,
    replaces: Sha256Hex,
    note: String,
    lost: &[String],
) -> Result<Value, ApiError> {
    let now = desk.platform.now();
    let proposal = Proposal {
        id: ProposalId::mint(now, random(desk.platform)),
        hash: draft.source.hash(),
        replaces,
        note,
        why: format!("forbids gone or changed: {}", lost.join(", ")),
        proposed_by: desk.person.facts.name.clone(),
        proposed_at: now.0,
        state: "pending".to_owned(),
        decided_by: None,
        cases: draft.cases,
    };
    let statements = vec![add(&draft.source, now)?, proposals::add(&desk.org.id, &proposal)?];
    let told = format!("policy set {} waits for a second person: {}", proposal.hash, proposal.why);
    desk.change("policy.propose", told, statements).await?;
    Ok(json!({ "hash": proposal.hash, "changed": false, "proposal": proposal }))
}

pub(super) fn taken() -> ApiError {
    ApiError::Conflict("someone else published in the meantime: look at theirs, then publish again".into())
}
