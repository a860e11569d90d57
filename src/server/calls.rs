//! Sends a permitted call, by the protocol era of its server.
//!
//! An earlier server gets the call as it is. A modern one gets the `_meta` that its revision requires, and
//! members that only its revision has are removed from the result. If it wants input before it answers, it
//! gets the configured roots, because Portero declared nothing else.

use std::time::Duration;

use serde_json::value::RawValue;

use super::connection::Connection;
use super::envelope::MetaMembers;
use super::handshake::ProtocolEra;
use super::rpc_client::{OutgoingRequest, RpcClient};
use super::{CallOptions, LogLevel, ServerAnswer, ServerError};
use crate::anonymize::Real;
use crate::call::Method;
use crate::json::{self, RawJson, RawObject};
use crate::permit::Outgoing;
use crate::wire::{self, codes, modern};

/// How often a modern server may ask for input before it answers.
const MAX_INPUT_ROUNDS: usize = 10;

/// Sends a call and waits for its answer.
pub(super) async fn send_call(
    connection: &Connection,
    outgoing: &Outgoing,
    follow: CallOptions,
    limit: Duration,
) -> Result<ServerAnswer, ServerError> {
    let modern = connection.greeting.get().filter(|greeting| greeting.era == ProtocolEra::Modern);
    let members = modern.and_then(|greeting| greeting.meta_members(follow.log_level.map(LogLevel::as_str)));
    let params = outgoing.params().expose();
    let sending =
        CallSender { rpc: &connection.rpc, outgoing, follow: &follow, limit, members: members.as_deref() };
    let Some(greeting) = modern else { return sending.send_params(params).await };
    match outgoing.method() {
        method @ (Method::SubscribeResource | Method::UnsubscribeResource) => {
            let Some(uri) = uri_param(params) else {
                return Ok(refusal_answer("a subscription needs a `uri`"));
            };
            let subscriptions = &connection.subscriptions;
            if method == Method::SubscribeResource {
                subscriptions.subscribe_uri(&connection.rpc, greeting, uri);
            } else {
                subscriptions.unsubscribe_uri(&connection.rpc, greeting, &uri);
            }
            // No answer comes from the server: it acknowledges a listen by a notification.
            return Ok(ServerAnswer::Result(Real::from_server(json::serialize_raw(&RawObject::default()))));
        }
        Method::CallTool | Method::ReadResource | Method::GetPrompt | Method::Complete => {}
    }
    let mut answer = sending.send_params(params).await?;
    if matches!(&answer, ServerAnswer::Error(error) if is_header_mismatch(error.expose())) {
        connection.outdate_tool_headers();
    }
    // Each round is one answer. The limit ends a server that asks for input for ever.
    for _ in 0..MAX_INPUT_ROUNDS {
        let ServerAnswer::Result(result) = answer else { return Ok(answer) };
        match &*modern::result_type(result.expose()) {
            modern::RESULT_TYPE_COMPLETE => {
                return Ok(ServerAnswer::Result(Real::from_server(modern::strip_modern_members(
                    result.into_exposed(),
                ))));
            }
            modern::RESULT_TYPE_INPUT_REQUIRED => {
                match answer_input_requests(params, result.expose(), connection.roots.as_deref()) {
                    Some(again) => answer = sending.send_params(&again).await?,
                    None => {
                        return Ok(refusal_answer(
                            "the server asks for input that this client does not give",
                        ));
                    }
                }
            }
            _ => return Ok(refusal_answer("the server answered in a way that was not agreed on")),
        }
    }
    Ok(refusal_answer("the server asks for input again and again"))
}

/// One call, to be sent once, or again if a modern server wants input.
struct CallSender<'a> {
    rpc: &'a RpcClient,
    outgoing: &'a Outgoing,
    follow: &'a CallOptions,
    limit: Duration,
    members: Option<&'a str>,
}

impl CallSender<'_> {
    async fn send_params(&self, params: &RawValue) -> Result<ServerAnswer, ServerError> {
        let client = self.outgoing.meta().map(|meta| &**meta.expose());
        let request = OutgoingRequest {
            method: self.outgoing.method().as_str(),
            params: Some(params),
            meta: MetaMembers { client_meta: client, revision_members: self.members, progress_token: None },
            progress: self.follow.progress.clone(),
            timeout: self.limit,
            cancel: &self.follow.cancel,
        };
        self.rpc.send_request(request).await
    }
}

fn is_header_mismatch(error: &RawValue) -> bool {
    let code = RawObject::read(error).ok().and_then(|error| error.get("code"));
    code.is_some_and(|code| code.get().parse() == Ok(codes::HEADER_MISMATCH))
}

fn refusal_answer(why: &str) -> ServerAnswer {
    ServerAnswer::Error(Real::from_server(wire::answer_error_object(
        codes::MISSING_CLIENT_CAPABILITY,
        why,
        None,
    )))
}

/// The call's `params` with answers to all of the server's input requests (2026-07-28, `InputRequiredResult`).
/// `None` if one can't be answered.
fn answer_input_requests(params: &RawValue, asked: &RawValue, roots: Option<&RawValue>) -> Option<RawJson> {
    let asked = RawObject::read(asked).ok()?;
    let requests = match asked.get("inputRequests") {
        Some(requests) => RawObject::read(requests).ok()?,
        None => RawObject::default(),
    };
    let mut answers = RawObject::default();
    for (key, request) in requests.iter() {
        let method = RawObject::read(request).ok()?.get_text("method")?.into_owned();
        if method != "roots/list" {
            return None;
        }
        answers = answers.with_member(key, roots?);
    }
    let answers = answers.to_raw();
    let mut again = RawObject::read(params).ok()?.with_member("inputResponses", &answers);
    // The server's own state, which goes back untouched.
    if let Some(state) = asked.get("requestState") {
        again = again.with_member("requestState", state);
    }
    Some(again.to_raw())
}

fn uri_param(params: &RawValue) -> Option<String> {
    Some(RawObject::read(params).ok()?.get_text("uri")?.into_owned())
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
            answer_input_requests(&params, &asked, Some(&roots)).expect("answered").get(),
            r#"{"name":"a","arguments":{"x":1.10},"inputResponses":{"k":{"roots":[]}},"requestState":"s"}"#
        );
        assert!(answer_input_requests(&params, &asked, None).is_none());
        let asked = value(r#"{"inputRequests":{"k":{"method":"elicitation/create","params":{}}}}"#);
        assert!(answer_input_requests(&params, &asked, Some(&roots)).is_none());
    }
}
