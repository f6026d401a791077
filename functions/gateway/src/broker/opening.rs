//! From a sealed credential to what a server gets. In between it is in clear, and in no place that outlives the call.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemas::ids::{OrgId, ProviderId};
use schemas::provisioner::Injection;

use super::{Account, BrokerError, Credential};
use crate::Gateway;
use crate::platform::Platform;
use crate::secret::Secret;
use crate::toolboxes::ActsOn;
use crate::upstream::Delivery;
use crate::vault::{Place, VaultError};

/// Opens a credential for a server that acts on its account.
pub(crate) async fn open<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    org: &OrgId,
    acts_on: &ActsOn,
    account: &Account,
    sealed: &str,
) -> Result<Delivery, BrokerError> {
    let credential = unseal(gateway, platform, (org, &acts_on.provider_id), account, sealed).await?;
    deliver(account, &credential, &acts_on.injection)
}

/// Opens what is sealed for this version of an account.
pub(super) async fn unseal<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    (org, provider): (&OrgId, &ProviderId),
    account: &Account,
    sealed: &str,
) -> Result<Credential, BrokerError> {
    let place = Place::Credential {
        org,
        connection: &account.id,
        owner: &account.owner_id,
        provider,
        version: account.version,
    };
    let bytes = gateway.keys.open(platform, &place, sealed).await.map_err(|error| match error {
        VaultError::Unopened => {
            // Somebody moved, changed or put back a row: nobody gets to see what it holds.
            tracing::error!(connection = %account.id, version = account.version, "a sealed credential is not what was sealed for its place");
            BrokerError::Unopened
        }
        error @ (VaultError::Gone { .. } | VaultError::Root(_) | VaultError::Platform(_)) => error.into(),
    })?;
    Credential::from_bytes(&bytes).ok_or(BrokerError::Unopened)
}

/// Fills a credential into the forms that a server wants it in.
fn deliver(
    account: &Account,
    credential: &Credential,
    injection: &[Injection],
) -> Result<Delivery, BrokerError> {
    let basic = credential.fields.get("username").map(|username| {
        let pair = zeroize::Zeroizing::new(format!("{username}:{}", credential.access.expose()));
        zeroize::Zeroizing::new(STANDARD.encode(pair.as_bytes()))
    });
    let placed = injection
        .iter()
        .map(|Injection { at, value }| {
            let filled = value.fill(|part| match part {
                "token" | "password" => Some(credential.access.expose()),
                // RFC 7617 §2.
                "basic" => basic.as_ref().map(|basic| basic.as_str()),
                other => credential.fields.get(other).map(String::as_str),
            });
            let filled = filled.map_err(BrokerError::Lacks)?;
            Ok((at.clone(), Secret::new(filled.as_str().to_owned())))
        })
        .collect::<Result<_, BrokerError>>()?;
    Ok(Delivery {
        subject: account.id.clone(),
        token: credential.access.clone(),
        version: account.version,
        until: credential.expires_at,
        placed,
    })
}
