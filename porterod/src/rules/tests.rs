use portero::audit::{self, Event, Filter};
use portero::clock::Clock as _;
use portero::ipc::Width;
use portero::names::ToolId;
use portero::notice::Notice;
use portero::pattern::Pattern;
use portero::policy::{Action, Grant, Limits, denies};
use portero::task::Origin;

use super::*;
use crate::approval::tests::{Bench, call, context, copy_files};
use crate::outbox::After;
use crate::store::Records;

fn parts(bench: &Bench, boot_id: &str) -> RulesParts {
    RulesParts {
        journal: bench.journal.clone(),
        policy: bench.policy.clone(),
        denies: bench.directory.path().join("denies.json"),
        boot_id: boot_id.to_owned(),
        clock: bench.clock.clone(),
    }
}

pub(crate) async fn open(bench: &Bench) -> Arc<Rules> {
    Rules::open(parts(bench, "boot")).await.unwrap()
}

fn pattern(text: &str) -> Pattern {
    text.parse().unwrap()
}

fn wanted(text: &str, lasts: Duration) -> Wanted {
    Wanted { pattern: pattern(text), lasts, limits: Limits::default() }
}

fn action(bench: &Bench, tool: &str) -> Action {
    let tool: ToolId = tool.parse().unwrap();
    bench.policy.load().decide(&tool, None, None, bench.clock.now()).action
}

fn file(bench: &Bench) -> Standing {
    let path = bench.directory.path().join("denies.json");
    denies::read(&path, &path).unwrap()
}

/// Lets the store refuse every change of rules and grants, as on a full disk, or no longer.
async fn block(bench: &Bench, on: bool) {
    let sql = if on {
        "CREATE TEMP TRIGGER full BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    } else {
        "DROP TRIGGER full"
    };
    bench.journal.store().write(Records::None, move |store| Ok(store.execute_batch(sql)?)).await.unwrap();
}

/// What people were told, such as `rule 1 Made deny mail/*`.
fn told(bench: &Bench) -> Vec<String> {
    let After::Entries(entries) = bench.outbox.after(0).unwrap() else { panic!("removed") };
    entries.into_iter().map(|entry| say(&entry.notice)).collect()
}

fn say(notice: &Notice) -> String {
    match notice {
        Notice::Grant { id, became, pattern } => format!("grant {id} {became:?} {}", pattern.get()),
        Notice::Rule { id, became, action, pattern } => {
            format!("rule {id} {became:?} {action} {}", pattern.get())
        }
        Notice::Alarm { alarm, .. } => format!("alarm {alarm:?}"),
        other => format!("{other:?}"),
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn each_change_raises_the_epoch_by_one_and_is_in_force_and_on_disk() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let changes = rules.changes();
    let deny = rules.deny(pattern("mail/*"), "pid 1").await.unwrap();
    assert_eq!(action(&bench, "mail/send"), Action::Deny);
    let allow = rules.allow(pattern("notes/*"), Confirmed::by_test()).await.unwrap();
    assert_eq!(action(&bench, "notes/read"), Action::Allow);
    assert_eq!((deny.id, allow.id, *changes.borrow()), (1, 2, 2));
    assert_eq!(file(&bench).rules, std::slice::from_ref(&deny));
    assert_eq!(file(&bench).epoch, 2);
    let after = bench.after_crash();
    let again = open(&after).await;
    assert_eq!(again.standing(), rules.standing());
    assert_eq!(action(&after, "mail/send"), Action::Deny);
}

#[tokio::test]
async fn removing_a_deny_needs_a_confirmation_and_removing_an_allow_does_not() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let deny = rules.deny(pattern("mail/*"), "p").await.unwrap();
    let allow = rules.allow(pattern("notes/*"), Confirmed::by_test()).await.unwrap();
    assert_eq!(rules.unrule(deny.id, None, "p").await.unwrap_err(), RulesError::NeedsConfirmation);
    assert_eq!(action(&bench, "mail/send"), Action::Deny);
    rules.unrule(allow.id, None, "p").await.unwrap();
    rules.unrule(deny.id, Some(Confirmed::by_test()), "p").await.unwrap();
    assert_eq!(action(&bench, "mail/send"), Action::RequireApproval);
    let missing = rules.unrule(deny.id, None, "p").await.unwrap_err();
    assert_eq!(missing, RulesError::NotFound { what: "rule", id: deny.id });
    assert!(file(&bench).rules.is_empty());
}

