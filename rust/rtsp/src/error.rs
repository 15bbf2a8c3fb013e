//! What can go wrong before the first packet.

use std::fmt::{self, Display, Formatter};

/// Why there is no stream. No text holds the user, the password or the URL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RtspError {
    /// The camera cannot be had, by whatever client: nobody listens, the password is wrong, …
    Failed(String),
    /// What the camera says or sends is nothing for this client; FFmpeg may know it.
    Unsupported(String),
}

impl Display for RtspError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(text) | Self::Unsupported(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for RtspError {}

/// Our words for what retina says while it opens a stream.
pub fn of_opening(error: &retina::Error) -> RtspError {
    let words = words(error);
    // A challenge that was not understood, or an answer that was refused: retina leaves the algorithm
    // out of an answer without qop, and so a camera that offers SHA-256 first takes it for MD5.
    let is_misunderstood =
        words.contains("Can't understand") || words.contains("after trying digest auth");
    match error.status_code() {
        Some(status) if status >= 400 && !is_misunderstood => RtspError::Failed(words),
        Some(_) => RtspError::Unsupported(words),
        None if words.starts_with("RTSP framing error") || words.starts_with("Unsupported") => {
            RtspError::Unsupported(words)
        }
        None => RtspError::Failed(words),
    }
}

/// One line of what retina says; its further lines tell the connection and quote packets.
pub fn words(error: &retina::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default().trim();
    let line = [
        "Unable to connect to RTSP server: ",
        "Error reading from RTSP peer: ",
    ]
    .iter()
    .find_map(|prefix| line.strip_prefix(prefix))
    .unwrap_or(line);
    let line = line.trim_end_matches(':');
    match line.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => line.to_owned(),
    }
}
