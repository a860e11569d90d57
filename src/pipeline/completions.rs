//! A completion says which values begin as the typed text does. A server compares the real values, so a value
//! that comes back concealed would confirm a piece of the private one (guarantee N1).

use serde_json::value::RawValue;

use crate::anonymize::{Anonymizer, Real};
use crate::call::Call;
use crate::json::{self, RawJson, RawObject};

/// A `completion/complete` result without the values that are shown as a fake, where that fake doesn't hold what was
/// typed. `total` is left out with them, because it counts them.
pub(super) fn drop_private_matches(
    call: &Call,
    result: Real<RawJson>,
    anonymizer: &Anonymizer,
) -> Real<RawJson> {
    let filtered = filter_completion(&typed_text(call), result.expose(), anonymizer);
    filtered.map_or(result, Real::from_server)
}

/// What the agent typed so far, in lower case (`argument.value`).
fn typed_text(call: &Call) -> String {
    let read = |value| RawObject::read(value).ok();
    let argument = read(call.params.get()).and_then(|params| params.get("argument"));
    let typed = argument.and_then(read).and_then(|argument| argument.get_text("value"));
    typed.unwrap_or_default().to_lowercase()
}

/// None if nothing is to be left out.
fn filter_completion(typed: &str, result: &RawValue, anonymizer: &Anonymizer) -> Option<RawJson> {
    let result = RawObject::read(result).ok()?;
    let completion = RawObject::read(result.get("completion")?).ok()?;
    let values: Vec<&RawValue> = serde_json::from_str(completion.get("values")?.get()).ok()?;
    let kept: Vec<&RawValue> = values
        .iter()
        .copied()
        .filter(|value| {
            let Some(real) = json::as_text(value) else { return true };
            let shown = anonymizer.conceal_text(&real).into_inner();
            shown == *real || shown.to_lowercase().contains(typed)
        })
        .collect();
    if kept.len() == values.len() {
        return None;
    }
    let kept = json::serialize_raw(&kept);
    let completion = completion.without_members(|name| name == "total").with_member("values", &kept).to_raw();
    Some(result.with_member("completion", &completion).to_raw())
}
