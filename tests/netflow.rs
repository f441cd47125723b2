//! What softflowd and a switch (Open vSwitch) export of a recording against what the recording itself gives: the same
//! flows with the same bytes and packets, whichever the protocol. Without them the tests say so and do nothing.

mod serving;
mod support;

use serving::namespace::{Namespace, Recording, ip, is_there, unpacked};
use serving::{Folder, Service, left_out};
use stakeout::domain::{Event, Field, Timestamp};
use stakeout::engine::decoder::Output;
use stakeout::engine::decoder::export::ExportDecoder;
use stakeout::run::replay::events;
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Who sent to whom: address and port of both, and the protocol.
type Direction = (IpAddr, u64, IpAddr, u64, String);

/// Packets and bytes of each direction of each flow.
fn directions<'a>(events: impl IntoIterator<Item = &'a Event>) -> BTreeMap<Direction, (u64, u64)> {
    let mut found: BTreeMap<Direction, (u64, u64)> = BTreeMap::new();
    for event in events {
        let number = |field| event.u64(field).unwrap_or(0);
        let ends = |address, port| (event.ip(address).expect("an address"), number(port));
        let from = ends(Field::SourceIp, Field::SourcePort);
        let to = ends(Field::DestinationIp, Field::DestinationPort);
        let protocol = event.str(Field::NetworkIanaNumber).expect("a protocol");
        for (from, to, packets, bytes) in [
            (from, to, Field::SourcePackets, Field::SourceBytes),
            (to, from, Field::DestinationPackets, Field::DestinationBytes),
        ] {
            if number(packets) > 0 {
                let sums = found
                    .entry((from.0, from.1, to.0, to.1, protocol.to_owned()))
                    .or_default();
                sums.0 += number(packets);
                sums.1 += number(bytes);
            }
        }
    }
    found
}

/// The flows of a capture.
fn flows(capture: PathBuf) -> Vec<Event> {
    let replayed = events(&support::replay(vec![capture], 1)).expect("a recording");
    let told = replayed.into_iter().map(|stamped| stamped.event);
    told.filter(|event| event.str(Field::EventDataset) == Some("flow"))
        .collect()
}

fn softflowd() -> bool {
    let is_there = Command::new("softflowd")
        .arg("-h")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    #[allow(clippy::print_stderr, reason = "who runs the tests should know what was left out")]
    if is_there.is_err() {
        eprintln!("skipped: softflowd is not installed");
    }
    is_there.is_ok()
}

/// A recording without its compression.
fn recording(folder: &Folder, scenario: &str) -> (PathBuf, PathBuf) {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(scenario)
        .join("capture.pcap.gz");
    let path = folder.0.join(format!("{scenario}.pcap"));
    unpacked(&format!("{scenario}/capture.pcap.gz"), &path);
    (packed, path)
}

fn export(capture: &Path, version: &[&str], port: u16) {
    let ran = Command::new("softflowd")
        .args(["-d", "-r"])
        .arg(capture)
        // Its control socket now and then keeps it from ending.
        .args(["-n", &format!("127.0.0.1:{port}"), "-p", "none", "-c", "none"])
        .args(["-v"])
        .args(version)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("softflowd was there a moment ago");
    assert!(ran.success(), "{version:?}");
}

