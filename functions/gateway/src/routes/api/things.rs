//! Lists of things, and single ones, as the store shows them; and changes of a part of one (RFC 7396).

use serde_json::{Map, Value};

use super::desk::{Desk, missing};
use super::problem::ApiError;
use super::query::Query;
use super::reply::Reply;
use crate::platform::{Platform, Statement};
use crate::store::documents::{self, Kind, Thing};

/// A page of things of one kind, in the order of their keys.
pub(super) async fn list(
    platform: &impl Platform,
    kind: &Kind,
    scope: &str,
    query: Option<&str>,
) -> Result<Reply, ApiError> {
    let query = Query::of_list(query, kind.filters)?;
    let filters = filters(kind, &query);
    pages(platform, (kind, scope), &query, &filters, |_, text| text).await
}

/// What a query narrows a list by.
pub(super) fn filters(kind: &Kind, query: &Query) -> Vec<(&'static str, String)> {
    kind.filters.iter().filter_map(|filter| Some((*filter, query.get(filter)?.to_owned()))).collect()
}

/// The page that a query asks for, narrowed by these, each thing as it is told by its key and its text.
pub(super) async fn pages(
    platform: &impl Platform,
    (kind, scope): (&Kind, &str),
    query: &Query,
    filters: &[(&'static str, String)],
    told: impl Fn(&str, String) -> String,
) -> Result<Reply, ApiError> {
    let page = query.page()?;
    let mut found = documents::list(platform, kind, scope, filters, (&page.after, page.wanted())).await?;
    let next = page.cut(&mut found, |(key, _)| key.clone());
    let texts: Vec<String> = found.into_iter().map(|(key, text)| told(&key, text)).collect();
    let next = next.map(|next| format!(r#","next":"{next}""#)).unwrap_or_default();
    Ok(Reply::text(format!(r#"{{"{}":[{}]{next}}}"#, kind.list, texts.join(","))))
}

impl<P: Platform> Desk<'_, P> {
    /// A page of things of the organisation.
    pub(super) async fn list(&self, kind: &Kind, query: Option<&str>) -> Result<Reply, ApiError> {
        list(self.platform, kind, self.org.id.as_str(), query).await
    }

    /// One thing.
    pub(super) async fn show(&self, thing: &Thing) -> Result<Reply, ApiError> {
        let text = documents::get(self.platform, thing).await?;
        text.map(Reply::thing).ok_or_else(|| missing(thing))
    }

    /// A thing with a part of it changed: the body that would put it so, and the statement that keeps it as it was until then.
    pub(super) async fn patched(
        &self,
        thing: &Thing,
        patch: &[u8],
        read_only: &[&str],
    ) -> Result<(Value, Statement), ApiError> {
        let patch: Map<String, Value> = super::read(patch)?;
        let current = documents::get(self.platform, thing).await?;
        self.conditions.hold(current.as_deref())?;
        let current = current.ok_or_else(|| missing(thing))?;
        let mut whole: Value = serde_json::from_str(&current).unwrap_or_default();
        if let Some(members) = whole.as_object_mut() {
            members.retain(|name, value| !read_only.contains(&name.as_str()) && !value.is_null());
        }
        merge(&mut whole, Value::Object(patch));
        Ok((whole, thing.must_read(Some(&current))))
    }
}

/// RFC 7396 §2: members of the patch replace those of the whole, and `null` takes one away.
fn merge(whole: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *whole = patch;
        return;
    };
    if !whole.is_object() {
        *whole = Value::Object(Map::new());
    }
    let Some(members) = whole.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(&name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn examples_of_rfc_7396() {
        for (mut whole, patch, result) in [
            (json!({ "a": "b" }), json!({ "a": "c" }), json!({ "a": "c" })),
            (json!({ "a": "b", "b": "c" }), json!({ "a": null }), json!({ "b": "c" })),
            (json!({ "a": ["b"] }), json!({ "a": "c" }), json!({ "a": "c" })),
            (
                json!({ "a": { "b": "c" } }),
                json!({ "a": { "b": "d", "c": null } }),
                json!({ "a": { "b": "d" } }),
            ),
            (json!({ "a": [{ "b": "c" }] }), json!({ "a": [1] }), json!({ "a": [1] })),
            (json!({ "e": null }), json!({ "a": 1 }), json!({ "e": null, "a": 1 })),
            (json!({}), json!({ "a": { "bb": { "ccc": null } } }), json!({ "a": { "bb": {} } })),
        ] {
            merge(&mut whole, patch);
            assert_eq!(whole, result);
        }
    }
}
