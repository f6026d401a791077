//! The native host: hyper, one current-thread runtime per core, and an SQLite file.
//!
//! | module | what |
//! |---|---|
//! | [`database`] | SQLite: reads on each core's own connection, writes through one writer that commits in groups |
//! | [`fetch`] | HTTP out |
//! | [`platform`] | the gateway's port, over the two |
//! | [`serve`] | HTTP in |
//! | [`data`] | the data directory: database, keys, policy files |

pub mod data;
pub mod database;
pub mod fetch;
pub mod platform;
pub mod serve;

mod upload;
