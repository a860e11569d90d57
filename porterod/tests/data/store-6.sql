INSERT INTO access_tokens (id, hash, name, scope, made, expires, last_used)
    VALUES ('00112233445566aa', x'00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff', 'laptop',
        '["mail/*","github/list_*"]', 1795910400000000000, 1798502400000000000, 1795914000000000000);
