-- Version 22: segments of processes that are gone, in which every call has its outcome or a record that it has none.

ALTER TABLE heads ADD COLUMN settled INTEGER NOT NULL DEFAULT 0 CHECK (settled IN (0, 1));

CREATE TRIGGER heads_settled_once BEFORE UPDATE ON heads
WHEN NEW.settled < OLD.settled
BEGIN
    SELECT RAISE(ABORT, 'what is settled stays so');
END;
