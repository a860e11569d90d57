-- Version 3. An approved call runs in the process that its session's other calls use.

ALTER TABLE tasks ADD COLUMN child TEXT; -- that process, where a session runs the server
-- Whether a person agreed that the call runs in another process.
ALTER TABLE tasks ADD COLUMN fresh INTEGER NOT NULL DEFAULT 0 CHECK (fresh IN (0, 1));

CREATE TRIGGER tasks_child_bound BEFORE UPDATE ON tasks
WHEN NEW.child IS NOT OLD.child
BEGIN
    SELECT RAISE(ABORT, 'what a task asks cannot change');
END;

CREATE TRIGGER tasks_fresh BEFORE UPDATE ON tasks
WHEN NEW.fresh IS NOT OLD.fresh AND NOT (OLD.state = 'pending-approval' AND NEW.state = 'approved')
BEGIN
    SELECT RAISE(ABORT, 'only a yes lets a call run in another process');
END;
