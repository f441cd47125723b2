//! Inputs that may keep their reader waiting: standard input, named pipes, terminals, devices. A thread of its own opens
//! and reads them, so that a wish to stop is noticed while nothing comes.

use super::Stop;
use std::io::{self, Cursor, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Bytes that are read at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces that wait to be taken, at most.
const PIECES_MAX: usize = 4;
/// How often the wish to stop is looked at while nothing comes.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A reader that ends early when it is asked to stop. What was read before is given out first.
pub(in crate::edge) struct Piped {
    pieces: Receiver<io::Result<Vec<u8>>>,
    current: Cursor<Vec<u8>>,
    stop: Stop,
    /// Pieces that are still taken after a wish to stop: those that had come by then.
    after_stop: usize,
}

impl Piped {
    /// Starts to read what `open` opens. `open` itself may wait: a named pipe does until somebody writes to it.
    pub(in crate::edge) fn start(
        open: impl FnOnce() -> io::Result<Box<dyn Read>> + Send + 'static,
        stop: Stop,
    ) -> io::Result<Piped> {
        let (give, pieces) = sync_channel(PIECES_MAX);
        std::thread::Builder::new().name("read".to_owned()).spawn(move || {
            let mut opened = open();
            loop {
                let piece = match &mut opened {
                    Ok(reader) => read_piece(reader.as_mut()),
                    Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
                };
                let last = !matches!(&piece, Ok(piece) if !piece.is_empty());
                // Nobody takes it when the input was of no known kind.
                if give.send(piece).is_err() || last {
                    return;
                }
            }
        })?;
        Ok(Piped {
            pieces,
            current: Cursor::default(),
            stop,
            after_stop: PIECES_MAX,
        })
    }
}

fn read_piece(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match reader.read(&mut piece) {
            Ok(count) => {
                piece.truncate(count);
                return Ok(piece);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Read for Piped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.current.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            if self.stop.is_asked() {
                match self.pieces.try_recv() {
                    Ok(piece) if self.after_stop > 0 => {
                        self.after_stop -= 1;
                        self.current = Cursor::new(piece?);
                    }
                    _ => return Ok(0),
                }
                continue;
            }
            match self.pieces.recv_timeout(LOOK_EVERY) {
                Ok(piece) => self.current = Cursor::new(piece?),
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a line, and then nothing for ever.
    struct Silent(bool);

    impl Read for Silent {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 {
                loop {
                    std::thread::park();
                }
            }
            self.0 = true;
            io::Write::write(&mut &mut *buffer, b"one line\n")
        }
    }

    #[test]
    fn what_came_is_given_and_a_wish_to_stop_ends_the_wait() -> io::Result<()> {
        let stop = Stop::default();
        let mut piped = Piped::start(|| Ok(Box::new(Silent(false))), stop.clone())?;
        let mut line = [0; 9];
        piped.read_exact(&mut line)?;
        assert_eq!(&line, b"one line\n");
        stop.ask();
        assert_eq!(piped.read(&mut line)?, 0);
        Ok(())
    }

    #[test]
    fn a_source_that_never_ends_is_left_soon_after_a_wish_to_stop() -> io::Result<()> {
        let stop = Stop::default();
        let mut piped = Piped::start(|| Ok(Box::new(io::repeat(b'x'))), stop.clone())?;
        stop.ask();
        let count = io::copy(&mut piped, &mut io::sink())?;
        assert!(count <= (PIECES_MAX * PIECE_BYTES) as u64, "{count}");
        Ok(())
    }

    #[test]
    fn a_failure_to_open_is_a_failure_to_read() -> io::Result<()> {
        let refused = || Err(io::Error::from(io::ErrorKind::PermissionDenied));
        let mut piped = Piped::start(refused, Stop::default())?;
        let error = piped.read(&mut [0; 8]).expect_err("it was refused");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        Ok(())
    }
}
