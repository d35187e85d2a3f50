use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use testkit::FakeProvider;

/// Ten mistakes of ten kinds, in the lines 2, 3, 4, 8, 10, 12, 14, 19, 22 and 24.
pub(crate) const TEN_MISTAKES: &str = include_str!("../../../runtime/tests/ten_mistakes.toml");

/// A folder of its own, and a `uat` that sees nothing of this machine but it.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// With one model, `m`, at this provider.
    pub(crate) fn at(provider: &FakeProvider) -> Self {
        let place = Self::empty();
        place.write("uat.toml", &configuration(provider, "m", ""));
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_uat"));
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("UAT_") {
                command.env_remove(name);
            }
        }
        command
            .env("HOME", self.path())
            .env("UAT_MODELS", self.path().join("models"))
            // An engine that does not exist: no test starts a real one.
            .env("UAT_ENGINE_PATH", self.path().join("no-engine"))
            .env("XDG_RUNTIME_DIR", self.path())
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_STATE_HOME")
            .env_remove("LLAMA_CACHE")
            .env_remove("HF_HOME")
            .env_remove("HF_HUB_CACHE")
            .env_remove("HF_TOKEN")
            // A hub that nobody answers for: no test asks the real one.
            .env("HF_ENDPOINT", "http://127.0.0.1:9");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    pub(crate) fn run_with_input(&self, args: &[&str], input: &str) -> Ran {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Ran::from(child.wait_with_output().unwrap())
    }

    /// A server that listens.
    pub(crate) fn serve(&self, args: &[&str]) -> Server {
        let mut child = self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let Some(addr) = line.trim().strip_prefix("listening on http://") else {
            let ran = Ran::from(child.wait_with_output().unwrap());
            panic!("expected an address, got {line:?} and {}", ran.stderr);
        };
        Server { addr: addr.parse().unwrap(), child: Some(child), stdout: Some(stdout) }
    }
}

/// A model of this name at this provider; `server` are further lines of its section.
pub(crate) fn configuration(provider: &FakeProvider, model: &str, server: &str) -> String {
    format!(
        "[server]\nbind = \"127.0.0.1:0\"\n{server}\n[[endpoints]]\nname = \"fake\"\nprotocol = \"openai\"\nbase_url = \"{}\"\n\n[[models]]\nname = \"{model}\"\nendpoints = [{{ endpoint = \"fake\" }}]\n",
        provider.base_url()
    )
}

pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it ended by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.stdout, self.stderr))
    }

    pub(crate) fn assert_failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{} {}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not in: {}", self.stderr);
        }
    }
}

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    child: Option<Child>,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Server {
    /// The whole answer to a request as it is written, the connection closed after it.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> String {
        self.ask_with(method, path, &[], body)
    }

    /// The same with headers.
    pub(crate) fn ask_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        self.try_ask_with(method, path, headers, body).unwrap()
    }

    /// The same of a server that may have gone.
    pub(crate) fn try_ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let (addr, length) = (self.addr, body.len());
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {addr}\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// The same with a body that is too long: the server answers before it has all of it, and closes.
    pub(crate) fn ask_until_refused(&self, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n", self.addr, body.len());
        // It may have closed before the last byte.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
        let mut answer = [0; 64];
        let length = stream.read(&mut answer).unwrap_or_default();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    /// A value of `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.ask("GET", "/metrics", "");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Waits until a value of `/metrics` is at least this.
    pub(crate) fn wait_for(&self, name: &str, least: f64) {
        let patience = std::time::Instant::now() + Duration::from_secs(20);
        while self.metric(name) < least {
            assert!(std::time::Instant::now() < patience, "{name} stays below {least}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits until it has ended by itself; what it still printed is in there.
    pub(crate) fn ended(mut self) -> Ran {
        let mut rest = String::new();
        self.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
        let mut ran = Ran::from(self.child.take().unwrap().wait_with_output().unwrap());
        ran.stdout = rest;
        ran
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
