-- Version 1. A migration is never edited once it was released; the next one gets the next number.
--
-- All times are nanoseconds since 1970, those named `…boot` nanoseconds since boot. A table with a column `only` has
-- one row at most.

-- Rules, grants and the pause: what people said since the files were written.

CREATE TABLE meta (
    only             INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    epoch            INTEGER NOT NULL,
    next_id          INTEGER NOT NULL,
    paused           INTEGER, -- since when a person has paused all sessions
    overrides_digest TEXT    NOT NULL, -- of epoch, rules, grants, next id and pause together
    binding_key      BLOB    NOT NULL CHECK (length(binding_key) = 32)
) STRICT;

CREATE TABLE rules (
    id             INTEGER NOT NULL PRIMARY KEY,
    pattern        TEXT    NOT NULL,
    action         TEXT    NOT NULL CHECK (action IN ('allow', 'require-approval', 'deny')),
    made           INTEGER NOT NULL
) STRICT;

CREATE TABLE grants (
    id             INTEGER NOT NULL PRIMARY KEY,
    pattern        TEXT    NOT NULL,
    made           INTEGER NOT NULL,
    made_boot      INTEGER NOT NULL,
    boot_id        TEXT    NOT NULL,
    millis         INTEGER NOT NULL CHECK (millis > 0),
    session        TEXT,
    agent_session  TEXT,
    project        TEXT,
    uses           INTEGER CHECK (uses > 0),
    used           INTEGER NOT NULL DEFAULT 0 CHECK (used BETWEEN 0 AND coalesce(uses, 0))
) STRICT;

CREATE TRIGGER grants_only_used_up BEFORE UPDATE ON grants
WHEN NEW.used <= OLD.used OR NEW.id IS NOT OLD.id OR NEW.pattern IS NOT OLD.pattern
    OR NEW.made IS NOT OLD.made OR NEW.made_boot IS NOT OLD.made_boot OR NEW.boot_id IS NOT OLD.boot_id
    OR NEW.millis IS NOT OLD.millis OR NEW.session IS NOT OLD.session
    OR NEW.agent_session IS NOT OLD.agent_session OR NEW.project IS NOT OLD.project
    OR NEW.uses IS NOT OLD.uses
BEGIN
    SELECT RAISE(ABORT, 'of a grant only the uses change, and they only become fewer');
END;

-- Which configuration a person approved. The files themselves are in a copy beside the store.
CREATE TABLE approved_config (
    only           INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    digest         TEXT    NOT NULL CHECK (length(digest) = 64), -- keyed
    at             INTEGER NOT NULL
) STRICT;

CREATE TRIGGER approved_config_stays BEFORE DELETE ON approved_config
BEGIN
    SELECT RAISE(ABORT, 'what was approved is only replaced');
END;

-- The passphrase, and the authenticator beside it.

CREATE TABLE passphrase (
    only           INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    verifier       TEXT    NOT NULL,
    first_set      INTEGER NOT NULL,
    first_by       TEXT    NOT NULL,
    changed        INTEGER NOT NULL,
    changed_by     TEXT    NOT NULL,
    failed         INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0),
    failed_at      INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE authenticator (
    only           INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    enrolled       INTEGER NOT NULL,
    enrolled_by    TEXT    NOT NULL,
    salt           BLOB    NOT NULL CHECK (length(salt) = 16),
    nonce          BLOB    NOT NULL CHECK (length(nonce) = 24),
    sealed         BLOB    NOT NULL, -- secret and recovery codes, under a key from the passphrase
    recovery       INTEGER NOT NULL CHECK (recovery >= 0), -- codes that are left
    last_step      INTEGER NOT NULL CHECK (last_step >= 0), -- of the last code that was used
    failed         INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0),
    failed_at      INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TRIGGER authenticator_forward BEFORE UPDATE ON authenticator
WHEN NEW.enrolled IS NOT OLD.enrolled OR NEW.enrolled_by IS NOT OLD.enrolled_by
    OR NEW.last_step < OLD.last_step OR NEW.recovery > OLD.recovery
BEGIN
    SELECT RAISE(ABORT, 'a used code stays used');
END;

-- Tasks: calls that wait for a person, run, or ended.

CREATE TABLE tasks (
    id             TEXT    NOT NULL PRIMARY KEY,
    state          TEXT    NOT NULL CHECK (state IN ('pending-approval', 'approved', 'executing', 'completed',
                       'failed', 'denied', 'expired', 'cancelled', 'interrupted')),
    tool           TEXT    NOT NULL,
    call           TEXT    NOT NULL,
    decision       TEXT    NOT NULL,
    principal      TEXT    NOT NULL,
    session        TEXT    NOT NULL,
    client         TEXT    NOT NULL,
    directory      TEXT    NOT NULL,
    binding        TEXT    NOT NULL,
    asked          INTEGER NOT NULL,
    expires        INTEGER NOT NULL,
    changed        INTEGER NOT NULL,
    note           TEXT,
    result         TEXT,
    error          TEXT,
    repeats        TEXT -- the task that a person asked anew with this one
) STRICT;

