//! Payloads, both ways (RFC 8656 §11, §12.5 to §12.7). Nothing here copies or allocates.

use std::net::SocketAddr;
use std::time::Instant;

use super::state::Server;
use crate::five_tuple::FiveTuple;
use crate::message::{Message, TransactionId, attribute, data_indication_head};
use crate::output::{MAX_DATAGRAM, MAX_HEAD, RelayId, ToClient, ToPeer};
use crate::stats::Refusal;

/// Number and length.
const CHANNEL_HEADER: usize = 4;

impl Server {
    pub(super) fn channel_data(
        &mut self,
        now: Instant,
        from: FiveTuple,
        data: &[u8],
    ) -> Result<ToPeer, Refusal> {
        let &[high, low, length_high, length_low, ref rest @ ..] = data else {
            return Err(Refusal::Malformed);
        };
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        // Up to three bytes of padding may be behind it, also on UDP (§12.5).
        if !(length..=length + 3).contains(&rest.len()) {
            return Err(Refusal::Malformed);
        }
        let allocation = self.table.allocation_of(from);
        let (relay, allocation) = allocation.ok_or(Refusal::NoChannel)?;
        let number = u16::from_be_bytes([high, low]);
        let peer = allocation.peer_of(now, number).ok_or(Refusal::NoChannel)?;
        self.pass_to_peer(
            now,
            relay,
            peer,
            CHANNEL_HEADER..CHANNEL_HEADER + length,
            false,
        )
    }

    pub(super) fn send_indication(
        &mut self,
        now: Instant,
        from: FiveTuple,
        data: &[u8],
        message: &Message<'_>,
    ) -> Result<ToPeer, Refusal> {
        if message.not_understood().next().is_some() {
            return Err(Refusal::UnknownAttribute);
        }
        let peer = message
            .address(attribute::XOR_PEER_ADDRESS)
            .ok_or(Refusal::BadRequest)?;
        let payload = message.get(attribute::DATA).ok_or(Refusal::BadRequest)?;
        let allocation = self.table.allocation_of(from);
        let (relay, allocation) = allocation.ok_or(Refusal::AllocationMismatch)?;
        if !allocation.permits(now, peer.ip()) {
            return Err(Refusal::NoPermission);
        }
        // `payload` is a part of `data`: where it begins there.
        let start = payload.as_ptr().addr() - data.as_ptr().addr();
        let dont_fragment = message.has(attribute::DONT_FRAGMENT);
        self.pass_to_peer(
            now,
            relay,
            peer,
            start..start + payload.len(),
            dont_fragment,
        )
    }

    fn pass_to_peer(
        &mut self,
        now: Instant,
        relay: RelayId,
        peer: SocketAddr,
        payload: std::ops::Range<usize>,
        dont_fragment: bool,
    ) -> Result<ToPeer, Refusal> {
        let allocation = self.table.get(relay).ok_or(Refusal::NoChannel)?;
        let from = allocation.relayed_address().ok_or(Refusal::NoChannel)?;
        let route = self
            .route(peer, allocation.client)
            .ok_or_else(|| self.policy.refusal(peer.ip()))?;
        if payload.len() > MAX_DATAGRAM {
            return Err(Refusal::Oversized);
        }
        let allocation = self.table.get_mut(relay).ok_or(Refusal::NoChannel)?;
        if !allocation.to_peers.take(now, payload.len()) {
            return Err(Refusal::Bitrate);
        }
        self.stats.to_peers.count(payload.len());
        Ok(ToPeer {
            relay,
            from,
            peer,
            route,
            payload,
            dont_fragment,
        })
    }

    /// Takes a datagram that came to a relayed address.
    ///
    /// `peer` is the sender, not an IPv4-mapped address of it.
    pub fn receive_from_peer(
        &mut self,
        now: Instant,
        relay: RelayId,
        peer: SocketAddr,
        data: &[u8],
    ) -> Option<ToClient> {
        let done = self.pass_to_client(now, relay, peer, data.len());
        self.counted(done)
    }

    fn pass_to_client(
        &mut self,
        now: Instant,
        relay: RelayId,
        peer: SocketAddr,
        length: usize,
    ) -> Result<ToClient, Refusal> {
        // A socket may still deliver what came before it was closed.
        let allocation = self.table.get_mut(relay).ok_or(Refusal::NoPermission)?;
        if !allocation.permits(now, peer.ip()) {
            return Err(Refusal::NoPermission);
        }
        let to = allocation.client;
        let stream = to.transport.is_stream();
        let (head, head_length, padded) = match allocation.channel_of(now, peer) {
            Some(number) => {
                let payload = u16::try_from(length).map_err(|_| Refusal::Oversized)?;
                let mut head = [0; MAX_HEAD];
                head[..2].copy_from_slice(&number.to_be_bytes());
                head[2..CHANNEL_HEADER].copy_from_slice(&payload.to_be_bytes());
                (head, CHANNEL_HEADER, stream)
            }
            None => {
                self.indications += 1;
                let transaction = indication(self.indications);
                let (head, head_length) =
                    data_indication_head(transaction, peer, length).ok_or(Refusal::Oversized)?;
                (head, head_length, true)
            }
        };
        let padding = if padded {
            length.next_multiple_of(4) - length
        } else {
            0
        };
        if !stream && head_length + length + padding > MAX_DATAGRAM {
            return Err(Refusal::Oversized);
        }
        if !allocation.to_client.take(now, length) {
            return Err(Refusal::Bitrate);
        }
        self.stats.to_clients.count(length);
        Ok(ToClient {
            to,
            head,
            head_length: head_length as u8,
            padding: padding as u8,
        })
    }
}

/// The transaction of an indication, to which there is no answer that could be forged.
fn indication(number: u64) -> TransactionId {
    let mut transaction = *b"icey\0\0\0\0\0\0\0\0";
    transaction[4..].copy_from_slice(&number.to_be_bytes());
    transaction
}
