//! Messages about anything but tasks: alarms, a pause, an edit of the configuration that waits or has errors.

use portero::access::TokenName;
use portero::names::ServerName;
use portero::notice::{AlarmKind, ConfigAdoption, LoginChange, Notice, NoticeEntry, OverrideChange};

use super::super::text::{EscapedText, StyledText};

/// How many characters of an alarm are shown.
const MAX_ALARM_CHARS: usize = 600;

/// As many entries as `fits` accepts, with a count of the others; none if there is nothing to report.
#[must_use]
pub fn news_text(entries: &[NoticeEntry], fits: impl Fn(&StyledText) -> bool) -> Option<StyledText> {
    let outdated = |at: usize| is_login_outdated(&entries[at].notice, &entries[at + 1..]);
    let news = (0..entries.len()).filter(|at| !outdated(*at));
    let news = news.filter_map(|at| notice_text(&entries[at].notice));
    let (mut text, mut more) = (StyledText::new(), 0);
    for line in news {
        let longer = text.clone().on_new_line().append(line);
        // A long entry is skipped rather than cut, so a shorter one after it still fits.
        if fits(&longer) {
            text = longer;
        } else {
            more += 1;
        }
    }
    if more > 0 {
        text = text
            .on_new_line()
            .literal("and ")
            .number(more)
            .literal(" more, which ")
            .command("logs")
            .literal(" shows");
    }
    (!text.is_empty()).then_some(text)
}

/// Whether a later entry is about the login of the same server. Then that one alone is reported.
fn is_login_outdated(notice: &Notice, later: &[NoticeEntry]) -> bool {
    let Notice::Login { server, .. } = notice else { return false };
    later.iter().any(|entry| matches!(&entry.notice, Notice::Login { server: of, .. } if of == server))
}

fn notice_text(notice: &Notice) -> Option<StyledText> {
    let text = StyledText::new();
    Some(match notice {
        // Cards show tasks and votes. Changes of rules and grants were already confirmed to the person who
        // made them.
        Notice::Task { .. }
        | Notice::Vote { .. }
        | Notice::Grant { .. }
        | Notice::Rule { .. }
        | Notice::Resumed => return None,
        Notice::Token { name, became, scope } => token_text(text, name, *became, scope.get()),
        Notice::Paused => {
            text.bold("Everything is paused").literal(": no call runs until ").command("resume")
        }
        Notice::Config { became, edits, .. } => append_edit_count(config_notice_text(text, *became)?, *edits),
        Notice::Definitions { server, changed, added, gone } => {
            definitions_text(text, server, (*changed, *added, *gone))
        }
        Notice::Login { server, became } => login_text(text, server, became),
        Notice::Alarm { alarm, about } => {
            let (about, whole) = EscapedText::line(about.get()).truncated(MAX_ALARM_CHARS);
            let text =
                text.bold("ALARM").literal(", ").literal(alarm_title(*alarm)).literal(": ").code(&about);
            if whole {
                text
            } else {
                text.literal("… and so on; all of it is on the terminal: ")
                    .code(&EscapedText::line("portero logs"))
            }
        }
    })
}

/// Says who may ask from another machine now, or may not any more.
fn token_text(text: StyledText, name: &TokenName, became: OverrideChange, scope: &str) -> StyledText {
    let name = EscapedText::line(name.as_str());
    match became {
        OverrideChange::Made => text
            .bold("An access token was made")
            .literal(": who has the token ")
            .code(&name)
            .literal(" may ask over HTTPS for ")
            .code(&EscapedText::line(scope))
            .literal(". If it was not you: ")
            .code(&EscapedText::line(&format!("portero token revoke {}", name.as_str())))
            .literal("."),
        OverrideChange::Ended | OverrideChange::Expired => {
            text.bold("An access token ended").literal(": ").code(&name).literal(".")
        }
    }
}

/// Says which definitions differ, and what to do.
fn definitions_text(
    text: StyledText,
    server: &ServerName,
    (changed, added, gone): (u64, u64, u64),
) -> StyledText {
    let text = text
        .bold("The server ")
        .code(&EscapedText::line(server.as_str()))
        .literal(" defines things otherwise: ");
    let parts = [(changed, " changed"), (added, " new"), (gone, " gone")];
    let mut text = text;
    for (at, (count, word)) in parts.into_iter().filter(|(count, _)| *count > 0).enumerate() {
        text = if at > 0 { text.literal(", ") } else { text };
        text = text.number(count).literal(word);
    }
    if changed + added == 0 {
        return text.literal(".");
    }
    text.literal(". Calls of what changed or is new ask until you accept it. Look at it with ")
        .command("pins")
        .literal(", or on the terminal with ")
        .code(&EscapedText::line(&format!("portero pins diff {server}")))
        .literal(".")
}

