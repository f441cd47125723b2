//! A network namespace that a test makes, and what it does inside: its own interfaces, so that nothing of the machine's is
//! touched.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A network namespace with a cable `near` to `far`, which goes away with its test.
pub(crate) struct Namespace(pub(crate) String);

impl Namespace {
    pub(crate) fn new(name: &str) -> Option<Namespace> {
        let name = format!("stakeout-{name}-{}", std::process::id());
        if !ip(&["netns", "add", &name]) {
            return None;
        }
        let made = Namespace(name);
        let inside = |arguments: &[&str]| ip(&[&["-n", made.0.as_str()], arguments].concat());
        let quiet = made
            .command("sysctl")
            .args(["-qw", "net.ipv6.conf.default.disable_ipv6=1"])
            .status();
        let is_made = quiet.is_ok_and(|status| status.success())
            && inside(&["link", "add", "near", "type", "veth", "peer", "name", "far"])
            && inside(&["link", "set", "near", "up"])
            && inside(&["link", "set", "far", "up"])
            && inside(&["link", "set", "lo", "up"]);
        is_made.then_some(made)
    }

    /// A command inside.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]);
        command
    }

    /// Sends the frames of a capture out of an interface, as fast as tcpreplay's option `rate` says. Gives what it says.
    pub(crate) fn send(&self, capture: &Path, interface: &str, rate: &str) -> String {
        let sent = self
            .command("tcpreplay")
            .args(["-q", rate, "-i", interface])
            .arg(capture)
            .output();
        let sent = sent.expect("tcpreplay runs");
        assert!(sent.status.success(), "{sent:?}");
        String::from_utf8_lossy(&sent.stdout).into_owned()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.0]);
    }
}

pub(crate) fn ip(arguments: &[&str]) -> bool {
    let status = Command::new("ip").args(arguments).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

pub(crate) fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// Unpacks a recorded capture.
pub(crate) fn unpacked(fixture: &str, to: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(fixture);
    let mut bytes = Vec::new();
    flate2::read::MultiGzDecoder::new(fs::File::open(from).expect("a fixture"))
        .read_to_end(&mut bytes)
        .expect("gzip");
    fs::write(to, bytes).expect("room");
}

/// Records what an interface shows until it is ended.
pub(crate) struct Recording(Child);

impl Recording {
    pub(crate) fn start(namespace: &Namespace, interface: &str, filter: &str, to: &Path) -> Recording {
        let mut child = namespace
            .command("tcpdump")
            .args(["-i", interface, "-U", "-Z", "root", "--time-stamp-precision=nano", "-w"])
            .arg(to)
            .arg(filter)
            .stderr(Stdio::piped())
            .spawn()
            .expect("starting tcpdump");
        let mut said = [0; 64];
        // It says that it listens once it does.
        let _ = child.stderr.as_mut().expect("piped").read(&mut said);
        Recording(child)
    }

    /// Ends it, once what has come is written.
    pub(crate) fn end(mut self) {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let told = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        assert!(told.is_ok_and(|told| told.success()));
        self.0.wait().expect("it has ended");
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
