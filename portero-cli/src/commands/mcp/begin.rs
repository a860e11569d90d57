//! What a session needs before it can begin: a valid configuration, and a place to record what it does.

use std::time::{Duration, SystemTime};

use portero::audit::Segment;
use portero::clock::{Clock as _, SystemClock};
use portero::config::{FILES, Problems, Severity};
use portero::confirmed::InForce;
use portero::paths::Paths;
use portero::plain::plain;

use super::PROGRAM;
use super::reload::Read;

/// How often it is looked whether what is wrong was mended.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How many problems the agent is told; `portero check` tells all.
const MAX_TOLD: usize = 3;

/// All of it.
pub(super) struct Ready {
    pub(super) read: Read,
    pub(super) in_force: InForce,
    pub(super) audit: Segment,
}

/// The attempts to begin.
pub(super) struct Beginning<'a> {
    paths: &'a Paths,
    /// The files as they were when they were last read: one that did not change is not read again, since a password
    /// manager may serve it and ask its person each time.
    seen: Option<Stamp>,
    read: Result<(Read, InForce), String>,
}

/// Tells one state of the files from another without reading them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<(Option<SystemTime>, u64)>>);

impl Stamp {
    /// The configuration's files as they are now, and the directory of what was confirmed.
    pub(super) fn now(paths: &Paths) -> Self {
        let files = FILES.iter().map(|name| paths.config.join(name)).chain([paths.state.clone()]);
        let stamp = |path: std::path::PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok(), metadata.len()))
        };
        Self(files.map(stamp).collect())
    }
}

impl<'a> Beginning<'a> {
    pub(super) const fn new(paths: &'a Paths) -> Self {
        Self { paths, seen: None, read: Err(String::new()) }
    }

    /// Everything that a session needs.
    ///
    /// # Errors
    /// What is wrong, in words for the agent; each attempt may end otherwise.
    pub(super) fn attempt(&mut self) -> Result<Ready, String> {
        let stamp = Stamp::now(self.paths);
        if self.seen.as_ref() != Some(&stamp) {
            let read = Read::now(self.paths);
            let valid = read.and_then(|read| read.in_force().map(|in_force| (read, in_force)));
            self.read = valid.map_err(|problems| describe_problems(&problems));
            self.seen = Some(stamp);
        }
        if let Err(why) = &self.read {
            return Err(why.clone());
        }
        let audit = self.begin_audit()?;
        let (read, in_force) = std::mem::replace(&mut self.read, Err(String::new()))?;
        Ok(Ready { read, in_force, audit })
    }

    fn begin_audit(&self) -> Result<Segment, String> {
        let cannot = |what: &std::path::Path, error: std::io::Error| {
            refusal(&format!(
                "Portero can record nothing, so nothing runs: `{}` cannot be written ({error}). The disk may be full \
                 or read-only",
                what.display()
            ))
        };
        self.paths.create().map_err(|error| cannot(&self.paths.state, error))?;
        let audit = self.paths.audit();
        Segment::open(&audit, PROGRAM, SystemClock.now()).map_err(|error| cannot(&audit, error))
    }
}

/// The first problems with their places. No message of a problem holds a value.
fn describe_problems(problems: &Problems) -> String {
    let errors = || problems.0.iter().filter(|problem| problem.severity == Severity::Error);
    let place = |line: u32| if line == 0 { String::new() } else { format!(":{line}") };
    let told: Vec<String> = errors()
        .take(MAX_TOLD)
        .map(|problem| format!("{}{}: {}", problem.file, place(problem.line), plain(&problem.message)))
        .collect();
    let more = match errors().count().saturating_sub(MAX_TOLD) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    refusal(&format!(
        "Portero's configuration is not valid, so no server is offered and nothing runs: {}{more}",
        told.join("; ")
    ))
}

fn refusal(what: &str) -> String {
    format!(
        "{what}. Tell the person to mend that; `portero check` in a terminal tells more. This session goes on by \
         itself then. Do not look for another way to do it."
    )
}
