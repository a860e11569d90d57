-- Version 15: in which chats a bot's menu of commands stands, so that it goes where the bot serves nobody any more.

CREATE TABLE telegram_menus (
    bot            INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    PRIMARY KEY (bot, chat)
) STRICT, WITHOUT ROWID;

INSERT INTO telegram_menus SELECT bot, chat FROM telegram_person UNION SELECT bot, chat FROM telegram_cards;
