//! The clients of one principal, as `portero status` lists them.
//!
//! A client that asks without a session is remembered for a while, because between two requests nothing of it is
//! open.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use portero::ipc::HttpsClient;
use portero::names::Principal;

/// How many clients without a session are remembered. A client chooses its name itself, so there could be any number.
const MAX_RECENT_CLIENTS: usize = 16;

/// The clients that asked without a session.
#[derive(Debug, Default)]
pub(super) struct RecentClients(Vec<RecentClient>);

/// One of them.
#[derive(Debug)]
pub(super) struct RecentClient {
    pub(super) address: IpAddr,
    /// Its name and version, concealed.
    pub(super) client: String,
    /// When it began to ask.
    pub(super) first: Timestamp,
    last: Timestamp,
}

impl RecentClients {
    /// Notes a request. After a pause of `forget_after` the client begins anew.
    pub(super) fn record(&mut self, address: IpAddr, client: &str, at: Timestamp, forget_after: Duration) {
        let known = self.0.iter_mut().find(|known| known.address == address && known.client == client);
        if let Some(known) = known {
            if !is_within(known.last, at, forget_after) {
                known.first = at;
            }
            known.last = at;
            return;
        }
        if self.0.len() >= MAX_RECENT_CLIENTS
            && let Some(oldest) = (0..self.0.len()).min_by_key(|at| self.0[*at].last)
        {
            self.0.swap_remove(oldest);
        }
        self.0.push(RecentClient { address, client: client.to_owned(), first: at, last: at });
    }

    /// Those whose last request is at most this long ago.
    pub(super) fn since(&self, now: Timestamp, ago: Duration) -> impl Iterator<Item = &RecentClient> {
        self.0.iter().filter(move |known| is_within(known.last, now, ago))
    }
}

/// Whether `later` is at most this long after `earlier`. A clock that was set back counts as no time.
fn is_within(earlier: Timestamp, later: Timestamp, most: Duration) -> bool {
    Duration::try_from(later.duration_since(earlier)).is_ok_and(|passed| passed <= most) || later < earlier
}

/// Clients with the same name at the same address are one entry.
pub(super) struct ClientList<'a> {
    principal: &'a Principal,
    entries: BTreeMap<(IpAddr, String), (usize, Timestamp)>,
}

impl<'a> ClientList<'a> {
    pub(super) const fn new(principal: &'a Principal) -> Self {
        Self { principal, entries: BTreeMap::new() }
    }

    /// Adds a session, or a client that asks without one.
    pub(super) fn add(&mut self, address: IpAddr, client: String, since: Timestamp, is_session: bool) {
        let (sessions, first) = self.entries.entry((address, client)).or_insert((0, since));
        *sessions += usize::from(is_session);
        *first = since.min(*first);
    }

    /// The entries, by address and name.
    pub(super) fn into_vec(self) -> Vec<HttpsClient> {
        let Self { principal, entries } = self;
        let entries = entries.into_iter().map(|((address, client), (sessions, since))| HttpsClient {
            principal: principal.clone(),
            address,
            client,
            sessions,
            since,
        });
        entries.collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;

    const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn at(minute: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + minute.minutes()
    }

    fn names_at(recent: &RecentClients, minute: i64) -> Vec<(&str, Timestamp)> {
        let mut names: Vec<_> =
            recent.since(at(minute), HALF_AN_HOUR).map(|known| (&*known.client, known.first)).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_client_is_remembered_for_a_while_and_begins_anew_after_a_pause() {
        let mut recent = RecentClients::default();
        for minute in [0, 20, 40] {
            recent.record(HERE, "one 1", at(minute), HALF_AN_HOUR);
        }
        recent.record(HERE, "two 2", at(60), HALF_AN_HOUR);
        assert_eq!(names_at(&recent, 65), [("one 1", at(0)), ("two 2", at(60))]);
        assert_eq!(names_at(&recent, 71), [("two 2", at(60))]);
        recent.record(HERE, "one 1", at(71), HALF_AN_HOUR);
        assert_eq!(names_at(&recent, 72), [("one 1", at(71)), ("two 2", at(60))]);
    }

    #[test]
    fn any_number_of_names_takes_no_more_room_and_the_latest_stay() {
        let mut recent = RecentClients::default();
        for minute in 0..100 {
            recent.record(HERE, &format!("client {minute:03}"), at(minute), HALF_AN_HOUR);
        }
        let names = names_at(&recent, 99);
        assert_eq!(names.len(), MAX_RECENT_CLIENTS);
        assert_eq!((names[0].0, names[MAX_RECENT_CLIENTS - 1].0), ("client 084", "client 099"));
    }

    #[test]
    fn sessions_of_one_client_are_one_entry_since_the_first() {
        let principal = Principal::from_remote("token:laptop");
        let mut list = ClientList::new(&principal);
        list.add(HERE, "one 1".to_owned(), at(9), true);
        list.add(HERE, "one 1".to_owned(), at(3), true);
        list.add(HERE, "two 2".to_owned(), at(5), false);
        let entries = list.into_vec();
        let seen: Vec<_> =
            entries.iter().map(|entry| (&*entry.client, entry.sessions, entry.since)).collect();
        assert_eq!(seen, [("one 1", 2, at(3)), ("two 2", 0, at(5))]);
    }
}
