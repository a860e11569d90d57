//! What a person is told without being asked: what sessions did, in few messages.

use std::time::Duration;

use portero::audit::{Event, Outcome, Record, Segment};
use portero::clock::Clock as _;
use serde_json::{Value, json};

use crate::standin::{Shown, StandIn, TOKEN};
use crate::world::{JANE, World};

/// A session's records, beside the daemon's.
struct Session {
    segment: Segment,
    calls: u64,
}

impl Session {
    fn of(world: &World) -> Self {
        let segment = Segment::open(&world.paths().audit(), "portero test", world.clock.now()).unwrap();
        Self { segment, calls: 0 }
    }

    fn record(&self, world: &World, event: Event) {
        let record = Record { at: world.clock.now().wall, session: None, principal: None, event };
        self.segment.append(&record).unwrap();
    }

    fn ran(&mut self, world: &World, tool: &str, outcome: Outcome) {
        self.calls += 1;
        let (call, tool) = (self.calls, tool.parse().unwrap());
        self.record(world, Event::Outcome { call, tool, outcome, micros: 1 });
    }

    fn refused(&self, world: &World, tool: &str) {
        let reason = "denied by @evil http://evil.example".to_owned();
        self.record(world, Event::Refused { tool: tool.parse().unwrap(), reason });
    }
}

async fn world(notices: &Value) -> World {
    let world = World::without_bot().await;
    world.configure(&json!({
        "token": TOKEN, "apiUrl": world.telegram.api_url(), "admin": JANE, "notices": notices,
    }));
    world.telegram.say(JANE, "/start");
    let world = world.started().await;
    world.serves().await;
    world
}

fn told(it: &StandIn) -> Vec<Shown> {
    let begins = |shown: &Shown| ["Refused", "Failed", "Ran"].iter().any(|word| shown.text.starts_with(word));
    it.by_bot(JANE).into_iter().filter(begins).collect()
}

async fn first(world: &World) -> String {
    world.telegram.until("a notice", |it| told(it).into_iter().next()).await.text
}

#[tokio::test]
async fn what_sessions_did_is_told_in_one_message() {
    let world = world(&json!({"every": "1s"})).await;
    let mut session = Session::of(&world);
    for _ in 0..200 {
        session.ran(&world, "files/read_file", Outcome::Done);
    }
    session.ran(&world, "files/write_file", Outcome::Failed);
    session.refused(&world, "shell/run");
    let text = first(&world).await;
    assert_eq!(
        text,
        "Refused\n1 × shell/run\nFailed\n1 × files/write_file\nRan without asking\n200 × files/read_file"
    );
    let world = world.restarted().await;
    world.serves().await;
    Session::of(&world).ran(&world, "files/later", Outcome::Done);
    let second = world.telegram.until("another", |it| told(it).into_iter().nth(1)).await;
    assert_eq!(second.text, "Ran without asking\n1 × files/later", "nothing old is told again");
}

#[tokio::test]
async fn what_is_off_is_not_told_and_quiet_hours_are_told_when_they_are_over() {
    let notices = json!({
        "every": "1s", "level": "errors", "servers": {"shell": "off"},
        "quiet": {"from": "11:00", "to": "13:00", "zone": "UTC"},
    });
    let world = world(&notices).await;
    let mut session = Session::of(&world);
    session.ran(&world, "files/read_file", Outcome::Done);
    session.refused(&world, "shell/run");
    session.refused(&world, "files/delete");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(told(&world.telegram).is_empty(), "it is quiet");
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(first(&world).await, "Refused\n1 × files/delete");
}
