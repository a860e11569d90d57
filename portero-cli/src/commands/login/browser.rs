//! Opens the person's browser, without a shell.

use std::process::{Command, Stdio};

/// Why no browser is opened here, by the environment; none if one can be.
pub(super) fn missing_browser(variable: &impl Fn(&str) -> bool) -> Option<&'static str> {
    if variable("SSH_CONNECTION") || variable("SSH_TTY") {
        return Some("this terminal is on another machine (SSH)");
    }
    if cfg!(target_os = "linux") && !variable("DISPLAY") && !variable("WAYLAND_DISPLAY") {
        return Some("this machine has no display");
    }
    None
}

/// Opens an address of the daemon's own, and returns whether the program for that could be started. The address is
/// one argument of that program, and never part of a command line that is parsed.
pub(super) fn open_browser(address: &str) -> bool {
    // The daemon's answer is checked too: nothing but a plain address on this machine is handed on.
    let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic());
    let is_local = address.starts_with("http://127.0.0.1:") || address.starts_with("http://localhost:");
    if !is_plain || !is_local {
        return false;
    }
    let (program, arguments): (&str, &[&str]) = if cfg!(target_os = "macos") {
        ("open", &[])
    } else if cfg!(windows) {
        ("rundll32", &["url.dll,FileProtocolHandler"])
    } else {
        ("xdg-open", &[])
    };
    let mut command = Command::new(program);
    command.args(arguments).arg(address);
    // Some of these programs are the browser itself, so it is not waited for, and its words aren't shown.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_of_this_machine_is_opened() {
        for address in [
            "https://issuer.example/authorize",
            "file:///etc/passwd",
            "http://127.0.0.1.evil.example/",
            "http://127.0.0.1:80/a b",
            "http://127.0.0.1:80/\u{1b}",
            "--help",
        ] {
            assert!(!open_browser(address), "{address}");
        }
    }

    #[test]
    fn a_terminal_over_ssh_opens_none() {
        assert!(missing_browser(&|name| name == "SSH_TTY").is_some());
        assert!(missing_browser(&|name| name == "DISPLAY").is_none());
    }
}