#[tokio::test]
async fn a_rule_that_asks_overrules_the_grants_of_before_and_not_those_of_after() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let hour = Duration::from_secs(3600);
    rules.grant(wanted("mail/*", hour), DAY, Confirmed::by_test()).await.unwrap();
    let ask = rules.ask(pattern("mail/send"), "p").await.unwrap();
    assert_eq!((ask.id, ask.action), (2, Action::RequireApproval));
    assert_eq!(action(&bench, "mail/send"), Action::RequireApproval);
    assert_eq!(action(&bench, "mail/read"), Action::Allow, "of other tools the grant holds");
    rules.grant(wanted("mail/send", hour), DAY, Confirmed::by_test()).await.unwrap();
    assert_eq!(action(&bench, "mail/send"), Action::Allow);
    let after = bench.after_crash();
    open(&after).await;
    assert_eq!(action(&after, "mail/send"), Action::Allow, "in this order on the disk too");
    rules.ask(pattern("mail/send"), "p").await.unwrap();
    assert_eq!(action(&bench, "mail/send"), Action::RequireApproval, "asked for again");
    let alone = bench.policy.load().with_standing(file(&bench));
    let tool: ToolId = "mail/send".parse().unwrap();
    assert_eq!(alone.decide(&tool, None, None, bench.clock.now()).action, Action::RequireApproval);
}

#[tokio::test]
async fn a_rule_that_asks_ends_with_a_confirmation_or_in_favour_of_an_allow() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let [one, two] = ["mail/send", "mail/*"].map(pattern);
    let asks = rules.ask(one.clone(), "p").await.unwrap();
    assert_eq!(rules.unrule(asks.id, None, "p").await.unwrap_err(), RulesError::NeedsConfirmation);
    rules.unrule(asks.id, Some(Confirmed::of_width(Width::One)), "p").await.unwrap();
    for text in [&one, &two, &one] {
        rules.ask(text.clone(), "p").await.unwrap();
    }
    rules.allow(one.clone(), Confirmed::by_test()).await.unwrap();
    let left: Vec<_> = rules.standing().rules.into_iter().map(|rule| (rule.action, rule.pattern)).collect();
    assert_eq!(left, [(Action::RequireApproval, two), (Action::Allow, one)]);
    assert_eq!(action(&bench, "mail/send"), Action::Allow);
    let told = told(&bench);
    let last = ["rule 2 Ended", "rule 4 Ended", "rule 5 Made allow mail/send"];
    for (told, expected) in told[told.len() - 3..].iter().zip(last) {
        assert!(told.starts_with(expected), "{told}");
    }
}

#[tokio::test]
async fn what_is_wide_is_not_made_with_a_confirmation_of_less() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let (many, one) = (pattern("mail/*"), pattern("mail/send"));
    let many_denied = rules.deny(many, "p").await.unwrap();
    let one_denied = rules.deny(one.clone(), "p").await.unwrap();
    rules.pause("p").await.unwrap();
    let before = rules.standing();
    let less = || Confirmed::of_width(Width::One);
    let hour = Duration::from_secs(3600);
    let second = Duration::from_secs(1);
    for refused in [
        rules.allow(one, less()).await.map(drop),
        rules.grant(wanted("mail/*", hour), DAY, less()).await.map(drop),
        rules.grant(wanted("mail/send", hour + second), DAY, less()).await.map(drop),
        rules.unrule(many_denied.id, Some(less()), "p").await.map(drop),
        rules.resume(less()).await.map(drop),
    ] {
        assert_eq!(refused, Err(RulesError::TooWide));
    }
    assert_eq!(rules.standing(), before);
    rules.grant(wanted("mail/send", hour), DAY, less()).await.unwrap();
    rules.unrule(one_denied.id, Some(less()), "p").await.unwrap();
}

