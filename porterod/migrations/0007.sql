-- Version 7. Kept credentials can be sealed under a key that the system's keyring holds.

CREATE TABLE credential_keys (
    id             BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16), -- names the keyring's item
    made           INTEGER NOT NULL -- of several, new credentials are sealed under the latest
) STRICT, WITHOUT ROWID;

-- None: sealed under the key in the file beside the store.
ALTER TABLE credentials ADD COLUMN key_id BLOB REFERENCES credential_keys (id);
