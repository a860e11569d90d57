//! One approval is one permit, and one permit is one call.

use portero::anonymize::Anonymizer;
use portero::permit::{Outgoing, Permitted};
use portero::task::ClaimedTask;

fn two_permits(claimed: ClaimedTask) -> [Permitted; 2] {
    [Permitted::from_claimed(claimed), Permitted::from_claimed(claimed)]
}

fn two_calls(permitted: Permitted, anonymizer: &Anonymizer) -> [Outgoing; 2] {
    [permitted.reveal(anonymizer), permitted.reveal(anonymizer)]
}

fn main() {
    let _ = (two_permits, two_calls);
}
