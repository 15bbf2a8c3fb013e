//! The addresses of this machine.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How many addresses are advertised at most: each one costs a check per remote candidate.
const MAX_ADDRESSES: usize = 16;

/// Every address of every interface that is up, loopback last: what a socket bound to the
/// unspecified address is reached at. IPv6 only on request, and without link-local ones, which
/// mean nothing without an interface.
pub fn local_addresses(with_ipv6: bool) -> io::Result<Vec<IpAddr>> {
    let mut addresses = all_addresses()?;
    addresses.retain(|address| is_useful(*address, with_ipv6));
    addresses.truncate(MAX_ADDRESSES);
    Ok(addresses)
}

/// Every address of every interface that is up, loopback last.
pub fn all_addresses() -> io::Result<Vec<IpAddr>> {
    let mut list = std::ptr::null_mut();
    // SAFETY: `list` is a valid out-pointer; it is freed below.
    if unsafe { libc::getifaddrs(&mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    let mut entry = list;
    while !entry.is_null() {
        // SAFETY: `entry` is a node of the list that getifaddrs made, alive until freeifaddrs.
        let node = unsafe { &*entry };
        let up = node.ifa_flags & libc::IFF_UP as libc::c_uint != 0;
        if up && !node.ifa_addr.is_null() {
            // SAFETY: the address family says which structure `ifa_addr` points to.
            let address = unsafe { address_of(node.ifa_addr) };
            addresses.extend(address);
        }
        entry = node.ifa_next;
    }
    // SAFETY: `list` came from getifaddrs and is not used after this.
    unsafe { libc::freeifaddrs(list) };
    addresses.sort_by_key(|address| (address.is_loopback(), address.is_ipv6()));
    addresses.dedup();
    Ok(addresses)
}

/// # Safety
///
/// `address` points to a socket address of the size that its family has.
unsafe fn address_of(address: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: as the caller promises.
    unsafe {
        match i32::from((*address).sa_family) {
            libc::AF_INET => {
                let v4 = &*address.cast::<libc::sockaddr_in>();
                Some(Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes()).into())
            }
            libc::AF_INET6 => {
                let v6 = &*address.cast::<libc::sockaddr_in6>();
                Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
            }
            _ => None,
        }
    }
}

fn is_useful(address: IpAddr, with_ipv6: bool) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => with_ipv6 && !v6.is_unicast_link_local() && !v6.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_there_and_comes_last() {
        let addresses = local_addresses(false).expect("a list");
        assert_eq!(
            addresses.iter().find(|a| a.is_loopback()),
            Some(&Ipv4Addr::LOCALHOST.into())
        );
        assert!(addresses.last().is_some_and(IpAddr::is_loopback));
        assert!(addresses.iter().all(IpAddr::is_ipv4));
    }
}
