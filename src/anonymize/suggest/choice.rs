//! Choices that follow from a seed, the same on every machine.

/// A stream of choices.
pub(super) struct Choice {
    stream: blake3::OutputReader,
}

impl Choice {
    /// The choices for one candidate.
    pub(super) fn new(kind: &str, seed: u64, candidate: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("portero 2026-12-01 choices of fakes");
        hasher.update(&seed.to_le_bytes()).update(&candidate.to_le_bytes()).update(kind.as_bytes());
        Self { stream: hasher.finalize_xof() }
    }

    /// A number below `limit`, which isn't zero.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        let mut bytes = [0; 8];
        self.stream.fill(&mut bytes);
        // The lists are short, so the remainder favours nothing that anybody could tell.
        usize::try_from(u64::from_le_bytes(bytes) % limit as u64).expect("it is below a usize")
    }

    /// One of these.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }

    /// A decimal digit.
    pub(super) fn digit(&mut self) -> char {
        char::from(b'0' + u8::try_from(self.below(10)).expect("a digit"))
    }
}
