//! What an access token says, and the answer that brings it.

use ::policies::Permit;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Response, StatusCode};
use schemas::audit::Actor;
use schemas::ids::{AuthorizationId, UserId};
use schemas::names::UserName;
use serde_json::{Value, json};

use super::Ask;
use crate::audit;
use crate::body::Body;
use crate::identity::access_token::{Act, Claims, LIFE};
use crate::platform::{Batch, Platform, PlatformError};
use crate::routes::oauth_server::acting::{Place, about, credential};
use crate::routes::oauth_server::error::OAuthError;
use crate::routes::oauth_server::target::Target;
use crate::routes::oauth_server::{self, scopes};
use crate::store::authorizations::{self, Authorization, Candidate};

/// What a grant comes to: an agent, at a toolbox, for somebody or for nobody.
pub(super) struct Granted {
    pub(super) place: Place,
    pub(super) target: Target,
    pub(super) agent: Candidate,
    pub(super) user: Option<(UserId, UserName)>,
    /// Who acted for the person before, outermost first.
    pub(super) actors: Vec<String>,
    pub(super) scopes: Vec<String>,
    /// That the agent may act for the person.
    pub(super) permit: Option<Permit>,
}

impl<P: Platform> Ask<'_, P> {
    /// 256 random bits in base64url.
    pub(super) fn random(&self) -> String {
        let mut bytes = [0; 32];
        self.platform.fill_random(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn mint(&self) -> AuthorizationId {
        let mut bytes = [0; 10];
        self.platform.fill_random(&mut bytes);
        AuthorizationId::mint(self.platform.now(), bytes)
    }

    /// The toolbox that a token is asked for, for clients that nobody was asked about: it must be named (RFC 8707 §2.2).
    pub(super) fn toolbox(&self) -> Result<Target, OAuthError> {
        let resource = self.form.get("resource").or_else(|| self.form.get("audience"));
        let resource = resource.ok_or_else(|| {
            OAuthError::invalid_target("name the URL of the toolbox that the token is for as `resource`")
        })?;
        match Target::read(self.gateway, resource)? {
            target @ Target::Toolbox(..) => Ok(target),
            Target::Management => {
                Err(OAuthError::invalid_target("agents use toolboxes: they manage nothing"))
            }
        }
    }

    /// The organisation of a toolbox.
    pub(super) async fn place(&self, target: &Target) -> Result<Place, OAuthError> {
        let gone = || OAuthError::invalid_target("there is no such toolbox for this client");
        let name = target.org().ok_or_else(gone)?;
        let place = Place::of(self.gateway, self.platform, name).await?.ok_or_else(gone)?;
        if self.client.is_for(&place.org.id) { Ok(place) } else { Err(gone()) }
    }

    /// The scopes that are asked for, or all.
    pub(super) fn scopes(&self) -> Vec<String> {
        scopes::granted(self.form.get("scope").unwrap_or_default(), false)
    }

    /// Refuses a use that the client did not register for (RFC 6749 §5.2, `unauthorized_client`).
    pub(super) fn registered_for(&self, grant: &str) -> Result<(), OAuthError> {
        if self.client.metadata.uses(grant) {
            Ok(())
        } else {
            Err(OAuthError::new("unauthorized_client", format!("this client did not register for `{grant}`")))
        }
    }

    /// The claims of a token of an authorization, signed.
    pub(super) fn sign(&self, from: &Authorization, scopes: &[String]) -> Result<Value, OAuthError> {
        let seconds = self.platform.now().0 / 1000;
        let agent = from.agent.as_ref().map(ToString::to_string).unwrap_or_default();
        let claims = Claims {
            iss: self.gateway.settings.public_url.clone(),
            sub: from.user.as_ref().map_or(agent, ToString::to_string),
            aud: from.audience.clone(),
            client_id: from.client.clone(),
            scope: scopes.join(" "),
            org: from.org_name.clone(),
            agent: from.agent.clone(),
            user: from.user.clone(),
            act: from.user.as_ref().and_then(|_| Act::chain(&from.actors)),
            sid: from.id.clone(),
            jti: self.random(),
            iat: seconds,
            exp: (seconds + LIFE).min(from.expires_at.0 / 1000),
        };
        let now = self.platform.now();
        let token = self.gateway.access_tokens.sign(&self.gateway.vault, now, &claims);
        let token = token.ok_or_else(|| PlatformError::Database("a token could not be signed".to_owned()))?;
        Ok(json!({
            "access_token": token.expose(),
            "token_type": "Bearer",
            "expires_in": claims.exp - seconds,
            "scope": claims.scope,
        }))
    }

    /// A token for what was granted, and a new authorization that is as good as this one token: for grants without refresh tokens.
    pub(super) async fn once(&self, granted: Granted) -> Result<Value, OAuthError> {
        let Granted { place, target, agent, user, actors, scopes, permit } = granted;
        let now = self.platform.now();
        let (user, name) = user.unzip();
        let new = Authorization {
            id: self.mint(),
            org: place.org.id.clone(),
            org_name: place.org.name.clone(),
            client: self.client.id.clone(),
            actors: std::iter::once(agent.id.to_string()).chain(actors).collect(),
            agent: Some(agent.id),
            user,
            audience: target.audience(self.gateway),
            scopes,
            expires_at: now.plus(LIFE * 1000),
        };
        let answer = self.sign(&new, &new.scopes)?;
        let actor = Actor { agent: Some(agent.facts.name), user: name, credential: credential(&self.client) };
        let told = format!("{}: a token for {} with scopes {}", new.id, new.audience, new.scopes.join(" "));
        let record = permit.map(|permit| permit.record().clone());
        let note =
            audit::note_statement(self.platform, &about(&place.org, actor, "token.issue"), told, record)?;
        self.platform.sql(Batch::write([authorizations::add(&new, now), note])).await?;
        Ok(answer)
    }

    /// The answer that brings a token (RFC 6749 §5.1).
    pub(super) fn brought(document: &Value) -> Response<Body<P::Stream>> {
        oauth_server::answer(StatusCode::OK, document)
    }
}
