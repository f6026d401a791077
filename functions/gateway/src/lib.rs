//! Ambit's core.
pub mod body;
pub mod platform;
pub mod secret;
