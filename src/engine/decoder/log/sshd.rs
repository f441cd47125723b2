//! What the OpenSSH server says.
//!
//! **One failed try is one event** with `event.category: authentication`, though sshd and PAM say it up to four times.
//! `Failed ...` is the try. `Invalid user`, `not allowed` and `error: PAM: ...` come first where they come at all, and
//! are often alone (no password allowed, keyboard-interactive), so they are taken as the try, and the `Failed` line
//! of the same process that follows is a report of it: same fields, `event.action: ssh_login_report`, no category.
//! A connection that ends before its login, for a named user, with no failure told before, is a try as well: sshd does
//! not log refused keys. `Failed none` is how clients ask for the methods; it is no try. What PAM says inside sshd is
//! never a try where sshd speaks itself (see `pam`).

use super::syslog::Header;
use super::text::{Kind, add_kind, add_source, add_user, between, ip, leading_number, rsplit_once, split_once, word};
use crate::domain::{Event, Field};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// How many connections are remembered; one that takes another's place makes it forgotten.
const CONNECTIONS_MAX: usize = 4096;

const LOGIN: Kind = Kind {
    category: &["authentication"],
    type_: &["start"],
    action: "ssh_login",
    outcome: "success",
};
const LOGIN_FAILED: Kind = Kind {
    outcome: "failure",
    ..LOGIN
};
const LOGIN_PARTIAL: Kind = Kind {
    category: &[],
    type_: &["info"],
    action: "ssh_login_partial",
    outcome: "unknown",
};
const LOGIN_REPORT: Kind = Kind {
    category: &[],
    type_: &["info"],
    action: "ssh_login_report",
    outcome: "failure",
};
const METHODS_ASKED: Kind = Kind {
    category: &[],
    type_: &["info"],
    action: "ssh_methods_asked",
    outcome: "failure",
};
const CONNECTED: Kind = Kind {
    category: &["network"],
    type_: &["connection", "start"],
    action: "ssh_connected",
    outcome: "success",
};
const CONNECTION_FAILED: Kind = Kind {
    category: &["network"],
    type_: &["connection"],
    action: "ssh_connection_failed",
    outcome: "failure",
};
const CONNECTION_ENDED: Kind = Kind {
    category: &["network"],
    type_: &["connection", "end"],
    action: "ssh_connection_ended",
    outcome: "",
};
const SESSION_STARTED: Kind = Kind {
    category: &["session"],
    type_: &["start"],
    action: "ssh_session",
    outcome: "success",
};
const SESSION_ENDED: Kind = Kind {
    category: &["session"],
    type_: &["end"],
    action: "ssh_session",
    outcome: "success",
};

/// What a connection has told of its latest try ahead of its `Failed` line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Announced {
    #[default]
    Nothing,
    /// The user is not known or not allowed.
    User,
    /// PAM refused.
    Refusal,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Connection {
    key: u64,
    announced: Announced,
    /// A failed try was told.
    failed: bool,
    accepted: bool,
}

/// What is remembered of an input's connections, to tell one try once.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "SavedSshd", into = "SavedSshd")]
pub(super) struct Sshd {
    connections: Vec<Connection>,
    /// sshd itself has spoken of a try in this input.
    pub(super) speaks: bool,
}

/// The same with the slots that are taken alone.
#[derive(Serialize, Deserialize)]
struct SavedSshd {
    connections: Vec<Connection>,
    speaks: bool,
}

impl From<Sshd> for SavedSshd {
    fn from(sshd: Sshd) -> Self {
        let taken = |connection: &Connection| connection.key != 0;
        SavedSshd {
            connections: sshd.connections.into_iter().filter(taken).collect(),
            speaks: sshd.speaks,
        }
    }
}

impl From<SavedSshd> for Sshd {
    fn from(saved: SavedSshd) -> Self {
        let mut connections = vec![Connection::default(); CONNECTIONS_MAX];
        for connection in saved.connections {
            if let Some(slot) = connections.get_mut(connection.key as usize % CONNECTIONS_MAX) {
                *slot = connection;
            }
        }
        Sshd {
            connections,
            speaks: saved.speaks,
        }
    }
}

