//! What a fleet promises its callers.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use libtest_mimic::Trial;
use portero::anonymize::{Anonymizer, Direction, ReplacementRule};
use portero::config::ServerLimits;
use portero::policy::definition_pins::tool_definition_digest;
use portero::secret::Secret;
use portero::server::{
    CallOptions, ListKind, ServerAnswer, ServerChange, ServerCondition, ServerError, ServerEvent, Upstreams,
};

use crate::child::{PERSON, REFUSAL_ABOUT_A_PERSON};
use crate::test_support::{
    Fixture, TEST_TIMEOUT, answer_text, block_on, fake_server, launch_options, permitted_call,
    permitted_call_as_defined, program_of, server_name,
};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("what_a_server_answers_arrives_byte_for_byte", byte_for_byte),
        trial("an_offer_holds_every_page_and_the_instructions", an_offer),
        trial("pages_that_never_end_are_cut", endless_pages),
        trial("a_list_that_is_declared_but_missing_is_empty", declared_too_much),
        trial("a_crash_fails_the_call_in_flight_and_the_next_one_starts_it_again", crash),
        trial("a_server_that_cannot_start_says_why_and_is_left_alone_for_a_while", cannot_start),
        trial("a_program_that_is_not_on_path_is_named", not_on_path),
        trial("a_server_that_is_silent_at_the_handshake_fails_in_time", silent),
        trial("a_server_of_the_modern_era_is_spoken_to_in_its_own_way", modern),
        trial("a_modern_server_that_is_silent_on_initialize_is_found_out", || {
            modern_only("silent-on-initialize")
        }),
        trial("a_modern_server_that_ends_at_initialize_is_found_out", || modern_only("ends-on-initialize")),
        trial("a_server_that_ended_by_itself_is_told_of_and_so_is_its_next_start", restarted),
        trial("a_tool_that_a_restarted_server_does_not_list_is_not_called", forgotten),
        trial("a_restarted_server_that_defines_a_tool_otherwise_does_not_get_its_call", redefines),
        trial("a_restarted_server_may_register_and_withdraw_tools", registers_tools),
        trial("a_restarted_server_that_lists_no_tools_was_not_called", lists_nothing),
        trial("a_server_that_floods_stderr_goes_on_answering", floods_stderr),
        trial("a_server_of_an_unknown_revision_is_refused", ancient),
        trial("why_a_handshake_is_refused_is_concealed_before_it_is_cut", refuses_a_person),
        trial("a_hanging_call_times_out_and_the_server_is_told", times_out),
        trial("a_cancelled_call_returns_at_once_and_the_server_is_told", cancelled),
        trial("a_call_whose_caller_left_is_cancelled", caller_left),
        trial("progress_arrives_in_order_and_before_its_result", progress),
        trial("what_a_server_says_before_its_answer_is_heard_before_it", logs_before_result),
        trial("without_a_wish_for_progress_no_meta_is_added", no_meta),
        trial("junk_on_stdout_is_skipped_and_logged", junk),
        trial("an_answer_that_cannot_be_used_fails_its_call_at_once_and_says_why", malformed),
        trial("an_answer_that_names_no_request_fails_the_only_one_there_is", unclaimed),
        trial("an_answer_to_a_notification_fails_no_call", || {
            notification_answered("answers-notifications");
            notification_answered("answers-notifications-without-id");
        }),
        trial("an_answer_that_clients_take_is_taken", readable),
        trial("a_server_that_takes_a_call_back_fails_it", taken_back),
        trial("a_flood_hurts_nobody_else", flood),
        trial("an_over_long_answer_fails_its_own_call_only", too_long),
        trial("an_answer_never_reaches_another_caller", answers_stay_apart),
        trial("a_server_that_hangs_does_not_delay_another", hangs_alone),
        trial("one_start_serves_all_who_ask_at_once", single_flight),
        trial("a_child_sees_no_variable_that_is_not_listed", environment),
        trial("a_childs_requests_are_answered", childs_requests),
        trial("a_burst_of_list_changes_is_told_at_most_once", burst),
        trial("a_reload_keeps_what_did_not_change", reload),
        trial("after_closing_nothing_starts", closed),
    ]
}

