-- Version 4. A grant can be for certain calls only.

ALTER TABLE grants ADD COLUMN arguments TEXT; -- which arguments its calls have, as JSON
-- Whether it covers only tools that policy lists as reading.
ALTER TABLE grants ADD COLUMN reads_only INTEGER NOT NULL DEFAULT 0 CHECK (reads_only IN (0, 1));

CREATE TRIGGER grants_calls_bound BEFORE UPDATE ON grants
WHEN NEW.arguments IS NOT OLD.arguments OR NEW.reads_only IS NOT OLD.reads_only
BEGIN
    SELECT RAISE(ABORT, 'of a grant only the uses change, and they only become fewer');
END;
