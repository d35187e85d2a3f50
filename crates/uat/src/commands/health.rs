//! `uat health`

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use hyper::StatusCode;
use runtime::{EndpointHealth, EndpointState};
use serde::Deserialize;

use crate::failure::Failure;
use crate::running::Server;
use crate::table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// Print the server's JSON for programs.
    #[arg(long)]
    json: bool,
    /// Ask only whether the server is alive, which needs no key: for the health check of a container.
    #[arg(long, conflicts_with = "json")]
    live: bool,
}

#[derive(Debug, Deserialize)]
struct Board {
    endpoints: Vec<EndpointHealth>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let path = if args.live { "/health/live" } else { "/v1/endpoints" };
    let answer = args.server.get(path)?;
    if answer.status != StatusCode::OK {
        return Err(args.server.refusal(answer.status, "an admin key"));
    }
    let body = answer.body;
    if args.live {
        writeln!(io::stdout(), "alive")?;
        return Ok(());
    }
    let board: Board = serde_json::from_slice(&body)
        .map_err(|error| args.server.nobody(&format!("the answer is not a list of endpoints ({error})")))?;
    let mut out = io::stdout().lock();
    if args.json {
        out.write_all(&body)?;
        writeln!(out)?;
    } else {
        print(&mut out, &board.endpoints, SystemTime::now())?;
    }
    let is_out =
        |health: &EndpointHealth| matches!(health.state, EndpointState::Open | EndpointState::Quarantined);
    if board.endpoints.iter().any(is_out) { Err(Failure::Shown) } else { Ok(()) }
}

fn print(out: &mut impl Write, endpoints: &[EndpointHealth], now: SystemTime) -> io::Result<()> {
    if endpoints.is_empty() {
        return writeln!(out, "There are no endpoints: uat config show");
    }
    let mut rows = vec![
        ["ENDPOINT", "STATE", "FIRST TOKEN", "IN FLIGHT", "QUEUED", "ERRORS", "LAST CHANGE", "LAST ERROR"]
            .map(str::to_owned),
    ];
    for health in endpoints {
        let change = health.history.last().map_or_else(
            || "-".to_owned(),
            |change| format!("{} ago: {}", age(change.at_ms, now), change.reason),
        );
        let first_token = match health.ewma_first_token_ms {
            0.0 => "-".to_owned(),
            ms => format!("{ms:.0} ms"),
        };
        rows.push([
            health.endpoint.to_string(),
            health.state.as_str().to_owned(),
            first_token,
            health.in_flight.to_string(),
            health.queued.to_string(),
            format!("{:.0} %", health.error_rate * 100.0),
            change,
            health.last_error.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table::write(out, &rows)
}

/// How long ago that was, in its largest unit.
fn age(at_ms: u64, now: SystemTime) -> String {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = now.saturating_sub(Duration::from_millis(at_ms)).as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use runtime::StateChange;

    use super::*;

    #[test]
    fn the_table_says_how_each_endpoint_is_and_why() {
        let healthy = EndpointHealth {
            endpoint: "near".into(),
            state: EndpointState::Healthy,
            ewma_first_token_ms: 12.4,
            in_flight: 2,
            queued: 0,
            error_rate: 0.0,
            last_error: None,
            history: Vec::new(),
        };
        let change = StateChange {
            at_ms: 40_000,
            from: EndpointState::Healthy,
            to: EndpointState::Open,
            reason: "status 503 (UAT_UPSTREAM)".to_owned(),
        };
        let open = EndpointHealth {
            endpoint: "far-away".into(),
            state: EndpointState::Open,
            ewma_first_token_ms: 0.0,
            queued: 7,
            error_rate: 0.5,
            last_error: Some("status 503 (UAT_UPSTREAM)".to_owned()),
            history: vec![change],
            ..healthy.clone()
        };
        let mut out = Vec::new();
        print(&mut out, &[healthy, open], SystemTime::UNIX_EPOCH + Duration::from_secs(165)).unwrap();
        let expected = "\
ENDPOINT  STATE    FIRST TOKEN  IN FLIGHT  QUEUED  ERRORS  LAST CHANGE                       LAST ERROR
near      healthy  12 ms        2          0       0 %     -                                 -
far-away  open     -            2          7       50 %    2 min ago: status 503 (UAT_UPSTREAM)  status 503 (UAT_UPSTREAM)
";
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let table = String::from_utf8(out).unwrap();
        assert_eq!(squeezed(&table), squeezed(expected));
        let column = |line: &str, word: &str| line.find(word);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(column(lines[0], "LAST CHANGE"), column(lines[2], "2 min ago"));
    }

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(200_000);
        let before = |seconds: u64| age(200_000_000 - seconds * 1000, now);
        assert_eq!(
            [0, 59, 60, 3_599, 3_600, 90_000].map(before),
            ["0 s", "59 s", "1 min", "59 min", "1 h", "1 d"]
        );
        assert_eq!(age(u64::MAX, now), "0 s", "a clock that runs behind");
    }
}
