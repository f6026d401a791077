//! The log: one line of JSON per event, on the console that the platform collects.

use std::fmt::Debug;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use worker::{console_error, console_log};

/// Sends the core's events to the console from now on.
pub(crate) fn start() {
    // An isolate that came back to life after a trap has set it before; that is all that can go wrong.
    let _ = tracing::subscriber::set_global_default(Console);
}

/// Writes events of level `INFO` and above. Spans are not followed: an event says all that it means.
struct Console;

impl Subscriber for Console {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::INFO
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(serde_json::Map::new());
        line.put("level", event.metadata().level().as_str().to_lowercase());
        line.put("target", event.metadata().target());
        event.record(&mut line);
        let line = serde_json::Value::Object(line.0).to_string();
        if *event.metadata().level() == Level::ERROR {
            console_error!("{line}");
        } else {
            console_log!("{line}");
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(serde_json::Map<String, serde_json::Value>);

impl Line {
    fn put(&mut self, name: &str, value: impl Into<serde_json::Value>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field.name(), format!("{value:?}"));
    }
}
