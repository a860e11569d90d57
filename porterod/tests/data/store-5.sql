-- What a store in use has in the table of version 5. The sealed text is of no key that exists.
INSERT INTO credentials (name, nonce, sealed, kept)
    VALUES ('oauth/linear', zeroblob(24), x'00112233445566778899aabbccddeeff', 1796112000000000000),
           ('secret/github', zeroblob(24), x'ffeeddccbbaa99887766554433221100', 1796112000000000001);
