-- Version 3: since when a person has paused everything.

ALTER TABLE meta ADD COLUMN paused INTEGER;
