//! IP addresses as text, in std, and in the kernel.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use nix::sys::socket::SockaddrStorage;

use crate::error::OpenError;

/// Reads an IP address.
pub fn parse_ip(text: &str) -> Result<IpAddr, OpenError> {
    text.parse()
        .map_err(|_| OpenError::Address(format!("{text:?} is not an IP address")))
}

/// An address without the socket's point of view: a socket for both families names IPv4 peers by
/// IPv4-mapped addresses (RFC 4291 §2.5.5.2).
pub fn canonical(address: SocketAddr) -> SocketAddr {
    (address.ip().to_canonical(), address.port()).into()
}

/// The IPv6 form of an address.
pub fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// Writes an address as the socket's family wants it; `dual`: the socket is for both families.
pub fn to_kernel(address: SocketAddr, dual: bool) -> SockaddrStorage {
    if dual {
        SocketAddr::from((mapped(address.ip()), address.port())).into()
    } else {
        address.into()
    }
}

/// Reads an address that the kernel wrote; `None` if it is not one of IP.
pub fn from_kernel(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddrV4::from(*v4).into());
    }
    let v6 = SocketAddrV6::from(*storage.as_sockaddr_in6()?);
    Some(canonical(v6.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_way_to_the_kernel_and_back() {
        for (text, dual) in [
            ("192.0.2.1:4501", false),
            ("192.0.2.1:4501", true),
            ("[2001:db8::1]:4501", true),
        ] {
            let address: SocketAddr = text.parse().expect("an address");
            assert_eq!(from_kernel(&to_kernel(address, dual)), Some(address));
        }
    }
}
