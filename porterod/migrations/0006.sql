-- Version 6: what was sent on Telegram.

-- A message that Telegram confirmed, with its cause: it is not sent again.
CREATE TABLE telegram_sent (
    bot            INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    cause          TEXT    NOT NULL,
    message        INTEGER NOT NULL,
    at             INTEGER NOT NULL,
    PRIMARY KEY (bot, chat, cause)
) STRICT, WITHOUT ROWID;
