//! A child process that cannot outlive this one, and a port that stays its own while it is down.
//!
//! The server is the child of a small shell, which waits for the end of its standard input and then kills it. Our end of
//! that pipe closes when we say so, or when this process ends in whatever way, `kill -9` included. `PR_SET_PDEATHSIG`
//! would do less: it fires at the end of the *thread* that started the child, which in a test is often the first to go.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpSocket;

use super::waiting::until;

/// A Ctrl-C at the terminal reaches the whole process group: the shell ignores it, and ends with us a moment later.
/// As the server's parent the shell holds its process id, so that no other process can be hit by the kill.
/// An end of the input without a line says that nobody is left to remove the folder, `$1`.
const SHELL: &str = r#"trap '' HUP INT QUIT TERM
folder=$1
shift
exec 3<&0
"$@" </dev/null 3<&- >&2 &
echo $!
exec >&-
read -r _ <&3 && folder=
kill -9 $! 2>/dev/null
wait
[ -z "$folder" ] || rm -rf -- "$folder""#;

/// A stop signal takes effect within microseconds, unless the machine is very busy.
const SIGNAL_LIMIT: Duration = Duration::from_secs(5);

/// A running (or frozen, or by itself ended) server. It is killed with `SIGKILL` when this is dropped.
#[derive(Debug)]
pub(super) struct Guarded {
    shell: Child,
    pid: u32,
}

impl Guarded {
    /// Starts `program`, which writes into `folder` only; its standard output and error go to `log` there. If this process
    /// is killed, the folder goes with the program.
    pub(super) fn start(program: &Path, arguments: &[&Path], folder: &Path, log: &Path) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new("sh");
        command.arg("-c").arg(SHELL).arg("sh").arg(folder).arg(program).args(arguments);
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn()?;
        let mut line = String::new();
        if let Some(stdout) = shell.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let pid =
            line.trim().parse().map_err(|_| io::Error::other("the guarding shell printed no process id"))?;
        Ok(Self { shell, pid })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has not ended by itself.
    pub(super) fn is_running(&self) -> bool {
        !matches!(self.state(), Some('Z') | None)
    }

    /// Stops it with `SIGSTOP` or lets it go on with `SIGCONT`; when this returns, it is so.
    pub(super) fn set_frozen(&self, frozen: bool) -> io::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        kill_process(pid, if frozen { Signal::STOP } else { Signal::CONT })?;
        until("the signal took effect", SIGNAL_LIMIT, || Ok((self.state() == Some('T')) == frozen))
    }

    /// The letter that the kernel tells of the process, `Z` once it has ended; none when it is gone.
    fn state(&self) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // The name in brackets may itself contain brackets and spaces.
        stat.rsplit_once(')')?.1.trim_start().chars().next()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // A line is the shell's signal to kill and leave the folder to us. It is alive and reads, or something worse is amiss.
        if let Some(mut input) = self.shell.stdin.take() {
            let _ = input.write_all(b"\n");
        }
        // Fails only if somebody else has waited for our child.
        let _ = self.shell.wait();
    }
}

/// A port of 127.0.0.1 that is ours while this lives. The socket is bound and never listens: the kernel refuses
/// connections and gives the port to nobody who asks for a free one, yet lets a server listen that allows reuse of its
/// address, as Redis does.
#[derive(Debug)]
pub(super) struct HeldPort {
    pub(super) number: u16,
    _socket: TcpSocket,
}

impl HeldPort {
    pub(super) fn any() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(Self { number: socket.local_addr()?.port(), _socket: socket })
    }
}
