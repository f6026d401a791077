//! The provider of an account, ready to be asked for it.

use schemas::ids::ProviderId;

use super::BrokerError;
use super::provider::token::TokenError;
use super::provider::{Provider, ProviderError};
use crate::Gateway;
use crate::platform::Platform;
use crate::store::providers;

impl From<TokenError> for BrokerError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Ended(reason) => Self::Ended(reason),
            TokenError::Ours(reason) => Self::Ours(reason),
            TokenError::Later { reason, .. } => Self::Later(reason),
        }
    }
}

impl From<ProviderError> for BrokerError {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Platform(error) => Self::Platform(error),
            // It may only be away.
            ProviderError::Discovery(reason) => Self::Later(reason),
            ProviderError::Vault(why) => Self::Later(why.to_owned()),
            error @ (ProviderError::Settings(_) | ProviderError::Secret | ProviderError::Egress(_)) => {
                Self::Ours(error.to_string())
            }
        }
    }
}

/// The provider of that id.
///
/// # Errors
/// It is not one any more, or can't be asked.
pub(super) async fn ready<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    id: &ProviderId,
) -> Result<Provider, BrokerError> {
    let row = providers::by_id(platform, id).await?;
    let row = row.ok_or_else(|| BrokerError::Ended("its provider is none here any more".to_owned()))?;
    Ok(Provider::resolve(gateway, platform, &row).await?)
}
