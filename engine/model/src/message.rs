//! A message on its way out.

use crate::coded::coded;

coded! {
    /// Where a message stands.
    pub enum MessageStatus {
        /// In the outbox; due at its due time.
        Queued = "queued",
        /// Recorded as being on the wire.
        Sending = "sending",
        /// Accepted by the receiving server, or kept in the built-in mailbox.
        Sent = "sent",
        /// Refused for good, or not renderable.
        Failed = "failed",
        /// The process ended between *sending* and the server's answer: nobody here can know.
        Uncertain = "uncertain",
        /// A person gave it up, failed or uncertain as it was: it is never sent.
        Dropped = "dropped",
    }
}
