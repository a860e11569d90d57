mod carry_over;
mod definitions;

use portero::audit::{self, AuditEvent, RecordFilter};
use portero::clock::Clock as _;
use portero::names::{TaskId, ToolId};
use portero::notice::Notice;
use portero::pattern::Pattern;
use portero::policy::{Action, Grant, GrantLimits, PolicyRule, offline_denies};
use portero::task::CallOrigin;

use super::*;
use crate::approvals::tests::{Fixture, call, context, copy_files};
use crate::journal::outbox::NoticesAfter;
use crate::store::Durability;

fn store_deps(fixture: &Fixture, boot_id: &str) -> OverrideStoreDeps {
    OverrideStoreDeps {
        journal: fixture.journal.clone(),
        policy: fixture.policy.clone(),
        offline_denies: fixture.directory.path().join("denies.json"),
        boot_id: boot_id.to_owned(),
        clock: fixture.clock.clone(),
        sessions: Arc::default(),
    }
}

pub(crate) async fn open_store(fixture: &Fixture) -> Arc<OverrideStore> {
    open_store_in_boot(fixture, "boot").await
}

/// As in a boot of the machine with this id.
pub(crate) async fn open_store_in_boot(fixture: &Fixture, boot_id: &str) -> Arc<OverrideStore> {
    OverrideStore::open(store_deps(fixture, boot_id)).await.unwrap()
}

fn pattern(text: &str) -> Pattern {
    text.parse().unwrap()
}

fn grant_request(text: &str, lasts: Duration) -> GrantRequest {
    GrantRequest { pattern: pattern(text), duration: lasts, limits: GrantLimits::default() }
}

/// The removal of a rule, as a person confirms it.
fn removal(rule: &PolicyRule) -> Act {
    Act::RemoveRule(rule.id, rule.pattern.clone(), rule.action)
}

fn decided_action(fixture: &Fixture, tool: &str) -> Action {
    let tool: ToolId = tool.parse().unwrap();
    fixture.policy.load().decide(&tool, None, None, fixture.clock.now()).action
}

fn read_denies_file(fixture: &Fixture) -> Overrides {
    let path = fixture.directory.path().join("denies.json");
    offline_denies::read(&path, &path).unwrap()
}

/// Lets the store refuse every change of rules and grants, as on a full disk, or no longer.
async fn set_store_blocked(fixture: &Fixture, on: bool) {
    let sql = if on {
        "CREATE TEMP TRIGGER full BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    } else {
        "DROP TRIGGER full"
    };
    fixture
        .journal
        .store()
        .write(Durability::StoreSynced, move |store| Ok(store.execute_batch(sql)?))
        .await
        .unwrap();
}

/// What people were told, such as `rule 1 Made deny mail/*`.
fn notice_texts(fixture: &Fixture) -> Vec<String> {
    let NoticesAfter::Entries(entries) = fixture.outbox.entries_after(0).unwrap() else { panic!("removed") };
    entries.into_iter().map(|entry| describe_notice(&entry.notice)).collect()
}

fn describe_notice(notice: &Notice) -> String {
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
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let changes = rules.subscribe_epoch();
    let deny = rules.add_deny_rule(pattern("mail/*"), &"pid 1".into()).await.unwrap();
    assert_eq!(decided_action(&fixture, "mail/send"), Action::Deny);
    let allow = rules
        .add_allow_rule(pattern("notes/*"), Authorization::for_test(Act::Allow(pattern("notes/*"))))
        .await
        .unwrap();
    assert_eq!(decided_action(&fixture, "notes/read"), Action::Allow);
    assert_eq!((deny.id, allow.id, *changes.borrow()), (1, 2, 2));
    assert_eq!(read_denies_file(&fixture).rules, std::slice::from_ref(&deny));
    assert_eq!(read_denies_file(&fixture).epoch, 2);
    let after = fixture.after_crash();
    let again = open_store(&after).await;
    assert_eq!(again.overrides(), rules.overrides());
    assert_eq!(decided_action(&after, "mail/send"), Action::Deny);
}

