//! Every request that the socket has, made from its type and about what is really there.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use portero::access::AccessScope;
use portero::approval_scope::{ApprovalScope, ScopeChange, ScopeDuration};
use portero::ipc::requests::approvals::{
    ApproveTask, ApproveWith, AskAgain, CheckApproval, FindTasks, GetTask, InspectTask, ListScopes,
    ListTasks, PreviewScope, RejectTask, RevealTask, WatchTasks,
};
use portero::ipc::requests::audit::ListCheckpoints;
use portero::ipc::requests::auth::{
    EnrollTotp, GetPassphraseSalt, OfferTotp, PairTelegram, RemoveTotp, SetPassphrase, UnpairTelegram,
};
use portero::ipc::requests::config::{ConfirmConfig, GetConfigChanges};
use portero::ipc::requests::daemon::{ExamineServer, GetStatus, StopDaemon};
use portero::ipc::requests::definitions::{
    AcceptDefinitions, GetDefinitions, ReportDefinitions, ReportedDefinition,
};
use portero::ipc::requests::handover::{HoldChildren, ReportCheck, ReportOutcome};
use portero::ipc::requests::login::{AwaitLogin, BeginLogin, GiveLoginAnswer, ListLogins, Logout};
use portero::ipc::requests::overrides::{
    CreateGrant, CreateRule, ExplainDecision, GetOverrides, GetUnsaved, Pause, PreviewChange, PreviewWaiting,
    RemoveRule, Resume, RevokeGrants,
};
use portero::ipc::requests::secrets::{ClearSecrets, ListSecrets, SecretLifetime, SetSecret};
use portero::ipc::requests::sessions::{
    CancelTask, CheckTask, ClaimNews, ConsumeGrant, ForwardCall, GetServerListing, JoinCall, ListOwnTasks,
    ListUnseenTasks, PreviewCall, ReportCheckpoint, SetLogLevel, SubmitCall, SubscribeOverrides,
};
use portero::ipc::requests::tokens::{CreateToken, ListTokens, RevokeToken};
use portero::ipc::{Act, Challenge, GrantSelection, PermitOutcome, Request, WipedJson};
use portero::names::{ChildGeneration, PermitNonce, TaskId};
use portero::policy::{Action, GrantLimits};
use portero::secret::Secret;
use portero::server::LogLevel;
use portero::task::ChildGround;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What the requests are about.
pub(super) struct Subjects<'a> {
    /// A task that waits.
    pub(super) task: &'a str,
    /// A server with credentials.
    pub(super) server: &'a str,
    /// A secret that is set.
    pub(super) secret: &'a str,
    /// An access token.
    pub(super) token: &'a str,
}

