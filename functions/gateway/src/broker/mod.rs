//! Step 6 of the walk: on whose account. A credential opens only under a permit, and what opens it is on record in the same statement.

mod account;
mod ahead;
pub(crate) mod connect;
pub(crate) mod connections;
pub(crate) mod credential;
mod error;
mod opening;
pub(crate) mod provider;
mod ready;
mod refresh;
mod revocation;
pub(crate) mod ticket;
mod times;

pub(crate) use account::{Account, Sharing, Standing};
pub(crate) use ahead::tick;
pub(crate) use connections::end;
pub(crate) use credential::Credential;
pub(crate) use error::BrokerError;
pub(crate) use opening::open;
pub(crate) use refresh::{make_usable, refresh_later, refused};
