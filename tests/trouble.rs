//! What happens to the machine below `stakeout run`: a disk that is full, a store that can't be written, a clock that
//! jumps. It stays up, says what is wrong, and loses nothing that it accepted.

mod serving;

use serving::{Folder, PATIENCE, Service, append, left_out};
use stakeout::edge::collector::now;
use stakeout::edge::store::{Store, StoreFailure};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn configure(folder: &Path, snapshot_every: &str) {
    let text = format!(
        "http: {{ listen: '127.0.0.1:0' }}\n\
         store: {{ commit_every: 100ms, snapshot_every: {snapshot_every} }}\n\
         budget: {{ alerts_per_day: 1000 }}\n\
         sinks: [{{ type: file, path: '{}/alerts.json' }}]\n",
        folder.display()
    );
    fs::write(folder.join("stakeout.yaml"), text).expect("a configuration");
}

/// A login as a JSON line, so many seconds from now by this test's clock.
fn login(after: i64, source: &str, user: &str, outcome: &str) -> String {
    let at = now().plus(stakeout::domain::Duration::from_millis(after * 1000));
    format!(
        "{{\"@timestamp\":\"{at}\",\"event\":{{\"category\":\"authentication\",\"outcome\":\"{outcome}\"}},\
         \"user\":{{\"name\":\"{user}\"}},\"source\":{{\"ip\":\"{source}\"}},\"host\":{{\"name\":\"gateway\"}}}}\n"
    )
}

/// Pushes JSON lines. Gives the status of the answer, if there is one in time.
fn push(address: &str, body: &str, patience: Duration) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    let head = format!(
        "POST /api/v1/events HTTP/1.1\r\nHost: s\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.split(' ').nth(1)?.parse().ok()
}

/// A small file system in memory, on a folder.
struct Small(PathBuf);

impl Small {
    /// Nothing where none can be made.
    fn mount(folder: PathBuf, megabytes: u32) -> Option<Small> {
        fs::create_dir_all(&folder).expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "stakeout-test"])
            .arg(&folder)
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Small(folder));
        }
        left_out("no small file system can be made here");
        None
    }

    fn remount_read_only(&self) {
        let mounted = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status();
        assert!(mounted.is_ok_and(|status| status.success()));
    }

    /// Leaves no room.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).expect("a file");
        while file.write_all(&[7; 4096]).is_ok() {}
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_holds_collection_up_until_there_is_room_and_nothing_accepted_is_lost() {
    let folder = Folder::new("trouble-full");
    let Some(small) = Small::mount(folder.0.join("data"), 24) else {
        return;
    };
    configure(&folder.0, "1h");
    let service = Service::start(&folder.0);
    let body = |number: usize| -> String {
        let users = (0..500).map(|place| login(0, "10.0.0.7", &format!("user-{number}-{place}"), "success"));
        users.collect()
    };
    assert_eq!(push(&service.address, &body(0), PATIENCE), Some(200));
    small.fill();
    let pushed: Vec<_> = (1..80)
        .map(|number| {
            let (address, body) = (service.address.clone(), body(number));
            std::thread::spawn(move || (number, push(&address, &body, PATIENCE)))
        })
        .collect();
    service.wait_until("the store has failed", |service| {
        service.metric("stakeout_store_failures_total{operation=\"commit\"}") > Some(1.0)
    });
    let readiness = service.get("/readyz").expect("an answer");
    assert!(readiness.contains("is the disk full?"), "{readiness}");
    assert_eq!(service.metric("stakeout_ready"), Some(0.0));
    fs::remove_file(small.0.join("filler")).expect("ours");
    let mut accepted = vec![0];
    for push in pushed {
        let (number, status) = push.join().expect("no panic");
        // It says so where it takes no more.
        assert!(matches!(status, Some(200 | 429 | 503)), "{status:?}");
        accepted.extend((status == Some(200)).then_some(number));
    }
    assert!(accepted.len() > 1, "what waited was answered");
    service.wait_until("it is well again", |service| {
        service.metric("stakeout_ready") == Some(1.0)
    });
    assert_eq!(push(&service.address, &body(80), PATIENCE), Some(200));
    accepted.push(80);
    service.kill();

    let store = Store::open(&small.0).expect("the store is whole");
    let mut text = String::new();
    let from = store
        .snapshot()
        .expect("readable")
        .map_or(0, |snapshot| snapshot.next_record);
    let read = store.read_journal(from, |record| {
        text.push_str(&String::from_utf8_lossy(record));
        Ok::<_, StoreFailure>(())
    });
    read.expect("a journal");
    for number in accepted {
        for place in 0..500 {
            let name = format!("\"user-{number}-{place}\"");
            assert_eq!(text.matches(&name).count(), 1, "{name} is there once");
        }
    }
}

