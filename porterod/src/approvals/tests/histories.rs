//! Random histories of what an agent asks and a person says, against one model of the last word on each call
//! (guarantees A1, A2, A5, A9, D1 and D5).

mod life;
mod model;
mod rig;

use portero::policy::Action;
use proptest::prelude::*;

use self::rig::HistoryRig;

/// A call of one of two callers, which are sessions of two projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    who: usize,
    /// Its place in [`CALLS`].
    call: usize,
}

struct SampleCall {
    /// Its place in [`TOOLS`].
    tool: usize,
    text: &'static str,
}

const TOOLS: [&str; 2] = ["mail/send", "notes/add"];
const CALLS: [SampleCall; 3] = [
    SampleCall { tool: 0, text: "zero" },
    SampleCall { tool: 0, text: "one" },
    SampleCall { tool: 1, text: "two" },
];
/// From the widest to the narrowest, with whether each covers each of [`TOOLS`].
const PATTERNS: [(&str, [bool; 2]); 4] = [
    ("*/*", [true, true]),
    ("mail/*", [true, false]),
    ("mail/send", [true, false]),
    ("notes/add", [false, true]),
];
/// How many configurations there are.
const CONFIGS: usize = 7;

/// What a grant is limited to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    None,
    Session,
    Project,
    Uses(u8),
}

/// What an agent, a person or the machine does.
#[derive(Debug, Clone, Copy)]
enum Word {
    /// The agent makes a call.
    Call(Asked),
    /// The agent takes its call back.
    Cancel(Asked),
    Approve(Asked),
    /// The daemon is killed while the approved call runs.
    ApproveAndCrash(Asked),
    /// A person says no, with or without the cool-down.
    Deny(Asked, bool),
    /// A person has an ended call asked anew, during its cool-down only if they insist.
    AskAgain(Asked, bool),
    /// A pattern, the limit, and whose session or project it names.
    Grant(usize, Limit, usize),
    Revoke(usize),
    RevokeAll,
    Rule(usize, Action),
    Unrule(usize),
    Pause,
    Resume,
    /// A person confirms another configuration.
    Edit(usize),
    /// The server defines its tools otherwise.
    Redefine(usize),
    /// Seconds pass.
    Wait(i64),
    /// The wall clock is set ahead or back by so many seconds.
    SetClock(i64),
    /// The daemon is killed and started, and the machine with it.
    Restart {
        is_reboot: bool,
    },
}

fn asked() -> impl Strategy<Value = Asked> {
    // The first call of the first caller comes most often, so that words meet.
    (
        prop_oneof![3 => Just(0_usize), 1 => Just(1)],
        prop_oneof![3 => Just(0_usize), 1 => Just(1), 1 => Just(2)],
    )
        .prop_map(|(who, call)| Asked { who, call })
}

fn words(clock_goes_back: bool) -> impl Strategy<Value = Word> {
    let limit = prop_oneof![
        3 => Just(Limit::None),
        1 => Just(Limit::Session),
        1 => Just(Limit::Project),
        2 => (1_u8..3).prop_map(Limit::Uses),
    ];
    let rule = prop::sample::select(Action::ALL.to_vec());
    let least = if clock_goes_back { -5_000 } else { 0 };
    prop_oneof![
        8 => asked().prop_map(Word::Call),
        1 => asked().prop_map(Word::Cancel),
        6 => asked().prop_map(Word::Approve),
        1 => asked().prop_map(Word::ApproveAndCrash),
        4 => (asked(), prop::bool::weighted(0.8)).prop_map(|(asked, cools)| Word::Deny(asked, cools)),
        2 => (asked(), any::<bool>()).prop_map(|(asked, insists)| Word::AskAgain(asked, insists)),
        4 => (0..PATTERNS.len(), limit, 0_usize..2).prop_map(|(pattern, limit, who)| Word::Grant(pattern, limit, who)),
        1 => any::<usize>().prop_map(Word::Revoke),
        1 => Just(Word::RevokeAll),
        3 => (0..PATTERNS.len(), rule).prop_map(|(pattern, action)| Word::Rule(pattern, action)),
        2 => any::<usize>().prop_map(Word::Unrule),
        1 => Just(Word::Pause),
        2 => Just(Word::Resume),
        2 => (0..CONFIGS).prop_map(Word::Edit),
        1 => (0_usize..2).prop_map(Word::Redefine),
        3 => (1_i64..1_000).prop_map(Word::Wait),
        1 => (least..5_000_i64).prop_map(Word::SetClock),
        1 => any::<bool>().prop_map(|is_reboot| Word::Restart { is_reboot }),
    ]
}

fn play_history(history: Vec<Word>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut rig = HistoryRig::new().await;
        for word in history {
            rig.say(word).await;
        }
        rig.finish().await;
    });
}

/// How many histories of each kind are played at every run of the tests.
const FEW: u32 = 48;
/// And by hand: `cargo test -p porterod --lib -- --ignored many_histories`.
const MANY: u32 = 20_000;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 4_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(FEW))]

    #[test]
    fn what_a_person_said_last_is_what_happens(history in prop::collection::vec(words(false), 1..24)) {
        play_history(history);
    }

    #[test]
    fn a_clock_that_is_set_back_lets_no_more_run(history in prop::collection::vec(words(true), 1..24)) {
        play_history(history);
    }
}

proptest! {
    #![proptest_config(config(MANY))]

    #[test]
    #[ignore = "takes an hour"]
    fn many_histories(history in prop::collection::vec(words(false), 1..40)) {
        play_history(history);
    }

    #[test]
    #[ignore = "takes an hour"]
    fn many_histories_with_a_clock_that_is_set_back(history in prop::collection::vec(words(true), 1..40)) {
        play_history(history);
    }
}
