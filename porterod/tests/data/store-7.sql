-- A credential under a key of the keyring, and a key that was made and not used. Neither key exists.
INSERT INTO credential_keys (id, made)
    VALUES (x'000102030405060708090a0b0c0d0e0f', 1796112000000000000),
           (x'f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', 1796112000000000001);
INSERT INTO credentials (name, nonce, sealed, kept, key_id)
    VALUES ('oauth/sentry', zeroblob(24), x'0123456789abcdef0123456789abcdef', 1796112000000000002,
        x'000102030405060708090a0b0c0d0e0f');
