//! A peer's side of an offer/answer exchange.

use std::time::Instant;

use super::context::Context;
use super::ice::candidate;
use super::media::MediaKind;
use super::options::Local;
use super::peer::{Peer, advance};
use super::sdp::offer::{self, Prepared, Wanted};
use super::sdp::{answer, negotiation};
use super::send::stream::Sender;
use crate::error::EngineError;

impl Peer {
    /// Answers an offer, the first one or a later one.
    pub fn accept_offer(
        &mut self,
        now: Instant,
        sdp: &str,
        local: &Local,
        context: &mut Context<'_>,
    ) -> Result<String, EngineError> {
        let is_first = self.rtc.is_none();
        let answer = if self.publisher.is_some() {
            self.answer_sender(now, sdp, local)
        } else {
            self.answer_viewer(now, sdp, local)
        };
        if answer.is_err() && is_first {
            // Nothing is kept of a failed first offer, so that another may follow.
            self.rtc = None;
            self.senders.clear();
        }
        let answer = answer?;
        self.offered.get_or_insert(now);
        if !self.connected {
            self.note_candidates(sdp);
        }
        if let Some(rtc) = self.rtc.as_mut() {
            context
                .routes
                .set_ufrag(self.id, &rtc.direct_api().local_ice_credentials().ufrag);
            for candidate in self.early.drain(..) {
                rtc.add_remote_candidate(candidate);
            }
            advance(rtc, now, &mut self.errors);
        }
        if self.connected {
            self.request_keyframes(context);
        }
        Ok(answer::finish(&answer, &local.additional))
    }

    /// Remembers the candidates of an offer, of which str0m takes those that it can use.
    fn note_candidates(&mut self, sdp: &str) {
        for line in sdp.lines().filter(|line| line.starts_with("a=candidate:")) {
            match candidate::parse(line) {
                Ok(Some(candidate)) => self.attempts.add(&candidate),
                _ if candidate::is_hidden(line) => self.attempts.add_hidden(),
                _ => {}
            }
        }
    }

    fn answer_sender(
        &mut self,
        now: Instant,
        sdp: &str,
        local: &Local,
    ) -> Result<String, EngineError> {
        let Some(publisher) = &mut self.publisher else {
            return Err(EngineError::Closed("peer"));
        };
        let delivery = publisher.delivery();
        let wanted = Wanted {
            sends: false,
            receives: Some(delivery),
        };
        let prepared = offer::prepare(sdp, self.rtc.is_none(), wanted)?;
        let rtc = self
            .rtc
            .get_or_insert_with(|| negotiation::build_receiver(delivery, local, now));
        let answer = negotiation::accept(rtc, &prepared.text)?;
        publisher.handle_negotiated(now, rtc, &prepared, &mut self.stats)?;
        Ok(answer::steer(&answer, publisher.max_bitrate()))
    }

    fn answer_viewer(
        &mut self,
        now: Instant,
        sdp: &str,
        local: &Local,
    ) -> Result<String, EngineError> {
        let wanted = Wanted {
            sends: true,
            receives: None,
        };
        let prepared = offer::prepare(sdp, self.rtc.is_none(), wanted)?;
        let options = &self.options;
        if self.rtc.is_none() {
            let (rtc, keys) = negotiation::build(options, local, now);
            self.rtc = Some(rtc);
            self.keys = keys;
        }
        self.negotiate(&prepared)
    }

    fn negotiate(&mut self, prepared: &Prepared) -> Result<String, EngineError> {
        let Some(rtc) = self.rtc.as_mut() else {
            return Err(EngineError::Closed("peer"));
        };
        // The answer tells the SSRCs of what str0m knows.
        let undeclared = |sender: &&mut Sender| !sender.declared;
        let mut lent = Vec::new();
        for sender in self.senders.iter_mut().filter(undeclared) {
            negotiation::declare(rtc, sender);
            lent.push(sender.ssrc);
        }
        let mut answer = negotiation::accept(rtc, &prepared.text)?;
        let mut renumbered = false;
        let kinds = [MediaKind::Video, MediaKind::Audio];
        for (kind, mid) in kinds.into_iter().zip(prepared.sent) {
            let Some(mid) = mid else { continue };
            if self.senders.iter().any(|sender| sender.mid == mid) {
                continue;
            }
            let (ssrc, rtx) = negotiation::renumber(rtc, mid);
            renumbered = true;
            match negotiation::payload_type(rtc, kind, mid) {
                Some(pt) => {
                    let mut sender = Sender::new(kind, mid, pt, ssrc, rtx);
                    if let Some(track) = self.attached[kind as usize] {
                        sender.attach(track);
                    }
                    self.senders.push(sender);
                }
                None if kind == MediaKind::Video => {
                    return Err(EngineError::offer("codec: browser offers no H.264"));
                }
                None => {}
            }
        }
        if renumbered {
            // The same offer again changes nothing, and the answer now has the SSRCs chosen here.
            answer = negotiation::accept(rtc, &prepared.text)?;
        }
        self.senders.retain(|sender| {
            rtc.media(sender.mid)
                .is_some_and(|media| media.direction().is_sending())
        });
        for sender in &mut self.senders {
            if lent.contains(&sender.ssrc) || !sender.declared {
                rtc.direct_api().remove_stream_tx(sender.ssrc);
                sender.declared = false;
            }
        }
        if let Some(egress) = &mut self.egress {
            let senders = &self.senders;
            egress.retain(|ssrc| senders.iter().any(|sender| *sender.ssrc == ssrc));
        }
        Ok(answer)
    }
}
