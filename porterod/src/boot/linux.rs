//! Linux: random(4), "/proc interfaces", `boot_id`.

pub(super) fn boot_id() -> Option<String> {
    let text = portero::files::read_proc("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}
