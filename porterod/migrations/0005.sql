-- Version 5: what a person said no to, so that the same call does not ask again at once; and how many calls of
-- one session wait, without a look at those of all others.

CREATE TABLE denials (
    principal      TEXT    NOT NULL,
    call           TEXT    NOT NULL, -- keyed digest of tool, method and canonical arguments
    task           TEXT    NOT NULL,
    denied         INTEGER NOT NULL,
    PRIMARY KEY (principal, call)
) STRICT;

CREATE INDEX tasks_waiting_of ON tasks (session) WHERE state = 'pending-approval';
