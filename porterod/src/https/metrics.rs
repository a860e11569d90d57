//! Counters for Prometheus (its text format 0.0.4). No label holds text of a client.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use axum::http::StatusCode;
use portero::server::ServerCondition;
use portero::sync::lock;

use crate::daemon::Daemon;

/// The type of [`write_metrics`].
pub(super) const METRICS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The upper bounds of the latency's buckets, in seconds.
const LATENCY_BUCKETS: [f64; 9] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0];

/// Why a connection or a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal {
    /// Too many connections.
    Connections,
    /// The TLS handshake failed.
    Handshake,
    /// Too many requests.
    Rate,
    /// Another host or origin.
    Host,
    /// No valid credential.
    Authentication,
    /// A body that is too long, too slow, or of another type.
    Body,
}

impl Refusal {
    const ALL: [Self; 6] =
        [Self::Connections, Self::Handshake, Self::Rate, Self::Host, Self::Authentication, Self::Body];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Handshake => "handshake",
            Self::Rate => "rate",
            Self::Host => "host",
            Self::Authentication => "authentication",
            Self::Body => "body",
        }
    }
}

/// What was counted since the daemon started.
#[derive(Debug, Default)]
pub(super) struct HttpsMetrics(Mutex<Counters>);

#[derive(Debug, Default)]
struct Counters {
    responses: BTreeMap<u16, u64>,
    refusals: BTreeMap<Refusal, u64>,
    /// How many responses took at most the bound of each bucket, and longer than that of the one before.
    latencies: [u64; LATENCY_BUCKETS.len()],
    latency_count: u64,
    latency_sum: Duration,
}

impl HttpsMetrics {
    pub(super) fn count_refusal(&self, refusal: Refusal) {
        *lock(&self.0).refusals.entry(refusal).or_default() += 1;
    }

    /// Counts a response; `took` is the time to its head.
    pub(super) fn count_response(&self, status: StatusCode, took: Duration) {
        let counters = &mut *lock(&self.0);
        *counters.responses.entry(status.as_u16()).or_default() += 1;
        counters.latency_count += 1;
        counters.latency_sum += took;
        let bucket = LATENCY_BUCKETS.iter().position(|bound| took.as_secs_f64() <= *bound);
        if let Some(count) = bucket.and_then(|bucket| counters.latencies.get_mut(bucket)) {
            *count += 1;
        }
    }

    fn write(&self, text: &mut MetricsText) {
        let counters = lock(&self.0);
        let name = "portero_http_responses_total";
        text.describe(name, "counter", "Responses over HTTPS, by status.");
        for (status, count) in &counters.responses {
            text.add(name, Some(("status", &status.to_string())), *count);
        }
        let name = "portero_http_refusals_total";
        text.describe(name, "counter", "Refused connections and requests over HTTPS, by reason.");
        for refusal in Refusal::ALL {
            let count = counters.refusals.get(&refusal).copied().unwrap_or(0);
            text.add(name, Some(("reason", refusal.as_str())), count);
        }
        let name = "portero_http_response_seconds";
        text.describe(name, "histogram", "Time to the head of a response over HTTPS.");
        let mut below = 0;
        for (bound, count) in LATENCY_BUCKETS.iter().zip(counters.latencies) {
            below += count;
            text.add(&format!("{name}_bucket"), Some(("le", &bound.to_string())), below);
        }
        text.add(&format!("{name}_bucket"), Some(("le", "+Inf")), counters.latency_count);
        text.add(&format!("{name}_sum"), None, counters.latency_sum.as_secs_f64());
        text.add(&format!("{name}_count"), None, counters.latency_count);
    }
}

/// All metrics of the daemon. `connections` is how many are open over HTTPS.
pub(super) async fn write_metrics(daemon: &Daemon, https: &HttpsMetrics, connections: u32) -> String {
    let mut text = MetricsText::default();
    https.write(&mut text);
    text.add_one("portero_http_connections", "Open connections over HTTPS.", connections.into());

    let (counts, _) = daemon.audit.counts().await;
    let name = "portero_calls_total";
    text.describe(name, "counter", "Calls of all agents since the daemon started, by outcome.");
    for (outcome, count) in [
        ("done", counts.done),
        ("failed", counts.failed),
        ("refused", counts.refused),
        ("asked", counts.asked),
    ] {
        text.add(name, Some(("outcome", outcome)), count);
    }
    if let Ok(pending) = daemon.approval_queue.count_pending() {
        text.add_one("portero_tasks_pending", "Calls that wait for a person.", pending);
    }
    let sessions = daemon.sessions.list_sessions().len() as u64;
    text.add_one("portero_sessions", "Connected sessions of agents.", sessions);

    let health = daemon.upstreams.health();
    let name = "portero_servers";
    text.describe(name, "gauge", "Servers that the daemon runs or reaches, by condition.");
    let is = |condition: fn(&ServerCondition) -> bool| {
        health.iter().filter(|server| condition(&server.condition)).count() as u64
    };
    for (condition, count) in [
        ("idle", is(|condition| matches!(condition, ServerCondition::Idle))),
        ("starting", is(|condition| matches!(condition, ServerCondition::Starting))),
        ("ready", is(|condition| matches!(condition, ServerCondition::Ready))),
        (
            "failed",
            is(|condition| matches!(condition, ServerCondition::Failed(_) | ServerCondition::LoginNeeded(_))),
        ),
    ] {
        text.add(name, Some(("condition", condition)), count);
    }
    text.0
}

/// Text in Prometheus's format.
#[derive(Debug, Default)]
struct MetricsText(String);

impl MetricsText {
    fn describe(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String can't fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn add(&mut self, name: &str, label: Option<(&str, &str)>, value: impl std::fmt::Display) {
        let _ = match label {
            Some((key, of)) => writeln!(self.0, "{name}{{{key}=\"{of}\"}} {value}"),
            None => writeln!(self.0, "{name} {value}"),
        };
    }

    fn add_one(&mut self, name: &str, help: &str, value: u64) {
        self.describe(name, "gauge", help);
        self.add(name, None, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_written_as_prometheus_reads_them() {
        let metrics = HttpsMetrics::default();
        metrics.count_refusal(Refusal::Rate);
        metrics.count_response(StatusCode::OK, Duration::from_millis(2));
        metrics.count_response(StatusCode::OK, Duration::from_millis(200));
        metrics.count_response(StatusCode::UNAUTHORIZED, Duration::from_secs(1000));
        let mut text = MetricsText::default();
        metrics.write(&mut text);
        for line in [
            "# TYPE portero_http_responses_total counter",
            "portero_http_responses_total{status=\"200\"} 2",
            "portero_http_responses_total{status=\"401\"} 1",
            "portero_http_refusals_total{reason=\"rate\"} 1",
            "portero_http_refusals_total{reason=\"body\"} 0",
            "portero_http_response_seconds_bucket{le=\"0.001\"} 0",
            "portero_http_response_seconds_bucket{le=\"0.005\"} 1",
            "portero_http_response_seconds_bucket{le=\"600\"} 2",
            "portero_http_response_seconds_bucket{le=\"+Inf\"} 3",
            "portero_http_response_seconds_count 3",
        ] {
            assert!(text.0.lines().any(|written| written == line), "{line} in\n{}", text.0);
        }
    }
}
