//! Step 6 of the walk: on whose account. A credential opens only under a permit, and what opens it is on record in the same statement.

mod account;
pub(crate) mod credential;

#[expect(unused_imports, reason = "taken up next")]
pub(crate) use account::{Account, Sharing, Standing};
pub(crate) use credential::Credential;
