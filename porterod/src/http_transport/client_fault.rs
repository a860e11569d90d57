//! Why a request found no server, in Portero's own words. The client's own errors hold the whole address, which may
//! hold a key, so they are classified and dropped here.

use std::error::Error as _;
use std::io;

use portero::server::HttpFault;

/// The fault of a request that the client could not send, or whose response did not come.
pub(super) fn from_client(error: &reqwest::Error) -> HttpFault {
    if !error.is_connect() {
        return HttpFault::Failed("the connection broke before its answer".to_owned());
    }
    HttpFault::NotReached(describe_connect_failure(error).to_owned())
}

fn describe_connect_failure(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        return "connecting took too long";
    }
    let mut source = error.source();
    let mut words = "it can't be connected to";
    while let Some(cause) = source {
        let text = cause.to_string();
        if text.contains("dns error") {
            return "its host name was not found";
        }
        if text.contains("certificate") {
            words = "its certificate is not trusted";
        }
        match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => return "the connection was refused",
            Some(io::ErrorKind::ConnectionReset) => return "the connection was reset",
            Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) => {
                return "the network does not reach it";
            }
            _ => {}
        }
        source = cause.source();
    }
    words
}
