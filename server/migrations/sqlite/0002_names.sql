-- Names of LLMs and pools: whose each is, and who else may serve it. Takes the place of tombstones.
CREATE TABLE names (
    name            TEXT PRIMARY KEY,
    owner           TEXT NOT NULL,
    shared_by_owner TEXT NOT NULL DEFAULT '[]',
    shared_by_admin TEXT NOT NULL DEFAULT '[]',
    served          INTEGER NOT NULL DEFAULT 0,
    reserved_until  INTEGER
) STRICT;

INSERT INTO names (name, owner, served, reserved_until)
    SELECT name, owner, 1, until FROM tombstones;
DROP TABLE tombstones;

-- A name belongs to the first user who served it.
INSERT OR REPLACE INTO names (name, owner, served)
    SELECT lower(json_extract(provider, '$.pool')), owner, 1 FROM llms
    WHERE json_extract(provider, '$.pool') IS NOT NULL ORDER BY created DESC;
INSERT OR REPLACE INTO names (name, owner, served)
    SELECT lower(json_extract(provider, '$.name')), owner, 1 FROM llms ORDER BY created DESC;

-- Groups of a row's and a session's owner, apart by spaces.
ALTER TABLE llms ADD COLUMN owner_groups TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN owner_groups TEXT NOT NULL DEFAULT '';

-- Two rows of one name are two users'.
ALTER TABLE llms ADD COLUMN name TEXT NOT NULL DEFAULT '';
UPDATE llms SET name = lower(json_extract(provider, '$.name'));
CREATE UNIQUE INDEX llms_of_owner_by_name ON llms (owner, name);
