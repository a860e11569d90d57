-- What store-1.db holds besides its rules and grants, which the test that makes it writes with their digest.

INSERT INTO tasks (id, state, tool, call, decision, principal, session, client, directory, binding, asked, expires, changed) VALUES
    ('01a1f8c1-3957-7694-b343-fa6d3a72fa1b', 'pending-approval', 'mail/send',
     '{"tool":"mail/send","method":"tools/call","params":{"name":"send","arguments":{"text":"pending"}}}',
     '{"action":"allow","pattern":"mail/send","source":{"grant":3},"locked":false}',
     '/project', '01a1f8c1-3956-7242-8914-5c3d3eec1d60', 'claude-code 2', '/project',
     '88d72ae6a01deb257f121d2b2e5361d61c1d8b5f7f56ad4638a0599038d979d0', 1795161600000000000, 1795248000000000000, 1795161600000000000),
    ('01a1f8c1-3961-72a5-84f6-3b520c9c6f40', 'pending-approval', 'mail/send',
     '{"tool":"mail/send","method":"tools/call","params":{"name":"send","arguments":{"text":"approved"}}}',
     '{"action":"allow","pattern":"mail/send","source":{"grant":3},"locked":false}',
     '/project', '01a1f8c1-3960-752f-bc1c-7c6a38d12983', 'claude-code 2', '/project',
     'e5ce34ef9ef2a423032daae51b5e470a6c4a7ef53fff45d96efcf63e6bf6bb68', 1795161600000000000, 1795162500000000000, 1795161600000000000),
    ('01a1f8c1-3978-72e7-9d02-de0e5328e868', 'pending-approval', 'mail/send',
     '{"tool":"mail/send","method":"tools/call","params":{"name":"send","arguments":{"text":"denied"}}}',
     '{"action":"allow","pattern":"mail/send","source":{"grant":3},"locked":false}',
     '/project', '01a1f8c1-3978-72e7-9d02-de0d4b108f64', 'claude-code 2', '/project',
     '19ce73be01dcd8f93ac002d3a82ac1b780b7b46de5e98bfe126d304bd1f09ad3', 1795161600000000000, 1795248000000000000, 1795161600000000000),
    ('01a1f8c1-398e-7139-b97c-8ca03442c740', 'pending-approval', 'mail/send',
     '{"tool":"mail/send","method":"tools/call","params":{"name":"send","arguments":{"text":"done"}}}',
     '{"action":"allow","pattern":"mail/send","source":{"grant":3},"locked":false}',
     '/project', '01a1f8c1-398e-7139-b97c-8c9f3081bd6b', 'claude-code 2', '/project',
     '9bcc7a577f990f4e866818cf8b288336f2728e1df8249489b2895e445fcd9e53', 1795161600000000000, 1795162500000000000, 1795161600000000000),
    ('01a1f8c1-39c1-7695-ae1e-26539a77e2e0', 'pending-approval', 'mail/send',
     '{"tool":"mail/send","method":"tools/call","params":{"name":"send","arguments":{"text":"executing"}}}',
     '{"action":"allow","pattern":"mail/send","source":{"grant":3},"locked":false}',
     '/project', '01a1f8c1-39c1-7695-ae1e-26525331162b', 'claude-code 2', '/project',
     '544a95efaa38a1e85142ff9ece6ab77856b1396472168c3f2133bf9f80340a42', 1795161600000000000, 1795162500000000000, 1795161600000000000);
UPDATE tasks SET state = 'approved' WHERE id IN ('01a1f8c1-3961-72a5-84f6-3b520c9c6f40', '01a1f8c1-398e-7139-b97c-8ca03442c740', '01a1f8c1-39c1-7695-ae1e-26539a77e2e0');
UPDATE tasks SET state = 'executing' WHERE id IN ('01a1f8c1-398e-7139-b97c-8ca03442c740', '01a1f8c1-39c1-7695-ae1e-26539a77e2e0');
UPDATE tasks SET state = 'completed', result = '{"n":1.10}' WHERE id = '01a1f8c1-398e-7139-b97c-8ca03442c740';
UPDATE tasks SET state = 'denied', note = 'not today' WHERE id = '01a1f8c1-3978-72e7-9d02-de0e5328e868';

