use portero::audit::{self, AuditEvent, AuditWriter, RecordFilter};
use portero::clock::TestClock;
use tempfile::TempDir;

use super::*;
use crate::store::Store;

struct TokensFixture {
    directory: TempDir,
    clock: Arc<TestClock>,
    tokens: Arc<AccessTokens>,
}

impl TokensFixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::at("2026-11-20T12:00:00Z".parse().unwrap()));
        let tokens = open_tokens(&directory, &clock);
        Self { directory, clock, tokens }
    }

    fn restart(self) -> Self {
        let Self { directory, clock, tokens } = self;
        drop(tokens);
        let tokens = open_tokens(&directory, &clock);
        Self { directory, clock, tokens }
    }

    async fn create(&self, name: &str, millis: Option<u64>) -> Result<Secret, AccessTokensError> {
        let wanted = (token_name(name), AccessScope::everything(), millis);
        let act = Act::CreateToken(wanted.0.clone(), wanted.1.clone(), wanted.2);
        Ok(self.tokens.create(wanted, Authorization::for_test(act)).await?.0)
    }

    fn recorded_acts(&self) -> Vec<String> {
        let log = audit::read_log(&self.directory.path().join("audit"), &RecordFilter::default()).unwrap();
        let acts = log.entries.into_iter().filter_map(|entry| match entry.record.event {
            AuditEvent::Act { act, about, .. } => Some(format!("{act}: {about}")),
            _ => None,
        });
        acts.collect()
    }
}

fn token_name(name: &str) -> TokenName {
    name.parse().unwrap()
}

fn open_tokens(directory: &TempDir, clock: &Arc<TestClock>) -> Arc<AccessTokens> {
    let audit = Arc::new(AuditWriter::open(&directory.path().join("audit"), "test", clock.now()).unwrap());
    let store = Store::open(&directory.path().join("portero.db"), None, Box::new(|| Ok(()))).unwrap();
    let journal = Journal::new(store, audit, Arc::default(), Arc::clone(clock) as _);
    Arc::new(AccessTokens::open(journal, Arc::clone(clock) as _).unwrap())
}

#[tokio::test]
async fn a_token_is_known_again_after_a_restart_and_only_its_hash_is_kept() {
    let fixture = TokensFixture::new();
    let secret = fixture.create("laptop", None).await.unwrap();
    assert!(secret.expose().starts_with(TOKEN_PREFIX) && secret.expose().len() == TOKEN_LENGTH);
    let fixture = fixture.restart();
    assert_eq!(fixture.tokens.verify(secret.expose()).unwrap().token.name, token_name("laptop"));
    let hidden = &secret.expose()[TOKEN_LENGTH - 2 * SECRET_BYTES..];
    for file in std::fs::read_dir(fixture.directory.path())
        .unwrap()
        .chain(std::fs::read_dir(fixture.directory.path().join("audit")).unwrap())
    {
        let path = file.unwrap().path();
        if path.is_file() {
            let content = std::fs::read(&path).unwrap();
            assert!(
                !content.windows(hidden.len()).any(|part| part == hidden.as_bytes()),
                "{}",
                path.display()
            );
        }
    }
    assert_eq!(fixture.recorded_acts(), ["token create: token laptop for *, until it is revoked"]);
}

#[tokio::test]
async fn whatever_is_not_exactly_a_token_is_refused() {
    let fixture = TokensFixture::new();
    let (one, other) =
        (fixture.create("one", None).await.unwrap(), fixture.create("other", None).await.unwrap());
    let (one, other) = (one.expose(), other.expose());
    let flipped = {
        let last = if one.ends_with('0') { "1" } else { "0" };
        format!("{}{last}", &one[..one.len() - 1])
    };
    let cut = TOKEN_LENGTH - 2 * SECRET_BYTES;
    for presented in [
        String::new(),
        TOKEN_PREFIX.to_owned(),
        one[..one.len() - 1].to_owned(),
        format!("{one}0"),
        format!(" {one}"),
        one.to_uppercase(),
        one.replacen("portero", "Portero", 1),
        flipped,
        format!("{}{}", &one[..cut], &other[cut..]),
        format!("{TOKEN_PREFIX}{}", "é".repeat((TOKEN_LENGTH - TOKEN_PREFIX.len()) / 2)),
        "x".repeat(1 << 20),
    ] {
        assert!(fixture.tokens.verify(&presented).is_none(), "{}", presented.len());
    }
    assert!(fixture.tokens.verify(one).is_some());
}