impl Sshd {
    /// Reads one message. `header.program` is one of sshd's.
    pub(super) fn read(&mut self, header: &Header<'_>, event: &mut Event) {
        event.add_str(Field::NetworkProtocol, "ssh");
        event.add_str(Field::NetworkApplication, "ssh");
        let message = header.message.trim_ascii();
        let (message, preauth) = match message.strip_suffix(b" [preauth]") {
            Some(message) => (message, true),
            None => (message, false),
        };
        let message = message
            .strip_prefix(b"error: ")
            .or(message.strip_prefix(b"fatal: "))
            .unwrap_or(message);
        if self.connections.is_empty() {
            self.connections = vec![Connection::default(); CONNECTIONS_MAX];
        }
        let key = xxh3_64_with_seed(header.process_id, xxh3_64(header.host));
        let Some(slot) = self.connections.get_mut(key as usize % CONNECTIONS_MAX) else {
            return;
        };
        if slot.key != key {
            *slot = Connection {
                key,
                ..Connection::default()
            };
        }
        if read_login(message, slot, event).is_some() {
            self.speaks = true;
            return;
        }
        let _ = read_end(message, preauth, slot, event).or_else(|| read_other(message, event));
    }
}

/// Lines that tell a try.
fn read_login(message: &[u8], connection: &mut Connection, event: &mut Event) -> Option<()> {
    if let Some(rest) = message.strip_prefix(b"Failed ") {
        let (method, attempt) = Attempt::read(rest, Side::Last)?;
        attempt.add(event);
        add_method(event, method);
        let kind = if method == b"none" {
            METHODS_ASKED
        } else if std::mem::take(&mut connection.announced) == Announced::Nothing {
            connection.failed = true;
            LOGIN_FAILED
        } else {
            LOGIN_REPORT
        };
        add_kind(event, kind);
    } else if let Some(rest) = message.strip_prefix(b"Accepted ") {
        let (method, attempt) = Attempt::read(rest, Side::First)?;
        attempt.add(event);
        add_method(event, method);
        if let Some((_, signature)) = split_once(attempt.from, b": ") {
            event.add_bytes(Field::SystemAuthSshSignature, signature);
        }
        // Every command over one connection is one more channel, not one more login: the connection starts anew here.
        *connection = Connection {
            key: connection.key,
            accepted: true,
            ..Connection::default()
        };
        add_kind(event, LOGIN);
    } else if let Some(rest) = message
        .strip_prefix(b"Invalid user")
        .or(message.strip_prefix(b"Illegal user"))
    {
        let (user, from) = rsplit_once(rest, b" from ")?;
        add_attempt(event, user.strip_prefix(b" ").unwrap_or(user), from);
        announce(connection, Announced::User, event);
    } else if let Some(rest) = message.strip_prefix(b"User ") {
        let (before, _) = split_once(rest, b" not allowed because ")?;
        match rsplit_once(before, b" from ") {
            Some((user, from)) => add_attempt(event, user, from),
            None => add_user(event, before),
        }
        announce(connection, Announced::User, event);
    } else if let Some(rest) = message.strip_prefix(b"PAM: ") {
        let (_, rest) = split_once(rest, b" for ")?;
        let rest = rest.strip_prefix(b"illegal user ").unwrap_or(rest);
        let (user, from) = rsplit_once(rest, b" from ")?;
        add_attempt(event, user, from);
        if connection.announced == Announced::User {
            connection.announced = Announced::Refusal;
            add_kind(event, LOGIN_REPORT);
        } else {
            connection.announced = Announced::Nothing;
            announce(connection, Announced::Refusal, event);
        }
    } else if let Some(rest) = message.strip_prefix(b"maximum authentication attempts exceeded for ") {
        let (user, from) = rsplit_once(without_invalid(rest), b" from ")?;
        add_attempt(event, user, from);
        end_of_tries(connection, event, LOGIN_REPORT);
    } else if let Some(from) = message.strip_prefix(b"ROOT LOGIN REFUSED FROM ") {
        add_attempt(event, b"root", from);
        announce(connection, Announced::User, event);
    } else if let Some(rest) = message.strip_prefix(b"Partial ") {
        let (method, attempt) = Attempt::read(rest, Side::First)?;
        attempt.add(event);
        add_method(event, method);
        add_kind(event, LOGIN_PARTIAL);
    } else if let Some(rest) = message.strip_prefix(b"Postponed ") {
        let (method, attempt) = Attempt::read(rest, Side::Last)?;
        attempt.add(event);
        add_method(event, method);
        add_kind(
            event,
            Kind {
                action: "ssh_login_postponed",
                ..LOGIN_PARTIAL
            },
        );
    } else {
        return None;
    }
    Some(())
}

