//! What the authorization server offers (RFC 8414 §2), and where.

use serde_json::{Value, json};

use super::scopes;
use super::token::GRANTS;
use crate::Gateway;
use crate::clients::Method;
use crate::identity::jwt::ALGORITHMS;

/// The document. The issuer is the very text that clients have built its address from.
pub(super) fn document(gateway: &Gateway) -> Value {
    let issuer = &gateway.settings.public_url;
    let at = |path: &str| format!("{issuer}/{path}");
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": at("authorize"),
        "token_endpoint": at("token"),
        "revocation_endpoint": at("revoke"),
        "introspection_endpoint": at("introspect"),
        "jwks_uri": at("jwks.json"),
        "scopes_supported": scopes::ALL,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": GRANTS,
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": Method::ALL,
        "token_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "revocation_endpoint_auth_methods_supported": Method::ALL,
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": true,
        "authorization_grant_profiles_supported": ["urn:ietf:params:oauth:grant-profile:id-jag"],
        "service_documentation": at(""),
        // Clients that read this as OpenID Connect Discovery insist on these; no ID tokens are issued.
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
    });
    if gateway.settings.registration
        && let Some(members) = document.as_object_mut()
    {
        members.insert("registration_endpoint".to_owned(), at("register").into());
    }
    document
}
