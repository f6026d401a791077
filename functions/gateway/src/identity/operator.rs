//! The operator of the deployment: holds the key in `AMBIT_OPERATOR_KEY`, and manages organisations through the API.

use http::HeaderMap;
use subtle::ConstantTimeEq as _;

use super::{IdentityError, bearer};
use crate::platform::Platform;

/// The deployment's secret with the operator's key.
pub(crate) const KEY: &str = "AMBIT_OPERATOR_KEY";

/// Proof that the operator is asking. Only [`prove`] makes one.
#[derive(Debug)]
pub(crate) struct Operator {
    _proof: (),
}

impl Operator {
    /// Who that is, for the trail.
    pub(crate) fn title(&self) -> &'static str {
        let Self { _proof: () } = self;
        "the operator"
    }
}

/// Checks the operator's key.
///
/// # Errors
/// There is none in the request, none in the deployment (then nobody is the operator), or it is another.
pub(crate) fn prove(platform: &impl Platform, headers: &HeaderMap) -> Result<Operator, IdentityError> {
    prove_key(platform, bearer(headers)?)
}

/// The same, of a key that was typed into a form.
///
/// # Errors
/// As for [`prove`].
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
