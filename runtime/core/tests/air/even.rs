//! A pair of G1 glasses.

use std::collections::BTreeMap;

use glassd_core::link::{Arm, Characteristic, Profile, Write};

use super::{Air, Device, Notification};

#[derive(Default)]
pub struct Glasses {
    /// Bytes of the page that each arm shows, and its number and that of all.
    pub shown: BTreeMap<Arm, Vec<(u8, u8, Vec<u8>)>>,
    /// What was said, in order: the arm and the value, without heartbeats.
    pub said: Vec<(Arm, Vec<u8>)>,
    pub heartbeats: u32,
    /// What the next writes are answered with in place of `C9`; 0 is nothing.
    pub statuses: Vec<u8>,
    arriving: BTreeMap<Arm, Vec<u8>>,
}

impl Glasses {
    pub fn air(self) -> Air<Self> {
        Air::connect(Profile::Even, self)
    }
}

impl Device for Glasses {
    fn handle_write(&mut self, write: &Write) -> Vec<Notification> {
        let Characteristic::EvenTx(arm) = write.characteristic else { panic!("{write:?}") };
        assert!(write.value.len() <= 251 - 3, "{} bytes", write.value.len());
        let value = &write.value;
        let answer = match value[..] {
            [0x4D, 1] => return vec![],
            [0x25, 6, 0, seq, 4, again] => {
                assert_eq!(seq, again);
                self.heartbeats += 1;
                vec![0x25, 6, 0, seq, 4, seq]
            }
            _ => {
                self.said.push((arm, value.clone()));
                vec![value[0], 0xC9, value[1]]
            }
        };
        let status = if self.statuses.is_empty() { 0xC9 } else { self.statuses.remove(0) };
        if status == 0 {
            return vec![];
        }
        let mut answer = answer;
        if answer[0] != 0x25 {
            answer[1] = status;
        }
        if let [0x4E, _, total, number, 0x71, 0, 0, page, pages, ref text @ ..] = value[..]
            && status == 0xC9
        {
            let bytes = self.arriving.entry(arm).or_default();
            if number == 0 {
                bytes.clear();
            }
            bytes.extend_from_slice(text);
            if number + 1 == total {
                self.shown.entry(arm).or_default().push((page, pages, std::mem::take(bytes)));
            }
        }
        vec![(Characteristic::EvenRx(arm), answer)]
    }
}
