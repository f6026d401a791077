//! What the deployment is, and which servers it knows how to build.

use schemas::catalogue::CATALOGUE;
use serde_json::{Value, json};

use crate::Gateway;
use crate::platform::Platform;
use crate::upstream::provisioner_status;

/// `GET catalogue`: servers that can be built and run without anybody writing a workload.
pub(super) fn get() -> Value {
    json!({ "servers": CATALOGUE })
}

/// `GET status`: the version, and how the provisioner is.
pub(super) async fn status<P: Platform>(gateway: &Gateway, platform: &P) -> Value {
    let provisioner = match provisioner_status(gateway, platform).await {
        None => json!({ "configured": false }),
        Some(Ok(status)) => {
            json!({ "configured": true, "status": serde_json::from_slice::<Value>(&status).unwrap_or_default() })
        }
        Some(Err(error)) => json!({ "configured": true, "error": error }),
    };
    json!({ "version": env!("CARGO_PKG_VERSION"), "provisioner": provisioner })
}
