//! A live RTSP stream, frame by frame.

use std::sync::Weak;
use std::time::Duration;

use icey_engine::{EngineError, MonotonicClock};
use icey_rtsp::{Frame, Kind, Options, Sink, Source, Transport, Wanted};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error;
use crate::track::Track;

/// Sound goes on by the times of its source while these are at most so far behind those of arrival, in
/// units of Opus' clock: 40 ms.
const TOLERANCE: i64 = 1920;

/// And at most so far ahead: 600 ms, as sound is placed up to 500 ms earlier once sender reports tell
/// that it comes late. Going back would have viewers throw away as much of it.
const LEAD: i64 = 28_800;

/// Pictures are this far apart at least, ns.
const STEP_NS: u64 = 1_000_000;

#[pyclass(frozen, get_all, module = "icey._core")]
pub struct RtspFrame {
    kind: &'static str,
    data: Py<PyBytes>,
    timestamp: i64,
    clock_rate: u32,
    arrived_ns: u64,
    placed_ns: u64,
    report: Option<(u64, i64)>,
    keyframe: bool,
    after_loss: bool,
}

#[pymethods]
impl RtspFrame {
    fn __repr__(&self, py: Python<'_>) -> String {
        format!(
            "RtspFrame(kind={:?}, {} bytes, timestamp={}, keyframe={:?}, after_loss={:?})",
            self.kind,
            self.data.bind(py).as_bytes().len(),
            self.timestamp,
            self.keyframe,
            self.after_loss
        )
    }
}

fn to_python(py: Python<'_>, frames: Vec<Frame>) -> Vec<RtspFrame> {
    let clock = MonotonicClock::now();
    let convert = |frame: Frame| RtspFrame {
        kind: match frame.kind {
            Kind::Video => "video",
            Kind::Audio => "audio",
        },
        data: PyBytes::new(py, &frame.data).unbind(),
        timestamp: frame.timestamp,
        clock_rate: frame.clock_rate,
        arrived_ns: clock.ns_of(frame.arrived),
        placed_ns: clock.ns_of(frame.placed),
        report: frame.report,
        keyframe: frame.keyframe,
        after_loss: frame.after_loss,
    };
    frames.into_iter().map(convert).collect()
}

#[pyclass(frozen, module = "icey._core")]
pub struct RtspSource(Source);

