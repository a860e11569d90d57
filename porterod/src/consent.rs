//! What a terminal asks a person to confirm on their phone, in place of the passphrase (guarantee A7).
//!
//! An agent has the same user's shell, so it can ask too, and at the very moment at which the person expects a
//! question of their own. So the phone shows three numbers, and the terminal the right one: whoever holds the phone
//! and sees no number at a terminal of theirs refuses. Which number is right is in this process's memory and on that
//! terminal, and nowhere else.
//!
//! One question is open at a time; one that was refused, or that several had no answer, ends all for a while.
//! [`Consented`], which confirms an act, is made here alone: from a tap on the right number, while the question is
//! open.

mod numbers;
mod question;
mod wish;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portero::clock::Clock;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::journal::{Journal, Weight};
use crate::store::consents::{self as kept, Kept};
pub use crate::store::consents::{COUNTED_FOR, End, HELD_FOR, Hold, UNANSWERED_MOST};
use crate::store::{Records, StoreError};
use crate::taps::{Answer, Answered, Says, Ticket};
pub use numbers::{NUMBERS, Numbers};
pub use question::{Asked, ConsentError, Heard, Question};
pub use wish::{Outcome, Sight, Wish};

/// How long an answer is waited for, on the boot clock.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked whether the time is over, since clocks may be set meanwhile.
const LOOK: Duration = Duration::from_millis(500);

/// Proof that the person tapped the number that the terminal showed, for this and nothing else.
#[derive(Debug)]
pub struct Consented {
    question: Arc<Question>,
    ticket: Ticket,
    user: i64,
}

impl Consented {
    /// What they consented to.
    #[must_use]
    pub fn wish(&self) -> &Wish {
        &self.question.wish
    }

    /// Who asked and who confirmed, in the words of the audit.
    #[must_use]
    pub fn by(&self) -> String {
        format!("{}, confirmed by telegram user {}", self.question.by, self.user)
    }

    pub(crate) const fn ticket(&self) -> &Ticket {
        &self.ticket
    }
}

/// A question that waits for its answer.
#[derive(Debug)]
pub struct Waiting {
    /// What was asked.
    pub question: Arc<Question>,
    until: Duration,
    answer: oneshot::Receiver<Result<Consented, End>>,
}

/// Asks, and takes the answers.
pub struct Consents {
    journal: Arc<Journal>,
    clock: Arc<dyn Clock>,
    /// One is asked at a time.
    turn: tokio::sync::Mutex<()>,
    slot: Mutex<Slot>,
    /// Counts what is to be drawn anew.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Slot {
    open: Option<Open>,
    /// What came of the last one that was confirmed.
    outcome: Option<(i64, Outcome)>,
}

struct Open {
    question: Arc<Question>,
    until: Duration,
    /// Taken by the first answer.
    answer: Option<Tell>,
    /// Who gave it, once it is the right one.
    by: Option<i64>,
}

/// What to do about a tap.
enum Verdict {
    Heard(Heard),
    /// Its question is not open.
    Unknown,
    /// It ends the question.
    Ends(Arc<Question>, Tell, End),
}

type Tell = oneshot::Sender<Result<Consented, End>>;

impl Consents {
    /// On this store.
    #[must_use]
    pub fn new(journal: Arc<Journal>, clock: Arc<dyn Clock>) -> Self {
        let (slot, changes) = (Mutex::default(), watch::Sender::new(0));
        Self { journal, clock, turn: tokio::sync::Mutex::default(), slot, changes }
    }

