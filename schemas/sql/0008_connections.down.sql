ALTER TABLE tools DROP COLUMN scopes;

ALTER TABLE servers DROP COLUMN scopes;

ALTER TABLE servers DROP COLUMN injection;

ALTER TABLE servers DROP COLUMN provider_id;

DROP TABLE connect_flows;

DROP TABLE connect_tickets;

DROP TABLE revocations;

DROP TABLE connections;

DROP TABLE providers;
