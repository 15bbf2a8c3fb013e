//! Sender and receiver of the same stack, over loopback.

use std::fs::File;
use std::io::Read;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use futures::SinkExt;
use icey_srt::{Options, Receiver, Role, SrtError};
use srt_tokio::SrtSocket;

const TIMEOUT: Duration = Duration::from_secs(5);

fn options(port: u16) -> Options {
    Options {
        role: Role::Caller,
        host: "127.0.0.1".into(),
        port,
        stream_id: String::new(),
        passphrase: String::new(),
        key_bytes: 0,
        latency: Some(Duration::from_secs(1)),
        timeout: TIMEOUT,
    }
}

fn free_port() -> u16 {
    let probe = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    probe.local_addr().expect("its address").port()
}

fn refusal(options: Options) -> SrtError {
    Receiver::connect(options)
        .err()
        .expect("there is nobody to connect to")
}

/// What is sent comes out of the pipe in order, and then EOF with a reason.
#[test]
fn payload_comes_out_of_the_pipe() {
    let port = free_port();
    let (arrived, all_arrived) = tokio::sync::oneshot::channel();
    let sender = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut socket = SrtSocket::builder()
                .listen_on(format!("127.0.0.1:{port}").as_str())
                .await
                .expect("a receiver that calls");
            for n in 0..50u8 {
                tokio::time::sleep(Duration::from_millis(4)).await; // live, as 2.6 Mbit/s
                let packet = (Instant::now(), vec![n; 1316].into());
                socket.send(packet).await.expect("room to send");
            }
            all_arrived.await.expect("word of the receiver"); // a farewell overtakes the payload
            socket.close_and_finish().await.expect("a clean end");
        });
    });
    let receiver = Receiver::connect(options(port)).expect("a sender that listens");
    // SAFETY: the receiver outlives this use of its descriptor.
    let borrowed = unsafe { BorrowedFd::borrow_raw(receiver.fd()) };
    let mut pipe = File::from(borrowed.as_fd().try_clone_to_owned().expect("a copy"));
    let mut got = vec![0; 50 * 1316];
    pipe.read_exact(&mut got).expect("all of it");
    arrived.send(()).expect("a sender that waits");
    let rest = pipe.read(&mut [0]).expect("a readable pipe");
    assert_eq!(rest, 0, "EOF");
    sender.join().expect("no panic of the sender");
    let sent: Vec<u8> = (0..50u8).flat_map(|n| vec![n; 1316]).collect();
    assert!(got == sent, "in order");
    assert!(receiver.error().is_some());
    assert_eq!(receiver.dropped(), 0);
}

/// A silent port takes the time-out and no longer; a bad option takes no time at all.
#[test]
fn refusals_say_why() {
    let port = free_port();
    let brief = Duration::from_millis(300);
    let started = Instant::now();
    let silent = Options {
        timeout: brief,
        ..options(port)
    };
    assert_eq!(refusal(silent.clone()), SrtError::TimedOut);
    let listening = Options {
        role: Role::Listener,
        ..silent
    };
    assert_eq!(refusal(listening), SrtError::TimedOut);
    assert!(started.elapsed() < brief * 8);

    let short = Options {
        passphrase: "hunter2".into(),
        ..options(port)
    };
    let error = refusal(short);
    assert!(matches!(error, SrtError::Option(_)));
    assert!(!error.to_string().contains("hunter2"));
    let odd = Options {
        key_bytes: 17,
        ..options(port)
    };
    assert!(matches!(refusal(odd), SrtError::Option(_)));
    let long = Options {
        stream_id: "x".repeat(513),
        ..options(port)
    };
    assert!(matches!(refusal(long), SrtError::Option(_)));
}
