-- Version 20: what terminals asked a person to confirm on Telegram.

-- A question is asked before its message is sent, so that none is lost from the counts, however this process ends.
-- The number that confirms it is nowhere in here.
CREATE TABLE telegram_consents (
    id             INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    bot            INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    about          TEXT    NOT NULL, -- what was asked for, in words and concealed
    made           INTEGER NOT NULL,
    ended          TEXT CHECK (ended IN ('done', 'failed', 'changed', 'refused', 'wrong', 'expired', 'gone',
                                         'restarted', 'unsent')), -- none while it waits
    ended_at       INTEGER CHECK ((ended_at IS NULL) = (ended IS NULL)),
    answered_by    INTEGER, -- the user who tapped
    drawn          INTEGER NOT NULL DEFAULT 0 CHECK (drawn IN (0, 1)) -- whether its message says how it ended
) STRICT;

CREATE INDEX telegram_consents_made ON telegram_consents (made);

CREATE TRIGGER telegram_consents_once BEFORE UPDATE ON telegram_consents
WHEN OLD.ended IS NOT NULL AND NEW.ended IS NOT OLD.ended
BEGIN
    SELECT RAISE(ABORT, 'a question ends once');
END;
