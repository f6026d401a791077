//! The first answer of a container that is not there, stopped or paused.

use std::time::{Duration, Instant};

use crate::bridge::Rig;
use crate::client::Connection;
use crate::report::{Cell, Table};

/// Time to the first answer, from each state, a few times over.
pub(crate) async fn measure(quick: bool) -> Table {
    let times = if quick { 3 } else { 7 };
    let rig = Rig::start(&["--pause-after", "1", "--stop-after", "3"]).await;
    let mut line = rig.connect().await;
    let (mut cold, mut paused, mut stopped) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..times {
        let begun = Instant::now();
        rig.put(&mut line).await;
        rig.call(&mut line).await;
        cold.push(begun.elapsed());
        for (state, into) in [("paused", &mut paused), ("stopped", &mut stopped)] {
            asleep(&rig, &mut line, state).await;
            let begun = Instant::now();
            rig.call(&mut line).await;
            into.push(begun.elapsed());
        }
        let (status, body) = rig.ask(&mut line, "DELETE", "", Vec::new(), "").await;
        assert_eq!(status, 204, "{body}");
    }
    let columns = &["container", "best ms", "median ms", "worst ms"];
    let mut table =
        Table::new("wake", format!("The first answer through the provisioner, {times} times each"), columns);
    for (state, mut took) in [("not there", cold), ("stopped", stopped), ("paused", paused)] {
        took.sort();
        let at = |index: usize| {
            took.get(index).map_or(Cell::Nothing, |time| Cell::Number(time.as_secs_f64() * 1e3, 1))
        };
        table.row(vec![state.into(), at(0), at(took.len() / 2), at(took.len() - 1)]);
    }
    table
}

/// Waits until the provisioner has put the workload into that state.
async fn asleep(rig: &Rig, line: &mut Connection, state: &str) {
    let patience = Instant::now() + Duration::from_mins(1);
    loop {
        let (_, body) = rig.ask(line, "GET", "", Vec::new(), "").await;
        if body.contains(&format!(r#""state":"{state}""#)) {
            return;
        }
        assert!(Instant::now() < patience, "it never is {state}: {body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
