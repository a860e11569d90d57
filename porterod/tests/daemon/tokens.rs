//! Access tokens over the real socket.

use portero::access::{AccessScope, AccessToken};
use portero::audit::{self, AuditEvent, RecordFilter};
use portero::ipc::requests::tokens::{CreateToken, ListTokens, RevokeToken};
use portero::ipc::{Challenge, FailureKind};
use portero::notice::{Notice, OverrideChange};

use crate::support::*;
use crate::watch::watch_from;

fn create(name: &str, challenge: Challenge) -> CreateToken {
    let scope = AccessScope::of_servers_and_tools(&["notes".to_owned()], Vec::new()).unwrap();
    CreateToken { name: name.parse().unwrap(), scope, millis: Some(3_600_000), challenge }
}

#[tokio::test]
async fn a_token_needs_a_person_is_shown_once_and_is_told() {
    let home = Home::new();
    let app = home.start().await;
    let terminal = home.terminal().await;
    let unset = terminal.request(create("laptop", Challenge::default())).await;
    assert!(is_kind(&unset, FailureKind::Challenge), "no passphrase is set");
    let person = home.terminal_with_passphrase().await;
    let wrong = person.request(create("laptop", Challenge::new("guessed, and wrong"))).await;
    assert!(is_kind(&wrong, FailureKind::Challenge));
    assert!(person.request(ListTokens).await.unwrap().is_empty());

    let place = watch_from(&person, None).await.place;
    let created = person.request(create("laptop", challenge())).await.unwrap();
    assert!(created.secret.expose().starts_with("portero_"));
    assert!(!format!("{created:?}").contains(created.secret.expose()));
    assert_eq!(person.request(ListTokens).await.unwrap(), std::slice::from_ref(&created.token));
    let listed: Vec<AccessToken> = person.request(ListTokens).await.unwrap();
    assert!(!serde_json::to_string(&listed).unwrap().contains(&created.secret.expose()[25..]));
    let taken = person.request(create("laptop", challenge())).await;
    assert!(is_kind(&taken, FailureKind::Refused));

    // Revoking narrows: a terminal without a person may do it.
    terminal.request(RevokeToken { name: created.token.name.clone() }).await.unwrap();
    assert!(person.request(ListTokens).await.unwrap().is_empty());
    let again = terminal.request(RevokeToken { name: created.token.name.clone() }).await;
    assert!(is_kind(&again, FailureKind::NotFound));
    let told = watch_from(&person, Some(place)).await.entries;
    let told: Vec<_> = told
        .into_iter()
        .filter_map(|entry| match entry.notice {
            Notice::Token { name, became, scope } => Some((name.to_string(), became, scope.get().clone())),
            _ => None,
        })
        .collect();
    let of = |became| ("laptop".to_owned(), became, "notes/*".to_owned());
    assert_eq!(told, [of(OverrideChange::Made), of(OverrideChange::Ended)]);
    app.shutdown().await;

    let log = audit::read_log(&home.paths().audit(), &RecordFilter::default()).unwrap();
    let acts: Vec<_> = log
        .entries
        .into_iter()
        .filter_map(|entry| match entry.record.event {
            AuditEvent::Act { act, about, done, .. } if act.starts_with("token") => Some((act, about, done)),
            _ => None,
        })
        .collect();
    let made = "token laptop for notes/*, valid for 1h".to_owned();
    let (create, revoke) = ("token create".to_owned(), "token revoke".to_owned());
    assert_eq!(
        acts.iter().filter(|act| **act == (create.clone(), made.clone(), true)).count(),
        1,
        "{acts:?}"
    );
    assert_eq!(
        acts.iter().filter(|act| **act == (create.clone(), made.clone(), false)).count(),
        3,
        "{acts:?}"
    );
    assert!(acts.contains(&(revoke, "token laptop".to_owned(), true)), "{acts:?}");
}

#[tokio::test]
async fn an_agents_session_neither_makes_nor_lists_nor_revokes_a_token() {
    let home = Home::new();
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    person.request(create("laptop", challenge())).await.unwrap();
    let session = home.session("project").await;
    let made = session.client.request(create("mine", challenge())).await;
    assert!(
        matches!(made, Err(ref error) if error.to_string().contains("only a person's terminal")),
        "{made:?}"
    );
    assert!(session.client.request(ListTokens).await.is_err());
    assert!(session.client.request(RevokeToken { name: "laptop".parse().unwrap() }).await.is_err());
    assert_eq!(person.request(ListTokens).await.unwrap().len(), 1);
    app.shutdown().await;
}
