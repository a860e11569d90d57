//! Where the daemon finds what an approval binds to.

use std::path::Path;

use portero::binding::{BindingInputs, ConfiguredInputs};
use portero::call::Call;
use portero::pipeline::{BoxFuture, Refusal};

/// Computes the binding inputs of a call as they are now.
pub trait BindingSource: Send + Sync {
    /// The inputs from the configuration; this starts nothing.
    ///
    /// # Errors
    /// When there is no such server any more.
    fn configured_inputs(&self, call: &Call) -> Result<ConfiguredInputs, Refusal>;

    /// The inputs of `call` in the daemon, where servers without a directory of their own run in `directory`. It may start
    /// the server, because the definition must come from the server itself and not from a cache.
    fn binding_inputs<'a>(
        &'a self,
        call: &'a Call,
        directory: &'a Path,
    ) -> BoxFuture<'a, Result<BindingInputs, Refusal>>;
}
