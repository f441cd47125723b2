//! `stakeout run` takes up a changed configuration while it runs: whole or not at all, with what was learned, and so that
//! no kill at any moment shows in what it tells.

mod serving;

use serving::{Folder, Service, append, documents, key, recorded};
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Writes the configuration: the usual one, with these lines behind it.
fn configure(folder: &Path, more: &str) {
    let text = format!(
        "http: {{ listen: '127.0.0.1:0' }}\n\
         inputs: {{ files: ['{0}/*.log'] }}\n\
         store: {{ commit_every: 100ms, snapshot_every: 300ms }}\n\
         sinks: [{{ type: file, path: '{0}/alerts.json' }}]\n{more}",
        folder.display()
    );
    write(folder, &text);
}

/// Writes the configuration as editors do, so that nobody sees half of it.
fn write(folder: &Path, text: &str) {
    fs::write(folder.join("stakeout.yaml.new"), text).expect("a configuration");
    fs::rename(folder.join("stakeout.yaml.new"), folder.join("stakeout.yaml")).expect("ours");
}

/// Reloads and waits until it is said to be done.
#[track_caller]
fn reload(service: &Service) {
    let before = service.said().len();
    service.signal("HUP");
    service.wait_until_said("configuration reloaded", before);
    assert_eq!(service.metric("stakeout_config_last_reload_successful"), Some(1.0));
}

/// Reloads, and waits until it is refused with this.
#[track_caller]
fn refused(service: &Service, told: &[&str]) {
    let before = service.said().len();
    service.signal("HUP");
    service.wait_until_said("configuration not reloaded, the old one stays", before);
    for text in told {
        service.wait_until_said(text, before);
    }
    assert_eq!(service.metric("stakeout_config_last_reload_successful"), Some(0.0));
}

fn detectors(service: &Service) -> usize {
    let text = service.get("/api/v1/detectors").expect("an answer");
    text.matches("\"id\":").count()
}

/// Where the first line begins that begins so.
fn line_of(log: &[u8], begins: &str) -> usize {
    let at = log.windows(begins.len()).position(|bytes| bytes == begins.as_bytes());
    at.expect("a line that begins so")
}

/// Half of the log under one configuration, the other half under another, and in between `meanwhile`, which is given the
/// service and gives the one that goes on.
fn told_over_a_change(name: &str, detectors: &str, meanwhile: impl Fn(Service, &Path) -> Service) -> Vec<String> {
    let log = recorded();
    let folder = Folder::new(name);
    configure(&folder.0, "");
    // In the middle of an attack that is being told.
    let half = line_of(&log, "2026-03-11T10:25:");
    append(&folder.0, &log[..half]);
    let service = Service::start(&folder.0);
    service.wait_until_judged();
    configure(
        &folder.0,
        &format!("budget: {{ alerts_per_day: 1000 }}\ndetectors: {{ {detectors} }}\n"),
    );
    let service = meanwhile(service, &folder.0);
    append(&folder.0, &log[half..]);
    service.wait_until_judged();
    service.terminate();
    documents(&folder.0.join("alerts.json")).into_values().collect()
}

#[test]
fn a_change_tells_the_same_whenever_the_process_is_killed_around_it() {
    const CHANGE: &str = "user_unusual_hour: off, source_password_spray: off, source_login_failures: { at_least: 5 }";
    let calm = told_over_a_change("reload-calm", CHANGE, |service, _| {
        reload(&service);
        assert!(service.said().contains(
            "28 detectors go on with what they learned; these have ended: source_password_spray, user_unusual_hour"
        ));
        service
    });
    assert!(calm.len() > 5, "the recording leads to alerts: {calm:?}");
    // Killed with the change written and not taken up, at once after it was taken up, and while it is.
    let before = told_over_a_change("reload-before", CHANGE, |service, folder| {
        service.kill();
        Service::start(folder)
    });
    assert_eq!(calm, before, "killed before the change");
    let after = told_over_a_change("reload-after", CHANGE, |service, folder| {
        reload(&service);
        service.kill();
        Service::start(folder)
    });
    assert_eq!(calm, after, "killed after the change");
    for (number, wait) in [0, 3, 8, 20].into_iter().enumerate() {
        let within = told_over_a_change(&format!("reload-within-{number}"), CHANGE, |service, folder| {
            service.signal("HUP");
            std::thread::sleep(Duration::from_millis(wait));
            service.kill();
            Service::start(folder)
        });
        assert_eq!(calm, within, "killed {wait} ms after SIGHUP");
    }
}

