//! The agent, in whose name calls are decided and run.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::call::Call;
use crate::names::ToolId;
use crate::pipeline::{CallContext, CallReply, Pipeline};
use crate::policy::Action;
use crate::server::CallOptions;
use crate::task::CallOrigin;

/// Who acts, with the pipeline that each of its calls takes.
pub(super) struct Agent {
    pub(super) pipeline: Arc<Pipeline>,
    /// Replaced when the client introduces itself.
    context: ArcSwap<CallContext>,
}

/// The most characters of the client's name and version, because people read them.
const MAX_CLIENT_CHARS: usize = 200;

impl Agent {
    pub(super) fn new(pipeline: Arc<Pipeline>, origin: CallOrigin) -> Self {
        Self { pipeline, context: ArcSwap::from_pointee(CallContext { origin, task: None }) }
    }

    /// Takes the client's name and version.
    pub(super) fn set_client(&self, name: &str, version: &str) {
        let anonymizer = self.pipeline.anonymizer.load();
        let before = self.context.load();
        let said = format!("{name} {version}");
        let said = match before.origin.remote_address() {
            Some(address) => CallOrigin::describe_remote_client(address, said.trim()),
            None => said.trim().to_owned(),
        };
        let client = anonymizer.conceal_excerpt(&said, MAX_CLIENT_CHARS);
        let origin = CallOrigin { client, ..before.origin.clone() };
        self.context.store(Arc::new(CallContext { origin, task: None }));
    }

    /// Who makes a call now.
    pub(super) fn call_context(&self) -> Arc<CallContext> {
        self.context.load_full()
    }

    /// The action to expect for a tool now. Where it depends on the arguments, that is `require-approval`.
    pub(super) fn tool_action(&self, tool: &ToolId) -> Action {
        let pipeline = &self.pipeline;
        let asker = &self.context.load().origin;
        let policy = pipeline.policy.load();
        let state = pipeline.tool_definition_state(tool, &policy);
        policy.expected_call_action(tool, Some(asker.asker()), state, pipeline.clock.now())
    }

    /// Whether policy allows a call without consuming a grant's use.
    pub(super) fn is_allowed_without_grant(&self, call: &Call) -> bool {
        self.pipeline.policy_source.refresh_policy();
        let policy = self.pipeline.policy.load();
        let (context, now) = (self.context.load(), self.pipeline.clock.now());
        let state = self.pipeline.call_definition(call, &policy).state;
        let asker = Some(context.origin.asker());
        let decision = call.decide(&policy, asker, now);
        let decision = policy.require_accepted(call.identity(), decision, state, asker, now);
        decision.action == Action::Allow && policy.consumed_grant(&decision).is_none()
    }

    /// Runs a call in the agent's name.
    pub(super) async fn run_call(&self, call: Call, follow: CallOptions) -> CallReply {
        let context = self.context.load_full();
        self.pipeline.handle_call(call, &context, follow).await
    }

    /// Ends this session's subscription to a resource.
    pub(super) async fn withdraw(&self, call: Call, follow: CallOptions) -> CallReply {
        let context = self.context.load_full();
        self.pipeline.withdraw(call, &context, follow).await
    }
}
