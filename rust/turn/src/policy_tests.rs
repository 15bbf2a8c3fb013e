use super::*;

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn policy(allow_local_relay: bool) -> Policy {
    Policy::new(&Config {
        allow_local_relay,
        own_addresses: vec![ip("10.0.0.5"), ip("8.8.8.8"), ip("2a00::5")],
        own_media: vec![address("10.0.0.5:4501"), address("127.0.0.1:4501")],
        external_v4: Some([7, 7, 7, 7].into()),
        refused_ports: vec![4500, 3478],
        ..Config::default()
    })
}

fn route(allow_local_relay: bool, peer: &str, client: &str) -> Option<PeerRoute> {
    let relay = RelayId::new(1, 1);
    policy(allow_local_relay).route(address(peer), ip(client), |address_| {
        (address_ == address("7.7.7.7:50000")).then_some(relay)
    })
}

const OUTSIDE: &str = "5.5.5.5";

/// Without a setting there is no peer on the internet, and this server can be reached all the same.
#[test]
fn the_internet_has_a_switch() {
    let closed = Policy::new(&Config {
        allow_internet_relay: false,
        own_addresses: vec![ip("10.0.0.5"), ip("8.8.8.8")],
        own_media: vec![address("10.0.0.5:4501"), address("8.8.8.8:4501")],
        ..Config::default()
    });
    let relay = RelayId::new(1, 1);
    let route = |peer: &str| {
        closed.route(address(peer), ip(OUTSIDE), |relayed| {
            (relayed == address("8.8.8.8:50000")).then_some(relay)
        })
    };
    assert_eq!(route("9.9.9.9:9"), None);
    assert_eq!(route("[2a00::9]:9"), None);
    assert!(!closed.permits(ip("9.9.9.9"), ip(OUTSIDE), |_| false));
    assert_eq!(closed.refusal(ip("9.9.9.9")), Refusal::InternetForbidden);
    assert_eq!(closed.refusal(ip("10.9.9.9")), Refusal::PeerForbidden);
    for media in ["8.8.8.8:4501", "10.0.0.5:4501"] {
        assert_eq!(route(media), Some(PeerRoute::OwnMedia));
    }
    assert_eq!(route("8.8.8.8:50000"), Some(PeerRoute::OwnRelay(relay)));
    assert!(closed.permits(ip("8.8.8.8"), ip(OUTSIDE), |_| false));
}

/// The internet is open where that is set.
#[test]
fn public_addresses_are_peers() {
    for peer in [
        "9.9.9.9:1",
        "172.32.0.1:9",
        "100.128.0.1:9",
        "192.1.0.1:9",
        "223.255.255.255:9",
        "[2a00:1450::1]:9",
    ] {
        for allow in [false, true] {
            assert_eq!(
                route(allow, peer, OUTSIDE),
                Some(PeerRoute::Network),
                "{peer}"
            );
        }
    }
}

/// Private networks are closed until they are opened.
#[test]
fn private_addresses_have_a_switch() {
    for peer in [
        "10.1.2.3:9",
        "172.16.0.1:9",
        "172.31.255.255:9",
        "192.168.1.1:9",
        "100.64.0.1:9",
        "100.127.255.255:9",
        "198.18.0.1:9",
        "192.0.2.1:9",
        "203.0.113.9:9",
        "[fc00::1]:9",
        "[fd12:3456::1]:9",
        "[2001:db8::1]:9",
        "[3fff::1]:9",
    ] {
        assert_eq!(route(false, peer, OUTSIDE), None, "{peer}");
        assert_eq!(
            route(true, peer, OUTSIDE),
            Some(PeerRoute::Network),
            "{peer}"
        );
    }
}

/// What is no host of a network, and what disguises an IPv4 address, is closed whatever is switched.
#[test]
fn special_addresses_are_never_peers() {
    for peer in [
        "0.0.0.0:9",
        "0.1.2.3:9",
        "169.254.169.254:80",
        "192.0.0.1:9",
        "192.88.99.1:9",
        "224.0.0.1:9",
        "239.255.255.250:1900",
        "240.0.0.1:9",
        "255.255.255.255:9",
        "[::]:9",
        "[::127.0.0.1]:9",
        "[::8.8.4.4]:9",
        "[::ffff:127.0.0.1]:9",
        "[::ffff:9.9.9.9]:9",
        "[64:ff9b::7f00:1]:9",
        "[64:ff9b:1::7f00:1]:9",
        "[100::1]:9",
        "[2001::1]:9",
        "[2001:20::1]:9",
        "[2002:7f00:1::1]:9",
        "[fe80::1]:9",
        "[fec0::1]:9",
        "[ff02::1]:9",
        "[4000::1]:9",
        "9.9.9.9:0",
    ] {
        for allow in [false, true] {
            assert_eq!(route(allow, peer, "127.0.0.1"), None, "{peer}");
        }
    }
}

/// The loopback is for clients that are on it, where local peers are allowed.
#[test]
fn the_loopback_is_for_those_on_it() {
    for peer in ["127.0.0.1:9", "127.9.9.9:9", "[::1]:9"] {
        assert_eq!(route(false, peer, "127.0.0.1"), None, "{peer}");
        assert_eq!(route(true, peer, OUTSIDE), None, "{peer}");
        for client in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(
                route(true, peer, client),
                Some(PeerRoute::Network),
                "{peer}"
            );
        }
    }
}

/// Of the machine itself media and relayed addresses are peers, control ports never.
#[test]
fn own_ports_are_chosen() {
    for allow in [false, true] {
        assert_eq!(
            route(allow, "10.0.0.5:4501", OUTSIDE),
            Some(PeerRoute::OwnMedia)
        );
        assert_eq!(
            route(allow, "127.0.0.1:4501", OUTSIDE),
            Some(PeerRoute::OwnMedia)
        );
        let relay = Some(PeerRoute::OwnRelay(RelayId::new(1, 1)));
        assert_eq!(route(allow, "7.7.7.7:50000", OUTSIDE), relay);
        for peer in [
            "10.0.0.5:4500",
            "8.8.8.8:4500",
            "7.7.7.7:3478",
            "127.0.0.1:4500",
            "[::1]:4500",
            "[2a00::5]:3478",
        ] {
            assert_eq!(route(allow, peer, "127.0.0.1"), None, "{peer}");
        }
        for peer in ["8.8.8.8:22", "7.7.7.7:50001", "[2a00::5]:22", "10.0.0.5:22"] {
            assert_eq!(route(allow, peer, OUTSIDE).is_some(), allow, "{peer}");
        }
    }
    assert_eq!(
        route(true, "10.0.0.6:4500", OUTSIDE),
        Some(PeerRoute::Network)
    );
}

/// A permission for an address alone is given where some port of it is a peer.
#[test]
fn permissions_without_a_port() {
    let permits =
        |allow, peer: &str, relays| policy(allow).permits(ip(peer), ip(OUTSIDE), |_| relays);
    assert!(permits(false, "9.9.9.9", false));
    assert!(permits(false, "10.0.0.5", false), "its media");
    assert!(permits(false, "127.0.0.1", false), "its media");
    assert!(!permits(false, "127.0.0.2", false));
    assert!(!permits(false, "8.8.8.8", false));
    assert!(permits(false, "8.8.8.8", true), "its relayed addresses");
    assert!(permits(true, "8.8.8.8", false));
    assert!(!permits(false, "10.0.0.6", false));
    assert!(permits(true, "10.0.0.6", false));
    assert!(!permits(true, "169.254.169.254", false));
}