#[tokio::test]
async fn a_grant_ends_by_time_by_revocation_and_by_another_boot() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let hour = Duration::from_secs(3600);
    rules.grant(wanted("mail/*", hour), DAY, Confirmed::by_test()).await.unwrap();
    assert_eq!(action(&bench, "mail/send"), Action::Allow);
    let other_boot = bench.after_crash();
    let rebooted = Rules::open(parts(&other_boot, "next boot")).await.unwrap();
    assert!(rebooted.standing().grants.is_empty());
    assert_eq!(action(&other_boot, "mail/send"), Action::RequireApproval);
    bench.clock.advance(hour);
    assert!(rules.standing().grants.is_empty());
    assert_eq!(action(&bench, "mail/send"), Action::RequireApproval);
    let grant = rules.grant(wanted("mail/*", hour), DAY, Confirmed::by_test()).await.unwrap();
    rules.grant(wanted("notes/*", hour), DAY, Confirmed::by_test()).await.unwrap();
    assert_eq!(rules.revoke(Some(&[grant.id]), "p").await.unwrap(), 1);
    assert_eq!(action(&bench, "mail/send"), Action::RequireApproval);
    assert_eq!(rules.revoke(None, "p").await.unwrap(), 1);
    let missing = rules.revoke(Some(&[grant.id]), "p").await.unwrap_err();
    assert_eq!(missing, RulesError::NotFound { what: "grant", id: grant.id });
}

#[tokio::test]
async fn one_grant_that_is_over_keeps_no_other_in_force() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
    let short = rules.grant(wanted("notes/*", minute), DAY, Confirmed::by_test()).await.unwrap();
    let long = rules.grant(wanted("mail/*", hour), DAY, Confirmed::by_test()).await.unwrap();
    bench.clock.advance(minute);
    assert_eq!(rules.revoke(Some(&[short.id, long.id, long.id]), "p").await.unwrap(), 1);
    assert_eq!(action(&bench, "mail/send"), Action::RequireApproval);
}

#[tokio::test]
async fn a_grant_lasts_no_longer_than_the_most() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    for lasts in [DAY + Duration::from_secs(1), Duration::ZERO] {
        let refused = rules.grant(wanted("mail/*", lasts), DAY, Confirmed::by_test()).await;
        assert_eq!(refused.unwrap_err(), RulesError::Duration(DAY));
    }
}

/// A grant of `mail/*` for a day.
async fn grant(rules: &Rules, limits: Limits) -> Grant {
    let wanted = Wanted { limits, ..wanted("mail/*", DAY) };
    rules.grant(wanted, DAY, Confirmed::by_test()).await.unwrap()
}

fn uses(count: u32) -> Limits {
    Limits { uses: std::num::NonZeroU32::new(count), ..Limits::default() }
}

fn used(rules: &Rules) -> Vec<u32> {
    rules.standing().grants.iter().map(|grant| grant.used).collect()
}

#[tokio::test]
async fn of_a_hundred_at_once_exactly_as_many_get_a_use_as_there_are() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let grant = grant(&rules, uses(10)).await;
    let (call, contexts) = (call("x"), (0..100).map(|_| context("/project")).collect::<Vec<_>>());
    let consuming = contexts.iter().map(|context| rules.consume(grant.id, &call, &context.origin));
    let consumed = futures_util::future::join_all(consuming).await;
    let left: std::collections::BTreeSet<_> =
        consumed.iter().flatten().map(|grant| grant.uses_left().unwrap()).collect();
    assert_eq!(left, (0..10).collect(), "each use is consumed once");
    assert_eq!(consumed.iter().filter(|one| one.is_ok()).count(), 10);
    let refused = consumed.into_iter().find_map(Result::err);
    assert_eq!(refused, Some(RulesError::NotCovered(grant.id)));
    assert_eq!(action(&bench, "mail/send"), Action::RequireApproval);
    assert_eq!(rules.standing().grants[0].uses_left(), Some(0), "it is still listed");
    let after = bench.after_crash();
    let again = open(&after).await;
    assert_eq!(used(&again), [10]);
    assert!(again.consume(grant.id, &call, &context("/project").origin).await.is_err());
    assert_eq!(action(&after, "mail/send"), Action::RequireApproval);
}

#[tokio::test]
async fn a_use_that_was_consumed_is_gone_after_a_crash_and_after_other_changes() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let grant = grant(&rules, uses(3)).await;
    let origin = context("/project").origin;
    rules.consume(grant.id, &call("x"), &origin).await.unwrap();
    assert_eq!(used(&*open(&bench.after_crash()).await), [1]);
    rules.deny(pattern("notes/*"), "p").await.unwrap();
    rules.consume(grant.id, &call("x"), &origin).await.unwrap();
    assert_eq!(used(&*open(&bench.after_crash()).await), [2]);
}

