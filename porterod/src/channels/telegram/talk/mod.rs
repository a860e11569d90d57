//! The chat: a person types a command and reads the answer.
//!
//! A command becomes the request that the terminal makes too. What narrows is done at once; what widens is first
//! shown with a button, which confirms exactly what was shown.

mod activity;
mod asked;
mod bounds;
pub mod command;
mod head;
mod look;
mod menu;
mod mistake;
mod news;
mod notice;
mod page;
mod records;
mod trail;
mod unshown;
mod widen;

use std::sync::Arc;

use jiff::tz::TimeZone;
use portero::ipc::requests::overrides::{CreateRule, Pause, RemoveRule, RevokeGrants};
use portero::ipc::{Acting, Failure};
use portero::pipeline::BoxFuture;
use portero::policy::Action;
use tokio::sync::watch;

use self::command::{Command, Mistake, Narrow, Widen};
use self::page::Sheet;
use self::trail::Trail;
use super::bot::{ChatId, Press, Room, TopicId};
use super::courier::Courier;
use super::door::Word;
use super::ear::{Flow, Heard, Receipt};
use super::screens::{self, View};
use super::text::Message;
use crate::api::{self, Change};
use crate::daemon::Daemon;
use crate::pairing::{Circle, Person};
use crate::store::StoreError;
use crate::taps::{self, Act, Found, Taps, Turned, Wider};

/// Answers commands. Clones are the same.
#[derive(Clone)]
pub struct Talk {
    daemon: Arc<Daemon>,
    taps: Taps,
    zone: TimeZone,
    /// Who is to be told, while the bot can be written to.
    link: watch::Sender<Option<(Courier, Circle)>>,
    served: watch::Sender<menu::Served>,
}

/// Whom to answer, and to what.
#[derive(Debug, Clone)]
pub struct Here {
    /// Who spoke.
    pub person: Person,
    /// To answer.
    pub courier: Courier,
    /// What they said, as an update.
    pub receipt: Receipt,
    /// In which topic of the group they said it.
    pub topic: Option<TopicId>,
}

impl Here {
    /// Where the answer goes.
    const fn room(&self) -> Room {
        Room { chat: ChatId(self.person.chat), topic: self.topic }
    }
}

impl Talk {
    /// For a person in this zone.
    #[must_use]
    pub fn new(daemon: Arc<Daemon>, zone: TimeZone) -> Self {
        let taps = Taps::new(Arc::clone(&daemon.journal));
        Self { daemon, taps, zone, link: watch::Sender::new(None), served: watch::Sender::new(None) }
    }

    /// The person wrote this. It returns once what narrows is in force; what is looked at comes later.
    ///
    /// # Errors
    /// When the store cannot be written: then nothing was answered, and it may come again.
    pub async fn said(&self, text: Option<&str>, here: &Here) -> Result<(), StoreError> {
        let text = text.unwrap_or_default();
        match self.read(text) {
            Err(Mistake::Elsewhere) => Ok(()),
            // People in a group also talk to each other, and to other bots.
            Err(Mistake::NoCommand | Mistake::Unknown(..))
                if here.person.owner().is_none() && !self.is_named(text) =>
            {
                Ok(())
            }
            Err(mistake) => self.answer(here, mistake::said(&mistake)).await,
            Ok(Command::Look(look)) => {
                let (talk, here, text) = (self.clone(), here.clone(), text.to_owned());
                self.daemon.work.spawn(async move {
                    let trail = Trail::default();
                    let answer = talk.look(&look, here.person, &trail).await;
                    if let Err(error) = talk.send(&here, &Sheet::of(answer, &text, trail)).await {
                        tracing::error!(%error, "a question on Telegram could not be answered");
                    }
                });
                Ok(())
            }
            Ok(Command::Narrow(narrow)) => {
                let done = self.narrow(narrow, here.person).await;
                self.answer(here, self.outcome(&done, here.person)).await
            }
            Ok(Command::Unrule(id)) => match self.unruled(id) {
                Some(wider) => self.ask(&wider, here).await,
                None => {
                    let request = RemoveRule { id, challenge: None };
                    let done = api::request_as(&self.daemon, here.person, request).await;
                    let done = done.map(|()| Change::Count(1));
                    self.answer(here, self.outcome(&done, here.person)).await
                }
            },
            Ok(Command::Widen(widen)) => match self.wider(widen) {
                Ok(wider) => self.ask(&wider, here).await,
                Err(failure) => self.answer(here, screens::failure(&failure)).await,
            },
        }
    }

    /// The person pressed one of the chat's buttons.
    async fn pressed(&self, press: Press, found: Found, here: &Here) -> Result<(), StoreError> {
        let Some((_, _, message)) = press.place else { return Ok(()) };
        let word = match found {
            Found::Show(turned) => {
                if let Some(page) = page::turned(&turned.what) {
                    self.turn(page, turned.spot, message, here).await?;
                } else if let Some(page) = notice::opened(&turned.what) {
                    self.open_notice(page, turned.spot, message, here).await?;
                }
                None
            }
            Found::Restrict(restricting) => {
                let (words, is_alert) = self.restrict(&restricting, message, here).await;
                here.courier.answer(press.query, Some(words), is_alert);
                return Ok(());
            }
            Found::RestrictAgain(restricting) => {
                Some(self.restricted_before(&restricting, message, here).await?)
            }
            Found::Widen(affirmed) => {
                self.confirmed(affirmed, message, here).await?;
                None
            }
            Found::Answer(answered) => Some(self.answered(answered).await?),
            Found::Again(Act::Widen(_), _) => Some("This is done.".to_owned()),
            Found::Again(Act::Answer(answer), _) => Some(self.answered_before(answer)?),
            Found::Decide(_) | Found::Again(..) | Found::Used | Found::Unsent | Found::Void => None,
        };
        here.courier.answer(press.query, word, false);
        Ok(())
    }

