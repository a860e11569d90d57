//! Tasks: each transition is one compare-and-swap statement, which also decides whether the task has expired.

use jiff::{SignedDuration, Timestamp};
use portero::anonymize::Fake;
use portero::json::RawJson;
use portero::names::{Principal, SessionId, TaskId};
use portero::policy::Vote;
use portero::task::{CallOrigin, FinishedTask, Task, TaskCursor, TaskState, UnseenTasks};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, named_params, params};

use super::StoreError;
use super::buttons::ButtonUse;
use super::columns::{from_json, from_nanos, from_plain, to_nanos};

const TASK_COLUMNS: &str = "id, state, call, decision, principal, session, client, directory, binding, asked, \
                       expires, changed, note, result, error, repeats, child, fresh";
/// The columns without the potentially large ones, for the same function.
const TASK_SUMMARY_COLUMNS: &str = "id, state, call, decision, principal, session, client, directory, binding, asked, \
                     expires, changed, note, NULL, NULL, repeats, child, fresh";

/// The most bytes of calls in one list.
const MAX_LIST_BYTES: usize = portero::ipc::MAX_FRAME_BYTES / 2;

/// The most tasks found by a part of an id. A part with more matches is too short to identify one.
const MAX_FOUND: u32 = 1000;

/// A filter for lists of tasks.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    /// Only tasks of this principal.
    pub principal: Option<Principal>,
    /// Only tasks in this state.
    pub state: Option<TaskState>,
    /// Only tasks after this position.
    pub after: Option<TaskCursor>,
    /// The most tasks to return, the newest first.
    pub limit: u32,
}

/// A transition of one task.
#[derive(Debug, Clone)]
pub(crate) struct TransitionRequest {
    /// The task.
    pub(crate) id: TaskId,
    /// The states from which it is possible.
    pub(crate) from: &'static [TaskState],
    /// The new state.
    pub(crate) to: TaskState,
    /// The present time.
    pub(crate) now: Timestamp,
    /// Whether it fails for an expired task.
    pub(crate) must_be_alive: bool,
    /// The new expiry, if it changes.
    pub(crate) expires: Option<Timestamp>,
    /// The principal to whom the task must belong.
    pub(crate) principal: Option<Principal>,
    /// The note to store.
    pub(crate) note: Option<Fake<String>>,
    /// Whether the same call is refused for the cool-down.
    pub(crate) deny_cooldown: bool,
    /// The button of this act, used up in the same transaction.
    pub(crate) consumes: Option<ButtonUse>,
    /// Whether a person agrees that it runs in another process than the one that its session uses.
    pub(crate) fresh: bool,
    /// The server's `result`.
    pub(crate) result: Option<Fake<RawJson>>,
    /// The server's `error`.
    pub(crate) error: Option<Fake<RawJson>>,
}

/// The result of a [`TransitionRequest`].
#[derive(Debug)]
pub(crate) enum Transition {
    /// The transition was made.
    Done(Box<Task>),
    /// The task had expired, and is marked as expired now.
    Expired(Box<Task>),
    /// The task is in another state.
    WrongState(TaskState),
    /// There is no such task, or it is another principal's.
    NotFound,
}

impl TransitionRequest {
    pub(crate) const fn new(id: TaskId, from: &'static [TaskState], to: TaskState, now: Timestamp) -> Self {
        Self {
            id,
            from,
            to,
            now,
            must_be_alive: false,
            expires: None,
            principal: None,
            note: None,
            deny_cooldown: false,
            consumes: None,
            fresh: false,
            result: None,
            error: None,
        }
    }
}

/// How far in the future a task's last change may lie, because clocks are adjusted by small steps.
const MAX_CLOCK_AHEAD: SignedDuration = SignedDuration::from_hours(1);

/// Whether a waiting task is overdue. A task also counts as overdue if the wall clock was set back before its
/// last change, because the time that it waited is then unknown.
pub(crate) fn is_expired(task: &Task, now: Timestamp) -> bool {
    task.expires <= now || task.changed > latest_plausible(now)
}

fn latest_plausible(now: Timestamp) -> Timestamp {
    now.checked_add(MAX_CLOCK_AHEAD).unwrap_or(Timestamp::MAX)
}

