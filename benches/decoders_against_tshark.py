#!/usr/bin/env python3
"""Holds the packet decoders against tshark on real captures.

  decoders_against_tshark.py [--decode PROGRAM] [--differences N] [CAPTURE ...]

Without captures it takes pcap-decode/ and dns-tunnel/ of the folder named by STAKEOUT_REFERENCE_DATA. PROGRAM is the
example `decode` (built with `cargo build --release --example decode`). Printed are the shares that are equal, and each
difference with its reason: packets and bytes of each direction of each flow, DNS questions and their response codes,
HTTP requests and statuses, TLS server names, SSH banners. What stands in QUIC or inside of a tunnel that is not entered
is left out on both sides. A reason is worked out from the capture itself; the exit status is 1 where there is none.
"""
import argparse, collections, dataclasses, functools, gzip, json, os, pathlib, re, shutil, subprocess, sys, tempfile

FIELDS = """frame.number frame.len frame.cap_len frame.protocols ip.src ip.dst ip.proto ip.len ip.id ip.reassembled_in ipv6.src ipv6.dst
ipv6.plen ipv6.reassembled.in tcp.srcport tcp.dstport udp.srcport udp.dstport sctp.srcport sctp.dstport dns.id
dns.flags.response dns.qry.name dns.qry.type dns.flags.rcode http.request.method http.host http.request.uri
http.response.code tls.handshake.extensions_server_name ssh.protocol ipv6.nxt frame.time_epoch tcp.seq_raw udp.checksum
udp.payload dns.resp.ext_rcode""".split()
KINDS = {"packets", "bytes", "dns questions", "dns response codes", "http requests", "http statuses", "tls server names",
         "ssh banners"}
STOP = {"tcp", "udp", "icmp", "icmpv6", "sctp", "igmp", "esp", "data"}


def tshark(path):
    """One dict a frame; every field is the list of its occurrences."""
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", "-E", "separator=/t", "-E", "aggregator=|",
               "-E", "occurrence=a", "-o", "tcp.desegment_tcp_streams:TRUE",
               "-o", "tcp.reassemble_out_of_order:TRUE"]
    for field in FIELDS:
        command += ["-e", field]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if not done.stdout and done.returncode:
        sys.exit(f"tshark on {path}: {done.stderr.decode('utf-8', 'replace')}")
    for line in done.stdout.decode("utf-8", "replace").split("\n"):
        cells = line.split("\t")
        if len(cells) == len(FIELDS):
            yield {name: cell.split("|") if cell else [] for name, cell in zip(FIELDS, cells)}


def place(frame):
    """Innermost ends that a flow is made of: (transport, source, source port, destination, destination port, bytes)."""
    layers = frame["frame.protocols"][0].split(":")
    fours = sixes = tcps = udps = 0
    version = transport = None
    for number, layer in enumerate(layers):
        if layer == "ip":
            fours += 1
            version = 4
        elif layer == "ipv6":
            sixes += 1
            version = 6
        elif layer in STOP and version:
            after = layers[number + 1] if number + 1 < len(layers) else ""
            tcps += layer == "tcp"
            udps += layer == "udp"
            transport = layer
            if layer == "udp" and after in ("vxlan", "geneve"):
                continue
            break
    if version is None:
        return None
    try:
        if version == 4:
            source, destination = frame["ip.src"][fours - 1], frame["ip.dst"][fours - 1]
            length = int(frame["ip.len"][fours - 1])
            if length == 0:
                length = int(frame["frame.len"][0]) - 14
        else:
            source, destination = frame["ipv6.src"][sixes - 1], frame["ipv6.dst"][sixes - 1]
            length = int(frame["ipv6.plen"][sixes - 1]) + 40
            if length == 40:
                length = int(frame["frame.len"][0]) - 14
        ports = (0, 0)
        if transport == "tcp":
            ports = int(frame["tcp.srcport"][tcps - 1]), int(frame["tcp.dstport"][tcps - 1])
        elif transport == "udp":
            ports = int(frame["udp.srcport"][udps - 1]), int(frame["udp.dstport"][udps - 1])
        elif transport == "sctp":
            ports = int(frame["sctp.srcport"][0]), int(frame["sctp.dstport"][0])
    except (IndexError, ValueError):
        return None
    if transport in ("icmp", "icmpv6", "igmp", "esp", "data") or transport is None:
        transport = {"icmp": "icmp", "icmpv6": "ipv6-icmp", "igmp": "igmp", "esp": "esp"}.get(transport, "other")
    return transport, source, ports[0], destination, ports[1], length


