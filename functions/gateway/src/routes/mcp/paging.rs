//! Pages of lists, and how long they keep.

use super::Context;
use super::error::{self, RpcError};
use super::message::Call;
use super::method::Method;
use crate::platform::Platform;
use crate::protocol::Era;
use crate::vault::Purpose;

/// A cursor as the client carries it: sealed, and good for the same list of the same toolbox only.
fn cursor_context<P: Platform>(context: &Context<'_, P>, method: Method) -> Vec<u8> {
    format!("{}\n{}\n{}", context.org, context.toolbox, method.as_str()).into_bytes()
}

/// Opens the cursor of a request, if it has one.
pub(super) fn open_cursor<P: Platform>(
    context: &Context<'_, P>,
    call: &Call<'_>,
) -> Result<Option<Vec<u8>>, RpcError> {
    if !call.params.has("cursor") {
        return Ok(None);
    }
    let cursor = call.params.text("cursor").unwrap_or_default();
    context
        .gateway
        .vault
        .open(Purpose::Cursor, &cursor_context(context, call.method), &cursor)
        .map(Some)
        .map_err(|_| {
            RpcError::new(
                error::INVALID_PARAMS,
                "the cursor is not one of this list: start again without one",
            )
        })
}

/// Seals a cursor.
pub(super) fn seal_cursor<P: Platform>(
    context: &Context<'_, P>,
    method: Method,
    plain: &[u8],
) -> Option<String> {
    context.gateway.vault.seal(context.platform, Purpose::Cursor, &cursor_context(context, method), plain)
}

/// `,"ttlMs":…,"cacheScope":"private"` for modern clients: what policy filters is never public.
pub(super) fn caching(era: Era, ttl_ms: u64) -> String {
    match era {
        Era::Modern => format!(r#","resultType":"complete","ttlMs":{ttl_ms},"cacheScope":"private""#),
        Era::Legacy(_) => String::new(),
    }
}
