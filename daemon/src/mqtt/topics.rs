//! The topics of one gateway.

use glassd_core::GlassesId;

/// Every topic of one gateway, `<prefix>/<gateway>/…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics(String);

impl Topics {
    /// Takes the prefix (`glassd`) and the name of the gateway; neither has wildcards.
    pub fn new(prefix: &str, gateway: &str) -> Self {
        Self(format!("{prefix}/{gateway}"))
    }

    /// `online` or `offline`, retained, last will.
    pub fn status(&self) -> String {
        self.of("status")
    }

    /// State as JSON, retained.
    pub fn state(&self) -> String {
        self.of("state")
    }

    /// Hard queries, to the cloud.
    pub fn query(&self) -> String {
        self.of("query")
    }

    /// The response topic of hard queries.
    pub fn answer(&self) -> String {
        self.of("answer")
    }

    /// Every answer with its reasons, as JSON.
    pub fn answered(&self) -> String {
        self.of("answered")
    }

    /// What one pair of glasses saw, heard and did, as JSON.
    pub fn event(&self, glasses: &GlassesId) -> String {
        self.of(&format!("{glasses}/event"))
    }

    /// Filter of all commands.
    pub fn commands(&self) -> String {
        self.of("command/+")
    }

    /// One command.
    pub fn command(&self, name: &str) -> String {
        self.of(&format!("command/{name}"))
    }

    /// Reads the name of a command from its topic.
    pub fn command_name<'a>(&self, topic: &'a str) -> Option<&'a str> {
        let name = topic.strip_prefix(&self.0)?.strip_prefix("/command/")?;
        (!name.is_empty() && !name.contains('/')).then_some(name)
    }

    fn of(&self, leaf: &str) -> String {
        format!("{}/{leaf}", self.0)
    }
}