def expected(path):
    """What tshark says about a capture, by kind."""
    says = collections.defaultdict(collections.Counter)
    frames = list(tshark(path))
    ends = {}
    for frame in frames:
        ends[frame["frame.number"][0]] = place(frame)
    says["twice"], says["other time"] = odd_frames(frames, ends)
    questions = {}
    for frame in frames:
        where = ends[frame["frame.number"][0]]
        if where is None:
            continue
        joined = (frame["ip.reassembled_in"] or frame["ipv6.reassembled.in"] or [None])[-1]
        whole = ends.get(joined) or where
        transport, source, source_port, destination, destination_port, _ = whole
        if transport != "other":
            # Fragments of one datagram go one way.
            says["packets"][(transport, source, source_port, destination, destination_port)] += 1
            says["bytes"][(transport, source, source_port, destination, destination_port)] += where[5]
            says["connections"][((source, source_port), (destination, destination_port))] += 1
        layers = frame["frame.protocols"][0].split(":")
        if "quic" in layers or any(tunnel in layers for tunnel in ("teredo", "ayiya", "gtp")):
            continue
        pair = tuple(sorted([(source, source_port), (destination, destination_port)]))
        says["cut"][pair] += int(frame["frame.cap_len"][0]) < int(frame["frame.len"][0])
        if "dns" in layers and "icmp" not in layers and "icmpv6" not in layers:
            kinds, answers = frame["dns.qry.type"], frame["dns.flags.response"]
            for number, id_ in enumerate(frame["dns.id"]):
                name = frame["dns.qry.name"][number] if number < len(frame["dns.qry.name"]) else ""
                if not name.isascii() and frame["udp.payload"]:
                    name = name_in(bytes.fromhex(frame["udp.payload"][-1]))
                kind = int(kinds[number], 0) if number < len(kinds) else None
                key = (pair, int(id_, 16), plain_name(name), kind)
                is_answer = number < len(answers) and answers[number] in ("1", "True")
                rcode = None
                if is_answer:
                    codes = [code for code in frame["dns.flags.rcode"] if code]
                    answer = sum(answers[other] in ("1", "True") for other in range(number))
                    rcode = int(codes[answer], 0) if answer < len(codes) else None
                    # RFC 6891 section 6.1.3: the upper bits stand in the OPT record.
                    extended = [code for code in frame["dns.resp.ext_rcode"] if code]
                    if rcode is not None and extended and len(frame["dns.id"]) == 1:
                        rcode |= int(extended[-1], 0) << 4
                questions[key] = rcode if questions.get(key) is None else questions[key]
        for number, method in enumerate(frame["http.request.method"]):
            hosts, targets = frame["http.host"], frame["http.request.uri"]
            host = hosts[number] if number < len(hosts) else ""
            target = targets[number] if number < len(targets) else ""
            says["http requests"][(pair, method, host.lower(), target)] += 1
        for status in frame["http.response.code"]:
            says["http statuses"][(pair, int(status))] += 1
        for name in frame["tls.handshake.extensions_server_name"]:
            says["tls server names"][(pair, name.lower())] += 1
        for banner in frame["ssh.protocol"]:
            says["ssh banners"][((source, source_port), banner.strip())] += 1
    for (pair, id_, name, kind), rcode in questions.items():
        says["dns questions"][(pair, id_, name, kind)] += 1
        says["dns response codes"][(pair, id_, name, kind, rcode)] += 1
    says["cut"] = +says["cut"]
    return says


def odd_frames(frames, ends):
    """For each direction of a flow, packets and bytes of the frames that come twice within 10 ms (1 ms where IP numbers
    no datagrams), and of those whose time lies over an hour away from that of the frame before or behind them."""
    twice, elsewhen = (collections.defaultdict(lambda: [0, 0]) for _ in range(2))
    times = [float(frame["frame.time_epoch"][0]) for frame in frames]
    before = {}
    for number, frame in enumerate(frames):
        where, time = ends[frame["frame.number"][0]], times[number]
        jumps = any(abs(time - other) > 3600 for other in times[max(number - 1, 0):number + 2])
        if where is None:
            continue
        numbered = bool(frame["ip.id"]) and int(frame["ip.id"][-1], 16) != 0
        print_ = (where, *(tuple(frame[name]) for name in ("ip.id", "tcp.seq_raw", "udp.checksum", "udp.payload")))
        age = time - before.get(print_, float("-inf"))
        before[print_] = time
        for is_odd, odd in ((0 <= age <= (0.01 if numbered else 0.001), twice), (jumps, elsewhen)):
            if is_odd:
                odd[where[:5]][0] += 1
                odd[where[:5]][1] += where[5]
    return twice, elsewhen


