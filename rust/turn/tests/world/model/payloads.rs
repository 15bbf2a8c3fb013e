//! Payloads pass where the model has a permission or a channel, and nowhere else.

use std::net::SocketAddr;

use icey_turn::RelayId;
use icey_turn::message::{Builder, Class, Message, attribute, method};

use super::Model;

impl Model {
    pub(super) fn send(&mut self, client: usize, peer: SocketAddr, open: bool, length: u8) {
        let payload = vec![7; length.into()];
        let transaction = self.transaction();
        let data = Builder::new(Class::Indication, method::SEND, transaction)
            .attribute(attribute::DATA, &payload)
            .address(attribute::XOR_PEER_ADDRESS, peer)
            .finish();
        let passed = self.world.receive(self.clients[client], &data);
        let now = self.world.now;
        let permitted = self.allocations.get(&client).is_some_and(|allocation| {
            allocation
                .permissions
                .get(&peer.ip())
                .is_some_and(|expires| *expires > now)
        });
        assert_eq!(passed.is_some(), permitted && open, "Send to {peer}");
        if let Some(to_peer) = passed {
            assert_eq!((to_peer.peer, &data[to_peer.payload]), (peer, &payload[..]));
        }
    }

    pub(super) fn channel_data(&mut self, client: usize, channel: u16, length: u8) {
        let head = [&channel.to_be_bytes()[..], &[0, length]].concat();
        let data = [&head[..], &vec![7; length.into()]].concat();
        let passed = self.world.receive(self.clients[client], &data);
        let now = self.world.now;
        let bound = self.allocations.get(&client).and_then(|allocation| {
            let (peer, expires) = allocation.channels.get(&channel)?;
            (*expires > now).then_some(*peer)
        });
        assert_eq!(
            passed.as_ref().map(|to_peer| to_peer.peer),
            bound,
            "ChannelData"
        );
        if let Some(to_peer) = passed {
            assert_eq!(to_peer.payload, 4..4 + usize::from(length));
        }
    }

    pub(super) fn peer_sends(&mut self, relay: u8, peer: SocketAddr, length: u8) {
        let mut relays: Vec<RelayId> = self.world.relays.keys().copied().collect();
        relays.sort_unstable();
        let Some(relay) = relays
            .get(usize::from(relay) % relays.len().max(1))
            .copied()
        else {
            return;
        };
        let payload = vec![7; length.into()];
        let passed = self
            .world
            .server
            .receive_from_peer(self.world.now, relay, peer, &payload);
        let Some(to_client) = passed else {
            return;
        };
        let client = self
            .clients
            .iter()
            .position(|client| *client == to_client.to);
        let now = self.world.now;
        let allocation = client
            .and_then(|client| self.allocations.get(&client))
            .expect("an allocation");
        assert!(
            allocation
                .permissions
                .get(&peer.ip())
                .is_some_and(|expires| *expires > now)
        );
        let channel = allocation
            .channels
            .iter()
            .find(|(_, (bound, expires))| *bound == peer && *expires > now);
        let whole = [to_client.head(), &payload, to_client.padding()].concat();
        match channel {
            Some((number, _)) => assert_eq!(whole[..2], number.to_be_bytes()),
            None => {
                let message = Message::parse(&whole).expect("a Data indication");
                assert_eq!(message.get(attribute::DATA), Some(&payload[..]));
                assert_eq!(message.address(attribute::XOR_PEER_ADDRESS), Some(peer));
            }
        }
    }
}
