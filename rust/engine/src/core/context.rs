//! What a peer may reach while it is being driven: the network, its owner, and the other peers.

use std::net::SocketAddr;

use super::forward::packet::RtpPacket;
use super::ice::demux::Routes;
use crate::event::Event;
use crate::id::PeerId;
use crate::stats::Counters;

/// A datagram to be sent.
#[derive(Debug)]
pub struct Datagram {
    pub peer: PeerId,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub payload: Vec<u8>,
}

/// Where datagrams go.
pub trait Outbound {
    /// Sends a datagram, or queues it, or drops and counts it. Never blocks.
    fn send(&mut self, datagram: Datagram);
}

/// What a peer may reach while it is being driven.
pub struct Context<'a> {
    pub out: &'a mut dyn Outbound,
    pub events: &'a mut Vec<Event>,
    pub routes: &'a mut Routes,
    /// Packets that are to be forwarded.
    pub arrivals: &'a mut Vec<RtpPacket>,
    pub counters: &'a Counters,
}
