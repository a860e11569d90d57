//! What lets a person widen: the passphrase with its authenticator, buttons on Telegram, the confirmation of what a
//! terminal asks, and who is paired. Each act is covered by one [`passphrase::Authorization`].

pub mod buttons;
pub mod remote_confirmation;

pub mod passphrase;

pub mod pairing;
