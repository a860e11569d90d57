//! The processes of this session's own servers, and the approved calls that the daemon hands to it.
//!
//! An approved call runs in the process that the session's other calls use (guarantee A10). The daemon's permit counts
//! once, and only while everything is as it was when a person was asked.

use std::sync::{Arc, OnceLock, Weak};

use portero::binding::{
    BindingInputs, ConfiguredInputs, compute_binding, environment_digest, server_digest, values_digest,
};
use portero::call::{Call, Method};
use portero::ipc::requests::handover::{HoldChildren, ReportCheck, ReportOutcome};
use portero::ipc::{CallCheck, IpcClient, PermitOutcome, RequestError};
use portero::names::{ChildGeneration, ServerName};
use portero::permit::{self, CallPermit, PermitProblem, RedeemedPermit, RedeemedPermits};
use portero::pipeline::{CallContext, CallReply, Pipeline, Refusal, WaitingCalls};
use portero::server::{CallOptions, Upstreams};
use portero::session_key::SessionKey;
use portero::task::{CallOrigin, ChildGround};

/// The processes of this session's servers.
pub(super) struct SessionChildren {
    key: SessionKey,
    origin: CallOrigin,
    upstreams: Arc<Upstreams>,
    /// The pipeline submits calls through this, so neither can be made with the other.
    pipeline: OnceLock<Weak<Pipeline>>,
    redeemed: RedeemedPermits,
    /// The calls that wait to run in these processes.
    pub(super) waiting: WaitingCalls,
}

impl SessionChildren {
    pub(super) fn new(origin: CallOrigin, upstreams: Arc<Upstreams>) -> Self {
        Self {
            key: SessionKey::fresh(),
            origin,
            upstreams,
            pipeline: OnceLock::new(),
            redeemed: RedeemedPermits::default(),
            waiting: WaitingCalls::default(),
        }
    }

    /// Once, before the first call.
    pub(super) fn set_pipeline(&self, pipeline: &Arc<Pipeline>) {
        let _ = self.pipeline.set(Arc::downgrade(pipeline));
    }

    /// Tells the daemon which processes there are, and returns what it was told.
    pub(super) async fn announce(
        &self,
        client: &IpcClient,
    ) -> Result<Vec<(ServerName, ChildGeneration)>, RequestError> {
        let children = self.upstreams.generations();
        let (key, told) = (self.key.to_shown().into(), children.clone());
        client.request(HoldChildren { key, children }).await?;
        Ok(told)
    }

