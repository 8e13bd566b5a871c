//! The recordings of one pair of glasses: a file for each batch.
//!
//! A file is called `SERIAL-FIRST-NEXT.audio`: the batches count up, and hold the glasses' records from FIRST to before
//! NEXT. So the newest file tells what is kept, and a batch is kept in the moment in which its file gets its name.
//! Whoever takes files away leaves the newest.
//!
//! | offset | size | field (little-endian) |
//! |---|---|---|
//! | 0 | 4 | `GLSR` |
//! | 4 | 1 | version, 1 |
//! | 5 | 1 | codec: 0 not known, 1 PCM of 16 bits, 2 µ-law, 3 Opus at 16 kHz, 4 PCM of 8 bits, 5 LC3 at 16 kHz |
//! | 6 | 4 | its number: the rate in Hz, of Opus the samples of a frame, of LC3 the bytes of one |
//! | 10 | 4 | number of frames, each: |
//! | | 8 | when it began, in microseconds since 1970; 0 where the glasses did not know |
//! | | 2 | its length |
//! | | n | the frame |
//! | end − 4 | 4 | CRC-32 of all before |

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use glassd_core::gateway::Recording;
use glassd_core::link::AudioCodec;

const MAGIC: &[u8; 4] = b"GLSR";
const VERSION: u8 = 1;
const SUFFIX: &str = ".audio";
/// A file that is being written; one that is found was not finished.
const UNFINISHED: &str = "unfinished";

/// A folder of recordings.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    max_bytes: u64,
}

/// A batch on disk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Batch {
    serial: u64,
    first: u64,
    next: u64,
}

impl Folder {
    /// Opens or makes a folder that only its owner may read; returns it with the record after the last that is kept.
    pub(super) fn open(path: &Path, max_bytes: u64) -> io::Result<(Self, u64)> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let folder = Self { path: path.to_owned(), max_bytes };
        folder.remove(UNFINISHED)?;
        let next = folder.batches()?.last().map_or(0, |newest| newest.next);
        Ok((folder, next))
    }

    /// Writes a batch; returns how many older ones made room for it. When this returns the batch is on disk, or, where it
    /// fails, nothing of it is.
    pub(super) fn keep(&self, recording: &Recording) -> io::Result<u64> {
        let bytes = encode(recording);
        let made_room = self.make_room(bytes.len() as u64)?;
        let serial = self.batches()?.last().map_or(1, |newest| newest.serial + 1);
        let name = Batch { serial, first: recording.first, next: recording.next }.name();
        let unfinished = self.path.join(UNFINISHED);
        let written = write(&unfinished, &bytes)
            .and_then(|()| fs::rename(&unfinished, self.path.join(&name)))
            // The name is on disk when its folder is.
            .and_then(|()| File::open(&self.path)?.sync_all());
        if let Err(error) = written {
            // It will come again; the error that is told is the first one.
            let _ = self.remove(UNFINISHED);
            let _ = self.remove(&name);
            return Err(error);
        }
        Ok(made_room)
    }

    /// Removes the oldest batches until there is room for so many bytes, but never the newest, which tells what is kept.
    fn make_room(&self, bytes: u64) -> io::Result<u64> {
        let mut batches = self.batches()?;
        let newest = batches.pop();
        let size = |batch: &Batch| fs::metadata(self.path.join(batch.name())).map_or(0, |file| file.len());
        let mut total: u64 = bytes + batches.iter().chain(&newest).map(size).sum::<u64>();
        let mut removed = 0;
        for batch in batches {
            if total <= self.max_bytes {
                break;
            }
            total -= size(&batch);
            self.remove(&batch.name())?;
            removed += 1;
        }
        Ok(removed)
    }

    /// Returns the batches, oldest first.
    fn batches(&self) -> io::Result<Vec<Batch>> {
        let mut batches = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            batches.extend(entry?.file_name().to_str().and_then(Batch::read));
        }
        batches.sort();
        Ok(batches)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Batch {
    fn name(&self) -> String {
        format!("{:010}-{}-{}{SUFFIX}", self.serial, self.first, self.next)
    }

    fn read(name: &str) -> Option<Self> {
        let mut numbers = name.strip_suffix(SUFFIX)?.split('-').map(|number| number.parse().ok());
        let batch = Self { serial: numbers.next()??, first: numbers.next()??, next: numbers.next()?? };
        numbers.next().is_none().then_some(batch)
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn encode(recording: &Recording) -> Vec<u8> {
    let (codec, number) = codec(recording.codec);
    let mut bytes = [&MAGIC[..], &[VERSION, codec], &number.to_le_bytes()].concat();
    let count = u32::try_from(recording.frames.len()).expect("a batch has a few thousand frames");
    bytes.extend(count.to_le_bytes());
    for frame in &recording.frames {
        let length = u16::try_from(frame.frame.len()).expect("a recorded frame has at most 255 bytes");
        bytes.extend(frame.at.map_or(0, |at| at.as_micros()).to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.extend(&frame.frame);
    }
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

fn codec(codec: Option<AudioCodec>) -> (u8, u32) {
    match codec {
        None => (0, 0),
        Some(AudioCodec::Pcm16(rate)) => (1, rate),
        Some(AudioCodec::MuLaw(rate)) => (2, rate),
        Some(AudioCodec::Opus(samples)) => (3, samples),
        Some(AudioCodec::Pcm8(rate)) => (4, rate),
        Some(AudioCodec::Lc3(bytes)) => (5, bytes),
    }
}
