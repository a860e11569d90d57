-- Version 4: the outbox. What a person must be told, and how far each channel has told it.

CREATE TABLE notices (
    seq            INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, -- never used again
    at             INTEGER NOT NULL,
    task           TEXT, -- the task that it is about, if it is about one
    channel        TEXT, -- the one channel that it is for; none for all
    notice         TEXT NOT NULL
) STRICT;

CREATE INDEX notices_of ON notices (task, seq) WHERE task IS NOT NULL;

CREATE TABLE channels (
    name           TEXT    NOT NULL PRIMARY KEY,
    told           INTEGER NOT NULL CHECK (told >= 0) -- the last notice that it acknowledged
) STRICT;

CREATE TRIGGER channels_only_advance BEFORE UPDATE ON channels
WHEN NEW.name IS NOT OLD.name OR NEW.told < OLD.told
BEGIN
    SELECT RAISE(ABORT, 'a channel only advances');
END;

CREATE TABLE outbox (
    only           INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    removed        INTEGER NOT NULL -- the last notice of those that were removed
) STRICT;

INSERT INTO outbox (only, removed) VALUES (1, 0);
