//! A hundred kills at random moments while a followed file, syslog over TCP and `/_bulk` feed the service. What it tells is
//! what a calm run tells of the same messages; nothing that was acknowledged is lost, and nothing is told twice.
//!
//! Each message is about an account of its own, so the service itself can say whether it has taken a message. Files are
//! read on from where they were left, and an unanswered bulk request is sent again; so of both every message counts once.
//! Syslog has no acknowledgement: its sender can't know what was taken, and does not repeat what it has written. There a
//! kill may lose what was under way, and nothing older. The calm run gets what the rough one has taken.

mod serving;

use serving::{Folder, PATIENCE, Service, documents};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const KILLS: u64 = 100;
const SEED: u64 = 0x5eed;
/// Messages of a chunk; what one input gets at a time.
const CHUNK: u64 = 120;
/// Syslog gets more, so that it is under way at most kills.
const SYSLOG_CHUNK: u64 = 1800;
/// Messages that are written to syslog at once.
const PIECE: usize = 10;
/// How long a sender of syslog rests between two pieces.
const REST: Duration = Duration::from_millis(5);
/// Seconds of event time between two messages.
const STEP_SECONDS: u64 = 1;
/// What was sent so long before a kill has been made durable: `commit_every` is a tenth of a second, the rest is for a
/// machine that has more to do.
const DURABLE_AFTER: Duration = Duration::from_secs(2);
/// Questions that are asked at once.
const ASKED_TOGETHER: usize = 128;
const BEGIN: u64 = 1_772_409_600;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    File,
    Syslog,
    Bulk,
}

/// A login.
struct Message {
    user: String,
    source: String,
    host: String,
    failed: bool,
    at: String,
}

/// The inputs take turns.
fn way(chunk: u64) -> Way {
    [Way::File, Way::Syslog, Way::Bulk][(chunk % 3) as usize]
}

fn length(chunk: u64) -> u64 {
    match way(chunk) {
        Way::Syslog => SYSLOG_CHUNK,
        Way::File | Way::Bulk => CHUNK,
    }
}

/// The messages of a chunk, later than those of every chunk before it. In each fifth one somebody guesses.
fn messages(chunk: u64) -> impl Iterator<Item = Message> {
    let begin: u64 = chunk / 3 * (0..3).map(length).sum::<u64>() + (0..chunk % 3).map(length).sum::<u64>();
    (0..length(chunk)).map(move |place| {
        let number = begin + place;
        let is_attack = chunk % 5 == 3 && place % 4 == 1;
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let at = jiff::Timestamp::from_second((BEGIN + number * STEP_SECONDS) as i64).expect("a time");
        Message {
            user: format!("user{number}"),
            source: match is_attack {
                true => format!("203.0.113.{}", chunk / 5 % 250),
                false => format!("10.20.{}.{}", mixed % 8, mixed / 8 % 200),
            },
            host: format!("web{}", mixed % 5),
            failed: is_attack || mixed.is_multiple_of(23),
            at: at.to_string(),
        }
    })
}

impl Message {
    fn said(&self) -> String {
        let what = if self.failed {
            "Failed password"
        } else {
            "Accepted publickey"
        };
        format!("{what} for {} from {} port 4242 ssh2", self.user, self.source)
    }

    fn line(&self) -> String {
        format!("{} {} sshd[77]: {}\n", self.at, self.host, self.said())
    }

    fn syslog(&self) -> String {
        format!("<38>1 {} {} sshd 77 - - {}\n", self.at, self.host, self.said())
    }

    fn document(&self) -> String {
        let outcome = if self.failed { "failure" } else { "success" };
        let document = serde_json::json!({
            "@timestamp": self.at,
            "event": { "category": "authentication", "outcome": outcome },
            "user": { "name": self.user },
            "source": { "ip": self.source },
            "host": { "name": self.host },
        });
        format!(
            "{{\"create\":{{\"_index\":\"logs\",\"_id\":\"{}\"}}}}\n{document}\n",
            self.user
        )
    }
}

/// One run: its folder, its ports and what has happened so far.
struct Run {
    folder: Folder,
    http: String,
    syslog: String,
    /// Kills so far; the process that is there now has this number.
    kills: AtomicU64,
    is_over: AtomicBool,
    /// When each syslog message was written.
    sent: Mutex<BTreeMap<String, Instant>>,
}

