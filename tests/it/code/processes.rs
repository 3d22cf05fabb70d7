//! The processes of programs end with their steps, and all of them with the service.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use synapps::proto::RunState;

use super::{program, run};
use crate::support::binary::Binary;
use crate::support::within;

/// Processes that the service has started.
fn children(server: &Binary) -> Vec<i32> {
    let service = server.pid().as_raw_pid().to_string();
    let ids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse::<i32>().ok()
    });
    ids.filter(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(") ").map(|(_, rest)| rest);
        fields.and_then(|fields| fields.split(' ').nth(1)) == Some(&service)
    })
    .collect()
}

/// Waits until no process is left of which this holds.
async fn gone(what: &str, mut left: impl FnMut() -> usize) {
    let wait = async {
        while left() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(what, wait).await;
}

/// Waits until there are only processes that wait for programs: as many as there are cores for each language.
pub(super) async fn nobody_is_left(server: &Binary) {
    let cores = std::thread::available_parallelism().unwrap().get();
    gone("the end of the programs", || {
        children(server).len().saturating_sub(2 * cores)
    })
    .await;
}

fn is_there(id: i32) -> bool {
    std::fs::metadata(format!("/proc/{id}")).is_ok()
}

/// Starts a program that runs for long, and gives its run and the service's processes once it runs.
async fn busy(server: &Binary, language: &str) -> (String, Vec<i32>) {
    let code = match language {
        "python" => "import time\nprint('running')\ntime.sleep(100)",
        _ => "console.log('running'); setTimeout(() => {}, 100000)",
    };
    // So that it runs in a process that waited for it.
    run(server, language, "result = 1", &json!({})).await;
    let flow = program(&format!("busy-{language}"), language, code, &json!({}));
    let run_id = server.save_and_start(flow, &json!({})).await;
    server.run_in_state(&run_id, RunState::Running).await;
    let all = within("a process", async {
        loop {
            let all = children(server);
            if !all.is_empty() {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    (run_id, all)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_program_is_killed() {
    let server = Binary::start(&[]).await;

    for language in ["python", "javascript"] {
        let (run_id, _) = busy(&server, language).await;
        server.cancel(&run_id).await.unwrap();
        let run = server.finished_run(&run_id).await;

        assert_eq!(run.state(), RunState::Cancelled);
    }
    nobody_is_left(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_service_leaves_no_process_behind() {
    let mut server = Binary::start(&[]).await;
    let (_, _) = busy(&server, "python").await;
    let (_, _) = busy(&server, "javascript").await;
    let all = children(&server);
    assert!(all.len() >= 2, "{all:?}");

    server.kill().await;

    gone("the processes of a killed service", || {
        all.iter().filter(|id| is_there(**id)).count()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ends_in_order_leaves_no_process_behind() {
    let mut server = Binary::start(&[]).await;
    run(&server, "python", "result = 1", &json!({})).await;
    run(&server, "javascript", "result = 1", &json!({})).await;
    let all = children(&server);

    server.terminate().await;

    gone("the processes of a service that has ended", || {
        all.iter().filter(|id| is_there(**id)).count()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_whose_process_is_killed_from_outside_fails_alone() {
    let server = Binary::start(&[]).await;
    let (run_id, _) = busy(&server, "javascript").await;

    // Those that wait are killed too, and replaced when they are needed.
    within("the end of the run", async {
        while server.get(&run_id).await.state() == RunState::Running {
            for id in children(&server) {
                let id = rustix::process::Pid::from_raw(id).unwrap();
                // It may have ended by itself.
                let _ = rustix::process::kill_process(id, Signal::KILL);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let again = run(&server, "javascript", "result = 2", &json!({})).await;

    let ended = super::Ended::of(&server.finished_run(&run_id).await);
    assert_eq!(ended.reason, "CODE_KILLED", "{ended:?}");
    assert_eq!(again.output(), json!(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_says_at_its_start_how_code_is_jailed() {
    let server = Binary::start(&["--code-probe=true"]).await;
    for language in ["python", "javascript"] {
        let line = server
            .log()
            .line_with(&format!("\"language\":\"{language}\""))
            .await;
        assert!(line.contains("code runs in a jail"), "{line}");
        assert!(
            line.contains("seccomp") && line.contains("landlock"),
            "{line}"
        );
    }

    let off = Binary::start(&["--code-probe=true", "--code-sandbox=off"]).await;
    off.log().line_with("it is switched off").await;
}
