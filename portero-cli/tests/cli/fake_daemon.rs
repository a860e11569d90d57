//! A process of the same user that listens in the daemon's place gets nothing, and nothing is believed of it.

#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use portero::ipc::{DaemonListener, DaemonLock, GreetedPeer, Hello, Welcome};
use portero::store_identity::StoreKey;
use serde_json::json;

use crate::agent::{Agent, result_text};
use crate::terminal::{set_passphrase, spawn_on_terminal};
use crate::test_support::{TestHome, eventually};

/// Speaks the protocol as the daemon does; it is this test program.
struct FakeDaemon {
    greeted: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl FakeDaemon {
    fn start(world: &TestHome) -> Self {
        let (greeted, asked, stop) = (Arc::default(), Arc::default(), Arc::default());
        let mut impostor = Self { greeted, asked, stop, thread: None };
        let (socket, lock) = (world.path("run/portero.sock"), world.path("run/portero.lock"));
        let (greeted, asked) = (Arc::clone(&impostor.greeted), Arc::clone(&impostor.asked));
        let stop = Arc::clone(&impostor.stop);
        let (ready, listens) = std::sync::mpsc::channel();
        impostor.thread = Some(std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener =
                    DaemonListener::bind(&socket, DaemonLock::acquire(&lock).unwrap()).await.unwrap();
                ready.send(()).unwrap();
                let own = StoreKey::from_store_key(&[1; 32]);
                let welcome = |hello: &Hello| Ok(Welcome::sign(hello, &own, "1".into(), "open".into()));
                while !stop.load(Ordering::SeqCst) {
                    let wait = std::time::Duration::from_millis(20);
                    let Ok(Ok(accepted)) = tokio::time::timeout(wait, listener.accept()).await else {
                        continue;
                    };
                    let Ok(GreetedPeer { mut receiver, sender: _sender, .. }) =
                        accepted.greet_peer("1", welcome).await
                    else {
                        continue;
                    };
                    greeted.fetch_add(1, Ordering::SeqCst);
                    while let Some(incoming) = receiver.next_message().await {
                        asked.lock().unwrap().push(serde_json::to_string(&incoming).unwrap());
                    }
                }
            });
        }));
        listens.recv().unwrap();
        impostor
    }

    fn greeted_count(&self) -> usize {
        self.greeted.load(Ordering::SeqCst)
    }

    fn requests(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().unwrap().join();
    }
}

#[test]
fn a_terminal_asks_for_no_passphrase_where_the_daemons_program_does_not_listen() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    let impostor = FakeDaemon::start(&world);
    for words in [&["allow", "office/*"][..], &["passphrase", "set"], &["grant", "office/*", "1h"]] {
        let mut terminal = spawn_on_terminal(&world, words);
        let end = expectrl::Expect::expect(&mut terminal, "is not the daemon").unwrap();
        let shown = String::from_utf8_lossy(end.before()).into_owned();
        assert!(!shown.contains("assphrase"), "{words:?}: {shown}");
        expectrl::Expect::expect(&mut terminal, expectrl::Eof).unwrap();
    }
    let said = world.run(&["status"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("type no passphrase"), "{}", said.stderr);
    assert!(impostor.greeted_count() >= 4);
    assert_eq!(impostor.requests(), [] as [&str; 0], "it was asked nothing");
}

#[test]
fn a_session_believes_nothing_of_it_and_goes_on_without_the_daemon() {
    let world = TestHome::with_office();
    world.json(&["daemon", "start"]);
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    let impostor = FakeDaemon::start(&world);
    let mut agent = Agent::connect(&world, &[]);
    result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
    let refused =
        agent.call_tool("office__send_mail", &json!({"to": "a@b.test", "subject": "x", "body": "y"}));
    assert!(refused.to_string().contains("is not the daemon"), "{refused}");
    eventually("the session tried it", || (impostor.greeted_count() > 0).then_some(()));
    assert_eq!(impostor.requests(), [] as [&str; 0], "it was told nothing");
}