#[test]
fn alerts_of_a_detector_that_goes_are_told_as_ended_once_whenever_the_process_is_killed() {
    const CHANGE: &str = "source_login_failures: off";
    let calm = told_over_a_change("ended-calm", CHANGE, |service, _| {
        reload(&service);
        service
    });
    let read = |text: &String| serde_json::from_str::<serde_json::Value>(text).expect("a document");
    let documents: Vec<_> = calm.iter().map(read).collect();
    let ended: Vec<_> = documents
        .iter()
        .filter(|told| told["stakeout"]["ended"] == true)
        .collect();
    assert!(!ended.is_empty(), "an alert was open: {calm:?}");
    for last in ended {
        assert_eq!(last["rule"]["id"], "source_login_failures");
        let (id, count) = key(last);
        let forms = documents.iter().map(key).filter(|(held, _)| *held == id);
        assert_eq!(forms.map(|(_, count)| count).max(), Some(count), "it is the last form");
        assert!(count > 1, "it was told before");
    }
    let before = told_over_a_change("ended-before", CHANGE, |service, folder| {
        service.kill();
        Service::start(folder)
    });
    assert_eq!(calm, before, "killed before the change");
    for (number, wait) in [3, 12].into_iter().enumerate() {
        let within = told_over_a_change(&format!("ended-within-{number}"), CHANGE, |service, folder| {
            service.signal("HUP");
            std::thread::sleep(Duration::from_millis(wait));
            service.kill();
            Service::start(folder)
        });
        assert_eq!(calm, within, "killed {wait} ms after SIGHUP");
    }
}

#[test]
fn a_bad_configuration_is_told_and_the_old_one_stays() {
    let folder = Folder::new("reload-bad");
    configure(&folder.0, "");
    let service = Service::start(&folder.0);
    let all = detectors(&service);
    let taken_up = service.metric("stakeout_config_last_reload_success_timestamp_seconds");
    assert!(taken_up > Some(1.7e9));
    configure(&folder.0, "budgets: { alerts_per_day: 5 }\ntimezone: Atlantis\n");
    refused(
        &service,
        &[
            "stakeout.yaml:5:1: budgets: unknown key `budgets`; did you mean `budget`?",
            "stakeout.yaml:6:1: timezone: `Atlantis` is not a time zone",
            "mistakes=2",
        ],
    );
    write(&folder.0, "inputs: [\n");
    refused(&service, &["not valid YAML"]);
    fs::remove_file(folder.0.join("stakeout.yaml")).expect("ours");
    refused(&service, &["No such file"]);
    configure(&folder.0, "bounds: { flows_max: 1000 }\nconfine: false\n");
    refused(&service, &["`confine` changes only with a restart of the service"]);
    write(
        &folder.0,
        "http: { listen: '127.0.0.1:1' }\ninputs: { stdin: true }\nsinks: []\n",
    );
    refused(&service, &["`http: listen`, `inputs: stdin` changes only"]);
    configure(&folder.0, "inputs2: {}\n");
    let said = service.said().len();
    // Nobody has to send a signal.
    configure(&folder.0, "detectors: { user_unusual_hour: off }\n");
    service.wait_until_said("configuration reloaded", said);
    assert_eq!(detectors(&service), all - 1);
    let later = service.metric("stakeout_config_last_reload_success_timestamp_seconds");
    assert!(later > taken_up, "{later:?} after {taken_up:?}");
    // Nothing new is no mistake.
    reload(&service);
    service.terminate();
}

