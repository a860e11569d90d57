//! A real value cannot be put into a message, a file or the store.

use portero::anonymize::Real;

fn store(real: &Real<String>) -> serde_json::Value {
    serde_json::to_value(real).expect("serialized")
}

fn main() {
    let _ = store;
}
