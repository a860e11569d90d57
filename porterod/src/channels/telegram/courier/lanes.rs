//! What waits, and what goes next: a lane for each chat, and one for answers to presses.
//!
//! Pure: time and chance are arguments. In a lane one thing is under way at a time, so that nothing overtakes;
//! answers wait for nobody.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Cause, Edit, Letter, Pace, Rank, Undelivered};
use crate::channels::telegram::bot::{BotError, ChatId, MessageId, QueryId, Refusal, TopicId};

/// How many notices may wait in a chat.
const NOTICES_MOST: usize = 200;
/// How many messages may wait for a change in a chat.
const EDITS_MOST: usize = 500;
/// How many answers may wait, and be under way at once.
const ANSWERS_MOST: usize = 100;
const ANSWERS_AT_ONCE: usize = 4;
/// How often a message fails before others go first: Telegram may fail at this one alone.
const FAILURES_FIRST: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

type Waiting = oneshot::Sender<Result<MessageId, Undelivered>>;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Errand {
    Send { cause: Cause, letter: Letter, topic: Option<TopicId> },
    Edit { message: MessageId, edit: Edit },
    Answer { query: QueryId, text: Option<String>, alert: bool },
}

/// Which lane something that is under way came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ticket {
    Chat(ChatId),
    Answer(u64),
}

/// Something to do now.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) ticket: Ticket,
    pub(super) errand: Arc<Errand>,
}

/// What is next.
#[derive(Debug)]
pub(super) enum Next {
    Go(Parcel),
    /// Nothing before this time.
    At(Instant),
    Nothing,
}

/// All that waits.
pub(super) struct Lanes {
    pace: Pace,
    chats: BTreeMap<ChatId, Lane>,
    answers: VecDeque<Answer>,
    last_answer: u64,
    closed: bool,
}

#[derive(Default)]
struct Lane {
    cards: VecDeque<Job>,
    edits: VecDeque<Job>,
    notices: VecDeque<Job>,
    under_way: Option<Job>,
    free_at: Option<Instant>,
    /// When something went out, within the last minute.
    sent: VecDeque<Instant>,
    failures: u32,
    /// Why nothing can be written to the chat, and how often that was tried; none when it can, as far as is known.
    barred: Option<(BotError, u32)>,
}

/// What one set of lanes leaves to the next, for the same bot: how much its chats got, and until when they rest.
#[derive(Default)]
pub(super) struct Spent(Vec<(ChatId, Option<Instant>, VecDeque<Instant>)>);

struct Job {
    errand: Arc<Errand>,
    /// None for a change.
    rank: Option<Rank>,
    waiting: Vec<Waiting>,
    failures: u32,
}

struct Answer {
    number: u64,
    errand: Arc<Errand>,
    under_way: bool,
    not_before: Instant,
    until: Instant,
    failures: u32,
}

impl Lanes {
    pub(super) const fn new(pace: Pace) -> Self {
        Self { pace, chats: BTreeMap::new(), answers: VecDeque::new(), last_answer: 0, closed: false }
    }

    pub(super) fn hand_in(&mut self, chat: ChatId, errand: Errand, rank: Option<Rank>, done: Waiting) {
        if self.closed {
            let _ = done.send(Err(Undelivered::Closed));
            return;
        }
        let lane = self.chats.entry(chat).or_default();
        if rank == Some(Rank::Prompt) && lane.barred.is_some() {
            let _ = done.send(Err(Undelivered::Unreachable));
            return;
        }
        match rank {
            None => lane.change(errand, done),
            Some(rank) => lane.post(errand, rank, done),
        }
    }

    pub(super) fn answer(&mut self, query: QueryId, text: Option<String>, alert: bool, now: Instant) {
        if self.closed {
            return;
        }
        if self.answers.len() == ANSWERS_MOST
            && let Some(oldest) = self.answers.iter().position(|answer| !answer.under_way)
        {
            self.answers.remove(oldest);
        }
        self.last_answer += 1;
        self.answers.push_back(Answer {
            number: self.last_answer,
            errand: Arc::new(Errand::Answer { query, text, alert }),
            under_way: false,
            not_before: now,
            until: now + self.pace.answer_for,
            failures: 0,
        });
    }

    pub(super) fn waiting(&self) -> usize {
        self.answers.len() + self.chats.values().map(Lane::waiting).sum::<usize>()
    }

