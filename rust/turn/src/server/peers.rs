//! CreatePermission and ChannelBind (RFC 8656 §10, §12).

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::authentication::Sender;
use super::state::{Rejection, Server};
use crate::allocation::{ChannelError, Full};
use crate::five_tuple::FiveTuple;
use crate::message::{Builder, Class, Message, attribute, method};
use crate::output::Family;
use crate::output::Route;

/// The numbers a channel can have (§12).
const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x4FFF;

impl Server {
    pub(super) fn create_permission(
        &mut self,
        now: Instant,
        from: FiveTuple,
        message: &Message<'_>,
        sender: &Sender<'_>,
    ) -> Result<Option<Builder>, Rejection> {
        let family = self.owned(from, sender)?.1.family;
        let mut peers: HashSet<IpAddr> = HashSet::new();
        let values = message
            .attributes()
            .filter(|(kind, _)| *kind == attribute::XOR_PEER_ADDRESS);
        for (_, value) in values {
            let peer = message.unmask(value).ok_or(Rejection::BAD_REQUEST)?;
            if Family::of(peer) != family {
                return Err(Rejection::PEER_FAMILY);
            }
            if !self.permits(peer, from) {
                return Err(Rejection::FORBIDDEN);
            }
            peers.insert(peer.ip());
        }
        if peers.is_empty() {
            return Err(Rejection::BAD_REQUEST);
        }
        let (_, allocation) = self.owned(from, sender)?;
        allocation
            .permit(now, &peers)
            .map_err(|Full| Rejection::CAPACITY)?;
        let transaction = message.transaction();
        Ok(Some(Builder::new(
            Class::Success,
            method::CREATE_PERMISSION,
            transaction,
        )))
    }

    pub(super) fn channel_bind(
        &mut self,
        now: Instant,
        from: FiveTuple,
        message: &Message<'_>,
        sender: &Sender<'_>,
    ) -> Result<Option<Builder>, Rejection> {
        let family = self.owned(from, sender)?.1.family;
        let number = match message.get(attribute::CHANNEL_NUMBER) {
            Some(&[high, low, _, _]) => u16::from_be_bytes([high, low]),
            _ => return Err(Rejection::BAD_REQUEST),
        };
        let peer = message
            .address(attribute::XOR_PEER_ADDRESS)
            .ok_or(Rejection::BAD_REQUEST)?;
        if !CHANNELS.contains(&number) || peer.port() == 0 {
            return Err(Rejection::BAD_REQUEST);
        }
        if Family::of(peer) != family {
            return Err(Rejection::PEER_FAMILY);
        }
        if self.route(peer, from).is_none() {
            return Err(Rejection::FORBIDDEN);
        }
        let (_, allocation) = self.owned(from, sender)?;
        allocation
            .bind(now, number, peer)
            .map_err(|error| match error {
                ChannelError::Taken => Rejection::BAD_REQUEST,
                ChannelError::Full => Rejection::CAPACITY,
            })?;
        let transaction = message.transaction();
        Ok(Some(Builder::new(
            Class::Success,
            method::CHANNEL_BIND,
            transaction,
        )))
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

    /// How a peer is reached, if it may be.
    pub(super) fn route(&self, peer: SocketAddr, from: FiveTuple) -> Option<Route> {
        let relay_at = |address| self.table.at(address);
        self.policy.route(peer, from.remote.ip(), relay_at)
    }
}