fn limits() -> ServerLimits {
    ServerLimits {
        start_timeout: Duration::from_millis(700),
        request_timeout: Duration::from_millis(700),
        ..ServerLimits::default()
    }
}

fn byte_for_byte() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[])]);
        let odd = r#"{"z":1.10,"n":123456789012345678901234567890,"a":{"q":[ 1 , "\u00e9é" ]},"e":1E+2}"#;
        assert_eq!(rig.call_for_text("a", "echo", odd).await, odd);
        rig.upstreams.close().await;
    });
}

fn an_offer() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &["declares-too-much"])]);
        let offer = rig.upstreams.fetch_listing(&server_name("a")).await.expect("an offer");
        assert_eq!(offer.tools.len(), 3);
        assert!(offer.tools[2].get().contains("tool2"));
        assert_eq!(offer.resources.len(), 1);
        assert_eq!(offer.instructions.as_deref(), Some("be kind"));
        let health = &rig.upstreams.health()[0];
        assert_eq!((&health.condition, health.tools), (&ServerCondition::Ready, Some(3)));
        rig.upstreams.close().await;
    });
}

fn endless_pages() {
    block_on(async {
        let rig = Fixture::new(vec![
            fake_server("circle", &["pages-in-circles"]),
            fake_server("line", &["pages-for-ever"]),
        ]);
        assert_eq!(
            rig.upstreams.fetch_listing(&server_name("circle")).await.expect("an offer").tools.len(),
            3
        );
        assert_eq!(
            rig.upstreams.fetch_listing(&server_name("line")).await.expect("an offer").tools.len(),
            1_000
        );
        rig.upstreams.close().await;
    });
}

fn declared_too_much() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &["declares-too-much"])]);
        let offer = rig.upstreams.fetch_listing(&server_name("a")).await.expect("an offer");
        assert!(offer.prompts.is_empty() && offer.templates.is_empty());
        rig.upstreams.close().await;
    });
}

fn crash() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[])]);
        let error = rig.call_tool("a", "crash", "{}").await.expect_err("it crashed");
        assert_eq!(error, ServerError::Stopped(server_name("a")));
        let failed = async {
            loop {
                match rig.upstreams.health().remove(0).condition {
                    ServerCondition::Failed(reason) => break reason,
                    ServerCondition::Idle
                    | ServerCondition::Starting
                    | ServerCondition::Ready
                    | ServerCondition::LoginNeeded(_) => {
                        tokio::task::yield_now().await;
                    }
                }
            }
        };
        let reason = tokio::time::timeout(TEST_TIMEOUT, failed).await.expect("it fails in time");
        assert_eq!(reason, "exited with status 3: out of cheese");
        assert_eq!(rig.call_for_text("a", "echo", "{}").await, "{}");
        rig.upstreams.close().await;
    });
}

fn modern_only(how: &str) {
    block_on(async {
        // A third of this is the pause before a silent server is asked in the other way.
        let limits = ServerLimits { start_timeout: Duration::from_secs(9), ..ServerLimits::default() };
        let mut rig = Fixture::with_limits(vec![fake_server("a", &["modern", how])], limits);
        assert_eq!(rig.call_for_text("a", "echo", "{}").await, "{}");
        // How it is spoken to is remembered: this takes neither a pause nor a second process.
        let _ = rig.call_tool("a", "crash", "{}").await.expect_err("it crashed");
        while !matches!(rig.changes.recv().await, Some(ServerChange::Ended(_))) {}
        let begin = Instant::now();
        assert_eq!(rig.call_for_text("a", "echo", "{}").await, "{}");
        assert!(begin.elapsed() < Duration::from_millis(2900), "{:?}", begin.elapsed());
        rig.upstreams.close().await;
    });
}

