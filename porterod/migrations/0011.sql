-- Version 11: who is paired on Telegram, and what was dealt with.

CREATE TABLE telegram_person (
    only           INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    bot            INTEGER NOT NULL, -- the bot's number
    address        TEXT    NOT NULL, -- where the Bot API is; empty for Telegram's own
    user           INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    made           INTEGER NOT NULL
) STRICT;

-- An update is acted on once: its number is stored with what it does.
CREATE TABLE telegram_handled (
    bot            INTEGER NOT NULL,
    number         INTEGER NOT NULL,
    at             INTEGER NOT NULL,
    PRIMARY KEY (bot, number)
) STRICT, WITHOUT ROWID;