/// Makes a transition, or returns why not. Of several concurrent ones exactly one succeeds. Fails if its
/// button was used already; then the whole transaction must be rolled back.
pub(crate) fn transition(
    connection: &Connection,
    step: &TransitionRequest,
) -> Result<Transition, StoreError> {
    // Each attempt names one starting state, so a later caller changes no row. A task that is approved
    // between two attempts is found by the next one.
    for from in step.from {
        if let Some(task) = try_transition(connection, step, *from)? {
            if let Some(button) = &step.consumes {
                button.consume(connection)?;
            }
            return Ok(Transition::Done(Box::new(task)));
        }
    }
    let Some(task) = get_task(connection, step.id, step.principal.as_ref())? else {
        return Ok(Transition::NotFound);
    };
    // A transition that came too late finds the reason here. The expiry is stored at once instead of by the
    // timer.
    if is_expired(&task, step.now) && task.state.can_transition_to(TaskState::Expired) {
        let expiry = TransitionRequest::new(step.id, &[], TaskState::Expired, step.now);
        if let Some(task) = try_transition(connection, &expiry, task.state)? {
            return Ok(Transition::Expired(Box::new(task)));
        }
    }
    Ok(Transition::WrongState(task.state))
}

/// Marks an overdue task as expired. The request has no starting state, so [`transition`] can only expire it.
pub(crate) fn expire_task(
    connection: &Connection,
    id: TaskId,
    now: Timestamp,
) -> Result<Transition, StoreError> {
    transition(connection, &TransitionRequest::new(id, &[], TaskState::Expired, now))
}

fn try_transition(
    connection: &Connection,
    step: &TransitionRequest,
    from: TaskState,
) -> Result<Option<Task>, StoreError> {
    let sql = format!(
        "UPDATE tasks SET state = :to, changed = :now, expires = coalesce(:expires, expires),
             note = coalesce(:note, note), result = :result, error = :error, fresh = fresh OR :fresh
         WHERE id = :id AND state = :from AND (NOT :alive OR (expires > :now AND changed <= :latest))
             AND (:principal IS NULL OR principal = :principal)
         RETURNING {TASK_COLUMNS}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let changed = statement.query_row(
        named_params! {
            ":id": step.id.to_string(),
            ":from": from.as_str(),
            ":to": step.to.as_str(),
            ":now": to_nanos(step.now),
            ":alive": step.must_be_alive,
            ":fresh": step.fresh,
            ":latest": to_nanos(latest_plausible(step.now)),
            ":expires": step.expires.map(to_nanos),
            ":principal": step.principal.as_ref().map(Principal::as_str),
            ":note": step.note.as_ref().map(Fake::get),
            ":result": step.result.as_ref().map(|json| json.get().get()),
            ":error": step.error.as_ref().map(|json| json.get().get()),
        },
        task_from_row,
    );
    let Some(changed) = changed.optional()? else { return Ok(None) };
    Ok(Some(Task { votes: votes_of_task(connection, step.id)?, ..changed }))
}

/// Inserts a new task.
pub(crate) fn insert_task(connection: &Connection, task: &Task) -> Result<(), StoreError> {
    let directory = task.origin.directory.to_str();
    let directory = directory.ok_or_else(|| StoreError::Refused("the directory is not UTF-8".to_owned()))?;
    let call = portero::json::serialize_raw(&task.call);
    let decision = portero::json::serialize_raw(&task.decision);
    connection
        .prepare_cached(
            "INSERT INTO tasks (id, state, tool, call, decision, principal, session, client, directory,
                 binding, asked, expires, changed, repeats, child)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute(params![
            task.id.to_string(),
            task.state.as_str(),
            task.call.tool.to_string(),
            call.get(),
            decision.get(),
            task.origin.principal.as_str(),
            task.origin.session.to_string(),
            task.origin.client.get(),
            directory,
            task.binding,
            to_nanos(task.asked),
            to_nanos(task.expires),
            to_nanos(task.changed),
            task.repeats.map(|task| task.to_string()),
            task.child.as_ref().map(|child| portero::json::serialize_raw(child).get().to_owned()),
        ])?;
    Ok(())
}

/// One task with all fields. With a principal, only that principal's tasks are found.
pub(crate) fn get_task(
    connection: &Connection,
    id: TaskId,
    principal: Option<&Principal>,
) -> Result<Option<Task>, StoreError> {
    let sql = format!("SELECT {TASK_COLUMNS} FROM tasks WHERE id = ?1 AND (?2 IS NULL OR principal = ?2)");
    let found = connection
        .prepare_cached(&sql)?
        .query_row(params![id.to_string(), principal.map(Principal::as_str)], task_from_row)
        .optional()?;
    let Some(found) = found else { return Ok(None) };
    Ok(Some(Task { repeated: find_repeat(connection, id)?, votes: votes_of_task(connection, id)?, ..found }))
}

/// The last task that repeats this one.
fn find_repeat(connection: &Connection, id: TaskId) -> Result<Option<TaskId>, StoreError> {
    let sql = "SELECT id FROM tasks WHERE repeats = ?1 ORDER BY asked DESC, id DESC LIMIT 1";
    let found = connection
        .prepare_cached(sql)?
        .query_row([id.to_string()], |row| from_plain(0, row.get_ref(0)?.as_str()?));
    Ok(found.optional()?)
}

/// The state of one task. With a principal, only that principal's tasks are found.
pub(crate) fn task_state(
    connection: &Connection,
    id: TaskId,
    principal: Option<&Principal>,
) -> Result<Option<TaskState>, StoreError> {
    let found = connection
        .prepare_cached("SELECT state FROM tasks WHERE id = ?1 AND (?2 IS NULL OR principal = ?2)")?
        .query_row(params![id.to_string(), principal.map(Principal::as_str)], |row| {
            from_plain(0, row.get_ref(0)?.as_str()?)
        });
    Ok(found.optional()?)
}

/// The identical waiting call of this principal, which may be overdue without being marked.
pub(crate) fn find_duplicate(
    connection: &Connection,
    principal: &Principal,
    binding: &str,
) -> Result<Option<Task>, StoreError> {
    let sql = format!(
        "SELECT {TASK_COLUMNS} FROM tasks WHERE principal = ?1 AND binding = ?2 AND state = 'pending-approval'"
    );
    let found =
        connection.prepare_cached(&sql)?.query_row(params![principal.as_str(), binding], task_from_row);
    Ok(found.optional()?)
}

/// The numbers of tasks that wait for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WaitingCounts {
    /// In one session.
    pub(crate) session: u64,
    /// Of one principal.
    pub(crate) principal: u64,
    /// In total.
    pub(crate) all: u64,
}

