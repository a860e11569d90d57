//! A fake Telegram: the Bot API over HTTP on loopback, as strict as Telegram is, with the people who
//! talk to the bot and with faults on demand.
//!
//! It lives in the test's own runtime and never waits by itself: whatever it does, a test asked for.

#![allow(dead_code, reason = "each test program uses a part of it")]

mod faults;
mod groups;
mod http;
mod methods;
mod state;
mod users;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub(crate) use faults::Fault;
pub(crate) use state::{ApiCall, ShownMessage};
pub(crate) use users::is_button;

use state::FakeState;

/// The token that it knows.
pub(crate) const TOKEN: &str = "4711:AA-fake-secret";
/// The bot's name.
pub(crate) const USERNAME: &str = "portero_test_bot";

/// What every wait of a test ends with.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Telegram, as far as a bot sees it. It ends when it is dropped, and fails the test if the bot did something
/// that Telegram forgives and Portero must not do.
pub(crate) struct FakeTelegram {
    shared: Arc<SharedState>,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

/// What the connections share.
struct SharedState {
    state: Mutex<FakeState>,
    /// Something changed.
    changed: Notify,
}

impl SharedState {
    fn lock_state(&self) -> MutexGuard<'_, FakeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_state<T>(&self, change: impl FnOnce(&mut FakeState) -> T) -> T {
        let value = change(&mut self.lock_state());
        self.changed.notify_waiters();
        value
    }
}

impl FakeTelegram {
    /// A Telegram in which nobody has talked to the bot yet.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(SharedState { state: Mutex::default(), changed: Notify::new() });
        let serving = tokio::spawn(http::serve(listener, Arc::clone(&shared)));
        Self { shared, address, serving }
    }

    /// Its address, for `telegram.apiUrl`.
    pub(crate) fn api_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The messages of a chat that are there, the oldest first, the person's own among them.
    pub(crate) fn messages(&self, chat: i64) -> Vec<ShownMessage> {
        self.shared.lock_state().messages_in(chat)
    }

    /// The bot's own messages in a chat.
    pub(crate) fn bot_messages(&self, chat: i64) -> Vec<ShownMessage> {
        self.messages(chat).into_iter().filter(|message| message.by_bot).collect()
    }

    /// The calls of a method, the refused ones too.
    pub(crate) fn calls(&self, method: &str) -> Vec<ApiCall> {
        self.shared.lock_state().calls.iter().filter(|call| call.method == method).cloned().collect()
    }

    /// The names of the commands that a chat offers.
    pub(crate) fn menu_commands(&self, chat: i64) -> Vec<String> {
        let commands = self.shared.lock_state().commands.get(&chat).and_then(Value::as_array).cloned();
        let name = |command: &Value| command["command"].as_str().unwrap_or_default().to_owned();
        commands.unwrap_or_default().iter().map(name).collect()
    }

    /// The texts that presses were answered with, by the press.
    pub(crate) fn press_answer(&self, query: &str) -> Option<Value> {
        self.shared.lock_state().queries.get(query).and_then(|query| query.answer.clone())
    }

    /// What the bot did that Telegram forgives and Portero must not do.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.shared.lock_state().complaints.clone()
    }

    /// Waits until something is so, and says `what` if it does not come.
    pub(crate) async fn wait_until<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        match tokio::time::timeout(WAIT_TIMEOUT, self.until(look)).await {
            Ok(found) => found,
            Err(_) => panic!("not in time: {what}"),
        }
    }

    /// Waits until something is so, however long that takes.
    pub(crate) async fn until<T>(&self, look: impl Fn(&Self) -> Option<T>) -> T {
        loop {
            let changed = self.shared.changed.notified();
            if let Some(found) = look(self) {
                return found;
            }
            changed.await;
        }
    }
}

impl Drop for FakeTelegram {
    fn drop(&mut self) {
        self.serving.abort();
        if !std::thread::panicking() {
            let complaints = self.complaints();
            assert!(complaints.is_empty(), "the bot does what it must not: {complaints:#?}");
        }
    }
}
