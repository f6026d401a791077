//! The Cloudflare Workers adapter.

use worker::{Context, Env, Request, Response, event};

#[event(fetch)]
async fn fetch(_request: Request, env: Env, _context: Context) -> worker::Result<Response> {
    let db = env.d1("DB")?;
    let rows = db.prepare("select 1 as one").all().await?.success();
    Response::ok(format!("hello {rows}"))
}

#[event(scheduled)]
async fn scheduled(_event: worker::ScheduledEvent, _env: Env, _context: worker::ScheduleContext) {}
