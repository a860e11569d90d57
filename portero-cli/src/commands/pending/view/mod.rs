//! The full-screen view of what waits: to read, to approve, to reject.
//!
//! [`state`] holds what is shown, [`keys`] says what a key does to it, [`layout`] and [`draw`] make a frame of
//! it; none of these knows a terminal. [`screen`] is the terminal, and this brings them together with the
//! daemon. It stands on the terminal itself, whatever stdin and stdout are.

mod act;
mod draw;
#[cfg(test)]
mod fixture;
mod keys;
mod layout;
mod screen;
mod state;

use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;
use portero::ipc::Client;
use tokio::sync::mpsc;

use super::super::Context;
use super::follow::{Heard, follow};
use crate::failure::{Failure, Outcome};
use crate::signals::End;
use keys::Effect;
use screen::{Input, Screen};
use state::{Acted, View};

/// How often ages and times left are drawn anew.
const TICK: Duration = Duration::from_secs(1);
/// How much may wait to be shown; then the daemon waits.
const WAITING: usize = 16;

pub(super) async fn run(context: &Context) -> Outcome {
    // Said before anything is started where there is no terminal.
    screen::check()?;
    let daemon = context.daemon().await?;
    let mut end = End::listen();
    let (mut screen, mut inputs) = Screen::open()?;
    let (to, mut heard) = mpsc::channel(WAITING);
    let following = tokio::spawn(follow(daemon, context.paths.clone(), to));
    let mut sitting = Sitting { view: View::new(Timestamp::now(), screen.size()?), client: None, act: None };
    let outcome = sitting.run(&mut screen, &mut inputs, &mut heard, &mut end).await;
    following.abort();
    outcome
}

/// What came of an act, once it does.
type Act = Pin<Box<dyn Future<Output = Acted>>>;

struct Sitting {
    view: View,
    client: Option<Client>,
    act: Option<Act>,
}

impl Sitting {
    async fn run(
        &mut self,
        screen: &mut Screen,
        inputs: &mut mpsc::Receiver<Input>,
        heard: &mut mpsc::Receiver<Heard>,
        end: &mut End,
    ) -> Outcome {
        loop {
            self.view.now = Timestamp::now();
            screen.draw(&self.view)?;
            tokio::select! {
                input = inputs.recv() => {
                    if self.take(input) {
                        return Ok(());
                    }
                }
                Some(heard) = heard.recv() => self.hear(heard)?,
                acted = done(&mut self.act) => {
                    self.act = None;
                    self.view.acted(acted);
                }
                () = tokio::time::sleep(TICK) => {}
                () = end.told() => return Ok(()),
            }
        }
    }

    /// Whether the person leaves, or the terminal is gone.
    fn take(&mut self, input: Option<Input>) -> bool {
        match input {
            Some(Input::Key(key)) => match self.view.key(key) {
                Some(Effect::Quit) => return true,
                Some(effect) => self.act = Some(self.begin(effect)),
                None => {}
            },
            Some(Input::Paste(text)) => self.view.paste(&text),
            Some(Input::Resize(size)) => self.view.resize(size),
            None => return true,
        }
        false
    }

    fn begin(&self, effect: Effect) -> Act {
        match self.client.clone() {
            Some(client) => Box::pin(act::act(client, effect)),
            None => {
                Box::pin(async { Acted::Failed("there is no daemon at present; nothing changed".to_owned()) })
            }
        }
    }

    fn hear(&mut self, heard: Heard) -> Result<(), Failure> {
        match heard {
            Heard::Up(client) => {
                self.client = Some(client);
                if self.view.lost.take().is_some() {
                    "the daemon is back".clone_into(&mut self.view.says);
                }
            }
            Heard::Down(why) => {
                self.client = None;
                self.view.lost = Some(why);
            }
            Heard::Paused(paused) => self.view.paused = paused,
            Heard::Anew(waiting) => self.view.anew(&waiting),
            Heard::Waits(look) => self.view.waits(*look),
            Heard::Entry(entry) => self.view.hear(&entry),
            Heard::Failed(failure) => return Err(failure),
        }
        Ok(())
    }
}

async fn done(act: &mut Option<Act>) -> Acted {
    match act {
        Some(act) => act.await,
        None => std::future::pending().await,
    }
}
