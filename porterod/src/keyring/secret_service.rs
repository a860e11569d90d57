//! The Secret Service of a Linux desktop (GNOME Keyring, KWallet, KeePassXC), by libsecret's `secret-tool`.
//!
//! A D-Bus library would more than double what the daemon is built from, for three requests. `secret-tool` has them, and
//! takes a value on its stdin.

use std::path::PathBuf;

use futures_util::future::BoxFuture;
use portero::secret::Secret;

use super::{KEYRING_TIMEOUT, Keyring, KeyringError, KeyringItem};
use crate::programs::{ProgramContext, ProgramError, ProgramOutput, ProgramRun};

/// Where `secret-tool` is looked for. Only the system's own directories count: an agent that runs as the same user could
/// put another one elsewhere.
const DIRECTORIES: [&str; 4] = ["/usr/bin", "/bin", "/usr/local/bin", "/run/current-system/sw/bin"];
/// The program's name.
const PROGRAM: &str = "secret-tool";
/// Where its D-Bus library finds the session's bus.
const BUS_VARIABLE: &str = "DBUS_SESSION_BUS_ADDRESS";
/// The longest output: a value, and what is said of its item.
const MAX_OUTPUT_BYTES: usize = 128 << 10;
/// What it says of a keyring that isn't there.
const SIGNS_OF_ABSENCE: [&str; 4] = [
    "not provided by any .service files",
    "Cannot autolaunch D-Bus",
    "Could not connect",
    "Cannot spawn a message bus",
];
/// What it says of one that is locked.
const SIGNS_OF_A_LOCK: [&str; 3] = ["locked", "Prompt was dismissed", "prompt was dismissed"];

/// The Secret Service of this user's session.
pub struct SecretService {
    directories: Vec<PathBuf>,
    programs: ProgramContext,
}

impl SecretService {
    /// That of the system.
    #[must_use]
    pub fn of_system(programs: ProgramContext) -> Self {
        Self::with_program_in(DIRECTORIES.map(PathBuf::from).to_vec(), programs)
    }

    /// The one that `secret-tool` in one of these directories asks.
    #[must_use]
    pub fn with_program_in(directories: Vec<PathBuf>, programs: ProgramContext) -> Self {
        Self { directories, programs }
    }

    fn find_program(&self) -> Result<String, String> {
        if self.programs.variable(BUS_VARIABLE).is_none() {
            return Err("there is no D-Bus session, as a desktop has".to_owned());
        }
        let mut places = self.directories.iter().map(|directory| directory.join(PROGRAM));
        let found = places.find(|place| place.is_file()).and_then(|place| place.to_str().map(str::to_owned));
        found.ok_or_else(|| {
            "`secret-tool` is not installed (packages libsecret-tools or libsecret)".to_owned()
        })
    }

    /// Runs `secret-tool` on an item, whose attributes are those that other tools use too.
    async fn run(
        &self,
        action: &[&str],
        item: &KeyringItem,
        input: Option<&Secret>,
    ) -> Result<ProgramOutput, KeyringError> {
        let mut words = vec![self.find_program().map_err(KeyringError::Away)?];
        let attributes = ["service", &item.service, "username", &item.account];
        words.extend(action.iter().chain(&attributes).map(|word| (*word).to_owned()));
        let run = ProgramRun {
            words: &words,
            input,
            timeout: KEYRING_TIMEOUT,
            max_output_bytes: MAX_OUTPUT_BYTES,
            reads_stderr: true,
        };
        run.output(&self.programs).await.map_err(|error| match error {
            ProgramError::NotRun(problem) => {
                KeyringError::Away(format!("`secret-tool` can't be run: {problem}"))
            }
            ProgramError::TimedOut => KeyringError::TimedOut,
            ProgramError::TooMuch | ProgramError::Unreadable => {
                KeyringError::Failed("`secret-tool` printed what is no item".to_owned())
            }
        })
    }
}

impl Keyring for SecretService {
    fn find_obstacle(&self) -> Option<String> {
        self.find_program().err()
    }

    /// By `search`, since `lookup` asks a person to unlock a locked keyring, and its answer to a dismissed question is
    /// that of an empty keyring.
    fn get<'a>(&'a self, item: &'a KeyringItem) -> BoxFuture<'a, Result<Option<Secret>, KeyringError>> {
        Box::pin(async move {
            let output = self.run(&["search"], item, None).await?;
            if !output.status.success() {
                return Err(describe_failure(&output));
            }
            match read_found_item(&output.stdout) {
                FoundItem::None => Ok(None),
                FoundItem::Locked => Err(KeyringError::Locked),
                FoundItem::Value(value) => Ok(Some(value)),
                FoundItem::Unreadable => {
                    Err(KeyringError::Failed("`secret-tool search` printed what is no item".to_owned()))
                }
            }
        })
    }