    /// Takes what is to be done now.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        let mut earliest: Option<Instant> = None;
        let mut later = |at: Instant| earliest = Some(earliest.map_or(at, |known: Instant| known.min(at)));
        let at_once = self.answers.iter().filter(|answer| answer.under_way).count();
        if at_once < ANSWERS_AT_ONCE {
            for answer in self.answers.iter_mut().filter(|answer| !answer.under_way) {
                if answer.not_before <= now {
                    answer.under_way = true;
                    let ticket = Ticket::Answer(answer.number);
                    return Next::Go(Parcel { ticket, errand: Arc::clone(&answer.errand) });
                }
                later(answer.not_before);
            }
        }
        self.chats.retain(|_, lane| !lane.is_over(now));
        for (chat, lane) in &mut self.chats {
            let Some(at) = lane.ready_at(*chat, &self.pace, now) else { continue };
            if at > now {
                later(at);
            } else if let Some(errand) = lane.take() {
                return Next::Go(Parcel { ticket: Ticket::Chat(*chat), errand });
            }
        }
        earliest.map_or(Next::Nothing, Next::At)
    }

    /// Notes what came of something. `chance` is between 0 and 1.
    pub(super) fn settle(
        &mut self,
        ticket: Ticket,
        result: Result<MessageId, BotError>,
        now: Instant,
        chance: f64,
    ) {
        match ticket {
            Ticket::Chat(chat) => {
                if let Some(lane) = self.chats.get_mut(&chat) {
                    lane.settle(result, &self.pace, now, chance);
                }
            }
            Ticket::Answer(number) => self.settle_answer(number, &result, now, chance),
        }
    }

    /// A chat that could not be written to is tried again now.
    pub(super) fn retry(&mut self, chat: ChatId, now: Instant) {
        if let Some(lane) = self.chats.get_mut(&chat)
            && let Some((_, tries)) = &mut lane.barred
        {
            *tries = 0;
            lane.free_at = Some(now);
        }
    }

    /// Why nothing can be written to a chat in which something waits.
    pub(super) fn barred(&self) -> Option<BotError> {
        let mut barred = self.chats.values().filter_map(|lane| lane.barred.as_ref());
        barred.next().map(|(error, _)| error.clone())
    }

    /// Tells everyone who waits that nothing comes any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.answers.clear();
        // Whoever waits learns of it as the other end is dropped. What was sent is left to those that follow.
        for lane in self.chats.values_mut() {
            let (free_at, sent) = (lane.free_at, std::mem::take(&mut lane.sent));
            *lane = Lane { free_at: free_at.filter(|_| lane.barred.is_none()), sent, ..Lane::default() };
        }
    }

    /// What these lanes have spent of each chat's pace.
    pub(super) fn spent(&self) -> Spent {
        let lanes = self.chats.iter();
        Spent(lanes.map(|(chat, lane)| (*chat, lane.free_at, lane.sent.clone())).collect())
    }

    /// Counts what former lanes have spent.
    pub(super) fn count(&mut self, Spent(spent): Spent) {
        for (chat, free_at, sent) in spent {
            let lane = self.chats.entry(chat).or_default();
            (lane.free_at, lane.sent) = (free_at, sent);
        }
    }

    fn settle_answer(
        &mut self,
        number: u64,
        result: &Result<MessageId, BotError>,
        now: Instant,
        chance: f64,
    ) {
        let Some(at) = self.answers.iter().position(|answer| answer.number == number) else { return };
        let answer = &mut self.answers[at];
        let pause = match result {
            Ok(_) => None,
            Err(error) => pause(error, answer.failures, &self.pace, chance),
        };
        answer.under_way = false;
        match pause.map(|pause| now + pause).filter(|again| *again < answer.until) {
            Some(again) => {
                answer.failures += 1;
                answer.not_before = again;
            }
            None => drop(self.answers.remove(at)),
        }
    }
}

impl Lane {
    /// Whether nothing is left of it that counts: a chat's minute goes on though nothing waits.
    fn is_over(&mut self, now: Instant) -> bool {
        self.forget_sent(now);
        self.waiting() == 0 && self.sent.is_empty() && self.free_at.is_none_or(|at| at <= now)
    }

    fn forget_sent(&mut self, now: Instant) {
        while self.sent.front().is_some_and(|sent| *sent + MINUTE <= now) {
            self.sent.pop_front();
        }
    }