    /// Tells the daemon of each change; returns when it can't be told.
    pub(super) async fn keep_announcing(
        &self,
        client: &IpcClient,
        mut known: Vec<(ServerName, ChildGeneration)>,
    ) -> RequestError {
        let mut changes = self.upstreams.subscribe_generations();
        loop {
            // What changed since the last time may be older than this subscription.
            if self.upstreams.generations() != known {
                match self.announce(client).await {
                    Ok(told) => known = told,
                    Err(error) => return error,
                }
                continue;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// What a call relies on now, if this session runs its server itself.
    ///
    /// # Errors
    /// As [`Self::ground`].
    pub(super) async fn ground_if_held(&self, call: &Call) -> Result<Option<ChildGround>, Refusal> {
        if self.upstreams.find_config(&call.tool.server).is_none() {
            return Ok(None);
        }
        self.ground(call).await.map(Some)
    }

    /// What a call relies on now, in this session's process of its server, which is started if needed.
    ///
    /// # Errors
    /// When the server does not answer, or does not list the tool.
    async fn ground(&self, call: &Call) -> Result<ChildGround, Refusal> {
        let ending = || Refusal::ServerUnavailable("the session is ending".to_owned());
        let pipeline = self.pipeline.get().and_then(Weak::upgrade).ok_or_else(ending)?;
        let server = &call.tool.server;
        let conceal = |words: String| pipeline.anonymizer.load().conceal_text(&words).into_inner();
        let before = self.upstreams.generation(server);
        let fetched = pipeline.fetch_listing(server).await;
        fetched.map_err(|error| Refusal::ServerUnavailable(conceal(error.to_string())))?;
        let definition = pipeline.catalog.definition_digest(&call.tool);
        if definition.is_none() && call.method == Method::CallTool {
            return Err(Refusal::Unknown(call.tool.to_string()));
        }
        // A definition of one process must not count for the next.
        let now = self.upstreams.generation(server);
        let generation = now.filter(|now| before.is_none_or(|before| before == *now));
        let (Some(generation), Some(config)) = (generation, self.upstreams.find_config(server)) else {
            return Err(Refusal::ServerUnavailable(format!("server `{server}` was restarted meanwhile")));
        };
        let configured = ConfiguredInputs {
            server: server_digest(&config),
            environment: environment_digest(&config),
            values: values_digest(&pipeline.anonymizer.load(), call)?,
        };
        let inputs = BindingInputs { configured, definition: definition.clone(), child: None };
        let directory = self.origin.directory.to_string_lossy();
        let binding = compute_binding(&self.key.binding_key(), call, &directory, &inputs)?;
        Ok(ChildGround { generation, definition, binding })
    }

    /// Tells the daemon whether an approved call would run here.
    pub(super) async fn answer_check(&self, check: CallCheck, client: &IpcClient) {
        let CallCheck { number, call, ground } = check;
        let problem = self.find_problem(&call, &ground).await.err();
        if let Err(error) = client.request(ReportCheck { number, problem }).await {
            tracing::debug!(%error, "the daemon did not hear whether a call would run");
        }
    }

    async fn find_problem(&self, call: &Call, asked_on: &ChildGround) -> Result<(), PermitProblem> {
        // Looked at first: to ask a server what it lists would start one that ended.
        if self.upstreams.generation(&call.tool.server) != Some(asked_on.generation) {
            return Err(PermitProblem::Restarted);
        }
        let now_on = self.ground(call).await.map_err(problem_of)?;
        let pipeline = self.pipeline()?;
        pipeline.policy_source.refresh_policy();
        let (asker, now) = (self.origin.asker(), pipeline.clock.now());
        permit::check_ground(&pipeline.policy.load(), call, (asker, now), asked_on, &now_on)
    }

    /// Makes the call of a permit, if everything is as it was, and tells the daemon what came of it. A permit that comes
    /// a second time does nothing.
    pub(super) async fn run_permit(&self, permit: CallPermit, client: &IpcClient) {
        let Some(redeemed) = self.redeemed.redeem(permit) else {
            return tracing::warn!("a permit was handed over twice: the second time it does nothing");
        };
        let (task, nonce, most) = (redeemed.task(), redeemed.nonce(), redeemed.max_result_bytes());
        let outcome = match self.run_redeemed(redeemed).await {
            Ok(reply) => outcome_of(reply, most),
            Err(problem) => PermitOutcome::NotRun(problem),
        };
        if let Err(error) = client.request(ReportOutcome { task, nonce, outcome }).await {
            tracing::warn!(%task, %error, "the daemon did not hear the outcome of an approved call");
        }
    }

    async fn run_redeemed(&self, redeemed: RedeemedPermit) -> Result<CallReply, PermitProblem> {
        if self.upstreams.generation(&redeemed.call().tool.server) != Some(redeemed.generation()) {
            return Err(PermitProblem::Restarted);
        }
        let now_on = self.ground(redeemed.call()).await.map_err(problem_of)?;
        let pipeline = self.pipeline()?;
        pipeline.policy_source.refresh_policy();
        let context = CallContext { origin: self.origin.clone(), task: Some(redeemed.task()) };
        // The process may end in between: the call reaches this one or none.
        let follow = CallOptions { only_in: Some(redeemed.generation()), ..CallOptions::default() };
        let (asker, now) = (self.origin.asker(), pipeline.clock.now());
        let permitted = redeemed.check(&pipeline.policy.load(), asker, now, &now_on)?;
        Ok(pipeline.run_permitted(permitted, &context, follow).await)
    }

    fn pipeline(&self) -> Result<Arc<Pipeline>, PermitProblem> {
        let pipeline = self.pipeline.get().and_then(Weak::upgrade);
        pipeline.ok_or_else(|| PermitProblem::Unavailable("the session is ending".to_owned()))
    }
}

/// Why a call can't be made, of what hindered a look at it.
fn problem_of(refusal: Refusal) -> PermitProblem {
    match refusal {
        Refusal::Denied(decision) => PermitProblem::Denied(decision.to_string()),
        Refusal::Unknown(_) => PermitProblem::Changed("the tool's definition".to_owned()),
        Refusal::Invalid(_) => PermitProblem::Changed("the call".to_owned()),
        Refusal::Declined(words)
        | Refusal::DaemonUnavailable(words)
        | Refusal::ServerUnavailable(words)
        | Refusal::Interrupted(words)
        | Refusal::Malformed(words) => PermitProblem::Unavailable(words),
        Refusal::Withheld(_) | Refusal::AuditUnavailable | Refusal::Cancelled => {
            PermitProblem::Unavailable(refusal.to_string())
        }
    }
}

/// The report of a reply to the daemon. An answer that is too long to be kept is not sent.
fn outcome_of(reply: CallReply, most: usize) -> PermitOutcome {
    match reply {
        CallReply::Result(json) | CallReply::Error(json) if json.get().get().len() > most => {
            PermitOutcome::TooLong(json.get().get().len())
        }
        CallReply::Result(result) => PermitOutcome::Result(result),
        CallReply::Error(error) => PermitOutcome::Error(error),
        CallReply::PendingApproval(_) | CallReply::Joined(_) => {
            PermitOutcome::Failed("it was not run: it asked again".to_owned())
        }
        CallReply::Refused(refusal) => match refusal {
            Refusal::Interrupted(_) | Refusal::Malformed(_) | Refusal::Cancelled => {
                PermitOutcome::Unknown(refusal.to_string())
            }
            Refusal::Withheld(_) => PermitOutcome::Withheld,
            Refusal::Denied(_)
            | Refusal::Unknown(_)
            | Refusal::Invalid(_)
            | Refusal::Declined(_)
            | Refusal::DaemonUnavailable(_)
            | Refusal::ServerUnavailable(_)
            | Refusal::AuditUnavailable => PermitOutcome::Failed(refusal.to_string()),
        },
    }
}
