//! The worker at the other end of MQTT: asks a cloud model the hard queries.