#[tokio::test]
async fn a_token_ends_by_itself_and_its_name_stays_taken_until_it_is_revoked() {
    let fixture = TokensFixture::new();
    let secret = fixture.create("ci", Some(60_000)).await.unwrap();
    fixture.clock.advance(Duration::from_secs(59));
    assert!(fixture.tokens.verify(secret.expose()).is_some());
    fixture.clock.advance(Duration::from_secs(1));
    assert!(fixture.tokens.verify(secret.expose()).is_none());
    assert!(matches!(fixture.create("ci", None).await, Err(AccessTokensError::Taken(_))));
    fixture.tokens.revoke(&token_name("ci"), &Actor::Daemon).await.unwrap();
    assert!(fixture.create("ci", None).await.is_ok());
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once_and_for_good_and_what_it_began_ends() {
    let fixture = TokensFixture::new();
    let secret = fixture.create("laptop", None).await.unwrap();
    let open = fixture.tokens.verify(secret.expose()).unwrap();
    fixture.tokens.revoke(&token_name("laptop"), &Actor::Daemon).await.unwrap();
    assert!(open.revoked.is_cancelled() && fixture.tokens.verify(secret.expose()).is_none());
    assert!(fixture.tokens.list().is_empty());
    let fixture = fixture.restart();
    assert!(fixture.tokens.verify(secret.expose()).is_none());
    let gone = fixture.tokens.revoke(&token_name("laptop"), &Actor::Daemon).await;
    assert!(matches!(gone, Err(AccessTokensError::NotFound(_))));
    assert_eq!(fixture.recorded_acts().last().unwrap(), "token revoke: token laptop");
}

#[tokio::test]
async fn a_confirmation_of_another_token_makes_none() {
    let fixture = TokensFixture::new();
    let narrow = AccessScope::of_servers_and_tools(&["mail".to_owned()], Vec::new()).unwrap();
    for confirmed in [
        Act::CreateToken(token_name("a"), narrow, None),
        Act::CreateToken(token_name("b"), AccessScope::everything(), None),
        Act::CreateToken(token_name("a"), AccessScope::everything(), Some(1000)),
        Act::Resume,
    ] {
        let wanted = (token_name("a"), AccessScope::everything(), None);
        let made = fixture.tokens.create(wanted, Authorization::for_test(confirmed)).await;
        assert!(matches!(made, Err(AccessTokensError::NotConfirmed)));
    }
    assert!(fixture.tokens.list().is_empty());
}

#[tokio::test]
async fn the_last_use_is_kept_to_a_minute() {
    let fixture = TokensFixture::new();
    let secret = fixture.create("laptop", None).await.unwrap();
    let first = fixture.clock.now().wall;
    fixture.tokens.verify(secret.expose()).unwrap();
    fixture.clock.advance(Duration::from_secs(59));
    fixture.tokens.verify(secret.expose()).unwrap();
    assert_eq!(fixture.tokens.list()[0].last_used, Some(first));
    let stop = CancellationToken::new();
    stop.cancel();
    Arc::clone(&fixture.tokens).run(stop).await;
    let fixture = fixture.restart();
    assert_eq!(fixture.tokens.list()[0].last_used, Some(first));
    fixture.clock.advance(Duration::from_secs(1));
    fixture.tokens.verify(secret.expose()).unwrap();
    assert_eq!(fixture.tokens.list()[0].last_used, Some(fixture.clock.now().wall));
}
