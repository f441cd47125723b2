//! What is in `deploy/` and the manual, held to what the service gives, with the real programs where they are installed.

#[cfg(feature = "kafka")]
mod broker;
mod serving;

use serving::{Folder, PATIENCE, Service, left_out, recorded};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn at_home(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(at_home(path)).expect("a file of the project")
}

/// Where a program is. Nothing, and a word about it, where it is not installed.
fn installed(name: &str) -> Option<PathBuf> {
    let found = std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        left_out(&format!("{name} is not installed"));
    }
    found
}

/// Runs a program to its end and gives what it said; it must succeed.
#[track_caller]
fn succeed(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the program runs");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{command:?} failed: {}{}", said[0], said[1]);
    said.concat()
}

/// A process of ours, ended by its own id.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The body of an answer with status 200.
fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.split(' ').nth(1)?.eq("200").then(|| body.to_owned())
}

#[track_caller]
fn wait_for<T>(what: &str, mut try_it: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = try_it() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A service that follows a log in this folder.
fn start_stakeout(folder: &Folder) -> Service {
    let text = format!(
        "http: {{ listen: '127.0.0.1:0' }}\n\
         inputs: {{ files: ['{0}/*.log'] }}\n\
         store: {{ commit_every: 100ms, snapshot_every: 2s }}\n\
         sinks: [{{ type: file, name: file, path: '{0}/alerts.json' }}]\n",
        folder.0.display()
    );
    fs::write(folder.0.join("stakeout.yaml"), text).expect("a configuration");
    Service::start(&folder.0)
}

fn append(folder: &Folder, lines: &[&[u8]]) {
    let path = folder.0.join("auth.log");
    let file = fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(&lines.concat()))
        .expect("room on the disk");
}

/// A metric as it is described or given: its kind and its labels.
type Described = BTreeMap<String, (String, BTreeSet<String>)>;

/// The metrics of a text in Prometheus' format.
fn given(text: &str) -> Described {
    let mut found = Described::new();
    let mut last = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a kind");
            last = name.to_owned();
            found.insert(last.clone(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#')
            && let Some((_, rest)) = line.split_once('{')
        {
            let (labels, _) = rest.rsplit_once('}').expect("closed");
            let names = labels.split("\",").filter_map(|pair| pair.split_once('='));
            let held = &mut found.get_mut(&last).expect("a kind comes first").1;
            held.extend(names.map(|(name, _)| name.to_owned()).filter(|name| name != "le"));
        }
    }
    found
}

/// The metrics of the manual's table.
fn described() -> Described {
    let manual = read("docs/operating.md");
    let rows = manual.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[0].strip_suffix('`')?;
        let kind = *cells.get(1)?;
        let labels = cells.get(2)?.split(", ").filter(|label| !label.is_empty());
        let is_metric = ["counter", "gauge", "histogram"].contains(&kind);
        is_metric.then(|| (name.to_owned(), (kind.to_owned(), labels.map(str::to_owned).collect())))
    })
    .collect()
}

#[test]
fn the_manual_describes_every_metric_that_is_given_and_no_other() {
    let folder = Folder::new("metrics");
    let stakeout = start_stakeout(&folder);
    append(&folder, &[&recorded()]);
    let text = wait_for("alerts and their delivery", || {
        let text = stakeout.get("/metrics")?;
        let asked = text.contains("stakeout_http_request_seconds_count");
        (text.contains("stakeout_alerts_today ") && !text.contains("stakeout_alerts_today 0\n") && asked)
            .then_some(text)
    });
    let (given, described) = (given(&text), described());
    for (name, form) in &given {
        assert_eq!(
            described.get(name),
            Some(form),
            "{name} as docs/operating.md describes it"
        );
    }
    // No interface is captured from here and no topic is read, so there is nothing to tell of one.
    for (name, _) in described
        .iter()
        .filter(|(name, (_, labels))| !labels.contains("interface") && !name.starts_with("stakeout_kafka_"))
    {
        assert!(given.contains_key(name), "{name} is described, but not given");
    }
}

