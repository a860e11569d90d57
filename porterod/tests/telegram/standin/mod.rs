//! A stand-in for Telegram: the Bot API over HTTP on loopback, as strict as Telegram is, with the people who
//! talk to the bot and with bad weather on demand.
//!
//! It lives in the test's own runtime and never waits by itself: whatever it does, a test asked for.

#![allow(dead_code, reason = "each test program uses a part of it")]

mod groups;
mod http;
mod methods;
mod people;
mod state;
mod weather;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub(crate) use state::{Call, Shown};
pub(crate) use weather::Fault;

use state::State;

/// The token that it knows.
pub(crate) const TOKEN: &str = "4711:AA-stand_in-secret";
/// The bot's name.
pub(crate) const USERNAME: &str = "portero_test_bot";

/// What every wait of a test ends with.
const SOON: Duration = Duration::from_secs(20);

/// Telegram, as far as a bot sees it. It ends when it is dropped, and fails the test if the bot did something
/// that Telegram forgives and Portero must not do.
pub(crate) struct StandIn {
    shared: Arc<Shared>,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

/// What the connections share.
struct Shared {
    state: Mutex<State>,
    /// Something changed.
    changed: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let value = change(&mut self.state());
        self.changed.notify_waiters();
        value
    }
}

impl StandIn {
    /// A Telegram in which nobody has talked to the bot yet.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Notify::new() });
        let serving = tokio::spawn(http::serve(listener, Arc::clone(&shared)));
        Self { shared, address, serving }
    }

    /// Its address, for `telegram.apiUrl`.
    pub(crate) fn api_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The messages of a chat that are there, the oldest first, the person's own among them.
    pub(crate) fn messages(&self, chat: i64) -> Vec<Shown> {
        self.shared.state().messages_of(chat)
    }

    /// The bot's own messages in a chat.
    pub(crate) fn by_bot(&self, chat: i64) -> Vec<Shown> {
        self.messages(chat).into_iter().filter(|message| message.by_bot).collect()
    }

    /// The calls of a method, the refused ones too.
    pub(crate) fn calls(&self, method: &str) -> Vec<Call> {
        self.shared.state().calls.iter().filter(|call| call.method == method).cloned().collect()
    }

    /// The names of the commands that a chat offers.
    pub(crate) fn menu(&self, chat: i64) -> Vec<String> {
        let commands = self.shared.state().commands.get(&chat).and_then(Value::as_array).cloned();
        let name = |command: &Value| command["command"].as_str().unwrap_or_default().to_owned();
        commands.unwrap_or_default().iter().map(name).collect()
    }

    /// The texts that presses were answered with, by the press.
    pub(crate) fn answer_to(&self, query: &str) -> Option<Value> {
        self.shared.state().queries.get(query).and_then(|query| query.answer.clone())
    }

    /// What the bot did that Telegram forgives and Portero must not do.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.shared.state().complaints.clone()
    }

    /// Waits until something is so, and says `what` if it does not come.
    pub(crate) async fn until<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let changed = self.shared.changed.notified();
                if let Some(found) = look(self) {
                    return found;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(SOON, waiting).await {
            Ok(found) => found,
            Err(_) => panic!("not in time: {what}"),
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.serving.abort();
        if !std::thread::panicking() {
            let complaints = self.complaints();
            assert!(complaints.is_empty(), "the bot does what it must not: {complaints:#?}");
        }
    }
}
