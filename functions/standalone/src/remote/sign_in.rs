//! Signing in with a browser: the person says yes on a page of the gateway, which sends their browser back to this machine, where this
//! program listens for one answer (RFC 8252 §7.3).

use std::io::Write as _;
use std::time::Duration;

use axum::Router;
use axum::http::Uri;
use axum::response::Html;
use axum::routing::get;
use standalone::fetch::Fetch;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::credentials::Tokens;
use super::oauth::Server;
use crate::operate::Failure;

/// How long the person may take.
const PATIENCE: Duration = Duration::from_mins(10);

const DONE: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Ambit</title>\
    <p>That is all: you can close this page, and go back to your terminal.";

/// Signs a person in at a gateway.
pub(crate) fn sign_in(url: &str, open_browser: bool) -> Result<Tokens, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let fetch = Fetch::default();
        let server = Server::discover(&fetch, url).await?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let pending = server.ask(url, format!("http://{}/callback", listener.local_addr()?))?;
        let mut told = std::io::stderr();
        writeln!(told, "Open this page in your browser, and sign in:\n\n  {}\n", pending.page)?;
        if open_browser && !opened(&pending.page) {
            writeln!(told, "No browser could be opened from here: open it yourself.")?;
        }
        let came = tokio::time::timeout(PATIENCE, answer(listener))
            .await
            .map_err(|_| "nobody signed in within ten minutes: try again")??;
        server.finish(&fetch, url, pending, &came).await
    })
}

/// Ends what was given at a sign-in.
pub(crate) fn sign_out(tokens: &Tokens) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokens.server.revoke(&Fetch::default(), tokens))
}

/// What the browser brings.
async fn answer(listener: TcpListener) -> Result<Vec<(String, String)>, Failure> {
    let (send, mut came) = mpsc::channel(1);
    let (stop, mut stopped) = watch::channel(false);
    let callback = get(move |uri: Uri| async move {
        let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let _ = send.try_send(query.into_owned().collect::<Vec<_>>());
        Html(DONE)
    });
    let serving = axum::serve(listener, Router::new().route("/callback", callback));
    let serving = serving.with_graceful_shutdown(async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    });
    let serving = tokio::spawn(serving.into_future());
    let came = came.recv().await.ok_or("the browser brought no answer: try again")?;
    stop.send_replace(true);
    // The page above is still on its way.
    let _ = tokio::time::timeout(Duration::from_secs(1), serving).await;
    Ok(came)
}

/// Opens a page in the browser of this machine, if it has one.
fn opened(page: &str) -> bool {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let quiet = std::process::Stdio::null;
    std::process::Command::new(program)
        .arg(page)
        .stdin(quiet())
        .stdout(quiet())
        .stderr(quiet())
        .spawn()
        .is_ok()
}
