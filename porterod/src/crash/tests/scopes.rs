//! A daemon that is killed between the approval of a call and the grant that was confirmed with it.

use portero::approval_scope::{ApprovalScope, ScopeDuration};
use portero::ipc::requests::approvals::{ApproveWith, PreviewScope};

use super::*;

#[tokio::test]
async fn killed_between_an_approval_and_its_grant_the_call_runs_once_at_most_and_nothing_is_granted() {
    let point = "approved with";
    let home = Home::new();
    let mut daemon = home.start_daemon(Some(point));
    let (person, session) = (home.connect(PeerRole::Terminal).await, home.session().await);
    person.request(SetPassphrase { old: None, new: challenge() }).await.unwrap();
    let task = session.request(submit_request()).await.unwrap();
    let scope = ApprovalScope::Tool { lasts: ScopeDuration::Millis(60_000) };
    let preview = person.request(PreviewScope { task: task.id, scope }).await.unwrap();
    let permit = preview.offer.permit.unwrap();
    let yes = ApproveWith { task: task.id, fresh: false, permit, challenge: challenge() };
    assert!(person.request(yes.clone()).await.is_err(), "the terminal does not know");
    assert!(daemon.was_killed(), "{point} was not reached");

    let _daemon = home.start_daemon(None);
    let person = home.connect(PeerRole::Terminal).await;
    let rest = wait_until_at_rest(&person).await.unwrap();
    assert!(rest.state.is_final(), "{rest:?}");
    let again = person.request(ApproveWith { challenge: challenge(), ..yes }).await;
    assert!(again.is_err(), "it is decided: {again:?}");
    assert!(home.count_runs() <= 1, "{}", home.count_runs());
    let standing = person.request(GetOverrides).await.unwrap();
    assert!(standing.grants.is_empty(), "{standing:?}");
    check_audit(point, &home, &person).await;
}
