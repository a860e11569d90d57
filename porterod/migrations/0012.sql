-- Version 12: lists of one state, the newest first, without a look at tasks in other states.

CREATE INDEX tasks_listed ON tasks (state, asked, id);