fn restarted() {
    block_on(async {
        let mut rig = Fixture::new(vec![fake_server("a", &[])]);
        rig.call_for_text("a", "echo", "{}").await;
        let _ = rig.call_tool("a", "crash", "{}").await.expect_err("it crashed");
        assert!(
            matches!(rig.changes.recv().await, Some(ServerChange::Ended(ended)) if ended == server_name("a"))
        );
        assert_eq!(rig.call_for_text("a", "echo", "{}").await, "{}");
        assert!(
            matches!(rig.changes.recv().await, Some(ServerChange::Restarted(again)) if again == server_name("a"))
        );
        rig.upstreams.close().await;
        assert!(rig.changes.try_recv().is_err(), "one that is ended is not told of");
    });
}

fn forgotten() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &["forgets"])]);
        assert_eq!(rig.call_for_text("a", "echo", "{}").await, "{}");
        let _ = rig.call_tool("a", "crash", "{}").await.expect_err("it crashed");
        let error = rig.call_tool("a", "echo", "{}").await.expect_err("it is not listed any more");
        assert_eq!(error, ServerError::NotListed(server_name("a"), "echo".parse().expect("a name")));
        rig.upstreams.close().await;
    });
}

fn redefines() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &["redefines", "forgets"])]);
        let call = async |digest: &str| {
            let outgoing = permitted_call_as_defined("a", "tool0", "{}", Some(digest.to_owned()));
            rig.upstreams.call(outgoing, CallOptions::default()).await
        };
        let digest = async || {
            let listing = rig.upstreams.fetch_listing(&server_name("a")).await.expect("an offer");
            tool_definition_digest(&listing.tools[0])
        };
        let before = digest().await;
        let _ = rig.call_tool("a", "crash", "{}").await.expect_err("it crashed");
        let name = |name: &str| name.parse().expect("a name");
        let error = call(&before).await.expect_err("it is defined otherwise");
        assert_eq!(error, ServerError::Redefined(server_name("a"), name("tool0")));
        let error = rig.call_tool("a", "echo", "{}").await.expect_err("the call would have registered it");
        assert_eq!(error, ServerError::NotListed(server_name("a"), name("echo")));
        let now = digest().await;
        assert_ne!(now, before);
        call(&now).await.expect("the definition that it lists now");
        digest().await;
        assert_eq!(rig.call_for_text("a", "echo", "{}").await, "{}");
        rig.upstreams.close().await;
    });
}

fn registers_tools() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &["forgets"])]);
        let not_listed = ServerError::NotListed(server_name("a"), "echo".parse().expect("a name"));
        let _ = rig.call_tool("a", "crash", "{}").await.expect_err("it crashed");
        assert_eq!(rig.call_tool("a", "echo", "{}").await.expect_err("it is not listed"), not_listed);
        rig.call_for_text("a", "tool0", r#"{"announced":true}"#).await;
        assert_eq!(rig.call_for_text("a", "echo", "{}").await, "{}", "it was registered");
        rig.call_for_text("a", "tool0", r#"{"announced":true}"#).await;
        assert_eq!(rig.call_tool("a", "echo", "{}").await.expect_err("it was withdrawn"), not_listed);
        rig.call_for_text("a", "tool0", "{}").await;
        rig.upstreams.fetch_listing(&server_name("a")).await.expect("an offer");
        assert_eq!(rig.call_for_text("a", "echo", "{}").await, "{}", "the offer that is known now has it");
        rig.upstreams.close().await;
    });
}

fn lists_nothing() {
    block_on(async {
        for (how, why) in [("ends-on-list", "it stopped before"), ("malformed-list", "is not an object")] {
            let rig = Fixture::new(vec![fake_server("a", &[how])]);
            let _ = rig.call_tool("a", "crash", "{}").await.expect_err("it crashed");
            // Both say that no call had an effect.
            let error = rig.call_tool("a", "echo", "{}").await.expect_err("it lists nothing");
            assert!(matches!(&error, ServerError::StartFailed(_, said) if said.contains(why)), "{error:?}");
            let error = rig.upstreams.fetch_listing(&server_name("a")).await.expect_err("it lists nothing");
            assert!(matches!(&error, ServerError::StartFailed(..)), "{error:?}");
            rig.upstreams.close().await;
        }
    });
}

