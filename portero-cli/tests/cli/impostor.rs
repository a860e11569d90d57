//! A process of the same user that listens in the daemon's place gets nothing, and nothing is believed of it.

#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use portero::identity::StoreKey;
use portero::ipc::{Greeted, Hello, Listener, Lock, Welcome};
use serde_json::json;

use crate::agent::{Agent, text};
use crate::terminal::{on_terminal, set_passphrase};
use crate::world::{World, eventually};

/// Speaks the protocol as the daemon does; it is this test program.
struct Impostor {
    greeted: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Impostor {
    fn new(world: &World) -> Self {
        let (greeted, asked, stop) = (Arc::default(), Arc::default(), Arc::default());
        let mut impostor = Self { greeted, asked, stop, thread: None };
        let (socket, lock) = (world.path("run/portero.sock"), world.path("run/portero.lock"));
        let (greeted, asked) = (Arc::clone(&impostor.greeted), Arc::clone(&impostor.asked));
        let stop = Arc::clone(&impostor.stop);
        let (ready, listens) = std::sync::mpsc::channel();
        impostor.thread = Some(std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = Listener::bind(&socket, Lock::take(&lock).unwrap()).await.unwrap();
                ready.send(()).unwrap();
                let own = StoreKey::of_store(&[1; 32]);
                let welcome = |hello: &Hello| Ok(Welcome::sign(hello, &own, "1".into(), "open".into()));
                while !stop.load(Ordering::SeqCst) {
                    let wait = std::time::Duration::from_millis(20);
                    let Ok(Ok(accepted)) = tokio::time::timeout(wait, listener.accept()).await else {
                        continue;
                    };
                    let Ok(Greeted { mut inbox, outbox: _outbox, .. }) = accepted.greet("1", welcome).await
                    else {
                        continue;
                    };
                    greeted.fetch_add(1, Ordering::SeqCst);
                    while let Some(incoming) = inbox.next().await {
                        asked.lock().unwrap().push(serde_json::to_string(&incoming).unwrap());
                    }
                }
            });
        }));
        listens.recv().unwrap();
        impostor
    }

    fn greeted(&self) -> usize {
        self.greeted.load(Ordering::SeqCst)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().unwrap().join();
    }
}

#[test]
fn a_terminal_asks_for_no_passphrase_where_the_daemons_program_does_not_listen() {
    let world = World::with_office();
    set_passphrase(&world);
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    let impostor = Impostor::new(&world);
    for words in [&["allow", "office/*"][..], &["passphrase", "set"], &["grant", "office/*", "1h"]] {
        let mut terminal = on_terminal(&world, words);
        let end = expectrl::Expect::expect(&mut terminal, "is not the daemon").unwrap();
        let shown = String::from_utf8_lossy(end.before()).into_owned();
        assert!(!shown.contains("assphrase"), "{words:?}: {shown}");
        expectrl::Expect::expect(&mut terminal, expectrl::Eof).unwrap();
    }
    let said = world.run(&["status"]);
    assert_eq!(said.code, 3, "{}", said.err);
    assert!(said.err.contains("type no passphrase"), "{}", said.err);
    assert!(impostor.greeted() >= 4);
    assert_eq!(impostor.asked(), [] as [&str; 0], "it was asked nothing");
}

#[test]
fn a_session_believes_nothing_of_it_and_goes_on_without_the_daemon() {
    let world = World::with_office();
    world.json(&["daemon", "start"]);
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    let impostor = Impostor::new(&world);
    let mut agent = Agent::connect(&world, &[]);
    text(&agent.call("office__read_mail", &json!({"id": 1})));
    let refused = agent.call("office__send_mail", &json!({"to": "a@b.test", "subject": "x", "body": "y"}));
    assert!(refused.to_string().contains("is not the daemon"), "{refused}");
    eventually("the session tried it", || (impostor.greeted() > 0).then_some(()));
    assert_eq!(impostor.asked(), [] as [&str; 0], "it was told nothing");
}
