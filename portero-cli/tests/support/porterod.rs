//! The daemon's program beside `portero`, from the present sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// Makes sure that it is there and up to date. Cargo builds another package's binary for no test; a test of the whole
/// workspace does build it, for the daemon's own tests, and then nothing is left to do here.
pub(crate) fn porterod_program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let beside = Path::new(env!("CARGO_BIN_EXE_portero")).parent().expect("it is in a directory");
        let program = beside.join(format!("porterod{}", std::env::consts::EXE_SUFFIX));
        if !is_up_to_date(&program) {
            build_porterod(beside);
        }
        program
    })
}

fn is_up_to_date(program: &Path) -> bool {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let built = fs::metadata(program).and_then(|found| found.modified());
    built.is_ok_and(|built| {
        ["src", "porterod/src", "porterod/migrations", "Cargo.lock", "Cargo.toml", "porterod/Cargo.toml"]
            .iter()
            .all(|source| newest_change(&workspace.join(source)) < built)
    })
}

fn newest_change(path: &Path) -> SystemTime {
    let own = fs::metadata(path).and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let inside =
        fs::read_dir(path).into_iter().flatten().flatten().map(|entry| newest_change(&entry.path())).max();
    inside.map_or(own, |inside| inside.max(own))
}

fn build_porterod(beside: &Path) {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "porterod", "--bin", "porterod", "--target-dir"]);
    build.arg(beside.parent().expect("the target directory"));
    if beside.ends_with("release") {
        build.arg("--release");
    }
    let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
    assert!(built.success(), "porterod does not build");
}
