//! A server takes nothing that policy did not see.

use portero::call::Call;
use portero::server::{CallOptions, Upstreams};

async fn send(fleet: &Upstreams, call: Call) {
    let _ = fleet.call(call, CallOptions::default()).await;
}

fn main() {
    let _ = send;
}
