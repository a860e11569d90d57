//! Reports messages that were withheld because the second scan found a private value in them (guarantee N5). The
//! daemon raises an alarm for each record, of all processes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{CallContext, Pipeline};
use crate::anonymize::Leak;
use crate::audit::{AuditEvent, AuditRecord, AuditWriter, WithheldChannel};
use crate::clock::Clock;
use crate::names::{ServerName, ToolId};
use crate::server::{CallOptions, ProgressSink};
use crate::sync::lock;

/// How often one server's messages on one channel are recorded. A server may send thousands a second.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// The most server and channel pairs that are remembered.
const MAX_REMEMBERED: usize = 1_000;

/// What was reported lately.
#[derive(Debug, Default)]
pub struct WithheldReports(Mutex<HashMap<(Option<ServerName>, WithheldChannel), Report>>);

#[derive(Debug)]
struct Report {
    /// The time since boot at which it was recorded last.
    at: Duration,
    /// How many came since then.
    unreported: u64,
}

impl WithheldReports {
    /// How many messages to record now; none if they are only counted.
    fn count(&self, server: Option<&ServerName>, channel: WithheldChannel, now: Duration) -> Option<u64> {
        match channel {
            // Each of these is a call, which is recorded anyway.
            WithheldChannel::Answer | WithheldChannel::Arguments => return Some(1),
            WithheldChannel::Progress
            | WithheldChannel::Log
            | WithheldChannel::ResourceUpdate
            | WithheldChannel::Listing => {}
        }
        let mut reports = lock(&self.0);
        if reports.len() >= MAX_REMEMBERED {
            reports.retain(|_, report| now.saturating_sub(report.at) < REPORT_INTERVAL);
        }
        match reports.get_mut(&(server.cloned(), channel)) {
            Some(report) if now.saturating_sub(report.at) < REPORT_INTERVAL => {
                report.unreported += 1;
                None
            }
            Some(report) => {
                report.at = now;
                Some(std::mem::take(&mut report.unreported) + 1)
            }
            None => {
                // A full table records each one: an alarm too many is better than a lost one.
                if reports.len() < MAX_REMEMBERED {
                    reports.insert((server.cloned(), channel), Report { at: now, unreported: 0 });
                }
                Some(1)
            }
        }
    }
}

/// Records what was withheld.
#[derive(Clone)]
struct WithheldReporter {
    audit: Arc<AuditWriter>,
    clock: Arc<dyn Clock>,
    reports: Arc<WithheldReports>,
}

/// Where a message was withheld.
pub struct WithheldMessage<'a> {
    /// The kind of message.
    pub channel: WithheldChannel,
    /// The server that wrote it, or that it was for, if that is known.
    pub server: Option<&'a ServerName>,
    /// The tool whose call it belongs to.
    pub tool: Option<&'a ToolId>,
    /// The caller.
    pub context: Option<&'a CallContext>,
}

impl WithheldReporter {
    fn report(&self, message: &WithheldMessage<'_>, leak: &Leak) {
        let WithheldMessage { channel, server, tool, context } = message;
        let (channel, now) = (*channel, self.clock.now());
        let (what, server) = (leak.describe_value(), server.or(tool.map(|tool| &tool.server)));
        let shown = server.map(ServerName::as_str).unwrap_or_default();
        tracing::error!(server = shown, channel = channel.describe(), what, "a message was withheld");
        let Some(count) = self.reports.count(server, channel, now.boot) else { return };
        let record = AuditRecord {
            at: now.wall,
            session: context.map(|context| context.origin.session),
            principal: context.map(|context| context.origin.principal.clone()),
            address: context.and_then(|context| context.origin.remote_address()),
            event: AuditEvent::Withheld {
                channel,
                server: server.cloned(),
                tool: tool.cloned(),
                what: what.to_owned(),
                count,
            },
        };
        if let Err(error) = self.audit.append(&record) {
            tracing::error!(%error, "a withheld message could not be recorded");
        }
    }
}

impl Pipeline {
    /// Records that a message was withheld, so that the daemon raises an alarm.
    pub fn report_withheld(&self, message: &WithheldMessage<'_>, leak: &Leak) {
        self.withheld_reporter().report(message, leak);
    }

    fn withheld_reporter(&self) -> WithheldReporter {
        WithheldReporter {
            audit: Arc::clone(&self.audit),
            clock: Arc::clone(&self.clock),
            reports: Arc::clone(&self.withheld_reports),
        }
    }

    /// Lets progress of a call through only if it can be concealed. Only here it is known which server sends it.
    pub(super) fn guard_progress(
        &self,
        tool: &ToolId,
        context: &CallContext,
        follow: CallOptions,
    ) -> CallOptions {
        let Some(sink) = follow.progress else { return follow };
        let (tool, context) = (tool.clone(), context.clone());
        let (anonymizer, reporter) = (Arc::clone(&self.anonymizer), self.withheld_reporter());
        let guarded: ProgressSink =
            Arc::new(move |params| match anonymizer.load().conceal_from(&tool.server, params) {
                Ok(params) => sink(crate::anonymize::Real::from_server(params.into_inner())),
                Err(leak) => reporter.report(
                    &WithheldMessage {
                        channel: WithheldChannel::Progress,
                        server: None,
                        tool: Some(&tool),
                        context: Some(&context),
                    },
                    &leak,
                ),
            });
        CallOptions { progress: Some(guarded), ..follow }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_withheld_messages_is_counted_and_each_withheld_call_is_told() {
        let (reports, server) = (WithheldReports::default(), "a".parse::<ServerName>().expect("a name"));
        let at = Duration::from_secs;
        let log = |now| reports.count(Some(&server), WithheldChannel::Log, now);
        assert_eq!(
            [log(at(0)), log(at(1)), log(at(59)), log(at(60)), log(at(61))],
            [Some(1), None, None, Some(3), None]
        );
        assert_eq!(
            reports.count(Some(&server), WithheldChannel::Progress, at(1)),
            Some(1),
            "another channel"
        );
        assert_eq!(reports.count(None, WithheldChannel::Log, at(1)), Some(1), "another server");
        for _ in 0..3 {
            assert_eq!(reports.count(Some(&server), WithheldChannel::Answer, at(2)), Some(1));
        }
    }
}
