//! Any text in any file of the configuration is read to an end, and no problem ever shows a value.
//!
//! The input is the files' texts with a line of `---` between them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portero::config::{ConfigFiles, read_config};

/// Stands for every variable. No configuration that a fuzzer writes holds it by chance.
const VALUE: &str = "a-value-that-nobody-may-see";

fuzz_target!(|text: &str| {
    if text.contains(VALUE) {
        return;
    }
    let mut texts = text.split("\n---\n").map(str::to_owned);
    let files = ConfigFiles {
        directory: "/config".into(),
        mcps: texts.next(),
        replacements: texts.next(),
        policies: texts.next(),
        portero: texts.next(),
        dotenv: texts.next(),
        ..ConfigFiles::default()
    };
    let (config, problems) = read_config(&files, &|name| name.starts_with('V').then(|| VALUE.to_owned()));
    assert_eq!(config.is_none(), problems.has_errors(), "{problems}");
    assert!(!problems.to_string().contains(VALUE), "{problems}");
});
