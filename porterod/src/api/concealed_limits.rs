//! The values that a grant fixes, concealed: a person may have typed a real one.

use portero::anonymize::Anonymizer;
use portero::ipc::{DaemonFailure, FailureKind};
use portero::policy::{
    ArgumentLimit, ArgumentPointer, FixedArgument, FixedArguments, GrantLimits, ScalarValue,
};

/// The same limits, with the fixed values concealed as in calls.
pub(super) fn conceal_limits(
    anonymizer: &Anonymizer,
    limits: GrantLimits,
) -> Result<GrantLimits, DaemonFailure> {
    let Some(ArgumentLimit::Fixed(fixed)) = &limits.arguments else { return Ok(limits) };
    let conceal = |fixed: &FixedArgument| {
        let json = anonymizer.conceal_local(fixed.value.to_json());
        let json = json.map_err(|leak| DaemonFailure::new(FailureKind::Refused, leak.to_string()))?;
        let names: Vec<String> =
            fixed.pointer.names().map(|name| anonymizer.conceal_text(&name).into_inner()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match (ArgumentPointer::from_names(&names), ScalarValue::read(json.get())) {
            (Ok(pointer), Some(value)) => Ok(FixedArgument { pointer, value }),
            (Ok(_) | Err(_), _) => {
                Err(DaemonFailure::new(FailureKind::Invalid, "a concealed field is too long to be fixed"))
            }
        }
    };
    let fixed = fixed.as_slice().iter().map(conceal).collect::<Result<Vec<_>, _>>()?;
    let fixed = FixedArguments::new(fixed)
        .map_err(|error| DaemonFailure::new(FailureKind::Invalid, error.to_string()))?;
    Ok(GrantLimits { arguments: Some(ArgumentLimit::Fixed(fixed)), ..limits })
}
