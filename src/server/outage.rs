//! What callers are told while there is no database to write to: soon, and that they may come again.
//!
//! Calls that write are refused before they begin, so that nothing piles up behind a database that takes nothing. All
//! others try, for it may still be read; but nobody is kept waiting for long.

use std::future::pending;
use std::time::Duration;

use http::Response;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::{Code, Status};

use super::answer::refusal;

/// How long a call that writes waits for a database that was away a moment ago.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a call that is under way may go on without a database.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the names of methods begin with that write nothing.
const READS: [&str; 9] = [
    "Get", "List", "Describe", "Watch", "Read", "Diff", "Explain", "Export", "Validate",
];

/// What the names of methods begin with that take as long as the caller wants, or need the database for little of what
/// they do.
const ON_THEIR_OWN: [&str; 2] = ["Wait", "Test"];

/// Whose methods are told apart by their names.
const OURS: &str = "/synapps.v1.";

/// What a call needs of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Write,
    Read,
    Nothing,
}

/// Answers a call, or says that there is no database.
pub(super) async fn answered(
    path: &str,
    mut database: watch::Receiver<bool>,
    call: impl Future<Output = Response<Body>>,
) -> Response<Body> {
    let need = need(path);
    if need == Need::Write
        && timeout(PAUSE, database.wait_for(|there| *there))
            .await
            .is_err()
    {
        return away().into_http();
    }
    match need {
        Need::Nothing => call.await,
        Need::Write | Need::Read => tokio::select! {
            biased;
            answer = call => answer,
            () = gone(database) => away().into_http(),
        },
    }
}

fn need(path: &str) -> Need {
    let Some((_, method)) = path
        .strip_prefix(OURS)
        .and_then(|called| called.split_once('/'))
    else {
        return Need::Nothing;
    };
    let begins = |beginnings: &[&str]| beginnings.iter().any(|word| method.starts_with(word));
    if begins(&ON_THEIR_OWN) {
        Need::Nothing
    } else if begins(&READS) {
        Need::Read
    } else {
        Need::Write
    }
}

/// Waits until the database has been away for a while.
async fn gone(mut database: watch::Receiver<bool>) {
    loop {
        // Nobody says anything more when the process ends.
        if database.wait_for(|there| !there).await.is_err() {
            return pending().await;
        }
        if timeout(PATIENCE, database.wait_for(|there| *there))
            .await
            .is_err()
        {
            return;
        }
    }
}

fn away() -> Status {
    refusal(
        Code::Unavailable,
        "DATABASE_UNAVAILABLE",
        "the database cannot be reached or takes nothing now; try again",
        [],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "/synapps.v1.RunService/StartRun";
    const GET: &str = "/synapps.v1.RunService/GetRun";

    async fn code(path: &str, database: &watch::Sender<bool>, call: Option<()>) -> Option<Code> {
        let call = async {
            match call {
                Some(()) => Status::ok("").into_http(),
                None => pending().await,
            }
        };
        let answer = answered(path, database.subscribe(), call);
        let answer = timeout(Duration::from_mins(1), answer).await.ok()?;
        Status::from_header_map(answer.headers()).map(|status| status.code())
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_database_writes_are_refused_and_reads_tried() {
        let database = watch::Sender::new(false);

        assert_eq!(
            code(START, &database, Some(())).await,
            Some(Code::Unavailable)
        );
        assert_eq!(code(GET, &database, Some(())).await, Some(Code::Ok));
        assert_eq!(code(GET, &database, None).await, Some(Code::Unavailable));
        let wait = "/synapps.v1.RunService/WaitRun";
        assert_eq!(code(wait, &database, None).await, None, "it has a time");
        let other = "/synapps.internal.v1.RelayService/Follow";
        assert_eq!(code(other, &database, Some(())).await, Some(Code::Ok));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_under_way_outlasts_a_short_outage_and_no_long_one() {
        let database = watch::Sender::new(true);
        let call = code(START, &database, None);
        let outage = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            database.send_replace(false);
            tokio::time::sleep(Duration::from_secs(1)).await;
            database.send_replace(true);
            tokio::time::sleep(Duration::from_secs(10)).await;
            database.send_replace(false);
            tokio::time::Instant::now()
        };

        let began = tokio::time::Instant::now();
        let (code, _) = tokio::join!(call, outage);

        assert_eq!(code, Some(Code::Unavailable));
        assert_eq!(began.elapsed().as_secs(), 14);
    }
}
