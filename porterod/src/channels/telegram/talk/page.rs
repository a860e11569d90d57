//! Pages that a person turns: each press makes the page anew from the command that was typed, and for a list from
//! where the page before ended.

use serde::{Deserialize, Serialize};

use super::super::bot::{Button, ChatId, Keyboard, MessageId};
use super::super::courier::{Edit, Letter, Rank};
use super::super::keyboard::turns;
use super::super::screens;
use super::super::text::Message;
use super::command::Command;
use super::look::Answer;
use super::trail::{Place, Trail};
use super::{Here, Talk, doer};
use crate::store::StoreError;
use crate::taps::{Act, Redrawing, Spot, Widening};

/// What the chat's own buttons begin with.
const OURS: &str = "talk ";
/// What follows where nothing is to be done.
const NO: &str = "no";
/// What those below a terminal's question begin with that turn its pages.
pub(super) const ASKED: &str = "asked ";

/// An answer: its pages, of which one is shown.
pub(super) struct Sheet<'a> {
    pages: Vec<Message>,
    page: usize,
    /// The command that makes it.
    words: &'a str,
    /// What its button confirms.
    confirms: Option<Widening>,
    /// In a list, which part of it this is, and where the next one begins.
    trail: Trail,
    next: Option<Place>,
}

/// What a button of the chat shows.
pub(super) enum Page {
    /// A page of the answer to a command.
    Of(Turn),
    /// This page of what a terminal asks for.
    Asked(usize, i64),
    /// That nothing is done.
    Nothing,
}

/// Which page of which answer.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Turn {
    /// The command.
    words: String,
    /// The part of the list that it answers with.
    #[serde(default)]
    trail: Trail,
    /// The page of that part.
    #[serde(default)]
    page: usize,
}

/// Reads what a button shows; none where it is not the chat's.
pub(super) fn turned(what: &str) -> Option<Page> {
    if let Some(asked) = what.strip_prefix(ASKED) {
        let (page, question) = asked.split_once(' ')?;
        return Some(Page::Asked(page.parse().ok()?, question.parse().ok()?));
    }
    match what.strip_prefix(OURS)? {
        NO => Some(Page::Nothing),
        turn => serde_json::from_str(turn).ok().map(Page::Of),
    }
}

impl<'a> Sheet<'a> {
    pub(super) fn new(pages: Vec<Message>, words: &'a str) -> Self {
        Self { pages, page: 0, words, confirms: None, trail: Trail::default(), next: None }
    }

    /// What was looked at, this part of it.
    pub(super) fn of(answer: Answer, words: &'a str, trail: Trail) -> Self {
        Self { trail, next: answer.next, ..Self::new(answer.pages, words) }
    }

    pub(super) fn confirming(self, widening: Widening) -> Self {
        Self { confirms: Some(widening), ..self }
    }

    /// With this page open, or the last where there are fewer.
    pub(super) fn at(self, page: usize) -> Self {
        Self { page: page.min(self.pages.len().saturating_sub(1)), ..self }
    }

    /// The yes stands below the last page: whoever gives it has turned them all.
    fn buttons(&self) -> Vec<Vec<(String, Act)>> {
        let show = |page: usize, trail: Trail| {
            let turn = Turn { words: self.words.to_owned(), trail, page };
            Act::Show(format!("{OURS}{}", portero::json::raw(&turn).get()))
        };
        let turning = turns(self.page, self.pages.len()).into_iter();
        let turning = turning.map(|(label, page)| (label, show(page, self.trail.clone()))).collect();
        let ways = self.trail.ways(self.next.as_ref()).into_iter();
        let ways = ways.map(|(label, trail)| (label.to_owned(), show(0, trail))).collect();
        let mut rows: Vec<Vec<_>> = vec![turning, ways];
        if let Some(widening) = &self.confirms {
            let last = self.page + 1 == self.pages.len();
            let yes = last.then(|| ("✅ Confirm".to_owned(), Act::Widen(widening.clone())));
            let no = ("❌ Not now".to_owned(), Act::Show(format!("{OURS}{NO}")));
            rows.push(yes.into_iter().chain([no]).collect());
        }
        rows.retain(|row| !row.is_empty());
        rows
    }
}

