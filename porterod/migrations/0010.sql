-- Version 10: which task a person asked anew with another, and which finished tasks an agent has heard of.

ALTER TABLE tasks ADD COLUMN repeats TEXT;

CREATE INDEX tasks_repeated ON tasks (repeats) WHERE repeats IS NOT NULL;

CREATE TRIGGER tasks_repeat BEFORE UPDATE ON tasks
WHEN NEW.repeats IS NOT OLD.repeats
BEGIN
    SELECT RAISE(ABORT, 'what a task asks cannot change');
END;

CREATE TABLE heard (
    task           TEXT    NOT NULL PRIMARY KEY
) STRICT;