@functools.lru_cache(maxsize=1)
def streams(path):
    """What each side of each TCP connection has sent: the captured part of every segment in the capture's order, whether
    tshark misses segments, and whether the capture holds only the beginning of some."""
    fields = "ip.src ipv6.src tcp.srcport ip.dst ipv6.dst tcp.dstport tcp.len tcp.payload tcp.analysis.lost_segment".split()
    command = ["tshark", "-n", "-r", str(path), "-Y", "tcp", "-T", "fields", "-E", "occurrence=l"]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    sides = collections.defaultdict(lambda: Side([], False, False))
    for line in done.stdout.decode().split("\n"):
        cells = line.split("\t")
        if len(cells) != len(fields) or not cells[2]:
            continue
        four, six, port, to_four, to_six, to_port, length, payload, is_lost = cells
        side = sides[((four or six, int(port)), (to_four or to_six, int(to_port)))]
        payload = bytes.fromhex(payload)
        side.segments.append(payload)
        side.has_holes |= bool(is_lost)
        side.is_cut |= len(payload) < int(length or 0)
    return sides


@dataclasses.dataclass
class Side:
    """One side of a TCP connection."""
    segments: list
    has_holes: bool
    is_cut: bool

    @property
    def sent(self):
        """All that it sent, as captured."""
        return b"".join(self.segments)


def reason_of(path, reference, account, kind, key, left, right):
    """Why the two differ, from the capture itself; None where that is not known."""
    if kind in ("packets", "bytes"):
        unit = kind == "bytes"
        twice, elsewhen = reference["twice"][key], reference["other time"][key]
        if left - right == twice[unit] > 0:
            return f"{twice[0]} frames are shown twice, with one IP identification within 10 ms: counted once"
        if 0 < left - right <= elsewhen[unit] and account["refused"].get("implausible_time"):
            return "frames lie over an hour from those beside them: refused, and counted as implausible_time"
    if kind == "ssh banners" and right and not left:
        ends, banner = key
        for source, destination in reference["connections"]:
            if source == ends:
                if streams(path)[(source, destination)].sent.find(banner.encode()) > 0:
                    return "other lines stand before the banner, as RFC 4253 section 4.2 allows; tshark reads the first"
    if kind in ("http requests", "http statuses") and left > right and key[0] in reference["cut"]:
        return "the capture holds only the beginning of the frame: tshark tells what is left, here the head is not told"
    if kind in ("http requests", "http statuses") and right > left:
        for ends in (key[0], key[0][::-1]):
            side = streams(path)[ends]
            if kind == "http requests":
                head, end, body = side.sent.rpartition(b"\r\n\r\n")
                last = head[head.rfind(key[1].encode() + b" "):] if end and not re.match(rb"[A-Z]+ ", body) else b""
                if re.match(rb"[A-Z]+ \S+ HTTP/1", side.sent) and not last:
                    return "its head does not end: told when the connection has ended, and by tshark not at all"
                length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", last)
                if length and len(body) < int(length[1]):
                    return "its body does not end, without which tshark tells no request"
            elif right == sum(bool(re.match(rb"HTTP/1\.[01] %d " % key[1], segment)) for segment in side.segments):
                if side.has_holes:
                    return "the capture lacks segments of the body, without which tshark tells no response"
                if side.is_cut:
                    return "the capture holds only the beginning of a body, for which tshark takes what follows it"
    return None


DNS_TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "NULL": 10, "PTR": 12, "HINFO": 13, "MX": 15, "TXT": 16, "AAAA": 28,
             "LOC": 29, "SRV": 33, "NAPTR": 35, "OPT": 41, "DS": 43, "RRSIG": 46, "NSEC": 47, "DNSKEY": 48, "SVCB": 64, "HTTPS": 65,
             "ANY": 255, "*": 255}
RCODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5, "YXDOMAIN": 6,
          "YXRRSET": 7, "NXRRSET": 8, "NOTAUTH": 9, "NOTZONE": 10, "BADVERS": 16, "BADCOOKIE": 23}


def plain_name(name):
    """A name as one character for each of its bytes; here what is no printable ASCII is written as `\\ddd`."""
    name = "" if name in (".", "<Root>") else name
    name = re.sub(r"\\(\d\d\d)", lambda digits: chr(int(digits[1]) % 256), name)
    return re.sub(r"\\(.)", r"\1", name).encode("latin-1", "replace").lower().decode("latin-1")


def name_in(message):
    """The first question's name in a DNS message. tshark takes names for UTF-8, and shows bytes that are none wrongly."""
    labels, at = [], 12
    while at < len(message) and 0 < message[at] < 64:
        labels.append(message[at + 1:at + 1 + message[at]].decode("latin-1"))
        at += 1 + message[at]
    return ".".join(labels)


def number_of(text, table):
    if text is None:
        return None
    if text in table:
        return table[text]
    digits = "".join(letter for letter in str(text) if letter.isdigit())
    return int(digits) if digits else text


