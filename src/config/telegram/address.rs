//! `telegram.apiUrl`: the address of the Bot API.

use std::net::IpAddr;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use crate::config::document::ConfigDocument;
use crate::config::variables::Variables;

pub(super) fn read_api_url<'a>(
    document: &mut ConfigDocument<'a>,
    value: &Value<'a>,
    variables: &Variables<'_>,
) -> Option<String> {
    let url =
        document.read_expanded_complete(value, "`telegram.apiUrl`", variables)?.text.expose().to_owned();
    if let Some(rest) = url.strip_prefix("http://") {
        if !is_loopback(rest) {
            let message = "`telegram.apiUrl` is not encrypted: the bot's token and what you are asked go to \
                           another machine in plain text";
            let hint = "use https://, or a server on this machine, such as http://localhost:8081";
            document.add_warning(value.start(), message.into(), Some(hint.into()));
        }
    } else if !url.starts_with("https://") {
        let message = "`telegram.apiUrl` must begin with https:// or http://";
        document.add_error(value.start(), message.into(), None);
        return None;
    }
    Some(url)
}

/// Whether the part after `http://` names this machine. An unreadable host doesn't.
fn is_loopback(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    // A name before `@` is a user, not the host: `localhost@example.com` is another machine.
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((host, _)) => host,
        None => host.split_once(':').map_or(host, |(host, _)| host),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|host: IpAddr| host.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_here() {
        for here in
            ["localhost", "LOCALHOST:8081/x", "127.0.0.1:8081", "127.9.9.9", "[::1]:8081/", "a:b@localhost"]
        {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in [
            "",
            "192.168.1.7:8081",
            "example.org",
            "localhost.example.org",
            "127.0.0.1.example.org",
            "localhost@example.org",
            "example.org/localhost",
            "example.org?@localhost",
            "example.org\\@localhost",
            "[::2]",
            "[fe80::1]:80",
            "0.0.0.0:80",
        ] {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }
}
