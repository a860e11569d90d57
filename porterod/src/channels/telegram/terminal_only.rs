//! What the person is told who says something that is about no card: where to say it.

use portero::pipeline::BoxFuture;

use super::bot::ChatId;
use super::courier::{Courier, Letter, Rank};
use super::door::Word;
use super::ear::{Flow, Heard};
use super::text::{MESSAGE_MOST, Shown, Text};
use crate::pairing::Person;
use crate::store::StoreError;

/// Decides nothing.
#[derive(Debug)]
pub struct TerminalOnly;

impl Flow for TerminalOnly {
    fn linked(&self, _: &Courier, _: Option<Person>) {}

    fn hear(&self, heard: Heard) -> BoxFuture<'_, Result<(), StoreError>> {
        let Heard { word, person, courier, receipt } = heard;
        match word {
            Word::Said(_) => {
                let command = Shown::line("portero --help");
                let text = Text::new().words(
                    "Here you decide with the buttons below each card. Everything else is for a terminal: ",
                );
                if let Some(message) = text.code(&command).message(MESSAGE_MOST) {
                    let letter = Letter::Text(message, None);
                    drop(courier.send(ChatId(person.chat), letter, Rank::Notice, receipt.cause()));
                }
            }
            Word::Pressed(press) => courier.answer(press.query, None, false),
        }
        Box::pin(std::future::ready(Ok(())))
    }
}
