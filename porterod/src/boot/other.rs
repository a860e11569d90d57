//! Windows and others tell no id of the boot without unsafe calls.

pub(super) const fn boot_id() -> Option<String> {
    None
}