/// Ends of connections. For a named user who is not in yet, they tell a try of which nothing was told before.
fn read_end(message: &[u8], preauth: bool, connection: &mut Connection, event: &mut Event) -> Option<()> {
    let rest = message
        .strip_prefix(b"Connection closed by ")
        .or(message.strip_prefix(b"Connection reset by "))
        .or(message.strip_prefix(b"Disconnected from "))
        .or(message.strip_prefix(b"Disconnecting "))
        .or(message.strip_prefix(b"Received disconnect from "))?;
    if let Some((address, port, _)) = endpoint(rest) {
        // Without a name it says nothing of a login.
        add_endpoint(event, address, port);
        add_kind(event, if preauth { CONNECTION_ENDED } else { SESSION_ENDED });
        return Some(());
    }
    if let Some(rest) = rest.strip_prefix(b"user ") {
        let (user, address, port) = user_and_endpoint(rest)?;
        add_user(event, user);
        add_endpoint(event, address, port);
        add_kind(event, SESSION_ENDED);
        return Some(());
    }
    let rest = rest
        .strip_prefix(b"authenticating user")
        .or(rest.strip_prefix(b"invalid user"))?;
    let (user, address, port) = user_and_endpoint(rest.strip_prefix(b" ")?)?;
    add_user(event, user);
    add_endpoint(event, address, port);
    end_of_tries(connection, event, CONNECTION_ENDED);
    Some(())
}

