//! Policy sets: immutable, by hash.

use schemas::ids::Sha256Hex;

use crate::platform::{Batch, Platform, PlatformError, Statement};

/// The source of a policy set.
pub(crate) async fn source(
    platform: &impl Platform,
    hash: &Sha256Hex,
) -> Result<Option<::policies::PolicySource>, PlatformError> {
    let results = platform
        .sql(Batch::read([Statement::new(
            "SELECT source FROM policy_sets WHERE hash = ?1",
            [hash.as_str().into()],
        )]))
        .await?;
    super::first(&results, 0).map(|row| super::json(row, 0)).transpose()
}