fn floods_stderr() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[])]);
        let begin = Instant::now();
        assert_eq!(rig.call_for_text("a", "shout", "{}").await, "{}");
        // At a megabyte a second it would block for 30.
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
        rig.upstreams.close().await;
    });
}

fn cannot_start() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &["ends-at-once"])]);
        let mut is_left_alone = false;
        for _ in 0..10 {
            let error = rig.call_tool("a", "echo", "{}").await.expect_err("it cannot start").to_string();
            assert!(error.contains("exited with status 4: no such database"), "{error}");
            is_left_alone = error.contains("tried again");
            if is_left_alone {
                break;
            }
        }
        assert!(is_left_alone, "it is never left alone");
        rig.upstreams.close().await;
    });
}

fn refuses_a_person() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let mut options = launch_options(directory.path().to_owned(), ServerLimits::default());
        let rule = ReplacementRule {
            fake: "Jane Roe".to_owned(),
            real: Secret::new(PERSON.to_owned()),
            direction: Direction::Both,
            case_sensitive: true,
            matching: None,
            label: None,
            servers: None,
        };
        options.anonymizer =
            Arc::new(ArcSwap::from_pointee(Anonymizer::new(&[rule]).expect("a rule that holds")));
        let (fleet, _changes) = Upstreams::new(vec![fake_server("a", &["refuses-a-person"])], options);
        let refused = fleet.call(permitted_call("a", "echo", "{}"), CallOptions::default()).await;
        let refused = refused.expect_err("it refuses").to_string();
        let names_of = REFUSAL_ABOUT_A_PERSON.matches(PERSON).count();
        assert!(names_of > 20 && refused.contains("no account of Jane Roe, no account of"), "{refused}");
        assert!(!refused.contains(&PERSON[..3]), "no beginning of it is left at the cut: {refused}");
        fleet.close().await;
    });
}

fn not_on_path() {
    block_on(async {
        let mut missing = fake_server("a", &[]);
        program_of(&mut missing).command = "no-such-program-anywhere".to_owned();
        let rig = Fixture::new(vec![missing]);
        let error = rig.call_tool("a", "echo", "{}").await.expect_err("it is missing");
        let reason = "`no-such-program-anywhere` is not on PATH".to_owned();
        assert_eq!(error, ServerError::StartFailed(server_name("a"), reason));
    });
}

fn silent() {
    block_on(async {
        let rig = Fixture::with_limits(vec![fake_server("a", &["silent"])], limits());
        let error = rig.call_tool("a", "echo", "{}").await.expect_err("it is silent").to_string();
        assert!(error.contains("did not answer `initialize`"), "{error}");
        rig.upstreams.close().await;
    });
}

fn modern() {
    block_on(async {
        let mut rig = Fixture::new(vec![fake_server("a", &["modern"])]);
        let meta = rig.call_for_text("a", "meta", "{}").await;
        assert_eq!(
            meta,
            concat!(
                r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
                r#""io.modelcontextprotocol/clientInfo":{"name":"portero","version":"1"},"#,
                r#""io.modelcontextprotocol/clientCapabilities":{}}"#
            )
        );
        assert_eq!(
            rig.call_for_text("a", "echo", r#"{"resultType":"complete","x":1.10}"#).await,
            r#"{"x":1.10}"#
        );
        let change = tokio::time::timeout(TEST_TIMEOUT, rig.changes.recv()).await.expect("it is listened to");
        assert!(matches!(change, Some(ServerChange::List(_, ListKind::Tools))), "{change:?}");
        assert_eq!(rig.upstreams.fetch_listing(&server_name("a")).await.expect("an offer").tools.len(), 3);
        rig.upstreams.close().await;
    });
}

fn ancient() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &["ancient"])]);
        let error =
            rig.call_tool("a", "echo", "{}").await.expect_err("nobody knows that revision").to_string();
        assert!(error.contains("revision of MCP that Portero does not know"), "{error}");
        rig.upstreams.close().await;
    });
}

