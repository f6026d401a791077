DROP TABLE passkeys;

DROP TABLE identities;

DROP TABLE identity_providers;

DROP TABLE sign_in_links;

DROP TABLE sessions;