    fn waiting(&self) -> usize {
        self.cards.len() + self.edits.len() + self.notices.len() + usize::from(self.under_way.is_some())
    }

    /// Puts a new message into its queue; for a cause that waits already, only one is sent.
    fn post(&mut self, errand: Errand, rank: Rank, done: Waiting) {
        let same = |job: &&mut Job| match (&*job.errand, &errand) {
            (Errand::Send { cause, .. }, Errand::Send { cause: other, .. }) => cause == other,
            _ => false,
        };
        let known = self.under_way.iter_mut().chain(&mut self.cards).chain(&mut self.notices);
        if let Some(job) = known.into_iter().find(same) {
            job.waiting.push(done);
            return;
        }
        let job = Job { errand: Arc::new(errand), rank: Some(rank), waiting: vec![done], failures: 0 };
        match rank {
            Rank::Card | Rank::Prompt => self.cards.push_back(job),
            Rank::Notice => push_bounded(&mut self.notices, job, NOTICES_MOST),
        }
    }

    /// Puts a change into its queue, or into the one that waits for the same message.
    fn change(&mut self, errand: Errand, done: Waiting) {
        if let Some(job) = self.edits.iter_mut().find(|job| same_message(&job.errand, &errand)) {
            job.errand = Arc::new(merged(&job.errand, errand));
            job.waiting.push(done);
            return;
        }
        let job = Job { errand: Arc::new(errand), rank: None, waiting: vec![done], failures: 0 };
        push_bounded(&mut self.edits, job, EDITS_MOST);
    }

    /// From when on the next thing may go; none when there is none, or one is under way.
    fn ready_at(&mut self, chat: ChatId, pace: &Pace, now: Instant) -> Option<Instant> {
        if self.under_way.is_some() || self.waiting() == 0 {
            return None;
        }
        let mut at = self.free_at.unwrap_or(now).max(now);
        self.forget_sent(now);
        // Groups have negative numbers.
        if chat.0 < 0 {
            let most = pace.group_minute.max(1);
            // The last quarter of a group's minute is for what asks, and for what becomes of it.
            let tells_only = self.cards.is_empty() && self.edits.is_empty();
            let most = if tells_only { most - most / 4 } else { most };
            if let Some(nth) = self.sent.len().checked_sub(most) {
                at = at.max(self.sent[nth] + MINUTE);
            }
        }
        Some(at)
    }

    fn take(&mut self) -> Option<Arc<Errand>> {
        let queues = [&mut self.cards, &mut self.edits, &mut self.notices];
        let job = queues.into_iter().find_map(VecDeque::pop_front)?;
        let errand = Arc::clone(&job.errand);
        self.under_way = Some(job);
        Some(errand)
    }

    fn settle(&mut self, result: Result<MessageId, BotError>, pace: &Pace, now: Instant, chance: f64) {
        let Some(job) = self.under_way.take() else { return };
        self.sent.push_back(now);
        self.free_at = Some(now + pace.gap);
        match &result {
            Err(error) if error.is_of_the_chat() && !job.needs_another_right(error) => {
                return self.bar(error.clone(), job, pace, now, chance);
            }
            Ok(_) | Err(BotError::Refused(_)) => self.barred = None,
            Err(_) => {}
        }
        let told = match result {
            Ok(message) => Ok(message),
            Err(error) => match pause(&error, self.failures, pace, chance) {
                Some(pause) => {
                    self.failures += 1;
                    self.free_at = Some(now + pause.max(pace.gap));
                    self.put_back(job);
                    return;
                }
                None => Err(match error {
                    BotError::Refused(refusal) => Undelivered::Refused(refusal),
                    BotError::Unauthorized | BotError::Moved(_) => Undelivered::Closed,
                    BotError::Blocked => Undelivered::Unreachable,
                    BotError::RetryAfter(_)
                    | BotError::Server(_)
                    | BotError::Conflict
                    | BotError::Network(_)
                    | BotError::Nonsense => Undelivered::Dropped,
                }),
            },
        };
        self.failures = 0;
        job.tell(&told);
    }

