//! Where the values of [`Characteristic`]s are found in the glasses' GATT table.

use super::Characteristic;

/// Omi service, in the advertisement: `19B10000-E8F2-537E-4F6C-D104768A1214`.
pub const OMI_SERVICE: u128 = 0x19B1_0000_E8F2_537E_4F6C_D104_768A_1214;
/// Button service: `23BA7924-0000-1000-7450-346EAC492E92`.
pub const BUTTON_SERVICE: u128 = 0x23BA_7924_0000_1000_7450_346E_AC49_2E92;
/// Haptic service: `CAB1AB95-2EA5-4F4D-BB56-874B72CFC984`.
pub const HAPTIC_SERVICE: u128 = 0xCAB1_AB95_2EA5_4F4D_BB56_874B_72CF_C984;
/// Answer text service of the gateway's own open profile: `7B1D0001-6C61-7373-642D-676C61737365`.
pub const ANSWER_TEXT_SERVICE: u128 = 0x7B1D_0001_6C61_7373_642D_676C_6173_7365;
/// Battery service of the Bluetooth SIG: `180F`.
pub const BATTERY_SERVICE: u128 = sig(0x180F);
/// Device Information service of the Bluetooth SIG: `180A`.
pub const DEVICE_INFORMATION_SERVICE: u128 = sig(0x180A);
/// Firmware revision string, `2A26` in the Device Information service: see [`super::Firmware`].
pub const FIRMWARE_REVISION: u128 = sig(0x2A26);

/// Every characteristic that the link uses.
pub const CHARACTERISTICS: [Characteristic; 8] = [
    Characteristic::Audio,
    Characteristic::Codec,
    Characteristic::PhotoData,
    Characteristic::PhotoControl,
    Characteristic::Button,
    Characteristic::Haptic,
    Characteristic::BatteryLevel,
    Characteristic::AnswerText,
];

/// Returns the UUID of a characteristic.
pub const fn of(characteristic: Characteristic) -> u128 {
    match characteristic {
        Characteristic::Audio => OMI_SERVICE | 1 << 96,
        Characteristic::Codec => OMI_SERVICE | 2 << 96,
        Characteristic::PhotoData => OMI_SERVICE | 5 << 96,
        Characteristic::PhotoControl => OMI_SERVICE | 6 << 96,
        Characteristic::Button => 0x23BA_7925_0000_1000_7450_346E_AC49_2E92,
        Characteristic::Haptic => 0xCAB1_AB96_2EA5_4F4D_BB56_874B_72CF_C984,
        Characteristic::BatteryLevel => sig(0x2A19),
        Characteristic::AnswerText => 0x7B1D_0002_6C61_7373_642D_676C_6173_7365,
    }
}

/// Returns the characteristic with this UUID.
pub fn characteristic(uuid: u128) -> Option<Characteristic> {
    CHARACTERISTICS.into_iter().find(|characteristic| of(*characteristic) == uuid)
}

/// Returns the full UUID of a 16-bit one (Bluetooth Core 5.4, Vol 3, Part B, 2.5.1).
const fn sig(short: u16) -> u128 {
    0x0000_0000_0000_1000_8000_0080_5F9B_34FB | (short as u128) << 96
}
