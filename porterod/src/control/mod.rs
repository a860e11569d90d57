//! What a person or a session can ask for: one file each, named as the terminal's command.
//!
//! Each takes the [`Daemon`] and answers. What widens takes the `challenge` first; what changes rules or
//! grants is in force everywhere before it answers.

mod again;
mod approve;
mod attempt;
mod cancel_task;
mod challenge;
mod check_task;
mod config;
mod consent;
mod consume;
mod failure;
mod find;
mod forward;
mod grant;
mod head;
mod heads;
mod list_tasks;
mod listing;
mod log_level;
mod look;
mod news;
mod passphrase;
mod pause;
mod phone;
mod reach;
mod real;
mod reject;
mod restrict;
mod resume;
mod revoke;
mod rule;
mod rules;
mod shown;
mod status;
mod stop;
mod submit;
mod subscribe;
mod subscriber;
mod tap;
mod task;
mod tasks;
mod telegram_pair;
mod telegram_unpair;
mod totp;
mod unrule;
mod watch;
mod why;

use std::sync::Arc;
use std::time::Duration;

use portero::anonymize::Fake;
use portero::ipc::{Ask, Challenge, Failure, FailureKind, Outbox, Process, Reply};
use portero::pipeline::Context;
use portero::task::Origin;
use tokio_util::sync::CancellationToken;

use self::challenge::Confirming;
use self::consent::Beside;
pub(crate) use self::failure::of_store;
pub use self::look::look;
pub use self::phone::{affirmed, reach as reach_of, said};
pub use self::restrict::restricted;
pub use self::subscriber::Subscriber;
pub use self::tap::{Undone, tapped};
use crate::daemon::Daemon;
use crate::rules::Wanted;
use crate::sessions::Seat;

/// Who asks.
pub enum Asker {
    /// One agent's session.
    Session(SessionAsker),
    /// A person's terminal, and the way back to it.
    Terminal(Process, Outbox),
}

/// A session that asks.
pub struct SessionAsker {
    /// Its place among the sessions.
    pub seat: Seat,
    /// Its subscriptions to resources of shared servers.
    pub subscriber: Subscriber,
    /// Who it is; its `client` is empty until a question tells it.
    pub origin: Origin,
    /// The way back to it, for progress.
    pub outbox: Outbox,
}

impl SessionAsker {
    /// What it says of its client is concealed here too: whoever speaks on the socket is not trusted.
    fn context(&self, daemon: &Daemon, client: &Fake<String>) -> Context {
        let client = daemon.anonymizer.load().conceal_text(client.get());
        Context { origin: Origin { client, ..self.origin.clone() }, task: None }
    }
}

/// One question, as it came.
pub struct Question {
    /// Its number on its connection.
    pub number: u64,
    /// What is asked.
    pub ask: Ask,
    /// Cancelled when the one that asked no longer wants the answer. What changes something goes on.
    pub withdrawn: CancellationToken,
}

/// Answers a question, or says why not.
///
/// # Errors
/// Why not.
pub async fn answer(daemon: &Arc<Daemon>, asker: &Asker, question: Question) -> Result<Reply, Failure> {
    match asker {
        Asker::Session(session) => answer_session(daemon, session, question).await,
        Asker::Terminal(process, outbox) => answer_terminal(daemon, process, outbox, question).await,
    }
}

async fn answer_session(
    daemon: &Arc<Daemon>,
    session: &SessionAsker,
    Question { number, ask, withdrawn }: Question,
) -> Result<Reply, Failure> {
    let principal = &session.origin.principal;
    match ask {
        Ask::Subscribe => Ok(subscribe::answer(daemon, session)),
        Ask::Submit { call, client } => submit::answer(daemon, call, &session.context(daemon, &client)).await,
        Ask::Forward { call, client, progress, log_level } => {
            let progress = progress.then(|| forward::Progress { number, to: session.outbox.clone() });
            let options = forward::CallOptions { progress, log_level, cancel: withdrawn };
            forward::answer(daemon, session, call, &client, options).await
        }
        Ask::LogLevel { level } => Ok(log_level::answer(daemon, level)),
        // Who uses it up is the session itself, whatever its client is called.
        Ask::Consume { grant, call } => consume::answer(daemon, grant, call, &session.origin).await,
        Ask::Listing { server } => listing::answer(daemon, &server).await,
        Ask::CheckTask { task, wait_millis } => {
            check_task::answer(daemon, principal, task, wait_millis, withdrawn).await
        }
        Ask::ListTasks { state, limit } => list_tasks::answer(daemon, principal, state, limit).await,
        Ask::News => news::answer(daemon, principal),
        Ask::CancelTask { task } => cancel_task::answer(daemon, principal, task).await,
        Ask::Head(head) => head::answer(daemon, *head).await,
        Ask::Status
        | Ask::Tasks { .. }
        | Ask::Find { .. }
        | Ask::Task { .. }
        | Ask::RealTask { .. }
        | Ask::Look { .. }
        | Ask::Approvable { .. }
        | Ask::Watch { .. }
        | Ask::Approve { .. }
        | Ask::Reject { .. }
        | Ask::Again { .. }
        | Ask::Grant { .. }
        | Ask::Revoke(_)
        | Ask::Rule { .. }
        | Ask::Unrule { .. }
        | Ask::Pause
        | Ask::Resume { .. }
        | Ask::Rules
        | Ask::Unsaved
        | Ask::Why { .. }
        | Ask::Reach { .. }
        | Ask::SetPassphrase { .. }
        | Ask::PassphraseSalt
        | Ask::OfferTotp { .. }
        | Ask::EnrollTotp { .. }
        | Ask::RemoveTotp { .. }
        | Ask::TelegramPair { .. }
        | Ask::TelegramUnpair { .. }
        | Ask::Config
        | Ask::ConfirmConfig { .. }
        | Ask::Heads
        | Ask::Stop => {
            let refused = Err(Failure::new(FailureKind::Invalid, "only a person's terminal may ask this"));
            let by = format!("session {} in {}", session.origin.session, principal.as_str());
            attempt::written_down(daemon, attempt::of(&ask), &by, refused).await
        }
    }
}

