//! The client secret of a provider: sealed for exactly this provider and version, so that it opens nowhere else and at no other time.

use super::ProviderError;
use crate::Gateway;
use crate::platform::Platform;
use crate::secret::Secret;
use crate::store::providers::Provider as Row;
use crate::vault::Purpose;

/// What it is sealed for.
fn place(row: &Row) -> Vec<u8> {
    format!("client-secret\nprovider\n{}\n{}\n{}", row.org.id, row.id, row.version).into_bytes()
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
    let sealed = gateway.vault.seal(platform, Purpose::Stored, &place(row), secret.expose().as_bytes());
    sealed.ok_or(ProviderError::Secret)
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
    _platform: &P,
    row: &Row,
    sealed: &str,
) -> Result<Secret, ProviderError> {
    let opened = gateway.vault.open(Purpose::Stored, &place(row), sealed).map_err(|_| ProviderError::Secret)?;
    String::from_utf8(opened).map(Secret::new).map_err(|_| ProviderError::Secret)
}
