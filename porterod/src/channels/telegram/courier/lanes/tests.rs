use super::*;
use crate::channels::telegram::bot::{Document, Network, Refusal, RetryAfter};
use crate::channels::telegram::text::Message;

const JANE: ChatId = ChatId(501);
const JOE: ChatId = ChatId(502);
const GROUP: ChatId = ChatId(-7);
const SECOND: Duration = Duration::from_secs(1);

/// Lanes with a clock that a test moves.
struct World {
    lanes: Lanes,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self { lanes: Lanes::new(Pace::default()), now: Instant::now() }
    }

    fn post(
        &mut self,
        chat: ChatId,
        text: &str,
        rank: Rank,
    ) -> oneshot::Receiver<Result<MessageId, Undelivered>> {
        let (done, outcome) = oneshot::channel();
        let letter = Letter::Text(words(text), None);
        let errand = Errand::Send { cause: Cause::new("test", text), letter, topic: None };
        self.lanes.hand_in(chat, errand, Some(rank), done);
        outcome
    }

    fn change(&mut self, message: i64, edit: Edit) -> oneshot::Receiver<Result<MessageId, Undelivered>> {
        let (done, outcome) = oneshot::channel();
        self.lanes.hand_in(JANE, Errand::Edit { message: MessageId(message), edit }, None, done);
        outcome
    }

    fn press(&mut self, name: &str) {
        self.lanes.answer(QueryId(name.to_owned()), None, false, self.now);
    }

    /// What goes now.
    fn goes(&mut self) -> Option<(Ticket, String)> {
        match self.lanes.next(self.now) {
            Next::Go(parcel) => Some((parcel.ticket, told(&parcel.errand))),
            Next::At(_) | Next::Nothing => None,
        }
    }

    /// What goes now, and arrives.
    fn arrives(&mut self) -> Option<String> {
        let (ticket, told) = self.goes()?;
        self.settle(ticket, Ok(MessageId(9)));
        Some(told)
    }

    fn settle(&mut self, ticket: Ticket, result: Result<MessageId, BotError>) {
        self.lanes.settle(ticket, result, self.now, 0.0);
    }

    /// How long until the next thing may go.
    fn wait(&mut self) -> Option<Duration> {
        match self.lanes.next(self.now) {
            Next::At(at) => Some(at - self.now),
            Next::Go(parcel) => panic!("{parcel:?}"),
            Next::Nothing => None,
        }
    }
}

fn words(text: &str) -> Message {
    Message { text: text.to_owned(), entities: Vec::new() }
}

fn told(errand: &Errand) -> String {
    match errand {
        Errand::Send { letter: Letter::Text(text, _) | Letter::Question(text), .. } => text.text.clone(),
        Errand::Send { letter: Letter::Document(document), .. } => document.name().to_owned(),
        Errand::Send { letter: Letter::Topic(name), .. } => name.clone(),
        Errand::Edit { message, edit: Edit::Text(text, _) } => format!("{}: {}", message.0, text.text),
        Errand::Edit { message, edit: Edit::Keyboard(_) } => format!("{}: keyboard", message.0),
        Errand::Answer { query, .. } => query.0.clone(),
    }
}

fn text(text: &str) -> Edit {
    Edit::Text(words(text), None)
}

#[test]
fn answers_go_first_then_cards_then_changes_then_notices() {
    let mut world = World::new();
    drop(world.post(JANE, "notice", Rank::Notice));
    drop(world.change(1, text("change")));
    drop(world.post(JANE, "card", Rank::Card));
    world.press("press");
    let mut order = Vec::new();
    while order.len() < 4 {
        order.extend(world.arrives());
        world.now += SECOND;
    }
    assert_eq!(order, ["press", "card", "1: change", "notice"]);
}

#[test]
fn a_chat_gets_one_message_a_second_and_holds_up_no_other() {
    let mut world = World::new();
    for name in ["a", "b"] {
        drop(world.post(JANE, name, Rank::Card));
    }
    drop(world.post(JOE, "c", Rank::Card));
    assert_eq!(
        (world.arrives(), world.arrives(), world.arrives()),
        (Some("a".into()), Some("c".into()), None)
    );
    assert_eq!(world.wait(), Some(SECOND));
    world.now += SECOND;
    assert_eq!(world.arrives().as_deref(), Some("b"));
}

#[test]
fn nothing_overtakes_what_is_under_way() {
    let mut world = World::new();
    drop(world.post(JANE, "a", Rank::Card));
    drop(world.post(JANE, "b", Rank::Card));
    let (ticket, _) = world.goes().unwrap();
    world.now += 60 * SECOND;
    assert_eq!(world.wait(), None);
    world.settle(ticket, Ok(MessageId(1)));
    assert_eq!(world.wait(), Some(SECOND));
}