#[tokio::test]
async fn removing_a_deny_needs_a_confirmation_and_removing_an_allow_does_not() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let deny = rules.add_deny_rule(pattern("mail/*"), &"p".into()).await.unwrap();
    let allow = rules
        .add_allow_rule(pattern("notes/*"), Authorization::for_test(Act::Allow(pattern("notes/*"))))
        .await
        .unwrap();
    assert_eq!(
        rules.remove_rule(deny.id, None, &"p".into()).await.unwrap_err(),
        OverridesError::NeedsConfirmation
    );
    assert_eq!(decided_action(&fixture, "mail/send"), Action::Deny);
    rules.remove_rule(allow.id, None, &"p".into()).await.unwrap();
    rules.remove_rule(deny.id, Some(Authorization::for_test(removal(&deny))), &"p".into()).await.unwrap();
    assert_eq!(decided_action(&fixture, "mail/send"), Action::RequireApproval);
    let missing = rules.remove_rule(deny.id, None, &"p".into()).await.unwrap_err();
    assert_eq!(missing, OverridesError::NotFound { what: "rule", id: deny.id });
    assert!(read_denies_file(&fixture).rules.is_empty());
}

#[tokio::test]
async fn a_rule_that_asks_overrules_the_grants_of_before_and_not_those_of_after() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let hour = Duration::from_secs(3600);
    rules
        .make_grant(
            grant_request("mail/*", hour),
            DAY,
            Authorization::for_test(grant_request("mail/*", hour).act()),
        )
        .await
        .unwrap();
    let ask = rules.add_ask_rule(pattern("mail/send"), &"p".into()).await.unwrap();
    assert_eq!((ask.id, ask.action), (2, Action::RequireApproval));
    assert_eq!(decided_action(&fixture, "mail/send"), Action::RequireApproval);
    assert_eq!(decided_action(&fixture, "mail/read"), Action::Allow, "of other tools the grant holds");
    rules
        .make_grant(
            grant_request("mail/send", hour),
            DAY,
            Authorization::for_test(grant_request("mail/send", hour).act()),
        )
        .await
        .unwrap();
    assert_eq!(decided_action(&fixture, "mail/send"), Action::Allow);
    let after = fixture.after_crash();
    open_store(&after).await;
    assert_eq!(decided_action(&after, "mail/send"), Action::Allow, "in this order on the disk too");
    rules.add_ask_rule(pattern("mail/send"), &"p".into()).await.unwrap();
    assert_eq!(decided_action(&fixture, "mail/send"), Action::RequireApproval, "asked for again");
    let alone = fixture.policy.load().with_overrides(read_denies_file(&fixture));
    let tool: ToolId = "mail/send".parse().unwrap();
    assert_eq!(alone.decide(&tool, None, None, fixture.clock.now()).action, Action::RequireApproval);
}

#[tokio::test]
async fn a_rule_that_asks_ends_with_a_confirmation_or_in_favour_of_an_allow() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let [one, two] = ["mail/send", "mail/*"].map(pattern);
    let asks = rules.add_ask_rule(one.clone(), &"p".into()).await.unwrap();
    assert_eq!(
        rules.remove_rule(asks.id, None, &"p".into()).await.unwrap_err(),
        OverridesError::NeedsConfirmation
    );
    rules.remove_rule(asks.id, Some(Authorization::for_test(removal(&asks))), &"p".into()).await.unwrap();
    for text in [&one, &two, &one] {
        rules.add_ask_rule(text.clone(), &"p".into()).await.unwrap();
    }
    rules.add_allow_rule(one.clone(), Authorization::for_test(Act::Allow(one.clone()))).await.unwrap();
    let left: Vec<_> = rules.overrides().rules.into_iter().map(|rule| (rule.action, rule.pattern)).collect();
    assert_eq!(left, [(Action::RequireApproval, two), (Action::Allow, one)]);
    assert_eq!(decided_action(&fixture, "mail/send"), Action::Allow);
    let told = notice_texts(&fixture);
    let last = ["rule 2 Ended", "rule 4 Ended", "rule 5 Made allow mail/send"];
    for (told, expected) in told[told.len() - 3..].iter().zip(last) {
        assert!(told.starts_with(expected), "{told}");
    }
}

