//! Counts calls that ran without a question, failed or were refused, until they are reported.
//!
//! The size of a report is bounded, whatever an agent does.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use portero::audit::{AuditEvent, RecordedOutcome, SegmentRecord};
use portero::config::{NoticeLevel, NoticeSettings};
use portero::names::{Principal, ToolId};

use super::activity::{ActivitySummary, CallFate};

/// How many tools a message names; the others are counted. With this limit it fits with the longest names and
/// the notes about rules.
const MAX_NAMED_TOOLS: usize = 12;
/// How many approved calls are remembered until they end.
const MAX_APPROVED_CALLS: usize = 10_000;

/// The counts, by the place where the channel reports them.
#[derive(Debug)]
pub struct ActivityBatch<P> {
    by_place: BTreeMap<P, PlaceActivity>,
    /// Approved calls by segment and number. They are left out, because their card shows the result.
    approved_calls: HashSet<(String, u64)>,
}

/// The counts for one message.
#[derive(Debug, Default)]
struct PlaceActivity {
    counts: BTreeMap<(CallFate, ToolId), u64>,
    /// Calls of tools beyond those that are named.
    unnamed: u64,
}

impl<P> Default for ActivityBatch<P> {
    fn default() -> Self {
        Self { by_place: BTreeMap::new(), approved_calls: HashSet::new() }
    }
}

impl<P: Ord> ActivityBatch<P> {
    /// Counts a record, unless a card shows it or the notice level of its server excludes it.
    pub fn add_entry(
        &mut self,
        entry: &SegmentRecord,
        notices: &NoticeSettings,
        place_of: impl Fn(Option<&Principal>) -> P,
    ) {
        let (fate, tool) = match &entry.record.event {
            AuditEvent::Intent { call, task: Some(_), .. } => {
                // Beyond the limit a call is reported twice, on its card and here, which does no harm.
                if self.approved_calls.len() < MAX_APPROVED_CALLS {
                    self.approved_calls.insert((entry.segment.clone(), *call));
                }
                return;
            }
            AuditEvent::Outcome { call, tool, outcome, .. } => {
                // Its card shows the result already.
                if self.approved_calls.remove(&(entry.segment.clone(), *call)) {
                    return;
                }
                let fate = match outcome {
                    RecordedOutcome::Done | RecordedOutcome::Cancelled => CallFate::Ran,
                    RecordedOutcome::Failed | RecordedOutcome::Interrupted | RecordedOutcome::Withheld => {
                        CallFate::Failed
                    }
                };
                (fate, tool)
            }
            AuditEvent::Interrupted { segment, call, tool, task } => {
                let approved = self.approved_calls.remove(&(segment.clone(), *call));
                if approved || task.is_some() {
                    return;
                }
                (CallFate::Failed, tool)
            }
            AuditEvent::Refused { tool, .. } => (CallFate::Refused, tool),
            AuditEvent::Intent { task: None, .. }
            | AuditEvent::Withheld { .. }
            | AuditEvent::Restored { .. }
            | AuditEvent::Task { .. }
            | AuditEvent::Act { .. }
            | AuditEvent::Config { .. }
            | AuditEvent::Continued { .. }
            | AuditEvent::Removed { .. }
            | AuditEvent::Process { .. } => return,
        };
        // Refusals count as errors: the person may want to know of them at the level `errors`.
        let wanted = match (notices.level_for(&tool.server), fate) {
            (NoticeLevel::Off, _) | (NoticeLevel::Errors, CallFate::Ran) => false,
            (NoticeLevel::Errors, CallFate::Refused | CallFate::Failed) | (NoticeLevel::All, _) => true,
        };
        if wanted {
            let place = place_of(entry.record.principal.as_ref());
            self.by_place.entry(place).or_default().count_call(fate, tool, 1);
        }
    }

    /// Adds a summary that could not be sent back to the counts.
    pub fn merge_unsent(&mut self, place: P, told: ActivitySummary) {
        let part = self.by_place.entry(place).or_default();
        part.unnamed += told.others;
        for (fate, tool, count) in told.counts {
            part.count_call(fate, &tool, count);
        }
    }

    /// Takes the summaries that are due, with their places. In quiet hours nothing is due and the counts
    /// continue.
    pub fn take_due(
        &mut self,
        notices: &NoticeSettings,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Vec<(P, ActivitySummary)> {
        // The counts go on in quiet hours, so the first message after them has everything.
        if notices.quiet.as_ref().is_some_and(|quiet| quiet.contains(now, zone)) {
            return Vec::new();
        }
        let parts = std::mem::take(&mut self.by_place).into_iter();
        parts.map(|(place, part)| (place, part.into_summary())).collect()
    }
}

impl PlaceActivity {
    fn count_call(&mut self, fate: CallFate, tool: &ToolId, more: u64) {
        let key = (fate, tool.clone());
        // A tool that is named already may still be counted when the list is full.
        if let Some(count) = self.counts.get_mut(&key) {
            *count += more;
        } else if self.counts.len() < MAX_NAMED_TOOLS {
            self.counts.insert(key, more);
        } else {
            self.unnamed += more;
        }
    }

    fn into_summary(self) -> ActivitySummary {
        let counts = self.counts.into_iter();
        ActivitySummary {
            counts: counts.map(|((fate, tool), count)| (fate, tool, count)).collect(),
            others: self.unnamed,
        }
    }
}

#[cfg(test)]
mod tests {
    use portero::names::MAX_SERVER_NAME_LENGTH;
    use serde_json::{Value, json};

