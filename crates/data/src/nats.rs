//! Steps on NATS: a stream of JetStream copied into a table, and a probe.
//!
//! - [`ask`]: the calls, and what they answer.
//! - [`client`]: who answers them in a run.
//! - `item`: a message as an item of a table.
//! - `table`: the table that a stream is copied into.
//! - [`jetstream_to_dynamodb`], [`probe`]: the operations.
//!
//! Nothing here ever changes a stream: its messages are read one by one, by their sequence numbers, without a consumer.

pub mod ask;
pub mod client;
pub(crate) mod item;
pub mod jetstream_to_dynamodb;
pub mod probe;
pub(crate) mod table;
