//! A server takes nothing that policy did not see.

use portero::call::Call;
use portero::server::{Upstreams, Follow};

async fn send(fleet: &Upstreams, call: Call) {
    let _ = fleet.call(call, Follow::default()).await;
}

fn main() {
    let _ = send;
}
