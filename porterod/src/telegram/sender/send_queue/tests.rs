use super::*;
use crate::telegram::client::{DocumentUpload, NetworkFailure, Refusal, RetryAfter};
use crate::telegram::text::FormattedText;

const JANE: ChatId = ChatId(501);
const JOE: ChatId = ChatId(502);
const GROUP: ChatId = ChatId(-7);
const SECOND: Duration = Duration::from_secs(1);

/// Lanes with a clock that a test moves.
struct QueueFixture {
    queue: SendQueue,
    now: Instant,
}

impl QueueFixture {
    fn new() -> Self {
        Self { queue: SendQueue::new(SendTiming::default()), now: Instant::now() }
    }

    fn enqueue_text(
        &mut self,
        chat: ChatId,
        text: &str,
        rank: SendPriority,
    ) -> oneshot::Receiver<Result<MessageId, DeliveryError>> {
        let (done, outcome) = oneshot::channel();
        let outgoing = OutgoingMessage::Text(message_of(text), None);
        let send_job = SendJob::Send { cause: MessageKey::new("test", text), outgoing, topic: None };
        self.queue.enqueue(chat, send_job, Some(rank), done);
        outcome
    }

    fn enqueue_edit(
        &mut self,
        message: i64,
        edit: MessageEdit,
    ) -> oneshot::Receiver<Result<MessageId, DeliveryError>> {
        let (done, outcome) = oneshot::channel();
        self.queue.enqueue(JANE, SendJob::Edit { message: MessageId(message), edit }, None, done);
        outcome
    }

    fn enqueue_press(&mut self, name: &str) {
        self.queue.enqueue_answer(QueryId(name.to_owned()), None, false, self.now);
    }

    /// What goes now.
    fn next_due(&mut self) -> Option<(JobSource, String)> {
        match self.queue.next_job(self.now) {
            NextJob::Due(due) => Some((due.source, describe_job(&due.job))),
            NextJob::WaitUntil(_) | NextJob::Idle => None,
        }
    }

    /// What goes now, and arrives.
    fn deliver_next(&mut self) -> Option<String> {
        let (ticket, told) = self.next_due()?;
        self.settle_job(ticket, Ok(MessageId(9)));
        Some(told)
    }

    fn settle_job(&mut self, ticket: JobSource, result: Result<MessageId, BotError>) {
        self.queue.settle_job(ticket, result, self.now, 0.0);
    }

    /// How long until the next thing may go.
    fn time_to_next(&mut self) -> Option<Duration> {
        match self.queue.next_job(self.now) {
            NextJob::WaitUntil(at) => Some(at - self.now),
            NextJob::Due(due) => panic!("{due:?}"),
            NextJob::Idle => None,
        }
    }
}

fn message_of(text: &str) -> FormattedText {
    FormattedText { text: text.to_owned(), entities: Vec::new() }
}

fn describe_job(send_job: &SendJob) -> String {
    match send_job {
        SendJob::Send {
            outgoing: OutgoingMessage::Text(text, _) | OutgoingMessage::Question(text), ..
        } => text.text.clone(),
        SendJob::Send { outgoing: OutgoingMessage::Document(document), .. } => document.name().to_owned(),
        SendJob::Send { outgoing: OutgoingMessage::CreateTopic(name), .. } => name.clone(),
        SendJob::Edit { message, edit: MessageEdit(text, _) } => {
            format!("{}: {}", message.0, text.text)
        }
        SendJob::Answer { query, .. } => query.0.clone(),
    }
}

fn text_edit(text: &str) -> MessageEdit {
    MessageEdit(message_of(text), None)
}

#[test]
fn answers_go_first_then_cards_then_changes_then_notices() {
    let mut world = QueueFixture::new();
    drop(world.enqueue_text(JANE, "notice", SendPriority::Notice));
    drop(world.enqueue_edit(1, text_edit("change")));
    drop(world.enqueue_text(JANE, "card", SendPriority::Required));
    world.enqueue_press("press");
    let mut order = Vec::new();
    while order.len() < 4 {
        order.extend(world.deliver_next());
        world.now += SECOND;
    }
    assert_eq!(order, ["press", "card", "1: change", "notice"]);
}