#[tokio::test]
async fn nothing_is_made_with_the_confirmation_of_another_act() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let (many, one) = (pattern("mail/*"), pattern("mail/send"));
    let many_denied = rules.add_deny_rule(many, &"p".into()).await.unwrap();
    let one_denied = rules.add_deny_rule(one.clone(), &"p".into()).await.unwrap();
    rules.pause_all(&"p".into()).await.unwrap();
    let before = rules.overrides();
    let hour = Duration::from_secs(3600);
    let second = Duration::from_secs(1);
    for confirmed in [
        grant_request("mail/send", hour).act(),
        removal(&one_denied),
        Act::Approve(TaskId::fresh()),
        Act::Pause,
        Act::Unpair,
    ] {
        let other = || Authorization::for_test(confirmed.clone());
        for refused in [
            rules.add_allow_rule(one.clone(), other()).await.map(drop),
            rules.make_grant(grant_request("mail/*", hour), DAY, other()).await.map(drop),
            rules.make_grant(grant_request("mail/send", hour + second), DAY, other()).await.map(drop),
            rules.remove_rule(many_denied.id, Some(other()), &"p".into()).await.map(drop),
            rules.resume_all(other()).await.map(drop),
        ] {
            assert_eq!(refused, Err(OverridesError::OtherConfirmed), "{confirmed:?}");
        }
    }
    assert_eq!(rules.overrides(), before);
    let granted = Authorization::for_test(grant_request("mail/send", hour).act());
    rules.make_grant(grant_request("mail/send", hour - second), DAY, granted).await.unwrap();
    let removed = Authorization::for_test(removal(&one_denied));
    rules.remove_rule(one_denied.id, Some(removed), &"p".into()).await.unwrap();
}

#[tokio::test]
async fn a_grant_ends_by_time_by_revocation_and_by_another_boot() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let hour = Duration::from_secs(3600);
    rules
        .make_grant(
            grant_request("mail/*", hour),
            DAY,
            Authorization::for_test(grant_request("mail/*", hour).act()),
        )
        .await
        .unwrap();
    assert_eq!(decided_action(&fixture, "mail/send"), Action::Allow);
    let other_boot = fixture.after_crash();
    let rebooted = OverrideStore::open(store_deps(&other_boot, "next boot")).await.unwrap();
    assert!(rebooted.overrides().grants.is_empty());
    assert_eq!(decided_action(&other_boot, "mail/send"), Action::RequireApproval);
    fixture.clock.advance(hour);
    assert!(rules.overrides().grants.is_empty());
    assert_eq!(decided_action(&fixture, "mail/send"), Action::RequireApproval);
    let grant = rules
        .make_grant(
            grant_request("mail/*", hour),
            DAY,
            Authorization::for_test(grant_request("mail/*", hour).act()),
        )
        .await
        .unwrap();
    rules
        .make_grant(
            grant_request("notes/*", hour),
            DAY,
            Authorization::for_test(grant_request("notes/*", hour).act()),
        )
        .await
        .unwrap();
    assert_eq!(rules.revoke_grants(Some(&[grant.id]), &"p".into()).await.unwrap(), 1);
    assert_eq!(decided_action(&fixture, "mail/send"), Action::RequireApproval);
    assert_eq!(rules.revoke_grants(None, &"p".into()).await.unwrap(), 1);
    let missing = rules.revoke_grants(Some(&[grant.id]), &"p".into()).await.unwrap_err();
    assert_eq!(missing, OverridesError::NotFound { what: "grant", id: grant.id });
}

#[tokio::test]
async fn one_grant_that_is_over_keeps_no_other_in_force() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
    let short = rules
        .make_grant(
            grant_request("notes/*", minute),
            DAY,
            Authorization::for_test(grant_request("notes/*", minute).act()),
        )
        .await
        .unwrap();
    let long = rules
        .make_grant(
            grant_request("mail/*", hour),
            DAY,
            Authorization::for_test(grant_request("mail/*", hour).act()),
        )
        .await
        .unwrap();
    fixture.clock.advance(minute);
    assert_eq!(rules.revoke_grants(Some(&[short.id, long.id, long.id]), &"p".into()).await.unwrap(), 1);
    assert_eq!(decided_action(&fixture, "mail/send"), Action::RequireApproval);
}

#[tokio::test]
async fn a_grant_lasts_no_longer_than_the_most() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    for lasts in [DAY + Duration::from_secs(1), Duration::ZERO] {
        let refused = rules
            .make_grant(
                grant_request("mail/*", lasts),
                DAY,
                Authorization::for_test(grant_request("mail/*", lasts).act()),
            )
            .await;
        assert_eq!(refused.unwrap_err(), OverridesError::InvalidDuration(DAY));
    }
}

