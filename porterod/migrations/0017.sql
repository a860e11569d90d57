-- Version 17: which topic of a group on Telegram is a project's.

CREATE TABLE telegram_topics (
    bot            INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    project        TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    topic          INTEGER, -- its number, once Telegram made it
    made           INTEGER NOT NULL,
    PRIMARY KEY (bot, chat, project),
    UNIQUE (bot, chat, name)
) STRICT, WITHOUT ROWID;
