//! Leases of real processes: a daemon, commands that run with its memory, and what becomes of it all when one of them is killed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fake_nvml::Installed;
use serde_json::Value;
use testkit::FakeProvider;
use testkit::model_file::model;

use crate::support::{Place, configuration};

/// Nothing here takes so long; whoever waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon with GPUs that do not exist, until it is killed.
struct Daemon<'a> {
    place: &'a Place,
    child: Child,
}

impl<'a> Daemon<'a> {
    fn with_gpus(place: &'a Place, gpus: &str) -> Self {
        Self { place, child: listening(&mut place.command(&args(gpus))) }
    }

    /// Killed, and not asked.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn again(&mut self, gpus: &str) {
        self.child = listening(&mut self.place.command(&args(gpus)));
    }

    fn leases(&self) -> Value {
        self.place.run(&["gpu", "leases", "--json"]).json()
    }

    fn states(&self) -> Vec<String> {
        let leases = self.leases();
        let states = leases["leases"].as_array().unwrap().iter();
        states.map(|lease| lease["state"].as_str().unwrap().to_owned()).collect()
    }

    fn until(&self, states: &[&str]) {
        let end = Instant::now() + PATIENCE;
        while self.states() != states {
            assert!(Instant::now() < end, "{states:?} never came: {}", self.leases());
        }
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

fn args(gpus: &str) -> [&str; 8] {
    ["gpu", "daemon", "--fake-gpus", gpus, "--headroom", "0", "--quota", "greedy=2048"]
}

fn listening(command: &mut Command) -> Child {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("listening on /"), "{line:?}");
    child
}

fn run<'a>(place: &Place, more: &[&'a str], command: &[&'a str]) -> Command {
    let mut ran = place.command(&[&["gpu", "run"][..], more, &["--"][..], command].concat());
    ran.stdout(Stdio::piped()).stderr(Stdio::piped());
    ran
}

#[test]
fn a_command_runs_with_its_memory_and_ends_as_it_would_have_without() {
    let place = Place::empty();
    let daemon = Daemon::with_gpus(&place, "2x8192");
    let script = "echo $UAT_GPU_VRAM_MB $CUDA_VISIBLE_DEVICES; exit 7";
    let output = run(&place, &["--vram", "4096", "--gpus", "2"], &["sh", "-c", script]).output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.starts_with("4096 GPU-") && told.contains(",GPU-"), "{told}");
    assert!(daemon.states().is_empty(), "{}", daemon.leases());
}

#[test]
fn a_command_waits_until_another_one_has_ended_and_killing_that_is_enough() {
    let place = Place::empty();
    let daemon = Daemon::with_gpus(&place, "1x8192");
    let mut first = run(&place, &["--vram", "6000", "--model", "first"], &["sleep", "600"]).spawn().unwrap();
    daemon.until(&["active"]);
    let second = run(&place, &["--vram", "6000"], &["echo", "served"]).spawn().unwrap();
    daemon.until(&["active", "queued"]);
    // The holder itself is killed, and can say nothing any more.
    first.kill().unwrap();
    first.wait().unwrap();
    let output = second.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"served\n");
}

#[test]
fn whoever_waits_is_told_who_is_before_it_and_when_what_is_in_the_way_ends() {
    let place = Place::empty();
    let daemon = Daemon::with_gpus(&place, "1x8192");
    let mut all = vec![run(&place, &["--vram", "6000"], &["sleep", "600"]).spawn().unwrap()];
    daemon.until(&["active"]);
    for (more, told) in
        [(&["--vram", "7000"][..], "memory; what"), (&["--vram", "6500"], "memory, behind one other; what")]
    {
        let mut waits = run(&place, more, &["true"]).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(waits.stderr.take().unwrap()).read_line(&mut said).unwrap();
        all.push(waits);
        let expected = format!("{told} is in its way is expected to end within ");
        assert!(said.contains(&expected) && said.contains(" s, unless it is renewed"), "{said}");
    }
    let queued = &daemon.leases()["leases"][2];
    assert!((1..=60_000).contains(&queued["expected_wait_ms"].as_u64().unwrap()), "{queued}");
    let table = place.run(&["gpu", "leases"]).stdout;
    assert!(table.lines().next().unwrap().contains("EXPECTED IN"), "{table}");
    for mut one in all.into_iter().rev() {
        one.kill().unwrap();
        one.wait().unwrap();
    }
}