#[pymethods]
impl RtspSource {
    #[new]
    #[pyo3(signature = (
        *, url, user="", password="", transport="auto", open_timeout_s=5.0, silence_s=5.0
    ))]
    fn new(
        py: Python<'_>,
        url: &str,
        user: &str,
        password: &str,
        transport: &str,
        open_timeout_s: f64,
        silence_s: f64,
    ) -> PyResult<Self> {
        let transport = match transport {
            "auto" => Transport::Auto,
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            other => {
                return Err(PyValueError::new_err(format!(
                    "transport {other:?}: auto, tcp or udp"
                )));
            }
        };
        let options = Options {
            url: url.to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
            transport,
            open_timeout: seconds("open_timeout_s", open_timeout_s)?,
            silence: seconds("silence_s", silence_s)?,
        };
        py.detach(|| Source::open(options))
            .map(Self)
            .map_err(|failure| error::rtsp_to_python(py, &failure))
    }

    #[getter]
    fn video_codec(&self) -> &'static str {
        let video = self.0.description().video.as_ref();
        video.map_or("", |video| video.codec)
    }

    #[getter]
    fn frame_rate(&self) -> Option<(u32, u32)> {
        self.0.description().video.as_ref()?.frame_rate
    }

    #[getter]
    fn audio_codec(&self) -> &'static str {
        let audio = self.0.description().audio.as_ref();
        audio.map_or("", |audio| audio.codec)
    }

    #[getter]
    fn sample_rate(&self) -> u32 {
        let audio = self.0.description().audio.as_ref();
        audio.map_or(0, |audio| audio.sample_rate)
    }

    #[getter]
    fn channels(&self) -> u16 {
        let audio = self.0.description().audio.as_ref();
        audio.map_or(0, |audio| audio.channels)
    }

    #[getter]
    fn audio_extra_data(&self, py: Python<'_>) -> Py<PyBytes> {
        let audio = self.0.description().audio.as_ref();
        PyBytes::new(py, audio.map_or(&[], |audio| &audio.extra_data)).unbind()
    }

    #[getter]
    fn left_out(&self) -> Option<&str> {
        self.0.description().left_out.as_deref()
    }

    #[getter]
    fn udp(&self) -> bool {
        self.0.description().is_udp
    }

    #[pyo3(signature = (*, video, audio))]
    fn want(&self, py: Python<'_>, video: bool, audio: bool) {
        py.detach(|| self.0.want(Wanted { video, audio }));
    }

    #[pyo3(signature = (max_frames=64, patience_s=0.0))]
    fn pull(&self, py: Python<'_>, max_frames: usize, patience_s: f64) -> PyResult<Vec<RtspFrame>> {
        let patience = seconds("patience_s", patience_s)?;
        let pulled = py.detach(|| self.0.pull(max_frames, patience));
        match pulled.ended {
            None => Ok(to_python(py, pulled.frames)),
            Some(reason) => Err(error::rtsp_ended(py, &reason, pulled.is_unsupported)),
        }
    }

    #[pyo3(signature = (video, audio, epoch_ns))]
    fn forward(
        &self,
        py: Python<'_>,
        video: Option<&Track>,
        audio: Option<&Track>,
        epoch_ns: u64,
    ) -> PyResult<()> {
        let audio = audio.filter(|_| self.audio_codec() == "opus");
        let sink = TrackSink {
            video: video.map(Track::downgrade),
            audio: audio.map(Track::downgrade),
            epoch_ns,
            last_picture_ns: None,
            last_sound: None,
        };
        py.detach(|| self.0.forward(Box::new(sink)));
        Ok(())
    }

    fn group(&self, py: Python<'_>) -> Vec<Py<PyBytes>> {
        let frames = py.detach(|| self.0.group());
        let bytes = frames.iter().map(|f| PyBytes::new(py, &f.data).unbind());
        bytes.collect()
    }

    #[getter]
    fn frames(&self) -> u64 {
        self.0.counters().frames
    }

    #[getter]
    fn dropped(&self) -> u64 {
        self.0.counters().dropped
    }

    #[getter]
    fn incomplete(&self) -> u64 {
        self.0.counters().incomplete
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

fn seconds(name: &str, value: f64) -> PyResult<Duration> {
    if (0.0..=3600.0).contains(&value) {
        Ok(Duration::from_secs_f64(value))
    } else {
        Err(PyValueError::new_err(format!("{name}: 0 to 3600")))
    }
}

/// Hands frames to tracks of the engine, on the media time of a pipeline: ns since its epoch.
struct TrackSink {
    video: Option<Weak<icey_engine::Track>>,
    audio: Option<Weak<icey_engine::Track>>,
    epoch_ns: u64,
    last_picture_ns: Option<u64>,
    /// The timestamps of the last sound: the source's, and ours.
    last_sound: Option<(i64, i64)>,
}

impl TrackSink {
    /// When a picture is due, ns on CLOCK_MONOTONIC; grows from picture to picture.
    fn picture_ns(&mut self, frame: &Frame, clock: MonotonicClock) -> u64 {
        let least = self.last_picture_ns.map_or(0, |last| last + STEP_NS);
        let at = clock.ns_of(frame.placed).max(least);
        self.last_picture_ns = Some(at);
        at
    }

    fn media_time(&self, at_ns: u64, clock_rate: i128) -> i64 {
        let media_ns = i128::from(at_ns) - i128::from(self.epoch_ns);
        ((media_ns * clock_rate + 500_000_000).div_euclid(1_000_000_000)) as i64
    }

    fn push_picture(&mut self, frame: &Frame, clock: MonotonicClock) -> bool {
        let Some(track) = &self.video else {
            return true;
        };
        let Some(track) = track.upgrade() else {
            return false;
        };
        let at = self.picture_ns(frame, clock);
        let timestamp = self.media_time(at, 90_000);
        goes_on(track.push(&frame.data, timestamp, at, frame.keyframe))
    }

    fn push_sound(&mut self, frame: &Frame, clock: MonotonicClock) -> bool {
        let Some(track) = &self.audio else {
            return true;
        };
        let Some(track) = track.upgrade() else {
            return false;
        };
        let at = clock.ns_of(frame.placed);
        let placed = self.media_time(at, 48_000);
        let timestamp = match self.last_sound {
            Some((source, ours)) => {
                let next = ours + (frame.timestamp - source);
                let is_sane = next > ours && (-TOLERANCE..LEAD).contains(&(next - placed));
                if is_sane { next } else { placed.max(ours + 1) }
            }
            None => placed,
        };
        self.last_sound = Some((frame.timestamp, timestamp));
        // Viewers place sound beside pictures by this, and go on by the timestamps.
        goes_on(track.push(&frame.data, timestamp, at, true))
    }
}

/// Whether a track takes more; a frame that it does not take is left out.
fn goes_on(result: Result<(), EngineError>) -> bool {
    !matches!(result, Err(EngineError::Closed(_)))
}

impl Sink for TrackSink {
    fn begin(&mut self, group: &[Frame]) -> bool {
        let Some(track) = self.video.as_ref() else {
            return true;
        };
        let Some(track) = track.upgrade() else {
            return false;
        };
        let clock = MonotonicClock::now();
        let mut frames = Vec::with_capacity(group.len());
        for frame in group {
            let at = self.picture_ns(frame, clock);
            let timestamp = self.media_time(at, 90_000);
            frames.push((
                &frame.data[..],
                timestamp,
                clock.instant_of(at),
                frame.keyframe,
            ));
        }
        goes_on(track.prime(frames))
    }

    fn push(&mut self, frame: &Frame) -> bool {
        let clock = MonotonicClock::now();
        match frame.kind {
            Kind::Video => self.push_picture(frame, clock),
            Kind::Audio => self.push_sound(frame, clock),
        }
    }
}
