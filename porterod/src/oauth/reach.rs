//! Which addresses the URLs of a server's metadata may lead to.
//!
//! A server chooses these URLs, and the daemon asks them from inside the user's network. So what the configuration
//! doesn't name must have a public address, after its name was resolved. A server on this machine may name others
//! here, and one at a private address others at private addresses. The configuration names origins, not hosts: the
//! owner of a name may let it lead inward at any time, and would then reach every port there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::Url;
use reqwest::dns::{Name, Resolve, Resolving};
use url::Origin;

/// Resolves the names of hosts. A test has its own.
pub trait HostLookup: Send + Sync {
    /// The addresses of a host. Their port means nothing.
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// The system's own lookup.
#[derive(Debug, Clone, Copy)]
pub struct SystemLookup;

impl HostLookup for SystemLookup {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) })
    }
}

/// Where an address leads, from the outside to the inside. A later kind is harder to reach from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum AddressKind {
    Public,
    Private,
    Loopback,
    /// Link-local addresses, where clouds keep credentials, and what is no address of one host.
    Reserved,
}

/// What may be asked.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    /// The origins that the configuration names.
    named: Vec<Origin>,
    /// The host of the proxy, which the resolver is asked for too.
    proxy: Option<String>,
    /// The innermost kind of address that others may have.
    innermost: AddressKind,
}

impl Reach {
    /// The reach of a server at this URL. `named` are further hosts that a person wrote down.
    pub(super) fn new<'a>(server: &'a Url, named: impl Iterator<Item = &'a Url>) -> Self {
        let innermost = match literal_kind(server) {
            Some(kind @ (AddressKind::Private | AddressKind::Loopback)) => kind,
            // What a name resolves to is its owner's choice, so it widens nothing.
            Some(AddressKind::Public | AddressKind::Reserved) | None => AddressKind::Public,
        };
        let named = std::iter::once(server).chain(named).map(Url::origin);
        Self { named: named.collect(), proxy: None, innermost }
    }

    /// Lets the proxy of this host be asked, which a person named.
    pub(super) fn set_proxy(&mut self, host: &str) {
        self.proxy = Some(host.to_owned());
    }

    /// Whether the configuration names this origin.
    pub(super) fn is_named(&self, url: &Url) -> bool {
        self.named.contains(&url.origin())
    }

    /// Checks everything about a URL that can be seen before its name is resolved.
    ///
    /// # Errors
    /// In words that follow the URL's origin.
    pub(super) fn check(&self, url: &Url) -> Result<(), &'static str> {
        if url.host_str().is_none() {
            return Err("is no address of a host");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("holds a user or a password");
        }
        let kind = literal_kind(url);
        let is_named = self.is_named(url);
        if !is_named && kind.is_some_and(|kind| kind > self.innermost) {
            return Err("points into this machine's own network");
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if is_named || kind == Some(AddressKind::Loopback) => Ok(()),
            _ => Err("is not encrypted"),
        }
    }

    /// Whether a host of this name may be asked at this address, for an origin that isn't named.
    fn permits(&self, host: &str, address: IpAddr) -> bool {
        self.proxy.as_deref() == Some(host) || kind_of(address) <= self.innermost
    }
}

/// Resolves names, and leaves out what is out of reach.
pub(super) struct ReachingResolver {
    /// None for named origins, which may be anywhere.
    pub(super) reach: Option<Reach>,
    pub(super) lookup: Arc<dyn HostLookup>,
}

/// A name that resolves to addresses out of reach only.
#[derive(Debug, thiserror::Error)]
#[error("its name resolves to an address of this machine's own network")]
pub(super) struct OutOfReach;

impl Resolve for ReachingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, host) = (self.reach.clone(), name.as_str().to_owned());
        let found = self.lookup.lookup(host.clone());
        Box::pin(async move {
            let mut found = found.await?;
            if let Some(reach) = reach {
                found.retain(|address| reach.permits(&host, address.ip()));
            }
            if found.is_empty() {
                return Err(OutOfReach.into());
            }
            Ok(Box::new(found.into_iter()) as _)
        })
    }
}

