//! The HTTPS endpoint: its certificate (`portero https cert`), and how it fares.

use std::time::Duration;

use jiff::Timestamp;
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::{DaemonStatus, HttpsCertificate, HttpsStatus};
use serde_json::json;

use super::CommandContext;
use crate::args::HttpsCommand;
use crate::daemon::DaemonClient;
use crate::failure::{CommandFailure, CommandResult};
use crate::output::{Output, escape_hidden, format_age, format_duration, pluralize};

/// A certificate that ends within this time is told, or within a quarter of its own time if that is shorter.
const CERTIFICATE_WARNING: Duration = Duration::from_secs(14 * 24 * 3600);

pub(super) async fn run(context: &CommandContext, command: HttpsCommand) -> CommandResult {
    match command {
        HttpsCommand::Cert => show_certificate(context).await,
    }
}

/// Shows where the endpoint's certificate is, its fingerprint and its end.
async fn show_certificate(context: &CommandContext) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let status = daemon.request(GetStatus).await?.https;
    let certificate = match status {
        HttpsStatus::Serving { certificate: Some(certificate), .. } => certificate,
        HttpsStatus::Serving { certificate: None, address, .. } => {
            let failure =
                CommandFailure::refused(format!("{address} serves plain HTTP, without a certificate"));
            return Err(failure.with_hint("write \"selfSigned\": true into `https` in portero.json"));
        }
        HttpsStatus::Off => {
            return Err(CommandFailure::refused("no HTTPS endpoint is configured")
                .with_hint("write \"https\": {\"selfSigned\": true} into portero.json"));
        }
        closed @ (HttpsStatus::Closed { .. } | HttpsStatus::Failed { .. }) => {
            let failure = CommandFailure::refused("the HTTPS endpoint isn't open");
            return Err(match find_problem(&closed, Timestamp::now()) {
                Some(HttpsProblem { problem, hint: Some(hint), .. }) => {
                    failure.with_hint(format!("{problem}; {hint}"))
                }
                Some(HttpsProblem { problem, hint: None, .. }) => failure.with_hint(problem),
                None => failure,
            });
        }
    };
    context.output.print_value_or_text(&json!(certificate), |out| {
        let HttpsCertificate { file, sha256, expires, .. } = &certificate;
        out.print_row("file", format_args!("{}", escape_hidden(&file.to_string_lossy())))?;
        out.print_row("sha256", format_args!("{sha256}"))?;
        out.print_row(
            "expires",
            match expires {
                Some(expires) => expires.to_string(),
                None => "not known: it can't be read".to_owned(),
            },
        )
    })?;
    Ok(())
}

/// The line of `portero status`.
pub(super) fn print_https_status(out: &Output, status: &HttpsStatus) -> std::io::Result<()> {
    match status {
        HttpsStatus::Off => out.print_row("https", "off: none is configured")?,
        HttpsStatus::Closed { .. } | HttpsStatus::Failed { .. } => out.print_row("https", "NOT SERVED")?,
        HttpsStatus::Serving { address, certificate: Some(certificate), .. } => {
            let until = certificate
                .expires
                .map(|at| format!(", certificate valid until {}", at.strftime("%Y-%m-%d")));
            out.print_row("https", format_args!("https://{address}{}", until.unwrap_or_default()))?;
        }
        HttpsStatus::Serving { address, certificate: None, .. } => {
            out.print_row("https", format_args!("http://{address}, without encryption"))?;
        }
    }
    match find_problem(status, Timestamp::now()) {
        Some(HttpsProblem { problem, hint, .. }) => {
            out.print_row("", format_args!("{}", escape_hidden(&problem)))?;
            hint.map_or(Ok(()), |hint| out.print_row("", format_args!("{}", escape_hidden(&hint))))
        }
        None => Ok(()),
    }
}

/// The table of the clients over HTTPS; nothing without any.
pub(super) fn print_https_clients(out: &Output, status: &DaemonStatus) -> std::io::Result<()> {
    if status.https_clients.is_empty() {
        return Ok(());
    }
    out.print_line("")?;
    let rows = status.https_clients.iter().map(|client| {
        let principal = client.principal.remote_name().unwrap_or_else(|| client.principal.as_str());
        [
            principal.to_owned(),
            client.address.to_string(),
            client.client.clone(),
            client.sessions.to_string(),
            format_age(client.since),
        ]
    });
    out.print_table(["OVER HTTPS", "ADDRESS", "CLIENT", "SESSIONS", "SINCE"], rows.collect())?;
    match status.https_clients_omitted {
        0 => Ok(()),
        omitted => out.print_line(format_args!("and {}", pluralize(omitted, "other", "others"))),
    }
}

