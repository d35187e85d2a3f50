use std::fmt::Write as _;

use crate::support::Place;

/// Two models that fit only one after the other, asked for in turn, each for a second.
fn in_turn(requests: u64) -> String {
    let mut trace = "arrival_ms,model,exec_ms,vram_mb,load_ms,priority\n".to_owned();
    for request in 0..requests {
        let (model, priority) = if request % 2 == 0 { ("a", "high") } else { ("b", "low") };
        writeln!(trace, "{},{model},1000,700,2000,{priority}", request * 1_500)
            .expect("a String takes anything");
    }
    trace
}

#[test]
fn a_recorded_day_is_replayed_under_each_policy_and_on_more_gpus() {
    let place = Place::empty();
    place.write("day.csv", &in_turn(60));
    let waits = |gpus: &str| {
        let args = ["gpu", "simulate", "--trace", "day.csv", "--gpus", gpus, "--policy"];
        let ran = place.run(&[&args[..], &["ours,fifo-lru,ollama", "--json"]].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let shown = ran.json();
        assert_eq!(shown["policies"]["ollama"]["requests"], 60);
        ["ours", "fifo-lru"].map(|policy| shown["policies"][policy]["mean_wait_ms"].as_f64().expect("a mean"))
    };
    let [ours, fifo] = waits("1x1024");
    assert!(ours < fifo, "{ours} ms, {fifo} ms");
    let [two, _] = waits("2x1024");
    assert!(two < 100.0, "only the first of each waits for its load, {two} ms in the mean");
}

#[test]
fn a_trace_comes_by_standard_input_and_is_shown_to_people() {
    let place = Place::empty();
    let args = ["gpu", "simulate", "--trace", "-", "--gpus", "1x1024,1x700"];
    let ran = place.run_with_input(&args, &in_turn(10));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("10 requests for 2 models;"), "{}", ran.stdout);
    assert!(ran.stdout.contains("  high "), "priorities are told apart: {}", ran.stdout);
}

#[test]
fn what_cannot_be_replayed_is_named_with_its_line() {
    let place = Place::empty();
    place.write("no-column.csv", "arrival_ms,model\n1,a\n");
    place.write("no-number.csv", "arrival_ms,model,exec_ms,vram_mb,load_ms\n1,a,5,10,5\n-2,a,5,10,5\n");
    place.write("no-row.csv", "arrival_ms,model,exec_ms,vram_mb,load_ms\n");
    place.write("large.csv", "arrival_ms,model,exec_ms,vram_mb,load_ms\n1,huge,5,2048,5\n");
    for (file, gpus, code, said) in [
        ("no-column.csv", "1x1024", 1, "missing field"),
        ("no-number.csv", "1x1024", 1, "line 3: expected arrival_ms from 0 to 1e12, got -2"),
        ("no-row.csv", "1x1024", 1, "holds no request"),
        ("large.csv", "1x1024", 1, "model huge needs 2048 MiB, the largest device has 1024 MiB"),
        ("nowhere.csv", "1x1024", 1, "cannot read nowhere.csv"),
        ("large.csv", "lots", 2, "expected GPUs as COUNTxMIB"),
    ] {
        let ran = place.run(&["gpu", "simulate", "--trace", file, "--gpus", gpus]);
        assert_eq!(ran.code, code, "{file}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{file}: {}", ran.stderr);
    }
}

#[test]
fn the_last_request_is_served_although_nothing_else_happens_and_times_without_end_are_refused() {
    let place = Place::empty();
    let head = "arrival_ms,model,exec_ms,vram_mb,load_ms\n";
    place.write("last.csv", &format!("{head}0,a,1000,6000,100\n500,b,1000,6000,100\n"));
    let ran = place.run(&["gpu", "simulate", "--trace", "last.csv", "--gpus", "1x8192", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let shown = ran.json();
    assert_eq!(shown["policies"]["ours"]["loads"], 2);
    assert!(shown["policies"]["ours"]["max_wait_ms"].as_f64().expect("a wait") > 600.0, "{shown}");
    place.write("load.csv", &format!("{head}1,a,1000,6000,18446744073709551615\n"));
    for (args, said) in [
        (["--trace", "load.csv", "--speedup", "1"], "expected load_ms from 0 to 1e12"),
        (
            ["--trace", "last.csv", "--speedup", "1e-300"],
            "expected a speedup with which the last request comes",
        ),
    ] {
        let ran = place.run(&[&["gpu", "simulate", "--gpus", "1x8192"][..], &args].concat());
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
}