-- The same call of the same principal waits once.
CREATE UNIQUE INDEX tasks_waiting ON tasks (principal, binding) WHERE state = 'pending-approval';
CREATE INDEX tasks_waiting_of_session ON tasks (session) WHERE state = 'pending-approval';
CREATE INDEX tasks_by_expiry ON tasks (state, expires);
CREATE INDEX tasks_repeating ON tasks (repeats) WHERE repeats IS NOT NULL;
-- Lists are read from the newest on: of a principal, of a state, of all.
CREATE INDEX tasks_of_principal ON tasks (principal, asked);
CREATE INDEX tasks_in_state ON tasks (state, asked, id);
CREATE INDEX tasks_by_age ON tasks (asked);

CREATE TRIGGER tasks_begin BEFORE INSERT ON tasks
WHEN NEW.state <> 'pending-approval'
BEGIN
    SELECT RAISE(ABORT, 'a task begins as pending-approval');
END;

CREATE TRIGGER tasks_transition BEFORE UPDATE ON tasks
WHEN NOT (
    (OLD.state = 'pending-approval' AND NEW.state IN ('approved', 'denied', 'expired', 'cancelled'))
    OR (OLD.state = 'approved' AND NEW.state IN ('executing', 'denied', 'expired', 'cancelled'))
    OR (OLD.state = 'executing' AND NEW.state IN ('completed', 'failed', 'interrupted'))
)
BEGIN
    SELECT RAISE(ABORT, 'a task cannot make this step');
END;

CREATE TRIGGER tasks_bound BEFORE UPDATE ON tasks
WHEN NEW.id IS NOT OLD.id OR NEW.tool IS NOT OLD.tool OR NEW.call IS NOT OLD.call
    OR NEW.decision IS NOT OLD.decision OR NEW.principal IS NOT OLD.principal
    OR NEW.session IS NOT OLD.session OR NEW.client IS NOT OLD.client
    OR NEW.directory IS NOT OLD.directory OR NEW.binding IS NOT OLD.binding
    OR NEW.asked IS NOT OLD.asked OR NEW.repeats IS NOT OLD.repeats
BEGIN
    SELECT RAISE(ABORT, 'what a task asks cannot change');
END;

CREATE TRIGGER tasks_stay BEFORE DELETE ON tasks
WHEN OLD.state IN ('pending-approval', 'approved', 'executing')
BEGIN
    SELECT RAISE(ABORT, 'an open task stays');
END;

-- Approvals of calls that take those of several people, one for each person.
CREATE TABLE votes (
    task           TEXT    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    user           INTEGER NOT NULL CHECK (user > 0), -- on Telegram
    binding        TEXT    NOT NULL, -- the task's, when it was given: it counts for nothing else
    voted          INTEGER NOT NULL,
    PRIMARY KEY (task, user)
) STRICT, WITHOUT ROWID;

