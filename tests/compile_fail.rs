//! The short cuts past the anonymizer, past policy and past a person's confirmation do not compile.
//!
//! What the compiler says is compared too. After a new compiler has changed its words, look at the difference
//! and run this test once with `TRYBUILD=overwrite`.

#[test]
fn short_cuts_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
