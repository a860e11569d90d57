//! A server takes nothing that policy did not see.

use portero::call::Call;
use portero::server::{Fleet, Follow};

async fn send(fleet: &Fleet, call: Call) {
    let _ = fleet.call(call, Follow::default()).await;
}

fn main() {
    let _ = send;
}
