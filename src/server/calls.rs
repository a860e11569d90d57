//! A permitted call on its way: what differs between a server of today and one of the modern era.
//!
//! Toward an earlier server a call goes out as it is. A modern one gets its required `_meta`, and what only
//! its revision has is taken off its result; when it wants input before it answers, it gets what it was
//! told it could ask for, which is the configured roots, and nothing else.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;

use super::connection::{Connection, Request};
use super::envelope::Meta;
use super::handshake::{Era, Greeting};
use super::{Answer, Follow, LogLevel, ServerError};
use crate::anonymize::Real;
use crate::call::Method;
use crate::json::{self, Object, RawJson};
use crate::permit::Outgoing;
use crate::wire::{self, codes, modern};

/// How often a modern server may ask for input before it answers.
const ROUNDS_MOST: usize = 10;

/// Sends a call and waits for its answer.
pub(super) async fn call(
    connection: &Connection,
    outgoing: &Outgoing,
    follow: Follow,
    limit: Duration,
) -> Result<Answer, ServerError> {
    let modern = connection.greeting.get().filter(|greeting| greeting.era == Era::Modern);
    let members = modern.and_then(|greeting| greeting.members(follow.log_level.map(LogLevel::as_str)));
    let params = outgoing.params().expose();
    let sending = Sending { connection, outgoing, follow: &follow, limit, members: members.as_deref() };
    let Some(greeting) = modern else { return sending.send(params).await };
    match outgoing.method() {
        Method::SubscribeResource => return Ok(connection.subscriptions().add(connection, greeting, params)),
        Method::UnsubscribeResource => {
            return Ok(connection.subscriptions().remove(connection, greeting, params));
        }
        Method::CallTool | Method::ReadResource | Method::GetPrompt | Method::Complete => {}
    }
    let mut answer = sending.send(params).await?;
    for _ in 0..ROUNDS_MOST {
        let Answer::Result(result) = answer else { return Ok(answer) };
        match &*modern::result_type(result.expose()) {
            modern::COMPLETE => {
                return Ok(Answer::Result(Real::from_server(modern::strip(result.into_exposed()))));
            }
            modern::INPUT_REQUIRED => {
                match with_input(params, result.expose(), connection.roots.as_deref()) {
                    Some(again) => answer = sending.send(&again).await?,
                    None => return Ok(refusal("the server asks for input that this client does not give")),
                }
            }
            _ => return Ok(refusal("the server answered in a way that was not agreed on")),
        }
    }
    Ok(refusal("the server asks for input again and again"))
}

/// One call, to be sent once or, to a modern server that wants input, again.
struct Sending<'a> {
    connection: &'a Connection,
    outgoing: &'a Outgoing,
    follow: &'a Follow,
    limit: Duration,
    members: Option<&'a str>,
}

impl Sending<'_> {
    async fn send(&self, params: &RawValue) -> Result<Answer, ServerError> {
        let client = self.outgoing.meta().map(|meta| &**meta.expose());
        let request = Request {
            method: self.outgoing.method().as_str(),
            params: Some(params),
            meta: Meta { client, era: self.members, token: None },
            progress: self.follow.progress.clone(),
            limit: self.limit,
            cancel: &self.follow.cancel,
        };
        self.connection.request(request).await
    }
}

fn refusal(why: &str) -> Answer {
    Answer::Error(Real::from_server(wire::error(codes::MISSING_CLIENT_CAPABILITY, why, None)))
}

/// The call's `params` again, with answers to everything that the server asks, or none if one cannot be
/// answered (2026-07-28, `InputRequiredResult`).
fn with_input(params: &RawValue, asked: &RawValue, roots: Option<&RawValue>) -> Option<RawJson> {
    let asked = Object::read(asked).ok()?;
    let requests = match asked.get("inputRequests") {
        Some(requests) => Object::read(requests).ok()?,
        None => Object::default(),
    };
    let mut answers = Object::default();
    for (key, request) in requests.iter() {
        let method = Object::read(request).ok()?.text("method")?.into_owned();
        if method != "roots/list" {
            return None;
        }
        answers = answers.with(key, roots?);
    }
    let answers = answers.to_raw();
    let mut again = Object::read(params).ok()?.with("inputResponses", &answers);
    if let Some(state) = asked.get("requestState") {
        again = again.with("requestState", state);
    }
    Some(again.to_raw())
}

/// What a modern server is listened to for: one `subscriptions/listen` at a time, opened anew when what is
/// wanted changes.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(Mutex<Listening>);

#[derive(Debug, Default)]
struct Listening {
    uris: BTreeSet<String>,
    id: Option<u64>,
}

impl Subscriptions {
    /// Listens for what the server announces.
    pub(super) fn open(&self, connection: &Connection, greeting: &Greeting) {
        self.change(connection, greeting, |_| {});
    }

    fn add(&self, connection: &Connection, greeting: &Greeting, params: &RawValue) -> Answer {
        let Some(uri) = uri(params) else { return refusal("a subscription needs a `uri`") };
        self.change(connection, greeting, |uris| {
            uris.insert(uri);
        });
        Answer::Result(Real::from_server(json::raw(&Object::default())))
    }

    fn remove(&self, connection: &Connection, greeting: &Greeting, params: &RawValue) -> Answer {
        let Some(uri) = uri(params) else { return refusal("a subscription needs a `uri`") };
        self.change(connection, greeting, |uris| {
            uris.remove(&uri);
        });
        Answer::Result(Real::from_server(json::raw(&Object::default())))
    }

    fn change(
        &self,
        connection: &Connection,
        greeting: &Greeting,
        change: impl FnOnce(&mut BTreeSet<String>),
    ) {
        let mut listening = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut listening.uris);
        let mut filter = greeting.filter();
        filter.resource_subscriptions = listening.uris.iter().cloned().collect();
        let before = listening.id.take();
        if filter != modern::Filter::default() {
            let id = connection.fresh_id();
            let members = greeting.members(None);
            let filter = json::raw(&filter);
            let params = json::raw(&Object::default().with("notifications", &filter));
            let meta = Meta { client: None, era: members.as_deref(), token: None };
            // Nobody waits for its answer: it comes when the server stops listening to us.
            connection.outbox.push_if_room(|out| {
                super::envelope::write_request(out, id, modern::LISTEN, Some(&params), meta);
            });
            listening.id = Some(id);
        }
        drop(listening);
        // After the new one is open, so that nothing is missed between them.
        if let Some(before) = before {
            connection.cancel(before);
        }
    }
}

fn uri(params: &RawValue) -> Option<String> {
    Some(Object::read(params).ok()?.text("uri")?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> RawJson {
        json::parse_raw(text.to_owned()).expect("JSON")
    }

    #[test]
    fn a_server_that_wants_the_roots_gets_them_and_nothing_else() {
        let params = value(r#"{"name":"a","arguments":{"x":1.10}}"#);
        let roots = value(r#"{"roots":[]}"#);
        let asked = value(r#"{"inputRequests":{"k":{"method":"roots/list"}},"requestState":"s"}"#);
        assert_eq!(
            with_input(&params, &asked, Some(&roots)).expect("answered").get(),
            r#"{"name":"a","arguments":{"x":1.10},"inputResponses":{"k":{"roots":[]}},"requestState":"s"}"#
        );
        assert!(with_input(&params, &asked, None).is_none());
        let asked = value(r#"{"inputRequests":{"k":{"method":"elicitation/create","params":{}}}}"#);
        assert!(with_input(&params, &asked, Some(&roots)).is_none());
    }
}