impl Talk {
    /// Sends an answer.
    pub(super) async fn send(&self, here: &Here, sheet: &Sheet<'_>) -> Result<(), StoreError> {
        let Some(message) = sheet.pages.get(sheet.page) else { return Ok(()) };
        let cause = here.receipt.cause();
        let spot = Spot {
            bot: here.courier.bot().0,
            chat: here.person.chat,
            user: here.person.owner(),
            cause: cause.as_str().to_owned(),
        };
        let (keyboard, redrawing) = self.keyboard_of(spot, sheet.buttons()).await?;
        let letter = Letter::Text(message.clone(), keyboard);
        let answer = here.courier.send(here.room(), letter, Rank::Card, cause.clone());
        self.followed(here, cause, answer, redrawing);
        Ok(())
    }

    /// Puts an answer in the place of what a message shows.
    pub(super) async fn put(
        &self,
        here: &Here,
        (spot, message): (Spot, MessageId),
        sheet: &Sheet<'_>,
    ) -> Result<(), StoreError> {
        let Some(text) = sheet.pages.get(sheet.page) else { return Ok(()) };
        let (keyboard, redrawing) = self.keyboard_of(spot, sheet.buttons()).await?;
        let page = here.courier.edit(ChatId(here.person.chat), message, Edit::Text(text.clone(), keyboard));
        self.followed(here, here.receipt.cause(), page, redrawing);
        Ok(())
    }

    /// Shows what a button shows.
    pub(super) async fn turn(
        &self,
        page: Page,
        spot: Spot,
        message: MessageId,
        here: &Here,
    ) -> Result<(), StoreError> {
        let at = (spot, message);
        let Turn { words, trail, page } = match page {
            Page::Of(turn) => turn,
            Page::Asked(page, question) => return self.turn_asked(question, page, at, here).await,
            Page::Nothing => {
                return self.put(here, at, &Sheet::new(screens::nothing_done(doer(here.person)), "")).await;
            }
        };
        match self.read(&words) {
            Ok(Command::Look(look)) => {
                let (talk, here) = (self.clone(), here.clone());
                self.daemon.work.spawn(async move {
                    let answer = talk.look(&look, here.person, &trail).await;
                    let sheet = Sheet::of(answer, &words, trail).at(page);
                    if let Err(error) = talk.put(&here, at, &sheet).await {
                        tracing::error!(%error, "a page on Telegram could not be turned");
                    }
                });
                Ok(())
            }
            Ok(Command::Widen(widen)) => match self.wider(widen) {
                Ok(wider) => self.ask_again(&wider, page, at, here).await,
                Err(failure) => self.put(here, at, &Sheet::new(screens::failure(&failure), "")).await,
            },
            Ok(Command::Unrule(id)) => match self.unruled(id) {
                Some(wider) => self.ask_again(&wider, page, at, here).await,
                None => self.put(here, at, &Sheet::new(screens::nothing_done(doer(here.person)), "")).await,
            },
            // Nothing that acts has pages.
            Ok(Command::Narrow(_)) | Err(_) => Ok(()),
        }
    }

    /// These buttons, known from now on. Where there are none, what the message was for is done, and its former ones
    /// are void at once; else they count until it shows these.
    pub(super) async fn keyboard_of(
        &self,
        spot: Spot,
        rows: Vec<Vec<(String, Act)>>,
    ) -> Result<(Option<Keyboard>, Redrawing), StoreError> {
        if rows.is_empty() {
            self.taps.clear(spot.clone()).await?;
        }
        let acts = rows.iter().flatten().map(|(_, act)| (None, act.clone())).collect();
        let (tokens, redrawing) = self.taps.make(spot, acts).await?;
        let mut tokens = tokens.into_iter();
        let button = |(label, _): &(String, Act)| Button::new(label.clone(), tokens.next()?).ok();
        let mut button = button;
        let rows: Vec<Vec<Button>> =
            rows.iter().map(|row| row.iter().filter_map(&mut button).collect()).collect();
        Ok((Keyboard::new(rows).ok(), redrawing))
    }
}