fn times_out() {
    block_on(async {
        let rig = Fixture::with_limits(vec![fake_server("a", &[])], limits());
        rig.call_for_text("a", "echo", "{}").await;
        let error = rig.call_tool("a", "hang", "{}").await.expect_err("it hangs");
        assert!(matches!(error, ServerError::Timeout(..)), "{error}");
        assert_ne!(rig.call_for_text("a", "cancelled", "{}").await, "[]");
        rig.upstreams.close().await;
    });
}

fn cancelled() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[])]);
        rig.call_for_text("a", "echo", "{}").await;
        let follow = CallOptions::default();
        let cancel = follow.cancel.clone();
        let call = rig.upstreams.call(permitted_call("a", "hang", "{}"), follow);
        let (answer, ()) = tokio::join!(call, async {
            // One call and its answer later, the hanging one is with the server.
            rig.call_for_text("a", "echo", "{}").await;
            cancel.cancel();
        });
        assert_eq!(answer.expect_err("cancelled"), ServerError::Cancelled);
        assert_ne!(rig.call_for_text("a", "cancelled", "{}").await, "[]");
        rig.upstreams.close().await;
    });
}

fn caller_left() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[])]);
        rig.call_for_text("a", "echo", "{}").await;
        tokio::select! {
            biased;
            answer = rig.call_tool("a", "hang", "{}") => panic!("{answer:?}"),
            _ = rig.call_tool("a", "echo", "{}") => {}
        }
        assert_ne!(rig.call_for_text("a", "cancelled", "{}").await, "[]");
        rig.upstreams.close().await;
    });
}

fn progress() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[])]);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&heard);
        let follow = CallOptions {
            progress: Some(Arc::new(move |params| {
                to.lock().expect("no panic").push(params.expose().get().to_owned());
            })),
            ..CallOptions::default()
        };
        answer_text(rig.upstreams.call(permitted_call("a", "progress", "{}"), follow).await);
        let steps: Vec<u64> = heard
            .lock()
            .expect("no panic")
            .iter()
            .map(|params| {
                serde_json::from_str::<serde_json::Value>(params).expect("JSON")["progress"]
                    .as_u64()
                    .expect("a step")
            })
            .collect();
        assert_eq!(steps, [1, 2, 3, 4, 5]);
        rig.upstreams.close().await;
    });
}

fn logs_before_result() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[])]);
        let heard = Arc::new(Mutex::new(0));
        let to = Arc::clone(&heard);
        rig.upstreams.set_event_sink(Arc::new(move |event| match event {
            ServerEvent::Log(..) | ServerEvent::ResourceUpdated(..) => *to.lock().expect("no panic") += 1,
            ServerEvent::LogsLeftOut(..) => panic!("{event:?}"),
        }));
        for call in 1..=100 {
            rig.call_for_text("a", "logs", "{}").await;
            assert_eq!(*heard.lock().expect("no panic"), 3 * call, "of call {call}");
        }
        rig.upstreams.close().await;
    });
}

fn no_meta() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[])]);
        assert_eq!(rig.call_for_text("a", "meta", "{}").await, "null");
        rig.upstreams.close().await;
    });
}

fn junk() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[])]);
        assert_eq!(rig.call_for_text("a", "junk", "{}").await, r#"{"clean":true}"#);
        let log = std::fs::read_to_string(rig.directory.path().join("logs/a.log")).expect("a log");
        assert!(log.contains("Server listening on stdio"), "{log}");
        assert!(!log.contains('\0'));
        rig.upstreams.close().await;
    });
}

