//! The Cloudflare Workers adapter: events in, answers out, and the outside world in between. It decides nothing.

mod database;
mod fetching;
mod host;
mod isolate;
mod logging;
mod signature;
mod stream;
mod wire;

use futures_util::future::abortable;
use worker::{Context, Env, ScheduleContext, ScheduledEvent, event};

use crate::host::Edge;
use crate::wire::OnHangUp;

/// Prepares an isolate.
#[event(start)]
fn start() {
    logging::start();
}

/// Answers a request.
#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, context: Context) -> worker::Result<web_sys::Response> {
    let edge = Edge::new(env, move |promise| drop(context.as_ref().wait_until(promise)));
    let work = async {
        let gateway = match isolate::gateway(&edge).await {
            Ok(gateway) => gateway,
            Err(error) => {
                tracing::error!(%error, "the gateway does not start");
                return wire::unavailable();
            }
        };
        wire::answer(gateway.handle(&edge, wire::call(&request)?).await)
    };
    // A caller who hangs up while we work cancels the work; once we stream, the platform drops the stream.
    let (work, handle) = abortable(work);
    let _listener = OnHangUp::listen(&request, handle);
    work.await.unwrap_or_else(|_| wire::nobody_listens()).map_err(worker::Error::from)
}

/// Does the work that is due.
#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, context: ScheduleContext) {
    let edge = Edge::new(env, move |promise| wire::keep_alive(&context, promise));
    let done = match isolate::gateway(&edge).await {
        Ok(gateway) => gateway.tick(&edge).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = done {
        tracing::error!(error, "scheduled work failed; the next tick tries again");
    }
}
