//! What the provider does: by default as the specifications have it, then with the habits of a real one, or hostile in one respect.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// Whether it takes PKCE (RFC 7636).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pkce {
    /// Without it nobody gets a code.
    Required,
    /// As the client likes.
    Optional,
    /// Whoever sends it is refused.
    Refused,
}

/// How a client proves at the token endpoint that it is itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Its secret in the body.
    Post,
    /// By HTTP Basic (RFC 6749 §2.3.1).
    Basic,
    /// By its id alone.
    Public,
}

/// What becomes of a refresh token that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// It stays, and the answer holds none.
    Never,
    /// Another takes its place; the old one is refused from then on.
    Always,
    /// Another takes its place; the old one gets the same answer for so long.
    Grace(Duration),
    /// Another takes its place; whoever uses the old one ends everything that came of the same consent.
    KillsFamily,
}

/// What goes wrong at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This status, and nothing was done.
    Status(u16),
    /// 429, with `Retry-After` in seconds.
    TooMany(u64),
    /// It answers, after this time.
    Slow(Duration),
    /// It did what was asked, and the answer is lost.
    Lost,
    /// This error of RFC 6749 §5.2, or of its own.
    Error(&'static str),
    /// 200, and no sense.
    Garbage,
}

/// What it does.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Conduct {
    /// Who is signed in there.
    pub subject: String,
    /// What it grants instead of what was asked for.
    pub grants: Option<Vec<&'static str>>,
    /// An error in the place of a code.
    pub error: Option<&'static str>,
    /// `iss` in answers (RFC 9207): its own, another, or none.
    pub iss: Option<String>,
    /// Whether its metadata promises that.
    pub promises_iss: bool,
    /// What it says is its issuer, in metadata and ID tokens.
    pub issuer: String,
    /// Claims of ID tokens that are added, replaced, or (null) left out.
    pub claims: Map<String, Value>,
    /// Whether it takes PKCE.
    pub pkce: Pkce,
    /// How clients prove themselves.
    pub proof: Proof,
    /// Whether bodies of token requests are JSON.
    pub json_requests: bool,
    /// Whether answers of the token endpoint are forms.
    pub form_answers: bool,
    /// Errors come with status 200.
    pub errors_in_success: bool,
    /// The member of answers that holds the token, if it is not the answer itself.
    pub nested: Option<&'static str>,
    /// Which query parameter of authorization requests holds scopes.
    pub scope_parameter: &'static str,
    /// What stands between scopes, in requests.
    pub asked_separator: char,
    /// And in answers.
    pub granted_separator: char,
    /// Seconds an access token is good for.
    pub lives: u64,
    /// Whether answers say so.
    pub tells_lifetime: bool,
    /// Whether there are refresh tokens.
    pub refreshable: bool,
    /// Whether only those who ask for this scope get one.
    pub offline_scope: Option<&'static str>,
    /// What becomes of them.
    pub rotation: Rotation,
    /// Whether the access token before ends when there is a new one.
    pub ends_old_access: bool,
    /// Members of token answers besides.
    pub extra: Map<String, Value>,
    /// What its account API answers; `{subject}` stands for whoever the token is of.
    pub account: Value,
    /// What goes wrong at the token endpoint.
    pub fault: Option<Fault>,
    /// The revocation endpoint answers 503.
    pub revoke_down: bool,
    /// The account API answers 503.
    pub account_down: bool,
    /// It takes Client ID Metadata Documents.
    pub documents: bool,
    /// It lets clients register themselves (RFC 7591).
    pub registers: bool,
    /// The scopes that its MCP server's challenge names.
    pub challenge: Option<&'static str>,
}

/// As the specifications have it.
pub(super) fn honest(url: &str) -> Conduct {
    Conduct {
        subject: "1001".to_owned(),
        grants: None,
        error: None,
        iss: Some(url.to_owned()),
        promises_iss: true,
        issuer: url.to_owned(),
        claims: Map::new(),
        pkce: Pkce::Required,
        proof: Proof::Post,
        json_requests: false,
        form_answers: false,
        errors_in_success: false,
        nested: None,
        scope_parameter: "scope",
        asked_separator: ' ',
        granted_separator: ' ',
        lives: 3600,
        tells_lifetime: true,
        refreshable: true,
        offline_scope: None,
        rotation: Rotation::Always,
        ends_old_access: false,
        extra: Map::new(),
        account: json!({ "id": "{subject}", "name": "person {subject}" }),
        fault: None,
        revoke_down: false,
        account_down: false,
        documents: false,
        registers: true,
        challenge: None,
    }
}

