-- Version 21: groups on Telegram that became supergroups.

-- The configuration names a group by the number that it had; what it became is kept here.
CREATE TABLE telegram_moves (
    bot            INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    became         INTEGER NOT NULL CHECK (became < 0 AND became <> chat),
    at             INTEGER NOT NULL,
    PRIMARY KEY (bot, chat)
) STRICT, WITHOUT ROWID;