fn login_text(text: StyledText, server: &ServerName, became: &LoginChange) -> StyledText {
    let server = EscapedText::line(server.as_str());
    match became {
        LoginChange::Needed(step) => text
            .bold("The server ")
            .code(&server)
            .bold(" wants a login")
            .literal(": ")
            .code(&EscapedText::line(step.get()).truncated(MAX_ALARM_CHARS).0)
            .literal(". Its calls fail until then."),
        LoginChange::SignedIn => text
            .bold("Signed in")
            .literal(" at the server ")
            .code(&server)
            .literal(". If that was not you, run ")
            .code(&EscapedText::line("portero logout"))
            .literal(" with its name."),
        LoginChange::SignedOut => {
            text.bold("Signed out").literal(" of the server ").code(&server).literal(".")
        }
    }
}

/// Reports consecutive edits together.
fn append_edit_count(text: StyledText, edits: u64) -> StyledText {
    if edits > 1 {
        text.literal(" So it was with ").number(edits).literal(" edits since you were told.")
    } else {
        text
    }
}

fn config_notice_text(text: StyledText, became: ConfigAdoption) -> Option<StyledText> {
    let code = EscapedText::line;
    Some(match became {
        ConfigAdoption::Waits => text
            .bold("The configuration was edited")
            .literal(" so that it permits more. That is not in force. Look at it on the terminal with ")
            .code(&code("portero config diff"))
            .literal("; if it was you, ")
            .code(&code("portero config confirm"))
            .literal(" puts it in force."),
        ConfigAdoption::Adopted => {
            text.literal("The configuration was edited and is in force; it permits nothing new.")
        }
        ConfigAdoption::Refused => {
            text.literal("An edit of the configuration was refused; what was in force stays.")
        }
        ConfigAdoption::Invalid => text
            .bold("The configuration has errors")
            .literal("; what was in force stays. They are shown by ")
            .code(&code("portero check"))
            .literal("."),
    })
}

const fn alarm_title(alarm: AlarmKind) -> &'static str {
    match alarm {
        AlarmKind::Audit => "the audit",
        AlarmKind::Store => "the store",
        AlarmKind::Withheld => "a message was withheld",
        AlarmKind::Configuration => "the configuration",
        AlarmKind::Passphrase => "wrong passphrases or codes",
        AlarmKind::Lost => "what you should have been told",
    }
}

#[cfg(test)]
mod tests {
    use portero::anonymize::Fake;

    use super::*;

    fn alarm(about: &str) -> NoticeEntry {
        let about: Fake<String> = serde_json::from_value(about.into()).unwrap();
        let notice = Notice::Alarm { alarm: AlarmKind::Withheld, about };
        NoticeEntry { seq: 1, at: jiff::Timestamp::UNIX_EPOCH, notice }
    }

    #[test]
    fn what_is_too_much_for_one_message_is_counted() {
        let entries: Vec<_> =
            (0..100).map(|number| alarm(&format!("{number} {}", "x".repeat(5000)))).collect();
        let text = news_text(&entries, |text| text.plain_text().len() <= 3000).unwrap();
        assert!(text.plain_text().len() < 3100);
        assert!(
            text.plain_text().contains("0 xxx") && text.plain_text().contains("96 more"),
            "{}",
            text.plain_text()
        );
    }

    #[test]
    fn of_a_login_only_the_last_change_is_reported() {
        let login = |server: &str, became| {
            let notice = Notice::Login { server: server.parse().unwrap(), became };
            NoticeEntry { seq: 1, at: jiff::Timestamp::UNIX_EPOCH, notice }
        };
        let needed = || LoginChange::Needed(serde_json::from_value("run `portero login x`".into()).unwrap());
        let entries =
            [login("linear", needed()), login("notion", needed()), login("linear", LoginChange::SignedIn)];
        let text = news_text(&entries, |_| true).unwrap();
        let text = text.plain_text();
        assert!(text.contains("notion wants a login: run `portero login x`"), "{text}");
        assert!(text.contains("Signed in at the server linear"), "{text}");
        assert!(!text.contains("linear wants a login"), "{text}");
    }

    #[test]
    fn nothing_is_news_of_a_task() {
        let task = Notice::Task {
            task: portero::names::TaskId::fresh(),
            tool: "office/send".parse().unwrap(),
            state: portero::task::TaskState::Approved,
            by: "pid 1".into(),
            note: None,
        };
        assert!(
            news_text(&[NoticeEntry { seq: 1, at: jiff::Timestamp::UNIX_EPOCH, notice: task }], |_| true)
                .is_none()
        );
    }
}