/// The habits of each kind, as its documentation tells them. Not read from the table that is being tested.
#[expect(clippy::too_many_lines, reason = "one arm for each kind")]
pub(super) fn habits(kind: &str, conduct: &mut Conduct) {
    let members = |value: Value| value.as_object().cloned().unwrap();
    // Only those of today's authorization servers that say so send `iss`.
    if !matches!(kind, "oidc" | "mcp") {
        (conduct.iss, conduct.promises_iss) = (None, false);
    }
    match kind {
        "github" => {
            conduct.form_answers = false;
            conduct.errors_in_success = true;
            conduct.granted_separator = ',';
            conduct.pkce = Pkce::Optional;
            conduct.tells_lifetime = false;
            conduct.refreshable = false;
            conduct.account = json!({ "id": "{number}", "login": "octo-{subject}", "type": "User" });
        }
        "github-app" => {
            conduct.errors_in_success = true;
            conduct.granted_separator = ',';
            conduct.pkce = Pkce::Optional;
            conduct.lives = 8 * 3600;
            conduct.rotation = Rotation::Always;
            conduct.ends_old_access = true;
            conduct.account = json!({ "id": "{number}", "login": "octo-{subject}", "type": "User" });
        }
        "google" => {
            conduct.rotation = Rotation::Never;
            conduct.claims = members(json!({ "email": "{subject}@example.org", "email_verified": true }));
        }
        "microsoft" => {
            conduct.offline_scope = Some("offline_access");
            conduct.rotation = Rotation::Grace(Duration::from_hours(24));
            conduct.claims = members(json!({
                "oid": "{subject}", "tid": TENANT, "preferred_username": "{subject}@contoso.example", "sub": "pairwise",
            }));
            conduct.issuer = format!("{}/{TENANT}/v2.0", conduct.issuer);
        }
        "slack" => {
            conduct.pkce = Pkce::Refused;
            conduct.errors_in_success = true;
            conduct.nested = Some("authed_user");
            conduct.scope_parameter = "user_scope";
            conduct.asked_separator = ',';
            conduct.granted_separator = ',';
            conduct.lives = 12 * 3600;
            conduct.extra = members(json!({ "ok": true, "team": { "id": "T1", "name": "Acme" } }));
            conduct.account =
                json!({ "ok": true, "user": "slacker-{subject}", "user_id": "{subject}", "team_id": "T1" });
        }
        "gitlab" => {
            conduct.lives = 7200;
            conduct.rotation = Rotation::KillsFamily;
            conduct.ends_old_access = true;
            conduct.account = json!({ "id": "{number}", "username": "git-{subject}" });
        }
        "atlassian" => {
            conduct.json_requests = true;
            conduct.offline_scope = Some("offline_access");
            conduct.rotation = Rotation::Grace(Duration::from_mins(10));
            conduct.account =
                json!({ "account_id": "{subject}", "name": "Person", "email": "{subject}@example.org" });
        }
        "notion" => {
            conduct.pkce = Pkce::Refused;
            conduct.proof = Proof::Basic;
            conduct.json_requests = true;
            conduct.tells_lifetime = false;
            conduct.extra = members(json!({
                "bot_id": "b1", "workspace_id": "w1", "workspace_name": "Acme",
                "owner": { "type": "user", "user": { "id": "{subject}", "name": "Person",
                    "person": { "email": "{subject}@example.org" } } },
            }));
        }
        "linear" => {
            conduct.asked_separator = ',';
            conduct.granted_separator = ',';
            conduct.lives = 24 * 3600;
            conduct.rotation = Rotation::KillsFamily;
            conduct.account =
                json!({ "data": { "viewer": { "id": "{subject}", "email": "{subject}@example.org" } } });
        }
        "dropbox" => {
            conduct.lives = 4 * 3600;
            conduct.rotation = Rotation::Never;
            conduct.account = json!({ "account_id": "{subject}", "email": "{subject}@example.org" });
        }
        "salesforce" => {
            conduct.tells_lifetime = false;
            conduct.offline_scope = Some("refresh_token");
            conduct.rotation = Rotation::Never;
            conduct.extra = members(json!({
                "id": "https://login.salesforce.com/id/00D/{subject}", "issued_at": "1790000000000",
                "instance_url": "https://acme.my.salesforce.com",
            }));
        }
        "oidc" => {
            conduct.proof = Proof::Basic;
            conduct.offline_scope = Some("offline_access");
            conduct.claims = members(json!({ "email": "{subject}@example.org" }));
        }
        "mcp" => {
            conduct.proof = Proof::Public;
            conduct.rotation = Rotation::KillsFamily;
        }
        "api-key" | "basic" => {}
        other => panic!("no habits of `{other}` are known"),
    }
}

/// The tenant whose people sign in at the provider that plays Microsoft.
pub const TENANT: &str = "6babcaad-604b-40ac-a9d7-9fd97c0b779f";
