//! Allocate and Refresh (RFC 8656 §7, §8).

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use aws_lc_rs::hmac;

use super::rejection::Rejection;
use super::request::Request;
use super::state::{FREED, Server};
use crate::allocation::{Allocation, NewAllocation, Relayed};
use crate::five_tuple::FiveTuple;
use crate::message::{Builder, Class, Message, attribute, canonical, method};
use crate::output::{Family, Output, PortRequest, RelayError, RelayId};
use crate::table::{RESERVATION_LIFETIME, Reservation};

/// What an allocation lasts if nobody says otherwise, and at least, in seconds (§3.2).
pub const DEFAULT_LIFETIME: u32 = 600;
/// What it lasts at most (§7.2).
pub const MAX_LIFETIME: u32 = 3600;
/// UDP, as REQUESTED-TRANSPORT has it.
const UDP: u8 = 17;

/// What kind of relayed address a request asks for.
struct WantedRelay {
    port: PortRequest,
    family: Family,
    /// ADDITIONAL-ADDRESS-FAMILY: there is one address an allocation here.
    second_family: bool,
}

impl Server {
    /// Gives an answer, or nothing: that comes when the relay is open.
    pub(super) fn allocate(&mut self, request: &Request<'_>) -> Result<Option<Builder>, Rejection> {
        let (from, message) = (request.from, request.message);
        if let Some((_, allocation)) = self.table.allocation_of(from) {
            if allocation.transaction != message.transaction() {
                return Err(Rejection::MISMATCH);
            }
            // The same request again: answered alike, or when the first one is.
            return Ok(allocated(allocation));
        }
        let transport = message.get(attribute::REQUESTED_TRANSPORT);
        match transport {
            Some(&[UDP, _, _, _]) => {}
            Some(&[_, _, _, _]) => return Err(Rejection::NO_TRANSPORT),
            _ => return Err(Rejection::BAD_REQUEST),
        }
        let lifetime = lifetime(message)?.max(DEFAULT_LIFETIME);
        let wanted = self.wanted(request)?;
        let reserves = wanted.port == PortRequest::EvenAndReserve;
        if !matches!(wanted.port, PortRequest::Reserved(_)) {
            let places = 1 + usize::from(reserves);
            let quota = self.config.user_quota;
            if quota != 0 && self.table.of_user(request.username) + places > quota {
                return Err(Rejection::QUOTA);
            }
            let quota = self.config.address_quota;
            if quota != 0 && self.table.of_address(from.remote.ip()) + places > quota {
                return Err(Rejection::ADDRESS_QUOTA);
            }
            if self.table.len() + self.table.reservations() + places > self.config.max_allocations {
                return Err(Rejection::CAPACITY);
            }
        }
        let allocation = NewAllocation {
            client: from,
            username: request.username.into(),
            family: wanted.family,
            port: wanted.port,
            key: request.key.clone(),
            integrity: request.integrity,
            transaction: message.transaction(),
            second_family_refused: wanted.second_family,
            lifetime,
            unused_lifetime: self.config.unused_lifetime,
            max_bitrate: self.config.max_bitrate,
        };
        let relay = self.table.insert(Allocation::new(allocation, request.now));
        self.stats.allocations = self.table.len();
        self.outputs.push_back(Output::OpenRelay {
            relay,
            client: from,
            family: wanted.family,
            port: wanted.port,
        });
        Ok(None)
    }

