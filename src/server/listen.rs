//! `subscriptions/listen` toward a modern server.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::envelope::MetaMembers;
use super::handshake::HandshakeResult;
use super::rpc_client::RpcClient;
use crate::json::{self, RawObject};
use crate::sync::lock;
use crate::wire::modern;

/// The subscription to a modern server's notifications: one `subscriptions/listen` at a time, replaced when
/// the wanted set changes.
#[derive(Debug, Default)]
pub(super) struct ListenSubscription(Mutex<ListenState>);

#[derive(Debug, Default)]
struct ListenState {
    uris: BTreeSet<String>,
    id: Option<u64>,
}

impl ListenSubscription {
    /// Starts to listen for the server's changes.
    pub(super) fn start_listening(&self, rpc: &RpcClient, handshake: &HandshakeResult) {
        self.relisten_with(rpc, handshake, |_| {});
    }

    /// Listens for updates of one more resource.
    pub(super) fn subscribe_uri(&self, rpc: &RpcClient, handshake: &HandshakeResult, uri: String) {
        self.relisten_with(rpc, handshake, |uris| {
            uris.insert(uri);
        });
    }

    /// Listens for updates of one resource less.
    pub(super) fn unsubscribe_uri(&self, rpc: &RpcClient, handshake: &HandshakeResult, uri: &str) {
        self.relisten_with(rpc, handshake, |uris| {
            uris.remove(uri);
        });
    }

    fn relisten_with(
        &self,
        rpc: &RpcClient,
        handshake: &HandshakeResult,
        change: impl FnOnce(&mut BTreeSet<String>),
    ) {
        // Held over the push, so that of two changes at once the later request holds the union.
        let mut listening = lock(&self.0);
        change(&mut listening.uris);
        let mut filter = handshake.listen_filter();
        filter.resource_subscriptions = listening.uris.iter().cloned().collect();
        let before = listening.id.take();
        if filter != modern::SubscriptionFilter::default() {
            let members = handshake.meta_members(None);
            let filter = json::serialize_raw(&filter);
            let params = json::serialize_raw(&RawObject::default().with_member("notifications", &filter));
            let meta = MetaMembers::of_revision(members.as_deref());
            // Nothing waits for its answer, which comes only when the server stops listening to us.
            listening.id = Some(rpc.send_unanswered(modern::LISTEN_METHOD, &params, meta));
        }
        drop(listening);
        // Only after the new one is open, so that no notification falls between them.
        if let Some(before) = before {
            rpc.cancel_request(before);
        }
    }
}
