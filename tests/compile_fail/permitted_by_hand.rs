//! A permit comes from a decision or from a settled approval, never by hand.

use portero::call::Call;
use portero::permit::Permitted;
use portero::policy::Decision;

fn permit(call: Call, decision: Decision) -> Permitted {
    Permitted { call, decision, definition: None, is_withdrawal: false }
}

fn main() {
    let _ = permit;
}
