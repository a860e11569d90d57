//! A table of every request: each has a method of its own, and its params come through whole.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::access::AccessScope;
use crate::approval_scope::{ApprovalScope, ScopeChange, ScopeDuration};
use crate::ipc::requests::approvals::{
    ApproveTask, ApproveWith, AskAgain, CheckApproval, FindTasks, GetTask, InspectTask, ListScopes,
    ListTasks, PreviewScope, RejectTask, RevealTask, WatchTasks,
};
use crate::ipc::requests::audit::ListCheckpoints;
use crate::ipc::requests::auth::{
    EnrollTotp, GetPassphraseSalt, OfferTotp, PairTelegram, RemoveTotp, SetPassphrase, UnpairTelegram,
};
use crate::ipc::requests::config::{ConfirmConfig, GetConfigChanges};
use crate::ipc::requests::daemon::{ExamineServer, GetStatus, StopDaemon};
use crate::ipc::requests::definitions::{
    AcceptDefinitions, GetDefinitions, ReportDefinitions, ReportedDefinition,
};
use crate::ipc::requests::handover::{HoldChildren, ReportCheck, ReportOutcome};
use crate::ipc::requests::login::{AwaitLogin, BeginLogin, GiveLoginAnswer, ListLogins, Logout};
use crate::ipc::requests::overrides::{
    CreateGrant, CreateRule, ExplainDecision, GetOverrides, GetUnsaved, Pause, PreviewChange, PreviewWaiting,
    RemoveRule, Resume, RevokeGrants,
};
use crate::ipc::requests::secrets::{ClearSecrets, ListSecrets, SecretLifetime, SetSecret};
use crate::ipc::requests::sessions::{
    CancelTask, CheckTask, ClaimNews, ConsumeGrant, ForwardCall, GetServerListing, JoinCall, ListOwnTasks,
    ListUnseenTasks, PreviewCall, ReportCheckpoint, SetLogLevel, SubmitCall, SubscribeOverrides,
};
use crate::ipc::requests::tokens::{CreateToken, ListTokens, RevokeToken};
use crate::ipc::{Act, Challenge, GrantSelection, PermitOutcome, RawRequest, Request, ToDaemon, WipedJson};
use crate::names::{ChildGeneration, PermitNonce, TaskId};
use crate::permit::PermitProblem;
use crate::policy::{Action, GrantLimits};
use crate::secret::Secret;
use crate::server::LogLevel;
use crate::task::{ChildGround, TaskCursor, TaskState};

/// The files that define the requests.
const SUBJECTS: [&str; 12] = [
    include_str!("../requests/approvals.rs"),
    include_str!("../requests/audit.rs"),
    include_str!("../requests/auth.rs"),
    include_str!("../requests/config.rs"),
    include_str!("../requests/daemon.rs"),
    include_str!("../requests/definitions.rs"),
    include_str!("../requests/handover.rs"),
    include_str!("../requests/login.rs"),
    include_str!("../requests/overrides.rs"),
    include_str!("../requests/secrets.rs"),
    include_str!("../requests/sessions.rs"),
    include_str!("../requests/tokens.rs"),
];

#[test]
fn each_has_a_method_of_its_own_and_its_params_survive_the_way() {
    let methods: Vec<&str> = sessions().into_iter().chain(decisions()).chain(changes()).collect();
    let distinct: BTreeSet<_> = methods.iter().copied().collect();
    assert_eq!(distinct.len(), methods.len(), "a method is of two requests: {methods:?}");
    let defined: usize = SUBJECTS.iter().map(|text| text.matches("\nimpl Request for ").count()).sum();
    assert_eq!(methods.len(), defined, "the table lacks a request: {methods:?}");
}