#[test]
fn whoever_kills_the_command_of_a_run_frees_its_lease() {
    let place = Place::empty();
    let daemon = Daemon::with_gpus(&place, "1x8192");
    let mut ran = run(&place, &["--vram", "6000"], &["sh", "-c", "echo $$; exec sleep 600"]).spawn().unwrap();
    let mut pid = String::new();
    BufReader::new(ran.stdout.take().unwrap()).read_line(&mut pid).unwrap();
    daemon.until(&["active"]);
    assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
    assert_eq!(ran.wait().unwrap().code(), Some(128 + 9));
    assert!(daemon.states().is_empty());
}

#[test]
fn a_daemon_that_was_killed_knows_its_leases_again_and_gives_nothing_out_before_it_has_heard_of_them() {
    let place = Place::empty();
    let mut daemon = Daemon::with_gpus(&place, "1x8192");
    let mut ran = run(&place, &["--vram", "6000", "--model", "job"], &["sleep", "600"]).spawn().unwrap();
    daemon.until(&["active"]);
    let before = daemon.leases();
    daemon.kill();
    place.run(&["gpu", "leases"]).assert_failed(1, &["UAT_UPSTREAM", "no GPU daemon answers"]);
    daemon.again("1x8192");
    // It comes back by itself, and what it has cannot be given to others.
    let after = daemon.leases();
    assert_eq!(after["leases"][0]["lease"], before["leases"][0]["lease"]);
    assert_eq!(after["leases"][0]["model"], "job");
    let end = Instant::now() + PATIENCE;
    while daemon.leases()["waiting_for"].as_array().is_none_or(|silent| !silent.is_empty()) {
        assert!(Instant::now() < end, "the holder never came back");
    }
    run(&place, &["--vram", "6000", "--wait", "0s"], &["true"]).output().map_or_else(
        |error| panic!("{error}"),
        |output| {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("UAT_INSUFFICIENT_VRAM"), "{said}");
        },
    );
    ran.kill().unwrap();
    ran.wait().unwrap();
    let output = run(&place, &["--vram", "6000"], &["echo", "served"]).output().unwrap();
    assert_eq!(output.stdout, b"served\n");
}

#[test]
fn holders_that_died_while_no_daemon_was_there_hold_nothing() {
    let place = Place::empty();
    let mut daemon = Daemon::with_gpus(&place, "1x8192");
    let mut ran = run(&place, &["--vram", "6000"], &["sleep", "600"]).spawn().unwrap();
    daemon.until(&["active"]);
    daemon.kill();
    ran.kill().unwrap();
    ran.wait().unwrap();
    daemon.again("1x8192");
    assert!(daemon.states().is_empty());
    let output = run(&place, &["--vram", "6000", "--wait", "0s"], &["echo", "served"]).output().unwrap();
    assert_eq!(output.stdout, b"served\n");
}

#[test]
fn a_command_whose_memory_is_wanted_is_asked_to_end() {
    let place = Place::empty();
    let daemon = Daemon::with_gpus(&place, "1x8192");
    let cheap = ["--vram", "6000", "--preemptible", "--priority", "low"];
    let polite = "trap 'echo asked; exit 0' TERM; while :; do sleep 0.01; done";
    let first = run(&place, &cheap, &["sh", "-c", polite]).spawn().unwrap();
    daemon.until(&["active"]);
    let output =
        run(&place, &["--vram", "6000", "--priority", "high"], &["echo", "served"]).output().unwrap();
    assert_eq!(output.stdout, b"served\n");
    let output = first.wait_with_output().unwrap();
    assert_eq!((output.stdout.as_slice(), output.status.code()), (b"asked\n".as_slice(), Some(0)));
}

