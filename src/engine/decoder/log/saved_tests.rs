//! Tests that a decoder saved between any two lines, and taken up by another, goes on as if nothing had been.

use super::Format;
use super::check::{CONTEXT, show};
use crate::engine::decoder::Output;

/// Reads lines, with a restart in front of line `restart`.
fn read(format: Format, lines: &[&[u8]], restart: usize) -> (Vec<String>, String) {
    let mut decoder = format.decoder(CONTEXT);
    let mut output = Output::default();
    for (number, line) in lines.iter().enumerate() {
        if number == restart {
            let saved = decoder.save();
            for length in 1..saved.len().min(200) {
                // What is cut is refused, or is a shorter state; it must not panic.
                format.decoder(CONTEXT).restore(&saved[..length]);
            }
            decoder = format.decoder(CONTEXT);
            assert!(decoder.restore(&saved), "{} in front of line {number}", format.name());
            assert_eq!(decoder.save(), saved, "{} in front of line {number}", format.name());
        }
        decoder.line(line, &mut output);
        if let Some(event) = output.events.last() {
            decoder.advance(event.time(), &mut output);
        }
    }
    decoder.finish(&mut output);
    (output.events.iter().map(show).collect(), format!("{:?}", output.tally))
}

#[track_caller]
fn check(format: Format, text: &str) {
    let lines: Vec<&[u8]> = text.lines().map(str::as_bytes).collect();
    let whole = read(format, &lines, usize::MAX);
    assert!(!whole.0.is_empty(), "{}", whole.1);
    for restart in 0..lines.len() {
        assert_eq!(
            read(format, &lines, restart),
            whole,
            "{} in front of line {restart}",
            format.name()
        );
    }
}

const AUDIT: &str = r#"type=SYSCALL msg=audit(1684329817.579:10): arch=c000003e syscall=59 success=yes exit=0 a0=1 items=2 ppid=1 pid=5 auid=1000 uid=0 comm="bash" exe="/bin/bash"
type=EXECVE msg=audit(1684329817.579:10): argc=2 a0="bash" a1="-i"
type=SYSCALL msg=audit(1684329817.900:11): arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a2=0 items=1 ppid=5 pid=6 auid=1000 uid=0 comm="cat" exe="/bin/cat"
type=CWD msg=audit(1684329817.579:10): cwd="/home/alice"
type=PROCTITLE msg=audit(1684329817.579:10): proctitle=62617368
type=PATH msg=audit(1684329817.900:11): item=0 name="plan.txt" inode=1 mode=0100644 nametype=NORMAL
type=EOE msg=audit(1684329817.900:11):
type=USER_LOGIN msg=audit(1684329825.100:12): pid=9 uid=0 auid=1000 ses=1 msg='op=login acct="bob" exe="/usr/sbin/sshd" hostname=? addr=10.0.0.7 terminal=ssh res=failed'"#;

#[test]
fn halves_of_audit_events_and_parents_outlive_a_restart() {
    check(Format::Audit, AUDIT);
    let forwarded: Vec<String> = AUDIT
        .lines()
        .map(|record| format!("May 17 13:23:37 web audispd[7]: {record}"))
        .collect();
    check(Format::Syslog, &forwarded.join("\n"));
}

#[test]
fn the_year_repeated_messages_and_tries_outlive_a_restart() {
    check(
        Format::Syslog,
        "Dec 31 23:59:58 web sshd[7]: Invalid user bob from 10.0.0.7 port 4242\n\
         Dec 31 23:59:58 web sshd[7]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=10.0.0.7\n\
         Dec 31 23:59:59 web sshd[7]: Failed password for invalid user bob from 10.0.0.7 port 4242 ssh2\n\
         Jan  1 00:00:01 web last message repeated 3 times\n\
         Dec 31 23:59:59 web sshd[9]: Failed password for root from 10.0.0.8 port 4242 ssh2\n\
         Jan  1 00:00:02 web sshd[9]: message repeated 2 times: [ Failed password for root from 10.0.0.8 port 4242 ssh2]\n\
         <38>1 - web sshd 9 - - Accepted password for root from 10.0.0.8 port 4242 ssh2\n\
         Jan  1 00:00:03 web sshd[9]: PAM 2 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=10.0.0.8  user=root\n\
         Jul 20 00:00:00 web sshd[9]: Accepted password for root from 10.0.0.8 port 4242 ssh2\n\
         Jan  2 00:00:00 web sshd[9]: Accepted password for root from 10.0.0.8 port 4242 ssh2",
    );
}

#[test]
fn printed_documents_and_what_is_in_envelopes_outlive_a_restart() {
    let windows = "{\n  \"EventID\": 4625,\n  \"Channel\": \"Security\",\n  \"EventTime\": \"2026-06-08 08:04:43\",\n  \
        \"TargetUserName\": \"bob\"\n}\n";
    let zeek = "{\"_path\":\"conn\",\"ts\":1780905883.1,\"uid\":\"C1\",\"id.orig_h\":\"10.0.0.7\",\"id.orig_p\":1,\
        \"id.resp_h\":\"10.0.0.8\",\"id.resp_p\":80,\"proto\":\"tcp\",\"conn_state\":\"SF\"}\n";
    let docker: String = AUDIT
        .lines()
        .chain(["Dec 31 23:59:59 web sshd[9]: Failed password for root from 10.0.0.8 port 4242 ssh2"])
        .chain(["Jan  1 00:00:01 web last message repeated 3 times"])
        .map(|line| {
            let log = serde_json::Value::from(format!("{line}\n"));
            format!("{{\"log\":{log},\"stream\":\"stdout\",\"time\":\"2026-06-08T08:04:43.1Z\"}}\n")
        })
        .collect();
    check(Format::Json, &format!("[\n{windows}{zeek}{zeek}{docker}{windows}]"));
}

#[test]
fn headers_of_zeek_outlive_a_restart() {
    check(
        Format::ZeekTsv,
        "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n\
         #fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tunknown\tconn_state\n\
         1780905883.1\tC1\t10.0.0.7\t1\t10.0.0.8\t80\ttcp\tx\tSF\n\
         1780905884.1\tC2\t10.0.0.7\t2\t10.0.0.8\t80\ttcp\t-\tS0\n\
         #path\tweird\n#fields\tts\tuid\tname\n1780905884.1\tC2\tx\n\
         #separator \\x7c\n#path|dns\n#fields|ts|uid|id.orig_h|id.orig_p|id.resp_h|id.resp_p|proto|query\n\
         1780905884.1|C3|10.0.0.7|2|10.0.0.8|53|udp|example.org",
    );
}

#[test]
fn lines_that_stand_alone_leave_nothing_behind() {
    let line = "10.0.0.7 - bob [08/Jun/2026:08:04:43 +0000] \"GET /a HTTP/1.1\" 200 8";
    check(Format::WebAccess, &[line; 3].join("\n"));
}

#[test]
fn what_an_older_version_saved_is_taken_up_and_damage_is_refused() {
    for format in Format::ALL {
        assert!(format.decoder(CONTEXT).restore(b""), "{}", format.name());
    }
    for format in [Format::Syslog, Format::Audit, Format::Json, Format::ZeekTsv] {
        assert!(!format.decoder(CONTEXT).restore(&[0xff; 64]), "{}", format.name());
    }
}
