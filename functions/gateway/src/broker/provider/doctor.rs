//! Looks at how a provider is set up, and says what to do about what is not well.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{Request, StatusCode, header};

use super::authorization::{Departure, random};
use super::profile::{Discovery, Pkce, Redirects, Way};
use super::token::{self, TokenError};
use super::{Provider, ProviderError};
use crate::Gateway;
use crate::egress;
use crate::platform::{Batch, Platform};
use crate::store::providers::Provider as Row;

/// No answer is larger, in bytes.
const LARGEST: usize = 1024 * 1024;
/// Words by which a provider says that it knows the client, and not the code.
const KNOWS_US: [&str; 4] =
    ["invalid_grant", "bad_verification_code", "invalid_code", "invalid_authorization_code"];
/// Words by which it says that it does not know the client.
const KNOWS_US_NOT: [&str; 7] = [
    "invalid_client",
    "unauthorized_client",
    "incorrect_client_credentials",
    "bad_client_secret",
    "invalid_client_id",
    "status 401",
    "status 403",
];

/// One look at one thing.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Check {
    #[serde(rename = "check")]
    pub(crate) name: &'static str,
    /// Nothing where it can't be seen from here.
    pub(crate) ok: Option<bool>,
    pub(crate) found: String,
    /// What to do; empty where nothing is to be done.
    pub(crate) fix: String,
}

fn well(name: &'static str, found: impl Into<String>) -> Check {
    Check { name, ok: Some(true), found: found.into(), fix: String::new() }
}