def seen(path, program):
    """What the decoder says about a capture, by kind; and its account of frames."""
    says = collections.defaultdict(collections.Counter)
    output = subprocess.run([program, str(path)], stdout=subprocess.PIPE, check=True).stdout.decode("utf-8")
    account = {}
    questions = {}
    for line in output.splitlines():
        event = json.loads(line)
        if "records" in event:
            account = event
            continue
        source = (event["source.ip"], event.get("source.port", 0))
        destination = (event["destination.ip"], event.get("destination.port", 0))
        pair = tuple(sorted([source, destination]))
        dataset = event["event.dataset"]
        if dataset == "flow":
            transport = event.get("network.transport", "other")
            if transport in ("tcp", "udp", "sctp", "icmp", "ipv6-icmp", "igmp", "esp"):
                for side, ends in (("source", (*source, *destination)), ("destination", (*destination, *source))):
                    if event[f"{side}.packets"]:
                        says["packets"][(transport, *ends)] += event[f"{side}.packets"]
                        says["bytes"][(transport, *ends)] += event[f"{side}.bytes"]
        elif dataset == "dns":
            kind = number_of(event.get("dns.question.type"), DNS_TYPES)
            key = (pair, int(event["dns.id"]), plain_name(event.get("dns.question.name", "")), kind)
            # A late answer comes after the event of the question that got none in time.
            rcode = number_of(event.get("dns.response_code"), RCODES)
            questions[key] = rcode if questions.get(key) is None else questions[key]
        elif dataset == "http":
            if "http.request.method" in event:
                host = event.get("url.domain", "")
                if "url.port" in event and host:
                    host += f":{event['url.port']}"
                says["http requests"][(pair, event["http.request.method"], host.lower(), event.get("url.original", ""))] += 1
            if "http.response.status_code" in event:
                says["http statuses"][(pair, event["http.response.status_code"])] += 1
        elif dataset == "tls" and "tls.client.server_name" in event:
            says["tls server names"][(pair, event["tls.client.server_name"].lower())] += 1
        elif dataset == "ssh":
            for side, ends in (("client", source), ("server", destination)):
                if f"ssh.{side}" in event:
                    says["ssh banners"][(ends, event[f"ssh.{side}"].strip())] += 1
    for (pair, id_, name, kind), rcode in questions.items():
        says["dns questions"][(pair, id_, name, kind)] += 1
        says["dns response codes"][(pair, id_, name, kind, rcode)] += 1
    return says, account


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decode", default="target/release/examples/decode")
    parser.add_argument("--differences", type=int, default=200, help="how many differences are printed")
    parser.add_argument("captures", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    captures = options.captures
    if not captures:
        data = pathlib.Path(os.environ.get("STAKEOUT_REFERENCE_DATA") or sys.exit("STAKEOUT_REFERENCE_DATA is not set"))
        captures = sorted(path for folder in ("pcap-decode", "dns-tunnel") for path in (data / folder).rglob("*.pcap*"))
    equal, total, explained = collections.Counter(), collections.Counter(), collections.Counter()
    differences = []
    frames = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        for path in captures:
            plain = path
            if path.suffix == ".gz":
                plain = pathlib.Path(folder) / path.stem
                with gzip.open(path) as packed, plain.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)
            reference = expected(plain)
            ours, account = seen(plain, options.decode)
            frames["records"] += account.get("records", 0)
            frames["decoded"] += account.get("decoded", 0)
            for state in ("ignored", "refused"):
                for reason, count in account.get(state, {}).items():
                    frames[f"{state}: {reason}"] += count
            for kind in sorted(KINDS):
                for key in sorted(set(reference[kind]) | set(ours[kind]), key=repr):
                    left, right = reference[kind][key], ours[kind][key]
                    total[kind] += 1
                    equal[kind] += left == right
                    if left != right:
                        why = reason_of(plain, reference, account, kind, key, left, right)
                        explained[kind] += why is not None
                        name = f"{path.parent.name}/{path.name}"
                        differences.append(f"{name}: {kind}: {key}: tshark {left}, here {right}: {why or 'NO REASON'}")
            streams.cache_clear()
            if plain != path:
                plain.unlink()
    for difference in differences[:options.differences]:
        print(difference)
    if len(differences) > options.differences:
        print(f"... and {len(differences) - options.differences} more")
    print(f"\n{len(captures)} captures; frames: " + ", ".join(f"{name} {count}" for name, count in frames.items()))
    print(f"{'what':24}{'equal':>10}{'of':>10}{'share':>10}{'explained':>12}{'not':>6}")
    for kind in sorted(total):
        rest = total[kind] - equal[kind] - explained[kind]
        share = 100 * equal[kind] / total[kind]
        print(f"{kind:24}{equal[kind]:>10}{total[kind]:>10}{share:>9.2f}%{explained[kind]:>12}{rest:>6}")
    sys.exit(any(total[kind] > equal[kind] + explained[kind] for kind in total))


main()
