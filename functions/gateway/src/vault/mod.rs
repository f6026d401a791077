//! The vault: credentials at rest, and the state that clients carry for us.
//!
//! Root key (a secret, or a key service; `roots`) wraps one key per organisation and version (`credentials`), which wraps one data key
//! per sealed value ([`envelope`]), which seals it for one place only ([`place`]). What clients carry is sealed under keys derived from
//! `AMBIT_ROOT_KEY` (`state`).

mod credentials;
pub mod envelope;
mod held;
pub mod place;
mod roots;
mod rotation;
mod state;

pub use credentials::{Keys, VaultError};
pub use place::Place;
pub use roots::RootError;
pub(crate) use roots::secrets;

pub(crate) use state::{Purpose, Vault};
