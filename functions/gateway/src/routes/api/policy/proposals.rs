//! Proposals: sets that take a forbid away, and wait for a second person.

use ::policies::forbids_lost;
use bytes::Bytes;
use schemas::decision::Publication;
use schemas::ids::ProposalId;
use serde_json::{Value, json};

use super::super::problem::ApiError;
use super::super::query::{Query, with_next};
use super::super::{Desk, read};
use super::draft;
use super::publish::{keeps_a_way_back, switch, taken};
use crate::platform::Platform;
use crate::store::policies::Words;
use crate::store::{people, proposals};

/// `GET policies/proposals?state=<pending|accepted|refused>`: a page of proposals, newest first.
pub(in crate::routes::api) async fn list<P: Platform>(
    desk: &Desk<'_, P>,
    query: Option<&str>,
) -> Result<Value, ApiError> {
    let query = Query::of_list(query, &["state"])?;
    let (page, state) = (query.page()?, query.word("state", &["pending", "accepted", "refused"])?);
    let mut found = proposals::list(desk.platform, &desk.org.id, state, (&page.after, page.wanted())).await?;
    let next = page.cut(&mut found, |proposal| proposal.id.to_string());
    Ok(with_next(json!({ "proposals": found }), next))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Decide {
    decision: Word,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Accept,
    Refuse,
}

/// Accepts or refuses one. Whoever proposed it can take it back, and nobody accepts their own.
pub(in crate::routes::api) async fn decide<P: Platform>(
    desk: &Desk<'_, P>,
    id: &str,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let id = ProposalId::parse(id)?;
    let Decide { decision } = read(body)?;
    let proposal = proposals::find(desk.platform, &desk.org.id, &id).await?;
    let proposal = proposal.ok_or_else(|| ApiError::NotFound(format!("proposal `{id}`")))?;
    let now = desk.platform.now();
    let settled = || ApiError::Conflict(format!("proposal `{id}` does not wait any more"));
    if proposal.state != "pending" {
        return Err(settled());
    }
    if matches!(decision, Word::Refuse) {
        let statement = proposals::decide(&desk.org.id, &id, None, desk.by(), now);
        let results = desk.change("policy.refuse", format!("proposal `{id}`"), vec![statement]).await?;
        let done = results.first().is_some_and(|rows| !rows.is_empty());
        return if done { Ok(json!({ "id": id, "state": "refused" })) } else { Err(settled()) };
    }
    if proposal.replaces != desk.org.policy_set {
        return Err(taken());
    }
    let (source, built_in) = super::known(desk, &proposal.hash).await?;
    let files = source.files.into_iter().skip(built_in).collect();
    let cases = Some(proposal.cases.clone());
    let draft = draft::prepare(desk, draft::Body { files, cases }).await?;
    keeps_a_way_back(desk, &draft)?;
    let everybody = people::all(desk.platform, &desk.facts()).await?;
    let publication = Publication {
        removes_forbid: !forbids_lost(&desk.policies, &draft.set).is_empty(),
        // Without the proposer nobody is a second person.
        proposed_by: everybody.into_iter().find(|person| person.name == proposal.proposed_by),
        break_glass: false,
    };
    if desk.may_publish(publication).is_err() {
        return Err(ApiError::Conflict(format!(
            "`{}` proposed this: somebody else who may publish has to accept it",
            proposal.proposed_by
        )));
    }
    let words = Words {
        cases: proposal.cases,
        note: proposal.note,
        by: proposal.proposed_by.to_string(),
        accepted_by: Some(desk.by().to_owned()),
    };
    let accept = proposals::decide(&desk.org.id, &id, Some(&draft.source.hash()), desk.by(), now);
    switch(desk, &draft, &proposal.replaces, words, vec![accept]).await
}
