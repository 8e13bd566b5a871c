//! What an Omi says that it has: `[bits u32]` (`features.h`).

use super::super::DropReason;

const HAPTIC: u32 = 1 << 5;
const OFFLINE_STORAGE: u32 = 1 << 6;

/// The features of an Omi.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features(u32);

impl Features {
    pub(super) fn read(value: &[u8]) -> Result<Self, DropReason> {
        let bits = value.try_into().map_err(|_| DropReason::Malformed)?;
        Ok(Self(u32::from_le_bytes(bits)))
    }

    pub(super) fn has_haptics(self) -> bool {
        self.0 & HAPTIC != 0
    }

    pub(super) fn has_storage(self) -> bool {
        self.0 & OFFLINE_STORAGE != 0
    }
}
