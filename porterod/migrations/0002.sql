-- Version 2. Definitions of servers are pinned.

-- The digests that count as accepted or wait for a person, by server. They are covered by the digest in `meta`.
CREATE TABLE definition_pins (
    server         TEXT    NOT NULL PRIMARY KEY,
    pins           TEXT    NOT NULL -- as JSON
) STRICT, WITHOUT ROWID;

-- The concealed definitions behind these digests.
CREATE TABLE definition_texts (
    digest         TEXT    NOT NULL PRIMARY KEY,
    definition     TEXT    NOT NULL -- as JSON
) STRICT, WITHOUT ROWID;
