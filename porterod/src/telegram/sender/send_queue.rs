//! What waits, and what goes next: a lane for each chat, and one for answers to presses.
//!
//! Pure: time and chance are arguments. In a lane one thing is under way at a time, so that nothing overtakes;
//! answers wait for nobody.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{DeliveryError, MessageEdit, MessageKey, OutgoingMessage, SendPriority, SendTiming};
use crate::telegram::client::{BotError, ChatId, MessageId, QueryId, Refusal, TopicId};

/// How many notices may wait in a chat.
const MAX_QUEUED_NOTICES: usize = 200;
/// How many messages may wait for a change in a chat.
const MAX_QUEUED_EDITS: usize = 500;
/// How many answers may wait, and be under way at once.
const MAX_QUEUED_ANSWERS: usize = 100;
const MAX_ANSWERS_IN_FLIGHT: usize = 4;
/// How often a message fails before others go first: Telegram may fail at this one alone.
const MAX_FAILURES_AT_FRONT: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

type ResultSender = oneshot::Sender<Result<MessageId, DeliveryError>>;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SendJob {
    Send { cause: MessageKey, letter: OutgoingMessage, topic: Option<TopicId> },
    Edit { message: MessageId, edit: MessageEdit },
    Answer { query: QueryId, text: Option<String>, alert: bool },
}

/// Which lane something that is under way came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobSource {
    Chat(ChatId),
    Answer(u64),
}

/// Something to do now.
#[derive(Debug)]
pub(super) struct DueJob {
    pub(super) source: JobSource,
    pub(super) job: Arc<SendJob>,
}

/// What is next.
#[derive(Debug)]
pub(super) enum NextJob {
    Due(DueJob),
    /// Nothing before this time.
    WaitUntil(Instant),
    Idle,
}

/// All that waits.
pub(super) struct SendQueue {
    timing: SendTiming,
    chats: BTreeMap<ChatId, ChatQueue>,
    answers: VecDeque<QueuedAnswer>,
    last_answer_number: u64,
    is_closed: bool,
}

#[derive(Default)]
struct ChatQueue {
    cards: VecDeque<QueuedJob>,
    edits: VecDeque<QueuedJob>,
    notices: VecDeque<QueuedJob>,
    in_flight: Option<QueuedJob>,
    next_send_at: Option<Instant>,
    /// When something went out, within the last minute.
    sent_at: VecDeque<Instant>,
    failures: u32,
    /// Why nothing can be written to the chat, and how often that was tried; none when it can, as far as is known.
    blocked: Option<(BotError, u32)>,
}

/// What one set of lanes leaves to the next, for the same bot: how much its chats got, and until when they rest.
#[derive(Default)]
pub(super) struct ChatUsage(Vec<(ChatId, Option<Instant>, VecDeque<Instant>)>);

struct QueuedJob {
    job: Arc<SendJob>,
    /// None for a change.
    priority: Option<SendPriority>,
    waiters: Vec<ResultSender>,
    failures: u32,
}

struct QueuedAnswer {
    number: u64,
    job: Arc<SendJob>,
    in_flight: bool,
    retry_at: Instant,
    deadline: Instant,
    failures: u32,
}

impl SendQueue {
    pub(super) const fn new(pace: SendTiming) -> Self {
        Self {
            timing: pace,
            chats: BTreeMap::new(),
            answers: VecDeque::new(),
            last_answer_number: 0,
            is_closed: false,
        }
    }

    pub(super) fn enqueue(
        &mut self,
        chat: ChatId,
        errand: SendJob,
        rank: Option<SendPriority>,
        done: ResultSender,
    ) {
        if self.is_closed {
            let _ = done.send(Err(DeliveryError::Closed));
            return;
        }
        let lane = self.chats.entry(chat).or_default();
        if rank == Some(SendPriority::Immediate) && lane.blocked.is_some() {
            let _ = done.send(Err(DeliveryError::Unreachable));
            return;
        }
        match rank {
            None => lane.enqueue_edit(errand, done),
            Some(rank) => lane.enqueue_message(errand, rank, done),
        }
    }

    pub(super) fn enqueue_answer(&mut self, query: QueryId, text: Option<String>, alert: bool, now: Instant) {
        if self.is_closed {
            return;
        }
        if self.answers.len() == MAX_QUEUED_ANSWERS
            && let Some(oldest) = self.answers.iter().position(|answer| !answer.in_flight)
        {
            self.answers.remove(oldest);
        }
        self.last_answer_number += 1;
        self.answers.push_back(QueuedAnswer {
            number: self.last_answer_number,
            job: Arc::new(SendJob::Answer { query, text, alert }),
            in_flight: false,
            retry_at: now,
            deadline: now + self.timing.answer_timeout,
            failures: 0,
        });
    }

