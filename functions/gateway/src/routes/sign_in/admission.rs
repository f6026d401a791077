//! Whom an identity provider's word signs in: the person who is linked to its issuer and subject. Names and e-mail addresses link
//! nobody, because whoever gives them out at one provider could otherwise become somebody of another (OpenID Connect Core §5.7).

use schemas::decision::{OrgFacts, Status, UserFacts};
use schemas::ids::UserId;
use schemas::names::{TeamName, UserName};

use crate::identity::oidc::Claims;
use crate::platform::{Platform, PlatformError, Statement};
use crate::store::identities::{Admits, IdentityProvider, find, status_of};
use crate::store::people::put_into_teams;

/// Who comes in.
#[derive(Debug)]
pub(super) enum Admission {
    /// A person we know.
    Known(UserId, Box<UserFacts>),
    /// A person who is new, with the name and the e-mail address that they get.
    New(UserName, String),
}

/// Why somebody does not come in: for them, and for the trail.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Refusal {
    #[error(
        "nobody here is linked to this account: sign in with a one-time link, and link it on your own page"
    )]
    Unknown,
    #[error("this organisation lets in verified e-mail addresses of its own domains only")]
    Domain,
    #[error("the identity provider gives no name that a person can have here")]
    Nameless,
    #[error(
        "a person named `{0}` is here already, and is not linked to this account: sign in with a one-time link, and link it on your own page"
    )]
    Taken(UserName),
    #[error("the person behind this account is not active here any more")]
    Inactive,
}

/// Decides who comes in.
pub(super) async fn admit<P: Platform>(
    platform: &P,
    org: &OrgFacts,
    provider: &IdentityProvider,
    claims: &Claims,
) -> Result<Result<Admission, Refusal>, PlatformError> {
    if let Some((id, facts)) = find(platform, org, &provider.issuer, &claims.subject).await? {
        let active = facts.status == Status::Active;
        return Ok(if active { Ok(Admission::Known(id, Box::new(facts))) } else { Err(Refusal::Inactive) });
    }
    let (name, email) = match newcomer(provider, claims) {
        Ok(newcomer) => newcomer,
        Err(refusal) => return Ok(Err(refusal)),
    };
    Ok(match status_of(platform, &org.id, name.as_str()).await? {
        None => Ok(Admission::New(name, email)),
        // Whoever was deleted comes back by an invitation.
        Some(Status::Deleted) => Err(Refusal::Inactive),
        Some(Status::Active | Status::Suspended) => Err(Refusal::Taken(name)),
    })
}

/// What somebody who is new would be called, if they may come in.
fn newcomer(provider: &IdentityProvider, claims: &Claims) -> Result<(UserName, String), Refusal> {
    if provider.admits == Admits::Known {
        return Err(Refusal::Unknown);
    }
    let email = claims.verified_email();
    if !provider.domains.is_empty() {
        let domain = email.and_then(|email| email.rsplit_once('@')).map(|(_, domain)| domain);
        let own = |domain: &str| provider.domains.iter().any(|own| own.eq_ignore_ascii_case(domain));
        if !domain.is_some_and(own) {
            return Err(Refusal::Domain);
        }
    }
    let name = if provider.name_claim.is_empty() {
        email.unwrap_or(&claims.subject)
    } else {
        claims.text(&provider.name_claim).ok_or(Refusal::Nameless)?
    };
    let name = UserName::parse(name).map_err(|_| Refusal::Nameless)?;
    if name.as_str().starts_with('@') {
        return Err(Refusal::Nameless);
    }
    Ok((name, email.unwrap_or_default().to_owned()))
}

/// Sets and unsets exactly the teams that groups of the provider stand for; all others stay as they are.
pub(super) fn teams(
    org: &OrgFacts,
    provider: &IdentityProvider,
    claims: &Claims,
    user: &UserName,
) -> Vec<Statement> {
    if provider.groups_claim.is_empty() {
        return Vec::new();
    }
    let groups = claims.words(&provider.groups_claim);
    let (into, out_of): (Vec<(&String, &TeamName)>, Vec<_>) =
        provider.teams.iter().partition(|(group, _)| groups.contains(&group.as_str()));
    // A team that two groups stand for is left only if neither is there.
    let into: Vec<&TeamName> = into.into_iter().map(|(_, team)| team).collect();
    let out_of: Vec<&TeamName> =
        out_of.into_iter().map(|(_, team)| team).filter(|team| !into.contains(team)).collect();
    put_into_teams(&org.id, user.as_str(), into, out_of)
}
