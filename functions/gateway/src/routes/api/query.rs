//! Queries: filters, and the page of a list.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::problem::ApiError;

/// Things on a page, unless the request says otherwise; and at most.
const USUAL: i64 = 100;
const MOST: i64 = 500;

/// The query of a request. What is misspelt or said twice is refused, so that it is not lost.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

/// Which part of a list.
#[derive(Debug)]
pub(super) struct Page {
    /// The key of the last thing on the page before; empty for the first page.
    pub(super) after: String,
    pub(super) limit: i64,
}

impl Query {
    /// Reads a query in which these names may occur.
    pub(super) fn read(query: Option<&str>, known: &[&str]) -> Result<Self, ApiError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.contains(&&*name) {
                let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
                return Err(ApiError::Malformed(format!("`{name}` is not asked for here: use {known}")));
            }
            if pairs.iter().any(|(there, _)| *there == name) {
                return Err(ApiError::Malformed(format!("`{name}` is there twice")));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(pairs))
    }

    /// Reads a query that may choose a page, and narrow the list by these.
    pub(super) fn of_list(query: Option<&str>, filters: &[&str]) -> Result<Self, ApiError> {
        let mut known = filters.to_vec();
        known.extend(["limit", "cursor"]);
        Self::read(query, &known)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A number that is not negative.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let wrong = || ApiError::Malformed(format!("`{name}` is a whole number that is not negative"));
        let number = |text: &str| text.parse().ok().filter(|number: &i64| *number >= 0).ok_or_else(wrong);
        self.get(name).map(number).transpose()
    }

    /// One of these words.
    pub(super) fn word<'w>(&self, name: &str, words: &[&'w str]) -> Result<Option<&'w str>, ApiError> {
        let Some(given) = self.get(name) else { return Ok(None) };
        let known = words.iter().copied().find(|word| *word == given);
        let wrong = || ApiError::Malformed(format!("`{name}` is one of {}", words.join(", ")));
        known.map(Some).ok_or_else(wrong)
    }

    /// Which page is asked for.
    pub(super) fn page(&self) -> Result<Page, ApiError> {
        let limit = self.number("limit")?.unwrap_or(USUAL);
        if !(1..=MOST).contains(&limit) {
            return Err(ApiError::Malformed(format!("`limit` is 1 to {MOST}")));
        }
        let after = match self.get("cursor") {
            None => String::new(),
            Some(cursor) => {
                let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| unknown())?;
                String::from_utf8(bytes).ok().filter(|after| !after.is_empty()).ok_or_else(unknown)?
            }
        };
        Ok(Page { after, limit })
    }
}

fn unknown() -> ApiError {
    ApiError::Malformed("`cursor` is not one of this list: start again without one".into())
}

impl Page {
    /// The same as [`Page::after`], where keys are numbers.
    pub(super) fn number(&self) -> Result<Option<i64>, ApiError> {
        match self.after.as_str() {
            "" => Ok(None),
            number => number.parse().map(Some).map_err(|_| unknown()),
        }
    }

    /// How many to look for: one more than is shown says whether there is a next page.
    pub(super) fn wanted(&self) -> i64 {
        self.limit.saturating_add(1)
    }

    /// Cuts what was found to the page. Answers the cursor of the next one, if there is one.
    pub(super) fn cut<T>(&self, found: &mut Vec<T>, key: impl Fn(&T) -> String) -> Option<String> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        if found.len() <= limit {
            return None;
        }
        found.truncate(limit);
        found.last().map(|last| URL_SAFE_NO_PAD.encode(key(last)))
    }
}

/// Adds the cursor of the next page to a list.
pub(super) fn with_next(mut list: Value, next: Option<String>) -> Value {
    if let (Some(next), Some(list)) = (next, list.as_object_mut()) {
        list.insert("next".to_owned(), next.into());
    }
    list
}
