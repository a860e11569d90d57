//! How many connections are open, in all and of each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use portero::config::HttpsLimits;
use portero::sync::lock;

/// The open connections.
#[derive(Debug, Default)]
pub(super) struct ConnectionLimits {
    open: Mutex<OpenConnections>,
}

#[derive(Debug, Default)]
struct OpenConnections {
    total: u32,
    by_client: HashMap<IpAddr, u32>,
}

/// One open connection; it counts until this is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    limits: Arc<ConnectionLimits>,
    client: IpAddr,
}

impl ConnectionLimits {
    /// Counts one more connection; none if there are too many.
    pub(super) fn open(self: &Arc<Self>, address: IpAddr, limits: &HttpsLimits) -> Option<ConnectionPermit> {
        let client = client_of(address);
        let mut open = lock(&self.open);
        let of_client = open.by_client.get(&client).copied().unwrap_or(0);
        if open.total >= limits.max_connections || of_client >= limits.max_connections_of_address {
            return None;
        }
        open.total += 1;
        open.by_client.insert(client, of_client + 1);
        Some(ConnectionPermit { limits: Arc::clone(self), client })
    }

    /// How many are open.
    pub(super) fn count(&self) -> u32 {
        lock(&self.open).total
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = lock(&self.limits.open);
        open.total -= 1;
        match open.by_client.get_mut(&self.client) {
            Some(of_client) if *of_client > 1 => *of_client -= 1,
            _ => {
                open.by_client.remove(&self.client);
            }
        }
    }
}

/// The address by which a client is counted. One client may have a whole /64 of IPv6.
pub(super) fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_share_and_a_closed_connection_makes_room() {
        let limits =
            HttpsLimits { max_connections: 3, max_connections_of_address: 2, ..HttpsLimits::default() };
        let connections = Arc::<ConnectionLimits>::default();
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let open = |text: &str| connections.open(address(text), &limits);
        let first = open("2001:db8::1").expect("room");
        let _second = open("2001:db8::2").expect("room");
        assert!(open("2001:db8::3").is_none(), "the same /64");
        let _other = open("192.0.2.1").expect("room");
        assert!(open("192.0.2.2").is_none(), "all are taken");
        drop(first);
        assert_eq!(connections.count(), 2);
        assert!(open("2001:db8::3").is_some());
        drop(_second);
        assert_eq!(lock(&connections.open).by_client.len(), 1);
    }
}
