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
/// Firmware revision string, `2A26` in the Device Information service: see [`super::omi::Firmware`].
pub const FIRMWARE_REVISION: u128 = sig(0x2A26);

/// Omi features service: `19B10020-E8F2-537E-4F6C-D104768A1214`.
pub const FEATURES_SERVICE: u128 = OMI_SERVICE | 0x20 << 96;
/// Omi clock service: `19B10030-E8F2-537E-4F6C-D104768A1214`.
pub const TIME_SYNC_SERVICE: u128 = OMI_SERVICE | 0x30 << 96;
/// Omi accelerometer service: `32403790-0000-1000-7450-BF445E5829A2`.
pub const ACCELEROMETER_SERVICE: u128 = 0x3240_3790_0000_1000_7450_BF44_5E58_29A2;
/// Omi offline storage service: `30295780-4301-EABD-2904-2849ADFEAE43`.
pub const STORAGE_SERVICE: u128 = 0x3029_5780_4301_EABD_2904_2849_ADFE_AE43;

/// Service of Brilliant's Frame: `7A230001-5475-A6A4-654C-8431F6AD49C4`.
pub const FRAME_SERVICE: u128 = 0x7A23_0001_5475_A6A4_654C_8431_F6AD_49C4;
/// Nordic's UART service, which Even's G1 uses: `6E400001-B5A3-F393-E0A9-E50E24DCCA9E`.
pub const EVEN_SERVICE: u128 = 0x6E40_0001_B5A3_F393_E0A9_E50E_24DC_CA9E;
/// Service of Mentra's glasses: `00004860-0000-1000-8000-00805F9B34FB`.
pub const MENTRA_SERVICE: u128 = sig(0x4860);
/// Service of the gateway's own open profile: `7B1D0010-6C61-7373-642D-676C61737365`.
pub const OPEN_SERVICE: u128 = 0x7B1D_0010_6C61_7373_642D_676C_6173_7365;

/// Returns the UUID of a characteristic.
pub const fn of(characteristic: Characteristic) -> u128 {
    match characteristic {
        Characteristic::Audio => OMI_SERVICE | 1 << 96,
        Characteristic::Codec => OMI_SERVICE | 2 << 96,
        Characteristic::PhotoData => OMI_SERVICE | 5 << 96,
        Characteristic::PhotoControl => OMI_SERVICE | 6 << 96,
        Characteristic::Button => 0x23BA_7925_0000_1000_7450_346E_AC49_2E92,
        Characteristic::Haptic => 0xCAB1_AB96_2EA5_4F4D_BB56_874B_72CF_C984,
        Characteristic::Features => FEATURES_SERVICE + (1 << 96),
        Characteristic::TimeSync => TIME_SYNC_SERVICE + (1 << 96),
        Characteristic::Accelerometer => ACCELEROMETER_SERVICE + (1 << 96),
        Characteristic::Storage => STORAGE_SERVICE + (1 << 96),
        Characteristic::BatteryLevel => sig(0x2A19),
        Characteristic::AnswerText => 0x7B1D_0002_6C61_7373_642D_676C_6173_7365,
        Characteristic::FrameTx => FRAME_SERVICE + (1 << 96),
        Characteristic::FrameRx => FRAME_SERVICE + (2 << 96),
        Characteristic::EvenTx(_) => EVEN_SERVICE + (1 << 96),
        Characteristic::EvenRx(_) => EVEN_SERVICE + (2 << 96),
        Characteristic::MentraTx => sig(0x71FF),
        Characteristic::MentraRx => sig(0x70FF),
        Characteristic::OpenControl => OPEN_SERVICE + (1 << 96),
        Characteristic::OpenData => OPEN_SERVICE + (2 << 96),
    }
}

/// Returns the full UUID of a 16-bit one (Bluetooth Core 5.4, Vol 3, Part B, 2.5.1).
const fn sig(short: u16) -> u128 {
    0x0000_0000_0000_1000_8000_0080_5F9B_34FB | (short as u128) << 96
}