/// The numbers of waiting tasks of a session, of a principal, and in total. An index exists for each count.
pub(crate) fn count_waiting(
    connection: &Connection,
    session: SessionId,
    principal: &Principal,
) -> Result<WaitingCounts, StoreError> {
    let count = |whose: &str, value: &str| {
        let sql = format!("SELECT count(*) FROM tasks WHERE state = 'pending-approval' AND {whose} = ?1");
        connection.prepare_cached(&sql)?.query_row([value], |row| row.get(0))
    };
    Ok(WaitingCounts {
        session: count("session", &session.to_string())?,
        principal: count("principal", principal.as_str())?,
        all: count_all_waiting(connection)?,
    })
}

/// The total number of tasks that wait for a person.
pub(crate) fn count_all_waiting(connection: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM tasks WHERE state = 'pending-approval'";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// The number of tasks by state, without empty states. An index exists for this count.
pub(crate) fn count_by_state(connection: &Connection) -> Result<Vec<(TaskState, u64)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT state, count(*) FROM tasks GROUP BY state")?;
    let rows = statement.query_map([], |row| Ok((from_plain(0, row.get_ref(0)?.as_str()?)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Tasks without results and errors, the newest first. Fewer than asked for are returned if their calls would
/// not fit into one answer.
pub(crate) fn list_tasks(connection: &Connection, which: &TaskFilter) -> Result<Vec<Task>, StoreError> {
    // Each of the four conditions has its own index. Unused parameters appear only because all of them must
    // be bound.
    let condition = match (&which.principal, which.state) {
        (None, None) => "?1 IS NULL AND ?2 IS NULL",
        (Some(_), None) => "principal = ?1 AND ?2 IS NULL",
        (None, Some(_)) => "?1 IS NULL AND state = ?2",
        (Some(_), Some(_)) => "principal = ?1 AND state = ?2",
    };
    let after = if which.after.is_some() { "(asked, id) < (?4, ?5)" } else { "?4 IS NULL AND ?5 IS NULL" };
    let sql = format!(
        "SELECT {TASK_SUMMARY_COLUMNS} FROM tasks WHERE {condition} AND {after} ORDER BY asked DESC, id DESC LIMIT ?3"
    );
    let principal = which.principal.as_ref().map(Principal::as_str);
    let state = which.state.map(TaskState::as_str);
    let mut statement = connection.prepare_cached(&sql)?;
    let after = which.after.map(|place| (to_nanos(place.asked), place.id.to_string()));
    let (asked, id) = after.unzip();
    let mut rows = statement.query(params![principal, state, which.limit, asked, id])?;
    let mut found = Vec::new();
    let mut length = 0;
    while let Some(row) = rows.next()? {
        let mut task = task_from_row(row)?;
        task.votes = votes_of_task(connection, task.id)?;
        length += task.call.params.get().get().len();
        if length > MAX_LIST_BYTES && !found.is_empty() {
            break;
        }
        found.push(task);
    }
    Ok(found)
}

/// The tasks whose ids begin or end with `part`, in upper or lower case, at most [`MAX_FOUND`].
pub(crate) fn find_by_id_part(
    connection: &Connection,
    part: &str,
) -> Result<Vec<(TaskId, TaskState)>, StoreError> {
    if part.is_empty() || !part.bytes().all(|letter| letter.is_ascii_hexdigit() || letter == b'-') {
        return Ok(Vec::new());
    }
    // The inner query scans the index of ids only, because `LIKE` must look at all of them.
    let sql = "SELECT id, state FROM tasks WHERE id IN
        (SELECT id FROM tasks WHERE id LIKE ?1 || '%' OR id LIKE '%' || ?1 LIMIT ?2)";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![part, MAX_FOUND], |row| {
        Ok((from_plain(0, row.get_ref(0)?.as_str()?)?, from_plain(1, row.get_ref(1)?.as_str()?)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The ids of tasks in a state, the one that expires first coming first.
pub(crate) fn ids_in_state(connection: &Connection, state: TaskState) -> Result<Vec<TaskId>, StoreError> {
    query_ids(connection, "SELECT id FROM tasks WHERE state = ?1 ORDER BY expires, id", [&state.as_str()])
}

/// The ids of overdue tasks ([`is_expired`]) that aren't marked so.
pub(crate) fn due_ids(connection: &Connection, now: Timestamp) -> Result<Vec<TaskId>, StoreError> {
    let sql = "SELECT id FROM tasks WHERE state IN ('pending-approval', 'approved')
               AND (expires <= ?1 OR changed > ?2)";
    query_ids(connection, sql, [&to_nanos(now), &to_nanos(latest_plausible(now))])
}

/// Removes tasks that ended before `before`, and returns their number.
pub(crate) fn prune_ended(connection: &Connection, before: Timestamp) -> Result<usize, StoreError> {
    let open = "'pending-approval', 'approved', 'executing'";
    let sql = format!("DELETE FROM tasks WHERE state NOT IN ({open}) AND changed < ?1");
    Ok(connection.execute(&sql, [to_nanos(before)])?)
}

/// The next expiry of a task.
pub(crate) fn next_expiry(connection: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT min(expires) FROM tasks WHERE state IN ('pending-approval', 'approved')";
    Ok(connection
        .prepare_cached(sql)?
        .query_row([], |row| row.get::<_, Option<i64>>(0)?.map(|at| from_nanos(0, at)).transpose())?)
}

/// Stores a person's vote, and returns whether it is their first for this task.
pub(crate) fn record_vote(
    connection: &Connection,
    task: &Task,
    user: u64,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let user =
        i64::try_from(user).map_err(|_| StoreError::Refused(format!("no user has the number {user}")))?;
    let sql = "INSERT INTO votes (task, user, binding, voted) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (task, user) DO NOTHING";
    let changed = connection.prepare_cached(sql)?.execute(params![
        task.id.to_string(),
        user,
        task.binding,
        to_nanos(now)
    ])?;
    Ok(changed == 1)
}

/// Keeps only these votes, by which the task was approved.
pub(crate) fn retain_votes(
    connection: &Connection,
    task: TaskId,
    settled: &[Vote],
) -> Result<(), StoreError> {
    for vote in votes_of_task(connection, task)?.iter().filter(|vote| !settled.contains(vote)) {
        let sql = "DELETE FROM votes WHERE task = ?1 AND user = ?2";
        connection.prepare_cached(sql)?.execute(params![task.to_string(), vote.user.cast_signed()])?;
    }
    Ok(())
}

/// The valid votes of a task in their order. A vote for another binding isn't valid.
pub(crate) fn votes_of_task(connection: &Connection, task: TaskId) -> Result<Vec<Vote>, rusqlite::Error> {
    let sql =
        "SELECT v.user, v.voted FROM votes AS v JOIN tasks AS t ON t.id = v.task AND t.binding = v.binding
               WHERE v.task = ?1 ORDER BY v.voted, v.user";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([task.to_string()], |row| {
        Ok(Vote { user: row.get::<_, i64>(0)?.unsigned_abs(), at: from_nanos(1, row.get(1)?)? })
    })?;
    rows.collect()
}

/// The finished tasks of a principal whose outcome no agent has fetched. Cancelled tasks are left out,
/// because the agent cancelled them itself.
const FROM_UNSEEN: &str = "FROM tasks WHERE principal = ?1
    AND state IN ('completed', 'failed', 'denied', 'expired', 'interrupted')
    AND NOT EXISTS (SELECT 1 FROM seen_tasks WHERE seen_tasks.task = tasks.id)";

/// The number of finished tasks that no agent has fetched, and the last of them.
pub(crate) fn unseen_tasks(
    connection: &Connection,
    principal: &Principal,
) -> Result<UnseenTasks, StoreError> {
    let count = connection
        .prepare_cached(&format!("SELECT count(*) {FROM_UNSEEN}"))?
        .query_row([principal.as_str()], |row| row.get(0))?;
    let sql = format!("SELECT id, tool, state {FROM_UNSEEN} ORDER BY changed DESC, id DESC LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![principal.as_str(), UnseenTasks::MAX_LISTED], |row| {
        Ok(FinishedTask {
            task: from_plain(0, row.get_ref(0)?.as_str()?)?,
            tool: from_plain(1, row.get_ref(1)?.as_str()?)?,
            state: from_plain(2, row.get_ref(2)?.as_str()?)?,
        })
    })?;
    Ok(UnseenTasks { count, last: rows.collect::<Result<_, _>>()? })
}

/// Of these tasks of a principal those that finished and weren't fetched, in their order.
pub(crate) fn unseen_among(
    connection: &Connection,
    principal: &Principal,
    tasks: &[TaskId],
) -> Result<Vec<FinishedTask>, StoreError> {
    let sql = format!("SELECT tool, state {FROM_UNSEEN} AND id = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut unseen = Vec::new();
    for task in tasks {
        let found = statement
            .query_row(params![principal.as_str(), task.to_string()], |row| {
                let tool = from_plain(0, row.get_ref(0)?.as_str()?)?;
                Ok(FinishedTask { task: *task, tool, state: from_plain(1, row.get_ref(1)?.as_str()?)? })
            })
            .optional()?;
        unseen.extend(found);
    }
    Ok(unseen)
}

/// Whether an agent has fetched a task's outcome.
pub(crate) fn is_seen(connection: &Connection, task: TaskId) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM seen_tasks WHERE task = ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([task.to_string()], |row| row.get(0))?)
}

/// Marks a task's outcome as fetched.
pub(crate) fn mark_seen(connection: &Connection, task: TaskId) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO seen_tasks (task) SELECT id FROM tasks WHERE id = ?1")?
        .execute([task.to_string()])?;
    Ok(())
}

fn query_ids(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<TaskId>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| from_plain(0, row.get_ref(0)?.as_str()?))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn task_from_row(row: &Row<'_>) -> rusqlite::Result<Task> {
    let raw = |column: usize| -> rusqlite::Result<Option<Fake<RawJson>>> {
        row.get_ref(column)?.as_str_or_null()?.map(|text| from_json(column, text)).transpose()
    };
    Ok(Task {
        id: from_plain(0, row.get_ref(0)?.as_str()?)?,
        state: from_plain(1, row.get_ref(1)?.as_str()?)?,
        call: from_json(2, row.get_ref(2)?.as_str()?)?,
        decision: from_json(3, row.get_ref(3)?.as_str()?)?,
        origin: CallOrigin {
            principal: from_plain(4, row.get_ref(4)?.as_str()?)?,
            session: from_plain(5, row.get_ref(5)?.as_str()?)?,
            agent_session: None,
            client: from_plain(6, row.get_ref(6)?.as_str()?)?,
            directory: row.get::<_, String>(7)?.into(),
        },
        binding: row.get(8)?,
        asked: from_nanos(9, row.get(9)?)?,
        expires: from_nanos(10, row.get(10)?)?,
        changed: from_nanos(11, row.get(11)?)?,
        note: row.get_ref(12)?.as_str_or_null()?.map(|text| from_plain(12, text)).transpose()?,
        result: raw(13)?,
        error: raw(14)?,
        repeats: row.get_ref(15)?.as_str_or_null()?.map(|text| from_plain(15, text)).transpose()?,
        repeated: None,
        child: row.get_ref(16)?.as_str_or_null()?.map(|text| from_json(16, text)).transpose()?,
        fresh: row.get(17)?,
        votes: Vec::new(),
        quorums: Vec::new(),
    })
}