#[test]
fn detectors_of_a_folder_come_and_go_and_change() {
    let folder = Folder::new("reload-detectors");
    configure(&folder.0, "");
    let own = folder.0.join("detectors");
    fs::create_dir(&own).expect("a folder");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("detectors");
    let copy = |id: &str, from: &str, to: &str| {
        let text = fs::read_to_string(shipped.join(format!("{id}.yml"))).expect("a definition");
        fs::write(own.join(format!("{id}.yml")), text.replace(from, to)).expect("room");
    };
    copy("user_login_failures", "", "");
    copy("source_login_failures", "", "");
    let service = Service::start_with(&folder.0, &["--detectors", &own.display().to_string()]);
    assert_eq!(detectors(&service), 2);
    copy("user_login_failures", "half_life: ", "half_life: 1");
    copy("host_silence", "", "");
    fs::remove_file(own.join("source_login_failures.yml")).expect("ours");
    // It is seen without a signal.
    service.wait_until_said(
        "configuration reloaded: 0 detectors go on with what they learned; \
         these begin anew: host_silence (new), user_login_failures (changed); \
         these have ended: source_login_failures",
        0,
    );
    copy("host_silence", "measure: count", "measure: counts");
    let said = service.said().len();
    service.wait_until_said("host_silence.yml:", said);
    service.wait_until_said("did you mean `count`?", said);
    assert_eq!(detectors(&service), 2);
    service.terminate();
}

#[test]
fn sinks_and_inputs_come_and_go_while_others_go_on() {
    let log = recorded();
    let folder = Folder::new("reload-sinks");
    let path = folder.0.display().to_string();
    let written = |files: &str, syslog: &str, sinks: &[&str]| {
        let sinks: Vec<String> = sinks
            .iter()
            .map(|name| format!("  - {{ type: file, path: '{path}/{name}.json' }}\n"))
            .collect();
        write(
            &folder.0,
            &format!(
                "http: {{ listen: '127.0.0.1:0' }}\n\
                 inputs: {{ files: ['{path}/{files}'], syslog: [{syslog}] }}\n\
                 store: {{ commit_every: 100ms, snapshot_every: 300ms }}\n\
                 budget: {{ alerts_per_day: 1000 }}\nsinks:\n{}",
                sinks.concat()
            ),
        );
    };
    let half = line_of(&log, "2026-03-11T12:");
    written("*.log", "", &["first", "second"]);
    append(&folder.0, &log[..half]);
    let service = Service::start(&folder.0);
    service.wait_until_judged();
    let before = documents(&folder.0.join("first.json"));
    assert!(!before.is_empty());
    // The file is followed by another pattern from where it was, and a socket is opened.
    let free = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    written("auth.*", &format!("'udp://127.0.0.1:{port}'"), &["second", "third"]);
    reload(&service);
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a port");
    service.wait_until("the socket is read", |service| {
        let line = "<86>Oct 11 22:14:15 h1 sshd[1]: Failed password for x from 10.9.9.9 port 1 ssh2";
        sender.send_to(line.as_bytes(), ("127.0.0.1", port)).expect("sent");
        let messages = service.metric("stakeout_collector_messages_total{source=\"syslog\"}");
        messages.is_some_and(|messages| messages > 0.0)
    });
    append(&folder.0, &log[half..]);
    service.wait_until_judged();
    written("auth.*", "", &["second", "third"]);
    reload(&service);
    service.wait_until("the socket is closed", |_| UdpSocket::bind(("127.0.0.1", port)).is_ok());
    let metrics = service.get("/metrics").expect("metrics");
    let backlog = |name: &str| format!("stakeout_sink_backlog_alerts{{sink=\"file {path}/{name}.json\"}} 0");
    assert!(metrics.contains(&backlog("second")) && metrics.contains(&backlog("third")));
    assert!(
        !metrics.contains(&backlog("first")),
        "nothing waits for a sink that has gone"
    );
    service.terminate();
    let [first, second, third] =
        ["first", "second", "third"].map(|name| documents(&folder.0.join(format!("{name}.json"))));
    assert_eq!(first, before, "a sink that is gone gets nothing more");
    assert!(second.len() > first.len() && !third.is_empty());
    let later: Vec<_> = second.iter().filter(|(key, _)| !first.contains_key(*key)).collect();
    assert_eq!(
        later,
        third.iter().collect::<Vec<_>>(),
        "a new sink begins with the next alert"
    );
}