#[tokio::test]
async fn a_use_is_consumed_only_for_a_call_that_runs_by_it() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let mine = context("/project").origin;
    let limits = Limits { session: Some(mine.session), project: Some(mine.principal.clone()), ..uses(5) };
    let counted = grant(&rules, limits).await;
    let plain = grant(&rules, Limits { session: Some(mine.session), ..Limits::default() }).await;
    let (call, theirs) = (call("x"), context("/project").origin);
    let elsewhere = Origin { principal: context("/other").origin.principal, ..mine.clone() };
    for (id, origin, why) in [
        (counted.id, &theirs, "it is another session's"),
        (counted.id, &elsewhere, "it is another project's"),
        (plain.id, &mine, "its uses are not counted"),
        (99, &mine, "there is no such grant"),
    ] {
        let refused = rules.consume(id, &call, origin).await.unwrap_err();
        assert_eq!(refused, RulesError::NotCovered(id), "{why}");
    }
    rules.consume(counted.id, &call, &mine).await.unwrap();
    let deny = rules.deny(pattern("mail/send"), "p").await.unwrap();
    assert!(rules.consume(counted.id, &call, &mine).await.is_err(), "it is denied");
    rules.unrule(deny.id, Some(Confirmed::by_test()), "p").await.unwrap();
    rules.revoke(Some(&[counted.id]), "p").await.unwrap();
    assert!(rules.consume(counted.id, &call, &mine).await.is_err(), "it is revoked");
}

#[tokio::test]
async fn a_clock_that_jumps_ends_a_limited_grant_and_its_uses() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let grant = grant(&rules, uses(5)).await;
    let (call, origin, made) = (call("x"), context("/project").origin, bench.clock.now().wall);
    let second = Duration::from_secs(1);
    for (wall, holds) in [(made + DAY, false), (made - second, false), (made + second, true)] {
        bench.clock.set_wall(wall);
        assert_eq!(rules.consume(grant.id, &call, &origin).await.is_ok(), holds, "{wall}");
    }
    bench.clock.advance(DAY);
    bench.clock.set_wall(made);
    assert!(rules.consume(grant.id, &call, &origin).await.is_err(), "the wall clock was set back");
    let other_boot = bench.after_crash();
    let rebooted = Rules::open(parts(&other_boot, "next boot")).await.unwrap();
    assert!(rebooted.consume(grant.id, &call, &origin).await.is_err(), "another boot");
}

#[tokio::test]
async fn without_its_record_no_use_is_consumed_and_what_is_unknown_is_lost() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let grant = grant(&rules, uses(2)).await;
    let (call, origin) = (call("x"), context("/project").origin);
    block(&bench, true).await;
    let refused = rules.consume(grant.id, &call, &origin).await;
    assert!(matches!(refused, Err(RulesError::Store(_))), "{refused:?}");
    block(&bench, false).await;
    assert_eq!(rules.consume(grant.id, &call, &origin).await.unwrap().uses_left(), Some(0));
    assert!(rules.consume(grant.id, &call, &origin).await.is_err());
    assert_eq!(used(&*open(&bench.after_crash()).await), [2], "the lost one stays lost");
}

#[tokio::test]
async fn the_audit_tells_who_granted_what_and_of_each_use() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let origin = context("/project").origin;
    let limits = Limits { project: Some(origin.principal.clone()), ..uses(2) };
    let grant = grant(&rules, limits).await;
    rules.consume(grant.id, &call("x"), &origin).await.unwrap();
    let log = audit::read(&bench.directory.path().join("audit"), &Filter::default()).unwrap();
    let acts: Vec<_> = log
        .entries
        .into_iter()
        .filter_map(|entry| match entry.record.event {
            Event::Act { about, process, .. } => Some((about, process, entry.record.session)),
            _ => None,
        })
        .collect();
    let (about, process, _) = &acts[0];
    assert_eq!(about, "grant 1: mail/* for 86400 s, only in project /project, 2 uses");
    assert!(process.is_some(), "who made it");
    assert_eq!(
        (acts[1].0.as_str(), acts[1].2),
        ("grant 1 for mail/send, 1 of 2 uses left", Some(origin.session))
    );
}

