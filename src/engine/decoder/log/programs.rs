//! Who reads a syslog message: told from the program that wrote it. A message that nobody reads stays a plain event of
//! dataset `syslog`.

use super::pam::{self, Speaker};
use super::sshd::Sshd;
use super::syslog::Header;
use super::text::{Kind, add_kind, add_user, between, find, ip, number, rsplit_once, split_once, word};
use super::values::hardware_address;
use super::{accounts, sudo, web_access};
use crate::domain::{Event, Field};
use serde::{Deserialize, Serialize};

const CRON: Kind = Kind {
    category: &["process"],
    type_: &["start"],
    action: "cron_command",
    outcome: "success",
};
const PACKET: Kind = Kind {
    category: &["network"],
    type_: &["connection"],
    action: "firewall_packet",
    outcome: "",
};

/// The readers of one input, with what they remember.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Programs {
    sshd: Sshd,
}

/// A program's name without the folder it was started from.
pub(super) fn name(program: &[u8]) -> &[u8] {
    match program.first() {
        Some(b'/') => rsplit_once(program, b"/").map_or(program, |(_, name)| name),
        _ => program,
    }
}

impl Programs {
    /// Adds what the message tells to the event, which has the header's fields already. Gives the event's dataset.
    pub(super) fn read(&mut self, header: &Header<'_>, event: &mut Event) -> &'static str {
        let program = name(header.program);
        let message = header.message;
        let is_sshd = matches!(program, b"sshd" | b"sshd-session" | b"sshd-auth");
        if let Some(pam) = pam::parse(message, header.module, program) {
            let tells_itself = match program {
                _ if is_sshd => header.module.is_empty() || self.sshd.speaks,
                b"sudo" | b"login" => true,
                b"su" => header.module.is_empty(),
                _ => false,
            };
            pam.add(
                event,
                if tells_itself {
                    Speaker::TellsItself
                } else {
                    Speaker::Silent
                },
            );
            return "pam";
        }
        if is_sshd {
            if pam::add_more_failures(event, message).is_some() {
                return "pam";
            }
            self.sshd.read(header, event);
            return "sshd";
        }
        // What a reader can make nothing of is a plain event of its program.
        let (dataset, _) = match program {
            b"sudo" => ("sudo", sudo::read_sudo(message, event)),
            b"su" => ("su", sudo::read_su(message, event)),
            b"login" => ("login", sudo::read_login(message, event)),
            b"useradd" | b"usermod" | b"userdel" | b"groupadd" | b"groupmod" | b"groupdel" | b"gpasswd" | b"passwd"
            | b"chpasswd" | b"chage" | b"adduser" | b"deluser" | b"newusers" | b"chfn" | b"chsh" => {
                ("accounts", accounts::read(message, event))
            }
            b"CRON" | b"cron" | b"crond" | b"/USR/SBIN/CRON" => ("cron", read_cron(message, event)),
            b"systemd-logind" => ("logind", read_logind(message, event)),
            b"kernel" => ("kernel", read_firewall(message, event)),
            b"dnsmasq-dhcp" | b"dhcpd" => ("dhcp", read_lease(message, event)),
            b"nginx" | b"httpd" | b"apache" | b"apache2" => match web_access::parse(message) {
                Some(access) => {
                    access.add(event);
                    ("web.access", Some(()))
                }
                None => ("syslog", None),
            },
            _ => ("syslog", None),
        };
        dataset
    }
}

/// `(root) CMD (run-parts /etc/cron.hourly)`
fn read_cron(message: &[u8], event: &mut Event) -> Option<()> {
    let (user, rest) = split_once(message.strip_prefix(b"(")?, b") CMD (")?;
    add_user(event, user);
    let command = rest.trim_ascii_end();
    event.add_bytes(
        Field::ProcessCommandLine,
        command.strip_suffix(b")").unwrap_or(command).trim_ascii(),
    );
    add_kind(event, CRON);
    Some(())
}

/// `New session 5 of user alice.`, `Removed session 5.` PAM tells of sessions as well, so these have no category.
fn read_logind(message: &[u8], event: &mut Event) -> Option<()> {
    if let Some(rest) = message.strip_prefix(b"New session ") {
        let (_, user) = split_once(rest, b" of user ")?;
        let (user, _) = split_once(user, b" with ").unwrap_or((user, b""));
        add_user(event, user.strip_suffix(b".").unwrap_or(user));
        event.add_str(Field::EventAction, "logind_session_started");
    } else if message.starts_with(b"Removed session ") {
        event.add_str(Field::EventAction, "logind_session_ended");
    }
    Some(())
}

/// `[UFW BLOCK] IN=eth0 OUT= MAC=... SRC=10.0.0.7 DST=10.0.0.1 LEN=40 ... PROTO=TCP SPT=5 DPT=22 ...`
fn read_firewall(message: &[u8], event: &mut Event) -> Option<()> {
    let source = ip(between(message, b" SRC=", b" ")?)?;
    let destination = ip(between(message, b" DST=", b" ")?)?;
    event.add_ip(Field::SourceIp, source);
    event.add_ip(Field::DestinationIp, destination);
    let (prefix, _) = split_once(message, b"IN=")?;
    let mut rest = message;
    while !rest.is_empty() {
        let (pair, behind) = word(rest);
        // An ICMP error repeats the packet that it answers in brackets.
        if pair.starts_with(b"[") && pair.contains(&b'=') {
            break;
        }
        match split_once(pair, b"=") {
            Some((b"IN", name)) => event.add_bytes(Field::ObserverIngressInterfaceName, name),
            Some((b"PROTO", name)) => event.add_bytes(Field::NetworkTransport, &name.to_ascii_lowercase()),
            Some((b"SPT", port)) => add_port(event, Field::SourcePort, port),
            Some((b"DPT", port)) => add_port(event, Field::DestinationPort, port),
            _ => {}
        }
        rest = behind;
    }
    let prefix = prefix.to_ascii_lowercase();
    let words: [&[u8]; 5] = [b"block", b"drop", b"deny", b"denied", b"reject"];
    let denied = words.iter().any(|word| find(&prefix, word).is_some());
    add_kind(
        event,
        if denied {
            Kind {
                type_: &["connection", "denied"],
                ..PACKET
            }
        } else {
            PACKET
        },
    );
    Some(())
}

fn add_port(event: &mut Event, field: Field, port: &[u8]) {
    if let Some(port) = number(port).filter(|port| *port <= 65535) {
        event.add_u64(field, port);
    }
}

/// `DHCPACK(eth0) 10.0.0.7 52:54:00:12:34:56 pc`, `DHCPACK on 10.0.0.7 to 52:54:00:12:34:56 (pc) via eth0`: leases given.
fn read_lease(message: &[u8], event: &mut Event) -> Option<()> {
    let (head, rest) = word(message);
    if !head.starts_with(b"DHCPACK") {
        return None;
    }
    let rest = rest.strip_prefix(b"on ").unwrap_or(rest);
    let (address, rest) = word(rest);
    let rest = rest.strip_prefix(b"to ").unwrap_or(rest);
    let (hardware, rest) = word(rest);
    let (host, _) = word(rest);
    let address = ip(address)?;
    if hardware.len() != 17 {
        return None;
    }
    event.add_ip(Field::DhcpAssignedIp, address);
    event.add_str(Field::ClientMac, &hardware_address(&String::from_utf8_lossy(hardware)));
    let host = host
        .strip_prefix(b"(")
        .and_then(|host| host.strip_suffix(b")"))
        .unwrap_or(host);
    if host != b"via" {
        event.add_bytes(Field::DhcpHostname, host);
    }
    event.add_str(Field::DhcpMessageType, "ACK");
    event.add_str(Field::NetworkProtocol, "dhcp");
    add_kind(
        event,
        Kind {
            category: &["network"],
            type_: &["info"],
            action: "dhcp_lease",
            outcome: "success",
        },
    );
    Some(())
}

#[cfg(test)]
mod tests {
    use crate::engine::decoder::log::Format;
    use crate::engine::decoder::log::check::{check, decode, mutate, tries};