/// A grant of `mail/*` for a day.
async fn grant(rules: &OverrideStore, limits: GrantLimits) -> Grant {
    let wanted = GrantRequest { limits, ..grant_request("mail/*", DAY) };
    rules.make_grant(wanted.clone(), DAY, Authorization::for_test(wanted.act())).await.unwrap()
}

fn uses(count: u32) -> GrantLimits {
    GrantLimits { uses: std::num::NonZeroU32::new(count), ..GrantLimits::default() }
}

fn uses_by_grant(rules: &OverrideStore) -> Vec<u32> {
    rules.overrides().grants.iter().map(|grant| grant.used).collect()
}

#[tokio::test]
async fn of_a_hundred_at_once_exactly_as_many_get_a_use_as_there_are() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let grant = grant(&rules, uses(10)).await;
    let (call, contexts) = (call("x"), (0..100).map(|_| context("/project")).collect::<Vec<_>>());
    let consuming = contexts.iter().map(|context| rules.consume_use(grant.id, &call, &context.origin));
    let consumed = futures_util::future::join_all(consuming).await;
    let left: std::collections::BTreeSet<_> =
        consumed.iter().flatten().map(|grant| grant.uses_left().unwrap()).collect();
    assert_eq!(left, (0..10).collect(), "each use is consumed once");
    assert_eq!(consumed.iter().filter(|one| one.is_ok()).count(), 10);
    let refused = consumed.into_iter().find_map(Result::err);
    assert_eq!(refused, Some(OverridesError::NotCovered(grant.id)));
    assert_eq!(decided_action(&fixture, "mail/send"), Action::RequireApproval);
    assert_eq!(rules.overrides().grants[0].uses_left(), Some(0), "it is still listed");
    let after = fixture.after_crash();
    let again = open_store(&after).await;
    assert_eq!(uses_by_grant(&again), [10]);
    assert!(again.consume_use(grant.id, &call, &context("/project").origin).await.is_err());
    assert_eq!(decided_action(&after, "mail/send"), Action::RequireApproval);
}

#[tokio::test]
async fn a_use_that_was_consumed_is_gone_after_a_crash_and_after_other_changes() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let grant = grant(&rules, uses(3)).await;
    let origin = context("/project").origin;
    rules.consume_use(grant.id, &call("x"), &origin).await.unwrap();
    assert_eq!(uses_by_grant(&*open_store(&fixture.after_crash()).await), [1]);
    rules.add_deny_rule(pattern("notes/*"), &"p".into()).await.unwrap();
    rules.consume_use(grant.id, &call("x"), &origin).await.unwrap();
    assert_eq!(uses_by_grant(&*open_store(&fixture.after_crash()).await), [2]);
}

#[tokio::test]
async fn a_use_is_consumed_only_for_a_call_that_runs_by_it() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let mine = context("/project").origin;
    let limits =
        GrantLimits { session: Some(mine.session), project: Some(mine.principal.clone()), ..uses(5) };
    let counted = grant(&rules, limits).await;
    let plain = grant(&rules, GrantLimits { session: Some(mine.session), ..GrantLimits::default() }).await;
    let (call, theirs) = (call("x"), context("/project").origin);
    let elsewhere = CallOrigin { principal: context("/other").origin.principal, ..mine.clone() };
    for (id, origin, why) in [
        (counted.id, &theirs, "it is another session's"),
        (counted.id, &elsewhere, "it is another project's"),
        (plain.id, &mine, "its uses are not counted"),
        (99, &mine, "there is no such grant"),
    ] {
        let refused = rules.consume_use(id, &call, origin).await.unwrap_err();
        assert_eq!(refused, OverridesError::NotCovered(id), "{why}");
    }
    rules.consume_use(counted.id, &call, &mine).await.unwrap();
    let deny = rules.add_deny_rule(pattern("mail/send"), &"p".into()).await.unwrap();
    assert!(rules.consume_use(counted.id, &call, &mine).await.is_err(), "it is denied");
    rules.remove_rule(deny.id, Some(Authorization::for_test(removal(&deny))), &"p".into()).await.unwrap();
    rules.revoke_grants(Some(&[counted.id]), &"p".into()).await.unwrap();
    assert!(rules.consume_use(counted.id, &call, &mine).await.is_err(), "it is revoked");
}

