//! `portero try`: plays an agent's session with the real programs in a temporary directory. It shows the
//! agent's view beside the server's, and checks each step; the exit code says whether all checks passed.

mod agent;
mod narrator;
pub(super) mod sample_server;
mod trial_directory;

use std::io::{IsTerminal as _, Write as _};

use portero::audit;
use portero::ipc::Challenge;
use portero::ipc::requests::approvals::{ApproveTask, GetTask, RejectTask};
use portero::ipc::requests::auth::SetPassphrase;
use portero::names::TaskId;
use serde::Serialize;

use crate::args;
use crate::daemon::DaemonClient;
use crate::failure::{CommandFailure, CommandResult};
use crate::output::Output;
use crate::signals::TerminationSignals;
use narrator::Narrator;
use sample_server::{REAL_EMAIL, REAL_KEY, REAL_NAME};
use trial_directory::TrialDirectory;

/// A check of the trial.
#[derive(Debug, Serialize)]
struct TrialCheck {
    what: &'static str,
    holds: bool,
}

/// The person of the trial.
enum TrialApprover {
    /// A person at the keyboard.
    AtKeyboard,
    /// Approves everything.
    Unattended,
}

pub(super) async fn run(args: args::TryArgs, output: Output) -> CommandResult {
    let person = match (args.yes, std::io::stdin().is_terminal()) {
        (true, _) => TrialApprover::Unattended,
        (false, true) => TrialApprover::AtKeyboard,
        (false, false) => {
            return Err(CommandFailure::usage(
                "`portero try` asks you to approve a call, and stdin is no terminal",
            )
            .with_hint("run it in a terminal, or run `portero try --yes`"));
        }
    };
    // Signals are handled before there is anything to clean up. A start in progress is completed, so that it
    // can be ended.
    let mut end = TerminationSignals::listen();
    let scene = TrialDirectory::create()?;
    let story = Narrator::new(&output);
    story.tell_opening(&scene)?;
    let (daemon, _tied) = DaemonClient::start_tied_daemon(&scene.paths).await?;
    let played = tokio::select! {
        biased;
        () = end.recv() => Err(CommandFailure::refused("the trial was interrupted")),
        played = play_trial(&story, &scene, &person, &daemon) => played,
    };
    // The daemon is stopped first, so a failed trial leaves no process behind.
    let stopped = daemon.stop(&scene.paths).await;
    let checks = played?;
    stopped?;

    let failed = checks.iter().filter(|check| !check.holds).count();
    output.print_value_or_text(&checks, |_| Ok(()))?;
    if failed == 0 {
        return Ok(());
    }
    Err(CommandFailure::refused(format!("{failed} of {} checks of the trial did not hold", checks.len()))
        .with_hint("this should never happen; please report it with the output above"))
}

async fn play_trial(
    story: &Narrator<'_>,
    scene: &TrialDirectory,
    person: &TrialApprover,
    daemon: &DaemonClient,
) -> CommandResult<Vec<TrialCheck>> {
    // The person's passphrase in this trial; the agent's side never gets it.
    // Two ids make a passphrase that is too random to guess.
    let passphrase = format!("{}{}", TaskId::fresh(), TaskId::fresh());
    let new = Challenge::new(passphrase.clone());
    daemon.request(SetPassphrase { old: None, new }).await?;

    let mut agent = agent::TrialAgent::connect(&scene.paths, &scene.project_directory()).await?;
    story.play_listing(&mut agent).await?;
    story.play_reading(&mut agent, scene).await?;
    let task = story.play_sending(&mut agent).await?;
    let before = count_received(scene, "send_mail")?;
    let approved = decide_task(story, person, daemon, task, passphrase).await?;
    let fetched = story.play_fetching(&mut agent, scene, task, approved).await?;
    let refused = story.play_deleting(&mut agent).await?;
    let heard = agent.close().await?;

    let entries = audit::read_log(&scene.paths.audit(), &audit::RecordFilter::default())
        .map_err(|error| CommandFailure::refused("could not read the audit").caused_by(&error))?;
    story.tell_audit(&entries.entries)?;
    let chain = audit::verify(&scene.paths.audit())
        .map_err(|error| CommandFailure::refused("could not read the audit").caused_by(&error))?;

    let received = scene.received_calls()?;
    let sent: Vec<_> = received.iter().filter(|call| call.tool == "send_mail").collect();
    let signed = sent.iter().all(|call| {
        let text = call.arguments.to_string();
        text.contains(REAL_NAME) && !text.contains(trial_directory::FAKE_NAME)
    });
    let leaked = [REAL_NAME, REAL_EMAIL, REAL_KEY].iter().any(|real| heard.contains(real));
    // A server that never said the name would make the first check pass for nothing.
    let told = received.iter().any(|call| call.answer.contains(REAL_NAME));
    let checks = vec![
        TrialCheck { what: "no real value reached the agent", holds: told && !leaked },
        TrialCheck { what: "the mail was not sent before you decided", holds: before == 0 },
        TrialCheck {
            what: if approved { "exactly one mail was sent" } else { "no mail was sent" },
            holds: sent.len() == usize::from(approved),
        },
        TrialCheck { what: "the server got the real name, not the fake one", holds: signed },
        TrialCheck { what: "the agent fetched the result", holds: fetched },
        TrialCheck {
            what: "the delete was refused and never reached the server",
            holds: refused && !received.iter().any(|call| call.tool == "delete_mail"),
        },
        TrialCheck {
            what: "the audit's hash chain holds",
            holds: chain.is_intact() && !entries.entries.is_empty(),
        },
    ];
    story.tell_ending(&checks)?;
    Ok(checks)
}

fn count_received(scene: &TrialDirectory, tool: &str) -> CommandResult<usize> {
    Ok(scene.received_calls()?.iter().filter(|call| call.tool == tool).count())
}

/// Lets the person decide, and sends the decision as any terminal does.
async fn decide_task(
    story: &Narrator<'_>,
    person: &TrialApprover,
    daemon: &DaemonClient,
    task: TaskId,
    passphrase: String,
) -> CommandResult<bool> {
    let waiting = daemon.request(GetTask { task }).await?;
    story.tell_waiting(&waiting)?;
    let yes = match person {
        TrialApprover::Unattended => {
            story.print_line("   Run exactly this, once? [y/n] y   (--yes)")?;
            true
        }
        TrialApprover::AtKeyboard => ask_at_keyboard().await?,
    };
    if yes {
        daemon.request(ApproveTask { task, fresh: false, challenge: Challenge::new(passphrase) }).await?;
    } else {
        daemon.request(RejectTask { task, reason: None, for_now: false }).await?;
    }
    Ok(yes)
}

/// Asks at the keyboard until the answer is yes or no.
async fn ask_at_keyboard() -> CommandResult<bool> {
    loop {
        let mut out = anstream::stderr().lock();
        write!(out, "   Run exactly this, once? [y/n] ")?;
        out.flush()?;
        drop(out);
        // Reading blocks, so it has its own thread and the signals are still heard.
        let typed = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map(|read| (read, line))
        });
        let (read, line) = typed
            .await
            .map_err(|error| CommandFailure::refused("could not read your answer").caused_by(&error))?
            .map_err(|error| CommandFailure::refused("could not read your answer").caused_by(&error))?;
        match (read, line.trim().to_ascii_lowercase().as_str()) {
            // A closed input is a no, because an approval must be said.
            (0, _) | (_, "n" | "no") => return Ok(false),
            (_, "y" | "yes") => return Ok(true),
            _ => {}
        }
    }
}
