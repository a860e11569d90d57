//! The send queue: one queue for each chat, and one for answers to presses.
//!
//! All functions are pure: time and randomness are arguments. A chat has one job in flight, so that messages
//! keep their order. Answers to presses don't wait for other jobs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{DeliveryError, MessageEdit, MessageKey, OutgoingMessage, SendPriority, SendTiming};
use crate::telegram::client::{BotError, ChatId, MessageId, QueryId, Refusal, TopicId};

/// How many notices may wait in a chat.
const MAX_QUEUED_NOTICES: usize = 200;
/// How many edits may wait in a chat.
const MAX_QUEUED_EDITS: usize = 500;
/// How many answers may wait, and how many may be in flight.
const MAX_QUEUED_ANSWERS: usize = 100;
const MAX_ANSWERS_IN_FLIGHT: usize = 4;
/// How often a message may fail before others go first, because Telegram may reject just this one.
const MAX_FAILURES_AT_FRONT: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

type ResultSender = oneshot::Sender<Result<MessageId, DeliveryError>>;

/// A job for Telegram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SendJob {
    Send { cause: MessageKey, outgoing: OutgoingMessage, topic: Option<TopicId> },
    Edit { message: MessageId, edit: MessageEdit },
    Answer { query: QueryId, text: Option<String>, alert: bool },
}

/// The queue from which a job in flight came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobSource {
    Chat(ChatId),
    Answer(u64),
}

/// A job that is due now.
#[derive(Debug)]
pub(super) struct DueJob {
    pub(super) source: JobSource,
    pub(super) job: Arc<SendJob>,
}

/// The next step.
#[derive(Debug)]
pub(super) enum NextJob {
    Due(DueJob),
    /// No job is due before this time.
    WaitUntil(Instant),
    Idle,
}

/// All queues.
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
    /// The times of the messages sent within the last minute.
    sent_at: VecDeque<Instant>,
    failures: u32,
    /// Why the chat refuses the bot, and how often it was tried since; none if it accepts the bot.
    blocked: Option<(BotError, u32)>,
}

/// The usage that a queue passes to its successor for the same bot: recent messages and pauses by chat.
#[derive(Default)]
pub(super) struct ChatUsage(Vec<(ChatId, Option<Instant>, VecDeque<Instant>)>);