    use super::super::activity::{RulesByTool, ToolRules};
    use super::*;

    fn entry_of(event: &Value) -> SegmentRecord {
        let record = json!({"at": "2026-11-20T12:00:00Z", "event": event});
        serde_json::from_value(json!({"segment": "s", "seq": 1, "record": record})).unwrap()
    }

    fn ended_call(tool: &str, call: u64, outcome: &str) -> SegmentRecord {
        entry_of(&json!({"outcome": {"call": call, "tool": tool, "outcome": outcome, "micros": 5}}))
    }

    fn refused_call(tool: &str) -> SegmentRecord {
        entry_of(&json!({"refused": {"tool": tool, "reason": "denied"}}))
    }

    fn summary_text(entries: &[SegmentRecord], notices: &NoticeSettings) -> Option<String> {
        let mut batch = ActivityBatch::default();
        entries.iter().for_each(|entry| batch.add_entry(entry, notices, |_| ()));
        take_all(&mut batch).pop().map(|((), told)| told.message_text(&RulesByTool::new()).plain_text())
    }

    fn take_all<P: Ord>(batch: &mut ActivityBatch<P>) -> Vec<(P, ActivitySummary)> {
        batch.take_due(&NoticeSettings::default(), Timestamp::UNIX_EPOCH, &TimeZone::UTC)
    }

    #[test]
    fn each_project_with_a_place_is_told_there_and_all_others_in_one_message() {
        let of = |project: &str, mut entry: SegmentRecord| {
            entry.record.principal = Some(Principal::from_project(std::path::Path::new(project)));
            entry
        };
        let shop = Principal::from_project(std::path::Path::new("/shop"));
        let mut batch = ActivityBatch::default();
        for entry in [
            of("/shop", ended_call("a/b", 1, "done")),
            of("/blog", ended_call("a/b", 2, "done")),
            of("/notes", refused_call("a/c")),
            ended_call("d/e", 3, "done"),
        ] {
            batch.add_entry(&entry, &NoticeSettings::default(), |project| project == Some(&shop));
        }
        let told = take_all(&mut batch).into_iter();
        let told: Vec<_> =
            told.map(|(place, told)| (place, told.message_text(&RulesByTool::new()).plain_text())).collect();
        let others = "Refused\n1 × a/c\nRan without asking\n1 × a/b\n1 × d/e".to_owned();
        let own = "Ran without asking\n1 × a/b".to_owned();
        assert_eq!(told, [(false, others), (true, own)]);
    }

    #[test]
    fn calls_are_grouped_with_what_went_wrong_first() {
        let all = [
            ended_call("a/b", 1, "done"),
            refused_call("a/x"),
            ended_call("a/b", 2, "done"),
            ended_call("a/c", 3, "failed"),
        ];
        let text = summary_text(&all, &NoticeSettings::default()).unwrap();
        assert_eq!(text, "Refused\n1 × a/x\nFailed\n1 × a/c\nRan without asking\n2 × a/b");
        assert_eq!(summary_text(&[], &NoticeSettings::default()), None);
    }

    #[test]
    fn what_a_person_approved_is_told_by_its_card_alone() {
        let task = "019a9f3e-7c1d-7b4e-8f60-3d2c1b0a9e8f";
        let intent =
            entry_of(&json!({"intent": {"call": 1, "tool": "a/b", "reason": "approved", "task": task}}));
        assert_eq!(summary_text(&[intent, ended_call("a/b", 1, "done")], &NoticeSettings::default()), None);
    }

    #[test]
    fn each_server_has_its_level() {
        let all = [
            ended_call("a/b", 1, "done"),
            ended_call("c/d", 2, "done"),
            refused_call("c/d"),
            refused_call("e/f"),
        ];
        let servers = [("c".parse().unwrap(), NoticeLevel::Errors), ("e".parse().unwrap(), NoticeLevel::Off)];
        let notices = NoticeSettings { servers: servers.into(), ..NoticeSettings::default() };
        assert_eq!(summary_text(&all, &notices).unwrap(), "Refused\n1 × c/d\nRan without asking\n1 × a/b");
        assert_eq!(
            summary_text(&all, &NoticeSettings { level: NoticeLevel::Off, ..NoticeSettings::default() }),
            None
        );
    }

    #[test]
    fn a_flood_is_one_short_message() {
        let all: Vec<SegmentRecord> = (0..5_000)
            .map(|n| refused_call(&format!("{}/{n:0>128}", "s".repeat(MAX_SERVER_NAME_LENGTH))))
            .collect();
        let mut batch = ActivityBatch::default();
        all.iter().for_each(|entry| batch.add_entry(entry, &NoticeSettings::default(), |_| ()));
        let ((), told) = take_all(&mut batch).pop().unwrap();
        let ruled = ToolRules { denying_rule: Some(u64::MAX), ..ToolRules::default() };
        let stands: RulesByTool = told.counts.iter().map(|(_, tool, _)| (tool.clone(), ruled)).collect();
        let (message, list) = (told.message_text(&stands), told.tool_list_text(0, &stands).plain_text());
        assert!(message.styled_count() <= 100, "{}", message.styled_count());
        let message = message.plain_text();
        assert!(message.len() <= 4096 && message.ends_with("and of other tools: 4988"), "{message}");
        assert!(list.len() < message.len());
        assert!(take_all(&mut batch).is_empty(), "it begins anew");
    }
}