/// Lines that answer `ID`, and what is said of them.
const MALFORMED: &[(&str, &str)] = &[
    (r#"{"jsonrpc":"2.0","id":ID,"result":null}"#, "`result` is not an object"),
    (r#"{"jsonrpc":"2.0","id":ID,"result":[1]}"#, "`result` is not an object"),
    (r#"{"jsonrpc":"2.0","id":ID,"result":"done"}"#, "`result` is not an object"),
    (r#"{"jsonrpc":"2.0","id":ID,"error":"boom"}"#, "`error` is not an object"),
    (r#"{"jsonrpc":"2.0","id":ID,"error":{"message":"x"}}"#, "`code`"),
    (r#"{"jsonrpc":"2.0","id":ID,"error":{"code":"E1","message":"x"}}"#, "`code`"),
    (r#"{"jsonrpc":"2.0","id":ID,"error":{"code":1e400,"message":"x"}}"#, "`code`"),
    (r#"{"jsonrpc":"2.0","id":ID,"error":{"code":1}}"#, "`message`"),
    (r#"{"id":ID,"result":{}}"#, "`jsonrpc`"),
    (r#"{"jsonrpc":"1.0","id":ID,"result":{}}"#, "`jsonrpc`"),
    (r#"{"jsonrpc":"2.0","id":ID,"result":{},"error":{"code":1,"message":"x"}}"#, "neither"),
    (r#"{"jsonrpc":"2.0","id":ID}"#, "neither"),
    (r#"{"jsonrpc":"2.0","id":ID,"result":{},"result":{}}"#, "appears twice"),
    (r#"{"jsonrpc":"2.0","id":ID,"result":{"mean":NaN}}"#, "not JSON"),
    (r#"{"jsonrpc":"2.0","id":ID,"result":{"max":-Infinity}}"#, "not JSON"),
    (r#"{"jsonrpc":"2.0","id":ID,"result":{"a":"\x09"}}"#, "not JSON"),
    (r#"{"jsonrpc":"2.0","id":ID,"result":{"a":"\xe9\x00"}}"#, "not UTF-8"),
    (r#"{"jsonrpc":"2.0","id":ID,"result":{"a":"one\x0atwo"}}"#, "not JSON"),
    (r#"{"jsonrpc":"2.0","id":ID,"result":{"content":[{"#, "not JSON"),
    (r#"{"jsonrpc":"2.0","id":ID,"result":{}}{"jsonrpc":"2.0","id":0,"result":{}}"#, "two messages"),
    (r#"ready {"jsonrpc":"2.0","id":ID,"result":{}}"#, "not JSON"),
    (r#"[{"jsonrpc":"2.0","id":ID,"result":7}]"#, "`result` is not an object"),
];

fn answer_with(line: &str) -> String {
    serde_json::json!({ "line": line }).to_string()
}

fn malformed() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[])]);
        let hangs = rig.call_tool("a", "hang", "{}");
        let mut hangs = std::pin::pin!(hangs);
        for (line, why) in MALFORMED {
            let line_there = answer_with(line);
            let answered = rig.call_tool("a", "answer-with", &line_there);
            let answered = tokio::select! {
                answered = answered => answered,
                _ = &mut hangs => panic!("another call was answered: {line}"),
                () = tokio::time::sleep(TEST_TIMEOUT) => panic!("not answered: {line}"),
            };
            match answered {
                Err(ServerError::Malformed(server, words)) => {
                    assert_eq!(server, server_name("a"));
                    assert!(words.contains(why), "{line}: {words}");
                }
                other => panic!("{line}: {other:?}"),
            }
        }
        assert_eq!(rig.call_for_text("a", "echo", "{}").await, "{}", "the server goes on");
        rig.upstreams.close().await;
    });
}

fn unclaimed() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[])]);
        for line in [
            r#"{"jsonrpc":"2.0","id":"other","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"result":{}}"#,
            r#"{"jsonrpc":"2.0","result":{}}"#,
            r#"{"jsonrpc":"2.0","result":{"content":["#,
        ] {
            let line_there = answer_with(line);
            let answered = rig.call_tool("a", "answer-with", &line_there);
            let answered = tokio::time::timeout(TEST_TIMEOUT, answered).await.expect("at once");
            assert!(matches!(answered, Err(ServerError::Malformed(..))), "{line}: {answered:?}");
        }
        rig.upstreams.close().await;
    });
}

fn notification_answered(how: &str) {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[how])]);
        rig.upstreams.fetch_listing(&server_name("a")).await.expect("an offer");
        let mut hangs = std::pin::pin!(rig.call_tool("a", "hang", "{}"));
        tokio::select! {
            biased;
            answered = &mut hangs => panic!("{answered:?}"),
            _ = rig.call_tool("a", "echo", "{}") => {}
        }
        // One whose caller leaves, so that the server is told.
        tokio::select! {
            biased;
            answered = rig.call_tool("a", "hang", "{}") => panic!("{answered:?}"),
            _ = rig.call_tool("a", "echo", "{}") => {}
        }
        tokio::select! {
            biased;
            answered = &mut hangs => panic!("another's notification failed it: {answered:?}"),
            cancelled = rig.call_for_text("a", "cancelled", "{}") => assert_ne!(cancelled, "[]"),
        }
        let answered = tokio::time::timeout(Duration::ZERO, hangs).await;
        assert!(answered.is_err(), "another's notification failed it: {answered:?}");
        rig.upstreams.close().await;
    });
}

fn readable() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[])]);
        for (line, expected) in [
            (r#"{"jsonrpc":"2.0","id":"ID","result":{"a":1.10}}"#, r#"{"a":1.10}"#),
            (r#"{"jsonrpc":"2.0","id":ID.0,"result":{}}"#, "{}"),
            (r#"{"jsonrpc":"2.0","id":ID,"result":{"a":"caf\xe9"}}"#, r#"{"a":"café"}"#),
            (r#"\xef\xbb\xbf{"jsonrpc":"2.0","id":ID,"result":{}}"#, "{}"),
        ] {
            assert_eq!(rig.call_for_text("a", "answer-with", &answer_with(line)).await, expected, "{line}");
        }
        rig.upstreams.close().await;
    });
}

fn taken_back() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[])]);
        let line = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":ID}}"#;
        let line_there = answer_with(line);
        let answered = rig.call_tool("a", "answer-with", &line_there);
        let answered = tokio::time::timeout(TEST_TIMEOUT, answered).await.expect("at once");
        let why = "it cancelled the request".to_owned();
        assert_eq!(answered.expect_err("no answer"), ServerError::Malformed(server_name("a"), why));
        // Its own request, which has the same number as ours.
        let line = concat!(
            r#"{"jsonrpc":"2.0","id":ID,"method":"ping"}\x0a"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":ID}}\x0a"#,
            r#"{"jsonrpc":"2.0","id":ID,"result":{}}"#,
        );
        assert_eq!(rig.call_for_text("a", "answer-with", &answer_with(line)).await, "{}");
        rig.upstreams.close().await;
    });
}

