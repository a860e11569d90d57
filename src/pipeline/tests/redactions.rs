//! Redactions that come back in arguments, and messages that are withheld.

use std::sync::Mutex;

use super::*;
use crate::anonymize::{Direction, ReplacementRule};
use crate::secret::Secret;

const KEY: &str = "sk-live-12345";
const REDACTION: &str = "***API-KEY***";

fn one_way_fixture() -> Fixture {
    let part = FakeServer::with_tools(&["read", "write"]).handling_calls_with(|heard, _| {
        Box::pin(async move {
            let text =
                if heard.tool.ends_with("read") { format!("A=1 KEY={KEY}") } else { "done".to_owned() };
            Ok(result_answer(&format!(r#"{{"content":[{{"type":"text","text":"{text}"}}]}}"#)))
        })
    });
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![("files", part.clone()), ("mail", part)],
        ..FixtureSetup::default()
    });
    let rule = ReplacementRule {
        fake: "fake-api-key-1".to_owned(),
        real: Secret::new(KEY),
        direction: Direction::OneWay { redaction: REDACTION.to_owned() },
        case_sensitive: true,
        matching: None,
        label: None,
        servers: Some(vec!["files".parse().expect("a name")]),
    };
    fixture.pipeline.anonymizer.store(Arc::new(Anonymizer::new(&[rule]).expect("one rule")));
    fixture
}

async fn run(fixture: &Fixture, context: &CallContext, tool: &str, content: &str) -> CallReply {
    let name = tool.rsplit('/').next().expect("a name");
    let params = format!(r#"{{"name":"{name}","arguments":{{"content":"{content}"}}}}"#);
    fixture.pipeline.handle_call(fixture.make_call(tool, &params), context, CallOptions::default()).await
}

#[tokio::test]
async fn a_redaction_that_is_written_back_becomes_its_value_again_and_that_is_recorded() {
    let (fixture, written) = (one_way_fixture(), format!("A=2 KEY={REDACTION}"));
    let context = fixture.context();
    let shown = run(&fixture, &context, "files/read", "").await;
    assert!(reply_text(&shown).contains(REDACTION) && !reply_text(&shown).contains(KEY));
    let reply = run(&fixture, &context, "files/write", &written).await;
    assert!(matches!(reply, CallReply::Result(_)), "{reply:?}");
    assert!(fixture.received_calls()[1].params.contains(&format!("A=2 KEY={KEY}")));
    let audited = fixture.audit_events();
    assert!(
        audited.iter().any(|event| event.contains("restored") && event.contains(REDACTION)),
        "{audited:?}"
    );
    assert!(!audited.concat().contains(KEY), "{audited:?}");
}

#[tokio::test]
async fn a_redaction_of_another_session_or_server_or_out_of_scope_is_refused_and_recorded() {
    let fixture = one_way_fixture();
    let (context, other) = (fixture.context(), fixture.context());
    for tool in ["files/read", "mail/read"] {
        run(&fixture, &context, tool, "").await;
    }
    let received = fixture.received_calls().len();
    for (context, tool) in [(&other, "files/write"), (&context, "mail/write")] {
        let reply = run(&fixture, context, tool, REDACTION).await;
        let CallReply::Refused(refusal @ Refusal::Invalid(_)) = reply else { panic!("{reply:?}") };
        let words = refusal.to_string();
        assert!(
            words.contains(REDACTION) && words.contains("did not run") && words.contains("ask your user"),
            "{words}"
        );
    }
    assert_eq!(fixture.received_calls().len(), received, "no server saw it");
    let refused = fixture.audit_events().iter().filter(|event| event.contains("refused")).count();
    assert_eq!(refused, 2);
    let call = fixture
        .make_call("mail/write", &format!(r#"{{"name":"write","arguments":{{"content":"{REDACTION}"}}}}"#));
    let forecast = fixture.pipeline.forecast_call(call, &context, &CallOptions::default()).await;
    assert!(matches!(forecast, CallForecast::Refused(Refusal::Invalid(_))), "{forecast:?}");
}

#[tokio::test]
async fn a_person_is_asked_about_the_value_and_not_about_its_redaction() {
    let fixture = one_way_fixture();
    let context = fixture.context();
    run(&fixture, &context, "files/read", "").await;
    fixture.set_policy(&[("files/write", Action::RequireApproval)], None);
    let reply = run(&fixture, &context, "files/write", REDACTION).await;
    assert!(matches!(reply, CallReply::PendingApproval(_)), "{reply:?}");
    let submitted = fixture.approvals.submitted.lock().unwrap();
    assert!(submitted[0].params.get().get().contains("fake-api-key-1"), "{submitted:?}");
}

#[tokio::test]
async fn a_withheld_answer_and_withheld_progress_are_recorded_with_their_tool() {
    let mut layers = "Ada Lovelace".to_owned();
    for _ in 0..26 {
        layers = layers.replace('%', "%25").replace(' ', "%20");
    }
    let part = FakeServer::with_tools(&["t"]).handling_calls_with(move |_, follow| {
        let layers = layers.clone();
        Box::pin(async move {
            let tell = follow.progress.expect("progress is wanted");
            tell(Real::from_server(raw_json(&format!(r#"{{"progress":1,"message":"{layers}"}}"#))));
            tell(Real::from_server(raw_json(r#"{"progress":2,"message":"of Ada Lovelace"}"#)));
            Ok(result_answer(&format!(r#"{{"content":[{{"type":"text","text":"{layers}"}}]}}"#)))
        })
    });
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![("mail", part)],
        replacements: vec![("John Doe", "Ada Lovelace")],
        ..FixtureSetup::default()
    });
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    let progress: crate::server::ProgressSink =
        Arc::new(move |params: Real<RawJson>| sink.lock().unwrap().push(params.expose().get().to_owned()));
    let follow = CallOptions { progress: Some(progress), ..CallOptions::default() };
    let call = fixture.make_call("mail/t", r#"{"name":"t"}"#);
    let reply = fixture.pipeline.handle_call(call, &fixture.context(), follow).await;
    assert!(matches!(reply, CallReply::Refused(Refusal::Withheld(_))), "{reply:?}");
    assert_eq!(*told.lock().unwrap(), [r#"{"progress":2,"message":"of John Doe"}"#]);
    let audited = fixture.audit_events();
    for channel in ["answer", "progress"] {
        let is_told = |event: &String| {
            event.contains(r#""withheld""#)
                && event.contains(channel)
                && event.contains("mail/t")
                && event.contains("escaped too often")
        };
        assert!(audited.iter().any(is_told), "{channel}: {audited:?}");
    }
}