/// The rest of what is worth reading.
fn read_other(message: &[u8], event: &mut Event) -> Option<()> {
    const FAILURES: &[(&[u8], &[u8])] = &[
        (b"Did not receive identification string from ", b""),
        (b"Bad protocol version identification ", b" from "),
        (b"banner exchange: Connection from ", b""),
        (b"Unable to negotiate with ", b""),
        (b"Unable to negotiate a key exchange method", b" with "),
        (b"Timeout before authentication for connection from ", b""),
        (b"Timeout before authentication for ", b""),
        (b"ssh_dispatch_run_fatal: Connection from ", b""),
        (b"Magic value check failed ", b" from "),
        (b"Protocol major versions differ for ", b""),
        (b"Bad packet length ", b" from "),
        (b"no matching cipher found", b" from "),
        (b"drop connection ", b" from "),
    ];
    for (prefix, before) in FAILURES {
        let Some(rest) = message.strip_prefix(*prefix) else {
            continue;
        };
        let from = if before.is_empty() {
            rest
        } else {
            rsplit_once(rest, before)?.1
        };
        add_from(event, from);
        add_kind(event, CONNECTION_FAILED);
        return Some(());
    }
    if let Some(rest) = message.strip_prefix(b"refused connect from ") {
        match between(rest, b" (", b")").and_then(ip) {
            Some(address) => event.add_ip(Field::SourceIp, address),
            None => add_source(event, word(rest).0),
        }
        add_kind(event, CONNECTION_FAILED);
    } else if let Some(rest) = message.strip_prefix(b"Connection from ") {
        let (address, port, rest) = endpoint(rest)?;
        add_endpoint(event, address, port);
        if let Some((address, port, _)) = rest.strip_prefix(b"on ").and_then(endpoint) {
            if let Some(address) = ip(address) {
                event.add_ip(Field::DestinationIp, address);
            }
            event.add_u64(Field::DestinationPort, port);
        }
        add_kind(event, CONNECTED);
    } else if let Some(rest) = message.strip_prefix(b"Starting session: ") {
        let (before, from) = rsplit_once(rest, b" from ")?;
        let (_, user) = rsplit_once(before, b" for ")?;
        add_attempt(event, user, from);
        add_kind(event, SESSION_STARTED);
    } else if let Some(rest) = message.strip_prefix(b"Close session: user ") {
        let (user, from) = rsplit_once(rest, b" from ")?;
        add_attempt(event, user, from);
        add_kind(event, SESSION_ENDED);
    } else if let Some(rest) = message.strip_prefix(b"reverse mapping checking getaddrinfo for ") {
        let address = ip(between(rest, b"[", b"]")?)?;
        event.add_ip(Field::SourceIp, address);
        event.add_bytes(Field::SourceDomain, word(rest).0);
        event.add_str(Field::EventAction, "ssh_reverse_mapping_failed");
    } else if let Some(rest) = message.strip_prefix(b"Server listening on ") {
        event.add_str(Field::EventAction, "ssh_listening");
        event.add_u64(Field::ServerPort, endpoint(rest)?.1);
    }
    Some(())
}

/// Takes a line that comes ahead of `Failed` as the try, unless the line before it was one of the same.
fn announce(connection: &mut Connection, what: Announced, event: &mut Event) {
    connection.announced = what;
    connection.failed = true;
    add_kind(event, LOGIN_FAILED);
}

/// Takes the end of a connection as a try if nothing was told of one.
fn end_of_tries(connection: &mut Connection, event: &mut Event, otherwise: Kind) {
    let silent = !connection.failed && !connection.accepted;
    connection.failed = true;
    add_kind(event, if silent { LOGIN_FAILED } else { otherwise });
}

/// On which side of a line its fixed words are to be found: a failed user's name is the stranger's to choose and may
/// hold them, what stands behind an accepted user may.
#[derive(Clone, Copy, Debug)]
enum Side {
    First,
    Last,
}

/// `password for [invalid user ]alice from 10.0.0.7 port 22 ssh2[: ...]`, behind its method.
#[derive(Clone, Copy, Debug)]
struct Attempt<'a> {
    user: &'a [u8],
    from: &'a [u8],
}

impl<'a> Attempt<'a> {
    fn read(text: &'a [u8], side: Side) -> Option<(&'a [u8], Self)> {
        let (method, rest) = split_once(text, b" for ")?;
        let (user, from) = match side {
            Side::First => split_once(rest, b" from ")?,
            Side::Last => rsplit_once(rest, b" from ")?,
        };
        Some((
            method,
            Attempt {
                user: without_invalid(user),
                from,
            },
        ))
    }

    fn add(&self, event: &mut Event) {
        add_attempt(event, self.user, self.from);
    }
}

fn without_invalid(user: &[u8]) -> &[u8] {
    user.strip_prefix(b"invalid user ")
        .or(user.strip_prefix(b"illegal user "))
        .unwrap_or(user)
}

fn add_method(event: &mut Event, method: &[u8]) {
    // `keyboard-interactive/pam` names its device too.
    let method = split_once(method, b"/").map_or(method, |(method, _)| method);
    event.add_bytes(Field::SystemAuthSshMethod, method);
}

fn add_attempt(event: &mut Event, user: &[u8], from: &[u8]) {
    add_user(event, user);
    add_from(event, from);
}

