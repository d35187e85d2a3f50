use crate::support::{Place, TEN_MISTAKES};

#[test]
fn a_wrong_file_is_refused_with_line_and_column() {
    let place = Place::empty();
    place.write("uat.toml", "[server]\nbnd = \"127.0.0.1:1\"\n");
    place.run(&["config", "validate"]).assert_failed(
        2,
        &["error[UAT_CONFIG]: uat.toml:2:1: unknown key `bnd` in [server]", "did you mean `bind`?"],
    );
    let ran = place.run(&["config", "validate", "--json"]);
    let error = ran.json()["errors"][0].clone();
    assert_eq!((ran.code, error["line"].as_u64(), error["column"].as_u64()), (2, Some(2), Some(1)));
    assert_eq!(error["path"], "server.bnd");
    for command in [&["serve"][..], &["chat", "x"][..], &["config", "show"][..]] {
        place.run(command).assert_failed(2, &["uat.toml:2:1"]);
    }
}

#[test]
fn ten_mistakes_are_ten_messages() {
    let place = Place::empty();
    place.write("uat.toml", TEN_MISTAKES);
    let ran = place.run(&["config", "validate"]);
    ran.assert_failed(2, &["10 mistakes"]);
    let told: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("error[UAT_CONFIG]: ")).collect();
    let lines = [2, 3, 4, 8, 10, 12, 14, 19, 22, 24];
    assert_eq!(told.len(), lines.len(), "{}", ran.stderr);
    for (told, line) in told.iter().zip(lines) {
        assert!(told.contains(&format!(" uat.toml:{line}:")), "{line} in {told}");
    }
    let errors = place.run(&["config", "validate", "--json"]).json()["errors"].clone();
    let places: Vec<u64> =
        errors.as_array().unwrap().iter().map(|error| error["line"].as_u64().unwrap()).collect();
    assert_eq!(places, lines);
    place.run(&["serve"]).assert_failed(2, &["10 mistakes"]);
}

#[test]
fn the_schema_is_printed_for_editors() {
    let place = Place::empty();
    let ran = place.run(&["config", "schema"]);
    assert_eq!(ran.code, 0);
    let schema = ran.json();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(schema["properties"]["server"].is_object());
}

#[test]
fn json_and_yaml_are_read_by_their_names() {
    let place = Place::empty();
    place.write("uat.yaml", "server:\n  bnd: 1\n");
    place.write("uat.json", "{\"server\": {\"bnd\": 1}}");
    for (file, at) in [("uat.yaml", "uat.yaml:2:3"), ("uat.json", "uat.json:1:13")] {
        place.run(&["config", "validate", "--config", file]).assert_failed(2, &[at, "did you mean `bind`?"]);
    }
}

#[test]
fn a_right_file_is_said_to_be_right() {
    let place = Place::empty();
    place.write("other.toml", "[server]\nhold_ms = 7\n");
    let ran = place.run(&["config", "validate", "--config", "other.toml"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "other.toml is valid: 0 endpoint(s), 0 model(s)\n"));
    assert_eq!(place.run(&["config", "validate"]).code, 0);
    place
        .run(&["config", "validate", "--config", "nowhere.toml"])
        .assert_failed(2, &["nowhere.toml: cannot be read"]);
}

#[test]
fn what_counts_is_shown_with_where_it_comes_from() {
    let place = Place::empty();
    place.write("uat.toml", "[server]\nhold_ms = 7\n");
    let shown = |args: &[&str]| {
        let output = place.command(args).env("UAT__ENGINE__IDLE_EXIT_S", "9").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let text = shown(&["config", "show"]);
    for (setting, source) in [
        ("server.hold_ms = 7", "# uat.toml:2:11"),
        ("engine.idle_exit_s = 9", "# environment variable UAT__ENGINE__IDLE_EXIT_S"),
        ("server.max_body_mb = 32", "# default"),
    ] {
        let line = text.lines().find(|line| line.starts_with(setting));
        assert!(line.is_some_and(|line| line.ends_with(source)), "{setting} in\n{text}");
    }
    let document: serde_json::Value = serde_json::from_str(&shown(&["config", "show", "--json"])).unwrap();
    assert_eq!(
        (&document["file"], &document["config"]["server"]["hold_ms"]),
        (&"uat.toml".into(), &7.into())
    );
}