#[tokio::test]
async fn on_a_full_disk_a_deny_is_in_force_and_an_allow_is_not() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    block(&bench, true).await;
    let deny = rules.deny(pattern("mail/*"), "p").await;
    assert!(matches!(deny, Err(RulesError::NotKept(_))), "{deny:?}");
    assert_eq!(action(&bench, "mail/send"), Action::Deny);
    assert!(matches!(rules.ask(pattern("x/*"), "p").await, Err(RulesError::NotKept(_))));
    assert_eq!(file(&bench).rules.len(), 2, "the file of denies could still be written");
    let allow = rules.allow(pattern("notes/*"), Confirmed::by_test()).await;
    assert!(matches!(allow, Err(RulesError::Store(_))), "{allow:?}");
    assert_eq!(action(&bench, "notes/read"), Action::RequireApproval);
    assert!(!rules.save_again().await);
    block(&bench, false).await;
    assert!(rules.save_again().await);
    let after = bench.after_crash();
    open(&after).await;
    assert_eq!(action(&after, "mail/send"), Action::Deny);
}

#[tokio::test]
async fn a_deny_that_reached_only_the_file_is_found_there_at_the_next_start() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    rules.grant(wanted("notes/*", DAY), DAY, Confirmed::by_test()).await.unwrap();
    block(&bench, true).await;
    assert!(rules.deny(pattern("mail/*"), "p").await.is_err());
    let after = bench.after_crash();
    let again = open(&after).await;
    assert_eq!(action(&after, "mail/send"), Action::Deny);
    assert_eq!(action(&after, "notes/read"), Action::RequireApproval, "nobody knows whether it was revoked");
    assert!(again.standing().epoch > file(&bench).epoch);
}

#[tokio::test]
async fn an_older_store_that_is_put_back_does_not_bring_back_what_was_taken() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let allow = rules.allow(pattern("notes/*"), Confirmed::by_test()).await.unwrap();
    let older = tempfile::tempdir().unwrap();
    copy_files(bench.directory.path(), older.path());
    rules.unrule(allow.id, None, "p").await.unwrap();
    rules.deny(pattern("mail/*"), "p").await.unwrap();
    std::fs::copy(bench.directory.path().join("denies.json"), older.path().join("denies.json")).unwrap();
    let after = Bench::on(older);
    open(&after).await;
    assert_eq!(action(&after, "mail/send"), Action::Deny);
    assert_eq!(action(&after, "notes/read"), Action::RequireApproval);
}

#[tokio::test]
async fn a_pause_denies_everything_across_restarts_until_a_person_resumes() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    rules.allow(pattern("notes/*"), Confirmed::by_test()).await.unwrap();
    let since = rules.pause("p").await.unwrap();
    assert_eq!(action(&bench, "notes/read"), Action::Deny);
    assert_eq!(file(&bench).paused, Some(since), "sessions without a daemon are paused too");
    bench.clock.advance(DAY);
    assert_eq!(rules.pause("p").await.unwrap(), since, "a second pause changes nothing");
    assert_eq!((rules.standing().epoch, rules.standing().paused), (2, Some(since)));

    let after = bench.after_crash();
    let again = open(&after).await;
    assert_eq!(action(&after, "notes/read"), Action::Deny);
    assert_eq!(again.resume(Confirmed::by_test()).await.unwrap(), Some(since));
    assert_eq!(action(&after, "notes/read"), Action::Allow);
    assert_eq!((file(&after).paused, file(&after).epoch), (None, 3));
    assert_eq!(again.resume(Confirmed::by_test()).await.unwrap(), None, "nothing is paused");
    assert_eq!(again.standing().epoch, 3);
    let later = after.after_crash();
    open(&later).await;
    assert_eq!(action(&later, "notes/read"), Action::Allow);
}

#[tokio::test]
async fn on_a_full_disk_a_pause_is_in_force_and_does_not_end() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    block(&bench, true).await;
    assert!(matches!(rules.pause("p").await, Err(RulesError::NotKept(_))));
    assert_eq!(action(&bench, "notes/read"), Action::Deny);
    assert!(file(&bench).paused.is_some(), "the file of denies could still be written");
    let after = bench.after_crash();
    open(&after).await;
    assert_eq!(action(&after, "notes/read"), Action::Deny, "what only the file knows is taken over");
    assert!(matches!(rules.resume(Confirmed::by_test()).await, Err(RulesError::Store(_))));
    assert_eq!(action(&bench, "notes/read"), Action::Deny);
    block(&bench, false).await;
    assert!(rules.pause("p").await.is_ok(), "a second pause writes down what the first could not");
    let saved = bench.after_crash();
    open(&saved).await;
    assert_eq!(action(&saved, "notes/read"), Action::Deny);
}