    pub(super) fn pending_count(&self) -> usize {
        self.answers.len() + self.chats.values().map(ChatQueue::pending_count).sum::<usize>()
    }

    /// Takes what is to be done now.
    pub(super) fn next_job(&mut self, now: Instant) -> NextJob {
        let mut earliest: Option<Instant> = None;
        let mut later = |at: Instant| earliest = Some(earliest.map_or(at, |known: Instant| known.min(at)));
        let at_once = self.answers.iter().filter(|answer| answer.in_flight).count();
        if at_once < MAX_ANSWERS_IN_FLIGHT {
            for answer in self.answers.iter_mut().filter(|answer| !answer.in_flight) {
                if answer.retry_at <= now {
                    answer.in_flight = true;
                    let ticket = JobSource::Answer(answer.number);
                    return NextJob::Due(DueJob { source: ticket, job: Arc::clone(&answer.job) });
                }
                later(answer.retry_at);
            }
        }
        self.chats.retain(|_, lane| !lane.is_idle(now));
        for (chat, lane) in &mut self.chats {
            let Some(at) = lane.ready_at(*chat, &self.timing, now) else { continue };
            if at > now {
                later(at);
            } else if let Some(errand) = lane.take_next() {
                return NextJob::Due(DueJob { source: JobSource::Chat(*chat), job: errand });
            }
        }
        earliest.map_or(NextJob::Idle, NextJob::WaitUntil)
    }

    /// Notes what came of something. `chance` is between 0 and 1.
    pub(super) fn settle_job(
        &mut self,
        ticket: JobSource,
        result: Result<MessageId, BotError>,
        now: Instant,
        chance: f64,
    ) {
        match ticket {
            JobSource::Chat(chat) => {
                if let Some(lane) = self.chats.get_mut(&chat) {
                    lane.settle_in_flight(result, &self.timing, now, chance);
                }
            }
            JobSource::Answer(number) => self.settle_answer(number, &result, now, chance),
        }
    }

    /// A chat that could not be written to is tried again now.
    pub(super) fn retry_chat(&mut self, chat: ChatId, now: Instant) {
        if let Some(lane) = self.chats.get_mut(&chat)
            && let Some((_, tries)) = &mut lane.blocked
        {
            *tries = 0;
            lane.next_send_at = Some(now);
        }
    }

    /// Why nothing can be written to a chat in which something waits.
    pub(super) fn blocked_reason(&self) -> Option<BotError> {
        let mut barred = self.chats.values().filter_map(|lane| lane.blocked.as_ref());
        barred.next().map(|(error, _)| error.clone())
    }

    /// Tells everyone who waits that nothing comes any more.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.answers.clear();
        // Whoever waits learns of it as the other end is dropped. What was sent is left to those that follow.
        for lane in self.chats.values_mut() {
            let (free_at, sent) = (lane.next_send_at, std::mem::take(&mut lane.sent_at));
            *lane = ChatQueue {
                next_send_at: free_at.filter(|_| lane.blocked.is_none()),
                sent_at: sent,
                ..ChatQueue::default()
            };
        }
    }

    /// What these lanes have spent of each chat's pace.
    pub(super) fn usage(&self) -> ChatUsage {
        let lanes = self.chats.iter();
        ChatUsage(lanes.map(|(chat, lane)| (*chat, lane.next_send_at, lane.sent_at.clone())).collect())
    }

    /// Counts what former lanes have spent.
    pub(super) fn add_usage(&mut self, ChatUsage(spent): ChatUsage) {
        for (chat, free_at, sent) in spent {
            let lane = self.chats.entry(chat).or_default();
            (lane.next_send_at, lane.sent_at) = (free_at, sent);
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
            Err(error) => retry_delay(error, answer.failures, &self.timing, chance),
        };
        answer.in_flight = false;
        match pause.map(|pause| now + pause).filter(|again| *again < answer.deadline) {
            Some(again) => {
                answer.failures += 1;
                answer.retry_at = again;
            }
            None => drop(self.answers.remove(at)),
        }
    }
}