#[test]
fn a_store_that_is_read_only_is_named_with_what_to_do() {
    let folder = Folder::new("trouble-read-only");
    let Some(small) = Small::mount(folder.0.join("data"), 24) else {
        return;
    };
    configure(&folder.0, "1h");
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
        command.args(["run", "--config"]).arg(folder.0.join("stakeout.yaml"));
        let ran = command
            .env("STAKEOUT_DATA_DIR", &small.0)
            .env("NO_COLOR", "1")
            .output()
            .expect("it starts");
        (ran.status.code(), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    // One that was there before, and a folder where there is none.
    Service::start(&folder.0).terminate();
    small.remount_read_only();
    let (status, told) = run();
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("name a folder that this user may write to"), "{told}");
}

#[test]
fn a_line_of_a_hundred_megabytes_in_a_followed_file_is_counted_and_those_around_it_are_read() {
    let folder = Folder::new("trouble-line");
    configure(&folder.0, "1h");
    let inputs = format!("inputs: {{ files: ['{}/auth.log'] }}\n", folder.0.display());
    let text = fs::read_to_string(folder.0.join("stakeout.yaml")).expect("ours") + &inputs;
    fs::write(folder.0.join("stakeout.yaml"), text).expect("a configuration");
    let good = "2026-03-02T09:12:41Z web sshd[77]: Failed password for root from 10.0.0.7 port 4242 ssh2\n";
    append(&folder.0, good.as_bytes());
    let service = Service::start(&folder.0);
    service.wait_until("the first line is read", |service| {
        service.metric("stakeout_records_total{outcome=\"decoded\"}") == Some(1.0)
    });
    let piece = vec![b'x'; 1 << 20];
    (0..100).for_each(|_| append(&folder.0, &piece));
    append(&folder.0, format!("\n{good}").as_bytes());
    service.wait_until("the line behind it is read", |service| {
        service.metric("stakeout_records_total{outcome=\"decoded\"}") == Some(2.0)
    });
    let counted = "stakeout_collector_refused_total{reason=\"too_long\",source=\"file\"}";
    service.wait_until("it is counted", |service| service.metric(counted) == Some(1.0));
    let memory = service.metric("process_resident_memory_bytes").expect("Linux tells");
    assert!(memory < 200e6, "{memory}");
    service.terminate();
}

/// The library that turns clocks.
fn clock_turner() -> Option<PathBuf> {
    let found = ["x86_64", "aarch64"]
        .map(|machine| PathBuf::from(format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1")));
    let found = found.into_iter().find(|path| path.exists());
    if found.is_none() {
        left_out("libfaketime is not installed");
    }
    found
}

#[test]
fn a_clock_that_jumps_back_an_hour_and_forth_again_loses_nothing_and_holds_nobody_up() {
    let Some(library) = clock_turner() else { return };
    let folder = Folder::new("trouble-clock");
    configure(&folder.0, "300ms");
    let turned = folder.0.join("clock");
    let turn = |to: &str| fs::write(&turned, to).expect("a file");
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
        command.stdin(Stdio::null()).env("LD_PRELOAD", &library);
        command
            .env("FAKETIME_TIMESTAMP_FILE", &turned)
            .env("FAKETIME_NO_CACHE", "1");
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        Service::start_in(&folder.0, command, None)
    };
    turn("+0");
    let mut service = start();
    let mut taken = 0.0;
    // Logins at each time, by the clock that the machine shows then.
    for (clock, hours) in [("+0", 0), ("-3600", -1), ("+0", 0)] {
        turn(clock);
        let logins = (0..100).map(|place| login(3600 * hours, "10.0.0.8", &format!("user{place}"), "success"));
        assert_eq!(push(&service.address, &logins.collect::<String>(), PATIENCE), Some(200));
        taken += 100.0;
        let begun = Instant::now();
        service.wait_until("all of it was judged", |service| {
            service.metric("stakeout_events_total") == Some(taken)
        });
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        let lag = service.metric("stakeout_event_lag_seconds").expect("a lag");
        assert_eq!(lag < -3000.0, hours < 0, "{lag}: a clock behind the events is shown");
        if hours < 0 {
            // A kill while the clock is behind is one more.
            service.kill();
            service = start();
            taken = service.metric("stakeout_events_total").expect("a count");
        }
    }
    assert_eq!(service.metric("stakeout_ready"), Some(1.0));
    service.terminate();
}