#[test]
fn every_alarm_fires_when_it_should_keeps_still_otherwise_and_has_its_place_in_the_manual() {
    let alarms: yaml_serde::Value = yaml_serde::from_str(&read("deploy/prometheus/alerts.yml")).expect("YAML");
    let tests: yaml_serde::Value = yaml_serde::from_str(&read("deploy/prometheus/rules_test.yml")).expect("YAML");
    let list = |value: &yaml_serde::Value| value.as_sequence().cloned().unwrap_or_default();
    let cases: Vec<_> = list(&tests["tests"])
        .iter()
        .flat_map(|test| list(&test["alert_rule_test"]))
        .collect();
    let manual = read("docs/operating.md");
    let rules = list(&alarms["groups"][0]["rules"]);
    assert!(rules.len() > 10);
    for rule in &rules {
        let name = rule["alert"].as_str().expect("a name");
        let of_it = || cases.iter().filter(|case| case["alertname"].as_str() == Some(name));
        let is_firing = |case: &&yaml_serde::Value| !list(&case["exp_alerts"]).is_empty();
        assert!(of_it().any(|case| is_firing(&case)), "no test sees {name} fire");
        assert!(of_it().any(|case| !is_firing(&case)), "no test sees {name} keep still");
        let runbook = rule["annotations"]["runbook"].as_str().expect("a runbook");
        assert_eq!(runbook, format!("docs/operating.md#{}", name.to_lowercase()));
        assert!(manual.contains(&format!("\n### {name}\n")), "{name} in the manual");
    }
    let Some(promtool) = installed("promtool") else { return };
    for config in ["prometheus.yml", "kafka.yml"] {
        succeed(
            Command::new(&promtool)
                .args(["check", "config"])
                .arg(at_home("deploy/prometheus").join(config)),
        );
    }
    succeed(
        Command::new(&promtool)
            .args(["test", "rules"])
            .arg(at_home("deploy/prometheus/rules_test.yml")),
    );
}

/// A text with everything in it that a query may hold, as part of an address.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// The numbers that a query gives now.
fn asked(prometheus: &str, query: &str) -> Result<Vec<f64>, String> {
    let path = format!("/api/v1/query?query={}", encoded(query));
    let answer = get(prometheus, &path).ok_or("refused")?;
    let answer: serde_json::Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
    let series = answer["data"]["result"].as_array().ok_or("no result")?;
    let numbers = series.iter().filter_map(|one| one["value"][1].as_str()?.parse().ok());
    Ok(numbers.collect())
}

/// Every query of these dashboards, those of their variables too, with where it stands.
fn queries(is_asked: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut uids = BTreeSet::new();
    for entry in fs::read_dir(at_home("deploy/grafana/dashboards")).expect("dashboards") {
        let path = entry.expect("a file").path();
        let board: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&path).expect("a dashboard")).expect("JSON");
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(uids.insert(board["uid"].to_string()), "{name}: the uid is taken");
        if !is_asked(&name) {
            continue;
        }
        for variable in board["templating"]["list"].as_array().expect("variables") {
            if let Some(text) = variable["definition"].as_str() {
                let inner = text
                    .strip_prefix("label_values(")
                    .and_then(|text| text.rsplit_once(", "));
                found.insert(
                    inner.expect("label_values").0.to_owned(),
                    format!("{name}: {}", variable["name"]),
                );
            }
        }
        for panel in board["panels"].as_array().expect("panels") {
            assert_eq!(
                panel["datasource"]["uid"], "${datasource}",
                "{name}: {}",
                panel["title"]
            );
            for target in panel["targets"].as_array().expect("targets") {
                let mut query = target["expr"].as_str().expect("a query").to_owned();
                for (variable, value) in [
                    ("$instance", ".*"),
                    ("$detector", ".*"),
                    ("$__rate_interval", "10s"),
                    ("$__range", "2m"),
                ] {
                    query = query.replace(variable, value);
                }
                assert!(!query.contains('$'), "{name}: an unknown variable in {query}");
                found.insert(query, format!("{name}: {}", panel["title"]));
            }
        }
    }
    assert_eq!(uids.len(), 5);
    found
}

/// Where the shipped configurations have Stakeout and Alertmanager.
const STAKEOUT: &str = "127.0.0.1:9750";
const ALERTMANAGER: &str = "127.0.0.1:9093";