    fn read(&self, text: &str) -> Result<Command, Mistake> {
        command::read(text, &self.username())
    }

    /// Whether a command names the bot that is to follow it.
    fn is_named(&self, text: &str) -> bool {
        let name = text.split_whitespace().next().and_then(|word| word.strip_prefix('/')?.split_once('@'));
        name.is_some_and(|(_, bot)| bot.eq_ignore_ascii_case(&self.username()))
    }

    fn username(&self) -> String {
        self.daemon.weather.seen().username.unwrap_or_default()
    }

    /// What is to be confirmed.
    fn wider(&self, widen: Widen) -> Result<Wider, Failure> {
        Ok(match widen {
            Widen::Grant(pattern, lasts, bounds) => {
                let millis = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
                Wider::Grant(pattern, millis, bounds::limits(&self.daemon, &bounds)?)
            }
            Widen::Allow(pattern) => Wider::Allow(pattern),
            Widen::Resume => Wider::Resume,
        })
    }

    /// What ending this rule widens; none where it narrows, or there is no such rule.
    fn unruled(&self, id: u64) -> Option<Wider> {
        let rules = self.daemon.rules.standing().rules;
        let rule = rules.into_iter().find(|rule| rule.id == id)?;
        match rule.action {
            Action::Allow => None,
            Action::RequireApproval | Action::Deny => Some(Wider::Unrule(id, rule.pattern, rule.action)),
        }
    }

    async fn answer(&self, here: &Here, pages: Vec<Message>) -> Result<(), StoreError> {
        self.send(here, &Sheet::new(pages, "")).await
    }

    async fn narrow(&self, narrow: Narrow, person: Person) -> Result<Change, Failure> {
        let daemon = &self.daemon;
        let rule = |pattern, action| {
            api::request_as(daemon, person, CreateRule { pattern, action, challenge: None })
        };
        match narrow {
            Narrow::Revoke(id) => {
                let which = id.map_or(Acting::All, |id| Acting::On(vec![id]));
                api::request_as(daemon, person, RevokeGrants { which }).await.map(Change::Count)
            }
            Narrow::Ask(pattern) => rule(pattern, Action::RequireApproval).await.map(Change::Ruled),
            Narrow::Deny(pattern) => rule(pattern, Action::Deny).await.map(Change::Ruled),
            Narrow::Pause => api::request_as(daemon, person, Pause).await.map(Change::Paused),
        }
    }

    fn outcome(&self, done: &Result<Change, Failure>, person: Person) -> Vec<Message> {
        match done {
            Ok(change) => screens::done(change, doer(person), &self.view()),
            Err(failure) => screens::failure(failure),
        }
    }

    fn view(&self) -> View<'_> {
        View { now: self.daemon.clock.now().wall, zone: &self.zone }
    }
}

impl Flow for Talk {
    fn linked(&self, courier: &Courier, circle: Option<Circle>) {
        let chat = circle.as_ref().map(|circle| ChatId(circle.chat()));
        self.served.send_replace(Some((courier.clone(), chat)));
        if let Some(circle) = &circle {
            let (talk, courier, circle) = (self.clone(), courier.clone(), circle.clone());
            self.daemon.work.spawn(async move { talk.redraw_notices(&courier, &circle).await });
        }
        self.link.send_replace(circle.map(|circle| (courier.clone(), circle)));
    }

    fn hear(&self, heard: Heard) -> BoxFuture<'_, Result<(), StoreError>> {
        // What widens and was overtaken does not come here.
        let Heard { word, person, courier, receipt, is_overtaken: _ } = heard;
        let topic = match &word {
            Word::Said(said) => said.topic,
            Word::Pressed(_) => None,
        };
        let here = Here { person, courier, receipt, topic };
        Box::pin(async move {
            match word {
                Word::Said(said) => self.said(said.text.as_deref(), &here).await,
                Word::Pressed(press) => {
                    let carried = press.data.as_deref().unwrap_or_default();
                    let found = self.taps.pressed(carried, of(&press, &here))?;
                    self.pressed(press, found, &here).await
                }
            }
        })
    }
}

impl std::fmt::Debug for Talk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Talk").finish_non_exhaustive()
    }
}

/// Whether a press is one of the chat's buttons.
pub(super) fn is_its(found: &Found) -> bool {
    match found {
        Found::Widen(_)
        | Found::Answer(_)
        | Found::Again(Act::Widen(_) | Act::Restrict(_) | Act::Answer(_), _)
        | Found::Restrict(_)
        | Found::RestrictAgain(_) => true,
        Found::Show(Turned { what, .. }) | Found::Again(Act::Show(what), _) => {
            page::turned(what).is_some() || notice::opened(what).is_some()
        }
        Found::Decide(_) | Found::Again(Act::Decide(_), _) | Found::Used | Found::Unsent | Found::Void => {
            false
        }
    }
}

fn of(press: &Press, here: &Here) -> taps::Press {
    let (chat, message) = press.place.map_or((0, 0), |(chat, _, message)| (chat.0, message.0));
    let (bot, update) = here.receipt.numbers();
    taps::Press { bot, chat, user: press.from.0, message, update }
}

/// Who did something, where several could have.
const fn doer(person: Person) -> Option<i64> {
    match person.owner() {
        Some(_) => None,
        None => Some(person.user),
    }
}
