//! What stands in a file's place, or what a drive does, holds up nothing but the file itself.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use portero::files::faults::{Fault, inject};
use portero::ipc::{Ask, Reply, Status};
use portero::policy::Action;
use serde_json::json;

use crate::support::{Home, Terminal, until};

impl Terminal {
    async fn state(&self) -> Box<Status> {
        match self.ask(Ask::Status).await {
            Ok(Reply::Status(status)) => status,
            other => panic!("{other:?}"),
        }
    }

    async fn is_denied(&self, tool: &str) -> bool {
        self.why(tool).await.decision.action == Action::Deny
    }
}

/// Fails to read while it is set.
struct Fails(AtomicBool);

impl Fault for Fails {
    fn before_read(&self, _: &Path) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(io::Error::other("the disk is tired")) } else { Ok(()) }
    }
}

#[tokio::test]
async fn not_valid_goes_away_when_the_same_bytes_can_be_read_again() {
    let home = Home::new();
    let app = home.start().await;
    let person = home.terminal().await;
    assert!(person.state().await.config_valid);
    let fails = Arc::new(Fails(AtomicBool::new(true)));
    let _fault = inject(&home.at("config/policies.json"), Arc::clone(&fails) as _);
    // The same bytes: only the time of the file changes.
    let text = std::fs::read(home.at("config/policies.json")).unwrap();
    std::fs::write(home.at("config/policies.json"), &text).unwrap();
    until("it is told", async || !person.state().await.config_valid).await;
    let problems = person.state().await.config_problems.clone();
    assert!(
        problems[0].contains("policies.json") && problems[0].contains("the disk is tired"),
        "{problems:?}"
    );
    fails.0.store(false, Ordering::Relaxed);
    until("it is well again", async || person.state().await.config_valid).await;
    assert!(person.state().await.config_problems.is_empty());
    app.shutdown().await;
}

#[cfg(unix)]
#[tokio::test]
async fn an_edit_behind_links_is_in_force_at_once() {
    use std::os::unix::fs::symlink;
    let home = Home::new();
    for directory in ["dotfiles/portero", "vault", "other"] {
        std::fs::create_dir_all(home.at(directory)).unwrap();
    }
    // The directory is a link, and the file in it is a link too.
    std::fs::rename(home.at("config"), home.at("dotfiles/portero")).unwrap();
    symlink(home.at("dotfiles/portero"), home.at("config")).unwrap();
    std::fs::rename(home.at("dotfiles/portero/policies.json"), home.at("vault/policies.json")).unwrap();
    symlink("../../vault/policies.json", home.at("dotfiles/portero/policies.json")).unwrap();
    let app = home.start().await;
    let person = home.terminal().await;
    let deny = |file: &str, tool: &str| {
        std::fs::write(home.at(file), json!({"policies": {"notes/*": "allow", tool: "deny"}}).to_string())
            .unwrap();
    };
    // Each is sooner than the next look would be, which comes after 30 seconds; `until` waits for 20.
    assert!(!person.is_denied("notes/one").await);
    deny("vault/policies.json", "notes/one");
    until("the target was edited", async || person.is_denied("notes/one").await).await;
    deny("other/policies.json", "notes/two");
    std::fs::remove_file(home.at("dotfiles/portero/policies.json")).unwrap();
    symlink(home.at("other/policies.json"), home.at("dotfiles/portero/policies.json")).unwrap();
    until("the link leads elsewhere", async || person.is_denied("notes/two").await).await;
    deny("other/policies.json", "notes/three");
    until("its new target was edited", async || person.is_denied("notes/three").await).await;
    std::fs::create_dir(home.at("swapped")).unwrap();
    deny("swapped/policies.json", "notes/four");
    symlink(home.at("swapped"), home.at("link")).unwrap();
    std::fs::rename(home.at("link"), home.at("config")).unwrap();
    until("the directory was swapped", async || person.is_denied("notes/four").await).await;
    deny("swapped/policies.json", "notes/five");
    until("a file in the new directory was edited", async || person.is_denied("notes/five").await).await;
    app.shutdown().await;
}