#[test]
fn exported_flows_have_the_bytes_and_packets_of_their_recording() {
    if !softflowd() {
        return;
    }
    let folder = Folder::new("netflow");
    for scenario in [
        "exfiltration_scp_low",
        "port_scan_nmap_medium",
        "host_sweep_nmap_low",
        "dns_tunnel_iodine_low",
    ] {
        let (packed, capture) = recording(&folder, scenario);
        let replayed = flows(packed);
        let expected = directions(&replayed);
        assert!(!expected.is_empty(), "{scenario}");
        for version in [&["5"][..], &["9"], &["10"], &["10", "-b"], &["10", "-A", "milli"]] {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 8 << 20).expect("a wish");
            socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a wish");
            let port = socket.local_addr().expect("an address").port();
            let reader = std::thread::spawn(move || {
                let (mut decoder, mut output) = (ExportDecoder::new(), Output::default());
                let now = Timestamp::from_seconds(1_780_905_883);
                let mut datagram = vec![0; 65_536];
                let mut come = 0;
                // The first datagram may take a while, the others follow at once.
                let mut patience = 15;
                while patience > 0 {
                    match socket.recv_from(&mut datagram) {
                        Ok((length, from)) => {
                            decoder.datagram(from.ip(), now, &datagram[..length], &mut output);
                            come += 1;
                            patience = 1;
                        }
                        Err(_) => patience -= 1,
                    }
                }
                decoder.finish(&mut output);
                (output, come)
            });
            export(&capture, version, port);
            let (output, come) = reader.join().expect("no panic");
            assert!(come > 0, "{scenario} {version:?}: nothing came");
            assert!(
                output.tally.refused.is_empty(),
                "{scenario} {version:?}: {:?}",
                output.tally
            );
            // Version 5 has no place for IPv6.
            let is_told = |direction: &Direction| version != ["5"] || direction.0.is_ipv4();
            let expected: BTreeMap<_, _> = expected.iter().filter(|(direction, _)| is_told(direction)).collect();
            let found = directions(&output.events);
            let differing: Vec<_> = expected
                .iter()
                .filter(|(direction, counts)| found.get(**direction) != Some(**counts))
                .map(|(direction, counts)| (direction, counts, found.get(*direction)))
                .take(5)
                .collect();
            assert!(differing.is_empty(), "{scenario} {version:?}: {differing:?}");
            assert_eq!(found.len(), expected.len(), "{scenario} {version:?}");
            let one_way = |events: &[Event]| {
                let answered = |event: &&Event| event.u64(Field::DestinationPackets).unwrap_or(0) == 0;
                events.iter().filter(answered).count()
            };
            assert_eq!(
                one_way(&output.events),
                one_way(&replayed),
                "{scenario} {version:?}: without an answer"
            );
        }
    }
}

#[test]
fn the_service_takes_exports_and_counts_what_it_can_not_read() {
    if !softflowd() {
        return;
    }
    let folder = Folder::new("netflow-service");
    let port = UdpSocket::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a port")
        .port();
    let text = format!(
        "http: {{ listen: '127.0.0.1:0' }}\nsinks: [{{ type: file, path: '{}' }}]\n\
         inputs: {{ netflow: [{{ listen: 'udp://127.0.0.1:{port}' }}] }}\n",
        folder.0.join("alerts.json").display()
    );
    fs::write(folder.0.join("stakeout.yaml"), text).expect("a configuration");
    let service = Service::start(&folder.0);
    let (_, capture) = recording(&folder, "host_sweep_nmap_low");
    export(&capture, &["9"], port);
    service.wait_until("its flows were judged", |service| {
        service.metric("stakeout_events_total").unwrap_or(0.0) >= 10.0
    });
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    // A set of which nobody has sent the template, and one that lies about its length.
    let head = [0, 9, 0, 1, 0, 0, 0, 0, 0x6a, 0x26, 0x7b, 0x5b, 0, 0, 0, 1, 0, 0, 0, 7];
    for (set, reason) in [
        ([3, 0, 0, 8, 1, 2, 3, 4], "no_template"),
        ([3, 0, 9, 9, 1, 2, 3, 4], "bad_export_length"),
    ] {
        socket
            .send_to(&[&head[..], &set].concat(), ("127.0.0.1", port))
            .expect("it is there");
        let name = format!("stakeout_collector_refused_total{{reason=\"{reason}\",source=\"netflow\"}}");
        service.wait_until(reason, |service| service.metric(&name) == Some(1.0));
    }
    service.terminate();
}

