//! Payloads pass, both ways, on every transport.

mod world;

use std::time::Duration;

use icey_turn::client::ClientEvent;
use icey_turn::{PeerRoute, Transport};
use world::{PEER, World, address, client, config};

/// A client sends to a peer and is answered, first by indications, then on a channel.
#[test]
fn a_payload_and_its_answer() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        let mut world = World::new(config());
        let from = client(transport, "5.5.5.5:1000");
        let (mut turn, relayed) = world.allocated(from);
        assert_eq!(relayed, address("8.8.8.8:50001"));
        let peer = address(PEER);
        turn.create_permission(world.now, peer);
        assert_eq!(
            world.talk(from, &mut turn),
            [ClientEvent::PermissionCreated { peer }]
        );
        for channel in [false, true] {
            if channel {
                turn.bind_channel(world.now, peer);
                let bound = ClientEvent::ChannelBound {
                    channel: 0x4000,
                    peer,
                };
                assert_eq!(world.talk(from, &mut turn), [bound]);
            }
            for payload in [&b""[..], b"1", b"22", b"333", b"4444"] {
                turn.send(peer, payload);
                let sent = turn.poll_transmit().expect("a payload");
                let to_peer = world.receive(from, &sent).expect("it passes");
                assert_eq!(&sent[to_peer.payload.clone()], payload);
                assert_eq!((to_peer.peer, to_peer.from), (peer, relayed));
                assert_eq!(to_peer.route, PeerRoute::Network);
                let relay = to_peer.relay;
                let to_client = world
                    .server
                    .receive_from_peer(world.now, relay, peer, payload)
                    .expect("it passes back");
                assert_eq!(to_client.to, from);
                let answer = [to_client.head(), payload, to_client.padding()].concat();
                assert_eq!(answer[0] == 0x40, channel);
                turn.receive(world.now, &answer);
                let payload = payload.to_vec();
                assert_eq!(
                    turn.poll_event(),
                    Some(ClientEvent::Received { peer, payload })
                );
            }
        }
        turn.refresh(world.now, Duration::ZERO);
        world.talk(from, &mut turn);
        assert!(world.relays.is_empty());
        let stats = world.server.stats();
        assert_eq!((stats.to_peers.packets, stats.to_peers.bytes), (10, 20));
        assert_eq!((stats.to_clients.packets, stats.to_clients.bytes), (10, 20));
    }
}