fn flood() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[]), fake_server("b", &[])]);
        rig.call_for_text("b", "echo", "{}").await;
        let (flooded, quick) = tokio::join!(rig.call_for_text("a", "flood", "{}"), async {
            let start = Instant::now();
            for _ in 0..20 {
                rig.call_for_text("b", "echo", "{}").await;
            }
            start.elapsed()
        });
        assert_eq!(flooded, r#"{"flooded":true}"#);
        assert!(quick < Duration::from_secs(5), "{quick:?}");
        assert!(rig.changes.len() < 1024);
        rig.upstreams.close().await;
    });
}

fn too_long() {
    block_on(async {
        let limits = ServerLimits { max_message_bytes: 10_000, ..ServerLimits::default() };
        let rig = Fixture::with_limits(vec![fake_server("a", &[])], limits);
        let (hangs, long, short) = tokio::join!(
            async {
                let call = rig.call_tool("a", "hang", "{}");
                tokio::time::timeout(Duration::from_millis(500), call).await
            },
            rig.call_tool("a", "long", r#"{"bytes":100000}"#),
            rig.call_for_text("a", "long", r#"{"bytes":9000}"#),
        );
        assert!(hangs.is_err(), "another call failed too");
        assert_eq!(long.expect_err("too long"), ServerError::TooLong(server_name("a"), 10_000));
        assert!(short.len() > 9000);
        rig.upstreams.close().await;
    });
}

fn answers_stay_apart() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[])]);
        rig.call_for_text("a", "echo", "{}").await;
        // It answers twice, and then a request that was not made yet.
        assert_eq!(rig.call_for_text("a", "twice", "{}").await, r#"{"answer":1}"#);
        rig.call_for_text("a", "pid", "{}").await;
        for number in 0..50 {
            let arguments = format!("{{\"number\":{number}}}");
            assert_eq!(rig.call_for_text("a", "echo", &arguments).await, arguments);
        }
        rig.upstreams.close().await;
    });
}