#[test]
fn params_that_do_not_fit_are_refused_with_what_is_wrong() {
    for (params, words) in [
        (r#"{"task":"no id"}"#, "invalid character: found `n`"),
        ("{}", "missing field `task`"),
        ("null", "invalid type: null"),
    ] {
        let params = serde_json::from_str(params).expect("JSON");
        let raw = RawRequest { method: GetTask::METHOD.to_owned(), params };
        let error = raw.parse::<GetTask>(&transcript()).expect_err("it does not fit").to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
}

fn transcript() -> crate::store_identity::Transcript {
    let hello = super::session_hello();
    super::sign_welcome(&hello).expect("made").transcript(&hello)
}

/// The request's method, once its params came through the message and their type.
fn survives<R: Request>(request: &R) -> &'static str {
    let params = WipedJson::new(request).expect("said");
    let said = params.get().to_owned();
    let request = RawRequest { method: R::METHOD.to_owned(), params };
    let message = serde_json::to_string(&ToDaemon::Request { number: 7, request }).expect("said");
    let heard = serde_json::from_str(&message).expect(&message);
    let ToDaemon::Request { number: 7, request } = heard else { panic!("{heard:?}") };
    assert_eq!((request.method.as_str(), request.params.get()), (R::METHOD, said.as_str()));
    let read: R = request.parse(&transcript()).expect(&said);
    assert_eq!(serde_json::to_string(&read).expect("said"), said, "{}", R::METHOD);
    R::METHOD
}

/// One whose every field that a message holds has a value.
fn challenge() -> Challenge {
    let mut challenge = Challenge::on_telegram();
    challenge.code = Some("123456".to_owned());
    challenge.set_proof("00".to_owned(), Some(Secret::new("11")));
    challenge
}

fn definitions() -> Vec<ReportedDefinition> {
    let item = |text: &str| text.parse().expect("an item");
    let definition = serde_json::from_str(r#"{"name":"x","n":1.10}"#).ok();
    vec![
        ReportedDefinition { item: item("tool x"), definition },
        ReportedDefinition { item: item("prompt a b"), definition: None },
    ]
}

fn ground() -> ChildGround {
    ChildGround {
        generation: ChildGeneration::fresh(),
        definition: Some("d".to_owned()),
        binding: "b".to_owned(),
    }
}

fn sessions() -> Vec<&'static str> {
    let task = TaskId::fresh();
    let (key, generation) = (Secret::new("00"), ChildGeneration::fresh());
    let (call, client) = (super::call, super::client_name);
    let head = super::read(&serde_json::json!({"segment": "a.jsonl", "seq": 3, "hash": "00", "length": 90}));
    let log_level = Some(LogLevel::Warning);
    vec![
        survives(&SubscribeOverrides),
        survives(&SubmitCall { call: call(), client: client(), child: Some(ground()) }),
        survives(&HoldChildren {
            key: key.into(),
            children: vec![("notes".parse().expect("a name"), generation)],
        }),
        survives(&ReportCheck { number: 4, problem: Some(PermitProblem::Restarted) }),
        survives(&ReportOutcome { task, nonce: PermitNonce::fresh(), outcome: PermitOutcome::TooLong(3) }),
        survives(&PreviewCall { call: call(), client: client(), child: Some(ground()) }),
        survives(&JoinCall { task, call: call(), client: client(), child: Some(ground()) }),
        survives(&ForwardCall { call: call(), client: client(), progress: true, log_level }),
        survives(&SetLogLevel { level: LogLevel::Info }),
        survives(&ConsumeGrant { grant: 3, call: call() }),
        survives(&GetServerListing { server: "notes".parse().expect("a name") }),
        survives(&ReportDefinitions { server: "notes".parse().expect("a name"), definitions: definitions() }),
        survives(&CheckTask { task, wait_millis: 9 }),
        survives(&ListOwnTasks { state: Some(TaskState::Denied), limit: 4 }),
        survives(&ListUnseenTasks),
        survives(&ClaimNews { tasks: vec![task] }),
        survives(&CancelTask { task }),
        survives(&ReportCheckpoint(head)),
    ]
}

fn decisions() -> Vec<&'static str> {
    let task = TaskId::fresh();
    let asked = "2026-01-02T03:04:05Z".parse().expect("a time");
    let (state, after) = (Some(TaskState::PendingApproval), Some(TaskCursor { asked, id: task }));
    vec![
        survives(&ListTasks { state, after, limit: 5 }),
        survives(&FindTasks { part: "ab".to_owned(), state }),
        survives(&GetTask { task }),
        survives(&RevealTask { task, challenge: challenge() }),
        survives(&InspectTask { task }),
        survives(&WatchTasks { after: Some(8) }),
        survives(&CheckApproval { task, fresh: true }),
        survives(&ApproveTask { task, fresh: true, challenge: challenge() }),
        survives(&ListScopes { task }),
        survives(&PreviewScope { task, scope: ApprovalScope::Tool { lasts: ScopeDuration::Session } }),
        survives(&ApproveWith {
            task,
            fresh: true,
            permit: ScopeChange::Allow("a/b".parse().expect("a pattern")),
            challenge: challenge(),
        }),
        survives(&RejectTask { task, reason: Some("no".to_owned()), for_now: true }),
        survives(&AskAgain { task, challenge: Some(challenge()) }),
        survives(&ListCheckpoints),
    ]
}