async fn answer_terminal(
    daemon: &Arc<Daemon>,
    process: &Process,
    outbox: &Outbox,
    Question { number, ask, withdrawn }: Question,
) -> Result<Reply, Failure> {
    let by = process.to_string();
    let attempt = attempt::of(&ask);
    let beside = Beside::new(number, outbox.clone(), withdrawn.clone());
    let hand = Hand { by: &by, withdrawn, beside: Some(beside.clone()) };
    let answered = answer_person(daemon, &hand, ask).await;
    beside.settle(daemon, &answered).await;
    attempt::written_down(daemon, attempt, &by, answered).await
}

/// Whose hand asks: a person's, at a terminal or on their phone.
struct Hand<'a> {
    /// Who, in the words of the audit.
    by: &'a str,
    /// Cancelled when the answer is not wanted any more.
    withdrawn: CancellationToken,
    /// The terminal, which can show a number; none on a phone.
    beside: Option<Beside>,
}

impl Hand<'_> {
    /// With what the person confirms.
    fn confirming(&self, challenge: Challenge) -> Confirming {
        match &self.beside {
            Some(beside) if challenge.telegram => Confirming::Asked(beside.clone()),
            Some(_) | None => Confirming::Typed(challenge),
        }
    }

    fn maybe(&self, challenge: Option<Challenge>) -> Option<Confirming> {
        challenge.map(|challenge| self.confirming(challenge))
    }
}

async fn answer_person(daemon: &Arc<Daemon>, hand: &Hand<'_>, ask: Ask) -> Result<Reply, Failure> {
    let by = hand.by;
    match ask {
        Ask::Status => status::answer(daemon).await,
        Ask::Tasks { state, after, limit } => tasks::answer(daemon, state, after, limit),
        Ask::Find { part, state } => find::answer(daemon, &part, state),
        Ask::Task { task } => task::answer(daemon, task),
        Ask::RealTask { task, challenge } => real::answer(daemon, by, task, hand.confirming(challenge)).await,
        Ask::Look { task } => look::answer(daemon, task),
        Ask::Watch { after } => watch::answer(daemon, after, hand.withdrawn.clone()).await,
        Ask::Approvable { task } => approve::check(daemon, task).await,
        Ask::Approve { task, challenge } => {
            approve::answer(daemon, by, task, hand.confirming(challenge)).await
        }
        Ask::Reject { task, reason, for_now } => reject::answer(daemon, by, task, reason, for_now).await,
        Ask::Again { task, challenge } => again::answer(daemon, by, task, hand.maybe(challenge)).await,
        Ask::Grant { pattern, millis, limits, challenge } => {
            let wanted = Wanted { pattern, lasts: Duration::from_millis(millis), limits };
            grant::answer(daemon, by, wanted, hand.confirming(challenge)).await
        }
        Ask::Revoke(acting) => revoke::answer(daemon, by, acting).await,
        Ask::Rule { pattern, action, challenge } => {
            rule::answer(daemon, by, pattern, action, hand.maybe(challenge)).await
        }
        Ask::Unrule { id, challenge } => unrule::answer(daemon, by, id, hand.maybe(challenge)).await,
        Ask::Pause => pause::answer(daemon, by).await,
        Ask::Resume { challenge } => resume::answer(daemon, by, hand.confirming(challenge)).await,
        Ask::Rules => Ok(rules::answer(daemon)),
        Ask::Unsaved => Ok(Reply::Unsaved(rules::unsaved(daemon))),
        Ask::Why { tool, arguments } => why::answer(daemon, &tool, arguments),
        Ask::Reach { pattern, by } => reach::answer(daemon, &pattern, by).await,
        Ask::SetPassphrase { old, new } => passphrase::answer(daemon, by, old, new).await,
        Ask::PassphraseSalt => passphrase::salt(daemon),
        Ask::OfferTotp { challenge } => totp::offer(daemon, challenge).await,
        Ask::EnrollTotp { challenge } => totp::enroll(daemon, by, challenge).await,
        Ask::RemoveTotp { challenge } => totp::remove(daemon, by, challenge).await,
        Ask::TelegramPair { challenge } => telegram_pair::answer(daemon, by, hand.maybe(challenge)).await,
        Ask::TelegramUnpair { challenge } => {
            telegram_unpair::answer(daemon, by, hand.confirming(challenge)).await
        }
        Ask::Config => config::answer(daemon).await,
        Ask::ConfirmConfig { shown, challenge } => {
            config::confirm(daemon, by, &shown, hand.confirming(challenge)).await
        }
        Ask::Heads => heads::answer(daemon).await,
        Ask::Stop => Ok(stop::answer(daemon, by).await),
        Ask::Subscribe
        | Ask::Submit { .. }
        | Ask::Forward { .. }
        | Ask::LogLevel { .. }
        | Ask::Consume { .. }
        | Ask::Listing { .. }
        | Ask::CheckTask { .. }
        | Ask::ListTasks { .. }
        | Ask::CancelTask { .. }
        | Ask::News
        | Ask::Head(_) => Err(Failure::new(FailureKind::Invalid, "only a session may ask this")),
    }
}