    fn wanted(&mut self, request: &Request<'_>) -> Result<WantedRelay, Rejection> {
        let message = request.message;
        let token = message.get(attribute::RESERVATION_TOKEN);
        let even = message.get(attribute::EVEN_PORT);
        let family = message.get(attribute::REQUESTED_ADDRESS_FAMILY);
        let second = message.get(attribute::ADDITIONAL_ADDRESS_FAMILY);
        let reserve = match even {
            None => false,
            Some(&[flags]) => flags & 0x80 != 0,
            Some(_) => return Err(Rejection::BAD_REQUEST),
        };
        let second_family = match second {
            None => false,
            // "MUST be set to 0x02" (§7.2); nor do a second family and a reserved port go together.
            Some(&[2, _, _, _]) if family.is_none() && !reserve => true,
            Some(_) => return Err(Rejection::BAD_REQUEST),
        };
        if let Some(token) = token {
            let token: [u8; 8] = token.try_into().map_err(|_| Rejection::BAD_REQUEST)?;
            if even.is_some() || family.is_some() || second_family {
                return Err(Rejection::BAD_REQUEST);
            }
            let reservation = self
                .table
                .claim(token, request.username, request.now)
                .ok_or(Rejection::CAPACITY)?;
            self.stats.reservations = self.table.reservations();
            return Ok(WantedRelay {
                port: PortRequest::Reserved(reservation.relay),
                family: reservation.family,
                second_family: false,
            });
        }
        let family = match family {
            None => Family::V4,
            Some(&[number, _, _, _]) => Family::from_number(number).ok_or(Rejection::NO_FAMILY)?,
            Some(_) => return Err(Rejection::BAD_REQUEST),
        };
        let port = match even {
            None => PortRequest::Any,
            Some(_) if reserve => PortRequest::EvenAndReserve,
            Some(_) => PortRequest::Even,
        };
        Ok(WantedRelay {
            port,
            family,
            second_family,
        })
    }

    /// Answers [`Output::OpenRelay`] with the address the socket is bound to.
    ///
    /// It may be a wildcard: then the address of [`Config`](crate::Config) or the one the client reached stands in.
    pub fn relay_opened(
        &mut self,
        now: Instant,
        relay: RelayId,
        bound: Result<SocketAddr, RelayError>,
    ) {
        let Some(allocation) = self.table.get(relay) else {
            // The client has gone in between.
            self.outputs.push_back(Output::CloseRelay { relay });
            self.outputs.push_back(Output::ReleaseReserved { relay });
            return;
        };
        let Relayed::Opening { key, integrity } = &allocation.relayed else {
            return;
        };
        let (key, integrity) = (key.clone(), *integrity);
        let (client, transaction) = (allocation.client, allocation.transaction);
        let reserves = allocation.port == PortRequest::EvenAndReserve;
        let address = bound.and_then(|bound| {
            self.advertised(bound, allocation.family, client.local.ip())
                .ok_or(RelayError::FamilyNotSupported)
        });
        let opened = address.and_then(|address| {
            let is_open = self.table.open(relay, address);
            is_open.then_some(()).ok_or(RelayError::NoPort)
        });
        let answer = match opened {
            Ok(()) => {
                self.stats.allocations_total += 1;
                if reserves {
                    self.reserve(now, relay);
                }
                self.table.get(relay).and_then(allocated)
            }
            Err(error) => {
                let rejection = match error {
                    RelayError::FamilyNotSupported => Rejection::NO_FAMILY,
                    RelayError::NoPort => Rejection::CAPACITY,
                };
                self.stats.refuse(rejection.refusal);
                self.close(relay);
                if reserves {
                    self.outputs.push_back(Output::ReleaseReserved { relay });
                }
                Some(rejection.answer(method::ALLOCATE, transaction))
            }
        };
        if let Some(answer) = answer {
            self.send_signed(client, answer, integrity, &key);
        }
    }

    /// The relayed address as others know it.
    fn advertised(&self, bound: SocketAddr, family: Family, reached: IpAddr) -> Option<SocketAddr> {
        let external = match family {
            Family::V4 => self.config.external_v4.map(IpAddr::V4),
            Family::V6 => self.config.external_v6.map(IpAddr::V6),
        };
        let of_family =
            |ip: IpAddr| Family::of(SocketAddr::new(ip, 0)) == family && !ip.is_unspecified();
        let candidates = [external, Some(bound.ip()), Some(reached.to_canonical())];
        let ip = candidates.into_iter().flatten().find(|ip| of_family(*ip))?;
        Some(SocketAddr::new(ip, bound.port()))
    }