/// Adds `10.0.0.7 port 22 ...`, `10.0.0.7:11: ...` or `10.0.0.7`.
fn add_from(event: &mut Event, from: &[u8]) {
    match endpoint(from) {
        Some((address, port, _)) => add_endpoint(event, address, port),
        None => {
            let (address, _) = word(from);
            add_source(
                event,
                address
                    .strip_suffix(b":")
                    .or(address.strip_suffix(b","))
                    .unwrap_or(address),
            );
        }
    }
}

fn add_endpoint(event: &mut Event, address: &[u8], port: u64) {
    add_source(event, address);
    if (1..=65535).contains(&port) {
        event.add_u64(Field::SourcePort, port);
    }
}

/// `10.0.0.7 port 22` and what stands behind it.
fn endpoint(text: &[u8]) -> Option<(&[u8], u64, &[u8])> {
    let (address, rest) = word(text);
    let (port, rest) = leading_number(rest.strip_prefix(b"port ")?)?;
    Some((address, port, rest.trim_ascii_start()))
}

/// `alice 10.0.0.7 port 22...`: the user's name may hold blanks, so the last such end counts.
fn user_and_endpoint(text: &[u8]) -> Option<(&[u8], &[u8], u64)> {
    let (before, port) = rsplit_once(text, b" port ")?;
    let (user, address) = match rsplit_once(before, b" ") {
        Some(split) => split,
        None => (&b""[..], before),
    };
    Some((user, address, leading_number(port)?.0))
}

#[cfg(test)]
mod tests {
    use crate::engine::decoder::log::Format;
    use crate::engine::decoder::log::check::{check, decode, tries};

    const FAILED: &str = "Mar  2 09:12:41 web sshd[7]: Failed password for alice from 10.0.0.7 port 22 ssh2";

    #[test]
    fn logins_tell_who_from_where_and_how_it_ended() {
        for (message, expected) in [
            (
                "Accepted publickey for alice from 10.0.0.7 port 56296 ssh2: RSA SHA256:1M4R",
                "event.category=authentication event.type=start event.action=ssh_login event.outcome=success \
                 user.name=alice source.ip=10.0.0.7 source.port=56296 system.auth.ssh.method=publickey \
                 network.protocol=ssh event.dataset=sshd process.name=sshd process.pid=7 host.name=web",
            ),
            (
                "Failed password for root from 10.0.0.7 port 22 ssh2",
                "event.category=authentication event.action=ssh_login event.outcome=failure user.name=root \
                 system.auth.ssh.method=password source.ip=10.0.0.7 source.port=22",
            ),
            (
                "Failed keyboard-interactive/pam for invalid user CORP\\bob from fe80::1%eth0 port 22 ssh2",
                "event.outcome=failure user.name=bob user.domain=CORP source.ip=fe80::1 \
                 system.auth.ssh.method=keyboard-interactive",
            ),
            (
                "Failed password for invalid user root from 9.9.9.9 port 1 ssh2 from 10.0.0.7 port 22 ssh2",
                "event.outcome=failure source.ip=10.0.0.7 source.port=22",
            ),
            (
                "Invalid user  from 10.0.0.7 port 22",
                "event.outcome=failure source.ip=10.0.0.7 !user.name",
            ),
            (
                "Invalid user admin from 10.0.0.7",
                "event.outcome=failure source.ip=10.0.0.7 user.name=admin",
            ),
            (
                "error: PAM: Authentication failure for bob from pc.corp.example",
                "event.outcome=failure user.name=bob source.domain=pc.corp.example !source.ip",
            ),
            (
                "error: maximum authentication attempts exceeded for invalid user bob from 10.0.0.7 port 22 ssh2 [preauth]",
                "event.category=authentication event.outcome=failure user.name=bob source.ip=10.0.0.7",
            ),
            (
                "User root from 10.0.0.7 not allowed because not listed in AllowUsers",
                "event.category=authentication event.outcome=failure user.name=root source.ip=10.0.0.7",
            ),
            (
                "Connection closed by authenticating user root 10.0.0.7 port 45362 [preauth]",
                "event.category=authentication event.outcome=failure user.name=root source.ip=10.0.0.7 source.port=45362",
            ),
            (
                "Disconnected from user alice 10.0.0.7 port 45362",
                "event.category=session event.type=end user.name=alice source.ip=10.0.0.7",
            ),
            (
                "Connection closed by 10.0.0.7 port 33594 [preauth]",
                "event.category=network event.action=ssh_connection_ended source.ip=10.0.0.7",
            ),
            (
                "Did not receive identification string from 10.0.0.7 port 22",
                "event.category=network event.action=ssh_connection_failed event.outcome=failure source.ip=10.0.0.7",
            ),
            (
                "Bad protocol version identification 'GET / from x' from 10.0.0.7 port 22",
                "event.action=ssh_connection_failed source.ip=10.0.0.7",
            ),
            (
                "fatal: Timeout before authentication for 10.0.0.7 port 22",
                "event.action=ssh_connection_failed source.ip=10.0.0.7",
            ),
            (
                "refused connect from example.com (10.0.0.7)",
                "event.action=ssh_connection_failed source.ip=10.0.0.7",
            ),
            (
                "Connection from 10.0.0.7 port 5 on 10.0.0.1 port 22 rdomain \"\"",
                "event.action=ssh_connected source.port=5 destination.ip=10.0.0.1 destination.port=22",
            ),
            (
                "Received disconnect from 10.0.0.7 port 5:11: Bye Bye [preauth]",
                "event.action=ssh_connection_ended source.port=5",
            ),
            (
                "Received signal 15; terminating.",
                "event.dataset=sshd !event.category !event.action",
            ),
        ] {
            check(
                Format::Syslog,
                &format!("Mar  2 09:12:41 web sshd[7]: {message}"),
                expected,
            );
        }
    }