-- Finished tasks whose outcome an agent has fetched.
CREATE TABLE seen_tasks (
    task           TEXT    NOT NULL PRIMARY KEY REFERENCES tasks (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- What a person denied, so that the same call does not ask again at once.
CREATE TABLE denials (
    principal      TEXT    NOT NULL,
    call           TEXT    NOT NULL, -- keyed digest of tool, method and canonical arguments
    task           TEXT    NOT NULL,
    denied         INTEGER NOT NULL,
    PRIMARY KEY (principal, call)
) STRICT;

-- The audit: how far each segment had come when it was last looked at.

CREATE TABLE checkpoints (
    segment        TEXT    NOT NULL PRIMARY KEY, -- the file's name
    seq            INTEGER NOT NULL CHECK (seq >= 0),
    hash           TEXT    NOT NULL CHECK (length(hash) = 64),
    length         INTEGER NOT NULL CHECK (length >= 0), -- where that record ends in the file, in bytes
    problem        TEXT, -- what was once found wrong with it
    removed        INTEGER, -- when it was removed because it was old
    -- Whether its process is gone, and every call in it has its outcome or a record that it has none.
    settled        INTEGER NOT NULL DEFAULT 0 CHECK (settled IN (0, 1))
) STRICT;

CREATE TRIGGER checkpoints_only_grow BEFORE UPDATE ON checkpoints
WHEN NEW.segment IS NOT OLD.segment OR NEW.seq < OLD.seq OR NEW.length < OLD.length
    OR (OLD.problem IS NOT NULL AND NEW.problem IS NOT OLD.problem) OR NEW.settled < OLD.settled
BEGIN
    SELECT RAISE(ABORT, 'a checkpoint only grows, and a problem stays');
END;

-- A segment with a problem is never removed by its age, and a removed one stays as it was.
CREATE TRIGGER checkpoints_removed_once BEFORE UPDATE ON checkpoints
WHEN (OLD.removed IS NULL AND NEW.removed IS NOT NULL AND NEW.problem IS NOT NULL)
    OR (OLD.removed IS NOT NULL AND (NEW.removed IS NOT OLD.removed OR NEW.seq IS NOT OLD.seq
        OR NEW.hash IS NOT OLD.hash OR NEW.length IS NOT OLD.length OR NEW.problem IS NOT OLD.problem))
BEGIN
    SELECT RAISE(ABORT, 'only a whole segment is removed by its age, and then for good');
END;

CREATE TRIGGER checkpoints_begin_there BEFORE INSERT ON checkpoints
WHEN NEW.removed IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'a segment that is not known cannot be removed');
END;

CREATE TRIGGER checkpoints_stay BEFORE DELETE ON checkpoints
BEGIN
    SELECT RAISE(ABORT, 'a checkpoint stays');
END;

-- The outbox: what people must be told, and how far each channel has told it.

CREATE TABLE notices (
    seq            INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, -- never used again
    at             INTEGER NOT NULL,
    task           TEXT, -- the task that it is about, if it is about one
    channel        TEXT, -- the one channel that it is for; none for all
    notice         TEXT NOT NULL
) STRICT;

CREATE INDEX notices_of_task ON notices (task, seq) WHERE task IS NOT NULL;

CREATE TABLE channels (
    name           TEXT    NOT NULL PRIMARY KEY,
    acknowledged   INTEGER NOT NULL CHECK (acknowledged >= 0) -- the last notice that it told
) STRICT;

CREATE TRIGGER channels_only_advance BEFORE UPDATE ON channels
WHEN NEW.name IS NOT OLD.name OR NEW.acknowledged < OLD.acknowledged
BEGIN
    SELECT RAISE(ABORT, 'a channel only advances');
END;

CREATE TABLE outbox (
    only           INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    removed        INTEGER NOT NULL -- the last notice of those that were removed
) STRICT;

INSERT INTO outbox (only, removed) VALUES (1, 0);

-- Telegram: who is paired, and which updates and messages are done. Bots, chats, users and messages are their numbers.

CREATE TABLE telegram_pairing (
    only           INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    bot            INTEGER NOT NULL,
    address        TEXT    NOT NULL, -- where the Bot API is; empty for Telegram's own
    user           INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    made           INTEGER NOT NULL
) STRICT;

-- An update is acted on once: its number is stored with what it does.
CREATE TABLE telegram_updates (
    bot            INTEGER NOT NULL,
    number         INTEGER NOT NULL,
    at             INTEGER NOT NULL,
    PRIMARY KEY (bot, number)
) STRICT, WITHOUT ROWID;

-- A message that Telegram confirmed, with its cause: it is not sent again.
CREATE TABLE telegram_sent (
    bot            INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    cause          TEXT    NOT NULL,
    message        INTEGER NOT NULL,
    at             INTEGER NOT NULL,
    PRIMARY KEY (bot, chat, cause)
) STRICT, WITHOUT ROWID;

-- A group that became a supergroup: the configuration names it by the number that it had.
CREATE TABLE telegram_moves (
    bot            INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    became         INTEGER NOT NULL CHECK (became < 0 AND became <> chat),
    at             INTEGER NOT NULL,
    PRIMARY KEY (bot, chat)
) STRICT, WITHOUT ROWID;

-- In which chats a bot's menu of commands is, so that it goes where the bot serves no person any more.
CREATE TABLE telegram_menus (
    bot            INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    PRIMARY KEY (bot, chat)
) STRICT, WITHOUT ROWID;

-- Which topic of a group is a project's.
CREATE TABLE telegram_topics (
    bot            INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    project        TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    topic          INTEGER, -- its number, once Telegram made it
    made           INTEGER NOT NULL,
    PRIMARY KEY (bot, chat, project),
    UNIQUE (bot, chat, name)
) STRICT, WITHOUT ROWID;

-- A button is below the message that was sent for its cause (telegram_sent), in one chat, for one person.
CREATE TABLE telegram_buttons (
    key            BLOB    NOT NULL PRIMARY KEY CHECK (length(key) = 32), -- BLAKE3 of what it carries
    bot            INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    user           INTEGER NOT NULL,
    cause          TEXT    NOT NULL,
    task           TEXT, -- none where it is about several
    act            TEXT    NOT NULL, -- what it does, as JSON
    made           INTEGER NOT NULL,
    steps          INTEGER NOT NULL DEFAULT 0 CHECK (steps BETWEEN 0 AND 2), -- of what it does, how much is done
    pressed_by     INTEGER CHECK ((pressed_by IS NULL) = (steps = 0)), -- the press, by its update's number
    pressed        INTEGER, -- when that press was first taken up, so that a grant counts from then
    pressed_boot   INTEGER
) STRICT;

CREATE INDEX telegram_buttons_under ON telegram_buttons (bot, chat, cause);

CREATE TRIGGER telegram_buttons_once BEFORE UPDATE ON telegram_buttons
WHEN NEW.steps <> OLD.steps + 1 OR (OLD.steps > 0 AND NEW.pressed_by IS NOT OLD.pressed_by)
    OR (OLD.steps > 0 AND (NEW.pressed IS NOT OLD.pressed OR NEW.pressed_boot IS NOT OLD.pressed_boot))
    OR NEW.key IS NOT OLD.key OR NEW.bot IS NOT OLD.bot OR NEW.chat IS NOT OLD.chat
    OR NEW.user IS NOT OLD.user OR NEW.cause IS NOT OLD.cause OR NEW.task IS NOT OLD.task
    OR NEW.act IS NOT OLD.act OR NEW.made IS NOT OLD.made
BEGIN
    SELECT RAISE(ABORT, 'a button is used once, by one press');
END;

-- Messages that are redrawn. `version` counts what is to be shown, `drawn` is the version that the chat shows.

-- What is shown of each task.
CREATE TABLE telegram_cards (
    bot            INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    task           TEXT    NOT NULL,
    made           INTEGER NOT NULL,
    list           TEXT, -- the cause of the list that it is in, when there were many at once
    own_message    INTEGER NOT NULL CHECK (own_message IN (0, 1)),
    view           TEXT    NOT NULL DEFAULT '"card"', -- which view is open, as JSON
    page           INTEGER NOT NULL DEFAULT 0,
    was_read       INTEGER NOT NULL DEFAULT 0 CHECK (was_read IN (0, 1)), -- whether its document was asked for
    decided_by     TEXT,
    decided        INTEGER,
    version        INTEGER NOT NULL DEFAULT 1,
    drawn          INTEGER NOT NULL DEFAULT 0 CHECK (drawn <= version),
    PRIMARY KEY (bot, chat, task)
) STRICT, WITHOUT ROWID;

-- Lists of what was asked at once.
CREATE TABLE telegram_lists (
    bot            INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    cause          TEXT    NOT NULL,
    made           INTEGER NOT NULL,
    version        INTEGER NOT NULL DEFAULT 1,
    drawn          INTEGER NOT NULL DEFAULT 0 CHECK (drawn <= version),
    PRIMARY KEY (bot, chat, cause)
) STRICT, WITHOUT ROWID;

-- Messages that tell what ran without asking, and have buttons.
CREATE TABLE telegram_notices (
    bot            INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    cause          TEXT    NOT NULL,
    made           INTEGER NOT NULL,
    content        TEXT    NOT NULL, -- what it tells, as JSON
    page           INTEGER, -- which page of its tools is open; none: the message itself
    version        INTEGER NOT NULL DEFAULT 1,
    drawn          INTEGER NOT NULL DEFAULT 1 CHECK (drawn <= version),
    PRIMARY KEY (bot, chat, cause)
) STRICT, WITHOUT ROWID;

-- What terminals asked a person to confirm on Telegram. A question is stored before its message is sent, so that none is
-- lost from the counts, however the process ends. The number that confirms it is nowhere in here.
CREATE TABLE remote_confirmations (
    id             INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    bot            INTEGER NOT NULL,
    chat           INTEGER NOT NULL,
    about          TEXT    NOT NULL, -- what was asked for, in words and concealed
    made           INTEGER NOT NULL,
    ended          TEXT CHECK (ended IN ('done', 'failed', 'changed', 'refused', 'wrong', 'expired', 'gone',
                                         'restarted', 'unsent')), -- none while it waits
    ended_at       INTEGER CHECK ((ended_at IS NULL) = (ended IS NULL)),
    answered_by    INTEGER, -- the user who tapped
    drawn          INTEGER NOT NULL DEFAULT 0 CHECK (drawn IN (0, 1)) -- whether its message says how it ended
) STRICT;

CREATE INDEX remote_confirmations_made ON remote_confirmations (made);

CREATE TRIGGER remote_confirmations_end_once BEFORE UPDATE ON remote_confirmations
WHEN OLD.ended IS NOT NULL AND NEW.ended IS NOT OLD.ended
BEGIN
    SELECT RAISE(ABORT, 'a question ends once');
END;
