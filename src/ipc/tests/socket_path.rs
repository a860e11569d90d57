//! What else may lie in the socket's place, and who else may hold the locks.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::*;

/// What lies there, as far as it can change.
fn read_seen(path: &Path) -> (fs::FileType, Option<Vec<u8>>) {
    (fs::symlink_metadata(path).expect("it is there").file_type(), fs::read(path).ok())
}

#[tokio::test]
async fn what_is_no_socket_stays_in_the_sockets_place_and_is_named() {
    type Lay = fn(&Path);
    let things: [(&str, Lay); 7] = [
        ("a file", |at| fs::write(at, "somebody's").expect("written")),
        ("an empty file", |at| fs::write(at, "").expect("written")),
        ("a directory", |at| fs::create_dir(at).expect("made")),
        ("a link to a file", |at| {
            fs::write(at.with_extension("file"), "somebody's").expect("written");
            symlink(at.with_extension("file"), at).expect("linked");
        }),
        ("a link to a dead socket", |at| {
            drop(UnixListener::bind(at.with_extension("dead")).expect("bound"));
            symlink(at.with_extension("dead"), at).expect("linked");
        }),
        ("a link to nothing", |at| symlink(at.with_extension("nothing"), at).expect("linked")),
        ("a link to itself", |at| symlink(at, at).expect("linked")),
    ];
    for (what, lay) in things {
        let place = SocketFixture::new();
        lay(&place.socket);
        let before = read_seen(&place.socket);
        let error = place.bind().await.expect_err(what);
        assert!(matches!(error, BindError::Occupied(_)), "{what}: {error:?}");
        assert!(error.to_string().contains(&*place.socket.to_string_lossy()), "{what}: {error}");
        assert!(error.hint().is_some_and(|advice| advice.contains("move it away")), "{what}");
        assert_eq!(read_seen(&place.socket), before, "{what} stays");
        assert!(!place.socket.with_extension("nothing").exists(), "nothing is made behind a link");
    }
}

#[tokio::test]
async fn a_link_to_a_socket_that_somebody_listens_on_is_not_the_daemons_place() {
    let place = SocketFixture::new();
    let elsewhere = place.socket.with_extension("other");
    let _other = UnixListener::bind(&elsewhere).expect("bound");
    symlink(&elsewhere, &place.socket).expect("linked");
    assert!(matches!(place.bind().await, Err(BindError::Occupied(_))));
    assert_eq!(fs::read_link(&place.socket).expect("still a link"), elsewhere);
}

#[tokio::test]
async fn at_its_end_the_listener_removes_only_its_own_socket() {
    for retire in [true, false] {
        let place = SocketFixture::new();
        let first = place.bind().await.expect("bound");
        // Somebody cleared the directory, and another daemon began.
        fs::remove_file(&place.socket).expect("removed");
        let other = DaemonLock::acquire(&place.lock.with_extension("other")).expect("free");
        let second = DaemonListener::bind(&place.socket, other).await.expect("bound");
        if retire {
            drop(first.stop_listening())
        } else {
            drop(first)
        }
        let served = tokio::spawn(async move {
            second.accept().await.expect("accepted").greet_peer("test", sign_welcome).await.map(drop)
        });
        assert!(
            matches!(probe_daemon(&place.socket, session_hello(), None).await, ProbeResult::Ready(_)),
            "the second still serves"
        );
        served.await.expect("joined").expect("greeted");
    }
    let place = SocketFixture::new();
    let listener = place.bind().await.expect("bound");
    fs::remove_file(&place.socket).expect("removed");
    fs::write(&place.socket, "somebody's").expect("written");
    drop(listener);
    assert_eq!(fs::read(&place.socket).expect("there"), b"somebody's");
}

#[test]
fn one_state_has_one_holder_who_is_told_whatever_its_runtime_directory() {
    let place = SocketFixture::new();
    let at = |name: &str| place.lock.with_extension(name);
    let first = DaemonLock::acquire(&at("one"))
        .and_then(|lock| lock.with_state(&at("state"), "/run/\u{1b}one".as_ref()));
    let first = first.expect("free");
    let second = || {
        DaemonLock::acquire(&at("two")).and_then(|lock| lock.with_state(&at("state"), "/run/two".as_ref()))
    };
    let refused = second().expect_err("in use");
    assert!(matches!(refused, BindError::StateInUse(_)), "{refused:?}");
    let told = refused.to_string();
    assert!(told.contains(&format!("process {}", std::process::id())), "{told}");
    assert!(told.contains("/run/") && !told.contains('\u{1b}'), "{told}");
    assert!(refused.hint().is_some_and(|advice| advice.contains("PORTERO_STATE_DIR")));
    drop(first);
    let second = second().expect("free again, and the other runtime directory was let go of too");
    let third =
        DaemonLock::acquire(&at("one")).and_then(|lock| lock.with_state(&at("state"), "/run/one".as_ref()));
    assert!(third.expect_err("in use").to_string().contains("/run/two"), "the last holder is told");
    drop(second);
}
