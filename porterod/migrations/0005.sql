-- Version 5. Credentials toward servers, sealed under a key beside the store.

CREATE TABLE credentials (
    name           TEXT    NOT NULL PRIMARY KEY, -- such as `oauth/linear` or `secret/github`
    nonce          BLOB    NOT NULL CHECK (length(nonce) = 24),
    sealed         BLOB    NOT NULL, -- the value, encrypted and bound to its name
    kept           INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
