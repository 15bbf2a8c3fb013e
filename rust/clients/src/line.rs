//! Lines of JSON, in and out, and how the load fails.

use std::error::Error;
use std::io::{BufRead, Write};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use serde::{Deserialize, Serialize};

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Reads lines of JSON in a thread: standard input cannot be polled where it is a file.
pub fn lines<T: for<'a> Deserialize<'a> + Send + 'static>() -> Receiver<T> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let parsed = line
                .map_err(|error| error.to_string())
                .and_then(|line| serde_json::from_str(&line).map_err(|error| error.to_string()));
            match parsed {
                Ok(value) => {
                    if sender.send(value).is_err() {
                        return;
                    }
                }
                Err(error) => eprintln!("not what was asked for: {error}"),
            }
        }
    });
    receiver
}

pub fn print_line(value: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}
