DROP INDEX user_keys_org;

DROP INDEX api_keys_org;

ALTER TABLE orgs DROP COLUMN status;

ALTER TABLE user_keys DROP COLUMN hint;

ALTER TABLE api_keys DROP COLUMN hint;

DROP TABLE refusals;

DROP TABLE idempotent_answers;