#[test]
fn what_is_in_the_way_is_said() {
    let place = Place::empty();
    let _daemon = Daemon::with_gpus(&place, "1x8192");
    for (more, code, said) in [
        (&["--vram", "9000"][..], 1, "it would not fit if nothing else were there"),
        (&["--vram", "100", "--gpus", "2"], 1, "UAT_INSUFFICIENT_VRAM"),
        (&["--vram", "100", "--device", "3"], 1, "a device that does not exist"),
        (&["--vram", "4096", "--owner", "greedy"], 1, "may lease 2048 MiB at once"),
        (&["--vram", "0"], 2, "0"),
        (&["--vram", "10", "--priority", "urgent"], 2, "expected low, normal, high or critical"),
    ] {
        let output = run(&place, more, &["true"]).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{more:?}: {shown}");
        assert!(shown.contains(said), "{more:?}: {shown}");
    }
    let output = run(&place, &["--vram", "10"], &["no-such-program"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot run no-such-program"));
}

#[test]
fn top_shows_gpus_and_leases_once_where_nobody_watches() {
    let place = Place::empty();
    let daemon = Daemon::with_gpus(&place, "1x8192");
    let mut ran = run(&place, &["--vram", "4096", "--model", "job"], &["sleep", "600"]).spawn().unwrap();
    daemon.until(&["active"]);
    let shown = place.run(&["gpu", "top"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(
        shown.stdout.contains("[##########..........]") && shown.stdout.contains("job"),
        "{}",
        shown.stdout
    );
    ran.kill().unwrap();
    ran.wait().unwrap();
}

#[tokio::test]
async fn a_server_with_a_section_for_gpus_gives_them_out_and_shows_them_in_its_metrics() {
    let provider = FakeProvider::start().await.unwrap();
    let place = Place::empty();
    let gpu = "[gpu]\nfake_gpus_mb = [8192]\nheadroom_mb = 0\nquotas_mb = { greedy = 100 }\n";
    place.write("uat.toml", &format!("{gpu}{}", configuration(&provider, "m", "")));
    let server = place.serve(&["serve"]);
    let mut ran = run(&place, &["--vram", "4096"], &["sleep", "600"]).spawn().unwrap();
    server.wait_for("uat_gpu_leases", 1.0);
    assert_eq!(server.metric("uat_gpu_memory_bytes{gpu=\"0\",kind=\"leased\"}"), f64::from(1 << 30) * 4.0);
    assert_eq!(server.metric("uat_gpu_up{gpu=\"0\"}"), 1.0);
    let output = run(&place, &["--vram", "101", "--owner", "greedy"], &["true"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("may lease 100 MiB"));
    // A second one serves its models, and leaves the GPUs to the first.
    let second = place.serve(&["serve"]);
    assert!(!second.ask("GET", "/metrics", "").contains("uat_gpu_"));
    ran.kill().unwrap();
    ran.wait().unwrap();
    server.signal("TERM");
    assert_eq!(server.ended().code, 0);
}

/// The command says of itself, by a fake NVML library, that it uses 1 GiB.
const USES_A_GIB: &str = r#"printf '{"devices":[{"total":8589934592,"used":1073741824,"processes":[{"pid":%s,"used":1073741824}]}]}' $$ > "$1.new" && mv "$1.new" "$1" && sleep 2"#;

#[test]
fn a_run_takes_what_its_model_takes_and_the_next_one_what_the_first_took() {
    let place = Place::empty();
    let nvml = Installed::new(r#"{"devices":[{"total":8589934592}]}"#).unwrap();
    model("qwen3-0.6b").unwrap().write(&place.path().join("m.gguf")).unwrap();
    let library = nvml.library();
    let args = ["gpu", "daemon", "--nvml", library.to_str().unwrap(), "--headroom", "0", "--poll-ms", "20"];
    let _daemon = Daemon { place: &place, child: listening(&mut place.command(&args)) };
    let estimate = || {
        let told = place.run(&["gpu", "estimate", "m.gguf", "--context", "4096", "--json"]).json();
        (told["confidence"].as_str().unwrap().to_owned(), told["devices"][0].clone())
    };
    let (confidence, before) = estimate();
    let sum = |device: &serde_json::Value| -> u64 {
        ["weights", "cache", "compute"].iter().map(|part| device[part].as_u64().unwrap()).sum()
    };
    assert_eq!(confidence, "formula");
    let script = nvml.folder().join("fake_nvml.json");
    let load = ["--model-file", "m.gguf", "--context", "4096"];
    // What uses nothing teaches nothing.
    let told = run(&place, &load, &["sh", "-c", "echo $UAT_GPU_VRAM_MB"]).output().unwrap();
    let leased: u64 = String::from_utf8(told.stdout).unwrap().trim().parse().unwrap();
    assert_eq!(leased, (sum(&before) >> 20) + 640, "what is planned, and the context of CUDA");
    let command = ["sh", "-c", USES_A_GIB, "sh", script.to_str().unwrap()];
    let output = run(&place, &load, &command).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (confidence, device) = estimate();
    assert_eq!((&*confidence, sum(&device)), ("calibrated", 1 << 30), "{device}");
}

#[test]
fn an_exact_estimate_needs_the_engine_and_says_so() {
    let place = Place::empty();
    model("qwen3-0.6b").unwrap().write(&place.path().join("m.gguf")).unwrap();
    let ran = place.run(&["gpu", "estimate", "m.gguf", "--exact"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("UAT_ENGINE_UNAVAILABLE") && ran.stderr.contains("no-engine"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_run_needs_to_know_how_much_it_needs() {
    let place = Place::empty();
    let ran = place.run(&["gpu", "run", "--", "true"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("--vram") && ran.stderr.contains("--model-file"), "{}", ran.stderr);
    let ran = place.run(&["gpu", "run", "--model-file", "nowhere.gguf", "--", "true"]);
    assert!(ran.code == 1 && ran.stderr.contains("there is no file nowhere.gguf"), "{}", ran.stderr);
}
