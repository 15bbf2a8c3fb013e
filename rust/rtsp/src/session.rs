//! From a URL to a stream that plays.

use std::sync::Arc;

use retina::client::{
    Credentials, Described, InitialSequenceNumberPolicy, InitialTimestampPolicy, PlayOptions,
    Playing, Session, SessionGroup, SessionIdPolicy, SessionOptions, SetupOptions,
    TcpTransportOptions, Transport, UdpTransportOptions,
};
use url::Url;

use crate::depacketize::{Depacketizer, Format, Support};
use crate::description::Description;
use crate::error::{RtspError, of_opening};
use crate::frame::Kind;
use crate::options::{self, Options};
use crate::sdp::FormatParameters;

/// The status of a camera that does not take a transport (RFC 2326 §11.3.14).
const UNSUPPORTED_TRANSPORT: u16 = 461;

/// A stream that plays.
pub struct Running {
    pub session: Session<Playing>,
    /// By the number of the stream in the session; `None` for one that is not received.
    pub streams: Vec<Option<Received>>,
    pub description: Description,
    /// Knows when the camera has been told that we are going.
    pub group: Arc<SessionGroup>,
}

/// A stream of a session that is received.
pub struct Received {
    pub kind: Kind,
    pub clock_rate: u32,
    pub depacketizer: Box<Depacketizer>,
}

/// Opens a stream: within the RTSP connection, or by UDP.
pub async fn open(options: &Options) -> Result<Running, RtspError> {
    let url = Url::parse(&options.url)
        .map_err(|error| RtspError::Unsupported(format!("its URL: {error}")))?;
    let by_udp = match options.transport {
        options::Transport::Udp => true,
        options::Transport::Tcp => false,
        options::Transport::Auto => match attempt(&url, options, false).await {
            Err(Refusal::Transport) => true,
            other => return other.map_err(Refusal::into_error),
        },
    };
    attempt(&url, options, by_udp)
        .await
        .map_err(Refusal::into_error)
}

enum Refusal {
    /// The camera does not take the transport.
    Transport,
    Other(RtspError),
}

impl Refusal {
    fn into_error(self) -> RtspError {
        match self {
            Self::Transport => RtspError::Unsupported(format!(
                "{UNSUPPORTED_TRANSPORT}: the camera does not take the transport"
            )),
            Self::Other(error) => error,
        }
    }
}

async fn attempt(url: &Url, options: &Options, by_udp: bool) -> Result<Running, Refusal> {
    let failed = |error: retina::Error| Refusal::Other(of_opening(&error));
    let group = Arc::new(SessionGroup::default());
    // Always, as a camera without a password asks for none.
    let credentials = Credentials {
        username: options.user.clone(),
        password: options.password.clone(),
    };
    let has_user = !(options.user.is_empty() && options.password.is_empty());
    let session_options = SessionOptions::default()
        .creds(has_user.then_some(credentials))
        .session_group(group.clone())
        .session_id(SessionIdPolicy::UseFirst)
        .user_agent("icey-server".into());
    let mut session = Session::describe(url.clone(), session_options)
        .await
        .map_err(failed)?;
    let (mut streams, mut description) = choose(&session).map_err(Refusal::Other)?;
    description.is_udp = by_udp;
    for (index, stream) in streams.iter_mut().enumerate() {
        let Some(kind) = stream.as_ref().map(|received| received.kind) else {
            continue;
        };
        let transport = if by_udp {
            Transport::Udp(UdpTransportOptions::default())
        } else {
            Transport::Tcp(TcpTransportOptions::default())
        };
        let setup = SetupOptions::default().transport(transport);
        match session.setup(index, setup).await {
            Ok(()) => {}
            Err(error) if error.status_code() == Some(UNSUPPORTED_TRANSPORT) => {
                return Err(Refusal::Transport);
            }
            // A camera may describe sound that it does not have.
            Err(error)
                if error.status_code().is_some_and(|status| status >= 400)
                    && kind == Kind::Audio
                    && description.video.is_some() =>
            {
                *stream = None;
                description.left_out = description.audio.take().map(|a| a.codec.to_owned());
            }
            Err(error) => return Err(failed(error)),
        }
    }
    // Times are those of arrival, and cameras lie in RTP-Info.
    let play = PlayOptions::default()
        .initial_timestamp(InitialTimestampPolicy::Ignore)
        .initial_seq(InitialSequenceNumberPolicy::Ignore);
    let session = session.play(play).await.map_err(failed)?;
    Ok(Running {
        session,
        streams,
        description,
        group,
    })
}

/// Chooses the first pictures and the first sound that can be received.
fn choose(session: &Session<Described>) -> Result<(Vec<Option<Received>>, Description), RtspError> {
    let mut parameters = FormatParameters::read(session.sdp());
    let mut description = Description::default();
    let mut elsewhere = None;
    let mut streams = Vec::new();
    for stream in session.streams() {
        let format = Format {
            media: stream.media(),
            encoding: stream.encoding_name(),
            clock_rate: stream.clock_rate_hz(),
            channels: stream.channels(),
            frame_rate: stream.framerate(),
            parameters: parameters.next_of(stream.media(), stream.rtp_payload_type()),
        };
        let mut received = None;
        let mut take = |kind, support, name: &str| match support {
            Support::Here(depacketizer) => {
                received = Some(Received {
                    kind,
                    clock_rate: format.clock_rate,
                    depacketizer,
                });
                true
            }
            Support::Elsewhere => {
                elsewhere.get_or_insert_with(|| name.to_owned());
                false
            }
            Support::Nowhere => false,
        };
        match format.media {
            "video" | "image" if description.video.is_none() => {
                let (support, video) = format.video();
                if take(Kind::Video, support, format.encoding) {
                    description.video = Some(video);
                }
            }
            "audio" if description.audio.is_none() => {
                let (support, audio) = format.audio();
                if take(Kind::Audio, support, format.encoding) {
                    description.audio = Some(audio);
                } else {
                    description.left_out = Some(format.encoding.to_owned());
                }
            }
            _ => {}
        }
        streams.push(received);
    }
    // A second stream that is known makes good for a first that is not; else FFmpeg may know it.
    let is_whole =
        description.video.is_some() && (description.audio.is_some() || elsewhere.is_none());
    if let Some(name) = elsewhere.filter(|_| !is_whole) {
        return Err(RtspError::Unsupported(format!("it sends {name}")));
    }
    if description.video.is_none() && description.audio.is_none() {
        return Err(RtspError::Unsupported(
            "it sends nothing that is known".into(),
        ));
    }
    if description.audio.is_some() {
        description.left_out = None;
    }
    Ok((streams, description))
}
