//! The client secret of a provider: sealed for exactly this provider and version, so that it opens nowhere else and at no other time.

use super::ProviderError;
use crate::Gateway;
use crate::platform::Platform;
use crate::secret::Secret;
use crate::store::providers::Provider as Row;
use crate::vault::{Place, VaultError};

/// What it is sealed for.
fn place(row: &Row) -> Place<'_> {
    Place::ClientSecret { org: &row.org.id, provider: &row.id, version: row.version }
}

impl From<VaultError> for ProviderError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Platform(error) => Self::Platform(error),
            VaultError::Root(error) => Self::Vault(VaultError::Root(error).told()),
            VaultError::Unopened | VaultError::Gone { .. } => Self::Secret,
        }
    }
}

/// Seals a secret for a row, which is of the version that it will have.
///
/// # Errors
/// It can't be sealed.
pub(crate) async fn seal<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    row: &Row,
    secret: &Secret,
) -> Result<String, ProviderError> {
    Ok(gateway.keys.seal(platform, &place(row), secret.expose().as_bytes()).await?)
}

/// Opens the secret of a row; nothing if it has none.
///
/// # Errors
/// It does not open.
pub(crate) async fn open<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    row: &Row,
) -> Result<Option<Secret>, ProviderError> {
    match &row.client_secret {
        Some(sealed) => open_as(gateway, platform, row, sealed).await.map(Some),
        None => Ok(None),
    }
}

/// Opens something that was sealed as the secret of a row.
///
/// # Errors
/// It does not open.
pub(crate) async fn open_as<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    row: &Row,
    sealed: &str,
) -> Result<Secret, ProviderError> {
    let opened = gateway.keys.open(platform, &place(row), sealed).await?;
    String::from_utf8(opened.to_vec()).map(Secret::new).map_err(|_| ProviderError::Secret)
}
