//! The thread that receives, and the pipe that it fills.

use std::io::{self, ErrorKind, PipeReader, PipeWriter, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures::TryStreamExt;
use srt_tokio::{SrtSocket, SrtSocketBuilder};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::error::SrtError;
use crate::options::{Options, Role};

/// What the pipe is to hold, bytes; the most that Linux gives to anyone. 4 s at 2 Mbit/s.
const PIPE_BYTES: libc::c_int = 1 << 20;

/// How long to wait until the sender has been told that we are going.
const FAREWELL: Duration = Duration::from_millis(300);

/// A connected stream. Dropping it closes it, and the pipe with it.
pub struct Receiver {
    pipe: PipeReader,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    stop: Notify,
    error: Mutex<Option<String>>,
    dropped: AtomicU64,
}

impl Receiver {
    /// Connects. Blocks until that is done, for `options.timeout` at most.
    pub fn connect(options: Options) -> Result<Self, SrtError> {
        let socket = options.socket()?;
        let (pipe, writer) = io::pipe()?;
        prepare(&writer)?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let (report, outcome) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("icey-srt".into())
            .spawn(move || run(&options, socket, writer, &theirs, &report))?;
        let receiver = Self {
            pipe,
            shared,
            thread: Mutex::new(Some(thread)),
        };
        outcome.recv().unwrap_or(Err(SrtError::Protocol))?;
        Ok(receiver)
    }

    /// The end of the pipe to read from; valid as long as `self`.
    pub fn fd(&self) -> RawFd {
        self.pipe.as_raw_fd()
    }

    /// Why the stream ended; None while it runs and when it was closed from this side.
    pub fn error(&self) -> Option<String> {
        self.shared
            .error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Packets thrown away because the pipe was full.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Ends the stream, so that whoever reads the pipe gets EOF. Closing twice is harmless.
    pub fn close(&self) {
        self.shared.stop.notify_one();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let _ = thread.join(); // a panic has been reported, and the pipe is closed either way
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.close();
    }
}

fn prepare(writer: &PipeWriter) -> io::Result<()> {
    let fd = writer.as_raw_fd();
    // SAFETY: plain calls on a descriptor that we own.
    unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        if flags < 0 || libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) < 0 {
            return Err(io::Error::last_os_error());
        }
        // A smaller pipe than wished for, or one of another system, does as well.
        #[cfg(target_os = "linux")]
        libc::fcntl(fd, libc::F_SETPIPE_SZ, PIPE_BYTES);
    }
    Ok(())
}

fn run(
    options: &Options,
    socket: srt_tokio::options::SocketOptions,
    writer: PipeWriter,
    shared: &Shared,
    report: &mpsc::SyncSender<Result<(), SrtError>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = report.send(Err(error.into())); // whoever waits is gone only with the process
            return;
        }
    };
    runtime.block_on(async {
        let opened = tokio::select! {
            () = shared.stop.notified() => Err(SrtError::TimedOut),
            opened = timeout(options.timeout, open(options, socket)) => {
                opened.unwrap_or(Err(SrtError::TimedOut))
            }
        };
        match opened {
            Ok(connected) => {
                let _ = report.send(Ok(()));
                pump(connected, writer, options.timeout, shared).await;
            }
            Err(error) => {
                let _ = report.send(Err(error));
            }
        }
    });
    runtime.shutdown_background(); // do not wait for a look-up that hangs
}

async fn open(
    options: &Options,
    socket: srt_tokio::options::SocketOptions,
) -> Result<SrtSocket, SrtError> {
    let host = match options.host.as_str() {
        "" => "0.0.0.0",
        host => host,
    };
    let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, options.port))
        .await
        .map_err(|_| SrtError::Unresolved)?
        .collect();
    addresses.sort_by_key(SocketAddr::is_ipv6); // "localhost" is both, and senders are on IPv4
    addresses.dedup();
    addresses.truncate(2);
    let share = options.timeout / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    let mut outcome = Err(SrtError::Unresolved);
    for address in addresses {
        let wanted = socket.clone();
        let builder = SrtSocket::builder().set(move |defaults| *defaults = wanted);
        let one = open_one(options.role, address, options.stream_id.clone(), builder);
        // In a task, which catches the panics of the SRT stack.
        let mut task = tokio::spawn(one);
        outcome = match timeout(share, &mut task).await {
            Ok(Ok(result)) => result.map_err(Into::into),
            Ok(Err(_)) => Err(SrtError::Protocol),
            Err(_) => {
                task.abort();
                Err(SrtError::TimedOut)
            }
        };
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

async fn open_one(
    role: Role,
    address: SocketAddr,
    stream_id: String,
    builder: SrtSocketBuilder,
) -> io::Result<SrtSocket> {
    match role {
        Role::Listener => builder.local(address).listen().await,
        Role::Caller => {
            let any: SocketAddr = if address.is_ipv6() {
                ([0u16; 8], 0).into()
            } else {
                ([0u8; 4], 0).into()
            };
            let id = (!stream_id.is_empty()).then_some(stream_id.as_str());
            builder.local(any).call(address, id).await
        }
    }
}

async fn pump(mut socket: SrtSocket, mut writer: PipeWriter, silence: Duration, shared: &Shared) {
    let mut why = loop {
        let next = tokio::select! {
            () = shared.stop.notified() => break None,
            next = timeout(silence, socket.try_next()) => next,
        };
        match next {
            Ok(Ok(Some((_, data)))) if data.is_empty() => {}
            // At most a datagram, below PIPE_BUF: all of it is written, or nothing.
            Ok(Ok(Some((_, data)))) => match writer.write(&data) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    shared.dropped.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => break Some(error.to_string()),
            },
            Ok(Ok(None)) => break Some("the connection was closed or lost".to_owned()),
            Ok(Err(error)) => break Some(error.to_string()),
            Err(_) => break Some(format!("nothing came for {} s", silence.as_secs_f32())),
        }
    };
    if let Ok(Err(_)) = timeout(FAREWELL, socket.close_and_finish()).await
        && why.is_some()
    {
        why = Some("the SRT stack gave up on what the sender sent".to_owned());
    }
    // First the reason, then the EOF that makes the reader ask for it.
    *shared.error.lock().unwrap_or_else(PoisonError::into_inner) = why;
    drop(writer);
}
