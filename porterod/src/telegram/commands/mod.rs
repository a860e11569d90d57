//! Commands: a person types one and gets its answer.
//!
//! A command becomes the same request that a terminal makes. A narrowing command is executed at once. A
//! widening one is first shown with a button that confirms exactly the shown effect.

mod elevate;
mod paged_reply;
mod pagination;
mod remote_prompts;
mod view_commands;

use std::borrow::Cow;
use std::sync::Arc;

use jiff::tz::TimeZone;
use portero::ipc::requests::overrides::{CreateRule, Pause, RemoveRule, RevokeGrants};
use portero::ipc::{Act, DaemonFailure, GrantSelection};
use portero::pipeline::BoxFuture;
use portero::policy::Action;
use tokio::sync::watch;

use self::paged_reply::PagedReply;
use self::pagination::PageTrail;
use super::access::UserInput;
use super::chat_link::ChatLink;
use super::client::{CallbackQuery, ChatId, Destination, TopicId};
use super::command_parser::{self, ChatCommand, CommandError, ElevatingCommand, RestrictingCommand};
use super::menu::MenuSync;
use super::notices::NoticeSender;
use super::sender::TelegramSender;
use super::text::StyledText;
use super::updates::{AuthorizedUpdate, UpdateHandler, UpdateReceipt};
use crate::api::{self, Change};
use crate::auth::buttons::{self, ButtonAction, Buttons, PressMeaning};
use crate::auth::pairing::{AuthorizedChat, ChatUser};
use crate::daemon::Daemon;
use crate::presentation::ViewContext;
use crate::presentation::notices::activity;
use crate::presentation::press::PressReply;
use crate::presentation::views;
use crate::store::StoreError;

/// Answers commands. Clones share their state.
#[derive(Clone)]
pub struct CommandHandler {
    daemon: Arc<Daemon>,
    buttons: Buttons,
    zone: TimeZone,
    /// The authorized chat, while the bot can write to it.
    link: watch::Sender<Option<ChatLink>>,
    notices: NoticeSender,
    menu: MenuSync,
}

/// The context of a reply: the person, the sender and the update.
#[derive(Debug, Clone)]
pub struct ReplyContext {
    /// The author of the update.
    pub person: ChatUser,
    /// The sender for replies.
    pub sender: TelegramSender,
    /// The update's receipt.
    pub receipt: UpdateReceipt,
    /// The topic of the group in which it was written.
    pub topic: Option<TopicId>,
}

impl ReplyContext {
    /// The destination of the reply.
    const fn destination(&self) -> Destination {
        Destination { chat: ChatId(self.person.chat), topic: self.topic }
    }
}

impl CommandHandler {
    /// A handler for a person in this time zone.
    #[must_use]
    pub fn new(daemon: Arc<Daemon>, zone: TimeZone) -> Self {
        let buttons = Buttons::new(Arc::clone(&daemon.journal));
        let link = watch::Sender::new(None);
        let notices = NoticeSender::new(Arc::clone(&daemon), buttons.clone(), zone.clone(), link.clone());
        let menu = MenuSync::new(Arc::clone(&daemon));
        Self { daemon, buttons, zone, link, notices, menu }
    }

    /// The sender of notices to the same chat.
    #[must_use]
    pub fn notices(&self) -> NoticeSender {
        self.notices.clone()
    }

    /// The menu of commands.
    #[must_use]
    pub fn menu(&self) -> MenuSync {
        self.menu.clone()
    }

    /// Handles a message. A narrowing command applies before this returns; the answer of a viewing command
    /// follows later.
    ///
    /// # Errors
    /// If the store can't be written. Then nothing was answered, and the update may come again.
    pub async fn handle_message(&self, text: Option<&str>, here: &ReplyContext) -> Result<(), StoreError> {
        let text = text.unwrap_or_default();
        match self.parse_command(text) {
            Err(CommandError::ForOtherBot) => Ok(()),
            // In a group people also talk to each other and to other bots.
            Err(CommandError::NotACommand | CommandError::UnknownCommand(..))
                if here.person.owner().is_none() && !self.names_this_bot(text) =>
            {
                Ok(())
            }
            Err(mistake) => self.reply(here, &command_parser::error_text(&mistake)).await,
            Ok(ChatCommand::View(look)) => {
                // Spawned: a slow answer, such as a long log, must not hold up a later `/pause`.
                let (talk, here, text) = (self.clone(), here.clone(), text.to_owned());
                self.daemon.lifecycle.spawn(async move {
                    let trail = PageTrail::default();
                    let answer = talk.answer_view(&look, here.person, &trail).await;
                    if let Err(error) =
                        talk.send_paged(&here, &PagedReply::from_view(answer, &text, trail)).await
                    {
                        tracing::error!(%error, "a question on Telegram could not be answered");
                    }
                });
                Ok(())
            }
            Ok(ChatCommand::Restrict(narrow)) => {
                let done = self.narrow(narrow, here.person).await;
                self.reply(here, &self.outcome_text(&done, here.person)).await
            }
            Ok(ChatCommand::Unrule(id)) => match self.unrule_elevation(id) {
                Some(wider) => self.ask_confirmation(&wider, here).await,
                None => {
                    let request = RemoveRule { id, challenge: None };
                    let done = api::request_as(&self.daemon, here.person, request).await;
                    let done = done.map(|()| Change::Count(1));
                    self.reply(here, &self.outcome_text(&done, here.person)).await
                }
            },
            Ok(ChatCommand::Elevate(widen)) => match self.resolve_elevation(widen) {
                Ok(wider) => self.ask_confirmation(&wider, here).await,
                Err(failure) => self.reply(here, &views::failure_text(&failure)).await,
            },
        }
    }