/// The kind of a host that is written as an address, or that is this machine by its name (RFC 6761, 6.3).
fn literal_kind(url: &Url) -> Option<AddressKind> {
    let host = url.host_str()?;
    let name = host.strip_suffix('.').unwrap_or(host);
    if name == "localhost" || name.ends_with(".localhost") {
        return Some(AddressKind::Loopback);
    }
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    literal.parse().ok().map(kind_of)
}

/// The kind of an address, by the registries of RFC 6890.
fn kind_of(address: IpAddr) -> AddressKind {
    match address {
        IpAddr::V4(address) => kind_of_v4(address),
        IpAddr::V6(address) => kind_of_v6(address),
    }
}

fn kind_of_v4(address: Ipv4Addr) -> AddressKind {
    let [first, second, third, _] = address.octets();
    match (first, second, third) {
        (127, ..) => AddressKind::Loopback,
        (10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => AddressKind::Private,
        (0 | 224..=255, ..)
        | (169, 254, _)
        | (192, 0, 0 | 2)
        | (198, 18 | 19, _)
        | (198, 51, 100)
        | (203, 0, 113) => AddressKind::Reserved,
        _ => AddressKind::Public,
    }
}

fn kind_of_v6(address: Ipv6Addr) -> AddressKind {
    if address.is_loopback() {
        return AddressKind::Loopback;
    }
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        kind_of_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // Addresses that hold one of IPv4: mapped, compatible, translated (RFC 6052), and 6to4.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] | [0x64, 0xff9b, 1, ..] => AddressKind::Private,
        [0xfe80..=0xfebf | 0xff00..=0xffff, ..] | [0x2001, 0 | 0xdb8, ..] | [0x100, 0, 0, 0, ..] => {
            AddressKind::Reserved
        }
        _ => AddressKind::Public,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    fn reach(server: &str) -> Reach {
        Reach::new(&url(server), std::iter::empty())
    }

    #[test]
    fn metadata_of_a_remote_server_never_points_inward() {
        let remote = reach("https://mcp.example.com/mcp");
        for inward in [
            "https://127.0.0.1/",
            "https://localhost/",
            "https://a.localhost./",
            "https://10.1.2.3/",
            "https://192.168.0.1/",
            "https://100.64.0.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://0.0.0.0/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[64:ff9b::a00:1]/",
            "https://[2002:7f00:1::]/",
            "https://[fd00::1]/",
            "https://[fe80::1]/",
            // Other spellings of 127.0.0.1, which the parser of URLs undoes.
            "https://2130706433/",
            "https://0x7f.1/",
        ] {
            assert!(remote.check(&url(inward)).is_err(), "{inward}");
        }
        for outward in ["https://auth.example.com/", "https://8.8.8.8/", "https://[2606:4700::1]/"] {
            assert_eq!(remote.check(&url(outward)), Ok(()), "{outward}");
        }
        assert!(!remote.permits("auth.example.com", IpAddr::from([127, 0, 0, 1])));
        assert!(remote.is_named(&url("https://mcp.example.com/token")), "a person wrote it");
        assert!(!remote.is_named(&url("https://mcp.example.com:8443/token")), "nor another port of its host");
        assert!(!remote.permits("mcp.example.com", IpAddr::from([10, 0, 0, 1])));
    }

    #[test]
    fn a_server_may_name_what_is_no_further_inside_than_itself() {
        let here = reach("http://localhost:3000/mcp");
        for near in ["http://127.0.0.1:1/", "https://10.0.0.1/", "https://example.com/"] {
            assert_eq!(here.check(&url(near)), Ok(()), "{near}");
        }
        assert!(here.check(&url("https://169.254.169.254/")).is_err());
        let private = reach("https://10.0.0.1/mcp");
        assert_eq!(private.check(&url("https://192.168.1.1/")), Ok(()));
        assert!(private.check(&url("https://127.0.0.1/")).is_err());
    }

    #[test]
    fn credentials_go_out_encrypted_or_not_at_all() {
        assert!(reach("https://mcp.example.com").check(&url("http://auth.example.com/")).is_err());
        assert!(reach("https://mcp.example.com").check(&url("ftp://auth.example.com/")).is_err());
        assert!(reach("https://mcp.example.com").check(&url("https://maria@auth.example.com/")).is_err());
    }
}
