//! CreatePermission and ChannelBind (RFC 8656 §10, §12).

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use super::rejection::Rejection;
use super::request::Request;
use super::state::Server;
use crate::allocation::{ChannelError, Full};
use crate::five_tuple::FiveTuple;
use crate::message::{Builder, attribute};
use crate::output::Family;

/// The numbers a channel can have (§12).
const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x4FFF;

impl Server {
    pub(super) fn create_permission(
        &mut self,
        request: &Request<'_>,
    ) -> Result<Builder, Rejection> {
        let family = self.owned(request)?.1.family;
        let mut peers: HashSet<IpAddr> = HashSet::new();
        let values = request
            .message
            .attributes()
            .filter(|(kind, _)| *kind == attribute::XOR_PEER_ADDRESS);
        for (_, value) in values {
            let peer = request
                .message
                .unmask(value)
                .ok_or(Rejection::BAD_REQUEST)?;
            if Family::of(peer) != family {
                return Err(Rejection::PEER_FAMILY);
            }
            if !self.permits(peer, request.from) {
                return Err(Rejection::forbidden(self.policy.refusal(peer.ip())));
            }
            peers.insert(peer.ip());
        }
        if peers.is_empty() {
            return Err(Rejection::BAD_REQUEST);
        }
        let (relay, allocation) = self.owned(request)?;
        allocation
            .permit(request.now, &peers)
            .map_err(|Full| Rejection::CAPACITY)?;
        self.table.handle_used(relay, request.now);
        Ok(request.success())
    }

    pub(super) fn channel_bind(&mut self, request: &Request<'_>) -> Result<Builder, Rejection> {
        let family = self.owned(request)?.1.family;
        let number = match request.message.get(attribute::CHANNEL_NUMBER) {
            Some(&[high, low, _, _]) => u16::from_be_bytes([high, low]),
            _ => return Err(Rejection::BAD_REQUEST),
        };
        let peer = request
            .message
            .address(attribute::XOR_PEER_ADDRESS)
            .ok_or(Rejection::BAD_REQUEST)?;
        if !CHANNELS.contains(&number) || peer.port() == 0 {
            return Err(Rejection::BAD_REQUEST);
        }
        if Family::of(peer) != family {
            return Err(Rejection::PEER_FAMILY);
        }
        if self.route(peer, request.from).is_none() {
            return Err(Rejection::forbidden(self.policy.refusal(peer.ip())));
        }
        let (relay, allocation) = self.owned(request)?;
        allocation
            .bind(request.now, number, peer)
            .map_err(|error| match error {
                ChannelError::Taken => Rejection::BAD_REQUEST,
                ChannelError::Full => Rejection::CAPACITY,
            })?;
        self.table.handle_used(relay, request.now);
        Ok(request.success())
    }

    /// Whether a client may have a permission for a peer.
    ///
    /// A permission is for an address. Where only some ports of it are open, the port that clients send along decides
    /// nevertheless, if there is one: so they learn at once what would be dropped in silence later.
    fn permits(&self, peer: SocketAddr, from: FiveTuple) -> bool {
        if peer.port() != 0 {
            return self.route(peer, from).is_some();
        }
        let has_relays = |ip| self.table.has_relays_on(ip);
        self.policy.permits(peer.ip(), from.remote.ip(), has_relays)
    }
}
