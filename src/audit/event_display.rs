//! Records in words, for people.

use std::fmt;

use super::record::{AuditEvent, RecordedOutcome};

/// One line. Foreign text appears in it unchanged, so the caller must make it safe to show.
impl fmt::Display for AuditEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intent { tool, reason, task, .. } => match task {
                Some(task) => write!(f, "call      {tool}  for task {task}: {reason}"),
                None => write!(f, "call      {tool}  {reason}"),
            },
            Self::Outcome { tool, outcome, micros, .. } => {
                let outcome = match outcome {
                    RecordedOutcome::Done => "done",
                    RecordedOutcome::Failed => "failed",
                    RecordedOutcome::Interrupted => "interrupted: whether it took effect is unknown",
                    RecordedOutcome::Cancelled => "cancelled",
                    RecordedOutcome::Withheld => "done, but the answer was withheld",
                };
                let millis = u128::from(*micros) / 1_000;
                write!(f, "outcome   {tool}  {outcome} after {millis} ms")
            }
            Self::Interrupted { segment, call, tool, .. } => write!(
                f,
                "outcome   {tool}  interrupted: whether it took effect is unknown; its process is gone (call {call} \
                 of {segment})"
            ),
            Self::Refused { tool, reason } => write!(f, "refused   {tool}  {reason}"),
            Self::Withheld { channel, server, tool, what, count } => {
                let whose = match (tool, server) {
                    (Some(tool), _) => format!(" of {tool}"),
                    (None, Some(server)) => format!(" of `{server}`"),
                    (None, None) => String::new(),
                };
                let times = if *count == 1 { String::new() } else { format!(" ({count} times)") };
                write!(f, "withheld  {}{whose}: it held {what}{times}", channel.describe())
            }
            Self::Restored { tool, redactions } => {
                write!(f, "restored  {tool}  the value behind {}", redactions.join(", "))
            }
            Self::Task { task, tool, state, by, note } => {
                let note = note.as_ref().map(|note| format!(": {}", note.get())).unwrap_or_default();
                write!(f, "task      {tool}  {task} is {state}, by {by}{note}")
            }
            Self::Act { act, about, .. } if act == "alarm" => write!(f, "ALARM     {about}"),
            Self::Act { act, about, .. } if act == "use" => write!(f, "used      {about}"),
            Self::Act { act, about, done, process } => {
                let outcome = if *done { "" } else { "  REFUSED" };
                let process = process.as_ref().map(|process| format!("  (by {process})")).unwrap_or_default();
                write!(f, "person    {act} {about}{outcome}{process}")
            }
            Self::Config { digest, valid } => {
                let short = digest.get(..12).unwrap_or(digest);
                write!(f, "config    {short} {}", if *valid { "is in force" } else { "is not valid" })
            }
            Self::Continued { former, seq, fault, .. } => {
                let fault = if *fault { ", where the disk failed" } else { "" };
                write!(f, "audit     goes on after record {seq} of {former}{fault}")
            }
            Self::Removed { segment, seq, newest, .. } => {
                let day = newest.strftime("%Y-%m-%d");
                write!(
                    f,
                    "audit     {segment} of {seq} records until {day} is removed: older than it is kept"
                )
            }
            Self::Process { program, what } => write!(f, "process   {program} {what}"),
        }
    }
}
