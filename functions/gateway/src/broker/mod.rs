//! Step 6 of the walk: on whose account. A credential opens only under a permit, and what opens it is on record in the same statement.

pub(crate) mod credential;

pub(crate) use credential::Credential;