    /// Handles a press on a button of this module.
    async fn handle_press(
        &self,
        press: CallbackQuery,
        found: PressMeaning,
        here: &ReplyContext,
    ) -> Result<(), StoreError> {
        // An inline message has no place; such a message is never ours.
        let Some((_, _, message)) = press.message_place else { return Ok(()) };
        let word = match found {
            PressMeaning::Show(turned) => {
                let (what, spot) = (&turned.action().what, turned.message_ref().clone());
                if let Some(page) = paged_reply::parse_page_button(what) {
                    self.turn_page(page, spot, message, here).await?;
                } else if let Some(page) = activity::parse_page_button(what) {
                    self.notices.open_notice_page(page, spot, message, &here.sender).await?;
                }
                None
            }
            PressMeaning::Restrict(restricting) => {
                let PressReply { text, alert } =
                    self.notices.apply_restriction(&restricting, message, &here.sender).await;
                here.sender.answer_callback(press.query, text.map(Cow::into_owned), alert);
                return Ok(());
            }
            PressMeaning::RestrictRepeated(restricting) => {
                Some(self.notices.repeat_restriction(&restricting, message, &here.sender).await?)
            }
            PressMeaning::Widen(affirmed) => {
                self.handle_confirmation(affirmed, message, here).await?;
                None
            }
            PressMeaning::Answer(answered) => Some(self.answer_prompt(answered).await?),
            PressMeaning::Repeated(ButtonAction::Widen(_), _) => Some("This is done.".to_owned()),
            PressMeaning::Repeated(ButtonAction::Answer(answer), _) => {
                Some(self.repeat_prompt_answer(answer)?)
            }
            PressMeaning::Decide(_)
            | PressMeaning::DecideList(_)
            | PressMeaning::Repeated(..)
            | PressMeaning::Used
            | PressMeaning::MessageUnconfirmed
            | PressMeaning::Unknown => None,
        };
        here.sender.answer_callback(press.query, word, false);
        Ok(())
    }

    fn parse_command(&self, text: &str) -> Result<ChatCommand, CommandError> {
        command_parser::parse_command(text, &self.bot_username())
    }

    /// Whether a command names this bot.
    fn names_this_bot(&self, text: &str) -> bool {
        let name = text.split_whitespace().next().and_then(|word| word.strip_prefix('/')?.split_once('@'));
        name.is_some_and(|(_, bot)| bot.eq_ignore_ascii_case(&self.bot_username()))
    }

    fn bot_username(&self) -> String {
        self.daemon.bot_health.state().username.unwrap_or_default()
    }

    /// The act that needs confirmation.
    fn resolve_elevation(&self, widen: ElevatingCommand) -> Result<Act, DaemonFailure> {
        Ok(match widen {
            ElevatingCommand::Grant(pattern, lasts, bounds) => {
                let millis = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
                Act::Grant(pattern, millis, elevate::resolve_limits(&self.daemon, &bounds)?)
            }
            ElevatingCommand::Allow(pattern) => Act::Allow(pattern),
            ElevatingCommand::Resume => Act::Resume,
            ElevatingCommand::AcceptDefinitions(server) => api::acceptance_of(&self.daemon, &server)?,
        })
    }

    /// The widening act of removing this rule; none if removing it narrows, or there is no such rule.
    fn unrule_elevation(&self, id: u64) -> Option<Act> {
        let rules = self.daemon.overrides.overrides().rules;
        // An unknown id is no widening act; the request itself then reports it.
        let rule = rules.into_iter().find(|rule| rule.id == id)?;
        match rule.action {
            Action::Allow => None,
            Action::RequireApproval | Action::Deny => Some(Act::RemoveRule(id, rule.pattern, rule.action)),
        }
    }

