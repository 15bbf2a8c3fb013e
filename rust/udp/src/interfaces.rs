//! The addresses of this machine.

use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::address::from_kernel;

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
    let up = getifaddrs()?.filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP));
    let mut addresses: Vec<IpAddr> = up
        .filter_map(|interface| Some(from_kernel(&interface.address?)?.ip()))
        .collect();
    addresses.sort_by_key(|address| (address.is_loopback(), address.is_ipv6()));
    addresses.dedup();
    Ok(addresses)
}

fn is_useful(address: IpAddr, with_ipv6: bool) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => with_ipv6 && !v6.is_unicast_link_local() && !v6.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

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
