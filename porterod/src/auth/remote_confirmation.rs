//! Questions of a terminal that a person answers on their phone, in place of the passphrase (guarantee A7).
//!
//! An agent has the same user's shell, so it can ask too, even at the moment at which the person expects
//! their own question. The phone therefore shows three numbers, and the terminal the right one. A person who
//! sees no number at their terminal refuses. The right number exists only in this process's memory and at
//! that terminal.
//!
//! One question is open at a time. A refused question, or several unanswered ones, end all questions for a
//! while. Only this module authorizes the asked act, by a press on the right number while the question is open.

mod numbers;
mod preview;
mod question;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use portero::clock::Clock;
use portero::sync::lock;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::auth::authorization::{Authorization, Factor};
use crate::auth::buttons::{AnswerChoice, ButtonPress, ConfirmationAnswer};
use crate::journal::{AuditMode, Journal};
use crate::store::remote_confirmations::{self as kept, ConfirmationRow};
pub use crate::store::remote_confirmations::{
    ConfirmationEnd, ConfirmationHold, MAX_UNANSWERED, REFUSAL_COOLDOWN, UNANSWERED_WINDOW,
};
use crate::store::{Durability, StoreError};
pub use numbers::{NUMBER_COUNT, NumberChoices};
pub use preview::{ActOutcome, ActPreview};
pub use question::{AnswerOutcome, ConfirmationQuestion, ConfirmationRequest, RemoteConfirmationError};

/// The time in which an answer counts, on the boot clock.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// How often the deadline is checked; one long sleep would miss a suspended machine.
const DEADLINE_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// A question that waits for its answer.
#[derive(Debug)]
pub struct PendingConfirmation {
    /// The question.
    pub question: Arc<ConfirmationQuestion>,
    until: Duration,
    answer: oneshot::Receiver<Result<Authorization, ConfirmationEnd>>,
}

/// Asks questions and takes their answers.
pub struct RemoteConfirmations {
    journal: Arc<Journal>,
    clock: Arc<dyn Clock>,
    /// Its lock lets one question be asked at a time.
    turn: tokio::sync::Mutex<()>,
    slot: Mutex<ConfirmationSlot>,
    /// Counts the changes after which a message is drawn again.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct ConfirmationSlot {
    open: Option<OpenConfirmation>,
    /// The outcome of the last confirmed question.
    outcome: Option<(i64, ActOutcome)>,
}

struct OpenConfirmation {
    question: Arc<ConfirmationQuestion>,
    until: Duration,
    /// The first answer takes it, so a second one can't count.
    answer: Option<AnswerSender>,
    /// The person who gave the right answer.
    by: Option<i64>,
}

/// The effect of an answer.
enum AnswerVerdict {
    Outcome(AnswerOutcome),
    /// The question is not open.
    NotOpen,
    /// The answer ends the question.
    EndsQuestion(Arc<ConfirmationQuestion>, AnswerSender, ConfirmationEnd),
}

type AnswerSender = oneshot::Sender<Result<Authorization, ConfirmationEnd>>;

impl RemoteConfirmations {
    /// Makes the confirmations on this store.
    #[must_use]
    pub fn new(journal: Arc<Journal>, clock: Arc<dyn Clock>) -> Self {
        let (slot, changes) = (Mutex::default(), watch::Sender::new(0));
        Self { journal, clock, turn: tokio::sync::Mutex::default(), slot, changes }
    }

    /// Ends the questions that a former daemon left open.
    ///
    /// # Errors
    /// When the store can't be written.
    pub async fn end_leftover(&self) -> Result<(), StoreError> {
        let now = self.clock.now().wall;
        self.journal.store().write(Durability::StoreSynced, move |store| kept::end_leftover(store, now)).await
    }

    /// Returns why no question may be asked now; `None` if one may.
    ///
    /// # Errors
    /// When the store can't be read, or a needed write fails.
    pub async fn blocked_reason(&self) -> Result<Option<RemoteConfirmationError>, StoreError> {
        if let Some(open) = &self.lock_slot().open {
            return Ok(Some(RemoteConfirmationError::Busy(open.question.by.to_string())));
        }
        let now = self.clock.now().wall;
        // The clock was set back. A hold counts from now on, or it would last until the clock caught up.
        if self.journal.store().read(move |store| kept::is_ahead_of_clock(store, now))? {
            let by_now = move |store: &rusqlite::Connection| kept::clamp_to_now(store, now);
            self.journal.store().write(Durability::StoreSynced, by_now).await?;
        }
        let hold = self.journal.store().read(move |store| kept::current_hold(store, now))?;
        Ok(hold.map(|hold| RemoteConfirmationError::on_hold(hold, now)))
    }