fn changes() -> Vec<&'static str> {
    let pattern = || "a/b".parse().expect("a pattern");
    let limits = GrantLimits { uses: "3".parse().ok(), ..GrantLimits::default() };
    let arguments = serde_json::from_str(r#"{"n":1.10}"#).ok();
    let salted = crate::passphrase::KdfParams::fresh();
    let derived = crate::passphrase::PassphraseKey::new(&Secret::new("typed"), &salted).expect("derived");
    let mut new = Challenge::default();
    new.set_verifier(derived.verifier(salted), derived.sealing_key());
    vec![
        survives(&CreateGrant {
            pattern: pattern(),
            millis: 60_000,
            limits,
            run_waiting: vec![TaskId::fresh()],
            challenge: challenge(),
        }),
        survives(&RevokeGrants { which: GrantSelection::Ids(vec![1, 2]) }),
        survives(&CreateRule {
            pattern: pattern(),
            action: Action::Allow,
            run_waiting: vec![TaskId::fresh()],
            challenge: Some(challenge()),
        }),
        survives(&RemoveRule { id: 6, challenge: Some(challenge()) }),
        survives(&Pause),
        survives(&Resume { challenge: challenge() }),
        survives(&GetOverrides),
        survives(&GetUnsaved),
        survives(&ExplainDecision { tool: "a/b".parse().expect("a tool"), arguments }),
        survives(&PreviewWaiting { act: Act::Allow(pattern()) }),
        survives(&PreviewChange { act: Act::RemoveRule(2, pattern(), Action::Deny) }),
        survives(&GetDefinitions { server: "notes".parse().ok() }),
        survives(&AcceptDefinitions {
            server: "notes".parse().expect("a name"),
            shown: "digest".to_owned(),
            challenge: challenge(),
        }),
        survives(&GetConfigChanges),
        survives(&ConfirmConfig { shown: "digest".to_owned(), challenge: challenge() }),
        survives(&SetPassphrase { old: Some(challenge()), new }),
        survives(&GetPassphraseSalt),
        survives(&OfferTotp { challenge: challenge() }),
        survives(&EnrollTotp { challenge: challenge() }),
        survives(&RemoveTotp { challenge: challenge() }),
        survives(&PairTelegram { challenge: Some(challenge()) }),
        survives(&UnpairTelegram { challenge: challenge() }),
        survives(&SetSecret {
            name: "github".parse().expect("a name"),
            value: Secret::new("value").into(),
            lifetime: SecretLifetime::InMemory(Some(Duration::from_secs(60))),
            challenge: Some(challenge()),
        }),
        survives(&ListSecrets),
        survives(&ClearSecrets { name: Some("github".parse().expect("a name")) }),
        survives(&CreateToken {
            name: "laptop".parse().expect("a name"),
            scope: AccessScope::everything(),
            millis: Some(60_000),
            challenge: challenge(),
        }),
        survives(&ListTokens),
        survives(&RevokeToken { name: "laptop".parse().expect("a name") }),
        survives(&GetStatus),
        survives(&ExamineServer { server: "linear".parse().expect("a name") }),
        survives(&BeginLogin {
            server: "linear".parse().expect("a name"),
            scopes: vec!["read".to_owned()],
            device: true,
            challenge: Some(challenge()),
        }),
        survives(&AwaitLogin { login: Secret::new("an id").into() }),
        survives(&GiveLoginAnswer {
            login: Secret::new("an id").into(),
            answer: Secret::new("code=c").into(),
        }),
        survives(&Logout { server: "linear".parse().expect("a name") }),
        survives(&ListLogins),
        survives(&StopDaemon),
    ]
}