#[test]
fn what_the_process_has_given_up_is_refused_with_what_to_do() {
    let folder = Folder::new("reload-confined");
    let other = Folder::new("reload-confined-other");
    configure(&folder.0, "");
    let service = Service::start(&folder.0);
    let readiness = service.get("/readyz").expect("an answer");
    if !readiness.contains("\"landlock\":\"full\"") {
        return serving::left_out(&format!("Landlock: {readiness}"));
    }
    let text = fs::read_to_string(folder.0.join("stakeout.yaml")).expect("ours");
    let sink = format!("sinks: [{{ type: file, path: '{}/alerts.json' }}, ", other.0.display());
    write(&folder.0, &text.replace("sinks: [", &sink));
    refused(
        &service,
        &["a folder that no sink wrote to may need a restart of the service"],
    );
    service.terminate();
}

#[test]
fn a_hangup_while_it_starts_ends_nothing_and_a_change_then_is_taken_up() {
    let log = recorded();
    let folder = Folder::new("reload-starting");
    configure(&folder.0, "");
    append(&folder.0, &log);
    let service = Service::start(&folder.0);
    service.wait_until_judged();
    let usual = detectors(&service);
    service.kill();
    // SIGHUP every two milliseconds, from before it has said that it can be told so, and the change in the middle.
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "trap '' HUP; (for i in $(seq 400); do kill -HUP $$; sleep 0.002; done) & exec \"$@\"",
        "sh",
        env!("CARGO_BIN_EXE_stakeout"),
    ]);
    command.stdin(Stdio::null());
    let path = folder.0.clone();
    let change = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(40));
        configure(&path, "detectors: { user_unusual_hour: off }\n");
    });
    let service = Service::start_in(&folder.0, command, None);
    change.join().expect("no panic");
    service.wait_until("the change is in force", |service| detectors(service) == usual - 1);
    service.wait_until("it is told", |service| {
        service.metric("stakeout_config_last_reload_successful") == Some(1.0)
    });
    // It works as before: another log is judged, and what was told stays told once.
    let events = service.metric("stakeout_events_total").unwrap_or(0.0);
    // A jump ahead is believed when others agree.
    for second in 0..5 {
        let line = format!(
            "2026-03-20T08:00:0{second}.000000+00:00 gate sshd[9]: Failed password for root from 203.0.113.9 port 9 ssh2\n"
        );
        append(&folder.0, line.as_bytes());
    }
    service.wait_until("it goes on", |service| {
        service.metric("stakeout_events_total").unwrap_or(0.0) > events
    });
    service.terminate();
    assert!(!documents(&folder.0.join("alerts.json")).is_empty());
}

