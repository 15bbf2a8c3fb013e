//! The thread that receives, and its handle.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures::StreamExt;
use retina::client::PacketItem;
use retina::rtcp::ReceivedCompoundPacket;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::clock::ArrivalClock;
use crate::depacketize::Piece;
use crate::description::Description;
use crate::error::{RtspError, words};
use crate::frame::{Frame, Kind};
use crate::options::Options;
use crate::outlet::{Counters, Ended, Outlet, Sink, Wanted};
use crate::session::{self, Received, Running};
use crate::sync::Synchronizer;

/// How long to wait until the camera has been told that we are going.
const FAREWELL: Duration = Duration::from_millis(300);

/// How long the first datagram may take. A camera that sends from another port than it has told is not
/// heard here, as retina connects its sockets.
const FIRST_DATAGRAM: Duration = Duration::from_secs(2);

/// Packets in a row that may make no sense: some seconds of a stream.
const MAX_DAMAGED: usize = 500;

/// A stream that plays. Dropping it closes it.
pub struct Source {
    description: Description,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    stop: Notify,
    outlet: Outlet,
}

/// What was pulled, and whether more can come.
pub struct Pulled {
    pub frames: Vec<Frame>,
    /// Why the stream ended, once nothing more waits.
    pub ended: Option<String>,
    /// Of one that ended: what came made no sense here, so FFmpeg may fare better.
    pub is_unsupported: bool,
}

impl Source {
    /// Connects and has the stream play. Blocks until then, for `options.open_timeout` at most.
    pub fn open(options: Options) -> Result<Self, RtspError> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let (report, outcome) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("icey-rtsp".into())
            .spawn(move || run(&options, &theirs, &report))
            .map_err(|error| RtspError::Failed(error.to_string()))?;
        // The sender is only dropped unused by a panic.
        let opened = outcome.recv().unwrap_or_else(|_| Err(given_up()));
        Ok(Self {
            description: opened?,
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Hands all frames that come from now on to a sink, after the group of pictures that is kept.
    pub fn forward(&self, sink: Box<dyn Sink>) {
        self.shared.outlet.forward(sink);
    }

    /// Says what is kept for [`Source::pull`]; nothing at first.
    pub fn want(&self, wanted: Wanted) {
        self.shared.outlet.want(wanted);
    }

    /// Takes what waits, at most `max` frames; waits for something up to `patience`.
    pub fn pull(&self, max: usize, patience: Duration) -> Pulled {
        let frames = self.shared.outlet.pull(max, patience);
        let ended = self.shared.outlet.ended().filter(|_| frames.is_empty());
        Pulled {
            frames,
            is_unsupported: ended.as_ref().is_some_and(|ended| ended.is_unsupported),
            ended: ended.map(|ended| ended.reason.unwrap_or_else(|| "it was closed".into())),
        }
    }

    /// The newest group of pictures, from its keyframe on; empty if there is none, or it is too large.
    pub fn group(&self) -> Vec<Frame> {
        self.shared.outlet.group()
    }

    pub fn counters(&self) -> Counters {
        self.shared.outlet.counters()
    }

    /// Ends the stream. Closing twice is harmless.
    pub fn close(&self) {
        self.shared.stop.notify_one();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let _ = thread.join(); // a panic has been reported, and the stream is ended either way
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.close();
    }
}

fn given_up() -> RtspError {
    RtspError::Unsupported("the RTSP client gave up on what the camera sent".into())
}

/// Ends the stream when the thread ends, by a panic too.
struct LastWords<'a>(&'a Outlet);

impl Drop for LastWords<'_> {
    fn drop(&mut self) {
        self.0.end(Ended {
            reason: Some(given_up().to_string()),
            is_unsupported: true,
        });
    }
}

fn run(
    options: &Options,
    shared: &Shared,
    report: &mpsc::SyncSender<Result<Description, RtspError>>,
) {
    let _last_words = LastWords(&shared.outlet);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = report.send(Err(RtspError::Failed(error.to_string()))); // see below
            return;
        }
    };
    runtime.block_on(async {
        let late = || Err(RtspError::Failed("no answer in time".into()));
        let opened = timeout(options.open_timeout, session::open(options)).await;
        match opened.unwrap_or_else(|_| late()) {
            Ok(running) => {
                // Whoever waits for it is gone only with the process.
                let _ = report.send(Ok(running.description.clone()));
                let group = Arc::clone(&running.group);
                let ended = receive(running, options.silence, shared).await;
                shared.outlet.end(ended);
                let _ = timeout(FAREWELL, group.await_teardown()).await; // it was worth a try
            }
            Err(error) => {
                let _ = report.send(Err(error));
            }
        }
    });
    runtime.shutdown_background(); // do not wait for a look-up that hangs
}

