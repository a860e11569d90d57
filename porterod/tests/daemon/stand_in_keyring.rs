//! A stand-in for `secret-tool`, the program of libsecret that asks the Secret Service.
//!
//! It stands for what `secret-tool(1)` says and its source does: `store` reads its value from stdin, without a line end;
//! `search` prints `[ID]`, `label`, `secret` and `created` of what it found and nothing of what it didn't, leaves out the
//! secret of a locked item, and succeeds in each case; `lookup` prints the value alone, and fails without a word where
//! there is none; `clear` fails without a word where there was nothing, or where the item is locked. What needs a locked
//! keyring waits for a person.
//! So no test depends on a desktop session, and each can have a keyring that is locked, away, broken or slow.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use porterod::keyring::{Keyring, KeyringItem, SecretService};
use porterod::programs::ProgramContext;

/// A keyring, and how it behaves.
pub(crate) struct StandInKeyring {
    directory: PathBuf,
}

/// Says how the keyring behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyringMode {
    Open,
    /// It finds items and gives none.
    Locked,
    /// It waits for a person who doesn't come.
    Hangs,
    /// No Secret Service is on the bus.
    Away,
    Fails,
    /// It takes a while.
    Slow,
    Garbage,
}

const SCRIPT: &str = r#"#!/bin/sh
dir='@DIR@'
tr '\0' ' ' </proc/$$/cmdline >>"$dir/calls"
echo >>"$dir/calls"
mode=$(cat "$dir/mode")
fail() { echo "secret-tool: $1" >&2; exit 1; }
wait_for_person() { sleep 600; exit 1; }
case $mode in
  hangs) wait_for_person ;;
  away) fail 'The name org.freedesktop.secrets was not provided by any .service files' ;;
  fails) fail 'Internal error of the attribute.service = portero' ;;
  slow) sleep 0.7 ;;
  garbage) printf '\377\376 no item'; exit 0 ;;
esac
action=$1; shift
case $1 in --label=*) label=${1#--label=}; shift ;; esac
[ "$1" = service ] && [ "$3" = username ] && [ $# = 4 ] || { echo usage >&2; exit 2; }
item="$dir/items/$(printf '%s' "$2/$4" | tr -c 'A-Za-z0-9.\n-' '_')"
case $action in
  store)
    [ "$mode" = locked ] && wait_for_person
    [ -n "$label" ] || exit 2
    cat >"$item.new"; mv "$item.new" "$item" ;;
  search)
    [ -e "$item" ] || exit 0
    echo '[7]'; echo "label = of a test"
    if [ "$mode" = locked ]; then
      echo 'secret-tool: Cannot get secret of a locked object' >&2
    else
      printf 'secret = '; cat "$item"; echo
    fi
    echo 'created = 2026-12-01 08:00:00'; echo 'modified = 2026-12-01 08:00:00'
    echo "attribute.service = $2" >&2; echo "attribute.username = $4" >&2 ;;
  lookup)
    [ "$mode" = locked ] && wait_for_person
    [ -e "$item" ] || exit 1
    cat "$item" ;;
  clear)
    [ "$mode" = locked ] && exit 1
    [ -e "$item" ] || exit 1
    rm "$item" ;;
  *) exit 2 ;;
esac
"#;

impl StandInKeyring {
    /// An open, empty keyring below this directory, or the one that is there.
    pub(crate) fn in_directory(directory: &Path) -> Self {
        let keyring = Self { directory: directory.to_owned() };
        if !directory.join("secret-tool").exists() {
            fs::create_dir_all(directory.join("items")).unwrap();
            keyring.set_mode(KeyringMode::Open);
            let script = SCRIPT.replace("@DIR@", directory.to_str().unwrap());
            // Written elsewhere: a file that is open for writing, also in a child of another test, can't be run.
            let new = directory.join("secret-tool.new");
            fs::write(&new, script).unwrap();
            fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
            let mut copying = std::process::Command::new("cp");
            let copied = copying.arg("-p").arg(&new).arg(directory.join("secret-tool")).status().unwrap();
            assert!(copied.success());
        }
        keyring
    }

    pub(crate) fn set_mode(&self, mode: KeyringMode) {
        let word = format!("{mode:?}").to_lowercase();
        let beside = self.directory.join("mode.new");
        fs::write(&beside, word).unwrap();
        fs::rename(beside, self.directory.join("mode")).unwrap();
    }

    /// What the daemon asks.
    pub(crate) fn service(&self) -> SecretService {
        let environment = vec![
            ("PATH".into(), "/usr/bin:/bin".into()),
            ("DBUS_SESSION_BUS_ADDRESS".into(), "unix:path=/nowhere".into()),
        ];
        let programs = ProgramContext { home: self.directory.clone(), environment };
        SecretService::with_program_in(vec![self.directory.clone()], programs)
    }

    /// The values of all items.
    pub(crate) fn values(&self) -> Vec<String> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(self.directory.join("items")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
    }

    /// Removes every item, as a person can.
    pub(crate) fn remove_all(&self) -> Vec<(PathBuf, String)> {
        let mut removed = Vec::new();
        for entry in fs::read_dir(self.directory.join("items")).unwrap() {
            let path = entry.unwrap().path();
            removed.push((path.clone(), fs::read_to_string(&path).unwrap()));
            fs::remove_file(path).unwrap();
        }
        removed
    }

    /// The command lines of all calls so far, as the system shows them to every process.
    pub(crate) fn calls(&self) -> String {
        fs::read_to_string(self.directory.join("calls")).unwrap_or_default()
    }

    /// Puts an item there, as another program does.
    pub(crate) async fn put(&self, service: &str, account: &str, value: &str) {
        let item = KeyringItem { service: service.to_owned(), account: account.to_owned() };
        self.service().put(&item, "of a test", &portero::secret::Secret::new(value)).await.unwrap();
    }
}
