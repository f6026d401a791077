//! The trail, and why something was decided as it was.

use schemas::ids::{EventId, Timestamp};
use serde_json::{Value, json};

use super::Desk;
use super::problem::ApiError;
use super::query::{Query, with_next};
use crate::audit::Told;
use crate::platform::{Platform, PlatformError};
use crate::store::{self, audit::Wanted};

/// `GET audit`: a page of the trail in order, with leaf hashes; all of it, or only what holds a decision, or is about somebody or
/// something. `since` is milliseconds since 1970; `after` an event, for whoever follows the trail.
pub(super) async fn page<P: Platform>(desk: &Desk<'_, P>, query: Option<&str>) -> Result<Value, ApiError> {
    let query = Query::of_list(query, &["since", "after", "decisions", "phase", "agent", "user", "method"])?;
    let page = query.page()?;
    let since = Timestamp(query.number("since")?.unwrap_or(0));
    // Ids begin with their time, so a time is a place in the trail.
    let since = if since.0 > 0 { EventId::mint(since, [0; 10]).to_string() } else { String::new() };
    let after = match query.get("after").filter(|after| !after.is_empty()) {
        Some(after) => EventId::parse(after)?.to_string(),
        None => String::new(),
    };
    let after = after.max(since).max(page.after.clone());
    let wanted = Wanted {
        decisions: query.word("decisions", &["true", "false"])? == Some("true"),
        phase: query.word("phase", &["intent", "outcome", "denial", "note"])?,
        agent: query.get("agent"),
        user: query.get("user"),
        method: query.get("method"),
    };
    let mut rows = store::audit::page(desk.platform, &desk.org.id, &wanted, (&after, page.wanted())).await?;
    let next = page.cut(&mut rows, |row| row.id.clone());
    let events: Vec<Value> = rows
        .iter()
        .map(|row| json!({ "leaf": row.leaf, "event": serde_json::from_str::<Value>(&row.event).unwrap_or_default() }))
        .collect();
    Ok(with_next(json!({ "events": events }), next))
}

/// `GET decisions/{event}?view=agent|owner|auditor`: why something was decided as it was, for three readers.
pub(super) async fn why<P: Platform>(
    desk: &Desk<'_, P>,
    event: &str,
    query: Option<&str>,
) -> Result<Value, ApiError> {
    let event = EventId::parse(event)?;
    let query = Query::read(query, &["view"])?;
    let view = query.word("view", &["agent", "owner", "auditor"])?.unwrap_or("owner");
    let found = store::audit::event(desk.platform, &desk.org.id, &event).await?;
    let found = found.ok_or_else(|| ApiError::NotFound(format!("event `{event}`")))?;
    match view {
        // Exactly what the agent was told; it is the same for what is forbidden and for what is not there.
        "agent" => Ok(json!(Told::of(&found))),
        "auditor" => Ok(json!(found)),
        _ => {
            let Some(record) = &found.decision else {
                return Ok(json!({ "event": event, "reason": found.reason, "decision": null }));
            };
            let set = desk
                .gateway
                .policy_set(desk.platform, &record.policy_set)
                .await
                .map_err(|refusal| PlatformError::Database(refusal.to_string()))?;
            // The set of then, and the facts of then: the same decision, explained.
            let explanation = policies::explain(&set, &record.request, None);
            Ok(json!({ "event": event, "decision": record.decision, "explanation": explanation }))
        }
    }
}