    const LINES: &[(&str, &str)] = &[
        (
            "sudo:    alice : TTY=pts/1 ; PWD=/home/alice ; USER=root ; COMMAND=/bin/sh -c id ; ls",
            "event.category=process event.action=sudo_command event.outcome=success user.name=alice user.effective.name=root \
             process.command_line=/bin/sh%20-c%20id%20;%20ls process.executable=/bin/sh process.tty.name=pts/1 \
             process.working_directory=/home/alice event.dataset=sudo",
        ),
        (
            "sudo:    alice : 3 incorrect password attempts ; TTY=pts/1 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/id",
            "event.category=authentication event.outcome=failure user.name=alice user.effective.name=root event.dataset=sudo",
        ),
        (
            "sudo:    bob : user NOT in sudoers ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id",
            "event.category=process event.type=denied event.outcome=failure user.name=bob event.reason=user%20NOT%20in%20sudoers",
        ),
        (
            "sudo: pam_unix(sudo:auth): authentication failure; logname=alice uid=1000 euid=0 tty=/dev/pts/1 ruser=alice rhost=  user=alice",
            "event.dataset=pam !event.category event.outcome=failure user.name=alice",
        ),
        (
            "su[7]: Successful su for root by alice",
            "event.category=authentication event.outcome=success user.name=alice user.effective.name=root",
        ),
        (
            "su[7]: FAILED SU (to root) alice on pts/0",
            "event.category=authentication event.outcome=failure user.name=alice user.effective.name=root",
        ),
        ("su[7]: + /dev/pts/1 root:root", "!event.category event.dataset=su"),
        (
            "su(pam_unix)[7]: authentication failure; logname= uid=509 euid=0 tty= ruser=alice rhost=  user=root",
            "event.category=authentication event.outcome=failure user.name=alice user.effective.name=root",
        ),
        (
            "login[7]: FAILED LOGIN (1) on '/dev/tty1' FOR 'alice', Authentication failure",
            "event.category=authentication event.outcome=failure user.name=alice",
        ),
        (
            "login[7]: LOGIN ON tty1 BY alice",
            "event.category=authentication event.outcome=success user.name=alice process.tty.name=tty1",
        ),
        (
            "vsftpd[7]: pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=bob rhost=10.0.0.7  user=bob smith",
            "event.category=authentication event.outcome=failure user.name=bob%20smith source.ip=10.0.0.7 event.provider=vsftpd",
        ),
        (
            "sshd[7]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=10.0.0.7  user=root",
            "!event.category event.outcome=failure user.name=root source.ip=10.0.0.7 event.dataset=pam",
        ),
        (
            "sshd[7]: PAM 2 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=10.0.0.7  user=root",
            "!event.category user.name=root source.ip=10.0.0.7",
        ),
        (
            "sshd(pam_unix)[7]: authentication failure; logname= uid=0 euid=0 tty=NODEVssh ruser= rhost=pc.corp.example ",
            "event.category=authentication event.outcome=failure source.domain=pc.corp.example !user.name",
        ),
        (
            "sshd[7]: pam_unix(sshd:session): session opened for user alice(uid=1000) by (uid=0)",
            "event.category=session event.type=start user.name=alice user.id=1000",
        ),
        (
            "CRON[7]: pam_unix(cron:session): session closed for user root",
            "event.category=session event.type=end user.name=root event.provider=cron",
        ),
        (
            "CRON[7]: (root) CMD (cd / && run-parts /etc/cron.hourly)",
            "event.category=process user.name=root process.command_line=cd%20/%20&&%20run-parts%20/etc/cron.hourly",
        ),
        (
            "useradd[7]: new user: name=mallory, UID=1002, GID=1002, home=/home/mallory, shell=/bin/bash, from=/dev/pts/1",
            "event.category=iam event.type=user event.type=creation user.target.name=mallory user.target.id=1002",
        ),
        (
            "usermod[7]: add 'mallory' to group 'sudo'",
            "event.category=iam event.type=group event.type=change user.target.name=mallory group.name=sudo",
        ),
        (
            "gpasswd[7]: user mallory added by root to group sudo",
            "user.target.name=mallory group.name=sudo",
        ),
        (
            "userdel[7]: delete user 'mallory'",
            "event.category=iam event.type=deletion user.target.name=mallory",
        ),
        (
            "groupadd[7]: new group: name=staff2, GID=1003",
            "event.category=iam event.type=group group.name=staff2 group.id=1003",
        ),
        (
            "passwd[7]: pam_unix(passwd:chauthtok): password changed for alice",
            "event.category=iam event.type=change user.target.name=alice",
        ),
        (
            "systemd-logind[7]: New session 5 of user alice.",
            "user.name=alice !event.category",
        ),
        (
            "kernel: [12.5] [UFW BLOCK] IN=eth0 OUT= MAC=52:54:00 SRC=10.0.0.7 DST=10.0.0.1 LEN=40 TOS=0x00 PROTO=TCP SPT=5 DPT=22 WINDOW=1024 RES=0x00 SYN URGP=0 ",
            "event.category=network event.type=denied source.ip=10.0.0.7 source.port=5 destination.ip=10.0.0.1 destination.port=22 network.transport=tcp",
        ),
        (
            "dnsmasq-dhcp[7]: DHCPACK(eth0) 10.0.0.7 52:54:00:12:34:56 pc",
            "dhcp.assigned_ip=10.0.0.7 client.mac=52-54-00-12-34-56 dhcp.hostname=pc",
        ),
        (
            "dhcpd: DHCPACK on 10.0.0.7 to 52:54:00:12:34:56 via eth0",
            "dhcp.assigned_ip=10.0.0.7 !dhcp.hostname",
        ),
        (
            "nginx: 10.0.0.7 - - [08/Jun/2020:08:04:43 +0000] \"GET / HTTP/1.1\" 404 5",
            "event.category=web source.ip=10.0.0.7 http.response.status_code=404 event.dataset=web.access",
        ),
        (
            "audispd: node=db type=USER_LOGIN msg=audit(1.001:1): pid=7 uid=0 auid=4294967295 ses=4294967295 msg='op=login acct=\"root\" exe=\"/usr/sbin/sshd\" hostname=? addr=10.0.0.7 terminal=sshd res=failed'",
            "event.category=authentication host.name=db user.name=root event.dataset=auditd",
        ),
        (
            "kernel: [12.5] audit: type=1112 audit(1.001:1): pid=7 uid=0 auid=1000 ses=4 msg='op=login acct=\"root\" exe=\"/usr/sbin/sshd\" addr=10.0.0.7 res=failed'",
            "event.category=authentication host.name=web user.name=root event.dataset=auditd",
        ),
        ("app[7]: pam_", "event.dataset=syslog message=pam_"),
    ];

    fn line(rest: &str) -> String {
        format!("Mar  2 09:12:41 web {rest}")
    }

    #[test]
    fn programs_tell_who_did_what() {
        for (rest, expected) in LINES {
            check(Format::Syslog, &line(rest), expected);
        }
    }

    #[test]
    fn pam_of_old_systems_counts_until_sshd_is_heard() {
        let pam =
            line("sshd(pam_unix)[7]: authentication failure; logname= uid=0 euid=0 tty=NODEVssh ruser= rhost=10.0.0.7");
        let sshd = line("sshd[8]: Failed password for alice from 10.0.0.7 port 22 ssh2");
        assert_eq!(tries(&decode(Format::Syslog, &format!("{pam}\n{pam}"))), (0, 2));
        assert_eq!(tries(&decode(Format::Syslog, &format!("{sshd}\n{pam}\n{pam}"))), (0, 1));
    }

    #[test]
    fn broken_lines_never_panic() {
        let lines: Vec<String> = LINES.iter().map(|(rest, _)| line(rest)).collect();
        mutate(Format::Syslog, &lines.join("\n"), 1500);
    }
}
