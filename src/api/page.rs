//! Pages of lists: how many, where to go on, and how much fits into an answer.
//!
//! A token says which list it is of and where the next page begins. It carries a hash of the list's name and the other
//! parameters of the request, so that it is refused where these have changed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;

use super::convert::violation;
use crate::flow::Violation;
use crate::value::canonical;

/// How many are given where the client does not say.
const DEFAULT_SIZE: usize = 50;
/// The most that are given.
const MAX_SIZE: usize = 1_000;

/// Raised when what follows in a token changes its meaning.
const VERSION: u8 = 1;
/// How many bytes of the hash a token carries.
const HASH_BYTES: usize = 12;
/// The longest token that is looked at, in bytes. Ours hold an id and a time, and are far shorter.
const MAX_TOKEN_BYTES: usize = 2_000;

/// How many are wanted: 50 for 0, 1,000 for more than that.
///
/// # Errors
///
/// `OUT_OF_BOUNDS` if it is negative.
pub fn size(size: i32, field: &str) -> Result<usize, Violation> {
    match usize::try_from(size) {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(size.min(MAX_SIZE)),
        Err(_) => {
            let description =
                format!("is {size}, it has to be 0 (for {DEFAULT_SIZE}) to {MAX_SIZE}");
            Err(violation(field, "OUT_OF_BOUNDS", description))
        }
    }
}

/// A token for the page that begins after `cursor` in the list that `rpc` gives for `parameters`: the request without
/// page size and token.
#[must_use]
pub fn token(rpc: &str, parameters: &impl Message, cursor: &str) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(hash(rpc, parameters));
    bytes.extend(cursor.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The cursor in a token; `None` if the token is empty, which stands for the first page.
///
/// # Errors
///
/// `INVALID_PAGE_TOKEN` if it is none of ours, or was given for another list or other parameters.
pub fn cursor(
    rpc: &str,
    parameters: &impl Message,
    token: &str,
) -> Result<Option<String>, Violation> {
    if token.is_empty() {
        return Ok(None);
    }
    if token.len() > MAX_TOKEN_BYTES {
        return Err(malformed());
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| malformed())?;
    let (version, rest) = bytes.split_first().ok_or_else(malformed)?;
    let (hashed, cursor) = rest.split_at_checked(HASH_BYTES).ok_or_else(malformed)?;
    if *version != VERSION {
        return Err(malformed());
    }
    if hashed != hash(rpc, parameters) {
        let description = "was given for another list, or for other filters or another order; \
                           only page_size may change between pages";
        return Err(violation("page_token", "INVALID_PAGE_TOKEN", description));
    }
    String::from_utf8(cursor.to_vec())
        .map(Some)
        .map_err(|_| malformed())
}

/// A cursor as the list needs it.
///
/// # Errors
///
/// `INVALID_PAGE_TOKEN` if it is not of that form.
pub fn parse<T: std::str::FromStr>(cursor: &str) -> Result<T, Violation> {
    cursor.parse().map_err(|_| malformed())
}

/// What is said of a token that is none of ours, also where its cursor cannot be read.
#[must_use]
pub fn malformed() -> Violation {
    let description =
        "is no token of this list: send the next_page_token of the page before, or none";
    violation("page_token", "INVALID_PAGE_TOKEN", description)
}

fn hash(rpc: &str, parameters: &impl Message) -> [u8; HASH_BYTES] {
    let mut text = rpc.as_bytes().to_vec();
    // Ends the name, which has none in it.
    text.push(0);
    text.extend(parameters.encode_to_vec());
    let mut hash = [0; HASH_BYTES];
    hash.copy_from_slice(&canonical::digest(&text)[..HASH_BYTES]);
    hash
}

/// Bytes of an item's tag and length in a repeated field, for items of less than 256 MiB.
const FRAME: usize = 5;

/// Leaves as many items of a repeated field as fit into `budget` bytes, but always one, and says whether that were all.
///
/// `reserve` is what is added to each item later, in bytes.
pub fn cut<T: Message>(items: &mut Vec<T>, reserve: usize, budget: usize) -> bool {
    let mut total = 0;
    let fitting = items
        .iter()
        .take_while(|item| {
            total += item.encoded_len() + FRAME + reserve;
            total <= budget
        })
        .count();
    let before = items.len();
    items.truncate(fitting.max(1));
    items.len() == before
}

/// The most bytes that these items take in a repeated field.
#[must_use]
pub fn bytes<T: Message>(items: &[T]) -> usize {
    items.iter().map(|item| item.encoded_len() + FRAME).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{ListFlowRevisionsRequest, ListFlowsRequest};

    fn parameters(key: &str) -> ListFlowsRequest {
        ListFlowsRequest {
            labels: [(key.to_owned(), "v".to_owned())].into(),
            ..ListFlowsRequest::default()
        }
    }

    #[test]
    fn sizes_have_a_default_and_a_bound() {
        assert_eq!(size(0, "page_size"), Ok(50));
        assert_eq!(size(1, "page_size"), Ok(1));
        assert_eq!(size(1_000, "page_size"), Ok(1_000));
        assert_eq!(size(i32::MAX, "page_size"), Ok(1_000));
        assert_eq!(size(-1, "page_size").unwrap_err().field, "page_size");
    }

    #[test]
    fn a_token_gives_its_cursor_back() {
        let given = token("ListFlows", &parameters("a"), "2026-01-02/é");

        let cursor = cursor("ListFlows", &parameters("a"), &given);

        assert_eq!(cursor, Ok(Some("2026-01-02/é".to_owned())));
    }

    #[test]
    fn no_token_is_the_first_page() {
        assert_eq!(cursor("ListFlows", &parameters("a"), ""), Ok(None));
    }

    #[test]
    fn tokens_of_other_lists_and_parameters_are_refused() {
        let given = token("ListFlows", &parameters("a"), "x");
        let other = ListFlowRevisionsRequest::default();

        for refused in [
            cursor("ListFlows", &parameters("b"), &given),
            cursor("ListRuns", &parameters("a"), &given),
            cursor("ListFlowRevisions", &other, &given),
        ] {
            assert_eq!(refused.unwrap_err().reason, "INVALID_PAGE_TOKEN");
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let whole = token("ListFlows", &parameters("a"), "x");
        let long = "A".repeat(10_000);

        for bad in ["x", "!!!", "AQ", &whole[..10], &long, "\0"] {
            let refused = cursor("ListFlows", &parameters("a"), bad);

            assert_eq!(refused.unwrap_err().reason, "INVALID_PAGE_TOKEN", "{bad}");
        }
    }

    #[test]
    fn what_does_not_fit_is_left_to_the_next_page() {
        let item = "x".repeat(100);
        let mut items = vec![item.clone(); 10];

        assert!(cut(&mut items, 0, 10_000));
        assert_eq!(items.len(), 10);
        assert!(!cut(&mut items, 0, 500));
        assert_eq!(items.len(), 4);
        assert!(!cut(&mut items, 0, 10));
        assert_eq!(items.len(), 1);
        assert!(cut(&mut Vec::<String>::new(), 0, 10));
    }
}