/// Reads a value whose type has no other way from outside.
fn read<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_str(&value.to_string()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

fn message<R: Request>(request: &R) -> Value {
    let params = WipedJson::new(request).unwrap();
    json!({"method": R::METHOD, "params": serde_json::from_str::<Value>(params.get()).unwrap()})
}

/// Without the passphrase, which an adversary doesn't have.
fn challenge() -> Challenge {
    Challenge::default()
}

impl Subjects<'_> {
    fn task(&self) -> TaskId {
        read(&json!(self.task))
    }

    fn call(&self) -> Value {
        let params = json!({"name": "tell", "arguments": {}});
        json!({"tool": format!("{}/tell", self.server), "method": "tools/call", "params": params})
    }

    /// What only reads, or changes nothing without the passphrase.
    pub(super) fn harmless_messages(&self) -> Vec<Value> {
        [self.session_messages(), self.task_messages(), self.policy_messages(), self.credential_messages()]
            .concat()
    }

    /// What takes something away. The last one ends the daemon.
    pub(super) fn destructive_messages(&self) -> Vec<Value> {
        vec![
            message(&CancelTask { task: self.task() }),
            message(&RejectTask { task: self.task(), reason: None, for_now: false }),
            message(&RevokeToken { name: read(&json!(self.token)) }),
            message(&ClearSecrets { name: None }),
            message(&Logout { server: read(&json!(self.server)) }),
            message(&RevokeGrants { which: GrantSelection::Ids(vec![1]) }),
            message(&Pause),
            message(&StopDaemon),
        ]
    }

    fn session_messages(&self) -> Vec<Value> {
        let client = || read(&json!("adversary 1"));
        let server = || read(&json!(self.server));
        let child = || {
            Some(ChildGround {
                generation: ChildGeneration::fresh(),
                definition: Some("d".to_owned()),
                binding: "b".to_owned(),
            })
        };
        let call = || read(&self.call());
        let head = json!({"segment": "a.jsonl", "seq": 3, "hash": "00", "length": 90});
        let definition = serde_json::from_str(r#"{"name":"tell"}"#).ok();
        vec![
            message(&SubscribeOverrides),
            message(&SetLogLevel { level: LogLevel::Debug }),
            message(&ForwardCall {
                call: call(),
                client: client(),
                progress: true,
                log_level: Some(LogLevel::Debug),
            }),
            message(&GetServerListing { server: server() }),
            message(&SubmitCall { call: call(), client: client(), child: child() }),
            message(&PreviewCall { call: call(), client: client(), child: child() }),
            message(&JoinCall { task: self.task(), call: call(), client: client(), child: child() }),
            message(&ConsumeGrant { grant: 1, call: call() }),
            message(&ReportDefinitions {
                server: server(),
                definitions: vec![ReportedDefinition { item: read(&json!("tool tell")), definition }],
            }),
            message(&HoldChildren {
                key: Secret::new("00").into(),
                children: vec![(server(), ChildGeneration::fresh())],
            }),
            message(&ReportCheck { number: 1, problem: None }),
            message(&ReportOutcome {
                task: self.task(),
                nonce: PermitNonce::fresh(),
                outcome: PermitOutcome::TooLong(3),
            }),
            message(&CheckTask { task: self.task(), wait_millis: 0 }),
            message(&ListOwnTasks { state: None, limit: 50 }),
            message(&ListUnseenTasks),
            message(&ClaimNews { tasks: vec![self.task()] }),
            message(&ReportCheckpoint(read(&head))),
        ]
    }

    fn task_messages(&self) -> Vec<Value> {
        let task = self.task();
        vec![
            message(&ListTasks { state: None, after: None, limit: 50 }),
            message(&FindTasks { part: self.task.to_owned(), state: None }),
            message(&GetTask { task }),
            message(&RevealTask { task, challenge: challenge() }),
            message(&InspectTask { task }),
            message(&WatchTasks { after: None }),
            message(&CheckApproval { task, fresh: true }),
            message(&ApproveTask { task, fresh: true, challenge: challenge() }),
            message(&ListScopes { task }),
            message(&PreviewScope { task, scope: ApprovalScope::Tool { lasts: ScopeDuration::Session } }),
            message(&ApproveWith {
                task,
                fresh: true,
                permit: ScopeChange::Allow(read(&json!("office/*"))),
                challenge: challenge(),
            }),
            message(&AskAgain { task, challenge: Some(challenge()) }),
            message(&ListCheckpoints),
        ]
    }

    fn policy_messages(&self) -> Vec<Value> {
        let pattern = || read(&json!(format!("{}/*", self.server)));
        let server = || read(&json!(self.server));
        vec![
            message(&CreateGrant {
                pattern: pattern(),
                millis: 60_000,
                limits: GrantLimits::default(),
                run_waiting: vec![self.task()],
                challenge: challenge(),
            }),
            message(&CreateRule {
                pattern: pattern(),
                action: Action::Allow,
                run_waiting: vec![self.task()],
                challenge: Some(challenge()),
            }),
            message(&RemoveRule { id: 1, challenge: Some(challenge()) }),
            message(&Resume { challenge: challenge() }),
            message(&GetOverrides),
            message(&GetUnsaved),
            message(&ExplainDecision {
                tool: read(&json!(format!("{}/tell", self.server))),
                arguments: None,
            }),
            message(&PreviewWaiting { act: Act::Allow(pattern()) }),
            message(&PreviewChange { act: Act::Allow(pattern()) }),
            message(&GetDefinitions { server: None }),
            message(&GetDefinitions { server: Some(server()) }),
            message(&AcceptDefinitions {
                server: server(),
                shown: "digest".to_owned(),
                challenge: challenge(),
            }),
            message(&GetConfigChanges),
            message(&ConfirmConfig { shown: "digest".to_owned(), challenge: challenge() }),
            message(&GetStatus),
            message(&ExamineServer { server: server() }),
        ]
    }

    fn credential_messages(&self) -> Vec<Value> {
        let login = || Secret::new("an id").into();
        vec![
            message(&SetPassphrase { old: Some(challenge()), new: challenge() }),
            message(&GetPassphraseSalt),
            message(&OfferTotp { challenge: challenge() }),
            message(&EnrollTotp { challenge: challenge() }),
            message(&RemoveTotp { challenge: challenge() }),
            message(&PairTelegram { challenge: Some(challenge()) }),
            message(&UnpairTelegram { challenge: challenge() }),
            message(&SetSecret {
                name: read(&json!(self.secret)),
                value: Secret::new("of an adversary").into(),
                lifetime: SecretLifetime::InMemory(Some(Duration::from_secs(60))),
                challenge: None,
            }),
            message(&ListSecrets),
            message(&CreateToken {
                name: read(&json!("adversary")),
                scope: AccessScope::everything(),
                millis: None,
                challenge: challenge(),
            }),
            message(&ListTokens),
            message(&BeginLogin {
                server: read(&json!(self.server)),
                scopes: Vec::new(),
                device: false,
                challenge: None,
            }),
            message(&AwaitLogin { login: login() }),
            message(&GiveLoginAnswer { login: login(), answer: Secret::new("code=c&state=s").into() }),
            message(&ListLogins),
        ]
    }

    /// Fails if a request that the library defines is missing here.
    pub(super) fn assert_complete(&self) {
        let made: BTreeSet<String> = [self.harmless_messages(), self.destructive_messages()]
            .concat()
            .iter()
            .map(|message| message["method"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(made, defined_methods(), "every request of the socket is made, and no other");
    }
}

/// The methods of all requests, from the files that define them.
fn defined_methods() -> BTreeSet<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/ipc/requests");
    let mut methods = BTreeSet::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let found = text.split("const METHOD: &'static str = \"").skip(1);
        methods.extend(found.map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    methods
}
