INSERT INTO tasks (id, state, tool, call, decision, principal, session, client, directory, binding, asked, expires, changed,
        child)
    SELECT '01a1f8c1-3990-7000-8000-000000000001', 'pending-approval', tool, call, decision, principal, session, client,
        directory, 'v2.child', asked, expires, changed,
        '{"holder":"h","generation":"01a1f8c1-3990-7000-8000-000000000002","definition":"d","binding":"v2.session"}'
    FROM tasks ORDER BY id LIMIT 1;
UPDATE tasks SET state = 'approved', fresh = 1 WHERE child IS NOT NULL;
