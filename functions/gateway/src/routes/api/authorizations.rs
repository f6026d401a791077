//! What clients were let do, by people and by themselves, as the organisation sees it; and the end of it.

use schemas::ids::AuthorizationId;

use super::desk::{Change, Desk};
use super::problem::ApiError;
use super::reply::Reply;
use crate::platform::Platform;
use crate::store::authorizations;
pub(super) use crate::store::documents::AUTHORIZATIONS as KIND;

pub(super) async fn get<P: Platform>(desk: &Desk<'_, P>, id: &str) -> Result<Reply, ApiError> {
    desk.show(&desk.thing(&KIND, AuthorizationId::parse(id)?.as_str())).await
}

/// Ends one: its tokens are worth nothing from the next request on, and the person is asked again.
pub(super) async fn end<P: Platform>(desk: &Desk<'_, P>, id: &str) -> Result<Reply, ApiError> {
    let id = AuthorizationId::parse(id)?;
    let statements = authorizations::end_for_good(&id, &desk.org.id, desk.platform.now()).into();
    let change = Change { action: "authorization.end", told: format!("{id}"), statements };
    desk.delete(&desk.thing(&KIND, id.as_str()), change).await
}
