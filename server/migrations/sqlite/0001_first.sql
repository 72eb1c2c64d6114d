-- Times are unix milliseconds. JSON columns hold wire types.
CREATE TABLE tokens (
    id        TEXT PRIMARY KEY,
    hash      BLOB NOT NULL UNIQUE,
    user      TEXT NOT NULL,
    label     TEXT NOT NULL,
    scopes    TEXT NOT NULL,
    created   INTEGER NOT NULL,
    expires   INTEGER,
    last_used INTEGER,
    revoked   INTEGER
) STRICT;

CREATE TABLE sessions (
    id          TEXT PRIMARY KEY,
    owner       TEXT NOT NULL,
    owner_label TEXT NOT NULL,
    instance    TEXT,
    epoch       INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL
) STRICT;

CREATE TABLE llms (
    id          TEXT PRIMARY KEY,
    session     TEXT NOT NULL,
    owner       TEXT NOT NULL,
    owner_label TEXT NOT NULL,
    provider    TEXT NOT NULL,
    created     INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    wake_ms     INTEGER
) STRICT;

CREATE TABLE tombstones (
    name  TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    until INTEGER NOT NULL
) STRICT;
