//! The ways in which a person confirms: passphrase, buttons on Telegram, and numbers at a terminal. The
//! pairing says who that person is. One [`Authorization`] covers each act.

mod authorization;

pub mod buttons;
pub mod remote_confirmation;

pub mod passphrase;

pub mod pairing;

pub use self::authorization::Authorization;