/// Receives until the stream ends, or is to end.
async fn receive(running: Running, silence: Duration, shared: &Shared) -> Ended {
    let Running {
        mut session,
        streams,
        description,
        ..
    } = running;
    let mut is_deaf = description.is_udp;
    let mut receiver = Receiver::new(streams);
    let lost = |reason: String| Ended {
        reason: Some(reason),
        is_unsupported: false,
    };
    loop {
        let patience = if is_deaf {
            silence.min(FIRST_DATAGRAM)
        } else {
            silence
        };
        let next = tokio::select! {
            biased;
            () = shared.stop.notified() => return Ended { reason: None, is_unsupported: false },
            next = timeout(patience, session.next()) => next,
        };
        is_deaf &= !matches!(next, Ok(Some(Ok(_))));
        match next {
            Ok(Some(Ok(PacketItem::Rtp(packet)))) => {
                let stream = packet.stream_id();
                if !receiver.take(stream, packet, &shared.outlet) {
                    return Ended {
                        reason: Some("only damaged packets come".into()),
                        is_unsupported: true,
                    };
                }
            }
            Ok(Some(Ok(PacketItem::Rtcp(packet)))) => receiver.note_report(&packet),
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(error))) => {
                let text = error.to_string();
                let is_network = ["Error reading", "Error writing", "Error receiving"];
                return Ended {
                    reason: Some(words(&error)),
                    is_unsupported: !is_network.iter().any(|start| text.starts_with(start)),
                };
            }
            Ok(None) => return lost("the camera closed the connection".into()),
            Err(_) if is_deaf => {
                return Ended {
                    reason: Some("no datagram came".into()),
                    is_unsupported: true,
                };
            }
            Err(_) => return lost(format!("nothing came for {} s", silence.as_secs_f32())),
        }
    }
}

/// Makes frames of packets.
struct Receiver {
    streams: Vec<Option<Stream>>,
    synchronizer: Synchronizer,
    /// Where arrival is counted from.
    origin: Instant,
    pieces: Vec<Piece>,
}

struct Stream {
    received: Received,
    clock: ArrivalClock,
    report: Option<(u64, i64)>,
    /// The latest place of sound.
    last: Option<i64>,
}

impl Receiver {
    fn new(streams: Vec<Option<Received>>) -> Self {
        let stream = |received| Stream {
            received,
            clock: ArrivalClock::default(),
            report: None,
            last: None,
        };
        Self {
            synchronizer: Synchronizer::new(streams.len()),
            streams: streams.into_iter().map(|s| s.map(stream)).collect(),
            origin: Instant::now(),
            pieces: Vec::new(),
        }
    }

    /// Takes a packet; `false` if nothing but damage comes.
    fn take(&mut self, index: usize, packet: retina::rtp::ReceivedPacket, outlet: &Outlet) -> bool {
        let Some(stream) = self.streams.get_mut(index).and_then(Option::as_mut) else {
            return true;
        };
        stream.received.depacketizer.push(packet, &mut self.pieces);
        for piece in self.pieces.drain(..) {
            outlet.offer(stream.place(piece, self.origin, index, &mut self.synchronizer));
        }
        stream.received.depacketizer.damaged() < MAX_DAMAGED
    }

    fn note_report(&mut self, packet: &ReceivedCompoundPacket) {
        let index = packet.stream_id();
        let stream = self.streams.get_mut(index);
        let first = packet.pkts().next();
        let (Some(Some(stream)), Some(first)) = (stream, first) else {
            return;
        };
        if let (Ok(Some(report)), Some(timestamp)) =
            (first.as_sender_report(), packet.rtp_timestamp())
        {
            let ntp = u128::from(report.ntp_timestamp().0);
            let ns = (ntp * 1_000_000_000) >> 32;
            stream.report = Some((ns as u64, timestamp.timestamp()));
            let source = stream.source(timestamp.timestamp());
            let arrival = since(packet.ctx().received(), self.origin);
            self.synchronizer
                .note_report(index, ns as i64, source, arrival);
        }
    }
}

/// The arrival of something, in ns.
fn since(at: Instant, origin: Instant) -> i64 {
    at.saturating_duration_since(origin).as_nanos() as i64
}

impl Stream {
    /// An RTP time in ns.
    fn source(&self, timestamp: i64) -> i64 {
        let clock_rate = i128::from(self.received.clock_rate.max(1));
        (i128::from(timestamp) * 1_000_000_000 / clock_rate) as i64
    }

    fn place(
        &mut self,
        piece: Piece,
        origin: Instant,
        index: usize,
        synchronizer: &mut Synchronizer,
    ) -> Frame {
        let clock_rate = self.received.clock_rate.max(1);
        let source = self.source(piece.timestamp);
        let arrival = since(piece.arrived, origin);
        let by_arrival = self.clock.place(source, arrival);
        let is_video = self.received.kind == Kind::Video;
        let delay = by_arrival.saturating_sub(source);
        let mut placed =
            by_arrival.saturating_add(synchronizer.shift(index, source, delay, arrival, is_video));
        if !is_video {
            placed = placed.max(self.last.unwrap_or(placed));
            self.last = Some(placed);
        }
        let ns = Duration::from_nanos(placed.unsigned_abs());
        let moment = if placed < 0 {
            origin.checked_sub(ns)
        } else {
            origin.checked_add(ns)
        };
        Frame {
            kind: self.received.kind,
            data: piece.data,
            timestamp: piece.timestamp,
            clock_rate,
            arrived: piece.arrived,
            placed: moment.unwrap_or(piece.arrived),
            report: self.report,
            keyframe: self.received.kind == Kind::Audio || piece.keyframe,
            after_loss: piece.after_loss,
        }
    }
}