#[tokio::test]
async fn a_clock_that_jumps_ends_a_limited_grant_and_its_uses() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let grant = grant(&rules, uses(5)).await;
    let (call, origin, made) = (call("x"), context("/project").origin, fixture.clock.now().wall);
    let second = Duration::from_secs(1);
    for (wall, holds) in [(made + DAY, false), (made - second, false), (made + second, true)] {
        fixture.clock.set_wall(wall);
        assert_eq!(rules.consume_use(grant.id, &call, &origin).await.is_ok(), holds, "{wall}");
    }
    fixture.clock.advance(DAY);
    fixture.clock.set_wall(made);
    assert!(rules.consume_use(grant.id, &call, &origin).await.is_err(), "the wall clock was set back");
    let other_boot = fixture.after_crash();
    let rebooted = OverrideStore::open(store_deps(&other_boot, "next boot")).await.unwrap();
    assert!(rebooted.consume_use(grant.id, &call, &origin).await.is_err(), "another boot");
}

#[tokio::test]
async fn without_its_record_no_use_is_consumed_and_what_is_unknown_is_lost() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let grant = grant(&rules, uses(2)).await;
    let (call, origin) = (call("x"), context("/project").origin);
    set_store_blocked(&fixture, true).await;
    let refused = rules.consume_use(grant.id, &call, &origin).await;
    assert!(matches!(refused, Err(OverridesError::Store(_))), "{refused:?}");
    set_store_blocked(&fixture, false).await;
    assert_eq!(rules.consume_use(grant.id, &call, &origin).await.unwrap().uses_left(), Some(0));
    assert!(rules.consume_use(grant.id, &call, &origin).await.is_err());
    assert_eq!(uses_by_grant(&*open_store(&fixture.after_crash()).await), [2], "the lost one stays lost");
}

#[tokio::test]
async fn the_audit_tells_who_granted_what_and_of_each_use() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let origin = context("/project").origin;
    let limits = GrantLimits { project: Some(origin.principal.clone()), ..uses(2) };
    let grant = grant(&rules, limits).await;
    rules.consume_use(grant.id, &call("x"), &origin).await.unwrap();
    let log = audit::read_log(&fixture.directory.path().join("audit"), &RecordFilter::default()).unwrap();
    let acts: Vec<_> = log
        .entries
        .into_iter()
        .filter_map(|entry| match entry.record.event {
            AuditEvent::Act { about, process, .. } => Some((about, process, entry.record.session)),
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
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    set_store_blocked(&fixture, true).await;
    let deny = rules.add_deny_rule(pattern("mail/*"), &"p".into()).await;
    assert!(matches!(deny, Err(OverridesError::NotSaved(_))), "{deny:?}");
    assert_eq!(decided_action(&fixture, "mail/send"), Action::Deny);
    assert!(matches!(
        rules.add_ask_rule(pattern("x/*"), &"p".into()).await,
        Err(OverridesError::NotSaved(_))
    ));
    assert_eq!(read_denies_file(&fixture).rules.len(), 2, "the file of denies could still be written");
    let allow = rules
        .add_allow_rule(pattern("notes/*"), Authorization::for_test(Act::Allow(pattern("notes/*"))))
        .await;
    assert!(matches!(allow, Err(OverridesError::Store(_))), "{allow:?}");
    assert_eq!(decided_action(&fixture, "notes/read"), Action::RequireApproval);
    assert!(!rules.retry_save().await);
    set_store_blocked(&fixture, false).await;
    assert!(rules.retry_save().await);
    let after = fixture.after_crash();
    open_store(&after).await;
    assert_eq!(decided_action(&after, "mail/send"), Action::Deny);
}

#[tokio::test]
async fn a_deny_that_reached_only_the_file_is_found_there_at_the_next_start() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    rules
        .make_grant(
            grant_request("notes/*", DAY),
            DAY,
            Authorization::for_test(grant_request("notes/*", DAY).act()),
        )
        .await
        .unwrap();
    set_store_blocked(&fixture, true).await;
    assert!(rules.add_deny_rule(pattern("mail/*"), &"p".into()).await.is_err());
    let after = fixture.after_crash();
    let again = open_store(&after).await;
    assert_eq!(decided_action(&after, "mail/send"), Action::Deny);
    assert_eq!(
        decided_action(&after, "notes/read"),
        Action::RequireApproval,
        "nobody knows whether it was revoked"
    );
    assert!(again.overrides().epoch > read_denies_file(&fixture).epoch);
}

