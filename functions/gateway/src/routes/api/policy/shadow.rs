//! A draft on trial: it decides beside the live set, and every decision record holds what it would have said.

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::problem::ApiError;
use super::super::{Desk, read};
use super::draft;
use crate::platform::Platform;
use crate::store::policies;

/// Puts a draft on trial. It passes the checks of a publication, but for the second person: it decides nothing.
pub(in crate::routes::api) async fn on<P: Platform>(
    desk: &Desk<'_, P>,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let draft = draft::prepare(desk, read(body)?).await?;
    let (hash, now) = (draft.source.hash(), desk.platform.now());
    let statements =
        vec![policies::add(&draft.source, now)?, policies::shadow(&desk.org.id, Some(&hash), desk.by(), now)];
    desk.change("policy.shadow", format!("policy set {hash} is on trial"), statements).await?;
    Ok(json!({ "shadow": hash }))
}

/// Ends the trial.
pub(in crate::routes::api) async fn off<P: Platform>(desk: &Desk<'_, P>) -> Result<Value, ApiError> {
    let statement = policies::shadow(&desk.org.id, None, desk.by(), desk.platform.now());
    desk.change("policy.shadow", "no draft is on trial".to_owned(), vec![statement]).await?;
    Ok(json!({ "shadow": null }))
}