    /// Makes the token for the port next to a relay's.
    fn reserve(&mut self, now: Instant, relay: RelayId) {
        let Some(allocation) = self.table.get_mut(relay) else {
            return;
        };
        let mut context = hmac::Context::with_key(&self.token_key);
        context.update(b"reservation");
        context.update(&relay.as_u64().to_be_bytes());
        context.update(&allocation.transaction);
        let mut token = [0; 8];
        token.copy_from_slice(&context.sign().as_ref()[..8]);
        allocation.reservation = Some(token);
        let reservation = Reservation {
            token,
            relay,
            family: allocation.family,
            username: allocation.username.clone(),
            expires: now + RESERVATION_LIFETIME,
        };
        self.table.reserve(reservation);
        self.stats.reservations = self.table.reservations();
    }

    pub(super) fn refresh(&mut self, request: &Request<'_>) -> Result<Builder, Rejection> {
        let message = request.message;
        let lifetime = lifetime(message)?;
        let answer = |lifetime| request.success().number(attribute::LIFETIME, lifetime);
        let again = (request.from, message.transaction());
        if lifetime == 0 && self.freed.contains(&again) {
            return Ok(answer(0));
        }
        let (relay, allocation) = self.owned(request)?;
        match message.get(attribute::REQUESTED_ADDRESS_FAMILY) {
            None => {}
            Some(&[number, _, _, _]) if Family::from_number(number) == Some(allocation.family) => {}
            Some(&[_, _, _, _]) => return Err(Rejection::PEER_FAMILY),
            Some(_) => return Err(Rejection::BAD_REQUEST),
        }
        if lifetime == 0 {
            self.close(relay);
            if self.freed.len() == FREED {
                self.freed.pop_front();
            }
            self.freed.push_back(again);
            return Ok(answer(0));
        }
        let lifetime = lifetime.max(DEFAULT_LIFETIME);
        self.table.grant(relay, request.now, lifetime);
        Ok(answer(lifetime))
    }

    fn close(&mut self, relay: RelayId) {
        let Some(allocation) = self.table.remove(relay) else {
            return;
        };
        self.outputs.push_back(Output::CloseRelay { relay });
        if let (Relayed::Opening { .. }, PortRequest::Reserved(first)) =
            (&allocation.relayed, allocation.port)
        {
            // Its token is used up, and nobody can ask for that port again.
            self.outputs
                .push_back(Output::ReleaseReserved { relay: first });
        }
        self.stats.allocations = self.table.len();
    }

    /// A TCP or TLS connection is gone, and its allocation with it (RFC 8656 §7).
    pub fn connection_closed(&mut self, _now: Instant, from: FiveTuple) {
        if let Some(relay) = self.table.of_client(from) {
            self.close(relay);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.table.next_end()
    }

    /// Ends what has not been refreshed. Calling it too often does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(relay) = self.table.ended(now) {
            self.close(relay);
        }
        while let Some(lapsed) = self.table.lapsed(now) {
            self.outputs.push_back(Output::ReleaseReserved {
                relay: lapsed.relay,
            });
        }
        self.stats.reservations = self.table.reservations();
    }
}

/// LIFETIME within bounds; 0 stays 0 (§8.2).
fn lifetime(message: &Message<'_>) -> Result<u32, Rejection> {
    if !message.has(attribute::LIFETIME) {
        return Ok(DEFAULT_LIFETIME);
    }
    let asked = message.number(attribute::LIFETIME);
    Ok(asked.ok_or(Rejection::BAD_REQUEST)?.min(MAX_LIFETIME))
}

/// The answer that an open allocation's request had.
fn allocated(allocation: &Allocation) -> Option<Builder> {
    let relayed = allocation.relayed_address()?;
    let mut answer = Builder::new(Class::Success, method::ALLOCATE, allocation.transaction)
        .address(attribute::XOR_RELAYED_ADDRESS, relayed)
        .number(attribute::LIFETIME, allocation.lifetime)
        .address(
            attribute::XOR_MAPPED_ADDRESS,
            canonical(allocation.client.remote),
        );
    if let Some(token) = allocation.reservation {
        answer = answer.attribute(attribute::RESERVATION_TOKEN, &token);
    }
    if allocation.second_family_refused {
        // Family IPv6, code 440 (§18.9).
        let mut value = vec![2, 0, 4, 40];
        value.extend(Rejection::NO_FAMILY.reason.as_bytes());
        answer = answer.attribute(attribute::ADDRESS_ERROR_CODE, &value);
    }
    Some(answer)
}
