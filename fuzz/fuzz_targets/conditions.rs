//! Rules that look at arguments: whatever is configured and whatever is asked, a decision is made, the order
//! of the cases never matters, and no call gets a looser answer than all that could hold allows.
//!
//! The input is `policies.json` and, after a line of `---`, a call's arguments.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portero::clock::Moment;
use portero::config::{ConfigFiles, read_config};
use portero::policy::condition::Truth;
use portero::policy::{Action, Overrides, Policy};
use serde_json::value::RawValue;

fuzz_target!(|text: &str| {
    let Some((policies, arguments)) = text.split_once("\n---\n") else { return };
    let Ok(arguments) = RawValue::from_string(arguments.to_owned()) else { return };
    let files = ConfigFiles { policies: Some(policies.to_owned()), ..ConfigFiles::default() };
    let (Some(config), _) = read_config(&files, &|_| None) else { return };
    let tool = "a/b".parse().expect("a name");
    let now = Moment { wall: jiff::Timestamp::UNIX_EPOCH, boot: std::time::Duration::ZERO };

    let mut reversed = config.policy.clone();
    reversed.entries.iter_mut().for_each(|entry| entry.cases.reverse());
    let policy = Policy::new(config.policy.clone(), Overrides::default());
    let decided = policy.decide(&tool, Some(&arguments), None, now);
    assert_eq!(decided, Policy::new(reversed, Overrides::default()).decide(&tool, Some(&arguments), None, now));
    assert_eq!(decided, policy.explain(&tool, Some(&arguments), None, now).decision);
    assert!(decided.action <= policy.decide(&tool, None, None, now).action);

    for entry in config.policy.entries.iter().filter(|entry| decided.pattern.as_ref() == Some(&entry.pattern))
    {
        for case in entry.cases.iter().filter(|case| case.action == Action::Deny) {
            match case.evaluate(Some(&arguments)) {
                Truth::No => {}
                Truth::Unreadable => assert_ne!(decided.action, Action::Allow),
                Truth::Unsure | Truth::Yes => assert_eq!(decided.action, Action::Deny),
            }
        }
    }
});
