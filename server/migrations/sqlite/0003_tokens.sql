-- Groups of the token's user, separated by spaces.
ALTER TABLE tokens ADD COLUMN user_groups TEXT NOT NULL DEFAULT '';

CREATE INDEX tokens_by_user ON tokens (user);

-- What was revoked, in order, so that a running server asks only for what is new.
CREATE TABLE revocations (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    token  TEXT, -- one token, or
    user   TEXT  -- everything of a user, pairing codes too
) STRICT;

CREATE TRIGGER token_revoked AFTER UPDATE OF revoked ON tokens
WHEN OLD.revoked IS NULL AND NEW.revoked IS NOT NULL
BEGIN
    INSERT INTO revocations (token) VALUES (NEW.id);
END;