    #[test]
    fn one_try_is_one_authentication_event() {
        let say = |messages: &[&str]| {
            let lines: Vec<String> = messages
                .iter()
                .map(|message| format!("Mar  2 09:12:41 web sshd[7]: {message}"))
                .collect();
            tries(&decode(Format::Syslog, &lines.join("\n")))
        };
        let invalid = "Invalid user bob from 10.0.0.7 port 5";
        let none = "Failed none for invalid user bob from 10.0.0.7 port 5 ssh2";
        let failed = "Failed password for invalid user bob from 10.0.0.7 port 5 ssh2";
        let closed = "Connection closed by invalid user bob 10.0.0.7 port 5 [preauth]";
        let pam = "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=10.0.0.7";
        assert_eq!(say(&[invalid, none, pam, failed, closed]), (0, 1));
        assert_eq!(say(&[invalid, pam, failed, pam, failed, failed, closed]), (0, 3));
        assert_eq!(say(&[invalid, closed]), (0, 1));
        assert_eq!(say(&[closed]), (0, 1));
        let refused = "error: PAM: Authentication failure for alice from 10.0.0.7";
        let failed = "Failed keyboard-interactive/pam for alice from 10.0.0.7 port 5 ssh2";
        let closed = "Connection closed by authenticating user alice 10.0.0.7 port 5 [preauth]";
        let accepted = "Accepted password for alice from 10.0.0.7 port 5 ssh2";
        assert_eq!(say(&[refused, refused, failed, refused, failed, closed]), (0, 3));
        assert_eq!(say(&[refused, accepted]), (1, 1));
        assert_eq!(
            say(&[pam, accepted, "Disconnected from user alice 10.0.0.7 port 5"]),
            (1, 0)
        );
        assert_eq!(say(&[&format!("message repeated 3 times: [ {failed}]")]), (0, 3));
        assert_eq!(
            say(&[&format!("message repeated 999999999 times: [ {failed}]")]),
            (0, 100)
        );
        assert_eq!(
            tries(&decode(
                Format::Syslog,
                &format!("{FAILED}\nMar  2 09:12:42 web last message repeated 2 times")
            )),
            (0, 3)
        );
    }
}
