//! The ways on which a person is asked and answers, beside the terminal.

pub mod telegram;
