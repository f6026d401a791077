//! Lines of the trail, read no further than replaying takes.

use std::borrow::Cow;

use schemas::decision::Effect;
use serde_json::value::RawValue;

/// An event of the trail, what holds one, or a decision record: one shape for all, since their members do not clash.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    event: Option<Box<Line<'a>>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    at: Option<i64>,
    #[serde(borrow)]
    request: Option<&'a RawValue>,
    #[serde(borrow)]
    policy_set: Option<Cow<'a, str>>,
    #[serde(borrow)]
    decision: Option<Box<Line<'a>>>,
    effect: Option<Effect>,
    #[serde(borrow)]
    policies: Option<&'a RawValue>,
}

/// What a line has on record.
pub(super) struct Recorded<'l> {
    pub(super) request: &'l RawValue,
    pub(super) policy_set: &'l str,
    pub(super) effect: Effect,
    policies: Option<&'l RawValue>,
}

impl Recorded<'_> {
    /// The policies that decided.
    pub(super) fn policies(&self) -> Vec<String> {
        self.policies.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }
}

impl Line<'_> {
    fn inner(&self) -> &Self {
        self.event.as_deref().unwrap_or(self)
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.inner().id.as_deref()
    }

    pub(super) fn at(&self) -> Option<i64> {
        self.inner().at
    }

    /// The decision on record, if there is one.
    pub(super) fn record(&self) -> Option<Recorded<'_>> {
        let event = self.inner();
        let record = if event.request.is_some() { event } else { event.decision.as_deref()? };
        let decision = record.decision.as_deref()?;
        Some(Recorded {
            request: record.request?,
            policy_set: record.policy_set.as_deref()?,
            effect: decision.effect?,
            policies: decision.policies,
        })
    }
}

/// The text of a request before and after the time that it was. None if an argument has the clock's name, so that it cannot be told
/// which is which. Quotes within strings are escaped, so this finds names of members only.
pub(super) fn around_clock(request: &str) -> Option<(&str, &str)> {
    const CLOCK: &str = "\"now\":";
    let (before, rest) = request.split_once(CLOCK)?;
    let rest = rest.trim_start();
    let digits = rest.bytes().take_while(|c| c.is_ascii_digit() || *c == b'-').count();
    let after = rest.get(digits..)?;
    (digits > 0 && !after.contains(CLOCK)).then_some((before, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_told_from_what_looks_like_it() {
        assert_eq!(around_clock(r#"{"now":17,"x":1}"#), Some(("{", r#","x":1}"#)));
        assert_eq!(around_clock(r#"{"a":"\"now\":3","now":17}"#), Some((r#"{"a":"\"now\":3","#, "}")));
        assert_eq!(around_clock(r#"{"input":{"now":3},"now":17}"#), None);
        assert_eq!(around_clock(r#"{"args":{"now":"3"},"now":17}"#), None);
        assert_eq!(around_clock("{}"), None);
    }

    #[test]
    fn a_record_is_found_wherever_it_is() {
        let record =
            r#"{"v":2,"request":{},"policy_set":"h","decision":{"effect":"allow","policies":["p"]}}"#;
        let event = format!(r#"{{"id":"evt_1","at":5,"phase":"intent","decision":{record}}}"#);
        for text in [record.to_owned(), event.clone(), format!(r#"{{"event":{event},"leaf":"x"}}"#)] {
            let line: Line = serde_json::from_str(&text).unwrap();
            let record = line.record().unwrap();
            assert_eq!((record.policy_set, record.effect), ("h", Effect::Allow));
            assert_eq!(record.policies(), ["p"]);
        }
        let none: Line = serde_json::from_str(r#"{"id":"evt_1","phase":"outcome"}"#).unwrap();
        assert!(none.record().is_none());
    }
}
