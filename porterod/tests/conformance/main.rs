//! MCP's conformance suite, the stable one and the newest pre-release, against both sides of Portero.
//!
//! Failures that are known stand in `expected_failures.json`, each with its reason. That list may only shrink: one that
//! passes fails the test.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client_leg;
mod server_leg;
mod suite;

use std::collections::BTreeMap;

use crate::suite::Results;

/// The expected failures of each run of the suite: scenarios with reasons.
type ExpectedFailures = BTreeMap<String, BTreeMap<String, String>>;

/// Fails unless exactly the scenarios fail that are listed for this run, among at least so many.
fn check_results(run: &str, least: usize, results: &Results) {
    let all: ExpectedFailures = serde_json::from_str(include_str!("expected_failures.json")).unwrap();
    let expected = &all[run];
    assert!(results.len() >= least, "{run}: only {} scenarios ran", results.len());
    let mut wrong = Vec::new();
    for (scenario, failures) in results {
        match (failures.is_empty(), expected.contains_key(scenario)) {
            (false, false) => wrong.push(format!("{scenario} fails:\n  {}", failures.join("\n  "))),
            (true, true) => wrong.push(format!("{scenario} passes; take it out of expected_failures.json")),
            (true, false) | (false, true) => {}
        }
    }
    let unknown = expected.keys().filter(|scenario| !results.contains_key(*scenario));
    wrong.extend(unknown.map(|scenario| format!("{scenario} of expected_failures.json did not run")));
    assert!(wrong.is_empty(), "{run}:\n{}", wrong.join("\n"));
}
