-- Version 13: which configuration a person confirmed. The files themselves are in a copy beside the store.

CREATE TABLE confirmed (
    only           INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    digest         TEXT    NOT NULL CHECK (length(digest) = 64), -- keyed
    at             INTEGER NOT NULL
) STRICT;

CREATE TRIGGER confirmed_stays BEFORE DELETE ON confirmed
BEGIN
    SELECT RAISE(ABORT, 'what was confirmed is only replaced');
END;
