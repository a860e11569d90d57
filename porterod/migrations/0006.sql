-- Access tokens, with which agents on other machines ask over HTTPS.

CREATE TABLE access_tokens (
    id TEXT PRIMARY KEY, -- the public part of the token
    hash BLOB NOT NULL CHECK (length(hash) = 32), -- BLAKE3 of the whole token
    name TEXT NOT NULL UNIQUE,
    scope TEXT NOT NULL, -- a JSON array of patterns
    made INTEGER NOT NULL,
    expires INTEGER,
    last_used INTEGER
) STRICT;

CREATE TRIGGER access_tokens_fixed BEFORE UPDATE ON access_tokens
WHEN NEW.id IS NOT OLD.id OR NEW.hash IS NOT OLD.hash OR NEW.name IS NOT OLD.name OR NEW.scope IS NOT OLD.scope
    OR NEW.made IS NOT OLD.made OR NEW.expires IS NOT OLD.expires
BEGIN
    SELECT RAISE(ABORT, 'a token cannot change');
END;