#[test]
fn a_chat_gets_one_message_a_second_and_holds_up_no_other() {
    let mut world = QueueFixture::new();
    for name in ["a", "b"] {
        drop(world.enqueue_text(JANE, name, SendPriority::Required));
    }
    drop(world.enqueue_text(JOE, "c", SendPriority::Required));
    assert_eq!(
        (world.deliver_next(), world.deliver_next(), world.deliver_next()),
        (Some("a".into()), Some("c".into()), None)
    );
    assert_eq!(world.time_to_next(), Some(SECOND));
    world.now += SECOND;
    assert_eq!(world.deliver_next().as_deref(), Some("b"));
}

#[test]
fn nothing_overtakes_what_is_under_way() {
    let mut world = QueueFixture::new();
    drop(world.enqueue_text(JANE, "a", SendPriority::Required));
    drop(world.enqueue_text(JANE, "b", SendPriority::Required));
    let (ticket, _) = world.next_due().unwrap();
    world.now += 60 * SECOND;
    assert_eq!(world.time_to_next(), None);
    world.settle_job(ticket, Ok(MessageId(1)));
    assert_eq!(world.time_to_next(), Some(SECOND));
}

#[test]
fn a_group_gets_twenty_messages_a_minute() {
    let mut world = QueueFixture::new();
    for at in 0..30 {
        drop(world.enqueue_text(GROUP, &at.to_string(), SendPriority::Required));
    }
    let (mut sent, mut seconds) = (0, 0);
    while sent < 21 {
        sent += usize::from(world.deliver_next().is_some());
        if sent < 21 {
            world.now += SECOND;
            seconds += 1;
        }
    }
    assert_eq!(seconds, 60);
}

#[test]
fn too_many_requests_are_waited_out_for_that_chat() {
    let mut world = QueueFixture::new();
    let mut outcome = world.enqueue_text(JANE, "card", SendPriority::Required);
    let (ticket, _) = world.next_due().unwrap();
    world.settle_job(ticket, Err(BotError::RetryAfter(RetryAfter::from_requested(37 * SECOND))));
    assert_eq!(world.time_to_next(), Some(37 * SECOND));
    drop(world.enqueue_text(JOE, "other", SendPriority::Required));
    assert_eq!(world.deliver_next().as_deref(), Some("other"));
    assert!(outcome.try_recv().is_err(), "it still waits");
    world.now += 37 * SECOND;
    assert_eq!(world.deliver_next().as_deref(), Some("card"));
    assert_eq!(outcome.try_recv().unwrap(), Ok(MessageId(9)));
}

