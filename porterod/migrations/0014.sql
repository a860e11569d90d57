-- Version 14: what a person is shown on Telegram of each task, and the buttons below it.

-- A button stands under the message that was sent for its cause (telegram_sent), in one chat, for one person.
CREATE TABLE telegram_buttons (
    token          BLOB    NOT NULL PRIMARY KEY CHECK (length(token) = 32), -- BLAKE3 of what it carries
    bot            INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    user           INTEGER NOT NULL,
    cause          TEXT    NOT NULL,
    task           TEXT, -- none where it is about several
    act            TEXT    NOT NULL, -- what it does, as JSON
    made           INTEGER NOT NULL,
    steps          INTEGER NOT NULL DEFAULT 0 CHECK (steps BETWEEN 0 AND 2), -- of what it does, how much is done
    spent_by       INTEGER CHECK ((spent_by IS NULL) = (steps = 0)) -- the press, by its update's number
) STRICT;

CREATE INDEX telegram_buttons_under ON telegram_buttons (bot, chat, cause);

CREATE TRIGGER telegram_buttons_once BEFORE UPDATE ON telegram_buttons
WHEN NEW.steps <> OLD.steps + 1 OR (OLD.steps > 0 AND NEW.spent_by IS NOT OLD.spent_by)
    OR NEW.token IS NOT OLD.token OR NEW.bot IS NOT OLD.bot OR NEW.chat IS NOT OLD.chat
    OR NEW.user IS NOT OLD.user OR NEW.cause IS NOT OLD.cause OR NEW.task IS NOT OLD.task
    OR NEW.act IS NOT OLD.act OR NEW.made IS NOT OLD.made
BEGIN
    SELECT RAISE(ABORT, 'a button is used once, by one press');
END;

-- A card is to be as its 'version' says; it is so in the chat once 'drawn' has come as far.
CREATE TABLE telegram_cards (
    bot            INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    task           TEXT    NOT NULL,
    made           INTEGER NOT NULL,
    list           TEXT, -- the cause of the list that it stands in, when there were many at once
    alone          INTEGER NOT NULL CHECK (alone IN (0, 1)), -- whether it has a message of its own
    view           TEXT    NOT NULL DEFAULT '"card"', -- which view is open, as JSON
    page           INTEGER NOT NULL DEFAULT 0,
    read           INTEGER NOT NULL DEFAULT 0 CHECK (read IN (0, 1)), -- whether its document was asked for
    decided_by     TEXT,
    decided        INTEGER,
    version        INTEGER NOT NULL DEFAULT 1,
    drawn          INTEGER NOT NULL DEFAULT 0 CHECK (drawn <= version),
    PRIMARY KEY (bot, chat, task)
) STRICT, WITHOUT ROWID;

-- Lists of what was asked at once.
CREATE TABLE telegram_lists (
    bot            INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    cause          TEXT    NOT NULL,
    made           INTEGER NOT NULL,
    version        INTEGER NOT NULL DEFAULT 1,
    drawn          INTEGER NOT NULL DEFAULT 0 CHECK (drawn <= version),
    PRIMARY KEY (bot, chat, cause)
) STRICT, WITHOUT ROWID;
