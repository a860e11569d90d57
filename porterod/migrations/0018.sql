-- Version 18: approvals of calls that take those of several people, one for each person, gone with their task.

CREATE TABLE votes (
    task           TEXT    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    user           INTEGER NOT NULL CHECK (user > 0), -- on Telegram
    binding        TEXT    NOT NULL, -- the task's, when it was given: it counts for nothing else
    voted          INTEGER NOT NULL,
    PRIMARY KEY (task, user)
) STRICT, WITHOUT ROWID;
