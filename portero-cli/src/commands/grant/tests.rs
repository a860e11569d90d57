use portero::names::SessionId;

use super::*;

fn session_id(last: char) -> SessionId {
    format!("019a9f3e-7c1d-7b4e-8f60-3d2c1b0a9e8{last}").parse().unwrap()
}

/// Two sessions of one Claude Code in `/site`, one of another program in `/notes`.
fn sample_status() -> DaemonStatus {
    let project = |name: &str| Principal::from_project(name.as_ref());
    let agent: AgentSessionId = "5b0c2d1e-claude".parse().unwrap();
    serde_json::from_value(serde_json::json!({
        "build": "1", "pid": 1, "started": "2026-11-20T12:00:00Z", "config": "/c", "config_problems": [],
        "config_valid": true, "skipped": [], "servers": [], "pending": 0,
        "sessions": [[session_id('a'), project("/site")], [session_id('b'), project("/site")], [session_id('c'), project("/notes")]],
        "agent_sessions": [[session_id('a'), agent], [session_id('b'), agent]],
        "grant_most": 24 * 3_600_000,
        "standing": {"epoch": 0, "rules": [], "grants": [], "boot_id": ""},
        "passphrase": null, "counts": {"done": 0, "failed": 0, "refused": 0, "asked": 0},
    }))
    .unwrap()
}

#[test]
fn a_part_of_an_id_means_the_one_session_that_has_it() {
    let status = sample_status();
    let agent =
        GrantLimits { agent_session: Some("5b0c2d1e-claude".parse().unwrap()), ..GrantLimits::default() };
    // Portero's own ids of both connections, and their agent's.
    for typed in ["9e8a", "9E8B", "5b0c", "-claude", "5b0c2d1e-claude"] {
        assert_eq!(session_limit(&status, typed).unwrap(), agent, "{typed}");
    }
    let own = GrantLimits { session: Some(session_id('c')), ..GrantLimits::default() };
    assert_eq!(session_limit(&status, "9e8c").unwrap(), own);
    for (typed, why) in [("019a", "2 connected sessions"), ("beef", "no connected"), ("", "no connected")] {
        let refused = session_limit(&status, typed).unwrap_err();
        assert!(format!("{refused:?}").contains(why), "{typed}: {refused:?}");
    }
}

#[test]
fn a_person_reads_the_limits_and_whom_they_mean() {
    let status = sample_status();
    let limits = GrantLimits { uses: "3".parse().ok(), ..session_limit(&status, "claude").unwrap() };
    let lines = describe_limits(&limits, &status);
    assert_eq!(lines[0], "Limited: only in session 5b0c2d1e-claude, 3 uses.");
    assert_eq!(lines.len(), 3, "{lines:?}");
    let elsewhere =
        GrantLimits { project: Some(Principal::from_project("/tmp".as_ref())), ..GrantLimits::default() };
    assert_eq!(describe_limits(&elsewhere, &status)[1], "  no session that is connected now is meant");
    assert!(describe_limits(&GrantLimits::default(), &status).is_empty());
}
