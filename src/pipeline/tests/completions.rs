//! What a completion may tell of a private value.

use super::*;

async fn complete(typed: &str, answer: &'static str) -> String {
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![(
            "mail",
            FakeServer::with_tools(&[]).answering_with(move || Ok(result_answer(answer))),
        )],
        replacements: vec![("Jane Roe", "María Musterfrau")],
        ..FixtureSetup::default()
    });
    let params = format!(
        r#"{{"ref":{{"type":"ref/prompt","name":"write"}},"argument":{{"name":"to","value":"{typed}"}}}}"#
    );
    let mut call = fixture.make_call("mail/completion:complete", &params);
    call.method = Method::Complete;
    let reply = fixture.pipeline.handle_call(call, &fixture.context(), CallOptions::default()).await;
    reply_text(&reply).to_owned()
}

#[tokio::test]
async fn a_completion_confirms_no_piece_of_a_private_value() {
    let found = r#"{"completion":{"values":["Mustang","María Musterfrau"],"total":2,"hasMore":false},"x":1}"#;
    let kept = r#"{"completion":{"values":["Mustang"],"hasMore":false},"x":1}"#;
    let both = r#"{"completion":{"values":["Mustang","Jane Roe"],"total":2,"hasMore":false},"x":1}"#;
    for (typed, told) in
        [("mus", kept), ("Muster", kept), ("frau", kept), ("", both), ("JAN", both), ("e R", both)]
    {
        assert_eq!(complete(typed, found).await, told, "{typed}");
    }
}

#[tokio::test]
async fn other_completions_pass_byte_for_byte() {
    for answer in [
        r#"{"completion":{"values":["Mustang", "mus\u0065um"],"total":2}}"#,
        r#"{"completion":{"values":[1,null]}}"#,
        r#"{"completion":7}"#,
        r#"{}"#,
    ] {
        assert_eq!(complete("mus", answer).await, answer);
    }
}
