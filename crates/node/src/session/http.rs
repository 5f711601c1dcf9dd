//! The state of a connection that speaks HTTP.

use ringhold_wire::http::decode::Decoder;

/// What is kept between the requests of a connection.
#[derive(Debug)]
pub(crate) struct HttpSession {
    /// Where the search for the end of a head stopped.
    pub(crate) decoder: Decoder,
    /// Whether the client was told to send the body of the request that is coming in.
    pub(crate) is_continued: bool,
}
