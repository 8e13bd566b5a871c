//! Policies of the gateway: facts in, decision out.
