//! What a connection may reach: the network, its owner, and the other connections.

use std::net::SocketAddr;

use super::forward::packet::RtpPacket;
use super::ice::checks::CheckPacer;
use super::ice::demux::{AddressPair, Demux};
use crate::event::Event;
use crate::id::{PeerId, TrackId};
use crate::stats::{Counters, PeerStats};

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

/// What a connection may reach while it handles something.
pub struct Context<'a> {
    pub out: &'a mut dyn Outbound,
    pub events: &'a mut Vec<Event>,
    pub demux: &'a mut Demux,
    /// Checks to what never answered.
    pub checks: &'a mut CheckPacer,
    /// Packets that are to be forwarded.
    pub arrivals: &'a mut Vec<RtpPacket>,
    pub counters: &'a Counters,
}

/// What a viewer may reach while it handles something: its owner, and its path.
pub struct Link<'a, 'b> {
    pub peer: PeerId,
    /// Where to send; `None` before that is known.
    pub pair: Option<AddressPair>,
    pub stats: &'a mut PeerStats,
    pub context: &'a mut Context<'b>,
}

impl Link<'_, '_> {
    /// Sends a datagram on the path.
    pub fn send(&mut self, payload: Vec<u8>) {
        let Some((local, remote)) = self.pair else {
            return;
        };
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += payload.len() as u64;
        self.context.out.send(Datagram {
            peer: self.peer,
            local,
            remote,
            payload,
        });
    }

    /// Tells the owner that a keyframe of this track is needed.
    pub fn request_keyframe(&mut self, track: TrackId) {
        self.context.events.push(Event::KeyframeRequested {
            peer: self.peer,
            track,
        });
    }

    /// Counts frames that are not sent because the viewer cannot keep up.
    pub fn drop_frames(&mut self, frames: u64) {
        self.stats.frames_dropped += frames;
        Counters::add(&self.context.counters.frames_dropped, frames);
    }

    /// Tells the owner that the viewer's video is dropped, or goes on.
    pub fn set_congested(&mut self, congested: bool) {
        self.context.events.push(Event::PeerCongested {
            peer: self.peer,
            congested,
        });
    }
}
