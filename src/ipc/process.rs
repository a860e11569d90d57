//! The process at the other end of a connection, in words for people.

use std::fmt;

/// The process at the other end of a connection, as far as the system reports it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerProcess {
    /// Its id.
    pub pid: Option<u32>,
    /// The process that started it or adopted it.
    pub parent: Option<u32>,
    /// Its program, then those that started it, the nearest first.
    pub programs: Vec<String>,
}

impl PeerProcess {
    /// Reads what is known of a process id. Call it while the connection is new, because ids are reused.
    #[must_use]
    pub fn from_pid(pid: Option<u32>) -> Self {
        let (parent, programs) = pid.map(lineage).unwrap_or_default();
        Self { pid, parent, programs }
    }
}

impl fmt::Display for PeerProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(pid) = self.pid else { return f.write_str("unknown process") };
        match self.programs.split_first() {
            None => write!(f, "pid {pid}"),
            Some((own, [])) => write!(f, "{own} (pid {pid})"),
            Some((own, parents)) => write!(f, "{own} (pid {pid}; started by {})", parents.join(" < ")),
        }
    }
}

/// The parent of `pid`, and the programs from `pid` up to the one below init; at most eight.
#[cfg(target_os = "linux")]
fn lineage(mut pid: u32) -> (Option<u32>, Vec<String>) {
    const MAX_GENERATIONS: usize = 8;
    let (mut first, mut programs) = (None, Vec::new());
    while pid > 1 && programs.len() < MAX_GENERATIONS {
        // proc_pid_stat(5): `pid (comm) state ppid …`; comm may hold spaces and parentheses.
        let Ok(stat) = crate::files::read_proc(format!("/proc/{pid}/stat")) else { break };
        let Some((head, tail)) = stat.rsplit_once(')') else { break };
        let name = std::fs::read_link(format!("/proc/{pid}/exe"))
            .ok()
            .and_then(|program| Some(program.file_name()?.to_string_lossy().into_owned()))
            // The program's file isn't readable for other users' processes. The short name will do then.
            .or_else(|| Some(head.split_once('(')?.1.to_owned()))
            .unwrap_or_default();
        programs.push(printable(&name));
        let Some(parent) = tail.split_whitespace().nth(1).and_then(|parent| parent.parse().ok()) else {
            break;
        };
        first = first.or(Some(parent));
        pid = parent;
    }
    (first, programs)
}

/// Other systems report only the id.
#[cfg(not(target_os = "linux"))]
fn lineage(_: u32) -> (Option<u32>, Vec<String>) {
    (None, Vec::new())
}

/// Makes a program's name safe to print, because programs choose their own names.
#[cfg(target_os = "linux")]
fn printable(name: &str) -> String {
    name.chars().take(64).map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_with_those_that_started_it() {
        let programs = vec!["portero".into(), "bash".into(), "claude".into()];
        let process = PeerProcess { pid: Some(7), parent: Some(6), programs };
        assert_eq!(process.to_string(), "portero (pid 7; started by bash < claude)");
        assert_eq!(PeerProcess::default().to_string(), "unknown process");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_a_program_and_a_parent() {
        let own = PeerProcess::from_pid(Some(std::process::id()));
        assert!(!own.programs.is_empty());
        assert_eq!(own.parent, Some(std::os::unix::process::parent_id()));
    }
}
