//! `glassd-cloud`: the worker at the other end of MQTT. It takes the hard queries of every gateway on
//! a broker, asks a model server, and answers.
//!
//! Any number of workers share the load: they subscribe `$share/cloud/<prefix>/+/query`. A broker that shares no subscriptions
//! (NATS, RabbitMQ, any in MQTT 3.1.1) should have one worker: each would answer, and gateways take the first. A worker keeps
//! nothing on disk; a query that dies with it is asked again by its gateway.
//!
//! It leaves out: which queries are hard (the gateway's policies), model serving (vLLM, Ollama,
//! llama.cpp, LiteLLM … behind an OpenAI-compatible endpoint). How a broker is reached is `glassd-mqtt`'s.
//!
//! Invariants:
//! - a query is acknowledged only after its answer was handed to the broker, and in the order of
//!   arrival (MQTT 5, 4.6; rumqttd disconnects a client that does otherwise);
//! - answers go only to `<prefix>/<gateway>/answer…` of the gateway that asked;
//! - whatever a gateway or the model server sends ends at worst its own query;
//! - no question, answer or image is logged.

mod backend;
mod chat;
mod inquiry;
mod link;
mod worker;

pub use backend::{
    Backend, BackendError, DEFAULT_PROMPT, InvalidBackend, OpenAi, OpenAiSettings, Question, Reply,
};
pub use glassd_core::broker::{BrokerAddress, InvalidBrokerAddress};
pub use glassd_mqtt::{AccessFiles, Version};
pub use worker::{Counts, Worker, WorkerConfig};
