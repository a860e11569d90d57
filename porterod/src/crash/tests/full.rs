//! A daemon that may write so much to each of its files and no more, as on a full disk: the system itself
//! refuses. At every limit it either does not start and says why, or keeps the promises (guarantee D2).

use portero::ipc::requests::approvals::{ApproveTask, ListTasks};
use portero::ipc::requests::auth::SetPassphrase;
use portero::ipc::requests::daemon::StopDaemon;
use portero::ipc::requests::overrides::{CreateRule, GetOverrides};
use portero::ipc::requests::sessions::SubmitCall;
use std::collections::BTreeMap;

use portero::policy::Action;

use super::*;

/// Ignores the signal that comes with the refusal, sets the limit in units of 512 bytes, and is the program.
const LIMITED_SHELL: &str = r#"trap "" XFSZ; ulimit -f "$0"; exec "$@""#;
/// How many calls a run asks for.
const CALL_COUNT: usize = 8;

impl Home {
    /// A daemon whose files may be this long.
    pub(super) fn start_limited(&self, kilobytes: usize) -> Daemon {
        let mut command = Command::new("sh");
        command
            .args(["-c", LIMITED_SHELL, &(kilobytes * 2).to_string()])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "crash::tests::daemon", "--nocapture", "-q"])
            .env(ROLE, self.0.path())
            .env_remove(CRASH_POINT_VARIABLE)
            .env_remove(CHANNEL)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Daemon(command.spawn().unwrap())
    }

    /// A terminal's connection; none when the daemon ended before it listened.
    pub(super) async fn connect_or_exit(&self, daemon: &mut Daemon) -> Option<IpcClient> {
        let since = Instant::now();
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            build: "test".to_owned(),
            config: self.path_of("config"),
            peer: PeerRole::Terminal,
            nonce: portero::store_identity::Nonce::default(),
        };
        loop {
            match IpcClient::connect(&paths(self.0.path()).socket(), hello.clone(), None).await {
                Ok((client, ..)) => return Some(client),
                Err(error) => assert!(since.elapsed() < TEST_TIMEOUT, "it neither listens nor ends: {error}"),
            }
            if daemon.0.try_wait().unwrap().is_some() {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How often each text reached the server.
    fn count_by_text(&self) -> BTreeMap<String, usize> {
        let mut texts = BTreeMap::new();
        for line in std::fs::read_to_string(self.path_of("record")).unwrap_or_default().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = line["params"]["arguments"]["text"].as_str().unwrap().to_owned();
            *texts.entry(text).or_default() += 1;
        }
        texts
    }
}

fn submit_request(text: &str) -> SubmitCall {
    let call = json!({
        "tool": "notes/send",
        "method": "tools/call",
        "params": {"name": "send", "arguments": {"text": text}},
    });
    SubmitCall {
        call: serde_json::from_str(&call.to_string()).unwrap(),
        client: serde_json::from_value(Value::from("claude 1")).unwrap(),
        child: None,
    }
}

async fn tasks(person: &IpcClient) -> Vec<Task> {
    match person.request(ListTasks { state: None, after: None, limit: 100 }).await {
        Ok(tasks) => tasks,
        other => panic!("{other:?}"),
    }
}

async fn denies(person: &IpcClient) -> usize {
    match person.request(GetOverrides).await {
        Ok(standing) => standing.rules.len(),
        other => panic!("{other:?}"),
    }
}

/// What was said to be done.
#[derive(Default)]
struct ConfirmedActs {
    asked: usize,
    approved: usize,
    denied: bool,
}

async fn make_calls(home: &Home, person: &IpcClient) -> ConfirmedActs {
    let session = home.session().await;
    let mut said = ConfirmedActs::default();
    for number in 0..CALL_COUNT {
        if number == CALL_COUNT / 2 {
            let pattern = "notes/erase".parse().unwrap();
            let deny = CreateRule { pattern, action: Action::Deny, run_waiting: Vec::new(), challenge: None };
            said.denied = person.request(deny).await.is_ok();
            assert_eq!(denies(person).await, 1, "a deny is in force whether or not it could be kept");
        }
        let Ok(task) = session.request(submit_request(&format!("call {number}"))).await else { continue };
        said.asked += 1;
        let yes = person.request(ApproveTask { task: task.id, fresh: false, challenge: challenge() }).await;
        said.approved += usize::from(yes.is_ok());
    }
    said
}

#[tokio::test]
async fn at_whatever_length_its_files_end_the_daemon_does_nothing_without_a_record_and_denies() {
    let (mut failed, mut worked, mut refused) = (0, 0, 0);
    for kilobytes in [1, 8, 24].into_iter().chain((32..=320).step_by(32)).chain([2048, 4096]) {
        let how = format!("{kilobytes} KiB");
        let home = Home::new();
        let mut first = home.start_daemon(None);
        let person = home.connect(PeerRole::Terminal).await;
        person.request(SetPassphrase { old: None, new: challenge() }).await.unwrap();
        person.request(StopDaemon).await.unwrap();
        assert!(first.wait_for_exit().success());

        let mut daemon = home.start_limited(kilobytes);
        let said = match home.connect_or_exit(&mut daemon).await {
            None => {
                refused += 1;
                ConfirmedActs::default()
            }
            Some(person) => make_calls(&home, &person).await,
        };
        if said.approved < CALL_COUNT {
            failed += 1
        } else {
            worked += 1
        }
        // Calls may still be made: what ran by now was recorded before.
        let ran = home.count_runs();
        assert!(home.count_intents() >= ran, "{how}: no call without its record");
        drop(daemon);

        let _again = home.start_daemon(None);
        let person = home.connect(PeerRole::Terminal).await;
        wait_until_at_rest(&person).await;
        assert!(!said.denied || denies(&person).await == 1, "{how}: what was said to be denied is");
        assert!(tasks(&person).await.len() >= said.asked, "{how}: what has an id is there");
        let texts = home.count_by_text();
        assert!(texts.values().all(|times| *times == 1), "{how}: {texts:?}");
        assert!(texts.len() <= said.approved, "{how}: {texts:?}");
        check_audit(&how, &home, &person).await;
    }
    assert!(failed > 5 && worked > 1 && refused > 0, "{failed} failed, {worked} worked, {refused} refused");
}

async fn wait_until_at_rest(person: &IpcClient) {
    let since = Instant::now();
    let moves = |task: &Task| matches!(task.state, TaskState::Approved | TaskState::Executing);
    while tasks(person).await.iter().any(moves) {
        assert!(since.elapsed() < TEST_TIMEOUT, "the tasks do not come to rest");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