#[tokio::test]
async fn an_older_store_that_is_put_back_does_not_bring_back_what_was_taken() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let allow = rules
        .add_allow_rule(pattern("notes/*"), Authorization::for_test(Act::Allow(pattern("notes/*"))))
        .await
        .unwrap();
    let older = tempfile::tempdir().unwrap();
    copy_files(fixture.directory.path(), older.path());
    rules.remove_rule(allow.id, None, &"p".into()).await.unwrap();
    rules.add_deny_rule(pattern("mail/*"), &"p".into()).await.unwrap();
    std::fs::copy(fixture.directory.path().join("denies.json"), older.path().join("denies.json")).unwrap();
    let after = Fixture::in_directory(older);
    open_store(&after).await;
    assert_eq!(decided_action(&after, "mail/send"), Action::Deny);
    assert_eq!(decided_action(&after, "notes/read"), Action::RequireApproval);
}

#[tokio::test]
async fn a_pause_denies_everything_across_restarts_until_a_person_resumes() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    rules
        .add_allow_rule(pattern("notes/*"), Authorization::for_test(Act::Allow(pattern("notes/*"))))
        .await
        .unwrap();
    let since = rules.pause_all(&"p".into()).await.unwrap();
    assert_eq!(decided_action(&fixture, "notes/read"), Action::Deny);
    assert_eq!(read_denies_file(&fixture).paused, Some(since), "sessions without a daemon are paused too");
    fixture.clock.advance(DAY);
    assert_eq!(rules.pause_all(&"p".into()).await.unwrap(), since, "a second pause changes nothing");
    assert_eq!((rules.overrides().epoch, rules.overrides().paused), (2, Some(since)));

    let after = fixture.after_crash();
    let again = open_store(&after).await;
    assert_eq!(decided_action(&after, "notes/read"), Action::Deny);
    assert_eq!(again.resume_all(Authorization::for_test(Act::Resume)).await.unwrap(), Some(since));
    assert_eq!(decided_action(&after, "notes/read"), Action::Allow);
    assert_eq!((read_denies_file(&after).paused, read_denies_file(&after).epoch), (None, 3));
    assert_eq!(
        again.resume_all(Authorization::for_test(Act::Resume)).await.unwrap(),
        None,
        "nothing is paused"
    );
    assert_eq!(again.overrides().epoch, 3);
    let later = after.after_crash();
    open_store(&later).await;
    assert_eq!(decided_action(&later, "notes/read"), Action::Allow);
}

#[tokio::test]
async fn on_a_full_disk_a_pause_is_in_force_and_does_not_end() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    set_store_blocked(&fixture, true).await;
    assert!(matches!(rules.pause_all(&"p".into()).await, Err(OverridesError::NotSaved(_))));
    assert_eq!(decided_action(&fixture, "notes/read"), Action::Deny);
    assert!(read_denies_file(&fixture).paused.is_some(), "the file of denies could still be written");
    let after = fixture.after_crash();
    open_store(&after).await;
    assert_eq!(decided_action(&after, "notes/read"), Action::Deny, "what only the file knows is taken over");
    assert!(matches!(
        rules.resume_all(Authorization::for_test(Act::Resume)).await,
        Err(OverridesError::Store(_))
    ));
    assert_eq!(decided_action(&fixture, "notes/read"), Action::Deny);
    set_store_blocked(&fixture, false).await;
    assert!(
        rules.pause_all(&"p".into()).await.is_ok(),
        "a second pause writes down what the first could not"
    );
    let saved = fixture.after_crash();
    open_store(&saved).await;
    assert_eq!(decided_action(&saved, "notes/read"), Action::Deny);
}

#[tokio::test]
async fn an_older_store_that_is_put_back_does_not_end_a_pause() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let older = tempfile::tempdir().unwrap();
    copy_files(fixture.directory.path(), older.path());
    rules.pause_all(&"p".into()).await.unwrap();
    std::fs::copy(fixture.directory.path().join("denies.json"), older.path().join("denies.json")).unwrap();
    let after = Fixture::in_directory(older);
    open_store(&after).await;
    assert_eq!(decided_action(&after, "notes/read"), Action::Deny);
}

