-- Version 7: an authenticator beside the passphrase.

CREATE TABLE authenticator (
    only           INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    enrolled       INTEGER NOT NULL,
    enrolled_by    TEXT    NOT NULL,
    salt           BLOB    NOT NULL CHECK (length(salt) = 16),
    nonce          BLOB    NOT NULL CHECK (length(nonce) = 24),
    sealed         BLOB    NOT NULL, -- secret and recovery codes, under a key from the passphrase
    recovery       INTEGER NOT NULL CHECK (recovery >= 0), -- codes that are left
    last_step      INTEGER NOT NULL CHECK (last_step >= 0), -- of the last code that was used
    failed         INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0),
    failed_at      INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TRIGGER authenticator_forward BEFORE UPDATE ON authenticator
WHEN NEW.enrolled IS NOT OLD.enrolled OR NEW.enrolled_by IS NOT OLD.enrolled_by
    OR NEW.last_step < OLD.last_step OR NEW.recovery > OLD.recovery
BEGIN
    SELECT RAISE(ABORT, 'a used code stays used');
END;