fn bad(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Check {
    Check { name, ok: Some(false), found: found.into(), fix: fix.into() }
}

fn unseen(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Check {
    Check { name, ok: None, found: found.into(), fix: fix.into() }
}

/// Looks at everything.
pub(crate) async fn examine<P: Platform>(gateway: &Gateway, platform: &P, row: &Row) -> Vec<Check> {
    let mut checks = Vec::new();
    let plain = match Provider::plain(gateway, row) {
        Ok(plain) => plain,
        Err(error) => {
            checks.push(bad("settings", error.to_string(), "set the provider up again"));
            return checks;
        }
    };
    checks.push(well("settings", format!("kind `{}`, version {}", row.kind, row.version)));
    if plain.profile.way == Way::Oauth {
        checks.extend(oauth(gateway, platform, row, &plain).await);
    } else {
        checks.push(account(gateway, platform, &plain).await);
    }
    checks.extend(plain.profile.notes.iter().map(|note| unseen("note", note.clone(), "")));
    if let Some((trouble, _)) = &row.trouble {
        checks.push(bad(
            "last trouble",
            trouble.clone(),
            "see the other checks; it is forgotten when a connection works",
        ));
    }
    checks
}

async fn oauth<P: Platform>(gateway: &Gateway, platform: &P, row: &Row, plain: &Provider) -> Vec<Check> {
    let mut checks = vec![redirect(gateway, plain)];
    if plain.profile.redirects == Redirects::Prefix {
        checks.push(unseen(
            "wildcard redirects",
            "by default every address below a registered redirect URI is taken there",
            "switch wildcard redirects off, or register several redirect URIs",
        ));
    }
    checks.extend(tenants(plain));
    let provider = match Provider::prepare(gateway, platform, row, &BTreeSet::new()).await {
        Ok((provider, keep)) => {
            if let Some(keep) = keep
                && let Err(error) = platform.sql(Batch::write([keep])).await
            {
                checks.push(unprepared(plain, &error.into()));
                return checks;
            }
            provider
        }
        Err(error) => {
            checks.push(unprepared(plain, &error));
            return checks;
        }
    };
    if let Some(issuer) = provider.profile.discovery.and(provider.endpoints.issuer.as_ref()) {
        checks.push(well("discovery", format!("`{issuer}` says what it offers, and that it is itself")));
    }
    if provider.profile.discovery == Some(Discovery::Mcp) {
        checks.push(well("registration", format!("we are the client `{}` there", provider.client.id)));
    }
    checks.push(match provider.profile.pkce {
        Pkce::Send => well("PKCE", "S256 is sent"),
        Pkce::Omit => {
            well("PKCE", "it is not sent there: the state, its cookie and the session hold each flow")
        }
    });
    checks.push(if provider.endpoints.promises_iss {
        well("mix-up", "it names itself in every answer (RFC 9207), and has a redirect URI of its own")
    } else {
        well("mix-up", "it has a redirect URI of its own")
    });
    checks.push(reachable(gateway, platform, &provider).await);
    checks.push(client(gateway, platform, &provider).await);
    checks
}

fn redirect(gateway: &Gateway, plain: &Provider) -> Check {
    let register = &plain.profile.register;
    let at = plain.values.fill(plain.profile, &plain.client.id, &register.at);
    let at = if at.is_empty() { String::new() } else { format!(" at {at}") };
    let found = format!("people come back to {}", plain.redirect_uri);
    if !gateway.settings.public_url.starts_with("https://") && !gateway.settings.is_local() {
        return bad(
            "redirect URI",
            found,
            "serve the gateway by https, and set its public URL: few providers take http",
        );
    }
    unseen("redirect URI", found, format!("register exactly this{at}. {}", register.enter))
}

fn tenants(plain: &Provider) -> Option<Check> {
    plain.profile.settings.get("tenants")?;
    let tenant = plain.values.get(plain.profile, "tenant").unwrap_or_default();
    let several = ["common", "organizations", "consumers"].contains(&tenant);
    let listed = plain.values.all("tenants");
    Some(match (several, listed) {
        (true, []) => bad(
            "tenants",
            format!("tenant `{tenant}` stands for all, and no tenant is listed: nobody can connect"),
            "list the ids of your tenants in setting `tenants`, or set `tenant` to the id of yours",
        ),
        (true, listed) => well("tenants", format!("people of {} may connect", listed.join(", "))),
        (false, _) => well("tenants", format!("people of `{tenant}` may connect")),
    })
}

fn unprepared(plain: &Provider, error: &ProviderError) -> Check {
    let fix = match error {
        ProviderError::Secret => "set the client secret again",
        ProviderError::Vault(_) | ProviderError::Platform(_) => "look at the gateway's log; then try again",
        ProviderError::Settings(_) | ProviderError::Egress(_) => "set the provider up again",
        ProviderError::Discovery(_) if plain.profile.discovery == Some(Discovery::Mcp) => {
            "check setting `server`; or register a client at its authorization server, and set `clientId`"
        }
        ProviderError::Discovery(_) => {
            "check setting `issuer`: it has to be exactly what the provider calls itself"
        }
    };
    bad("discovery", error.to_string(), fix)
}

/// Whether the place is there that browsers are sent to.
async fn reachable<P: Platform>(gateway: &Gateway, platform: &P, provider: &Provider) -> Check {
    const CHECK: &str = "authorization endpoint";
    let url = &provider.endpoints.authorize;
    let fix = "check the host, and that the gateway may reach it";
    match look(gateway, platform, url).await {
        Ok(status) if status.is_server_error() || status == StatusCode::NOT_FOUND => {
            bad(CHECK, format!("`{url}` answers with status {}", status.as_u16()), fix)
        }
        Ok(_) => well(CHECK, format!("`{url}` is there")),
        Err(why) => bad(CHECK, format!("`{url}`: {why}"), fix),
    }
}

async fn look<P: Platform>(gateway: &Gateway, platform: &P, url: &str) -> Result<StatusCode, String> {
    egress::public_url(&gateway.settings, url).map_err(|error| error.to_string())?;
    let request = Request::get(url).header(header::USER_AGENT, "Ambit").body(Bytes::new());
    let request = egress::guarded(&gateway.settings, request.map_err(|error| error.to_string())?);
    let answer = egress::ask(platform, request, LARGEST).await.map_err(|error| error.told().to_owned())?;
    Ok(answer.status())
}

/// Whether it knows our client: asked with a code that is none, a provider says of which of the two it knows nothing.
async fn client<P: Platform>(gateway: &Gateway, platform: &P, provider: &Provider) -> Check {
    const CHECK: &str = "client";
    let fix = "copy the client id and a valid client secret from the provider, and set both again";
    if provider.client.id.is_empty() {
        return bad(CHECK, "there is no client id", fix);
    }
    let departure = Departure::new(platform, provider, &BTreeSet::new());
    let told = match token::redeem(gateway, platform, provider, &departure, &random(platform)).await {
        Ok(_) => return bad(CHECK, "it takes any code", "do not use this provider"),
        Err(TokenError::Later { reason, .. }) => {
            return bad(CHECK, format!("its token endpoint: {reason}"), "try again later, or check the host");
        }
        Err(TokenError::Ended(told) | TokenError::Ours(told)) => told,
    };
    let says = |words: &[&str]| words.iter().any(|word| told.contains(word));
    if says(&KNOWS_US) {
        well(CHECK, format!("it knows `{}` and its secret", provider.client.id))
    } else if says(&KNOWS_US_NOT) {
        bad(CHECK, told, fix)
    } else {
        unseen(CHECK, told, "connect an account to find out")
    }
}

/// Whether keys and passwords that people enter can be checked.
async fn account<P: Platform>(gateway: &Gateway, platform: &P, plain: &Provider) -> Check {
    const CHECK: &str = "account URL";
    let Some(url) = &plain.endpoints.account else {
        return unseen(CHECK, "there is none: what people enter is not checked", "set setting `account`");
    };
    match look(gateway, platform, url).await {
        Ok(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            well(CHECK, format!("`{url}` asks who is there"))
        }
        Ok(status) if status.is_success() => bad(
            CHECK,
            format!("`{url}` answers without any key"),
            "name an address in setting `account` that only answers to a good one",
        ),
        Ok(status) => unseen(
            CHECK,
            format!("`{url}` answers with status {}", status.as_u16()),
            "connect an account to find out",
        ),
        Err(why) => bad(
            CHECK,
            format!("`{url}`: {why}"),
            "check setting `account`, and that the gateway may reach it",
        ),
    }
}