    /// Nothing can be written to the chat now: all that waits goes on waiting, but for what is worth something now
    /// only.
    fn bar(&mut self, error: BotError, job: Job, pace: &Pace, now: Instant, chance: f64) {
        if job.rank == Some(Rank::Prompt) {
            job.tell(&Err(Undelivered::Unreachable));
        } else {
            self.put_first(job);
        }
        let cards = std::mem::take(&mut self.cards).into_iter();
        let (prompts, cards) = cards.partition(|job| job.rank == Some(Rank::Prompt));
        self.cards = cards;
        for job in Vec::from(prompts) {
            job.tell(&Err(Undelivered::Unreachable));
        }
        if self.waiting() == 0 {
            return;
        }
        let tries = self.barred.take().map_or(0, |(_, tries)| tries);
        let pause = doubled(pace.first_chat_pause, pace.longest_chat_pause, tries, chance);
        self.barred = Some((error, tries.saturating_add(1)));
        self.free_at = Some(now + pause);
    }

    /// What failed goes first again, unless a later change took its place, or it failed too often.
    fn put_back(&mut self, mut job: Job) {
        job.failures = job.failures.saturating_add(1);
        if job.failures < FAILURES_FIRST {
            self.put_first(job);
        } else if let Some(job) = self.give_way(job) {
            self.queue(job.rank).push_back(job);
        }
    }

    fn put_first(&mut self, job: Job) {
        if let Some(job) = self.give_way(job) {
            self.queue(job.rank).push_front(job);
        }
    }

    /// Joins a change with the later one of the same message that waits; gives back anything else.
    fn give_way(&mut self, job: Job) -> Option<Job> {
        let mut edits = self.edits.iter_mut();
        let Some(later) = edits.find(|other| same_message(&other.errand, &job.errand)) else {
            return Some(job);
        };
        let errand = merged(&job.errand, (*later.errand).clone());
        later.errand = Arc::new(errand);
        later.waiting.extend(job.waiting);
        None
    }

    const fn queue(&mut self, rank: Option<Rank>) -> &mut VecDeque<Job> {
        match rank {
            None => &mut self.edits,
            Some(Rank::Card | Rank::Prompt) => &mut self.cards,
            Some(Rank::Notice) => &mut self.notices,
        }
    }
}

impl Job {
    /// Whether it was refused as a file: texts may be written there all the same.
    fn needs_another_right(&self, error: &BotError) -> bool {
        let is_document = matches!(&*self.errand, Errand::Send { letter: Letter::Document(_), .. });
        is_document && *error == BotError::Refused(Refusal::NoRightToWrite)
    }

    fn tell(self, told: &Result<MessageId, Undelivered>) {
        for waiting in self.waiting {
            let _ = waiting.send(told.clone());
        }
    }
}

fn push_bounded(queue: &mut VecDeque<Job>, job: Job, most: usize) {
    if queue.len() >= most
        && let Some(oldest) = queue.pop_front()
    {
        oldest.tell(&Err(Undelivered::Dropped));
    }
    queue.push_back(job);
}

fn same_message(one: &Errand, other: &Errand) -> bool {
    match (one, other) {
        (Errand::Edit { message, .. }, Errand::Edit { message: of_other, .. }) => message == of_other,
        _ => false,
    }
}

/// Two changes of one message as one: a later keyboard leaves the earlier text.
fn merged(earlier: &Errand, later: Errand) -> Errand {
    match (earlier, later) {
        (
            Errand::Edit { edit: Edit::Text(text, _), .. },
            Errand::Edit { message, edit: Edit::Keyboard(keyboard) },
        ) => Errand::Edit { message, edit: Edit::Text(text.clone(), keyboard) },
        (_, later) => later,
    }
}

/// How long to wait before the same is tried again; none when that helps nothing.
fn pause(error: &BotError, failures: u32, pace: &Pace, chance: f64) -> Option<Duration> {
    match error {
        BotError::RetryAfter(after) => Some(after.wait()),
        BotError::Server(_) | BotError::Conflict | BotError::Network(_) | BotError::Nonsense => {
            Some(doubled(pace.first_pause, pace.longest_pause, failures, chance))
        }
        BotError::Unauthorized | BotError::Blocked | BotError::Moved(_) | BotError::Refused(_) => None,
    }
}

/// A pause that doubles with each failure, shortened by up to half by `chance`, so that not all try at once.
pub(in crate::channels::telegram) fn doubled(
    first: Duration,
    longest: Duration,
    failures: u32,
    chance: f64,
) -> Duration {
    let whole = first.saturating_mul(2_u32.saturating_pow(failures.min(16))).min(longest);
    whole.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests;
