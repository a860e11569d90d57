//! `portero again ID`. It permits nothing: the new task waits for a person as any other. What a person said no to a
//! moment ago asks them again only with what shows that they want it: whoever else asks would wear them out.

use portero::ipc::{Failure, FailureKind, Reply};
use portero::names::TaskId;

use super::challenge::{Confirming, confirm};
use super::{failure, shown, submit};
use crate::approval::AGAIN;
use crate::daemon::Daemon;

pub(super) async fn answer(
    daemon: &Daemon,
    by: &str,
    task: TaskId,
    confirming: Option<Confirming>,
) -> Result<Reply, Failure> {
    let ended = daemon.desk.task(task, None).map_err(|error| failure::of_desk(&error))?;
    let call = submit::conceal(daemon, ended.call.clone())?;
    let cools = daemon.desk.cools(&ended, &call).map_err(|refusal| failure::of_refusal(&refusal))?;
    let proof = match (cools, confirming) {
        (None, _) => None,
        (Some(_), Some(confirming)) => Some(confirm(daemon, by, confirming, AGAIN).await?),
        (Some(until), None) => {
            let until = until.strftime("%Y-%m-%d %H:%M:%SZ");
            let words =
                format!("you said no to exactly this call: until {until} it does not ask again by itself");
            return Err(Failure::new(FailureKind::Challenge, words)
                .with_hint("`portero again` on a terminal asks for the passphrase; else wait"));
        }
    };
    let asked = daemon.desk.again(&ended, call, by, proof.as_ref()).await;
    asked
        .map(|task| Reply::Task(Box::new(shown::task(daemon, task))))
        .map_err(|refusal| failure::of_refusal(&refusal))
}