struct QueuedJob {
    job: Arc<SendJob>,
    /// None for an edit.
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
        send_job: SendJob,
        rank: Option<SendPriority>,
        done: ResultSender,
    ) {
        if self.is_closed {
            let _ = done.send(Err(DeliveryError::Closed));
            return;
        }
        let lane = self.chats.entry(chat).or_default();
        // The person would get it too late: an immediate message is worth nothing once the chat accepts the
        // bot again.
        if rank == Some(SendPriority::Immediate) && lane.blocked.is_some() {
            let _ = done.send(Err(DeliveryError::Unreachable));
            return;
        }
        match rank {
            None => lane.enqueue_edit(send_job, done),
            Some(rank) => lane.enqueue_message(send_job, rank, done),
        }
    }

    pub(super) fn enqueue_answer(&mut self, query: QueryId, text: Option<String>, alert: bool, now: Instant) {
        if self.is_closed {
            return;
        }
        // The oldest answer is dropped first, since Telegram refuses old ones anyway. One in flight can't be
        // taken back.
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

    /// Takes the next due job.
    pub(super) fn next_job(&mut self, now: Instant) -> NextJob {
        // The earliest time at which any queue has a job. It is the wake-up if none is due now.
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
        // An idle chat is forgotten only after its minute has passed: until then its usage still counts.
        self.chats.retain(|_, lane| !lane.is_idle(now));
        for (chat, lane) in &mut self.chats {
            let Some(at) = lane.ready_at(*chat, &self.timing, now) else { continue };
            if at > now {
                later(at);
            } else if let Some(send_job) = lane.take_next() {
                return NextJob::Due(DueJob { source: JobSource::Chat(*chat), job: send_job });
            }
        }
        earliest.map_or(NextJob::Idle, NextJob::WaitUntil)
    }

    /// Settles a job with its result. `chance` is a random number between 0 and 1.
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

    /// Retries a chat that refused the bot.
    pub(super) fn retry_chat(&mut self, chat: ChatId, now: Instant) {
        if let Some(lane) = self.chats.get_mut(&chat)
            && let Some((_, tries)) = &mut lane.blocked
        {
            *tries = 0;
            lane.next_send_at = Some(now);
        }
    }

    /// Why a chat with waiting messages refuses the bot.
    pub(super) fn blocked_reason(&self) -> Option<BotError> {
        let mut barred = self.chats.values().filter_map(|lane| lane.blocked.as_ref());
        barred.next().map(|(error, _)| error.clone())
    }

    /// Closes the queue. Waiting callers get an error.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.answers.clear();
        // Dropping a job drops its senders, by which waiting callers get the error. The usage stays for the
        // successor; a pause of a refusing chat doesn't, so that a new connection tries at once.
        for lane in self.chats.values_mut() {
            let (free_at, sent) = (lane.next_send_at, std::mem::take(&mut lane.sent_at));
            *lane = ChatQueue {
                next_send_at: free_at.filter(|_| lane.blocked.is_none()),
                sent_at: sent,
                ..ChatQueue::default()
            };
        }
    }

    /// The usage of each chat.
    pub(super) fn usage(&self) -> ChatUsage {
        let lanes = self.chats.iter();
        ChatUsage(lanes.map(|(chat, lane)| (*chat, lane.next_send_at, lane.sent_at.clone())).collect())
    }

    /// Takes over the usage of a former queue.
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
    /// Whether the chat can be forgotten. It can't before its last minute has passed, even if nothing waits.
    fn is_idle(&mut self, now: Instant) -> bool {
        self.prune_sent_at(now);
        self.pending_count() == 0 && self.sent_at.is_empty() && self.next_send_at.is_none_or(|at| at <= now)
    }

    fn prune_sent_at(&mut self, now: Instant) {
        while self.sent_at.front().is_some_and(|sent| *sent + MINUTE <= now) {
            // The times are in order, so only the front can be out of the window.
            self.sent_at.pop_front();
        }
    }

    fn pending_count(&self) -> usize {
        self.cards.len() + self.edits.len() + self.notices.len() + usize::from(self.in_flight.is_some())
    }

    /// Adds a message. If one with the same key already waits, the caller waits for that one.
    fn enqueue_message(&mut self, send_job: SendJob, rank: SendPriority, done: ResultSender) {
        let same = |job: &&mut QueuedJob| match (&*job.job, &send_job) {
            (SendJob::Send { cause, .. }, SendJob::Send { cause: other, .. }) => cause == other,
            _ => false,
        };
        let known = self.in_flight.iter_mut().chain(&mut self.cards).chain(&mut self.notices);
        if let Some(job) = known.into_iter().find(same) {
            job.waiters.push(done);
            return;
        }
        let job =
            QueuedJob { job: Arc::new(send_job), priority: Some(rank), waiters: vec![done], failures: 0 };
        match rank {
            SendPriority::Required | SendPriority::Immediate => self.cards.push_back(job),
            SendPriority::Notice => push_bounded(&mut self.notices, job, MAX_QUEUED_NOTICES),
        }
    }

    /// Adds an edit. It replaces a waiting edit of the same message, whose callers then wait for this one.
    fn enqueue_edit(&mut self, send_job: SendJob, done: ResultSender) {
        if let Some(job) = self.edits.iter_mut().find(|job| edits_same_message(&job.job, &send_job)) {
            job.job = Arc::new(send_job);
            job.waiters.push(done);
            return;
        }
        let job = QueuedJob { job: Arc::new(send_job), priority: None, waiters: vec![done], failures: 0 };
        push_bounded(&mut self.edits, job, MAX_QUEUED_EDITS);
    }

    /// When the next job may go; none if nothing waits or a job is in flight.
    fn ready_at(&mut self, chat: ChatId, pace: &SendTiming, now: Instant) -> Option<Instant> {
        if self.in_flight.is_some() || self.pending_count() == 0 {
            return None;
        }
        let mut at = self.next_send_at.unwrap_or(now).max(now);
        self.prune_sent_at(now);
        // Groups have negative numbers.
        if chat.0 < 0 {
            let most = pace.max_group_per_minute.max(1);
            // A group's last quarter of a minute is reserved for questions and their outcomes, so notices
            // can't delay them.
            let tells_only = self.cards.is_empty() && self.edits.is_empty();
            let most = if tells_only { most - most / 4 } else { most };
            // A sliding window: with `most` messages in it, the next may go when the oldest of the last
            // `most` is a minute old.
            // With fewer there is no such message, and the pace of the chat alone decides.
            if let Some(nth) = self.sent_at.len().checked_sub(most) {
                at = at.max(self.sent_at[nth] + MINUTE);
            }
        }
        Some(at)
    }

    fn take_next(&mut self) -> Option<Arc<SendJob>> {
        // The order is the priority: questions, then edits, then notices.
        let queues = [&mut self.cards, &mut self.edits, &mut self.notices];
        let job = queues.into_iter().find_map(VecDeque::pop_front)?;
        let send_job = Arc::clone(&job.job);
        self.in_flight = Some(job);
        Some(send_job)
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
        // Every attempt counts against the limits, also a failed one, because Telegram counts requests.
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

    /// Blocks a chat that refuses the bot. Waiting jobs stay, except immediate ones, which would come too
    /// late.
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
        // Without waiting jobs there is nothing to retry, so the next message tries whether the chat
        // accepts it.
        if self.pending_count() == 0 {
            return;
        }
        let tries = self.blocked.take().map_or(0, |(_, tries)| tries);
        let pause = backoff_delay(pace.initial_chat_backoff, pace.max_chat_backoff, tries, chance);
        self.blocked = Some((error, tries.saturating_add(1)));
        self.next_send_at = Some(now + pause);
    }

    /// Puts a failed job back to the front. A later edit of the same message replaces it, and after too many
    /// failures it goes to the end.
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

    /// Merges an edit into a later waiting edit of the same message. Returns any other job.
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
    /// Whether the job was refused because it is a file. Texts may be permitted in the same chat.
    fn needs_document_right(&self, error: &BotError) -> bool {
        let is_document = matches!(&*self.job, SendJob::Send { outgoing: OutgoingMessage::Document(_), .. });
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

/// How long to wait before a retry; none if a retry can't help.
fn retry_delay(error: &BotError, failures: u32, pace: &SendTiming, chance: f64) -> Option<Duration> {
    match error {
        BotError::RetryAfter(after) => Some(after.wait()),
        BotError::ServerError(_) | BotError::Conflict | BotError::Network(_) | BotError::InvalidResponse => {
            Some(backoff_delay(pace.initial_backoff, pace.max_backoff, failures, chance))
        }
        BotError::Unauthorized | BotError::Blocked | BotError::Migrated(_) | BotError::Refused(_) => None,
    }
}

/// A pause that doubles with each failure. `chance` shortens it by up to half, so that many clients don't
/// retry at once.
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
