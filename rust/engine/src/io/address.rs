//! Socket addresses between std and the kernel.

use std::mem;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Writes an address as the socket's family wants it; its length in bytes.
///
/// A socket for both families names IPv4 peers by IPv4-mapped addresses (RFC 4291 §2.5.5.2).
pub fn write(
    address: SocketAddr,
    dual: bool,
    into: &mut libc::sockaddr_storage,
) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) if !dual => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(v4.ip().octets()),
                },
                sin_zero: [0; 8],
            };
            // SAFETY: sockaddr_storage is large enough and aligned for every socket address.
            unsafe { *std::ptr::from_mut(into).cast() = raw };
            mem::size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        _ => {
            let ip = mapped(address.ip());
            // SAFETY: all-zero bytes are a valid sockaddr_in6.
            let mut raw: libc::sockaddr_in6 = unsafe { mem::zeroed() };
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = address.port().to_be();
            raw.sin6_addr.s6_addr = ip.octets();
            // SAFETY: as above.
            unsafe { *std::ptr::from_mut(into).cast() = raw };
            mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

/// Reads an address that the kernel wrote.
pub fn read(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that it is a sockaddr_in.
            let raw = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in>() };
            let ip = raw.sin_addr.s_addr.to_ne_bytes();
            Some((ip, u16::from_be(raw.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that it is a sockaddr_in6.
            let raw = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr).to_canonical();
            Some((ip, u16::from_be(raw.sin6_port)).into())
        }
        _ => None,
    }
}

/// The IPv6 form of an address.
pub fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
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
            // SAFETY: all-zero bytes are a valid sockaddr_storage.
            let mut storage = unsafe { mem::zeroed() };
            write(address, dual, &mut storage);
            assert_eq!(read(&storage), Some(address), "{text}");
        }
    }
}