INSERT INTO votes SELECT id, 11, binding, 1700000000000000000 FROM tasks WHERE state = 'pending-approval';
INSERT INTO seen_tasks SELECT id FROM tasks WHERE state = 'denied';
INSERT INTO denials VALUES ('/project', 'digest', '01a1f8c1-3978-72e7-9d02-de0e5328e868', 1700000000000000000);

INSERT INTO approved_config VALUES (1, printf('%064d', 4), 1700000000000000000);
INSERT INTO passphrase (only, verifier, first_set, first_by, changed, changed_by)
    VALUES (1, 'ed25519-argon2id$19456$2$1$bc1ed892d99030c46f583f71fd1f341f$' || printf('%064d', 5), 1700000000000000000, 'terminal pid 1',
        1700000000000000000, 'terminal pid 1');
INSERT INTO authenticator (only, enrolled, enrolled_by, salt, nonce, sealed, recovery, last_step)
    VALUES (1, 1700000000000000000, 'terminal pid 1', zeroblob(16), zeroblob(24), zeroblob(64), 8, 5);

INSERT INTO checkpoints (segment, seq, hash, length, problem)
    VALUES ('20251120T080000.000000Z-7-00000000.jsonl', 5, printf('%064d', 1), 700, NULL),
        ('20261120T080000.000000Z-7-00000000.jsonl', 12, printf('%064d', 2), 4711, NULL),
        ('20261120T090000.000000Z-8-00000000.jsonl', 3, printf('%064d', 3), 900, 'it was cut');
UPDATE checkpoints SET settled = 1 WHERE length = 700;
UPDATE checkpoints SET removed = 1700000000000000000 WHERE length = 700;

INSERT INTO channels VALUES ('telegram', 1);
INSERT INTO notices (at, task, notice)
    VALUES (1700000000000000000, '01a1f8c1-3957-7694-b343-fa6d3a72fa1b',
        '{"task":{"task":"01a1f8c1-3957-7694-b343-fa6d3a72fa1b","tool":"mail/send","state":"pending-approval","by":"agent","note":null}}');

INSERT INTO telegram_pairing VALUES (1, 4711, '', 501, 501, 1700000000000000000);
INSERT INTO telegram_updates VALUES (4711, 1001, 1700000000000000000);
INSERT INTO telegram_sent VALUES (4711, 501, 'card:01a1f8c1-3957-7694-b343-fa6d3a72fa1b', 3, 1700000000000000000);
INSERT INTO telegram_moves VALUES (4711, -1001, -1009, 1700000000000000000);
INSERT INTO telegram_menus VALUES (4711, 502);
INSERT INTO telegram_topics VALUES (4711, -1001, '/project', 'project', 17, 1700000000000000000);
INSERT INTO telegram_buttons (key, bot, chat, user, cause, task, act, made)
    VALUES (zeroblob(32), 4711, 501, 501, 'card:01a1f8c1-3957-7694-b343-fa6d3a72fa1b', '01a1f8c1-3957-7694-b343-fa6d3a72fa1b',
        '{"decide":"approve"}', 1700000000000000000);
UPDATE telegram_buttons SET steps = 1, pressed_by = 9, pressed = 1700000000000000000, pressed_boot = 5;
INSERT INTO telegram_lists (bot, chat, cause, made) VALUES (4711, 501, 'list:01a1f8c1-3957-7694-b343-fa6d3a72fa1b', 1700000000000000000);
INSERT INTO telegram_cards (bot, chat, task, made, list, own_message)
    VALUES (4711, 501, '01a1f8c1-3957-7694-b343-fa6d3a72fa1b', 1700000000000000000,
        'list:01a1f8c1-3957-7694-b343-fa6d3a72fa1b', 0);
INSERT INTO telegram_notices (bot, chat, cause, made, content)
    VALUES (4711, 501, 'ran:1', 1700000000000000000, '{"counts":[["ran","a/b",1]],"others":0}');
INSERT INTO remote_confirmations (bot, chat, about, made) VALUES (4711, 501, 'resume', 1700000000000000000);
INSERT INTO remote_confirmations (bot, chat, about, made, ended, ended_at)
    VALUES (4711, 501, 'allow a/b', 1700000000000000000, 'refused', 1700000001000000000);