impl ChatQueue {
    /// Whether nothing is left of it that counts: a chat's minute goes on though nothing waits.
    fn is_idle(&mut self, now: Instant) -> bool {
        self.prune_sent_at(now);
        self.pending_count() == 0 && self.sent_at.is_empty() && self.next_send_at.is_none_or(|at| at <= now)
    }

    fn prune_sent_at(&mut self, now: Instant) {
        while self.sent_at.front().is_some_and(|sent| *sent + MINUTE <= now) {
            self.sent_at.pop_front();
        }
    }

    fn pending_count(&self) -> usize {
        self.cards.len() + self.edits.len() + self.notices.len() + usize::from(self.in_flight.is_some())
    }

    /// Puts a new message into its queue; for a cause that waits already, only one is sent.
    fn enqueue_message(&mut self, errand: SendJob, rank: SendPriority, done: ResultSender) {
        let same = |job: &&mut QueuedJob| match (&*job.job, &errand) {
            (SendJob::Send { cause, .. }, SendJob::Send { cause: other, .. }) => cause == other,
            _ => false,
        };
        let known = self.in_flight.iter_mut().chain(&mut self.cards).chain(&mut self.notices);
        if let Some(job) = known.into_iter().find(same) {
            job.waiters.push(done);
            return;
        }
        let job = QueuedJob { job: Arc::new(errand), priority: Some(rank), waiters: vec![done], failures: 0 };
        match rank {
            SendPriority::Required | SendPriority::Immediate => self.cards.push_back(job),
            SendPriority::Notice => push_bounded(&mut self.notices, job, MAX_QUEUED_NOTICES),
        }
    }

    /// Puts a change into its queue, or into the one that waits for the same message.
    fn enqueue_edit(&mut self, errand: SendJob, done: ResultSender) {
        if let Some(job) = self.edits.iter_mut().find(|job| edits_same_message(&job.job, &errand)) {
            job.job = Arc::new(errand);
            job.waiters.push(done);
            return;
        }
        let job = QueuedJob { job: Arc::new(errand), priority: None, waiters: vec![done], failures: 0 };
        push_bounded(&mut self.edits, job, MAX_QUEUED_EDITS);
    }

    /// From when on the next thing may go; none when there is none, or one is under way.
    fn ready_at(&mut self, chat: ChatId, pace: &SendTiming, now: Instant) -> Option<Instant> {
        if self.in_flight.is_some() || self.pending_count() == 0 {
            return None;
        }
        let mut at = self.next_send_at.unwrap_or(now).max(now);
        self.prune_sent_at(now);
        // Groups have negative numbers.
        if chat.0 < 0 {
            let most = pace.max_group_per_minute.max(1);
            // The last quarter of a group's minute is for what asks, and for what becomes of it.
            let tells_only = self.cards.is_empty() && self.edits.is_empty();
            let most = if tells_only { most - most / 4 } else { most };
            if let Some(nth) = self.sent_at.len().checked_sub(most) {
                at = at.max(self.sent_at[nth] + MINUTE);
            }
        }
        Some(at)
    }

    fn take_next(&mut self) -> Option<Arc<SendJob>> {
        let queues = [&mut self.cards, &mut self.edits, &mut self.notices];
        let job = queues.into_iter().find_map(VecDeque::pop_front)?;
        let errand = Arc::clone(&job.job);
        self.in_flight = Some(job);
        Some(errand)
    }

    fn settle_in_flight(
        &mut self,
        result: Result<MessageId, BotError>,
        pace: &SendTiming,
        now: Instant,
        chance: f64,
    ) {
        let Some(job) = self.in_flight.take() else { return };
        self.sent_at.push_back(now);
        self.next_send_at = Some(now + pace.chat_interval);
        match &result {
            Err(error) if error.concerns_chat() && !job.needs_document_right(error) => {
                return self.block(error.clone(), job, pace, now, chance);
            }
            Ok(_) | Err(BotError::Refused(_)) => self.blocked = None,
            Err(_) => {}
        }
        let told = match result {
            Ok(message) => Ok(message),
            Err(error) => match retry_delay(&error, self.failures, pace, chance) {
                Some(pause) => {
                    self.failures += 1;
                    self.next_send_at = Some(now + pause.max(pace.chat_interval));
                    self.requeue(job);
                    return;
                }
                None => Err(match error {
                    BotError::Refused(refusal) => DeliveryError::Refused(refusal),
                    BotError::Unauthorized | BotError::Migrated(_) => DeliveryError::Closed,
                    BotError::Blocked => DeliveryError::Unreachable,
                    BotError::RetryAfter(_)
                    | BotError::ServerError(_)
                    | BotError::Conflict
                    | BotError::Network(_)
                    | BotError::InvalidResponse => DeliveryError::Dropped,
                }),
            },
        };
        self.failures = 0;
        job.notify_waiters(&told);
    }

