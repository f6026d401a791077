//! Logs go to stderr: stdout is for what a command answers.

use tracing_subscriber::EnvFilter;

/// `usual` is what is logged unless `RUST_LOG` says otherwise.
pub(crate) fn start(json: bool, usual: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let logs =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    if json {
        logs.json().init();
    } else {
        logs.without_time().init();
    }
}
