//! What the gateway adds: the same client calls the same child, bare and through `portero mcp`, in turn.
//!
//! `cargo bench -p portero-cli --bench gateway` prints the median over the rounds, the lowest and the highest
//! of them, and the ratio to the bare child. Policy, anonymizer and audit are on. `-- --pin` keeps client,
//! gateway and child on one core (Linux): the cost of the code without that of waking a sleeping core.
//! `-- --rounds N` makes other than five rounds. `-- --soak [MINUTES]` instead runs sessions against own and shared
//! servers for ten minutes, or as many as are said, and fails where memory or descriptors grow. `-- --https` compares
//! `/mcp` with stdio, and opens a thousand sessions that make ten thousand calls (`-- --https 200 2000` for others).
//! `docs/performance.md` says what the figures mean.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod cases;
mod child;
mod client;
mod http;
mod load;
mod soak;

use std::time::Duration;

use cases::BenchCase;
use client::{BenchClient, RoundFigures};

const DEFAULT_ROUNDS: usize = 5;
const DEFAULT_SOAK_MINUTES: f64 = 10.0;
const DEFAULT_SESSIONS: usize = 1_000;
const DEFAULT_CALLS: usize = 10_000;

fn main() {
    if std::env::var_os(child::CHILD_VARIABLE).is_some() {
        return child::serve();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--test") {
        return; // `cargo test --benches` asks whether it starts
    }
    if let Some(at) = arguments.iter().position(|argument| argument == "--soak") {
        let minutes =
            arguments.get(at + 1).map_or(DEFAULT_SOAK_MINUTES, |minutes| minutes.parse().expect("minutes"));
        let duration = Duration::from_secs_f64(minutes * 60.0);
        let portero = env!("CARGO_BIN_EXE_portero").into();
        let plan = soak::SoakPlan { portero, duration, window: duration / 20, sessions: 4 };
        std::process::exit(i32::from(!soak::run_soak(&plan).is_flat(true)));
    }
    let mut after = arguments.iter().skip_while(|argument| *argument != "--rounds").skip(1);
    let rounds = after.next().map_or(DEFAULT_ROUNDS, |count| count.parse().expect("a number of rounds"));
    if let Some(at) = arguments.iter().position(|argument| argument == "--https") {
        let number =
            |at: usize, default| arguments.get(at).and_then(|count| count.parse().ok()).unwrap_or(default);
        let (sessions, calls) = (number(at + 1, DEFAULT_SESSIONS), number(at + 2, DEFAULT_CALLS));
        return load::run_load(&load::LoadPlan { sessions, calls, rounds });
    }
    let pinned = arguments.iter().any(|argument| argument == "--pin");
    if pinned {
        pin_to_one_core();
    }

    let mut settings = BenchCase::all();
    for round in 0..rounds {
        // Forwards and backwards, so that what changes on the machine meanwhile touches all alike.
        let order: Vec<usize> = (0..settings.len()).collect();
        let order: Vec<usize> = if round % 2 == 0 { order } else { order.into_iter().rev().collect() };
        for at in order {
            let setting = &mut settings[at];
            let figures = BenchClient::measure(&mut setting.command(), setting.tools, setting.whole);
            setting.figures.push(figures);
        }
    }
    println!("{rounds} rounds, {}", if pinned { "pinned to one core" } else { "not pinned" });
    print_report(&settings);
}

/// Keeps this process and whatever it starts on the first core that it may use.
#[cfg(target_os = "linux")]
fn pin_to_one_core() {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let may = sched_getaffinity(None).expect("the cores that may be used");
    let first = (0..CpuSet::MAX_CPU).find(|core| may.is_set(*core)).expect("there is a core");
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).expect("a core of one's own");
}

#[cfg(not(target_os = "linux"))]
fn pin_to_one_core() {
    panic!("`--pin` needs Linux");
}

/// The bare child comes first, the gateway with its usual rules second.
fn print_report(settings: &[BenchCase]) {
    let [bare, usual, ..] = settings else { return };
    println!(
        "{:<38}{:>12}{:>12}{:>8}   lowest to highest",
        "median of the rounds", "bare", "portero", "ratio"
    );
    print_row("one call, p50, µs", bare, usual, |figures| figures.p50);
    print_row("one call, p99, µs", bare, usual, |figures| figures.p99);
    print_row("calls a second, 64 open", bare, usual, |figures| figures.per_second);
    print_row("start until the tools are listed, µs", bare, usual, |figures| figures.cold);
    for setting in &settings[1..] {
        print_row(&format!("1 MiB result, {}, µs", setting.name), bare, setting, |figures| figures.large);
    }
}

fn print_row(name: &str, bare: &BenchCase, gateway: &BenchCase, of: fn(&RoundFigures) -> f64) {
    let (bare, _, _) = spread(&bare.figures, of);
    let (gateway, low, high) = spread(&gateway.figures, of);
    println!("{name:<38}{bare:>12.1}{gateway:>12.1}{:>8.2}   {low:.1} to {high:.1}", gateway / bare);
}

/// Median, lowest and highest.
fn spread(figures: &[RoundFigures], of: fn(&RoundFigures) -> f64) -> (f64, f64, f64) {
    spread_of(figures.iter().map(of))
}

fn spread_of(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}