    /// Nothing can be written to the chat now: all that waits goes on waiting, but for what is worth something now
    /// only.
    fn block(&mut self, error: BotError, job: QueuedJob, pace: &SendTiming, now: Instant, chance: f64) {
        if job.priority == Some(SendPriority::Immediate) {
            job.notify_waiters(&Err(DeliveryError::Unreachable));
        } else {
            self.requeue_front(job);
        }
        let cards = std::mem::take(&mut self.cards).into_iter();
        let (prompts, cards) = cards.partition(|job| job.priority == Some(SendPriority::Immediate));
        self.cards = cards;
        for job in Vec::from(prompts) {
            job.notify_waiters(&Err(DeliveryError::Unreachable));
        }
        if self.pending_count() == 0 {
            return;
        }
        let tries = self.blocked.take().map_or(0, |(_, tries)| tries);
        let pause = backoff_delay(pace.initial_chat_backoff, pace.max_chat_backoff, tries, chance);
        self.blocked = Some((error, tries.saturating_add(1)));
        self.next_send_at = Some(now + pause);
    }

    /// What failed goes first again, unless a later change took its place, or it failed too often.
    fn requeue(&mut self, mut job: QueuedJob) {
        job.failures = job.failures.saturating_add(1);
        if job.failures < MAX_FAILURES_AT_FRONT {
            self.requeue_front(job);
        } else if let Some(job) = self.merge_into_later(job) {
            self.queue_for(job.priority).push_back(job);
        }
    }

    fn requeue_front(&mut self, job: QueuedJob) {
        if let Some(job) = self.merge_into_later(job) {
            self.queue_for(job.priority).push_front(job);
        }
    }

    /// Joins a change with the later one of the same message that waits; gives back anything else.
    fn merge_into_later(&mut self, job: QueuedJob) -> Option<QueuedJob> {
        let mut edits = self.edits.iter_mut();
        let Some(later) = edits.find(|other| edits_same_message(&other.job, &job.job)) else {
            return Some(job);
        };
        later.waiters.extend(job.waiters);
        None
    }

    const fn queue_for(&mut self, rank: Option<SendPriority>) -> &mut VecDeque<QueuedJob> {
        match rank {
            None => &mut self.edits,
            Some(SendPriority::Required | SendPriority::Immediate) => &mut self.cards,
            Some(SendPriority::Notice) => &mut self.notices,
        }
    }
}

impl QueuedJob {
    /// Whether it was refused as a file: texts may be written there all the same.
    fn needs_document_right(&self, error: &BotError) -> bool {
        let is_document = matches!(&*self.job, SendJob::Send { letter: OutgoingMessage::Document(_), .. });
        is_document && *error == BotError::Refused(Refusal::WriteForbidden)
    }

    fn notify_waiters(self, told: &Result<MessageId, DeliveryError>) {
        for waiting in self.waiters {
            let _ = waiting.send(told.clone());
        }
    }
}

fn push_bounded(queue: &mut VecDeque<QueuedJob>, job: QueuedJob, most: usize) {
    if queue.len() >= most
        && let Some(oldest) = queue.pop_front()
    {
        oldest.notify_waiters(&Err(DeliveryError::Dropped));
    }
    queue.push_back(job);
}

fn edits_same_message(one: &SendJob, other: &SendJob) -> bool {
    match (one, other) {
        (SendJob::Edit { message, .. }, SendJob::Edit { message: of_other, .. }) => message == of_other,
        _ => false,
    }
}

/// How long to wait before the same is tried again; none when that helps nothing.
fn retry_delay(error: &BotError, failures: u32, pace: &SendTiming, chance: f64) -> Option<Duration> {
    match error {
        BotError::RetryAfter(after) => Some(after.wait()),
        BotError::ServerError(_) | BotError::Conflict | BotError::Network(_) | BotError::InvalidResponse => {
            Some(backoff_delay(pace.initial_backoff, pace.max_backoff, failures, chance))
        }
        BotError::Unauthorized | BotError::Blocked | BotError::Migrated(_) | BotError::Refused(_) => None,
    }
}

/// A pause that doubles with each failure, shortened by up to half by `chance`, so that not all try at once.
pub(in crate::telegram) fn backoff_delay(
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