/// An address on loopback where nobody listens.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.expect("a port").to_string()
}

/// A real Alertmanager with the shipped configuration.
fn start_alertmanager(program: &Path, folder: &Folder) -> (Process, String) {
    let address = free_address();
    let child = Command::new(program)
        .arg(format!(
            "--config.file={}",
            at_home("deploy/alertmanager/alertmanager.yml").display()
        ))
        .arg(format!("--storage.path={}", folder.0.join("alertmanager").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--cluster.listen-address=")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let process = Process(child.expect("starting alertmanager"));
    wait_for("Alertmanager", || get(&address, "/-/ready"));
    (process, address)
}

/// A real Prometheus with a shipped configuration, at a quicker pace, with other addresses in place of those in there.
fn start_prometheus(program: &Path, folder: &Folder, config: &str, addresses: &[(&str, &str)]) -> (Process, String) {
    let address = free_address();
    for file in [config, "recording.yml", "alerts.yml"] {
        let mut text = read(&format!("deploy/prometheus/{file}"))
            .replace("_interval: 15s", "_interval: 1s")
            .replace("interval: 1m", "interval: 1s")
            .replace("for: 2m", "for: 2s");
        for (written, real) in addresses {
            text = text.replace(written, real);
        }
        fs::write(folder.0.join(file), text).expect("a file");
    }
    let child = Command::new(program)
        .arg(format!("--config.file={}", folder.0.join(config).display()))
        .arg(format!("--storage.tsdb.path={}", folder.0.join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let process = Process(child.expect("starting prometheus"));
    wait_for("Prometheus", || get(&address, "/-/ready"));
    (process, address)
}

#[test]
fn every_query_of_every_panel_returns_data_from_a_real_prometheus() {
    let Some(program) = installed("prometheus") else { return };
    let (folder, folder_of_prometheus) = (Folder::new("queries"), Folder::new("prometheus"));
    let stakeout = start_stakeout(&folder);
    let nobody = free_address();
    let addresses = [(STAKEOUT, stakeout.address.as_str()), (ALERTMANAGER, &nobody)];
    let (_process, prometheus) = start_prometheus(&program, &folder_of_prometheus, "prometheus.yml", &addresses);
    wait_for("the first scrape", || {
        asked(&prometheus, "stakeout_ready")
            .ok()
            .filter(|found| found == &[1.0])
    });
    // What Kafka's panels ask is there where roles work.
    let open = queries(|board| board != "kafka.json");
    assert!(open.len() > 60, "{} queries", open.len());
    let log = recorded();
    let lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
    ask_under_load(&prometheus, open, &folder, &lines);
    wait_for("alerts to be seen by Prometheus", || {
        let found = asked(
            &prometheus,
            "sum(stakeout_alerts_total) > 0 and sum(stakeout_alert_risk_total) > 0",
        );
        found.ok().filter(|found| !found.is_empty())
    });
    every_rule_is_healthy(&prometheus);
}

/// Asks until each query has given a number, while a small load goes on.
fn ask_under_load(prometheus: &str, mut open: BTreeMap<String, String>, folder: &Folder, lines: &[&[u8]]) {
    let mut pieces = lines.chunks(lines.len().div_ceil(100));
    let begun = Instant::now();
    while !open.is_empty() || pieces.len() > 0 {
        if let Some(piece) = pieces.next() {
            append(folder, piece);
        }
        open.retain(|query, _| {
            let found = asked(prometheus, query).unwrap_or_default();
            !found.iter().any(|number| number.is_finite())
        });
        assert!(begun.elapsed() < PATIENCE, "no data from: {open:#?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn every_rule_is_healthy(prometheus: &str) {
    let rules = get(prometheus, "/api/v1/rules").expect("rules");
    let rules: serde_json::Value = serde_json::from_str(&rules).expect("JSON");
    let groups = rules["data"]["groups"].as_array().expect("groups");
    let rules: Vec<_> = groups
        .iter()
        .flat_map(|group| group["rules"].as_array())
        .flatten()
        .collect();
    assert!(rules.len() >= 20, "{} rules", rules.len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{}: {}", rule["name"], rule["lastError"]);
    }
}

#[cfg(feature = "kafka")]
#[test]
fn every_query_of_the_kafka_panels_returns_data_while_roles_work() {
    let Some(program) = installed("prometheus") else { return };
    let Some(broker) = broker::broker() else { return };
    let (folder, folder_of_prometheus) = (Folder::new("roles"), Folder::new("roles-prometheus"));
    let text = format!(
        "http: {{ listen: '127.0.0.1:0' }}\n\
         inputs:\n  files: ['{0}/*.log']\n  kafka: {{ brokers: '{1}', topics: [raw, nowhere] }}\n\
         kafka: {{ brokers: '{1}', partitions: 2 }}\n\
         store: {{ commit_every: 100ms }}\n\
         sinks: [{{ type: file, path: '{0}/alerts.json' }}]\n",
        folder.0.display(),
        broker.address
    );
    fs::write(folder.0.join("stakeout.yaml"), text).expect("a configuration");
    succeed(
        Command::new(env!("CARGO_BIN_EXE_stakeout"))
            .args(["topics", "--create", "--config"])
            .arg(folder.0.join("stakeout.yaml")),
    );
    let log = recorded();
    let lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
    let record = |line| broker::Written {
        value: Some(line),
        ..broker::Written::default()
    };
    let start = |role, name| Service::start_role(&folder.0, role, &["--instance", name]);
    // A gap: retention is faster than who collects.
    broker.make_topic("raw", 1);
    broker.write("raw", lines[..20].iter().map(|line| record(*line)));
    let collect = start("collect", "collector-1");
    let is_read =
        |service: &Service| service.metric("stakeout_collector_messages_total{source=\"kafka\"}") == Some(20.0);
    collect.wait_until("the topic was read", is_read);
    collect.terminate();
    broker.write("raw", lines[20..40].iter().map(|line| record(*line)));
    broker.delete_before("raw", 0, 30);
    // Dead letters: somebody else writes to the topics of the roles.
    for topic in ["stakeout.events", "stakeout.alerts"] {
        broker.write(topic, [record(b"nothing of ours")]);
    }
    let roles = [
        ("127.0.0.1:9751", start("collect", "collector-1")),
        ("127.0.0.1:9752", start("detect", "detector-1")),
        ("127.0.0.1:9755", start("respond", "responder-1")),
    ];
    let nobody = free_address();
    let mut addresses = vec![(ALERTMANAGER, nobody.as_str())];
    addresses.extend(
        roles
            .iter()
            .map(|(written, service)| (*written, service.address.as_str())),
    );
    let (_process, prometheus) = start_prometheus(&program, &folder_of_prometheus, "kafka.yml", &addresses);
    wait_for("all partitions to be read", || {
        let query = "sum(stakeout_kafka_partition_up{instance=\"detector-1\"})";
        asked(&prometheus, query).ok().filter(|found| found == &[3.0])
    });
    let open = queries(|board| board == "kafka.json");
    assert!(open.len() > 20, "{} queries", open.len());
    ask_under_load(&prometheus, open, &folder, &lines[40..]);
    wait_for("the alarm about dead letters", || {
        let query = "ALERTS{alertname=\"StakeoutKafkaDeadLetters\",alertstate=\"firing\"}";
        asked(&prometheus, query).ok().filter(|found| found.len() == 2)
    });
    every_rule_is_healthy(&prometheus);
    let (mut told, described) = (BTreeSet::new(), described());
    for (_, service) in &roles {
        for (name, form) in given(&service.get("/metrics").expect("metrics")) {
            assert_eq!(described.get(&name), Some(&form), "{name} as the manual describes it");
            told.insert(name);
        }
    }
    for name in described.keys().filter(|name| name.starts_with("stakeout_kafka_")) {
        assert!(told.contains(name), "{name} is described, but not given");
    }
    for (_, service) in roles {
        service.terminate();
    }
}

#[test]
fn an_alarm_goes_through_a_real_prometheus_to_a_real_alertmanager() {
    let names = ["prometheus-alertmanager", "alertmanager"];
    let Some(alertmanager) = names.into_iter().find_map(installed) else {
        return;
    };
    let Some(program) = installed("prometheus") else { return };
    let (folder, folder_of_others) = (Folder::new("alarm"), Folder::new("alarm-others"));
    let stakeout = start_stakeout(&folder);
    let (_alertmanager, alarms) = start_alertmanager(&alertmanager, &folder_of_others);
    let addresses = [(STAKEOUT, stakeout.address.as_str()), (ALERTMANAGER, &alarms)];
    let (_prometheus, prometheus) = start_prometheus(&program, &folder_of_others, "prometheus.yml", &addresses);
    wait_for("the first scrape", || {
        asked(&prometheus, "up").ok().filter(|found| found == &[1.0])
    });
    let down = || {
        let told = get(&alarms, "/api/v2/alerts?filter=alertname%3DStakeoutDown")?;
        serde_json::from_str::<serde_json::Value>(&told).ok()?.get(0).cloned()
    };
    assert_eq!(down(), None, "it is not down yet");
    stakeout.terminate();
    let alarm = wait_for("the alarm", down);
    assert_eq!(alarm["labels"]["severity"], "critical");
    assert_eq!(alarm["annotations"]["runbook"], "docs/operating.md#stakeoutdown");
}

#[test]
fn docker_compose_reads_the_compose_file_and_every_service_is_bounded_and_watched() {
    let compose = compose();
    for (name, service) in compose["services"].as_mapping().expect("services") {
        let name = name.as_str().expect("a name");
        let limits = &service["deploy"]["resources"]["limits"];
        assert!(
            limits["memory"].as_str().is_some() && limits["cpus"].as_str().is_some(),
            "{name}"
        );
        assert_eq!(service["cap_drop"][0].as_str(), Some("ALL"), "{name}");
        // Stakeout's health check is its image's.
        let watched =
            service["healthcheck"]["test"].as_sequence().is_some() || read("Dockerfile").contains("HEALTHCHECK");
        assert!(watched, "{name}");
        for volume in service["volumes"].as_sequence().into_iter().flatten() {
            let source = volume
                .as_str()
                .and_then(|text| text.split(':').next())
                .expect("a volume");
            assert!(
                !source.starts_with("./") || at_home(source).exists(),
                "{name}: {source}"
            );
        }
    }
    let mut configs = vec!["deploy/stakeout.yaml", "deploy/stakeout-compose.yaml"];
    if cfg!(feature = "kafka") {
        configs.push("deploy/stakeout-kafka.yaml");
    }
    for config in configs {
        succeed(
            Command::new(env!("CARGO_BIN_EXE_stakeout"))
                .args(["check", "--config"])
                .arg(at_home(config)),
        );
    }
    let Some(program) = installed("docker-compose") else {
        return;
    };
    let said = succeed(
        Command::new(program)
            .arg("-f")
            .arg(at_home("docker-compose.yml"))
            .args(["--profile", "kafka", "config"])
            .env("GRAFANA_ADMIN_PASSWORD", "secret"),
    );
    assert!(said.contains("GF_SECURITY_ADMIN_PASSWORD: secret"), "{said}");
    assert!(said.contains("KAFKA_MIN_INSYNC_REPLICAS: 2"), "{said}");
}

/// The compose file, with what its services share in each of them.
fn compose() -> yaml_serde::Value {
    let mut compose: yaml_serde::Value = yaml_serde::from_str(&read("docker-compose.yml")).expect("YAML");
    compose.apply_merge().expect("what is merged is there");
    compose
}

/// The texts of a list.
fn texts(value: &yaml_serde::Value) -> Vec<&str> {
    let list = value.as_sequence().into_iter().flatten();
    list.filter_map(yaml_serde::Value::as_str).collect()
}

#[test]
fn the_instances_of_the_compose_file_have_names_ports_and_data_of_their_own_and_are_scraped() {
    let compose = compose();
    let (mut instances, mut brokers, mut data) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for (name, service) in compose["services"].as_mapping().expect("services") {
        let name = name.as_str().expect("a name");
        if texts(&service["profiles"]) != ["kafka"] {
            continue;
        }
        for volume in texts(&service["volumes"]) {
            let (source, _) = volume.split_once(':').expect("a volume");
            if !source.starts_with(['.', '/']) {
                assert!(compose["volumes"].get(source).is_some(), "{source}");
                assert!(data.insert(source.to_owned()), "{name}: {source} is another's");
            }
        }
        let environment = &service["environment"];
        if let Some(listener) = environment["KAFKA_ADVERTISED_LISTENERS"].as_str() {
            brokers.insert(listener.trim_start_matches("PLAINTEXT://").to_owned());
        } else if texts(&service["command"])[0] != "topics" {
            assert_eq!(texts(&service["command"])[1..], ["--instance", name]);
            let port = environment["PORT"].as_str().expect("a port");
            instances.insert(format!("127.0.0.1:{port}"), name.to_owned());
            if cfg!(feature = "kafka") {
                its_entrypoint_gives_it_the_port(&texts(&service["entrypoint"]), port);
            }
        }
    }
    assert_eq!((instances.len(), brokers.len(), data.len()), (5, 3, 8));
    let shared: yaml_serde::Value = yaml_serde::from_str(&read("deploy/stakeout-kafka.yaml")).expect("YAML");
    let named: BTreeSet<_> = texts(&shared["kafka"]["brokers"])
        .into_iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(named, brokers);
    let scraping: yaml_serde::Value = yaml_serde::from_str(&read("deploy/prometheus/kafka.yml")).expect("YAML");
    let targets = scraping["scrape_configs"][0]["static_configs"]
        .as_sequence()
        .expect("targets");
    let scraped: BTreeMap<_, _> = targets
        .iter()
        .map(|target| {
            let instance = target["labels"]["instance"].as_str().expect("a name");
            (texts(&target["targets"])[0].to_owned(), instance.to_owned())
        })
        .collect();
    assert_eq!(scraped, instances);
}

/// Runs the entrypoint of a role with other folders than a container's, and `check` for the role.
fn its_entrypoint_gives_it_the_port(entrypoint: &[&str], port: &str) {
    let folder = Folder::new(&format!("entrypoint-{port}"));
    let written = folder.0.join("stakeout.yaml");
    let program = Path::new(env!("CARGO_BIN_EXE_stakeout")).parent().expect("a folder");
    let path = std::env::join_paths([program, Path::new("/usr/bin"), Path::new("/bin")]).expect("folders");
    let script = entrypoint[2]
        .replace("$$", "$")
        .replace("/tmp/stakeout.yaml", &written.to_string_lossy())
        .replace(
            "/etc/stakeout/stakeout.yaml",
            &at_home("deploy/stakeout-kafka.yaml").to_string_lossy(),
        );
    let said = succeed(
        Command::new(entrypoint[0])
            .args([entrypoint[1], &script, entrypoint[3], "check"])
            .env("PORT", port)
            .env("PATH", path),
    );
    assert!(said.contains("no mistakes"), "{said}");
    let text = fs::read_to_string(&written).expect("the configuration with its port");
    assert!(text.contains(&format!("listen: 127.0.0.1:{port}\n")), "{text}");
}

#[test]
fn alertmanager_reads_its_configuration() {
    let Some(program) = installed("amtool") else { return };
    succeed(
        Command::new(program)
            .arg("check-config")
            .arg(at_home("deploy/alertmanager/alertmanager.yml")),
    );
}

#[test]
fn systemd_reads_the_unit_and_finds_it_well_confined() {
    let Some(program) = installed("systemd-analyze") else {
        return;
    };
    let folder = Folder::new("unit");
    let unit = folder.0.join("stakeout.service");
    // The unit names the installed program, which must be there to be verified.
    let text = read("deploy/systemd/stakeout.service").replace("/usr/bin/stakeout", env!("CARGO_BIN_EXE_stakeout"));
    fs::write(&unit, text).expect("a unit");
    let said = succeed(Command::new(&program).args(["verify", "--man=no"]).arg(&unit));
    assert!(!said.contains("stakeout.service:"), "{said}");
    // From 0 (confined) to 10 (exposed), times ten.
    let strictly = ["security", "--offline=yes", "--threshold=20", "--no-pager"];
    succeed(Command::new(&program).args(strictly).arg(&unit));
}
