//! A simulated wearer: looks at a room, asks, gets the answer, looks on.

use std::time::Duration;

use glassd_core::query::{Answered, Ending};
use glassd_core::{GlassesId, QueryId};
use glassd_sim::questions::Question;
use glassd_sim::world::Room;
use tokio::sync::mpsc;

use super::live::Live;
use super::remote::Remote;
use crate::control::{Ask, Reply, Request};
use crate::event_loop::Event;
use crate::links::simulated::Direction;

/// How long a wearer looks before asking: longer than a frame may be old (`queries.frame_freshness_ms`).
const GAZE: Duration = Duration::from_millis(1200);

/// When a command over MQTT is sent again.
const REPEAT: Duration = Duration::from_secs(3);

/// One thing to look at and to ask.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// Where to look.
    pub room: Room,
    /// What to ask about it.
    pub question: Question,
    /// By which way.
    pub way: Way,
}

/// How a question reaches the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As the command line does, over the control channel.
    Control,
    /// As an MQTT command.
    Mqtt,
    /// A press of the button, which asks the configured question.
    Button,
}

/// How one question went.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// The explanation; `None` when no answer came.
    pub answered: Option<Answered>,
    /// The answer agrees with the ground truth.
    pub right: bool,
}

/// Everything a wearer has at hand.
pub(super) struct Wearer {
    /// Whose glasses.
    pub glasses: GlassesId,
    /// Stage directions for the glasses.
    pub directions: mpsc::Sender<Direction>,
    /// The daemon.
    pub events: mpsc::Sender<Event>,
    /// An MQTT client of somebody else.
    pub remote: Remote,
    /// Ended queries of these glasses.
    pub ended: mpsc::Receiver<Answered>,
    /// The screen.
    pub live: Live,
    /// When the wearer gives up on an answer.
    pub(crate) patience: Duration,
}

impl Wearer {
    /// Goes through the tasks.
    pub(super) async fn wear(mut self, tasks: Vec<Task>) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for task in tasks {
            let room = Box::new(task.room.clone());
            // Glasses that are gone give no answers, which is noticed below.
            let _ = self.directions.send(Direction::LookAt(room)).await;
            tokio::time::sleep(GAZE).await;
            let answered = tokio::time::timeout(self.patience, self.answer(&task)).await.ok().flatten();
            let right = answered.as_ref().is_some_and(|answered| {
                answered.ending == Ending::Answered && task.question.judge(&answered.answer)
            });
            match &answered {
                Some(answered) => self.live.answer(&self.glasses, answered, right),
                None => self.live.line(&self.glasses, &format!("“{}” got no answer  ✗", task.question.text)),
            }
            outcomes.push(Outcome { answered, right });
        }
        outcomes
    }

    /// Asks, and waits for the answer. A command that reaches the broker while the gateway is away reaches
    /// nobody, so it is sent again under the same name, which the gateway takes once.
    async fn answer(&mut self, task: &Task) -> Option<Answered> {
        let query = crate::random_query_id();
        loop {
            self.ask(task, query).await;
            if task.way != Way::Mqtt {
                return self.ended.recv().await;
            }
            if let Ok(answered) = tokio::time::timeout(REPEAT, self.ended.recv()).await {
                return answered;
            }
        }
    }

    async fn ask(&self, task: &Task, query: QueryId) {
        let text = task.question.text.clone();
        match task.way {
            Way::Button => {
                let _ = self.directions.send(Direction::Press).await;
            }
            Way::Mqtt => self.remote.ask(&self.glasses, &text, query).await,
            Way::Control => {
                // The answer comes by `ended`, so nobody reads the replies.
                let (replies, _) = mpsc::channel::<Reply>(1);
                let request =
                    Request::Ask(Ask { text, glasses: Some(self.glasses.clone()), query: Some(query) });
                let _ = self.events.send(Event::Control { request, replies }).await;
            }
        }
    }
}

/// Counts answers that reached the wearer more than once, and questions whose answer did not.
pub(super) fn reconcile(outcomes: &[Outcome], told: &[(QueryId, String)]) -> (usize, usize) {
    let times = |query: QueryId| told.iter().filter(|(told, _)| *told == query).count();
    let lost = outcomes
        .iter()
        .filter(|outcome| outcome.answered.as_ref().is_none_or(|answered| times(answered.query) == 0))
        .count();
    let mut queries: Vec<QueryId> = told.iter().map(|(query, _)| *query).collect();
    queries.sort_unstable();
    let before = queries.len();
    queries.dedup();
    (lost, before - queries.len())
}