    /// Asks the person. The question is on disk before a person sees it.
    ///
    /// # Errors
    /// See [`RemoteConfirmationError`].
    pub async fn ask_person(
        &self,
        asked: ConfirmationRequest,
    ) -> Result<PendingConfirmation, RemoteConfirmationError> {
        let _turn = self.turn.lock().await;
        if let Some(hindrance) = self.blocked_reason().await? {
            return Err(hindrance);
        }
        let ConfirmationRequest { act: wish, preview: sight, by, chat: place } = asked;
        let now = self.clock.now();
        let about = self.journal.conceal_text(&wish.to_string()).into_inner();
        let record = self.journal.act_record("ask on telegram", &about, true, Some(&by));
        let added = self.journal.change(AuditMode::Required, move |store| {
            // The hold is read again in the transaction, because another question may have ended meanwhile.
            match kept::current_hold(store, now.wall)? {
                Some(hold) => Ok((Err(hold), Vec::new())),
                None => Ok((Ok(kept::add_question(store, place, &about, now.wall)?), vec![record.clone()])),
            }
        });
        let id = added.await?.map_err(|hold| RemoteConfirmationError::on_hold(hold, now.wall))?;
        let (until, numbers) = (now.wall + ANSWER_TIMEOUT, NumberChoices::generate());
        let question = Arc::new(ConfirmationQuestion { id, act: wish, preview: sight, by, until, numbers });
        let (tell, answer) = oneshot::channel();
        let until = now.boot + ANSWER_TIMEOUT;
        self.lock_slot().open =
            Some(OpenConfirmation { question: Arc::clone(&question), until, answer: Some(tell), by: None });
        self.notify_changed();
        Ok(PendingConfirmation { question, until, answer })
    }

