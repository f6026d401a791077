//! Step 6 of the walk: on whose account. A credential opens only under a permit, and what opens it is on record in the same statement.

mod account;
pub(crate) mod connections;
pub(crate) mod credential;
mod error;
mod opening;
pub(crate) mod provider;
mod times;

pub(crate) use account::{Account, Sharing, Standing};
pub(crate) use credential::Credential;
pub(crate) use error::BrokerError;
pub(crate) use opening::open;