#[test]
fn a_group_gets_twenty_messages_a_minute() {
    let mut world = World::new();
    for at in 0..30 {
        drop(world.post(GROUP, &at.to_string(), Rank::Card));
    }
    let (mut sent, mut seconds) = (0, 0);
    while sent < 21 {
        sent += usize::from(world.arrives().is_some());
        if sent < 21 {
            world.now += SECOND;
            seconds += 1;
        }
    }
    assert_eq!(seconds, 60);
}

#[test]
fn too_many_requests_are_waited_out_for_that_chat() {
    let mut world = World::new();
    let mut outcome = world.post(JANE, "card", Rank::Card);
    let (ticket, _) = world.goes().unwrap();
    world.settle(ticket, Err(BotError::RetryAfter(RetryAfter::asked(37 * SECOND))));
    assert_eq!(world.wait(), Some(37 * SECOND));
    drop(world.post(JOE, "other", Rank::Card));
    assert_eq!(world.arrives().as_deref(), Some("other"));
    assert!(outcome.try_recv().is_err(), "it still waits");
    world.now += 37 * SECOND;
    assert_eq!(world.arrives().as_deref(), Some("card"));
    assert_eq!(outcome.try_recv().unwrap(), Ok(MessageId(9)));
}

#[test]
fn failures_are_tried_again_ever_more_slowly_and_lose_nothing() {
    let mut world = World::new();
    let mut outcome = world.post(JANE, "card", Rank::Card);
    drop(world.post(JANE, "later", Rank::Card));
    let mut pauses = Vec::new();
    for error in [
        BotError::Server(502),
        BotError::Network(Network::Lost),
        BotError::Nonsense,
        BotError::Conflict,
        BotError::Server(500),
        BotError::Network(Network::Slow),
        BotError::Server(503),
        BotError::Server(503),
    ] {
        let (ticket, told) = world.goes().unwrap();
        assert_eq!(told, "card", "nothing overtakes it");
        world.settle(ticket, Err(error));
        let pause = world.wait().unwrap();
        pauses.push(pause.as_secs());
        world.now += pause;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(world.arrives().as_deref(), Some("card"));
    assert_eq!(outcome.try_recv().unwrap(), Ok(MessageId(9)));
    assert_eq!(world.wait(), Some(SECOND), "all is well again");
}

#[test]
fn what_fails_again_and_again_lets_others_go_first() {
    let mut world = World::new();
    let mut outcome = world.post(JANE, "stuck", Rank::Card);
    drop(world.post(JANE, "later", Rank::Card));
    for _ in 0..FAILURES_FIRST {
        let (ticket, told) = world.goes().unwrap();
        assert_eq!(told, "stuck");
        world.settle(ticket, Err(BotError::Server(500)));
        world.now += 60 * SECOND;
    }
    assert_eq!(world.arrives().as_deref(), Some("later"));
    world.now += SECOND;
    assert!(outcome.try_recv().is_err(), "it is not dropped");
    assert_eq!(world.arrives().as_deref(), Some("stuck"));
    assert_eq!(outcome.try_recv().unwrap(), Ok(MessageId(9)));
}

#[test]
fn chance_shortens_a_pause_by_up_to_half() {
    let pause = |chance| doubled(SECOND, 60 * SECOND, 2, chance);
    assert_eq!((pause(0.0), pause(0.5), pause(1.0)), (4 * SECOND, 3 * SECOND, 2 * SECOND));
    assert_eq!(doubled(SECOND, 60 * SECOND, u32::MAX, 0.0), 60 * SECOND);
}

#[test]
fn what_telegram_refuses_is_told_and_not_tried_again() {
    let mut world = World::new();
    for (error, told) in [
        (BotError::Refused(Refusal::TooLong), Undelivered::Refused(Refusal::TooLong)),
        // The next courier knows the chat by its new number.
        (BotError::Moved(ChatId(-9)), Undelivered::Closed),
    ] {
        let mut outcome = world.post(JANE, "card", Rank::Card);
        let (ticket, _) = world.goes().unwrap();
        world.settle(ticket, Err(error));
        assert_eq!(outcome.try_recv().unwrap(), Err(told));
        world.now += SECOND;
    }
    assert_eq!(world.lanes.waiting(), 0);
}

#[test]
fn of_the_changes_of_a_message_the_last_one_is_made() {
    let mut world = World::new();
    let mut first = world.change(1, text("one"));
    drop(world.change(2, text("other")));
    let mut last = world.change(1, text("two"));
    assert_eq!(world.arrives().as_deref(), Some("1: two"));
    assert_eq!((first.try_recv().unwrap(), last.try_recv().unwrap()), (Ok(MessageId(9)), Ok(MessageId(9))));
    world.now += SECOND;
    assert_eq!(world.arrives().as_deref(), Some("2: other"));
    assert_eq!(world.lanes.waiting(), 0);
}

#[test]
fn a_keyboard_that_goes_leaves_the_text_that_waits() {
    let mut world = World::new();
    drop(world.change(1, text("new text")));
    drop(world.change(1, Edit::Keyboard(None)));
    assert_eq!(world.arrives().as_deref(), Some("1: new text"));
}

#[test]
fn a_change_that_failed_gives_way_to_a_later_one() {
    let mut world = World::new();
    let mut first = world.change(1, text("one"));
    let (ticket, _) = world.goes().unwrap();
    drop(world.change(1, text("two")));
    world.settle(ticket, Err(BotError::Server(502)));
    world.now += SECOND;
    assert_eq!(world.arrives().as_deref(), Some("1: two"));
    assert_eq!(first.try_recv().unwrap(), Ok(MessageId(9)));
    assert_eq!(world.lanes.waiting(), 0);
}

#[test]
fn the_same_cause_is_sent_once() {
    let mut world = World::new();
    let mut outcomes = vec![world.post(JANE, "card", Rank::Card), world.post(JANE, "card", Rank::Card)];
    let (ticket, _) = world.goes().unwrap();
    outcomes.push(world.post(JANE, "card", Rank::Card));
    world.settle(ticket, Ok(MessageId(3)));
    for mut outcome in outcomes {
        assert_eq!(outcome.try_recv().unwrap(), Ok(MessageId(3)));
    }
    assert_eq!(world.lanes.waiting(), 0);
}

#[test]
fn too_many_notices_drop_the_oldest_and_never_a_card() {
    let mut world = World::new();
    let mut cards: Vec<_> = (0..1000).map(|at| world.post(JANE, &format!("card {at}"), Rank::Card)).collect();
    let mut oldest = world.post(JANE, "oldest", Rank::Notice);
    for at in 0..NOTICES_MOST {
        drop(world.post(JANE, &at.to_string(), Rank::Notice));
    }
    assert_eq!(oldest.try_recv().unwrap(), Err(Undelivered::Dropped));
    assert!(cards.iter_mut().all(|card| card.try_recv().is_err()), "all of them wait");
    assert_eq!(world.lanes.waiting(), 1000 + NOTICES_MOST);
}

#[test]
fn an_answer_waits_for_no_message_and_is_not_tried_for_ever() {
    let mut world = World::new();
    drop(world.post(JANE, "card", Rank::Card));
    let (card, _) = world.goes().unwrap();
    world.press("press");
    let (press, _) = world.goes().unwrap();
    world.settle(press, Err(BotError::Server(502)));
    world.settle(card, Err(BotError::RetryAfter(RetryAfter::asked(600 * SECOND))));
    let mut tries = 1;
    while let Some(pause) = world.wait().filter(|pause| *pause < 100 * SECOND) {
        world.now += pause;
        let (press, told) = world.goes().unwrap();
        assert_eq!(told, "press");
        world.settle(press, Err(BotError::Server(502)));
        tries += 1;
    }
    assert_eq!(tries, 4, "after 1, 3 and 7 seconds");
}

#[test]
fn presses_beyond_measure_drop_the_oldest() {
    let mut world = World::new();
    for at in 0..=ANSWERS_MOST {
        world.press(&at.to_string());
    }
    assert_eq!(world.goes().unwrap().1, "1");
    for _ in 1..ANSWERS_AT_ONCE {
        assert!(world.goes().is_some());
    }
    assert_eq!(world.wait(), None, "no more at once");
}

#[test]
fn whoever_waits_learns_that_the_channel_ended() {
    let mut world = World::new();
    let mut before = world.post(JANE, "card", Rank::Card);
    world.lanes.close();
    assert!(matches!(before.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
    assert_eq!(world.post(JANE, "other", Rank::Card).try_recv().unwrap(), Err(Undelivered::Closed));
    assert_eq!(world.lanes.waiting(), 0);
}

#[test]
fn a_flood_of_notices_leaves_room_in_a_groups_minute_for_a_question() {
    let mut world = World::new();
    for number in 0..30 {
        drop(world.post(GROUP, &format!("notice {number}"), Rank::Notice));
    }
    let mut told = Vec::new();
    while let Some(text) = world.arrives() {
        told.push(text);
        world.now += SECOND;
    }
    assert_eq!(told.len(), 15, "{told:?}");
    drop(world.post(GROUP, "question", Rank::Card));
    assert_eq!(world.arrives().as_deref(), Some("question"));
    assert!(world.wait().is_some_and(|wait| wait > 20 * SECOND), "notices wait for the next minute");
}

#[test]
fn a_groups_minute_goes_on_while_nothing_waits_there() {
    let mut world = World::new();
    for number in 0..20 {
        drop(world.post(GROUP, &number.to_string(), Rank::Card));
        assert!(world.arrives().is_some());
        // It is idle for a while.
        assert_eq!(world.wait(), None);
        world.now += 2 * SECOND;
        assert_eq!(world.wait(), None);
    }
    drop(world.post(GROUP, "the 21st", Rank::Card));
    assert_eq!(world.wait(), Some(20 * SECOND), "Telegram counted those that were sent");
    world.now += 60 * SECOND;
    assert!(world.arrives().is_some());
    world.now += 61 * SECOND;
    assert_eq!(world.wait(), None);
    assert!(world.lanes.chats.is_empty(), "nothing is kept of a chat in which nothing happens");
}

#[test]
fn the_next_lanes_know_what_former_ones_sent() {
    let mut world = World::new();
    for number in 0..20 {
        drop(world.post(GROUP, &number.to_string(), Rank::Card));
        assert!(world.arrives().is_some());
        world.now += SECOND;
    }
    world.lanes.close();
    let spent = world.lanes.spent();
    world.lanes = Lanes::new(Pace::default());
    world.lanes.count(spent);
    drop(world.post(GROUP, "the 21st", Rank::Card));
    assert_eq!(world.wait(), Some(40 * SECOND));
}

#[test]
fn a_chat_that_takes_nothing_is_tried_ever_more_rarely_and_nothing_is_lost() {
    for error in [
        BotError::Blocked,
        BotError::Refused(Refusal::ChatUnknown),
        BotError::Refused(Refusal::NoRightToWrite),
    ] {
        let mut world = World::new();
        let mut card = world.post(JANE, "card", Rank::Card);
        let mut notice = world.post(JANE, "notice", Rank::Notice);
        let mut edit = world.change(1, text("change"));
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let (ticket, told) = world.goes().unwrap();
            assert_eq!(told, "card", "nothing overtakes it");
            world.settle(ticket, Err(error.clone()));
            assert_eq!(world.lanes.barred(), Some(error.clone()));
            let pause = world.wait().unwrap();
            pauses.push(pause.as_secs());
            world.now += pause;
        }
        assert_eq!(pauses, [60, 120, 240, 480, 600, 600]);
        drop(world.post(JOE, "other", Rank::Card));
        let (ticket, _) = world.goes().unwrap();
        assert_eq!(ticket, Ticket::Chat(JANE), "each chat goes by itself");
        world.settle(ticket, Err(error));
        assert_eq!(world.arrives().as_deref(), Some("other"));
        assert!(card.try_recv().is_err() && notice.try_recv().is_err() && edit.try_recv().is_err());

        world.lanes.retry(JANE, world.now);
        for told in ["card", "1: change", "notice"] {
            assert_eq!(world.arrives().as_deref(), Some(told));
            world.now += SECOND;
        }
        assert_eq!(card.try_recv().unwrap(), Ok(MessageId(9)));
        assert_eq!(world.lanes.barred(), None);
    }
}

#[test]
fn what_is_worth_something_now_only_is_not_sent_later() {
    let mut world = World::new();
    let mut card = world.post(JANE, "card", Rank::Card);
    let mut queued = world.post(JANE, "prompt", Rank::Prompt);
    let (ticket, _) = world.goes().unwrap();
    world.settle(ticket, Err(BotError::Blocked));
    let mut late = world.post(JANE, "another", Rank::Prompt);
    for prompt in [&mut queued, &mut late] {
        assert_eq!(prompt.try_recv().unwrap(), Err(Undelivered::Unreachable));
    }
    assert!(card.try_recv().is_err(), "the card waits");
    let mut alone = world.post(JOE, "alone", Rank::Prompt);
    let (ticket, _) = world.goes().unwrap();
    world.settle(ticket, Err(BotError::Blocked));
    assert_eq!(alone.try_recv().unwrap(), Err(Undelivered::Unreachable));
}

#[test]
fn a_group_that_takes_no_files_takes_texts() {
    let mut world = World::new();
    let (done, mut outcome) = oneshot::channel();
    let document = Document::new("call.json", b"{}".to_vec(), None).unwrap();
    let errand =
        Errand::Send { cause: Cause::new("document", 1), letter: Letter::Document(document), topic: None };
    world.lanes.hand_in(JANE, errand, Some(Rank::Card), done);
    let (ticket, _) = world.goes().unwrap();
    world.settle(ticket, Err(BotError::Refused(Refusal::NoRightToWrite)));
    assert_eq!(outcome.try_recv().unwrap(), Err(Undelivered::Refused(Refusal::NoRightToWrite)));
    drop(world.post(JANE, "card", Rank::Card));
    world.now += SECOND;
    assert_eq!(world.arrives().as_deref(), Some("card"));
}
