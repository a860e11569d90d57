//! Real values and secrets have no words of their own.

use portero::anonymize::Real;
use portero::secret::Secret;

fn print(real: &Real<String>, secret: &Secret) -> String {
    format!("{real} {secret}")
}

fn main() {
    let _ = print;
}
