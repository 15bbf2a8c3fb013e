//! How to connect.

use std::time::Duration;

/// How packets travel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// Within the RTSP connection, or by UDP where the camera refuses that (status 461).
    Auto,
    Tcp,
    Udp,
}

/// How to connect; has no `Debug`, as it holds the password.
#[derive(Clone)]
pub struct Options {
    /// `rtsp://…` without user and password.
    pub url: String,
    /// Empty for none.
    pub user: String,
    pub password: String,
    pub transport: Transport,
    /// How long opening may take.
    pub open_timeout: Duration,
    /// How long a stream that runs may send nothing.
    pub silence: Duration,
}