#[test]
fn a_kill_loses_neither_templates_nor_flows_of_which_one_direction_has_come() {
    let folder = Folder::new("netflow-killed");
    let port = UdpSocket::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a port")
        .port();
    let text = format!(
        "http: {{ listen: '127.0.0.1:0' }}\nsinks: [{{ type: file, path: '{}' }}]\n\
         inputs: {{ netflow: [{{ listen: 'udp://127.0.0.1:{port}' }}] }}\nstore: {{ commit_every: 100ms }}\n",
        folder.0.join("alerts.json").display()
    );
    fs::write(folder.0.join("stakeout.yaml"), text).expect("a configuration");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let send = |set: u16, content: &[u8]| {
        let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs() as u32;
        let head = [
            [0, 9, 0, 1],
            [0, 0, 0, 9],
            now.to_be_bytes(),
            [0, 0, 0, 7],
            [0, 0, 0, 1],
        ]
        .concat();
        let length = (content.len() as u16 + 4).to_be_bytes();
        let datagram = [&head[..], &set.to_be_bytes(), &length, content].concat();
        socket.send_to(&datagram, ("127.0.0.1", port)).expect("it is there");
    };
    // Template 300: addresses, ports, protocol, bytes, packets.
    let template = [300u16, 7, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 1, 4, 2, 4];
    let template: Vec<u8> = template.into_iter().flat_map(u16::to_be_bytes).collect();
    let there = [
        10, 0, 0, 7, 10, 0, 0, 9, 200, 1, 1, 187, 6, 0, 0, 3, 232, 0, 0, 0, 5, 0, 0, 0,
    ];
    let back = [
        10, 0, 0, 9, 10, 0, 0, 7, 1, 187, 200, 1, 6, 0, 0, 7, 208, 0, 0, 0, 9, 0, 0, 0,
    ];
    let decoded =
        |service: &Service, count| service.metric("stakeout_records_total{outcome=\"decoded\"}") == Some(count);
    let service = Service::start(&folder.0);
    send(0, &template);
    send(300, &there);
    service.wait_until("it was decoded and is durable", |service| {
        decoded(service, 1.0)
            && service
                .metric("stakeout_store_journal_records")
                .is_some_and(|records| records >= 3.0)
    });
    service.kill();
    let service = Service::start(&folder.0);
    send(300, &back);
    service.wait_until("the other direction was decoded", |service| decoded(service, 2.0));
    service.wait_until("the flow was judged", |service| {
        service.metric("stakeout_events_total") >= Some(1.0)
    });
    assert_eq!(service.metric("stakeout_events_total"), Some(1.0), "one flow, not two");
    let refused = service.get("/metrics").expect("metrics");
    assert!(!refused.contains("no_template"), "the template is known");
    service.terminate();
}

/// A switch in a namespace, one of whose ports is `near`. It ends with its test.
struct Switch<'a> {
    namespace: &'a Namespace,
    folder: &'a Path,
    programs: Vec<Child>,
}

impl<'a> Switch<'a> {
    fn start(namespace: &'a Namespace, folder: &'a Path) -> Switch<'a> {
        let made = Command::new("ovsdb-tool")
            .arg("create")
            .arg(folder.join("conf.db"))
            .arg("/usr/share/openvswitch/vswitch.ovsschema")
            .status();
        assert!(made.is_ok_and(|made| made.success()), "the switch's database");
        let mut switch = Switch {
            namespace,
            folder,
            programs: Vec::new(),
        };
        let database = folder.join("conf.db").display().to_string();
        let remote = format!("--remote=punix:{}", folder.join("db.sock").display());
        switch.program("ovsdb-server", &[&database, &remote]);
        switch.set(&["--no-wait", "init"]);
        let socket = format!("unix:{}", folder.join("db.sock").display());
        switch.program("ovs-vswitchd", &[&socket]);
        switch.set(&["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"]);
        switch.set(&["add-port", "br0", "near"]);
        // It hands nothing on, because it would tell of that a second time.
        switch.set(&["set-fail-mode", "br0", "secure"]);
        switch
    }

    fn program(&mut self, name: &str, arguments: &[&str]) {
        let control = format!("--unixctl={}", self.folder.join(name).with_extension("ctl").display());
        let mut command = self.namespace.command(name);
        let program = command
            .args(arguments)
            .args([&control, "--no-chdir", "-vconsole:off"])
            .env("OVS_RUNDIR", self.folder)
            .stderr(Stdio::null())
            .spawn();
        self.programs.push(program.expect("a program that is installed"));
    }

    /// Has the bridge export to a port of the neighbour.
    fn export(&self, kind: &str, port: u16, settings: &[&str]) {
        let target = format!("targets=\"192.0.2.2:{port}\"");
        let create = ["--", "--id=@export", "create", kind, &target];
        let link = format!("{kind}=@export");
        self.set(&[&create, settings, &["--", "set", "bridge", "br0", &link]].concat());
    }

    fn set(&self, arguments: &[&str]) {
        let done = self
            .namespace
            .command("ovs-vsctl")
            .arg(format!("--db=unix:{}", self.folder.join("db.sock").display()))
            // The database may not listen yet.
            .args(["--retry", "--timeout=20"])
            .args(arguments)
            .stdout(Stdio::null())
            .status();
        assert!(done.is_ok_and(|done| done.success()), "ovs-vsctl {arguments:?}");
    }
}

