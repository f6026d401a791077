//! Every contract of Ambit, as Rust types and as data. This package imports nothing of ours.
//!
//! | file | contract between |
//! |---|---|
//! | [`names`], [`ids`], [`image`] | everyone: one parser per name |
//! | [`decision`] | the policy engine and whoever explains, replays or audits it |
//! | [`audit`] | the gateway and whoever reads the trail |
//! | [`provisioner`] | the gateway and the provisioner |
//! | [`sql`] | the gateway and its database, on every host |
//! | [`cedar`] | policy authors and the engine |
//! | [`inventory`] | the gateway and tools that work on policy files |
//! | [`pin`] | whoever approves a tool definition and whoever serves it |

pub mod audit;
pub mod canonical;
pub mod catalogue;
pub mod cedar;
pub mod decision;
pub mod generate;
pub mod ids;
pub mod image;
pub mod inventory;
pub mod names;
pub mod pin;
pub mod provisioner;
pub mod sql;

mod text;

pub use text::ParseError;
