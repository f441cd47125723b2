//! Takes gzip and zstd off a stream, with a bound on how much may come out of how little.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Output that any compressed input may grow to before its ratio is looked at.
const RATIO_FREE_BYTES: u64 = 256 << 20;
/// More output bytes than this for each input byte is a decompression bomb: text compresses by 5 to 100.
const RATIO_MAX: u64 = 700;
/// The first byte of the magic number of a zstd frame to be skipped; its last four bits are free.
const ZSTD_SKIP: u32 = 0x184d_2a50;
const ZSTD: u32 = 0xfd2f_b528;

/// How many bytes of an input have been read, before anything is taken off.
pub(super) type ReadBytes = Arc<AtomicU64>;

/// Whether these are the first four bytes of something compressed.
pub(super) fn is_compressed(magic: &[u8]) -> bool {
    is_gzip(magic) || is_zstd(magic)
}

fn is_gzip(magic: &[u8]) -> bool {
    magic.starts_with(&[0x1f, 0x8b])
}

fn is_zstd(magic: &[u8]) -> bool {
    let Some(magic) = magic.first_chunk() else { return false };
    let number = u32::from_le_bytes(*magic);
    number == ZSTD || number & !0xf == ZSTD_SKIP
}

/// The uncompressed bytes of a stream that begins with `magic`, which was read from `rest`.
pub(super) fn unpack(magic: Vec<u8>, rest: Box<dyn Read + Send>, read: &ReadBytes) -> Box<dyn Read + Send> {
    let is = (is_gzip(&magic), is_zstd(&magic));
    let raw = PutBack {
        put_back: magic,
        rest: Counted {
            inner: rest,
            read: read.clone(),
        },
    };
    let input = read.clone();
    match is {
        (true, _) => Box::new(Bounded {
            inner: flate2::read::MultiGzDecoder::new(raw),
            input,
            output: 0,
        }),
        (_, true) => Box::new(Bounded {
            inner: Zstd::Between(raw),
            input,
            output: 0,
        }),
        _ => Box::new(raw),
    }
}

/// The uncompressed bytes of a file.
pub(in crate::edge) fn unpacked(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    let mut file = File::open(path)?;
    let mut magic = Vec::with_capacity(4);
    file.by_ref().take(4).read_to_end(&mut magic)?;
    Ok(unpack(magic, Box::new(file), &ReadBytes::default()))
}

/// A stream of which some bytes have been put back.
struct PutBack {
    put_back: Vec<u8>,
    rest: Counted,
}

impl Read for PutBack {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.put_back.is_empty() {
            return self.rest.read(buffer);
        }
        let count = self.put_back.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(self.put_back.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
}

/// Counts the bytes that were read.
struct Counted {
    inner: Box<dyn Read + Send>,
    read: ReadBytes,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// All frames of a zstd stream, one after the other.
enum Zstd {
    /// Before a frame.
    Between(PutBack),
    /// Inside one.
    Inside(Box<ruzstd::decoding::StreamingDecoder<PutBack, ruzstd::decoding::FrameDecoder>>),
    /// After the last one, or after a broken one.
    Ended,
}

impl Read for Zstd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            *self = match std::mem::replace(self, Zstd::Ended) {
                Zstd::Ended => return Ok(0),
                Zstd::Between(raw) => Zstd::begin(raw)?,
                Zstd::Inside(mut frame) => match frame.read(buffer)? {
                    0 => Zstd::Between(frame.into_inner()),
                    count => {
                        *self = Zstd::Inside(frame);
                        return Ok(count);
                    }
                },
            };
        }
    }
}

impl Zstd {
    /// Begins the next frame, or passes over it, or finds the end.
    fn begin(mut raw: PutBack) -> io::Result<Zstd> {
        let bad = |what: String| io::Error::new(io::ErrorKind::InvalidData, format!("not a zstd frame: {what}"));
        let mut magic = Vec::new();
        (&mut raw).take(4).read_to_end(&mut magic)?;
        let Some(four) = magic.first_chunk() else {
            return if magic.is_empty() {
                Ok(Zstd::Ended)
            } else {
                Err(bad(format!("{} bytes at the end", magic.len())))
            };
        };
        let number = u32::from_le_bytes(*four);
        if number & !0xf == ZSTD_SKIP {
            let mut length = [0; 4];
            raw.read_exact(&mut length)?;
            let length = u64::from(u32::from_le_bytes(length));
            if io::copy(&mut (&mut raw).take(length), &mut io::sink())? < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            return Ok(Zstd::Between(raw));
        }
        raw.put_back.splice(..0, magic);
        let frame = ruzstd::decoding::StreamingDecoder::new(raw).map_err(|error| bad(error.to_string()))?;
        Ok(Zstd::Inside(Box::new(frame)))
    }
}

/// Ends a stream that grows out of all proportion.
struct Bounded<R> {
    inner: R,
    input: ReadBytes,
    output: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.output += count as u64;
        let input = self.input.load(Ordering::Relaxed);
        if self.output > RATIO_FREE_BYTES && self.output / input.max(1) > RATIO_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "decompression bomb: {} bytes came out of {input}, over {RATIO_MAX} for each; unpack it first if it is genuine",
                    self.output
                ),
            ));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let (magic, rest) = bytes.split_at(bytes.len().min(4));
        let mut text = Vec::new();
        let rest = Box::new(io::Cursor::new(rest.to_vec()));
        unpack(magic.to_vec(), rest, &ReadBytes::default()).read_to_end(&mut text)?;
        Ok(text)
    }

    fn gzip(text: &[u8]) -> io::Result<Vec<u8>> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text)?;
        encoder.finish()
    }

    /// A zstd frame with one raw block, by RFC 8878: no checksum, one segment, its size in one byte.
    fn zstd(text: &[u8]) -> Vec<u8> {
        let length = text.len() as u32;
        let block = (length << 3 | 1).to_le_bytes();
        let head = [0x28, 0xb5, 0x2f, 0xfd, 0x20, length as u8, block[0], block[1], block[2]];
        [&head[..], text].concat()
    }

    #[test]
    fn every_member_and_every_frame_is_read() -> io::Result<()> {
        assert_eq!(unpacked(&[gzip(b"one\n")?, gzip(b"two\n")?].concat())?, b"one\ntwo\n");
        let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let frames = [skipped.clone(), zstd(b"one\n"), skipped, zstd(b"two\n")].concat();
        assert_eq!(unpacked(&frames)?, b"one\ntwo\n");
        assert_eq!(unpacked(b"ab")?, b"ab");
        Ok(())
    }

    #[test]
    fn what_is_cut_or_followed_by_other_bytes_is_an_error_after_what_was_whole() {
        for bad in [
            [zstd(b"one\n"), b"xy".to_vec()].concat(),
            [zstd(b"one\n"), b"rubbish".to_vec()].concat(),
            zstd(b"one two three\n")[..12].to_vec(),
            vec![0x50, 0x2a, 0x4d, 0x18, 9, 0, 0, 0, 1],
        ] {
            assert!(unpacked(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_bomb_is_refused() -> io::Result<()> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let lines = vec![b'\n'; 1 << 20];
        for _ in 0..300 {
            encoder.write_all(&lines)?;
        }
        let error = unpacked(&encoder.finish()?).expect_err("a bomb is refused");
        assert!(error.to_string().contains("decompression bomb"), "{error}");
        Ok(())
    }
}
