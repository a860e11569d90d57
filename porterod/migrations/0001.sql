-- Version 1. A migration is never edited once it was released; the next one gets the next number.

CREATE TABLE meta (
    only           INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    epoch          INTEGER NOT NULL,
    next_id        INTEGER NOT NULL,
    standing       TEXT    NOT NULL, -- digest of epoch, rules and grants together
    binding_key    BLOB    NOT NULL CHECK (length(binding_key) = 32)
) STRICT;

CREATE TABLE rules (
    id             INTEGER NOT NULL PRIMARY KEY,
    pattern        TEXT    NOT NULL,
    action         TEXT    NOT NULL CHECK (action IN ('allow', 'require-approval', 'deny')),
    made           INTEGER NOT NULL -- nanoseconds since 1970, as all times here
) STRICT;

CREATE TABLE grants (
    id             INTEGER NOT NULL PRIMARY KEY,
    pattern        TEXT    NOT NULL,
    made           INTEGER NOT NULL,
    made_boot      INTEGER NOT NULL, -- nanoseconds since boot
    boot_id        TEXT    NOT NULL,
    millis         INTEGER NOT NULL CHECK (millis > 0)
) STRICT;

CREATE TABLE passphrase (
    only           INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    hash           TEXT    NOT NULL, -- argon2id, PHC text
    first_set      INTEGER NOT NULL,
    first_by       TEXT    NOT NULL,
    changed        INTEGER NOT NULL,
    changed_by     TEXT    NOT NULL,
    failed         INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0),
    failed_at      INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE tasks (
    id             TEXT    NOT NULL PRIMARY KEY,
    state          TEXT    NOT NULL CHECK (state IN ('pending-approval', 'approved', 'executing', 'completed',
                       'failed', 'denied', 'expired', 'cancelled', 'interrupted')),
    tool           TEXT    NOT NULL,
    call           TEXT    NOT NULL,
    decision       TEXT    NOT NULL,
    principal      TEXT    NOT NULL,
    session        TEXT    NOT NULL,
    client         TEXT    NOT NULL,
    directory      TEXT    NOT NULL,
    binding        TEXT    NOT NULL,
    asked          INTEGER NOT NULL,
    expires        INTEGER NOT NULL,
    changed        INTEGER NOT NULL,
    note           TEXT,
    result         TEXT,
    error          TEXT
) STRICT;

-- The same call of the same principal waits once.
CREATE UNIQUE INDEX tasks_waiting ON tasks (principal, binding) WHERE state = 'pending-approval';
CREATE INDEX tasks_open ON tasks (state, expires);
CREATE INDEX tasks_of ON tasks (principal, asked);
CREATE INDEX tasks_asked ON tasks (asked);

CREATE TRIGGER tasks_begin BEFORE INSERT ON tasks
WHEN NEW.state <> 'pending-approval'
BEGIN
    SELECT RAISE(ABORT, 'a task begins as pending-approval');
END;

CREATE TRIGGER tasks_steps BEFORE UPDATE ON tasks
WHEN NOT (
    (OLD.state = 'pending-approval' AND NEW.state IN ('approved', 'denied', 'expired', 'cancelled'))
    OR (OLD.state = 'approved' AND NEW.state IN ('executing', 'denied', 'expired', 'cancelled'))
    OR (OLD.state = 'executing' AND NEW.state IN ('completed', 'failed', 'interrupted'))
)
BEGIN
    SELECT RAISE(ABORT, 'a task cannot make this step');
END;

CREATE TRIGGER tasks_bound BEFORE UPDATE ON tasks
WHEN NEW.id IS NOT OLD.id OR NEW.tool IS NOT OLD.tool OR NEW.call IS NOT OLD.call
    OR NEW.decision IS NOT OLD.decision OR NEW.principal IS NOT OLD.principal
    OR NEW.session IS NOT OLD.session OR NEW.client IS NOT OLD.client
    OR NEW.directory IS NOT OLD.directory OR NEW.binding IS NOT OLD.binding
    OR NEW.asked IS NOT OLD.asked
BEGIN
    SELECT RAISE(ABORT, 'what a task asks cannot change');
END;

CREATE TRIGGER tasks_stay BEFORE DELETE ON tasks
WHEN OLD.state IN ('pending-approval', 'approved', 'executing')
BEGIN
    SELECT RAISE(ABORT, 'an open task stays');
END;
