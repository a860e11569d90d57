//! References to secrets: whatever is written is refused or spelled again so that it reads the same, and stands in a text as
//! exactly one reference.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portero::secret::{Secret, SecretPart, SecretReference};

fuzz_target!(|text: &str| {
    for reference in [SecretReference::parse(text), SecretReference::parse_url(text)].into_iter().flatten().flatten()
    {
        let within = Secret::new(format!("Bearer {}!", reference.marked()));
        let parts: Vec<_> = within.parts().collect();
        assert_eq!(
            parts,
            [SecretPart::Text("Bearer "), SecretPart::Reference(reference), SecretPart::Text("!")]
        );
    }
    // What holds marks from elsewhere is read without a panic.
    let given = Secret::new(text);
    assert!(given.references().count() <= text.len());
});
