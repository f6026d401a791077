DROP TABLE leases;

DROP TRIGGER audit_is_not_deleted;

DROP TRIGGER audit_is_not_rewritten;

DROP TABLE audit;

DROP TABLE grants;

DROP TABLE tools;

DROP TABLE toolbox_servers;

DROP TABLE servers;

DROP TABLE toolboxes;

DROP TABLE issuers;

DROP TABLE api_keys;

DROP TABLE agents;

DROP TABLE users;

DROP TABLE policy_history;

DROP TABLE orgs;

DROP TABLE policy_sets;
