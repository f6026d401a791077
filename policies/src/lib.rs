//! The policy engine: the only package that speaks Cedar, and the only maker of a [`Permit`].
//!
//! | module | question |
//! |---|---|
//! | [`source`] | which files make up a policy set, and what is its hash? |
//! | [`publish`] | may this set be used at all? parse, unique ids, strict validation, no warning, no fact we don't have |
//! | [`advice`] | what does an agent not need? |
//! | [`arguments`] | which arguments of a call do the policies look into, as text? |
//! | `typed` | which of them by their types, and what are those? |
//! | [`cases`] | does a set decide as its authors expect? |
//! | `check` | what else is wrong with an author's files? (feature `author`) |
//! | [`decision`] | may this agent do this to that, here and now? |
//! | [`diff`] | how do two sets differ? |
//! | [`mod@explain`] | why was it decided so, and what would turn it? |
//! | [`export`] | what is Cedar shown, in the formats of its own tools? |
//! | [`foresight`] | what is decided for certain, though some arguments are not known yet? |
//! | `reach` | who can do what, and on which conditions? (feature `author`) |
//! | [`mod@replay`] | what would a draft have decided otherwise? |
//! | [`scenario`] | what is the request, if all that is told of it are names? |
//! | [`matrix`] | who may do what, of all there is? |
//! | [`listing`] | which of these may this agent see? |
//!
//! ```
//! use policies::{PolicySource, compile};
//! let set = compile(&PolicySource::with_built_in(Vec::new()))?;
//! assert_eq!(set.hash().as_str().len(), 64);
//! # Ok::<(), policies::PublishError>(())
//! ```

pub mod advice;
pub mod arguments;
pub mod cases;
#[cfg(feature = "author")]
pub mod check;
pub mod decision;
pub mod diff;
pub mod explain;
pub mod export;
pub mod foresight;
pub mod listing;
pub mod matrix;
pub mod problem;
pub mod publish;
#[cfg(feature = "author")]
pub mod reach;
pub mod replay;
pub mod scenario;
pub mod source;

mod clauses;
mod inspect;
mod instant;
mod selection;
mod slice;
mod typed;
mod vocabulary;

pub use arguments::{AmbiguousArgument, ArgumentNames};
pub use decision::{Denial, Permit, decide, decide_beside, replay};
pub use explain::{Explanation, explain};
pub use foresight::{Foresight, Known, foresee};
pub use instant::text as instant_text;
pub use listing::{ListRequest, decide_many, visible};
pub use problem::Problem;
pub use publish::{CompiledSet, PublishError, compile, forbids_lost};
pub use scenario::Scenario;
pub use source::{PolicySource, SourceFile, built_in};

#[cfg(test)]
mod proofs;
