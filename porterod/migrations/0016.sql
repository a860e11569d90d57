-- Version 16: messages on Telegram that tell what ran without asking, and have buttons.

-- A message is to be as its 'version' says; it is so in the chat once 'drawn' has come as far.
CREATE TABLE telegram_notices (
    bot            INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    cause          TEXT    NOT NULL,
    made           INTEGER NOT NULL,
    told           TEXT    NOT NULL, -- what it tells, as JSON
    page           INTEGER, -- which page of its tools is open; none: the message itself
    version        INTEGER NOT NULL DEFAULT 1,
    drawn          INTEGER NOT NULL DEFAULT 1 CHECK (drawn <= version),
    PRIMARY KEY (bot, chat, cause)
) STRICT, WITHOUT ROWID;
