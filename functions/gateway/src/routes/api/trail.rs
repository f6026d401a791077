//! The trail, and why something was decided as it was.

use schemas::ids::{EventId, Timestamp};
use serde_json::{Value, json};

use super::Desk;
use super::problem::ApiError;
use crate::audit::Told;
use crate::platform::{Platform, PlatformError};
use crate::store;

/// `GET audit?after=<event id>&limit=<1 to 1000>&since=<ms since 1970>&decisions=true`: the trail in order, with leaf hashes; all of
/// it, or only what holds a decision.
pub(super) async fn page<P: Platform>(desk: &Desk<'_, P>, query: &str) -> Result<Value, ApiError> {
    let get = |key: &str| {
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.into_owned())
    };
    let number = |key: &str, text: Option<String>, otherwise: i64| match text {
        None => Ok(otherwise),
        Some(text) => text.parse::<i64>().map_err(|_| ApiError::Malformed(format!("`{key}` is a number"))),
    };
    let limit = number("limit", get("limit"), 100)?.clamp(1, 1000);
    let since = Timestamp(number("since", get("since"), 0)?);
    // Ids begin with their time, so a time is a place in the trail.
    let since = if since.0 > 0 { EventId::mint(since, [0; 10]).to_string() } else { String::new() };
    let after = get("after").unwrap_or_default().max(since);
    let decisions = get("decisions").as_deref() == Some("true");
    let rows = store::audit::page(desk.platform, &desk.org.id, &after, limit, decisions).await?;
    let events: Vec<Value> = rows
        .iter()
        .map(|(leaf, event)| json!({ "leaf": leaf, "event": serde_json::from_str::<Value>(event).unwrap_or_default() }))
        .collect();
    Ok(json!({ "events": events }))
}

/// `GET decisions/{event}?view=agent|owner|auditor`: why something was decided as it was, for three readers.
pub(super) async fn why<P: Platform>(
    desk: &Desk<'_, P>,
    event: &str,
    query: &str,
) -> Result<Value, ApiError> {
    let event = EventId::parse(event)?;
    let view = url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "view")
        .map_or_else(|| "owner".to_owned(), |(_, view)| view.into_owned());
    let found = store::audit::event(desk.platform, &desk.org.id, &event).await?;
    let found = found.ok_or_else(|| ApiError::NotFound(format!("event `{event}`")))?;
    match view.as_str() {
        // Exactly what the agent was told; it is the same for what is forbidden and for what is not there.
        "agent" => Ok(json!(Told::of(&found))),
        "auditor" => Ok(json!(found)),
        "owner" => {
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
        _ => Err(ApiError::Malformed("`view` is agent, owner or auditor".into())),
    }
}
