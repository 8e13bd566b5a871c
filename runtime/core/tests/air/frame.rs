//! A Frame: as much of its firmware and of Lua as the two sets of messages need.

use std::time::Duration;

use glassd_core::link::{Characteristic, Profile, Write, frame};

use super::{Air, Device, Notification};

pub use frame::Messages;

#[derive(Default)]
pub struct Frame {
    pub messages: Messages,
    /// What the camera gives.
    pub photo: Vec<u8>,
    /// What the microphone gives at once, in packets, when it is started.
    pub sound: Vec<Vec<u8>>,
    /// Nothing is answered.
    pub is_mute: bool,
    /// What is written to the file of the app, and whether that app runs.
    pub file: String,
    pub runs: bool,
    pub starts: u32,
    /// Messages that the app got, by code.
    pub got: Vec<(u8, Vec<u8>)>,
    /// Lua that was run, but for the app.
    pub ran: Vec<String>,
    arriving: Option<(u8, usize, Vec<u8>)>,
}

impl Frame {
    pub fn new(messages: Messages) -> Self {
        Self { messages, ..Self::default() }
    }

    /// Connects, and waits for the app to run.
    pub fn air(self, sound: frame::Sound) -> Air<Self> {
        let settings = frame::Settings { messages: self.messages, sound };
        let mut air = Air::connect(Profile::Frame(settings), self);
        air.wait(Duration::from_secs(1));
        air
    }

    fn handle_data(&mut self, code: u8, data: &[u8]) -> Vec<Vec<u8>> {
        let (code, size, bytes) = match self.arriving.take() {
            None => {
                let size = usize::from(u16::from_be_bytes([data[0], data[1]]));
                (code, size, data[2..].to_vec())
            }
            Some((of, size, bytes)) => {
                assert_eq!(of, code, "a chunk of another message");
                (code, size, [&bytes, data].concat())
            }
        };
        let mut out = vec![vec![1, 0]];
        if bytes.len() < size {
            self.arriving = Some((code, size, bytes));
            return out;
        }
        assert_eq!(bytes.len(), size);
        match (code, &bytes[..]) {
            (0x0D, _) => out.extend(photo_packets(&self.photo)),
            (0x30, [0, 0, 0]) => out.push(vec![1, 6]),
            (0x30, _) => out.extend(self.sound.iter().map(|samples| [&[1, 5], &samples[..]].concat())),
            (0x0A, _) => {}
            (code, _) => panic!("the app has no message {code:02x}"),
        }
        self.got.push((code, bytes));
        out
    }

    fn handle_lua(&mut self, source: &str) -> Vec<Vec<u8>> {
        if let Some(text) = source.strip_prefix("f:write(\"") {
            let (text, reply) = text.split_once("\");print(").expect("it waits for the write");
            self.file += &unescape(text);
            return vec![reply.trim_end_matches(')').into()];
        }
        if source == "require('glassd')" {
            self.runs = true;
            self.starts += 1;
            return vec![b"glassd 1".to_vec()];
        }
        if source.starts_with("f=frame.file.open('glassd.lua','w')") {
            self.file.clear();
        } else if !source.starts_with("f:close()") {
            self.ran.push(source.to_owned());
        }
        if source.starts_with("cameraCaptureAndSend(") {
            let mut packets: Vec<_> = self.photo.chunks(242).map(|jpeg| [&[1, 1], jpeg].concat()).collect();
            let end = packets.len().to_string();
            packets.push([&[1, 2], end.as_bytes()].concat());
            return packets;
        }
        if source.starts_with("microphoneRecordAndSend(") {
            self.runs = true;
            return self.sound.iter().map(|samples| [&[1, 5], &samples[..]].concat()).collect();
        }
        if source == "print(frame.battery_level())" {
            return vec![b"87.5".to_vec()];
        }
        source
            .rsplit_once("print(")
            .map(|(_, reply)| reply.trim_end_matches(')').into())
            .into_iter()
            .collect()
    }
}

/// Sends a photo as `camera.lua` does.
pub fn photo_packets(jpeg: &[u8]) -> Vec<Vec<u8>> {
    let packets = jpeg.chunks(242).map(|jpeg| [&[1, 7], jpeg].concat());
    packets.chain([vec![1, 8]]).collect()
}

/// A photo, as far as its framing goes.
pub fn jpeg(middle: &[u8]) -> Vec<u8> {
    [&[0xFF, 0xD8], middle, &[0xFF, 0xD9]].concat()
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        out.push(match character {
            '\\' => match characters.next().expect("no line ends within an escape") {
                'n' => '\n',
                other => other,
            },
            '"' => panic!("the string ends early"),
            other => other,
        });
    }
    out
}

impl Device for Frame {
    fn handle_write(&mut self, write: &Write) -> Vec<Notification> {
        assert_eq!(write.characteristic, Characteristic::FrameTx);
        assert!(write.value.len() <= frame::MAX_WRITE, "{} bytes", write.value.len());
        let runs = self.runs;
        let out = match &write.value[..] {
            [3] => {
                self.runs = false;
                self.arriving = None;
                let error = b"[string \"require('glassd')\"]:1: break signal".to_vec();
                if runs { vec![error] } else { vec![] }
            }
            [4] => vec![],
            [1, code, data @ ..] if runs => self.handle_data(*code, data),
            [1, ..] => vec![],
            _ if runs => vec![],
            source => self.handle_lua(std::str::from_utf8(source).expect("Lua in UTF-8")),
        };
        if self.is_mute {
            return Vec::new();
        }
        out.into_iter().map(|value| (Characteristic::FrameRx, value)).collect()
    }
}