    async fn reply(&self, here: &ReplyContext, text: &StyledText) -> Result<(), StoreError> {
        self.send_paged(here, &PagedReply::new(text, "")).await
    }

    async fn narrow(&self, narrow: RestrictingCommand, person: ChatUser) -> Result<Change, DaemonFailure> {
        let daemon = &self.daemon;
        let rule = |pattern, action| {
            api::request_as(
                daemon,
                person,
                CreateRule { pattern, action, run_waiting: Vec::new(), challenge: None },
            )
        };
        match narrow {
            RestrictingCommand::Revoke(id) => {
                let which = id.map_or(GrantSelection::All, |id| GrantSelection::Ids(vec![id]));
                api::request_as(daemon, person, RevokeGrants { which }).await.map(Change::Count)
            }
            RestrictingCommand::Ask(pattern) => {
                rule(pattern, Action::RequireApproval).await.map(Change::Ruled)
            }
            RestrictingCommand::Deny(pattern) => rule(pattern, Action::Deny).await.map(Change::Ruled),
            RestrictingCommand::Pause => api::request_as(daemon, person, Pause).await.map(Change::Paused),
        }
    }

    fn outcome_text(&self, done: &Result<Change, DaemonFailure>, person: ChatUser) -> StyledText {
        match done {
            Ok(change) => views::done_text(change, named_actor(person), &self.view_context()),
            Err(failure) => views::failure_text(failure),
        }
    }

    fn view_context(&self) -> ViewContext<'_> {
        ViewContext { now: self.daemon.clock.now().wall, zone: &self.zone }
    }
}

impl UpdateHandler for CommandHandler {
    fn chat_connected(&self, sender: &TelegramSender, authorized_chat: Option<AuthorizedChat>) {
        let link = authorized_chat.as_ref().map(|authorized_chat| ChatLink::new(sender, authorized_chat));
        self.menu.serve(sender, link.as_ref().map(ChatLink::chat));
        if let Some(link) = link.clone() {
            let notices = self.notices.clone();
            self.daemon.lifecycle.spawn(async move { notices.redraw_notices(&link).await });
        }
        self.link.send_replace(link);
    }

    fn handle_update(&self, heard: AuthorizedUpdate) -> BoxFuture<'_, Result<(), StoreError>> {
        // An overtaken press that widens was already refused by `callbacks`.
        let AuthorizedUpdate { input: word, person, sender, receipt, is_overtaken: _ } = heard;
        let topic = match &word {
            UserInput::Message(said) => said.topic,
            UserInput::Callback(_) => None,
        };
        let here = ReplyContext { person, sender, receipt, topic };
        Box::pin(async move {
            match word {
                UserInput::Message(said) => self.handle_message(said.text.as_deref(), &here).await,
                UserInput::Callback(press) => {
                    let carried = press.data.as_deref().unwrap_or_default();
                    let found = self.buttons.resolve_press(carried, press_in_store(&press, &here))?;
                    self.handle_press(press, found, &here).await
                }
            }
        })
    }
}

impl std::fmt::Debug for CommandHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommandHandler").finish_non_exhaustive()
    }
}

/// Whether a press belongs to a button of this module.
pub(super) fn is_command_button(found: &PressMeaning) -> bool {
    match found {
        PressMeaning::Widen(_)
        | PressMeaning::Answer(_)
        | PressMeaning::Repeated(
            ButtonAction::Widen(_) | ButtonAction::Restrict(_) | ButtonAction::Answer(_),
            _,
        )
        | PressMeaning::Restrict(_)
        | PressMeaning::RestrictRepeated(_) => true,
        PressMeaning::Show(turned) => is_page_button(&turned.action().what),
        PressMeaning::Repeated(ButtonAction::Show(what), _) => is_page_button(what),
        PressMeaning::Decide(_)
        | PressMeaning::DecideList(_)
        | PressMeaning::Repeated(ButtonAction::Decide(_) | ButtonAction::DecideList(_), _)
        | PressMeaning::Used
        | PressMeaning::MessageUnconfirmed
        | PressMeaning::Unknown => false,
    }
}

fn is_page_button(what: &str) -> bool {
    paged_reply::parse_page_button(what).is_some() || activity::parse_page_button(what).is_some()
}

fn press_in_store(press: &CallbackQuery, here: &ReplyContext) -> buttons::PressSource {
    let (chat, message) = press.message_place.map_or((0, 0), |(chat, _, message)| (chat.0, message.0));
    let (bot, update) = here.receipt.ids();
    buttons::PressSource { bot, chat, user: press.from.0, message, update }
}

/// The user of an act, where several could have acted.
const fn named_actor(person: ChatUser) -> Option<i64> {
    match person.owner() {
        Some(_) => None,
        None => Some(person.user),
    }
}