#[tokio::test]
async fn an_older_store_that_is_put_back_does_not_end_a_pause() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let older = tempfile::tempdir().unwrap();
    copy_files(bench.directory.path(), older.path());
    rules.pause("p").await.unwrap();
    std::fs::copy(bench.directory.path().join("denies.json"), older.path().join("denies.json")).unwrap();
    let after = Bench::on(older);
    open(&after).await;
    assert_eq!(action(&after, "notes/read"), Action::Deny);
}

#[tokio::test]
async fn people_are_told_of_every_rule_grant_and_pause_that_is_made_or_ends() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let hour = Duration::from_secs(3600);
    let deny = rules.deny(pattern("mail/*"), "p").await.unwrap();
    let first = rules.grant(wanted("a/*", hour), DAY, Confirmed::by_test()).await.unwrap();
    let second = rules.grant(wanted("b/*", DAY), DAY, Confirmed::by_test()).await.unwrap();
    bench.clock.advance(2 * hour);
    rules.unrule(deny.id, Some(Confirmed::by_test()), "p").await.unwrap();
    rules.revoke(Some(&[second.id]), "p").await.unwrap();
    rules.pause("p").await.unwrap();
    rules.resume(Confirmed::by_test()).await.unwrap();
    assert_eq!((deny.id, first.id, second.id), (1, 2, 3));
    assert_eq!(
        told(&bench),
        [
            "rule 1 Made deny mail/*",
            "grant 2 Made a/*",
            "grant 3 Made b/*",
            "grant 2 Expired a/*",
            "rule 1 Ended deny mail/*",
            "grant 3 Ended b/*",
            "Paused",
            "Resumed",
        ]
    );
}

#[tokio::test]
async fn people_are_told_once_that_a_grant_is_used_up() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let grant = grant(&rules, uses(2)).await;
    for _ in 0..2 {
        rules.consume(grant.id, &call("x"), &context("/project").origin).await.unwrap();
    }
    bench.clock.advance(DAY);
    rules.deny(pattern("notes/*"), "p").await.unwrap();
    assert_eq!(told(&bench), ["grant 1 Made mail/*", "grant 1 Ended mail/*", "rule 2 Made deny notes/*"]);
}

#[tokio::test]
async fn a_grant_that_is_over_is_put_away_once_and_people_are_told() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    assert_eq!(rules.first_end(), None);
    let hour = Duration::from_secs(3600);
    rules.grant(wanted("a/*", hour), DAY, Confirmed::by_test()).await.unwrap();
    rules.grant(wanted("b/*", 2 * hour), DAY, Confirmed::by_test()).await.unwrap();
    assert_eq!((rules.first_end(), rules.expire().await), (Some(hour), Ok(false)));
    bench.clock.advance(hour);
    assert_eq!((rules.first_end(), rules.expire().await), (Some(Duration::ZERO), Ok(true)));
    assert_eq!((rules.first_end(), rules.expire().await), (Some(hour), Ok(false)));
    assert_eq!(file(&bench).epoch, 3);
    assert_eq!(told(&bench).last().unwrap(), "grant 1 Expired a/*");
    let after = bench.after_crash();
    let rebooted = Rules::open(parts(&after, "next boot")).await.unwrap();
    assert_eq!(rebooted.expire().await, Ok(true), "a grant of another boot holds for nothing");
    assert_eq!(told(&after).last().unwrap(), "grant 2 Expired b/*");
}

#[tokio::test]
async fn of_a_deny_that_could_not_be_saved_people_are_told_once_it_is() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    block(&bench, true).await;
    rules.deny(pattern("mail/*"), "p").await.unwrap_err();
    rules.deny(pattern("notes/*"), "p").await.unwrap_err();
    assert_eq!(told(&bench), ["alarm Store"]);
    block(&bench, false).await;
    assert!(rules.save_again().await);
    assert_eq!(told(&bench), ["alarm Store", "rule 1 Made deny mail/*", "rule 2 Made deny notes/*"]);
}

