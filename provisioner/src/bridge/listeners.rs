//! `subscriptions/listen` for servers of the older eras: their pushed notifications go to whoever listens.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::bridge::envelope::{self, Fields, Request, SUBSCRIPTION_KEY, quote};
use crate::bridge::era::{Handshake, Offer};
use crate::bridge::link::Shared;
use crate::bridge::translate;

/// What one listener wants, and the server can give.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Wants {
    pub(crate) tools: bool,
    pub(crate) prompts: bool,
    pub(crate) resources: bool,
    pub(crate) uris: BTreeSet<String>,
}

impl Wants {
    /// What is asked for, cut down to what the server declared.
    pub(crate) fn parse(request: &Request<'_>, handshake: &Handshake) -> Self {
        let filter = request.params.get("notifications").and_then(Fields::parse).unwrap_or_default();
        let wanted = |name: &str| filter.get(name) == Some("true");
        let uris = filter.get("resourceSubscriptions").and_then(|json| serde_json::from_str(json).ok());
        Self {
            tools: handshake.offers(Offer::ToolsChanges) && wanted("toolsListChanged"),
            prompts: handshake.offers(Offer::PromptsChanges) && wanted("promptsListChanged"),
            resources: handshake.offers(Offer::ResourcesChanges) && wanted("resourcesListChanged"),
            uris: uris.filter(|_| handshake.offers(Offer::ResourcesSubscribe)).unwrap_or_default(),
        }
    }

    /// The first message of the stream: what will be honoured.
    pub(crate) fn acknowledgement(&self, subscription: &str) -> Bytes {
        let mut honoured = Vec::new();
        for (name, on) in [
            ("toolsListChanged", self.tools),
            ("promptsListChanged", self.prompts),
            ("resourcesListChanged", self.resources),
        ] {
            if on {
                honoured.push(format!("\"{name}\":true"));
            }
        }
        if !self.uris.is_empty() {
            let uris: Vec<String> = self.uris.iter().map(|uri| quote(uri)).collect();
            honoured.push(format!("\"resourceSubscriptions\":[{}]", uris.join(",")));
        }
        let params = format!(
            "{{\"_meta\":{{\"{SUBSCRIPTION_KEY}\":{subscription}}},\"notifications\":{{{}}}}}",
            honoured.join(",")
        );
        envelope::notification("notifications/subscriptions/acknowledged", &params)
    }

    pub(crate) fn covers(&self, method: &str, fields: &Fields<'_>) -> bool {
        match method {
            "notifications/tools/list_changed" => self.tools,
            "notifications/prompts/list_changed" => self.prompts,
            "notifications/resources/list_changed" => self.resources,
            // A server may name a part of what was subscribed to.
            "notifications/resources/updated" => fields.text("uri").is_some_and(|changed| {
                self.uris.iter().any(|uri| {
                    changed
                        .strip_prefix(uri.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                })
            }),
            _ => false,
        }
    }
}

/// The final message of a stream that ends well.
pub(crate) fn farewell(subscription: &str) -> Bytes {
    let result =
        format!("{{\"resultType\":\"complete\",\"_meta\":{{\"{SUBSCRIPTION_KEY}\":{subscription}}}}}");
    envelope::answer(subscription, "result", result.as_bytes())
}

/// Everyone who listens on one link.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    streams: HashMap<u64, Listener>,
    /// How many listeners each resource has: the first subscribes, the last unsubscribes.
    resources: HashMap<String, usize>,
}

#[derive(Debug)]
struct Listener {
    subscription: String,
    wants: Wants,
    notices: mpsc::Sender<Bytes>,
}

impl Listeners {
    pub(crate) fn clear(&mut self) {
        self.streams.clear();
        self.resources.clear();
    }

    /// Relays a notification to those who asked for it.
    pub(crate) fn tell(&self, method: &str, fields: &Fields<'_>, params: &str) {
        for listener in self.streams.values().filter(|listener| listener.wants.covers(method, fields)) {
            let message = envelope::notification(method, &translate::tagged(params, &listener.subscription));
            let _ = listener.notices.try_send(message);
        }
    }
}

/// One registered listener; dropping it ends its subscriptions.
#[derive(Debug)]
pub(crate) struct Listening {
    shared: Arc<Shared>,
    key: u64,
    uris: BTreeSet<String>,
}

impl Listening {
    /// Registers a listener. Gives also the resources nobody was subscribed to yet.
    pub(crate) fn register(
        shared: &Arc<Shared>,
        subscription: &str,
        wants: Wants,
        notices: mpsc::Sender<Bytes>,
    ) -> (Self, Vec<String>) {
        let key = shared.next_id();
        let uris = wants.uris.clone();
        let mut calls = shared.calls();
        let listeners = &mut calls.listeners;
        let mut fresh = Vec::new();
        for uri in &uris {
            let count = listeners.resources.entry(uri.clone()).or_default();
            *count += 1;
            if *count == 1 {
                fresh.push(uri.clone());
            }
        }
        listeners.streams.insert(key, Listener { subscription: subscription.to_owned(), wants, notices });
        (Self { shared: Arc::clone(shared), key, uris }, fresh)
    }

    /// A resource the server refused.
    pub(crate) fn forget(&mut self, uri: &str) {
        self.uris.remove(uri);
        self.shared.calls().listeners.resources.remove(uri);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut orphans = Vec::new();
        {
            let mut calls = self.shared.calls();
            calls.listeners.streams.remove(&self.key);
            for uri in &self.uris {
                // Gone already when the link ended first.
                let Some(count) = calls.listeners.resources.get_mut(uri) else { continue };
                *count = count.saturating_sub(1);
                if *count == 0 {
                    calls.listeners.resources.remove(uri);
                    orphans.push(uri);
                }
            }
        }
        for uri in orphans {
            let id = self.shared.next_id();
            let params = format!("{{\"uri\":{}}}", quote(uri));
            self.shared.send(envelope::request(id, "resources/unsubscribe", &params).as_bytes());
        }
    }
}
