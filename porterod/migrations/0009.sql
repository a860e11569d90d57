-- Version 9: segments of the audit that were removed because they were old.

ALTER TABLE heads ADD COLUMN removed INTEGER; -- when, if it was

-- 'heads_only_grow' sees to everything else that may change. What has a problem is never removed by its age, and
-- what is removed stays so.
CREATE TRIGGER heads_removed_once BEFORE UPDATE ON heads
WHEN (OLD.removed IS NULL AND NEW.removed IS NOT NULL AND NEW.problem IS NOT NULL)
    OR (OLD.removed IS NOT NULL AND (NEW.removed IS NOT OLD.removed OR NEW.seq IS NOT OLD.seq
        OR NEW.hash IS NOT OLD.hash OR NEW.length IS NOT OLD.length OR NEW.problem IS NOT OLD.problem))
BEGIN
    SELECT RAISE(ABORT, 'only a whole segment is removed by its age, and then for good');
END;

CREATE TRIGGER heads_begin_there BEFORE INSERT ON heads
WHEN NEW.removed IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'a segment that is not known cannot be removed');
END;

CREATE TRIGGER heads_stay BEFORE DELETE ON heads
BEGIN
    SELECT RAISE(ABORT, 'a head stays');
END;