fn hangs_alone() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &["silent"]), fake_server("b", &[])]);
        let (hangs, answer) = tokio::join!(
            async {
                let call = rig.call_tool("a", "echo", "{}");
                tokio::time::timeout(Duration::from_millis(700), call).await
            },
            rig.call_for_text("b", "echo", "{}"),
        );
        assert!(hangs.is_err());
        assert_eq!(answer, "{}");
        rig.upstreams.close().await;
    });
}

fn single_flight() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[])]);
        let (one, two, three) = tokio::join!(
            rig.call_for_text("a", "pid", "{}"),
            rig.call_for_text("a", "pid", "{}"),
            rig.call_for_text("a", "pid", "{}")
        );
        assert!(one == two && two == three, "{one} {two} {three}");
        rig.upstreams.close().await;
    });
}

fn environment() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[])]);
        let names = rig.call_for_text("a", "environment", "{}").await;
        assert!(names.contains("\"PATH\"") && !names.contains("SECRET_OF_THE_AGENT"), "{names}");
        rig.upstreams.close().await;
    });
}

fn childs_requests() {
    block_on(async {
        let mut with_roots = fake_server("a", &[]);
        with_roots.roots = Some(vec!["/some/where".into()]);
        let rig = Fixture::new(vec![with_roots, fake_server("b", &[])]);
        let answers = rig.call_for_text("a", "ask", "{}").await;
        assert!(answers.contains(r#""result":{}"#), "ping: {answers}");
        assert!(answers.contains("file:///some/where"), "{answers}");
        assert_eq!(answers.matches("-32601").count(), 1, "{answers}");
        assert_eq!(rig.call_for_text("b", "ask", "{}").await.matches("-32601").count(), 2);
        rig.upstreams.close().await;
    });
}

fn burst() {
    block_on(async {
        let mut rig = Fixture::new(vec![fake_server("a", &["announces"])]);
        rig.upstreams.fetch_listing(&server_name("a")).await.expect("an offer");
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut told = 0;
        while let Ok(ServerChange::List(..)) = rig.changes.try_recv() {
            told += 1;
        }
        assert!(told <= 1, "told {told} times");
        rig.upstreams.close().await;
    });
}

fn reload() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &[]), fake_server("b", &[])]);
        let (a, b) = (rig.call_for_text("a", "pid", "{}").await, rig.call_for_text("b", "pid", "{}").await);
        rig.upstreams.replace_servers(vec![fake_server("b", &["other"]), fake_server("a", &[])]);
        assert_eq!(rig.call_for_text("a", "pid", "{}").await, a);
        assert_ne!(rig.call_for_text("b", "pid", "{}").await, b);
        rig.upstreams.replace_servers(vec![fake_server("a", &[])]);
        assert!(matches!(rig.call_tool("b", "pid", "{}").await, Err(ServerError::Unknown(_))));
        rig.upstreams.close().await;
    });
}

fn closed() {
    block_on(async {
        let rig = Fixture::new(vec![fake_server("a", &["ignores-eof"]), fake_server("b", &[])]);
        rig.call_for_text("a", "echo", "{}").await;
        let start = Instant::now();
        rig.upstreams.close().await;
        // A server that ignores the end of its input would live for ten minutes.
        assert!(start.elapsed() < TEST_TIMEOUT, "{:?}", start.elapsed());
        for server in ["a", "b"] {
            let answer: Result<ServerAnswer, ServerError> = rig.call_tool(server, "echo", "{}").await;
            assert!(matches!(answer, Err(ServerError::StartFailed(..))), "{answer:?}");
        }
    });
}