    /// Ends what a former daemon left open.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn recover(&self) -> Result<(), StoreError> {
        let now = self.clock.now().wall;
        self.journal.store().write(Records::None, move |store| kept::recover(store, now)).await
    }

    /// Why nothing may be asked now.
    ///
    /// # Errors
    /// When the store cannot be read, or must be written and cannot be.
    pub async fn hindrance(&self) -> Result<Option<ConsentError>, StoreError> {
        if let Some(open) = &self.slot().open {
            return Ok(Some(ConsentError::Busy(open.question.by.clone())));
        }
        let now = self.clock.now().wall;
        if self.journal.store().read(move |store| kept::is_ahead(store, now))? {
            let by_now = move |store: &rusqlite::Connection| kept::made_by_now(store, now);
            self.journal.store().write(Records::None, by_now).await?;
        }
        let hold = self.journal.store().read(move |store| kept::hold(store, now))?;
        Ok(hold.map(|hold| ConsentError::held(hold, now)))
    }

    /// Asks. That it was asked is on disk before anybody sees it.
    ///
    /// # Errors
    /// See [`ConsentError`].
    pub async fn ask(&self, asked: Asked) -> Result<Waiting, ConsentError> {
        let _turn = self.turn.lock().await;
        if let Some(hindrance) = self.hindrance().await? {
            return Err(hindrance);
        }
        let Asked { wish, sight, by, place } = asked;
        let now = self.clock.now();
        let about = self.journal.words(&wish.to_string()).into_inner();
        let record = self.journal.act("ask on telegram", &about, true, Some(&by));
        let added = self.journal.change(Weight::Strict, move |store| match kept::hold(store, now.wall)? {
            Some(hold) => Ok((Err(hold), Vec::new())),
            None => Ok((Ok(kept::add(store, place, &about, now.wall)?), vec![record.clone()])),
        });
        let id = added.await?.map_err(|hold| ConsentError::held(hold, now.wall))?;
        let (until, numbers) = (now.wall + PATIENCE, Numbers::fresh());
        let question = Arc::new(Question { id, wish, sight, by, until, numbers });
        let (tell, answer) = oneshot::channel();
        let until = now.boot + PATIENCE;
        self.slot().open =
            Some(Open { question: Arc::clone(&question), until, answer: Some(tell), by: None });
        self.touch();
        Ok(Waiting { question, until, answer })
    }

    /// Waits for the answer: the proof, or how it ended. Whoever gets the proof calls [`Consents::settle`] in any
    /// case.
    ///
    /// # Errors
    /// How it ended.
    pub async fn answer(
        &self,
        waiting: Waiting,
        withdrawn: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<Consented, End> {
        let Waiting { question, until, mut answer } = waiting;
        let end = tokio::select! {
            biased;
            answered = &mut answer => return answered.unwrap_or(Err(End::Restarted)),
            () = stop.cancelled() => End::Restarted,
            () = withdrawn.cancelled() => End::Gone,
            () = self.late(until) => End::Expired,
        };
        if self.end(question.id, end).await {
            return Err(end);
        }
        // A tap was faster.
        answer.await.unwrap_or(Err(End::Restarted))
    }

    /// Ends a question that nobody has answered. False when somebody has, or it is over.
    pub async fn end(&self, id: i64, end: End) -> bool {
        let taken = {
            let mut slot = self.slot();
            slot.open.take_if(|open| open.question.id == id && open.answer.is_some())
        };
        let Some(taken) = taken else { return false };
        self.keep(id, (end, None)).await;
        if let Some(tell) = taken.answer {
            let _ = tell.send(Err(end));
        }
        true
    }

    /// What came of the one that was confirmed.
    pub async fn settle(&self, id: i64, outcome: Outcome) {
        let end = outcome.end();
        let by = {
            let mut slot = self.slot();
            let open = slot.open.take_if(|open| open.question.id == id);
            slot.outcome = Some((id, outcome));
            open.and_then(|open| open.by)
        };
        self.keep(id, (end, by)).await;
    }

    /// A tap of the person on one of the answers.
    ///
    /// # Errors
    /// When the store cannot be read, or not be written: then the tap may come again.
    pub async fn tapped(&self, answered: Answered) -> Result<Heard, StoreError> {
        let (id, tap) = (answered.answer.question, (answered.ticket.clone(), answered.user));
        match self.judge(answered) {
            Verdict::Heard(heard) => Ok(heard),
            Verdict::Unknown => self.ended(id).map(Heard::Over),
            Verdict::Ends(question, tell, end) => {
                let kept = self.keep_answer(&question, end, tap).await;
                // It is over in any case.
                let _ = tell.send(Err(end));
                self.touch();
                kept.map(|()| Heard::Ended(end))
            }
        }
    }

    /// Takes the question's one answer, if this is it.
    fn judge(&self, answered: Answered) -> Verdict {
        let Answered { ticket, user, answer: Answer { question: id, says }, spot: _ } = answered;
        let now = self.clock.now().boot;
        let mut slot = self.slot();
        let Some(open) = slot.open.as_mut().filter(|open| open.question.id == id) else {
            return Verdict::Unknown;
        };
        let Some(tell) = open.answer.take() else { return Verdict::Heard(Heard::UnderWay) };
        let question = Arc::clone(&open.question);
        let end = match says {
            Says::Number(_) | Says::Refuse if now >= open.until => End::Expired,
            Says::Number(place) if question.numbers.is_right(place) => {
                open.by = Some(user);
                let sent = tell.send(Ok(Consented { question, ticket, user }));
                if sent.is_err() {
                    slot.open = None;
                }
                let heard = sent.map_or(Heard::Over(Some(End::Gone)), |()| Heard::Consented);
                return Verdict::Heard(heard);
            }
            Says::Number(_) => End::Wrong,
            Says::Refuse => End::Refused,
        };
        slot.open = None;
        Verdict::Ends(question, tell, end)
    }

    /// The question that is open, if it is this one.
    #[must_use]
    pub fn open(&self, id: i64) -> Option<Arc<Question>> {
        let slot = self.slot();
        let open = slot.open.as_ref().filter(|open| open.question.id == id && open.answer.is_some());
        open.map(|open| Arc::clone(&open.question))
    }

    /// Whether this one was confirmed, and is being done.
    #[must_use]
    pub fn is_under_way(&self, id: i64) -> bool {
        self.slot().open.as_ref().is_some_and(|open| open.question.id == id && open.answer.is_none())
    }

    /// What came of this one, where that was since the daemon's start.
    #[must_use]
    pub fn outcome(&self, id: i64) -> Option<Outcome> {
        self.slot().outcome.as_ref().filter(|(of, _)| *of == id).map(|(_, outcome)| outcome.clone())
    }

    /// Watches for what is to be drawn.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The questions in a chat whose message does not say how they ended, the oldest first.
    pub(crate) fn undrawn(&self, place: (i64, i64)) -> Result<Vec<Kept>, StoreError> {
        self.journal.store().read(move |store| kept::undrawn(store, place))
    }

    /// Notes whether a question's message says how it ended.
    pub(crate) async fn drawn(&self, id: i64, drawn: bool) -> Result<(), StoreError> {
        self.journal.store().write(Records::None, move |store| kept::draw(store, id, drawn)).await?;
        if !drawn {
            self.touch();
        }
        Ok(())
    }

    /// Ends in the store what is not open any more, and could not be ended there at its time.
    pub(crate) async fn keep(&self, id: i64, end: (End, Option<i64>)) {
        let now = self.clock.now().wall;
        let ended =
            self.journal.store().write(Records::None, move |store| kept::end(store, id, end, now)).await;
        if let Err(error) = ended {
            tracing::error!(%error, "how a question on Telegram ended could not be stored");
        }
        self.touch();
    }

    /// A refusal, a wrong number or a tap that came too late, in the transaction that uses the button.
    async fn keep_answer(
        &self,
        question: &Question,
        end: End,
        (ticket, user): (Ticket, i64),
    ) -> Result<(), StoreError> {
        let (id, now) = (question.id, self.clock.now().wall);
        let about = self.journal.words(&format!("{}: {}", question.wish, end.as_str())).into_inner();
        let by = format!("telegram user {user}");
        let record = self.journal.act("answer on telegram", &about, false, Some(&by));
        self.journal
            .change(Weight::Lenient, move |store| {
                ticket.spend(store, 1)?;
                kept::end(store, id, (end, Some(user)), now)?;
                Ok(((), vec![record.clone()]))
            })
            .await
    }

    /// Returns when the time is over.
    async fn late(&self, until: Duration) {
        loop {
            let left = until.saturating_sub(self.clock.now().boot);
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }

    /// How this one ended.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn ended(&self, id: i64) -> Result<Option<End>, StoreError> {
        let kept = self.journal.store().read(move |store| kept::find(store, id))?;
        Ok(kept.and_then(|kept| kept.end))
    }

    /// Something is to be drawn anew.
    pub fn touch(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Consents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consents").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