/// Twelve days of one account's logins, and one from a provider's network that it never used; in between the database of
/// autonomous systems is another one, which calls the provider by another name, and `meanwhile`.
fn told_over_other_systems(name: &str, meanwhile: impl Fn(Service, &Path) -> Service) -> Vec<String> {
    let folder = Folder::new(name);
    let database = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/asn.mmdb")).expect("a database");
    fs::write(folder.0.join("asn.mmdb"), &database).expect("ours");
    configure(
        &folder.0,
        "networks: { asn_database: asn.mmdb }\nbudget: { alerts_per_day: 100000 }\n",
    );
    let login = |day: usize, time: &str, address: &str| {
        format!(
            "2026-03-{day:02}T{time}.000000+00:00 gate sshd[20]: Accepted publickey for alice from {address} port 50122 ssh2\n"
        )
    };
    let usual = (0..120).map(|number| {
        let (day, hour) = (1 + number / 10, 8 + number % 10);
        login(day, &format!("{hour:02}:17:05"), &format!("198.18.{}.7", number % 3))
    });
    append(&folder.0, usual.collect::<String>().as_bytes());
    let service = Service::start(&folder.0);
    service.wait_until_judged();
    let (before, after) = (b"Example Hosting", b"Another Hosting");
    let at = database.windows(before.len()).position(|bytes| bytes == before);
    let mut other = database;
    let at = at.expect("its name");
    other[at..at + after.len()].copy_from_slice(after);
    // As whole as a good updater writes it.
    fs::write(folder.0.join("asn.new"), &other).expect("ours");
    fs::rename(folder.0.join("asn.new"), folder.0.join("asn.mmdb")).expect("ours");
    let service = meanwhile(service, &folder.0);
    append(&folder.0, login(12, "18:40:00", "198.51.100.20").as_bytes());
    append(&folder.0, login(13, "08:17:05", "198.18.1.7").as_bytes());
    service.wait_until_judged();
    service.terminate();
    documents(&folder.0.join("alerts.json")).into_values().collect()
}

#[test]
fn another_database_of_systems_is_taken_up_the_same_whenever_the_process_is_killed_around_it() {
    let calm = told_over_other_systems("systems-calm", |service, _| {
        reload(&service);
        service
    });
    let named: Vec<_> = calm.iter().filter(|told| told.contains("Another Hosting")).collect();
    assert!(!named.is_empty(), "the provider's new name is told: {calm:?}");
    assert!(calm.iter().all(|told| !told.contains("Example Hosting")));
    let before = told_over_other_systems("systems-before", |service, folder| {
        service.kill();
        Service::start(folder)
    });
    assert_eq!(calm, before, "killed before it was taken up");
    let after = told_over_other_systems("systems-after", |service, folder| {
        reload(&service);
        service.kill();
        Service::start(folder)
    });
    assert_eq!(calm, after, "killed after it was taken up");
    let within = told_over_other_systems("systems-within", |service, folder| {
        service.signal("HUP");
        service.kill();
        Service::start(folder)
    });
    assert_eq!(calm, within, "killed while it was taken up");
}

#[test]
fn what_changes_nothing_that_is_found_is_taken_up_without_a_snapshot() {
    let log = recorded();
    let half = line_of(&log, "2026-03-11T10:25:");
    let told = |name: &str, meanwhile: &dyn Fn(Service, &Path) -> Service| {
        let folder = Folder::new(name);
        let written = |assets: &str| {
            let text = format!(
                "http: {{ listen: '127.0.0.1:0' }}\ninputs: {{ files: ['{0}/*.log'] }}\n{assets}\
                 store: {{ commit_every: 100ms, snapshot_every: 1h }}\nbudget: {{ alerts_per_day: 1000 }}\n\
                 sinks: [{{ type: file, path: '{0}/alerts.json' }}]\n",
                folder.0.display()
            );
            write(&folder.0, &text);
        };
        written("");
        append(&folder.0, &log[..half]);
        let service = Service::start(&folder.0);
        service.wait_until_judged();
        let snapshots = |service: &Service| service.metric("stakeout_store_snapshot_seconds_count");
        let before = snapshots(&service);
        written("assets:\n  - { name: the whole house, address: 0.0.0.0/0, criticality: high }\n");
        reload(&service);
        assert_eq!(snapshots(&service), before, "nothing was written");
        let service = meanwhile(service, &folder.0);
        append(&folder.0, &log[half..]);
        service.wait_until_judged();
        service.terminate();
        documents(&folder.0.join("alerts.json"))
    };
    let calm = told("reload-assets", &|service, _| service);
    assert!(calm.values().any(|told| told.contains("the whole house")), "{calm:?}");
    assert!(
        calm.values().any(|told| !told.contains("the whole house")),
        "some were told before"
    );
    let killed = told("reload-assets-killed", &|service, folder| {
        service.kill();
        Service::start(folder)
    });
    assert_eq!(calm, killed);
}
