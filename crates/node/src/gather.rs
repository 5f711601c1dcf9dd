//! Long requests that are gathered: while bytes are surely missing, what comes is put behind what is there and looked at no
//! further, so that each byte of a request is copied a constant number of times however slowly it arrives.

use crate::session::{Session, Speaks};
use crate::turn::COMMAND_LEN_MAX;

/// Shorter requests are decoded with each of their pieces: that costs less than knowing better.
const GATHERED_LEN_MIN: usize = 32 * 1024;

/// How many bytes must come until the request that `rest` begins with can be whole; 0: unknown, or not worth it. `rest` is
/// what the session's decoder saw last.
pub(crate) fn missing_len(session: &mut Session, rest: &[u8], value_len_max: usize) -> usize {
    if rest.len() < GATHERED_LEN_MIN {
        return 0;
    }
    match &mut session.speaks {
        Speaks::Resp(resp) => {
            let missing = resp.decoder.missing_len(rest, resp.limits(value_len_max));
            // One byte over the limit is enough to be refused.
            missing.min((COMMAND_LEN_MAX + 1).saturating_sub(rest.len()))
        }
        Speaks::Http(http) => match http.decoder.decode(rest) {
            Ok(Some(request)) if request.body_len <= value_len_max => {
                (request.head_len + request.body_len).saturating_sub(rest.len())
            }
            Ok(_) | Err(_) => 0,
        },
    }
}
