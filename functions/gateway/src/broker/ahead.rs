//! The broker's scheduled work: credentials are renewed before a call would have to wait for that, and providers hear of what ended.

use futures_util::StreamExt as _;
use futures_util::stream;
use schemas::audit::Actor;

use super::{refresh, revocation};
use crate::Gateway;
use crate::audit::About;
use crate::platform::{Platform, PlatformError};
use crate::store::{connections, revocations};

/// Accounts that nobody used for this long are left until somebody does, in milliseconds.
const LATELY: i64 = 24 * 60 * 60 * 1000;
/// Renewed in one go, and how many of them at a time.
const BATCH: i64 = 200;
const AT_ONCE: usize = 8;

/// Does what is due.
///
/// # Errors
/// The database failed; the next time tries again.
pub(crate) async fn tick<P: Platform>(gateway: &Gateway, platform: &P) -> Result<(), PlatformError> {
    let due = connections::due(platform, platform.now().plus(-LATELY), BATCH).await?;
    stream::iter(due)
        .for_each_concurrent(AT_ONCE, |(id, org, version)| async move {
            let about = About {
                org,
                actor: Actor { agent: None, user: None, credential: "gateway".to_owned() },
                method: "connection.refresh".to_owned(),
                subject: None,
                arguments: None,
                traceparent: None,
            };
            refresh::ahead(gateway, platform, (&id, version), &about).await;
        })
        .await;
    if revocations::any_due(platform).await? {
        revocation::tell(gateway, platform, None).await?;
    }
    Ok(())
}