#[tokio::test]
async fn people_are_told_of_every_rule_grant_and_pause_that_is_made_or_ends() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let hour = Duration::from_secs(3600);
    let deny = rules.add_deny_rule(pattern("mail/*"), &"p".into()).await.unwrap();
    let first = rules
        .make_grant(
            grant_request("a/*", hour),
            DAY,
            Authorization::for_test(grant_request("a/*", hour).act()),
        )
        .await
        .unwrap();
    let second = rules
        .make_grant(grant_request("b/*", DAY), DAY, Authorization::for_test(grant_request("b/*", DAY).act()))
        .await
        .unwrap();
    fixture.clock.advance(2 * hour);
    rules.remove_rule(deny.id, Some(Authorization::for_test(removal(&deny))), &"p".into()).await.unwrap();
    rules.revoke_grants(Some(&[second.id]), &"p".into()).await.unwrap();
    rules.pause_all(&"p".into()).await.unwrap();
    rules.resume_all(Authorization::for_test(Act::Resume)).await.unwrap();
    assert_eq!((deny.id, first.id, second.id), (1, 2, 3));
    assert_eq!(
        notice_texts(&fixture),
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
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let grant = grant(&rules, uses(2)).await;
    for _ in 0..2 {
        rules.consume_use(grant.id, &call("x"), &context("/project").origin).await.unwrap();
    }
    fixture.clock.advance(DAY);
    rules.add_deny_rule(pattern("notes/*"), &"p".into()).await.unwrap();
    assert_eq!(
        notice_texts(&fixture),
        ["grant 1 Made mail/*", "grant 1 Ended mail/*", "rule 2 Made deny notes/*"]
    );
}

#[tokio::test]
async fn a_grant_that_is_over_is_put_away_once_and_people_are_told() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    assert_eq!(rules.next_expiry(), None);
    let hour = Duration::from_secs(3600);
    rules
        .make_grant(
            grant_request("a/*", hour),
            DAY,
            Authorization::for_test(grant_request("a/*", hour).act()),
        )
        .await
        .unwrap();
    rules
        .make_grant(
            grant_request("b/*", 2 * hour),
            DAY,
            Authorization::for_test(grant_request("b/*", 2 * hour).act()),
        )
        .await
        .unwrap();
    assert_eq!((rules.next_expiry(), rules.expire_grants().await), (Some(hour), Ok(false)));
    fixture.clock.advance(hour);
    assert_eq!((rules.next_expiry(), rules.expire_grants().await), (Some(Duration::ZERO), Ok(true)));
    assert_eq!((rules.next_expiry(), rules.expire_grants().await), (Some(hour), Ok(false)));
    assert_eq!(read_denies_file(&fixture).epoch, 3);
    assert_eq!(notice_texts(&fixture).last().unwrap(), "grant 1 Expired a/*");
    let after = fixture.after_crash();
    let rebooted = OverrideStore::open(store_deps(&after, "next boot")).await.unwrap();
    assert_eq!(rebooted.expire_grants().await, Ok(true), "a grant of another boot holds for nothing");
    assert_eq!(notice_texts(&after).last().unwrap(), "grant 2 Expired b/*");
}

#[tokio::test]
async fn of_a_deny_that_could_not_be_saved_people_are_told_once_it_is() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    set_store_blocked(&fixture, true).await;
    rules.add_deny_rule(pattern("mail/*"), &"p".into()).await.unwrap_err();
    rules.add_deny_rule(pattern("notes/*"), &"p".into()).await.unwrap_err();
    assert_eq!(notice_texts(&fixture), ["alarm Store"]);
    set_store_blocked(&fixture, false).await;
    assert!(rules.retry_save().await);
    assert_eq!(
        notice_texts(&fixture),
        ["alarm Store", "rule 1 Made deny mail/*", "rule 2 Made deny notes/*"]
    );
}

