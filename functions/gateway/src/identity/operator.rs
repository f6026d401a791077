//! The operator of the deployment: holds the key in `AMBIT_OPERATOR_KEY`, and manages organisations through the API.

use subtle::ConstantTimeEq as _;

use super::IdentityError;
use crate::platform::Platform;

/// The deployment's secret with the operator's key.
pub(crate) const KEY: &str = "AMBIT_OPERATOR_KEY";

/// Proof that the operator is asking. Only [`prove_key`] makes one.
#[derive(Debug)]
pub(crate) struct Operator {
    _proof: (),
}

impl Operator {
    /// The same proof once more: for a form that carries our own sealed note of it, after the note was opened.
    pub(crate) fn remembered() -> Self {
        Self { _proof: () }
    }
}

/// Checks the operator's key.
///
/// # Errors
/// There is none in the deployment (then nobody is the operator), or it is another.
pub(crate) fn prove_key(platform: &impl Platform, shown: &str) -> Result<Operator, IdentityError> {
    let expected = platform.secret(KEY).filter(|key| key.expose().len() >= 32).ok_or_else(|| {
        IdentityError::Invalid(format!(
            "this deployment has no operator: set `{KEY}` (32 characters or more)"
        ))
    })?;
    if bool::from(shown.as_bytes().ct_eq(expected.expose().as_bytes())) {
        Ok(Operator { _proof: () })
    } else {
        Err(IdentityError::Invalid("it is not the operator's key".into()))
    }
}
