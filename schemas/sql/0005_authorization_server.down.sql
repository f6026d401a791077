DROP TABLE revoked_tokens;

DROP TABLE seen_assertions;

DROP TABLE consents;

DROP TABLE refresh_tokens;

DROP TABLE authorization_codes;

DROP TABLE authorizations;

DROP TABLE oauth_clients;

ALTER TABLE api_keys DROP COLUMN scopes;

ALTER TABLE api_keys DROP COLUMN toolbox_id;

ALTER TABLE agents DROP COLUMN clients;