/// What is wrong with the endpoint.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HttpsProblem {
    pub(super) problem: String,
    /// The next step.
    pub(super) hint: Option<String>,
    /// Whether it only will be wrong, unless someone acts.
    pub(super) is_warning: bool,
}

/// The problem of the endpoint; none if it works or none is configured.
fn find_problem(status: &HttpsStatus, now: Timestamp) -> Option<HttpsProblem> {
    match status {
        HttpsStatus::Off => None,
        HttpsStatus::Closed { reason, hint } => {
            Some(HttpsProblem { problem: reason.clone(), hint: Some(hint.clone()), is_warning: false })
        }
        HttpsStatus::Failed { problem, .. } => Some(HttpsProblem {
            problem: problem.clone(),
            hint: Some("it is tried again every few seconds".to_owned()),
            is_warning: false,
        }),
        HttpsStatus::Serving { problem: Some(problem), .. } => Some(HttpsProblem {
            problem: format!("the former certificate is still served: {problem}"),
            hint: None,
            is_warning: false,
        }),
        HttpsStatus::Serving { certificate, .. } => find_certificate_problem(certificate.as_ref()?, now),
    }
}

/// Whether a certificate has ended, or soon will.
fn find_certificate_problem(certificate: &HttpsCertificate, now: Timestamp) -> Option<HttpsProblem> {
    const HINT: &str = "put the next one into the files of `https`, which are read again by themselves; one that \
                        Portero made is made anew when the daemon starts (`portero daemon stop`)";
    let expires = certificate.expires?;
    let hint = Some(HINT.to_owned());
    let Ok(left) = Duration::try_from(expires.duration_since(now)) else {
        let problem =
            format!("its certificate ENDED on {}, and clients refuse it", expires.strftime("%Y-%m-%d"));
        return Some(HttpsProblem { problem, hint, is_warning: false });
    };
    // Some authorities issue certificates for a few days only, and renew them on the last of these.
    let lifetime =
        certificate.issued.and_then(|issued| Duration::try_from(expires.duration_since(issued)).ok());
    let warning = lifetime.map_or(CERTIFICATE_WARNING, |lifetime| CERTIFICATE_WARNING.min(lifetime / 4));
    (left < warning).then(|| HttpsProblem {
        problem: format!("its certificate ends in {}", format_duration(left)),
        hint,
        is_warning: true,
    })
}

/// The problem of a running daemon's endpoint; none if it works or no daemon runs.
pub(super) async fn find_https_problem(context: &CommandContext) -> Option<HttpsProblem> {
    // A missing daemon is not a problem of the endpoint, so it is not started for this.
    let daemon = DaemonClient::connect(&context.paths).await.ok()?;
    let status = daemon.request(GetStatus).await.ok()?;
    find_problem(&status.https, Timestamp::now())
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;

    /// What is said of a certificate with this lifetime that ends in so many hours.
    fn said(lifetime_days: i64, hours_left: i64) -> Option<(String, bool)> {
        let now = Timestamp::UNIX_EPOCH + (400 * 24).hours();
        let expires = now + hours_left.hours();
        let certificate = HttpsCertificate {
            file: "c.pem".into(),
            sha256: String::new(),
            issued: Some(expires - (lifetime_days * 24).hours()),
            expires: Some(expires),
        };
        find_certificate_problem(&certificate, now).map(|found| (found.problem, found.is_warning))
    }

    #[test]
    fn a_certificate_is_told_before_it_ends_and_after() {
        for (lifetime, hours, expected) in [
            (90, 15 * 24, None),
            (90, 13 * 24, Some(("its certificate ends in 13d", true))),
            (6, 2 * 24, None),
            (6, 24, Some(("its certificate ends in 1d", true))),
            (90, -1, Some(("its certificate ENDED on 1971-02-04, and clients refuse it", false))),
        ] {
            let expected = expected.map(|(problem, is_warning)| (problem.to_owned(), is_warning));
            assert_eq!(said(lifetime, hours), expected, "{lifetime} days, {hours} h");
        }
    }
}