#[test]
fn failures_are_tried_again_ever_more_slowly_and_lose_nothing() {
    let mut world = QueueFixture::new();
    let mut outcome = world.enqueue_text(JANE, "card", SendPriority::Required);
    drop(world.enqueue_text(JANE, "later", SendPriority::Required));
    let mut pauses = Vec::new();
    for error in [
        BotError::ServerError(502),
        BotError::Network(NetworkFailure::Lost),
        BotError::InvalidResponse,
        BotError::Conflict,
        BotError::ServerError(500),
        BotError::Network(NetworkFailure::TimedOut),
        BotError::ServerError(503),
        BotError::ServerError(503),
    ] {
        let (ticket, told) = world.next_due().unwrap();
        assert_eq!(told, "card", "nothing overtakes it");
        world.settle_job(ticket, Err(error));
        let pause = world.time_to_next().unwrap();
        pauses.push(pause.as_secs());
        world.now += pause;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(world.deliver_next().as_deref(), Some("card"));
    assert_eq!(outcome.try_recv().unwrap(), Ok(MessageId(9)));
    assert_eq!(world.time_to_next(), Some(SECOND), "all is well again");
}

#[test]
fn what_fails_again_and_again_lets_others_go_first() {
    let mut world = QueueFixture::new();
    let mut outcome = world.enqueue_text(JANE, "stuck", SendPriority::Required);
    drop(world.enqueue_text(JANE, "later", SendPriority::Required));
    for _ in 0..MAX_FAILURES_AT_FRONT {
        let (ticket, told) = world.next_due().unwrap();
        assert_eq!(told, "stuck");
        world.settle_job(ticket, Err(BotError::ServerError(500)));
        world.now += 60 * SECOND;
    }
    assert_eq!(world.deliver_next().as_deref(), Some("later"));
    world.now += SECOND;
    assert!(outcome.try_recv().is_err(), "it is not dropped");
    assert_eq!(world.deliver_next().as_deref(), Some("stuck"));
    assert_eq!(outcome.try_recv().unwrap(), Ok(MessageId(9)));
}

#[test]
fn chance_shortens_a_pause_by_up_to_half() {
    let pause = |chance| backoff_delay(SECOND, 60 * SECOND, 2, chance);
    assert_eq!((pause(0.0), pause(0.5), pause(1.0)), (4 * SECOND, 3 * SECOND, 2 * SECOND));
    assert_eq!(backoff_delay(SECOND, 60 * SECOND, u32::MAX, 0.0), 60 * SECOND);
}

#[test]
fn what_telegram_refuses_is_told_and_not_tried_again() {
    let mut world = QueueFixture::new();
    for (error, told) in [
        (BotError::Refused(Refusal::TooLong), DeliveryError::Refused(Refusal::TooLong)),
        // The next sender knows the chat by its new number.
        (BotError::Migrated(ChatId(-9)), DeliveryError::Closed),
    ] {
        let mut outcome = world.enqueue_text(JANE, "card", SendPriority::Required);
        let (ticket, _) = world.next_due().unwrap();
        world.settle_job(ticket, Err(error));
        assert_eq!(outcome.try_recv().unwrap(), Err(told));
        world.now += SECOND;
    }
    assert_eq!(world.queue.pending_count(), 0);
}

#[test]
fn of_the_changes_of_a_message_the_last_one_is_made() {
    let mut world = QueueFixture::new();
    let mut first = world.enqueue_edit(1, text_edit("one"));
    drop(world.enqueue_edit(2, text_edit("other")));
    let mut last = world.enqueue_edit(1, text_edit("two"));
    assert_eq!(world.deliver_next().as_deref(), Some("1: two"));
    assert_eq!((first.try_recv().unwrap(), last.try_recv().unwrap()), (Ok(MessageId(9)), Ok(MessageId(9))));
    world.now += SECOND;
    assert_eq!(world.deliver_next().as_deref(), Some("2: other"));
    assert_eq!(world.queue.pending_count(), 0);
}

#[test]
fn a_change_that_failed_gives_way_to_a_later_one() {
    let mut world = QueueFixture::new();
    let mut first = world.enqueue_edit(1, text_edit("one"));
    let (ticket, _) = world.next_due().unwrap();
    drop(world.enqueue_edit(1, text_edit("two")));
    world.settle_job(ticket, Err(BotError::ServerError(502)));
    world.now += SECOND;
    assert_eq!(world.deliver_next().as_deref(), Some("1: two"));
    assert_eq!(first.try_recv().unwrap(), Ok(MessageId(9)));
    assert_eq!(world.queue.pending_count(), 0);
}

#[test]
fn the_same_cause_is_sent_once() {
    let mut world = QueueFixture::new();
    let mut outcomes = vec![
        world.enqueue_text(JANE, "card", SendPriority::Required),
        world.enqueue_text(JANE, "card", SendPriority::Required),
    ];
    let (ticket, _) = world.next_due().unwrap();
    outcomes.push(world.enqueue_text(JANE, "card", SendPriority::Required));
    world.settle_job(ticket, Ok(MessageId(3)));
    for mut outcome in outcomes {
        assert_eq!(outcome.try_recv().unwrap(), Ok(MessageId(3)));
    }
    assert_eq!(world.queue.pending_count(), 0);
}

#[test]
fn too_many_notices_drop_the_oldest_and_never_a_card() {
    let mut world = QueueFixture::new();
    let mut cards: Vec<_> =
        (0..1000).map(|at| world.enqueue_text(JANE, &format!("card {at}"), SendPriority::Required)).collect();
    let mut oldest = world.enqueue_text(JANE, "oldest", SendPriority::Notice);
    for at in 0..MAX_QUEUED_NOTICES {
        drop(world.enqueue_text(JANE, &at.to_string(), SendPriority::Notice));
    }
    assert_eq!(oldest.try_recv().unwrap(), Err(DeliveryError::Dropped));
    assert!(cards.iter_mut().all(|card| card.try_recv().is_err()), "all of them wait");
    assert_eq!(world.queue.pending_count(), 1000 + MAX_QUEUED_NOTICES);
}

#[test]
fn an_answer_waits_for_no_message_and_is_not_tried_for_ever() {
    let mut world = QueueFixture::new();
    drop(world.enqueue_text(JANE, "card", SendPriority::Required));
    let (card, _) = world.next_due().unwrap();
    world.enqueue_press("press");
    let (press, _) = world.next_due().unwrap();
    world.settle_job(press, Err(BotError::ServerError(502)));
    world.settle_job(card, Err(BotError::RetryAfter(RetryAfter::from_requested(600 * SECOND))));
    let mut tries = 1;
    while let Some(pause) = world.time_to_next().filter(|pause| *pause < 100 * SECOND) {
        world.now += pause;
        let (press, told) = world.next_due().unwrap();
        assert_eq!(told, "press");
        world.settle_job(press, Err(BotError::ServerError(502)));
        tries += 1;
    }
    assert_eq!(tries, 4, "after 1, 3 and 7 seconds");
}

#[test]
fn presses_beyond_measure_drop_the_oldest() {
    let mut world = QueueFixture::new();
    for at in 0..=MAX_QUEUED_ANSWERS {
        world.enqueue_press(&at.to_string());
    }
    assert_eq!(world.next_due().unwrap().1, "1");
    for _ in 1..MAX_ANSWERS_IN_FLIGHT {
        assert!(world.next_due().is_some());
    }
    assert_eq!(world.time_to_next(), None, "no more at once");
}

#[test]
fn whoever_waits_learns_that_the_channel_ended() {
    let mut world = QueueFixture::new();
    let mut before = world.enqueue_text(JANE, "card", SendPriority::Required);
    world.queue.close();
    assert!(matches!(before.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
    assert_eq!(
        world.enqueue_text(JANE, "other", SendPriority::Required).try_recv().unwrap(),
        Err(DeliveryError::Closed)
    );
    assert_eq!(world.queue.pending_count(), 0);
}

#[test]
fn a_flood_of_notices_leaves_room_in_a_groups_minute_for_a_question() {
    let mut world = QueueFixture::new();
    for number in 0..30 {
        drop(world.enqueue_text(GROUP, &format!("notice {number}"), SendPriority::Notice));
    }
    let mut told = Vec::new();
    while let Some(text) = world.deliver_next() {
        told.push(text);
        world.now += SECOND;
    }
    assert_eq!(told.len(), 15, "{told:?}");
    drop(world.enqueue_text(GROUP, "question", SendPriority::Required));
    assert_eq!(world.deliver_next().as_deref(), Some("question"));
    assert!(world.time_to_next().is_some_and(|wait| wait > 20 * SECOND), "notices wait for the next minute");
}

#[test]
fn a_groups_minute_goes_on_while_nothing_waits_there() {
    let mut world = QueueFixture::new();
    for number in 0..20 {
        drop(world.enqueue_text(GROUP, &number.to_string(), SendPriority::Required));
        assert!(world.deliver_next().is_some());
        // It is idle for a while.
        assert_eq!(world.time_to_next(), None);
        world.now += 2 * SECOND;
        assert_eq!(world.time_to_next(), None);
    }
    drop(world.enqueue_text(GROUP, "the 21st", SendPriority::Required));
    assert_eq!(world.time_to_next(), Some(20 * SECOND), "Telegram counted those that were sent");
    world.now += 60 * SECOND;
    assert!(world.deliver_next().is_some());
    world.now += 61 * SECOND;
    assert_eq!(world.time_to_next(), None);
    assert!(world.queue.chats.is_empty(), "nothing is kept of a chat in which nothing happens");
}

#[test]
fn the_next_lanes_know_what_former_ones_sent() {
    let mut world = QueueFixture::new();
    for number in 0..20 {
        drop(world.enqueue_text(GROUP, &number.to_string(), SendPriority::Required));
        assert!(world.deliver_next().is_some());
        world.now += SECOND;
    }
    world.queue.close();
    let spent = world.queue.usage();
    world.queue = SendQueue::new(SendTiming::default());
    world.queue.add_usage(spent);
    drop(world.enqueue_text(GROUP, "the 21st", SendPriority::Required));
    assert_eq!(world.time_to_next(), Some(40 * SECOND));
}

#[test]
fn a_chat_that_takes_nothing_is_tried_ever_more_rarely_and_nothing_is_lost() {
    for error in [
        BotError::Blocked,
        BotError::Refused(Refusal::ChatUnknown),
        BotError::Refused(Refusal::WriteForbidden),
    ] {
        let mut world = QueueFixture::new();
        let mut card = world.enqueue_text(JANE, "card", SendPriority::Required);
        let mut notice = world.enqueue_text(JANE, "notice", SendPriority::Notice);
        let mut edit = world.enqueue_edit(1, text_edit("change"));
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let (ticket, told) = world.next_due().unwrap();
            assert_eq!(told, "card", "nothing overtakes it");
            world.settle_job(ticket, Err(error.clone()));
            assert_eq!(world.queue.blocked_reason(), Some(error.clone()));
            let pause = world.time_to_next().unwrap();
            pauses.push(pause.as_secs());
            world.now += pause;
        }
        assert_eq!(pauses, [60, 120, 240, 480, 600, 600]);
        drop(world.enqueue_text(JOE, "other", SendPriority::Required));
        let (ticket, _) = world.next_due().unwrap();
        assert_eq!(ticket, JobSource::Chat(JANE), "each chat goes by itself");
        world.settle_job(ticket, Err(error));
        assert_eq!(world.deliver_next().as_deref(), Some("other"));
        assert!(card.try_recv().is_err() && notice.try_recv().is_err() && edit.try_recv().is_err());

        world.queue.retry_chat(JANE, world.now);
        for told in ["card", "1: change", "notice"] {
            assert_eq!(world.deliver_next().as_deref(), Some(told));
            world.now += SECOND;
        }
        assert_eq!(card.try_recv().unwrap(), Ok(MessageId(9)));
        assert_eq!(world.queue.blocked_reason(), None);
    }
}

#[test]
fn what_is_worth_something_now_only_is_not_sent_later() {
    let mut world = QueueFixture::new();
    let mut card = world.enqueue_text(JANE, "card", SendPriority::Required);
    let mut queued = world.enqueue_text(JANE, "prompt", SendPriority::Immediate);
    let (ticket, _) = world.next_due().unwrap();
    world.settle_job(ticket, Err(BotError::Blocked));
    let mut late = world.enqueue_text(JANE, "another", SendPriority::Immediate);
    for prompt in [&mut queued, &mut late] {
        assert_eq!(prompt.try_recv().unwrap(), Err(DeliveryError::Unreachable));
    }
    assert!(card.try_recv().is_err(), "the card waits");
    let mut alone = world.enqueue_text(JOE, "alone", SendPriority::Immediate);
    let (ticket, _) = world.next_due().unwrap();
    world.settle_job(ticket, Err(BotError::Blocked));
    assert_eq!(alone.try_recv().unwrap(), Err(DeliveryError::Unreachable));
}

#[test]
fn a_group_that_takes_no_files_takes_texts() {
    let mut world = QueueFixture::new();
    let (done, mut outcome) = oneshot::channel();
    let document = DocumentUpload::new("call.json", b"{}".to_vec(), None).unwrap();
    let send_job = SendJob::Send {
        cause: MessageKey::new("document", 1),
        outgoing: OutgoingMessage::Document(document),
        topic: None,
    };
    world.queue.enqueue(JANE, send_job, Some(SendPriority::Required), done);
    let (ticket, _) = world.next_due().unwrap();
    world.settle_job(ticket, Err(BotError::Refused(Refusal::WriteForbidden)));
    assert_eq!(outcome.try_recv().unwrap(), Err(DeliveryError::Refused(Refusal::WriteForbidden)));
    drop(world.enqueue_text(JANE, "card", SendPriority::Required));
    world.now += SECOND;
    assert_eq!(world.deliver_next().as_deref(), Some("card"));
}