#[tokio::test]
async fn a_file_of_denies_that_hangs_keeps_no_later_deny_from_being_in_force() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let grant = grant(&rules, uses(2)).await;
    let hangs = Arc::clone(&rules.file).lock_owned().await;
    let deny = |text: &'static str| {
        let rules = Arc::clone(&rules);
        tokio::spawn(async move { rules.deny(pattern(text), "p").await })
    };
    let mut denying = Vec::new();
    for tool in ["notes/read", "notes/send"] {
        denying.push(deny(tool));
        until(|| action(&bench, tool) == Action::Deny).await;
    }
    let pausing = tokio::spawn({
        let rules = Arc::clone(&rules);
        async move { rules.pause("p").await }
    });
    until(|| rules.standing().paused.is_some()).await;
    assert!(denying.iter().all(|denying| !denying.is_finished()) && !pausing.is_finished());
    assert_eq!(rules.unsaved(), None, "it is being saved, and nothing failed");
    drop(hangs);
    for denied in denying {
        denied.await.unwrap().unwrap();
    }
    pausing.await.unwrap().unwrap();
    assert_eq!((file(&bench).rules.len(), file(&bench).paused.is_some()), (2, true));
    assert_eq!(rules.standing().grants[0].id, grant.id);
    assert_eq!(told(&bench).len(), 4, "{:?}", told(&bench));
}

async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap();
}

#[tokio::test]
async fn what_is_narrowed_while_something_is_widened_counts() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let (reached, waits) = std::sync::mpsc::channel::<()>();
    // Another change holds the writer, as a disk that takes its time.
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let journal = Arc::clone(&bench.journal);
    let holding = tokio::spawn(async move {
        let hold = move |_: &rusqlite::Connection| {
            drop(reached);
            let _ = gate.recv_timeout(Duration::from_secs(5));
            Ok(())
        };
        journal.store().write(Records::None, hold).await
    });
    until(|| matches!(waits.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected))).await;
    let granting = tokio::spawn({
        let rules = Arc::clone(&rules);
        async move { rules.grant(wanted("mail/*", DAY), DAY, Confirmed::by_test()).await }
    });
    until(|| rules.is_widening()).await;
    let denying = tokio::spawn({
        let rules = Arc::clone(&rules);
        async move { rules.deny(pattern("mail/*"), "p").await }
    });
    until(|| action(&bench, "mail/send") == Action::Deny).await;
    go.send(()).unwrap();
    holding.await.unwrap().unwrap();
    let granted = granting.await.unwrap();
    assert!(matches!(granted, Err(RulesError::Store(StoreError::Refused(_)))), "{granted:?}");
    denying.await.unwrap().unwrap();
    let after = bench.after_crash();
    let again = open(&after).await.standing();
    assert_eq!((again.rules.len(), again.grants.len()), (1, 0));
}

/// Nothing can be written where the file of denies is written before it takes its place.
fn block_file(bench: &Bench, on: bool) {
    let beside = bench.directory.path().join("denies.json.new");
    if on { std::fs::create_dir(beside).unwrap() } else { std::fs::remove_dir(beside).unwrap() }
}

#[tokio::test]
async fn a_file_of_denies_that_cannot_be_written_anew_stays_unless_it_lacks_what_narrows() {
    let bench = Bench::new();
    let rules = open(&bench).await;
    let deny = rules.deny(pattern("mail/*"), "p").await.unwrap();
    let there = || bench.directory.path().join("denies.json").exists();
    block_file(&bench, true);
    rules.allow(pattern("notes/*"), Confirmed::by_test()).await.unwrap();
    assert_eq!(file(&bench).rules, [deny], "it denies more");
    assert!(Rules::open(parts(&bench, "boot")).await.is_err());
    assert!(there(), "a start that fails leaves it");
    assert!(rules.deny(pattern("x/*"), "p").await.is_err());
    assert!(!there(), "a session could go by it and miss the deny");
    block_file(&bench, false);
    let saving = async {
        // The alarm may still be on its way to the store.
        while !rules.save_again().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), saving).await.unwrap();
    assert_eq!(file(&bench).rules.len(), 2);
}