impl Run {
    fn new(name: &str) -> Run {
        let folder = Folder::new(name);
        let address = || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("an address").to_string()
        };
        let run = Run {
            http: address(),
            syslog: address(),
            kills: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            sent: Mutex::new(BTreeMap::new()),
            folder,
        };
        let path = run.folder.0.display();
        let text = format!(
            "http: {{ listen: '{}' }}\n\
             inputs: {{ files: ['{path}/auth.log'], syslog: ['tcp://{}'] }}\n\
             store: {{ commit_every: 100ms, snapshot_every: 300ms }}\n\
             sinks: [{{ type: file, path: '{path}/alerts.json' }}]\n",
            run.http, run.syslog
        );
        fs::write(run.folder.0.join("stakeout.yaml"), text).expect("a configuration");
        fs::write(run.folder.0.join("auth.log"), "").expect("a log");
        run
    }

    /// Gives the service the chunks from the first on until the run is over or there are no more, and gives how many there
    /// were. `is_taken` says which messages syslog gets.
    fn feed(&self, chunks_max: u64, is_taken: impl Fn(&Message) -> bool) -> u64 {
        for chunk in 0..chunks_max {
            match way(chunk) {
                Way::File => self.append(chunk),
                Way::Syslog => self.send(chunk, &is_taken),
                Way::Bulk => self.push(chunk),
            }
            if self.is_over.load(Ordering::Relaxed) {
                return chunk + 1;
            }
        }
        chunks_max
    }

    /// Appends to the log in two writes, the first of which ends inside a line, and waits until it was taken.
    fn append(&self, chunk: u64) {
        let text: String = messages(chunk).map(|message| message.line()).collect();
        let path = self.folder.0.join("auth.log");
        let mut file = OpenOptions::new().append(true).open(path).expect("a log");
        let (first, second) = text.split_at(text.len() / 2);
        let name = "stakeout_collected_bytes_total{source=\"file\"}";
        let (process, before) = self.until(|run| run.metric(name));
        file.write_all(first.as_bytes()).expect("room on the disk");
        file.write_all(second.as_bytes()).expect("room on the disk");
        let mut whole = None;
        self.until(|run| {
            if run.kills.load(Ordering::Relaxed) == process {
                return (run.metric(name)? >= before + text.len() as f64).then_some(());
            }
            // Another process reads on from where the one before it was: it is through when nothing is left for a while.
            let is_through = run.metric("stakeout_files ")? >= 1.0 && run.metric("stakeout_file_bytes_behind ")? == 0.0;
            let now = run.kills.load(Ordering::Relaxed);
            let (of, since) = *whole.get_or_insert((now, Instant::now()));
            if !is_through || of != now {
                whole = None;
            }
            (is_through && of == now && since.elapsed() > Duration::from_millis(700)).then_some(())
        });
    }

    /// Writes each message once, over a new connection where one broke, and waits until what went over the last one has
    /// come unless the service ends before.
    fn send(&self, chunk: u64, is_taken: impl Fn(&Message) -> bool) {
        let name = "stakeout_collector_messages_total{source=\"syslog\"}";
        let connect = || self.until(|run| Some((TcpStream::connect(&run.syslog).ok()?, run.metric(name)?)));
        let wanted: Vec<Message> = messages(chunk).filter(|message| is_taken(message)).collect();
        let (mut process, (mut stream, mut before)) = connect();
        for piece in wanted.chunks(PIECE) {
            if self.kills.load(Ordering::Relaxed) != process {
                (process, (stream, before)) = connect();
            }
            let now = Instant::now();
            let sent = piece.iter().map(|message| (message.user.clone(), now));
            self.sent.lock().expect("no panic").extend(sent);
            let text: String = piece.iter().map(Message::syslog).collect();
            match stream.write_all(text.as_bytes()) {
                Ok(()) => before += piece.len() as f64,
                // What could not be written whole is as lost as what was under way.
                Err(_) => (process, (stream, before)) = connect(),
            }
            std::thread::sleep(REST);
        }
        self.until(|run| {
            let has_come = || Some(run.metric(name)? >= before);
            (run.kills.load(Ordering::Relaxed) != process || has_come()?).then_some(())
        });
    }

    /// Sends a bulk request until it is answered.
    fn push(&self, chunk: u64) {
        let body: String = messages(chunk).map(|message| message.document()).collect();
        self.until(|run| {
            let head = format!(
                "POST /_bulk HTTP/1.1\r\nHost: stakeout\r\nConnection: close\r\nContent-Type: application/x-ndjson\r\n\
                 Content-Length: {}\r\n\r\n",
                body.len()
            );
            let answer = run.ask(&(head + &body))?;
            (answer.starts_with("HTTP/1.1 200") && answer.contains("\"errors\":false")).then_some(())
        });
    }

    /// Tries until there is a result, and gives it with the number of the process that was there when the try began.
    fn until<T>(&self, mut attempt: impl FnMut(&Run) -> Option<T>) -> (u64, T) {
        let begun = Instant::now();
        loop {
            let process = self.kills.load(Ordering::Relaxed);
            if let Some(result) = attempt(self) {
                return (process, result);
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain (seed {SEED:#x})");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn ask(&self, request: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.http).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn get(&self, path: &str) -> Option<String> {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: stakeout\r\nConnection: close\r\n\r\n"
        ))
    }

    /// A metric of the process that is there; 0 before it has counted anything.
    fn metric(&self, name: &str) -> Option<f64> {
        let answer = self.get("/metrics")?;
        let answer = answer.strip_prefix("HTTP/1.1 200")?;
        let line = answer.lines().find(|line| line.starts_with(name));
        line.map_or(Some(0.0), |line| line.rsplit(' ').next()?.parse().ok())
    }

    /// Starts the service and kills it so long after it was ready, or after its start if that is what is asked for.
    fn live(&self, length: Duration, is_from_start: bool) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_stakeout"))
            .args(["run", "--config"])
            .arg(self.folder.0.join("stakeout.yaml"))
            .env("STAKEOUT_DATA_DIR", self.folder.0.join("data"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starting stakeout");
        if !is_from_start {
            self.until(|run| run.get("/readyz")?.starts_with("HTTP/1.1 200").then_some(()));
        }
        std::thread::sleep(length);
        child.kill().expect("it was running");
        child.wait().expect("it has ended");
        self.kills.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until everything was judged, gives which messages were taken, and ends the service.
    fn finish(&self, service: Service, chunks: u64) -> Vec<bool> {
        service.wait_until_judged();
        let users: Vec<String> = (0..chunks).flat_map(messages).map(|message| message.user).collect();
        // A service at rest answers a few times a second all who have asked.
        let taken = std::thread::scope(|scope| {
            let share = users.len().div_ceil(ASKED_TOGETHER).max(1);
            let asking: Vec<_> = users
                .chunks(share)
                .map(|users| scope.spawn(|| users.iter().map(|user| self.is_known(user)).collect::<Vec<bool>>()))
                .collect();
            let answers = asking.into_iter().flat_map(|asking| asking.join().expect("answers"));
            answers.collect()
        });
        service.terminate();
        taken
    }

    /// Whether an account has state.
    fn is_known(&self, user: &str) -> bool {
        let path = format!("/api/v1/entities/user.name/{user}");
        let known = |answer: String| match answer.split_whitespace().nth(1)? {
            "200" => Some(true),
            "404" => Some(false),
            _ => None,
        };
        self.until(|run| known(run.get(&path)?)).1
    }

    /// The documents that were told, by id and count; each once.
    fn documents(&self) -> BTreeMap<(String, u64), String> {
        documents(&self.folder.0.join("alerts.json"))
    }
}

#[test]
#[ignore = "takes some minutes: script/test --long"]
fn a_hundred_kills_lose_nothing_that_was_acknowledged_and_repeat_nothing() {
    let mut numbers = SEED;
    let mut below = |bound: u64| {
        numbers = numbers
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (numbers >> 33) % bound
    };
    let rough = Run::new("killed");
    let mut killed = Vec::new();
    let (chunks, service) = std::thread::scope(|scope| {
        let feeding = scope.spawn(|| rough.feed(u64::MAX, |_| true));
        for kill in 0..KILLS {
            // One in five dies while it takes up its state.
            let is_early = kill % 5 == 4;
            let most = if is_early { 150 } else { 1200 };
            rough.live(Duration::from_millis(below(most)), is_early);
            killed.push(Instant::now());
        }
        rough.is_over.store(true, Ordering::Relaxed);
        let service = Service::start(&rough.folder.0);
        (feeding.join().expect("a feeder"), service)
    });
    let taken = rough.finish(service, chunks);
    let lost = lost(&rough, chunks, &taken, &killed);
    let told = rough.documents();

    let calm = Run::new("calm");
    let service = Service::start(&calm.folder.0);
    let number = |message: &Message| message.user["user".len()..].parse::<usize>().expect("a number");
    calm.feed(chunks, |message| taken[number(message)]);
    let taken_calmly = calm.finish(service, chunks);
    assert_eq!(taken_calmly, taken, "the calm run takes what the rough one took");
    let expected = calm.documents();
    assert!(expected.len() > 5, "the messages lead to alerts: {expected:?}");
    let differing: Vec<_> = expected
        .iter()
        .filter(|(key, text)| told.get(*key) != Some(*text))
        .collect();
    assert!(
        differing.is_empty(),
        "not told as in the calm run (seed {SEED:#x}): {differing:?}"
    );
    assert_eq!(told.len(), expected.len(), "more was told than in the calm run");
    let mut said = String::new();
    let _ = writeln!(
        said,
        "{KILLS} kills: {} messages, {lost} of {} syslog messages lost, {} documents told",
        taken.len(),
        rough.sent.lock().expect("no panic").len(),
        told.len()
    );
    let _ = std::io::stderr().write_all(said.as_bytes());
}

/// Counts the messages that were not taken, none of which may be of a file, of an answered request, or older than what a
/// kill may lose.
fn lost(run: &Run, chunks: u64, taken: &[bool], killed: &[Instant]) -> u64 {
    let sent = run.sent.lock().expect("no panic");
    let mut lost = 0;
    let of_chunk = (0..chunks).flat_map(|chunk| (0..length(chunk)).map(move |_| chunk));
    for ((number, chunk), _) in of_chunk.enumerate().zip(taken).filter(|(_, taken)| !**taken) {
        let said = format!("message {number} is lost (seed {SEED:#x})");
        assert_eq!(way(chunk), Way::Syslog, "{said}, and was acknowledged");
        let sent = sent[&format!("user{number}")];
        // The system takes what is written just after the other end has gone.
        let is_excused = |killed: &&Instant| sent < **killed + REST * 10 && **killed < sent + DURABLE_AFTER;
        assert!(
            killed.iter().any(|killed| is_excused(&killed)),
            "{said}, and was not under way at a kill"
        );
        lost += 1;
    }
    lost
}