impl Drop for Switch<'_> {
    fn drop(&mut self) {
        for program in self.programs.iter_mut().rev() {
            // It may have ended already.
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

/// The payloads of UDP datagrams to a port in a capture of the loopback interface.
fn payloads(capture: &Path, port: u16) -> Vec<Vec<u8>> {
    let mut capture = pcap::Capture::from_file(capture).expect("a capture");
    let mut found = Vec::new();
    while let Ok(packet) = capture.next_packet() {
        // Ethernet, IPv4 without options, UDP.
        if packet.data[36..38] == port.to_be_bytes() {
            found.push(packet.data[42..].to_vec());
        }
    }
    found
}

#[test]
fn what_a_switch_exports_has_the_packets_and_bytes_of_what_went_through() {
    for program in ["ovs-vswitchd", "tcpreplay", "tcpdump"] {
        if !is_there(program) {
            return left_out(&format!("{program} is not installed (script/bootstrap installs it)"));
        }
    }
    let Some(namespace) = Namespace::new("switch") else {
        return left_out("a network namespace can't be made here; that needs root");
    };
    let folder = Folder::new("switch");
    let (sent, exported) = (folder.0.join("sent.pcap"), folder.0.join("exported.pcap"));
    // A recording whose frames are whole: what was cut can't be sent again.
    unpacked("port_scan_nmap_medium/capture.pcap.gz", &sent);
    let expected = directions(&flows(sent.clone()));

    // Where exports go: to a neighbour that never refuses them, as a port without a listener would.
    for arguments in [
        "link add out type veth peer name away",
        "link set out up",
        "link set away up",
        "address add 192.0.2.1/24 dev out",
        "neighbour add 192.0.2.2 lladdr 02:00:00:00:00:02 dev out",
    ] {
        let arguments: Vec<&str> = ["-n", &namespace.0].into_iter().chain(arguments.split(' ')).collect();
        assert!(ip(&arguments), "{arguments:?}");
    }
    let recording = Recording::start(&namespace, "out", "udp and dst portrange 7001-7003", &exported);
    let switch = Switch::start(&namespace, &folder.0);
    switch.export("netflow", 7001, &["active_timeout=1"]);
    switch.export("ipfix", 7002, &["sampling=1", "cache_active_timeout=1"]);
    switch.export("sflow", 7003, &["agent=out", "header=128", "sampling=1", "polling=0"]);
    namespace.send(&sent, "far", "--pps=1000");
    // A flow is told when it was idle for five seconds.
    std::thread::sleep(Duration::from_secs(10));
    drop(switch);
    recording.end();

    for (kind, port, framing) in [("netflow", 7001, 14), ("ipfix", 7002, 0), ("sflow", 7003, 0)] {
        let (mut decoder, mut output) = (ExportDecoder::new(), Output::default());
        let exporter = "192.0.2.1".parse().expect("an address");
        let now = Timestamp::from_seconds(1_780_905_883);
        for payload in payloads(&exported, port) {
            decoder.datagram(exporter, now, &payload, &mut output);
        }
        decoder.finish(&mut output);
        assert!(output.tally.refused.is_empty(), "{kind}: {:?}", output.tally);
        let mut found = directions(&output.events);
        for (packets, bytes) in found.values_mut() {
            // In NetFlow this switch counts the bytes of Ethernet too.
            *bytes -= framing * *packets;
        }
        let differing: Vec<_> = expected
            .iter()
            .filter(|(direction, counts)| found.get(*direction) != Some(*counts))
            .map(|(direction, counts)| (direction, counts, found.get(direction)))
            .take(5)
            .collect();
        assert!(differing.is_empty(), "{kind}: {differing:?}");
        assert_eq!(found.len(), expected.len(), "{kind}");
    }
}
