//! The benchmark's long run, in short: with the real binaries, as the benchmark makes it.

#[expect(clippy::print_stdout, reason = "it prints its figures")]
#[path = "../../benches/gateway/soak.rs"]
mod gateway_soak;

use std::time::Duration;

#[test]
fn sessions_that_call_own_and_shared_servers_leave_nothing_behind() {
    crate::porterod::porterod_program();
    let portero = env!("CARGO_BIN_EXE_portero").into();
    let window = Duration::from_secs(1);
    let plan = gateway_soak::SoakPlan { portero, duration: window * 8, window, sessions: 2 };
    let soaked = gateway_soak::run_soak(&plan);
    assert!(soaked.0.iter().any(|window| window.calls > 0), "calls were made");
    // In so short a run memory still finds its level.
    assert!(soaked.is_flat(false));
}
