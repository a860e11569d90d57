//! A program with everything that it starts. With a shell alone, what it started would go on.
//!
//! If a [`ProgramTree`] is dropped before its program has ended, the whole tree ends. Once the program has ended by itself,
//! what it left behind goes on: such a tool may have started an agent of its own that is to stay.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(super) use unix::ProgramTree;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(super) use windows::ProgramTree;
