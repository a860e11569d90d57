//! `portero try`: an agent's session played with the real programs in a throw-away directory, with what the
//! agent saw beside what the server got. Each step is checked; the exit code tells whether all held.

mod agent;
mod scene;
mod story;

use std::io::{IsTerminal as _, Write as _};

use portero::audit;
use portero::ipc::Challenge;
use portero::ipc::requests::approvals::{ApproveTask, GetTask, RejectTask};
use portero::ipc::requests::auth::SetPassphrase;
use portero::names::TaskId;
use serde::Serialize;

use super::sample_server::{REAL_EMAIL, REAL_KEY, REAL_NAME};
use crate::args;
use crate::daemon::Daemon;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::signals::End;
use scene::Scene;
use story::Story;

/// One thing that must hold.
#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    holds: bool,
}

/// Whether the person at the keyboard says yes.
enum Person {
    /// Asked on the terminal.
    AtKeyboard,
    /// Says yes to everything.
    Unattended,
}

pub(super) async fn run(args: args::Try, output: Output) -> Outcome {
    let person = match (args.yes, std::io::stdin().is_terminal()) {
        (true, _) => Person::Unattended,
        (false, true) => Person::AtKeyboard,
        (false, false) => {
            return Err(Failure::usage("`portero try` asks you to approve a call, and stdin is no terminal")
                .hint("run it in a terminal, or run `portero try --yes`"));
        }
    };
    // From before there is anything to clean up. What has begun to start is waited for, so that it can be ended.
    let mut end = End::listen();
    let scene = Scene::set()?;
    let story = Story::new(&output);
    story.opening(&scene)?;
    let (daemon, _tied) = Daemon::tied(&scene.paths).await?;
    let played = tokio::select! {
        biased;
        () = end.told() => Err(Failure::refused("the trial was interrupted")),
        played = play(&story, &scene, &person, &daemon) => played,
    };
    let stopped = daemon.stop(&scene.paths).await;
    let checks = played?;
    stopped?;

    let failed = checks.iter().filter(|check| !check.holds).count();
    output.show(&checks, |_| Ok(()))?;
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::refused(format!("{failed} of {} checks of the trial did not hold", checks.len()))
        .hint("this should never happen; please report it with the output above"))
}

async fn play(story: &Story<'_>, scene: &Scene, person: &Person, daemon: &Daemon) -> Outcome<Vec<Check>> {
    // The person's passphrase in this trial; the agent's side never learns it.
    let passphrase = format!("{}{}", TaskId::fresh(), TaskId::fresh());
    let new = Challenge::new(passphrase.clone());
    daemon.request(SetPassphrase { old: None, new }).await?;

    let mut agent = agent::Agent::connect(&scene.paths, &scene.project()).await?;
    story.lists(&mut agent).await?;
    story.reads(&mut agent, scene).await?;
    let task = story.sends(&mut agent).await?;
    let before = count(scene, "send_mail")?;
    let approved = decide(story, person, daemon, task, passphrase).await?;
    let fetched = story.fetches(&mut agent, scene, task, approved).await?;
    let refused = story.deletes(&mut agent).await?;
    let heard = agent.leave().await?;

    let entries = audit::read(&scene.paths.audit(), &audit::Filter::default())
        .map_err(|error| Failure::refused("could not read the audit").because(&error))?;
    story.audit(&entries.entries)?;
    let chain = audit::verify(&scene.paths.audit())
        .map_err(|error| Failure::refused("could not read the audit").because(&error))?;

    let received = scene.received()?;
    let sent: Vec<_> = received.iter().filter(|call| call.tool == "send_mail").collect();
    let signed = sent.iter().all(|call| {
        let text = call.arguments.to_string();
        text.contains(REAL_NAME) && !text.contains(scene::FAKE_NAME)
    });
    let leaked = [REAL_NAME, REAL_EMAIL, REAL_KEY].iter().any(|real| heard.contains(real));
    let told = received.iter().any(|call| call.answer.contains(REAL_NAME));
    let checks = vec![
        Check { what: "no real value reached the agent", holds: told && !leaked },
        Check { what: "the mail was not sent before you decided", holds: before == 0 },
        Check {
            what: if approved { "exactly one mail was sent" } else { "no mail was sent" },
            holds: sent.len() == usize::from(approved),
        },
        Check { what: "the server got the real name, not the fake one", holds: signed },
        Check { what: "the agent fetched what came of it", holds: fetched },
        Check {
            what: "the delete was refused and never reached the server",
            holds: refused && !received.iter().any(|call| call.tool == "delete_mail"),
        },
        Check { what: "the audit's hash chain holds", holds: chain.holds() && !entries.entries.is_empty() },
    ];
    story.ending(&checks)?;
    Ok(checks)
}

fn count(scene: &Scene, tool: &str) -> Outcome<usize> {
    Ok(scene.received()?.iter().filter(|call| call.tool == tool).count())
}

/// The person decides; the daemon is told the way any terminal tells it.
async fn decide(
    story: &Story<'_>,
    person: &Person,
    daemon: &Daemon,
    task: TaskId,
    passphrase: String,
) -> Outcome<bool> {
    let waiting = daemon.request(GetTask { task }).await?;
    story.waiting(&waiting)?;
    let yes = match person {
        Person::Unattended => {
            story.say("   Run exactly this, once? [y/n] y   (--yes)")?;
            true
        }
        Person::AtKeyboard => asked().await?,
    };
    if yes {
        daemon.request(ApproveTask { task, challenge: Challenge::new(passphrase) }).await?;
    } else {
        daemon.request(RejectTask { task, reason: None, for_now: false }).await?;
    }
    Ok(yes)
}

/// Asks at the keyboard until the answer is yes or no.
async fn asked() -> Outcome<bool> {
    loop {
        let mut out = anstream::stderr().lock();
        write!(out, "   Run exactly this, once? [y/n] ")?;
        out.flush()?;
        drop(out);
        let typed = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map(|read| (read, line))
        });
        let (read, line) = typed
            .await
            .map_err(|error| Failure::refused("could not read your answer").because(&error))?
            .map_err(|error| Failure::refused("could not read your answer").because(&error))?;
        match (read, line.trim().to_ascii_lowercase().as_str()) {
            (0, _) | (_, "n" | "no") => return Ok(false),
            (_, "y" | "yes") => return Ok(true),
            _ => {}
        }
    }
}
