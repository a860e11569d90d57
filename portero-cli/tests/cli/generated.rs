//! The completions and man pages that the project keeps are those of the present definition.
//! `PORTERO_UPDATE=1 cargo test` writes them anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::test_support::TestHome;

fn read_generated(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for directory in ["completions", "man"] {
        for entry in fs::read_dir(root.join(directory)).into_iter().flatten() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            found.insert(path.strip_prefix(root).unwrap().to_owned(), text);
        }
    }
    found
}

#[test]
fn completions_and_man_pages_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let world = TestHome::empty();
    let fresh = world.path("generated");
    let said = world.run(&["generate", fresh.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let fresh = read_generated(&fresh);
    assert!(fresh.len() > 20, "five shells and a page for each command");
    if std::env::var_os("PORTERO_UPDATE").is_some() {
        for directory in ["completions", "man"] {
            let _ = fs::remove_dir_all(root.join(directory));
            fs::create_dir(root.join(directory)).unwrap();
        }
        for (path, text) in &fresh {
            fs::write(root.join(path), text).unwrap();
        }
    }
    let kept = read_generated(root);
    for (path, text) in &fresh {
        assert!(kept.get(path) == Some(text), "{} is out of date; run with PORTERO_UPDATE=1", path.display());
    }
    for path in kept.keys() {
        assert!(fresh.contains_key(path), "{} belongs to nothing; run with PORTERO_UPDATE=1", path.display());
    }
}
