//! The agent that BlueZ asks while it pairs (`org.bluez.Agent.rst`). Without one, a protected characteristic hangs for
//! 30 s and its device stays stuck.

use btleplug::api::BDAddr;
use zbus::{Connection, fdo, interface};
use zbus::{ObjectPath, OwnedObjectPath};

use super::bluez;

/// Where our agent is on our connection.
const PATH: ObjectPath<'static> = ObjectPath::from_static_str_unchecked("/glassd/agent");

/// What an agent answers.
pub trait Answers: Send + Sync + 'static {
    /// What whoever answers can do, in BlueZ' words: it decides which way of pairing is chosen.
    const CAPABILITY: &'static str;

    /// Tells whether a device may pair without anybody looking at it.
    fn allows(&self, device: BDAddr) -> impl Future<Output = bool> + Send;

    /// Tells whether the glasses show the same number.
    fn compares(&self, device: BDAddr, number: u32) -> impl Future<Output = bool> + Send;

    /// Returns the number that the glasses show.
    fn passkey(&self, device: BDAddr) -> impl Future<Output = Option<u32>> + Send;

    /// Shows the number that is to be typed on the glasses.
    fn show(&self, device: BDAddr, number: u32) -> impl Future<Output = ()> + Send;
}

/// BlueZ' side of the agent.
struct Agent<A>(A);

/// Makes an agent the one that BlueZ asks whenever a device wants to be paired; again after each start of bluetoothd.
pub(super) async fn register<A: Answers>(bus: &Connection, answers: A) -> zbus::Result<()> {
    register_own(bus, answers).await?;
    bluez::make_default_agent(bus, &PATH).await
}

/// Has an agent that BlueZ asks when this program pairs, and not otherwise.
pub async fn register_own<A: Answers>(bus: &Connection, answers: A) -> zbus::Result<()> {
    // One that is there already stays: its answers are the same.
    bus.object_server().at(PATH, Agent(answers)).await?;
    bluez::register_agent(bus, &PATH, A::CAPABILITY).await
}

#[interface(name = "org.bluez.Agent1")]
impl<A: Answers> Agent<A> {
    /// BlueZ lets the agent go.
    fn release(&self) {}

    /// BlueZ gave the last question up.
    fn cancel(&self) {}

    async fn request_authorization(&self, device: OwnedObjectPath) -> fdo::Result<()> {
        let device = address(&device)?;
        answered(self.0.allows(device).await)
    }

    async fn authorize_service(&self, device: OwnedObjectPath, _service: String) -> fdo::Result<()> {
        let device = address(&device)?;
        answered(self.0.allows(device).await)
    }

    async fn request_confirmation(&self, device: OwnedObjectPath, passkey: u32) -> fdo::Result<()> {
        let device = address(&device)?;
        answered(self.0.compares(device, passkey).await)
    }

    async fn request_passkey(&self, device: OwnedObjectPath) -> fdo::Result<u32> {
        let device = address(&device)?;
        self.0.passkey(device).await.ok_or_else(rejected)
    }

    async fn display_passkey(&self, device: OwnedObjectPath, passkey: u32, entered: u16) -> fdo::Result<()> {
        // It is called again for each digit that is typed.
        if entered == 0 {
            self.0.show(address(&device)?, passkey).await;
        }
        Ok(())
    }

    /// Of Bluetooth before 2.1, which no glasses have.
    fn request_pin_code(&self, _device: OwnedObjectPath) -> fdo::Result<String> {
        Err(rejected())
    }
}

fn answered(is_yes: bool) -> fdo::Result<()> {
    if is_yes { Ok(()) } else { Err(rejected()) }
}

/// BlueZ takes any error but `Canceled` for a no.
fn rejected() -> fdo::Error {
    fdo::Error::AccessDenied("rejected".to_owned())
}

/// Reads the address out of a path as `/org/bluez/hci0/dev_C0_11_22_33_44_55`.
fn address(device: &ObjectPath<'_>) -> fdo::Result<BDAddr> {
    let last = device.as_str().rsplit_once("/dev_").map(|(_, last)| last.replace('_', ":"));
    last.and_then(|address| address.parse().ok())
        .ok_or_else(|| fdo::Error::InvalidArgs(format!("{} is no device", device.as_str())))
}
