//! The Worker's outside world, as the core knows it.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use gateway::platform::{Batch, Platform, PlatformError, Rows, SignatureCheck};
use gateway::secret::Secret;
use js_sys::Promise;
use schemas::ids::Timestamp;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::future_to_promise;
use worker::{Delay, Env};

use crate::stream::Incoming;
use crate::{database, fetching, signature};

/// What one event may use. It must not outlive the event, as all that the platform hands out.
#[derive(Clone)]
pub(crate) struct Edge(Rc<Handles>);

struct Handles {
    env: Env,
    wait_until: Box<dyn Fn(&Promise)>,
}

impl Edge {
    /// `wait_until` keeps the event alive until a promise has settled.
    pub(crate) fn new(env: Env, wait_until: impl Fn(&Promise) + 'static) -> Self {
        Self(Rc::new(Handles { env, wait_until: Box::new(wait_until) }))
    }
}

impl Platform for Edge {
    type Stream = Incoming;

    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Incoming>, PlatformError> {
        fetching::send(request).await
    }

    async fn sql(&self, batch: Batch) -> Result<Vec<Rows>, PlatformError> {
        database::run(&self.0.env, batch).await
    }

    fn now(&self) -> Timestamp {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "milliseconds since 1970 fit for 285 million years"
        )]
        Timestamp(js_sys::Date::now() as i64)
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        // The platform has no failing path here; were there one, nothing that follows would be secret.
        if getrandom::fill(buffer).is_err() {
            std::process::abort();
        }
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        // Secrets and plain variables are both texts of the environment; one that is not set reads as null.
        js_sys::Reflect::get(&self.0.env, &JsValue::from_str(name)).ok()?.as_string().map(Secret::new)
    }

    fn later(&self, work: LocalBoxFuture<'static, ()>) {
        let promise = future_to_promise(std::panic::AssertUnwindSafe(async move {
            work.await;
            Ok(JsValue::UNDEFINED)
        }));
        (self.0.wait_until)(&promise);
    }

    async fn sleep(&self, duration: Duration) {
        Delay::from(duration).await;
    }

    async fn verify(&self, check: SignatureCheck<'_>) -> Option<bool> {
        signature::verify(check).await
    }
}
