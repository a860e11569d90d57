//! An authorization comes from what checks a factor, never by hand: the daemon's other rooms can neither make nor
//! copy one.

use portero::ipc::Act;
use portero::names::Actor;

// The daemon's own file, as its room `auth` holds it.
#[path = "."]
mod auth {
    #[path = "../../porterod/src/auth/authorization.rs"]
    mod authorization;

    pub use self::authorization::Authorization;
}

mod store {
    pub mod buttons {
        #[derive(Debug)]
        pub struct ButtonUse;

        impl ButtonUse {
            pub fn following_step(&self) -> Self {
                unreachable!()
            }

            pub fn pressed_at(&self) -> portero::clock::Moment {
                unreachable!()
            }
        }
    }
}

fn call_constructor(act: Act, actor: Actor) -> auth::Authorization {
    auth::Authorization::new(act, actor, Vec::new())
}

fn copy(authorization: &auth::Authorization) -> auth::Authorization {
    authorization.clone()
}

fn main() {
    let _ = (call_constructor, copy);
}
