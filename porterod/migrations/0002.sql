-- Version 2: how far each segment of the audit had come when it was last looked at.

CREATE TABLE heads (
    segment        TEXT    NOT NULL PRIMARY KEY, -- the file's name
    seq            INTEGER NOT NULL CHECK (seq >= 0),
    hash           TEXT    NOT NULL CHECK (length(hash) = 64),
    length         INTEGER NOT NULL CHECK (length >= 0), -- where that record ends in the file, in bytes
    problem        TEXT -- what was once found wrong with it
) STRICT;

CREATE TRIGGER heads_only_grow BEFORE UPDATE ON heads
WHEN NEW.segment IS NOT OLD.segment OR NEW.seq < OLD.seq OR NEW.length < OLD.length
    OR (OLD.problem IS NOT NULL AND NEW.problem IS NOT OLD.problem)
BEGIN
    SELECT RAISE(ABORT, 'a head only grows, and a problem stays');
END;
