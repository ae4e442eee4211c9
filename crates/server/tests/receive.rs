//! What is received comes whole and in order, whichever shape of receive buffers the kernel knows.

use shoal::driver::buffers::{PIECEWISE, Shape, WHOLE};
use shoal::driver::uring::Uring;
use shoal::driver::{ConnId, Driver, Event, Output};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// After this a test has failed; nothing here takes a hundredth of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections that each have `FIRST` bytes waiting before anything is received: more than there
/// are buffers of either shape.
const CONNS: usize = 100;
const FIRST: usize = 64 * 1024;

/// Around the sizes of the buffers.
const SIZES: [usize; 8] = [1, 8191, 8192, 8193, 65_535, 65_536, 65_537, 1_000_000];

/// Bytes that differ from those of other seeds, and from themselves one buffer later.
fn bytes(seed: usize, len: usize) -> Vec<u8> {
    let mut state = seed as u32 + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn expect(stream: &mut UnixStream, sent: &[u8]) {
    let mut received = vec![0; sent.len()];
    stream.read_exact(&mut received).unwrap();
    assert!(received == sent, "{} bytes differ", sent.len());
}

/// What is still to be echoed on a connection.
#[derive(Default)]
struct Echo {
    waiting: Vec<u8>,
}

impl Echo {
    fn send(&mut self, driver: &mut Uring, conn: ConnId) {
        if !self.waiting.is_empty() && !driver.is_sending(conn) {
            let output = Output {
                buffer: std::mem::take(&mut self.waiting),
                splices: Vec::new(),
            };
            driver.send(conn, output);
        }
    }
}

/// Handles the events of one wait.
fn echo(driver: &mut Uring, echoes: &mut [Echo]) {
    let mut touched = Vec::new();
    while let Some(event) = driver.next() {
        match event {
            Event::Data { conn, bytes } => {
                echoes[conn.0 as usize].waiting.extend_from_slice(bytes);
                touched.push(conn);
            }
            Event::Sent { conn, .. } => touched.push(conn),
            Event::Ended { conn } | Event::SendFailed { conn } => driver.close(conn),
            _ => {}
        }
    }
    for conn in touched {
        echoes[conn.0 as usize].send(driver, conn);
    }
}

fn everything_comes_back(shape: Shape) {
    let mut driver = Uring::with_buffers(shape).unwrap();
    let mut streams = Vec::new();
    for i in 0..CONNS {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        ours.set_write_timeout(Some(PATIENCE)).unwrap();
        ours.write_all(&bytes(i, FIRST)).unwrap();
        driver.adopt(ConnId(i as u32), theirs.into());
        streams.push(ours);
    }
    let client = std::thread::spawn(move || {
        for (i, stream) in streams.iter_mut().enumerate() {
            expect(stream, &bytes(i, FIRST));
        }
        for (i, len) in SIZES.into_iter().enumerate() {
            let sent = bytes(CONNS + i, len);
            streams[i].write_all(&sent).unwrap();
            expect(&mut streams[i], &sent);
        }
    });
    let mut echoes: Vec<Echo> = (0..CONNS).map(|_| Echo::default()).collect();
    while !client.is_finished() {
        driver.wait(Some(Duration::from_millis(10))).unwrap();
        echo(&mut driver, &mut echoes);
    }
    client.join().unwrap();
}

#[test]
fn through_whole_buffers() {
    everything_comes_back(WHOLE);
}

#[test]
fn through_pieces_of_buffers() {
    if Uring::with_buffers(PIECEWISE).is_err() {
        return println!("skipped: needs Linux 6.12");
    }
    everything_comes_back(PIECEWISE);
}
