//! The state of a connection that speaks HTTP.

use ringhold_wire::http::decode::Decoder;
use ringhold_wire::http::repeat::Repeat;

/// What is kept between the requests of a connection.
#[derive(Debug, Default)]
pub(crate) struct HttpSession {
    /// Where the search for the end of a head stopped.
    pub(crate) decoder: Decoder,
    /// The last plain read, which most requests repeat.
    pub(crate) repeat: Repeat,
    /// Whether the client was told to send the body of the request that is coming in.
    pub(crate) is_continued: bool,
}