#[tokio::test]
async fn a_file_of_denies_that_hangs_keeps_no_later_deny_from_being_in_force() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let grant = grant(&rules, uses(2)).await;
    let hangs = Arc::clone(&rules.denies_file_order).lock_owned().await;
    let deny = |text: &'static str| {
        let rules = Arc::clone(&rules);
        tokio::spawn(async move { rules.add_deny_rule(pattern(text), &"p".into()).await })
    };
    let mut denying = Vec::new();
    for tool in ["notes/read", "notes/send"] {
        denying.push(deny(tool));
        wait_until_true(|| decided_action(&fixture, tool) == Action::Deny).await;
    }
    let pausing = tokio::spawn({
        let rules = Arc::clone(&rules);
        async move { rules.pause_all(&"p".into()).await }
    });
    wait_until_true(|| rules.overrides().paused.is_some()).await;
    assert!(denying.iter().all(|denying| !denying.is_finished()) && !pausing.is_finished());
    assert_eq!(rules.unsaved_changes(), None, "it is being saved, and nothing failed");
    drop(hangs);
    for denied in denying {
        denied.await.unwrap().unwrap();
    }
    pausing.await.unwrap().unwrap();
    assert_eq!(
        (read_denies_file(&fixture).rules.len(), read_denies_file(&fixture).paused.is_some()),
        (2, true)
    );
    assert_eq!(rules.overrides().grants[0].id, grant.id);
    assert_eq!(notice_texts(&fixture).len(), 4, "{:?}", notice_texts(&fixture));
}

async fn wait_until_true(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap();
}

#[tokio::test]
async fn what_is_narrowed_while_something_is_widened_counts() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let (reached, waits) = std::sync::mpsc::channel::<()>();
    // Another change holds the writer, as a disk that takes its time.
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let journal = Arc::clone(&fixture.journal);
    let holding = tokio::spawn(async move {
        let hold = move |_: &rusqlite::Connection| {
            drop(reached);
            let _ = gate.recv_timeout(Duration::from_secs(5));
            Ok(())
        };
        journal.store().write(Durability::StoreSynced, hold).await
    });
    wait_until_true(|| matches!(waits.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected))).await;
    let granting = tokio::spawn({
        let rules = Arc::clone(&rules);
        async move {
            rules
                .make_grant(
                    grant_request("mail/*", DAY),
                    DAY,
                    Authorization::for_test(grant_request("mail/*", DAY).act()),
                )
                .await
        }
    });
    wait_until_true(|| rules.is_elevating()).await;
    let denying = tokio::spawn({
        let rules = Arc::clone(&rules);
        async move { rules.add_deny_rule(pattern("mail/*"), &"p".into()).await }
    });
    wait_until_true(|| decided_action(&fixture, "mail/send") == Action::Deny).await;
    go.send(()).unwrap();
    holding.await.unwrap().unwrap();
    let granted = granting.await.unwrap();
    assert!(matches!(granted, Err(OverridesError::Store(StoreError::Refused(_)))), "{granted:?}");
    denying.await.unwrap().unwrap();
    let after = fixture.after_crash();
    let again = open_store(&after).await.overrides();
    assert_eq!((again.rules.len(), again.grants.len()), (1, 0));
}

/// Nothing can be written where the file of denies is written before it takes its place.
fn block_file(fixture: &Fixture, on: bool) {
    let beside = fixture.directory.path().join("denies.json.new");
    if on { std::fs::create_dir(beside).unwrap() } else { std::fs::remove_dir(beside).unwrap() }
}

#[tokio::test]
async fn a_file_of_denies_that_cannot_be_written_anew_stays_unless_it_lacks_what_narrows() {
    let fixture = Fixture::new();
    let rules = open_store(&fixture).await;
    let deny = rules.add_deny_rule(pattern("mail/*"), &"p".into()).await.unwrap();
    let there = || fixture.directory.path().join("denies.json").exists();
    block_file(&fixture, true);
    rules
        .add_allow_rule(pattern("notes/*"), Authorization::for_test(Act::Allow(pattern("notes/*"))))
        .await
        .unwrap();
    assert_eq!(read_denies_file(&fixture).rules, [deny], "it denies more");
    assert!(OverrideStore::open(store_deps(&fixture, "boot")).await.is_err());
    assert!(there(), "a start that fails leaves it");
    assert!(rules.add_deny_rule(pattern("x/*"), &"p".into()).await.is_err());
    assert!(!there(), "a session could go by it and miss the deny");
    block_file(&fixture, false);
    let saving = async {
        // The alarm may still be on its way to the store.
        while !rules.retry_save().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), saving).await.unwrap();
    assert_eq!(read_denies_file(&fixture).rules.len(), 2);
}
