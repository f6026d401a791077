//! The Cedar schema, as policy authors' editors read it.

/// `ambit.cedarschema`: entity types and actions.
pub const SCHEMA: &str = include_str!("../ambit.cedarschema");
