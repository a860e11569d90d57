//! What an escape stands for.

/// What an escape stands for.
pub(super) enum Escaped {
    /// Nothing, as a soft line break.
    Nothing,
    Byte([u8; 1]),
    Char([u8; 4], usize),
}

impl Escaped {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Nothing => &[],
            Self::Byte(byte) => byte,
            Self::Char(bytes, length) => &bytes[..*length],
        }
    }

    pub(super) fn from_code(code: u32) -> Option<Self> {
        let mut bytes = [0; 4];
        let length = char::from_u32(code).filter(|c| *c != '\0')?.encode_utf8(&mut bytes).len();
        Some(Self::Char(bytes, length))
    }
}
