//! After an update of the product: every organisation gets the guardrails of this build, around its own policies as they are.

use schemas::audit::Actor;

use crate::audit::{self, About};
use crate::platform::{Batch, Platform, PlatformError};
use crate::store::policies::{self, Words};

/// Gives up to 100 organisations the built-in policies of this build. A set that does not check with them stays as it is, and the log
/// says so at every start: its author has to look.
pub(crate) async fn guardrails<P: Platform>(platform: &P) -> Result<usize, PlatformError> {
    let mut updated = 0;
    for outdated in policies::outdated(platform).await? {
        let source = &outdated.source;
        if let Err(error) = ::policies::compile(source) {
            tracing::error!(org = %outdated.org, %error, "own policies don't check with this build's guardrails; the old set stays");
            continue;
        }
        let (now, hash) = (platform.now(), source.hash());
        let about = About {
            org: outdated.org.clone(),
            actor: Actor { agent: None, user: None, credential: "gateway".to_owned() },
            method: "policy.publish".to_owned(),
            subject: None,
            arguments: None,
            traceparent: None,
        };
        let reason = format!(
            "the guardrails of version {}: {hash} is to replace {}",
            env!("CARGO_PKG_VERSION"),
            outdated.hash
        );
        let words = Words {
            cases: outdated.cases,
            note: reason.clone(),
            by: "gateway".to_owned(),
            accepted_by: None,
        };
        let statements = vec![
            policies::add(source, now)?,
            policies::swap(&outdated.org, &outdated.hash, &hash),
            policies::add_history(&outdated.org, &hash, now, &words)?,
            audit::note_statement(platform, &about, reason, None)?,
        ];
        platform.sql(Batch::write(statements)).await?;
        updated += 1;
    }
    Ok(updated)
}