    fn put<'a>(
        &'a self,
        item: &'a KeyringItem,
        label: &'a str,
        value: &'a Secret,
    ) -> BoxFuture<'a, Result<(), KeyringError>> {
        Box::pin(async move {
            let label = format!("--label={label}");
            let output = self.run(&["store", &label], item, Some(value)).await?;
            if output.status.success() { Ok(()) } else { Err(describe_failure(&output)) }
        })
    }

    /// Only an item that can be read is removed: `clear` says of a locked one what it says of one that isn't there.
    fn delete<'a>(&'a self, item: &'a KeyringItem) -> BoxFuture<'a, Result<(), KeyringError>> {
        Box::pin(async move {
            if self.get(item).await?.is_none() {
                return Ok(());
            }
            let output = self.run(&["clear"], item, None).await?;
            if output.status.success() { Ok(()) } else { Err(describe_failure(&output)) }
        })
    }
}

/// Its words are in no message: they may repeat what is in the keyring.
fn describe_failure(output: &ProgramOutput) -> KeyringError {
    let said = String::from_utf8_lossy(&output.stderr);
    let says = |signs: &[&str]| signs.iter().any(|sign| said.contains(sign));
    if says(&SIGNS_OF_ABSENCE) {
        KeyringError::Away("no program provides one on the D-Bus session".to_owned())
    } else if says(&SIGNS_OF_A_LOCK) {
        KeyringError::Locked
    } else {
        KeyringError::Failed(format!("`secret-tool` ended with {}", output.status))
    }
}

/// What `secret-tool search` printed of the first item that it found.
#[derive(Debug, PartialEq, Eq)]
enum FoundItem {
    None,
    Locked,
    Value(Secret),
    Unreadable,
}

/// Reads the lines `[ID]`, `label = …`, `secret = …` and `created = …`. Of a locked item it prints no secret, and older
/// versions an empty one. A value may have several lines.
fn read_found_item(output: &[u8]) -> FoundItem {
    let Ok(text) = std::str::from_utf8(output) else { return FoundItem::Unreadable };
    if text.trim().is_empty() {
        return FoundItem::None;
    }
    if !text.starts_with('[') {
        return FoundItem::Unreadable;
    }
    let Some((head, rest)) = text.split_once("\nsecret = ") else {
        return if text.contains("\ncreated = ") { FoundItem::Locked } else { FoundItem::Unreadable };
    };
    match rest.rsplit_once("\ncreated = ") {
        Some(("", _)) => FoundItem::Locked,
        Some((value, _)) if head.contains("\nlabel = ") => FoundItem::Value(Secret::new(value)),
        Some(_) | None => FoundItem::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_item_is_neither_missing_nor_empty_and_garbage_is_none_of_them() {
        let item = |secret: &str| {
            format!("[7]\nlabel = a key\n{secret}created = 2026-12-01 08:00:00\nmodified = x\n")
        };
        let value = |text: &str| FoundItem::Value(Secret::new(text));
        for (printed, meaning) in [
            (String::new(), FoundItem::None),
            ("\n".to_owned(), FoundItem::None),
            (item(""), FoundItem::Locked),
            (item("secret = \n"), FoundItem::Locked),
            (item("secret = one\n"), value("one")),
            (item("secret = one \ntwo\n\n"), value("one \ntwo\n")),
            (item("secret = \nthat begins with a line end\n"), value("\nthat begins with a line end")),
            (item("secret = a\ncreated = b\n"), value("a\ncreated = b")),
            ("[7]\nlabel = cut".to_owned(), FoundItem::Unreadable),
            ("[7]\nlabel = x\nsecret = cut".to_owned(), FoundItem::Unreadable),
            ("secret = no item\ncreated = \n".to_owned(), FoundItem::Unreadable),
        ] {
            assert_eq!(read_found_item(printed.as_bytes()), meaning, "{printed:?}");
        }
        assert_eq!(read_found_item(b"[7]\nlabel = x\nsecret = \xff\ncreated = \n"), FoundItem::Unreadable);
    }

    #[test]
    fn without_a_session_bus_or_the_program_there_is_no_keyring_and_nothing_is_run() {
        let home = tempfile::tempdir().expect("a directory");
        let bus = (BUS_VARIABLE.into(), "unix:path=/nowhere".into());
        let programs = |environment| ProgramContext { home: home.path().to_owned(), environment };
        let service = |environment| {
            SecretService::with_program_in(vec![home.path().to_owned()], programs(environment))
                .find_obstacle()
        };
        std::fs::create_dir(home.path().join(PROGRAM)).expect("a directory of its name");
        assert!(service(vec![bus]).expect("none").contains("`secret-tool` is not installed"));
        std::fs::remove_dir(home.path().join(PROGRAM)).expect("removed");
        std::fs::write(home.path().join(PROGRAM), "").expect("written");
        assert!(service(Vec::new()).expect("none").contains("no D-Bus session"));
    }
}