    /// Waits for the answer, and returns the proof or the end. After a proof the caller always calls
    /// [`RemoteConfirmations::settle_question`].
    ///
    /// # Errors
    /// The end of the question.
    pub async fn wait_for_answer(
        &self,
        waiting: PendingConfirmation,
        withdrawn: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<Authorization, ConfirmationEnd> {
        let PendingConfirmation { question, until, mut answer } = waiting;
        // An answer that is already there counts before any end: the person was faster.
        let end = tokio::select! {
            biased;
            answered = &mut answer => return answered.unwrap_or(Err(ConfirmationEnd::Restarted)),
            () = stop.cancelled() => ConfirmationEnd::Restarted,
            () = withdrawn.cancelled() => ConfirmationEnd::Gone,
            () = self.wait_for_deadline(until) => ConfirmationEnd::Expired,
        };
        if self.end_question(question.id, end).await {
            return Err(end);
        }
        // A press took the question between the two steps, so its answer counts.
        answer.await.unwrap_or(Err(ConfirmationEnd::Restarted))
    }

    /// Ends an unanswered question. Returns `false` if it was answered, or is over.
    pub async fn end_question(&self, id: i64, end: ConfirmationEnd) -> bool {
        let taken = {
            let mut slot = self.lock_slot();
            slot.open.take_if(|open| open.question.id == id && open.answer.is_some())
        };
        let Some(taken) = taken else { return false };
        self.store_end(id, (end, None)).await;
        if let Some(tell) = taken.answer {
            let _ = tell.send(Err(end));
        }
        true
    }

    /// Ends a confirmed question with its outcome.
    pub async fn settle_question(&self, id: i64, outcome: ActOutcome) {
        let end = outcome.end();
        let by = {
            let mut slot = self.lock_slot();
            let open = slot.open.take_if(|open| open.question.id == id);
            slot.outcome = Some((id, outcome));
            open.and_then(|open| open.by)
        };
        self.store_end(id, (end, by)).await;
    }

    /// Handles a press on one of the answers.
    ///
    /// # Errors
    /// When the store can't be read or written; the press may then come again.
    pub async fn handle_answer(
        &self,
        answered: ButtonPress<ConfirmationAnswer>,
    ) -> Result<AnswerOutcome, StoreError> {
        match self.judge_answer(&answered) {
            AnswerVerdict::Outcome(heard) => Ok(heard),
            AnswerVerdict::NotOpen => {
                self.find_end(answered.action().question).map(AnswerOutcome::AlreadyEnded)
            }
            AnswerVerdict::EndsQuestion(question, tell, end) => {
                let kept = self.store_answer(&question, end, &answered).await;
                // The question is over even if the store failed, so the terminal learns it.
                let _ = tell.send(Err(end));
                self.notify_changed();
                kept.map(|()| AnswerOutcome::EndedQuestion(end))
            }
        }
    }

    /// Takes the question's one answer, if this is it.
    fn judge_answer(&self, answered: &ButtonPress<ConfirmationAnswer>) -> AnswerVerdict {
        let ConfirmationAnswer { question: id, says } = *answered.action();
        let now = self.clock.now().boot;
        let mut slot = self.lock_slot();
        let Some(open) = slot.open.as_mut().filter(|open| open.question.id == id) else {
            return AnswerVerdict::NotOpen;
        };
        let Some(tell) = open.answer.take() else { return AnswerVerdict::Outcome(AnswerOutcome::UnderWay) };
        let question = Arc::clone(&open.question);
        let end = match says {
            // The timer may be late, so a late press is recognized here too.
            AnswerChoice::Number(_) | AnswerChoice::Refuse if now >= open.until => ConfirmationEnd::Expired,
            AnswerChoice::Number(place) if question.numbers.is_right(place) => {
                open.by = Some(answered.user());
                let factor = Factor::NumberMatch(answered.ticket().step(1));
                let actor = question.by.confirmed_by(answered.user());
                let sent = tell.send(Ok(Authorization::new(question.act.clone(), actor, vec![factor])));
                if sent.is_err() {
                    // The terminal is gone, so the act won't happen and another question may be asked.
                    slot.open = None;
                }
                let heard = sent.map_or(AnswerOutcome::AlreadyEnded(Some(ConfirmationEnd::Gone)), |()| {
                    AnswerOutcome::Matched
                });
                return AnswerVerdict::Outcome(heard);
            }
            AnswerChoice::Number(_) => ConfirmationEnd::Wrong,
            AnswerChoice::Refuse => ConfirmationEnd::Refused,
        };
        slot.open = None;
        AnswerVerdict::EndsQuestion(question, tell, end)
    }

    /// The open question, if it is this one.
    #[must_use]
    pub fn open_question(&self, id: i64) -> Option<Arc<ConfirmationQuestion>> {
        let slot = self.lock_slot();
        let open = slot.open.as_ref().filter(|open| open.question.id == id && open.answer.is_some());
        open.map(|open| Arc::clone(&open.question))
    }

    /// Whether this question was confirmed and its act is still running.
    #[must_use]
    pub fn is_under_way(&self, id: i64) -> bool {
        self.lock_slot().open.as_ref().is_some_and(|open| open.question.id == id && open.answer.is_none())
    }

    /// The outcome of this question; `None` if it ended before the daemon's start.
    #[must_use]
    pub fn outcome(&self, id: i64) -> Option<ActOutcome> {
        self.lock_slot().outcome.as_ref().filter(|(of, _)| *of == id).map(|(_, outcome)| outcome.clone())
    }

    /// Changes when a message is to be drawn again.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The questions in a chat whose message does not show their end yet, oldest first.
    pub(crate) fn undrawn_questions(&self, place: (i64, i64)) -> Result<Vec<ConfirmationRow>, StoreError> {
        self.journal.store().read(move |store| kept::undrawn_questions(store, place))
    }

    /// Notes whether the message of a question shows its end.
    pub(crate) async fn mark_drawn(&self, id: i64, drawn: bool) -> Result<(), StoreError> {
        self.journal
            .store()
            .write(Durability::StoreSynced, move |store| kept::set_drawn(store, id, drawn))
            .await?;
        if !drawn {
            self.notify_changed();
        }
        Ok(())
    }

    /// Ends a question in the store after it has ended in memory. A failure is logged, because memory
    /// decides.
    pub(crate) async fn store_end(&self, id: i64, end: (ConfirmationEnd, Option<i64>)) {
        let now = self.clock.now().wall;
        let ended = self
            .journal
            .store()
            .write(Durability::StoreSynced, move |store| kept::end_question(store, id, end, now))
            .await;
        if let Err(error) = ended {
            tracing::error!(%error, "how a question on Telegram ended could not be stored");
        }
        self.notify_changed();
    }

    /// Stores a refusal, wrong number or late press, in the transaction that uses the button up.
    async fn store_answer(
        &self,
        question: &ConfirmationQuestion,
        end: ConfirmationEnd,
        answered: &ButtonPress<ConfirmationAnswer>,
    ) -> Result<(), StoreError> {
        let (id, now) = (question.id, self.clock.now().wall);
        let about = self.journal.conceal_text(&format!("{}: {}", question.act, end.as_str())).into_inner();
        let (user, button) = (answered.user(), answered.ticket().step(1));
        let record = self.journal.act_record("answer on telegram", &about, false, Some(&answered.by()));
        self.journal
            .change(AuditMode::BestEffort, move |store| {
                button.consume(store)?;
                kept::end_question(store, id, (end, Some(user)), now)?;
                Ok(((), vec![record.clone()]))
            })
            .await
    }

    /// Returns when the deadline has passed.
    async fn wait_for_deadline(&self, until: Duration) {
        loop {
            let left = until.saturating_sub(self.clock.now().boot);
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(DEADLINE_CHECK_INTERVAL)).await;
        }
    }

    /// Returns the end of this question; `None` while it is open or if it is unknown.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn find_end(&self, id: i64) -> Result<Option<ConfirmationEnd>, StoreError> {
        let kept = self.journal.store().read(move |store| kept::find_question(store, id))?;
        Ok(kept.and_then(|kept| kept.end))
    }

    /// Notes that a message is to be drawn again.
    pub fn notify_changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn lock_slot(&self) -> MutexGuard<'_, ConfirmationSlot> {
        lock(&self.slot)
    }
}

impl std::fmt::Debug for RemoteConfirmations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteConfirmations").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
