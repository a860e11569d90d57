//! Rules that look at arguments: whatever is configured and whatever is asked, a decision is made, the order
//! of the cases never matters, and no call gets a looser answer than all that could hold allows.
//!
//! The input is `policies.json` and, after a line of `---`, a call's arguments.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portero::clock::Moment;
use portero::config::{Files, read};
use portero::policy::condition::Truth;
use portero::policy::{Action, Policy, Standing};
use serde_json::value::RawValue;

fuzz_target!(|text: &str| {
    let Some((policies, arguments)) = text.split_once("\n---\n") else { return };
    let Ok(arguments) = RawValue::from_string(arguments.to_owned()) else { return };
    let files = Files { policies: Some(policies.to_owned()), ..Files::default() };
    let (Some(config), _) = read(&files, &|_| None) else { return };
    let tool = "a/b".parse().expect("a name");
    let now = Moment { wall: jiff::Timestamp::UNIX_EPOCH, boot: std::time::Duration::ZERO };

    let mut reversed = config.policy.clone();
    reversed.entries.iter_mut().for_each(|entry| entry.cases.reverse());
    let policy = Policy::new(config.policy.clone(), Standing::default());
    let decided = policy.decide(&tool, Some(&arguments), None, now);
    assert_eq!(decided, Policy::new(reversed, Standing::default()).decide(&tool, Some(&arguments), None, now));
    assert!(decided.action <= policy.decide(&tool, None, None, now).action);

    for entry in config.policy.entries.iter().filter(|entry| decided.pattern.as_ref() == Some(&entry.pattern))
    {
        let denied = |action: Action, truth: Truth| action == Action::Deny && truth != Truth::No;
        if entry.cases.iter().any(|case| denied(case.action, case.holds(Some(&arguments)))) {
            assert_eq!(decided.action, Action::Deny);
        }
    }
});
