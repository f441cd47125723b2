//! Tests of Linux audit: whole events as auditd writes them, and the joining of their records.

use super::check::{check, check_event, decode, mutate, show, tries};
use super::{Format, LineDecoder};
use crate::domain::{Duration, Field};
use crate::engine::decoder::Output;

const OPENED: &str = r#"node=Web.corp type=SYSCALL msg=audit(1684329817.579:10): arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7ffc a2=0 a3=0 items=1 ppid=5 pid=6 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts2 ses=7 comm="cat" exe="/usr/bin/cat" key="files"
node=Web.corp type=CWD msg=audit(1684329817.579:10): cwd="/home/alice"
node=Web.corp type=PATH msg=audit(1684329817.579:10): item=0 name="../bob/plan.TXT" inode=123 dev=fe:01 mode=0100644 ouid=1001 ogid=1001 rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0
node=Web.corp type=PROCTITLE msg=audit(1684329817.579:10): proctitle=636174002E2E2F626F622F706C616E2E545854"#;

fn syscall(number: u32, rest: &str) -> String {
    format!(
        "type=SYSCALL msg=audit(1684329817.579:10): arch=c000003e syscall={number} success=yes exit=0 a0=ffffff9c a1=0 \
         a2=241 a3=1b6 items=4 ppid=5 pid=6 auid=1000 uid=1000 gid=1000 euid=0 tty=(none) ses=7 comm=\"x\" exe=\"/bin/x\" \
         key=(null)\x1dARCH=x86_64 SYSCALL=ignored AUID=\"alice\" UID=\"alice\" EUID=\"root\"\n{rest}"
    )
}

fn record(rest: &str) -> String {
    rest.lines()
        .map(|line| line.trim().replacen(' ', " msg=audit(1684329817.579:10): ", 1) + "\n")
        .collect()
}

#[test]
fn an_opened_file_has_its_path_user_and_process() {
    check(
        Format::Audit,
        OPENED,
        "host.name=web event.category=file event.type=access event.action=opened-file event.outcome=success \
         file.path=/home/bob/plan.TXT file.directory=/home/bob file.name=plan.TXT file.extension=txt file.type=file \
         file.mode=0644 file.inode=123 user.id=1000 user.name=1000 user.effective.id=0 process.name=cat process.pid=6 \
         process.parent.pid=5 process.executable=/usr/bin/cat process.working_directory=/home/alice \
         process.title=cat%20../bob/plan.TXT process.tty.name=pts2 auditd.key=files auditd.session=7 \
         auditd.data.syscall=openat auditd.message_type=syscall auditd.result=success event.dataset=auditd",
    );
}

#[test]
fn each_deed_tells_what_was_done_to_what() {
    for (number, records, expected) in [
        (
            257,
            "type=CWD cwd=\"/srv\"\ntype=PATH item=0 name=\"/srv/\" mode=040755 nametype=PARENT\n\
             type=PATH item=1 name=612062 mode=0100644 nametype=CREATE\x1dOUID=\"bob\"",
            "event.type=creation event.action=opened-file file.path=/srv/a%20b file.owner=bob user.name=alice user.id=1000 \
             user.effective.name=root user.effective.id=0 !process.tty.name !auditd.key",
        ),
        (
            257,
            "type=CWD cwd=\"/srv\"\ntype=PATH item=0 name=\"a\" mode=0100644 nametype=NORMAL",
            "event.type=change file.path=/srv/a",
        ),
        (
            82,
            "type=CWD cwd=\"/srv\"\ntype=PATH item=0 name=\"/srv\" nametype=PARENT\ntype=PATH item=1 name=\"/srv\" \
             nametype=PARENT\ntype=PATH item=2 name=\"a.doc\" nametype=DELETE\ntype=PATH item=3 name=\"a.doc.locked\" \
             nametype=DELETE\ntype=PATH item=4 name=\"a.doc.locked\" nametype=CREATE",
            "event.action=renamed event.type=change file.path=/srv/a.doc file.target_path=/srv/a.doc.locked \
             file.extension=doc",
        ),
        (
            263,
            "type=CWD cwd=\"/\"\ntype=PATH item=0 name=\"/\" nametype=PARENT\ntype=PATH item=1 name=\"a\" nametype=DELETE",
            "event.action=deleted event.type=deletion file.path=/a file.directory=/",
        ),
        (
            90,
            "type=CWD cwd=\"/srv\"\ntype=PATH item=0 name=\"/etc/shadow\" mode=0100640 nametype=NORMAL",
            "event.action=changed-file-permissions-of event.type=change file.path=/etc/shadow",
        ),
        (
            83,
            "type=CWD cwd=\"/srv\"\ntype=PATH item=1 name=\"d\" mode=040755 nametype=CREATE",
            "event.action=created-directory event.type=creation file.path=/srv/d file.type=dir",
        ),
        (
            42,
            "type=SOCKADDR saddr=020000350A0000070000000000000000",
            "event.category=network event.action=connected-to destination.ip=10.0.0.7 destination.port=53",
        ),
        (
            42,
            "type=SOCKADDR saddr=0A0001BB0000000020010DB800000000000000000000000100000000",
            "event.category=network destination.ip=2001:db8::1 destination.port=443",
        ),
        (
            42,
            "type=SOCKADDR saddr=01002F72756E2F6E7363642F736F636B657400",
            "!event.category destination.address=/run/nscd/socket",
        ),
        (
            49,
            "type=SOCKADDR saddr=020011D700000000",
            "event.action=bound-socket server.port=4567 server.ip=0.0.0.0",
        ),
        (
            999,
            "",
            "event.action=made-syscall auditd.data.syscall=ignored !event.category",
        ),
    ] {
        check(Format::Audit, &syscall(number, &record(records)), expected);
    }
}

#[test]
fn a_command_has_its_arguments_and_its_parents_name() {
    let shell = "type=SYSCALL msg=audit(1684329817.579:9): arch=c000003e syscall=59 success=yes exit=0 ppid=1 pid=5 auid=1000 \
                 comm=\"bash\" exe=\"/bin/bash\"\n";
    let records = "type=EXECVE argc=4 a0=\"sh\" a1=\"-c\" a2_len=8 a2[0]=6563686F\ntype=EXECVE a2[1]=2068690A a3=\"\"\n\
                   type=CWD cwd=\"/\"\ntype=PATH item=0 name=\"/bin/sh\" mode=0100755 nametype=NORMAL\ntype=PROCTITLE proctitle=7368";
    let events = decode(Format::Audit, &format!("{shell}{}", syscall(59, &record(records))));
    check_event(
        &events[1],
        "event.category=process event.type=start event.action=executed process.args=sh process.args=-c process.args_count=4 \
         process.parent.name=bash process.parent.executable=/bin/bash !file.path",
    );
    assert_eq!(events[1].str(Field::ProcessCommandLine), Some("sh -c echo hi\n "));
}

#[test]
fn one_login_is_one_authentication_event() {
    let login = r#"type=USER_AUTH msg=audit(1.001:1): pid=7 uid=0 auid=4294967295 ses=4294967295 msg='op=PAM:authentication grantors=? acct="root" exe="/usr/sbin/sshd" hostname=10.0.0.7 addr=10.0.0.7 terminal=ssh res=failed'
type=USER_LOGIN msg=audit(1.002:2): pid=7 uid=0 auid=4294967295 ses=4294967295 msg='op=login acct="root" exe="/usr/sbin/sshd" hostname=? addr=10.0.0.7 terminal=sshd res=failed'
type=USER_ACCT msg=audit(1.003:3): pid=7 uid=0 auid=4294967295 ses=4294967295 msg='op=PAM:accounting acct="alice" exe="/usr/sbin/sshd" hostname=10.0.0.7 addr=10.0.0.7 terminal=ssh res=success'
type=USER_START msg=audit(1.004:4): pid=7 uid=0 auid=1000 ses=3 msg='op=PAM:session_open acct="alice" exe="/usr/sbin/sshd" hostname=10.0.0.7 addr=10.0.0.7 terminal=ssh res=success'
type=USER_LOGIN msg=audit(1.005:5): pid=7 uid=0 auid=1000 ses=3 msg='op=login id=1000 exe="/usr/sbin/sshd" hostname=10.0.0.7 addr=10.0.0.7 terminal=ssh res=success'"#;
    let events = decode(
        Format::Audit,
        &format!("{login}\x1dUID=\"root\" AUID=\"alice\" ID=\"alice\""),
    );
    assert_eq!((events.len(), tries(&events)), (5, (1, 1)));
    check_event(
        &events[1],
        "event.action=logged-in event.outcome=failure user.name=root source.ip=10.0.0.7 process.pid=7 \
         process.executable=/usr/sbin/sshd !auditd.session auditd.result=fail",
    );
    check_event(
        &events[3],
        "event.category=session event.action=started-session user.name=alice auditd.session=3",
    );
    check_event(
        &events[4],
        "event.outcome=success user.name=alice user.id=1000 source.ip=10.0.0.7 auditd.session=3",
    );
}

#[test]
fn records_of_programs_tell_actor_and_target() {
    for (line, expected) in [
        (
            r#"type=USER_AUTH msg=audit(1.001:1): pid=7 uid=1000 auid=1000 ses=3 msg='op=PAM:authentication grantors=? acct="root" exe="/usr/bin/su" hostname=? addr=? terminal=pts/0 res=failed'"#,
            "event.category=authentication event.outcome=failure user.name=1000 user.effective.name=root !source.ip !source.domain",
        ),
        (
            "type=ADD_USER msg=audit(1.001:1): pid=7 uid=0 auid=1000 ses=3 msg='op=adding user acct=\"mallory\" exe=\"/usr/sbin/useradd\" hostname=web addr=? terminal=pts/0 res=success'\x1dUID=\"root\" AUID=\"alice\"",
            "event.category=iam event.type=user event.type=creation user.name=alice user.target.name=mallory user.effective.name=root",
        ),
        (
            r#"type=USER_CMD msg=audit(1.001:1): pid=7 uid=1000 auid=1000 ses=3 msg='cwd="/home/alice" cmd=6C73202D6C61 exe="/usr/bin/sudo" terminal=pts/0 res=success'"#,
            "event.category=process event.action=ran-command process.command_line=ls%20-la process.working_directory=/home/alice",
        ),
        (
            "type=USER_LOGIN msg=audit(1.001:1): pid=7 uid=0 auid=4294967295 ses=4294967295 msg='op=login acct=28756E6B6E6F776E207573657229 exe=\"/usr/sbin/sshd\" hostname=? addr=10.0.0.7 terminal=ssh res=failed'",
            "event.category=authentication event.outcome=failure !user.name source.ip=10.0.0.7",
        ),
        (
            "type=SERVICE_START msg=audit(1.001:1): pid=1 uid=0 auid=4294967295 ses=4294967295 msg='unit=ssh comm=\"systemd\" exe=\"/lib/systemd/systemd\" hostname=? addr=? terminal=? res=success'",
            "event.action=started-service service.name=ssh !event.category",
        ),
    ] {
        check(Format::Audit, line, expected);
    }
}

#[test]
fn records_of_several_events_may_be_mixed() {
    let other = OPENED.replace(":10)", ":11)");
    let mut lines: Vec<&str> = OPENED.lines().collect();
    for (place, line) in other.lines().enumerate() {
        lines.insert(place * 2 + 1, line);
    }
    let events = decode(Format::Audit, &lines.join("\n"));
    let sequences: Vec<_> = events.iter().map(|event| event.u64(Field::EventSequence)).collect();
    assert_eq!(sequences, [Some(10), Some(11)]);
    assert!(
        events
            .iter()
            .all(|event| event.str(Field::FilePath) == Some("/home/bob/plan.TXT"))
    );
}

#[test]
fn an_event_without_an_end_waits_two_seconds_or_for_the_end_of_input() {
    let first = OPENED.lines().next().expect("a line").as_bytes();
    let mut decoder = super::audit::AuditDecoder::default();
    let mut output = Output::default();
    decoder.line(first, &mut output);
    let time = crate::domain::Timestamp::from_nanos(1_684_329_817_579_000_000);
    decoder.advance(time.plus(Duration::from_millis(1999)), &mut output);
    assert_eq!(output.events.len(), 0);
    decoder.advance(time.plus(Duration::from_seconds(2)), &mut output);
    assert_eq!(output.events.len(), 1);
    // Any number of open events stays inside the bound, in order.
    for serial in 1000..3000 {
        let line = String::from_utf8_lossy(first).replace(":10)", &format!(":{serial})"));
        decoder.line(line.as_bytes(), &mut output);
    }
    assert!(output.events.len() >= 1900, "{}", output.events.len());
    decoder.finish(&mut output);
    assert_eq!(output.events.len(), 2001);
    assert!(
        output
            .events
            .is_sorted_by_key(|event| event.u64(Field::EventSequence).filter(|serial| *serial > 10))
    );
}

/// A system call of one process with all of its records.
fn call(serial: u32, number: u32, exit: &str, arguments: [&str; 3], records: &str) -> String {
    let [a0, a1, a2] = arguments;
    let stamp = format!("msg=audit(1684329817.579:{serial}):");
    let mut lines = format!(
        "type=SYSCALL {stamp} arch=c000003e syscall={number} success=yes exit={exit} a0={a0} a1={a1} a2={a2} a3=0 ppid=5 \
         pid=6 auid=1000 euid=0 comm=\"x\" exe=\"/bin/x\" key=(null)\ntype=CWD {stamp} cwd=\"/root\"\n"
    );
    for record in records.lines().map(str::trim) {
        lines.push_str(&format!("type=PATH {stamp} dev=00:2b {record}\n"));
    }
    lines + &format!("type=EOE {stamp} \n")
}

#[test]
fn a_name_relative_to_an_open_folder_is_told_whole_where_the_folder_is_known() {
    const FOLDER: &str = "mode=040755 nametype=NORMAL";
    let here = "ffffff9c";
    let lines = [
        // Read through numbers of open folders, from an absolute one down.
        call(
            1,
            257,
            "3",
            [here, "7f", "90800"],
            &format!("name=\"/srv\" inode=10 {FOLDER}"),
        ),
        call(
            2,
            257,
            "4",
            ["3", "7f", "90800"],
            &format!("name=\"plans\" inode=11 {FOLDER}"),
        ),
        call(
            3,
            257,
            "5",
            ["4", "7f", "0"],
            "name=\"a.md\" inode=12 mode=0100644 nametype=NORMAL",
        ),
        // The inode is right where the number is not: 4 is a copy of another folder's number now.
        call(
            4,
            257,
            "6",
            [here, "7f", "241"],
            "name=\"/etc/cron.d/\" inode=20 mode=040755 nametype=PARENT\nname=\"/etc/cron.d/job\" inode=21 mode=0100644 \
             nametype=CREATE",
        ),
        call(
            5,
            263,
            "0",
            ["4", "7f", "0"],
            "name=\"/root\" inode=20 mode=040755 nametype=PARENT\nname=\"job\" inode=21 mode=0100644 nametype=DELETE",
        ),
        // A file has taken the number of a folder, so nothing is known of it.
        call(
            6,
            257,
            "3",
            [here, "7f", "0"],
            "name=\"/srv/b\" inode=13 mode=0100644 nametype=NORMAL",
        ),
        call(
            7,
            257,
            "7",
            ["3", "7f", "0"],
            "name=\"c\" inode=14 mode=0100644 nametype=NORMAL",
        ),
        // Moved from one folder into another.
        call(
            8,
            264,
            "0",
            ["8", "7f", "9"],
            "name=\"/root\" inode=20 mode=040755 nametype=PARENT\nname=\"/root\" inode=30 mode=040755 nametype=PARENT\n\
             name=\"d\" inode=22 mode=0100644 nametype=DELETE\nname=\"e\" inode=22 mode=0100644 nametype=CREATE",
        ),
    ];
    let events = decode(Format::Audit, &lines.concat());
    let paths: Vec<_> = events
        .iter()
        .map(|event| event.str(Field::FilePath).unwrap_or(""))
        .collect();
    assert_eq!(
        paths,
        [
            "/srv",
            "/srv/plans",
            "/srv/plans/a.md",
            "/etc/cron.d/job",
            "/etc/cron.d/job",
            "/srv/b",
            "/root/c",
            "/etc/cron.d/d"
        ]
    );
    // Of the other folder nothing is known.
    assert_eq!(events[7].str(Field::FileTargetPath), Some("/root/e"));
}

#[test]
fn a_call_that_waited_before_it_ended_is_one_event() {
    // As it is written: behind events that began five seconds later.
    let earlier = OPENED.replace("1684329817.579:10", "1684329812.100:11");
    let events = decode(Format::Audit, &format!("{OPENED}\n{earlier}"));
    assert_eq!(events.len(), 2);
    check_event(
        &events[1],
        "event.sequence=11 user.name=1000 file.path=/home/bob/plan.TXT",
    );
}

#[test]
fn other_framings_are_read() {
    let bare = "type=1112 audit(1.001:1): pid=7 res=success";
    assert!(show(&decode(Format::Audit, bare)[0]).contains("event.action=logged-in"));
    let lines = format!("----\ntime->Thu Nov 23 00:00:00 2026\n{OPENED}");
    check(Format::Audit, &lines, "event.action=opened-file");
    assert_eq!(super::detect(lines.as_bytes()), Some(Format::Audit));
}

#[test]
fn broken_records_never_panic() {
    let sockets = syscall(
        42,
        &record("type=SOCKADDR saddr=0A0001BB0000000020010DB800000000000000000000000100000000"),
    );
    let exec = syscall(
        59,
        &record("type=EXECVE argc=4 a0=\"sh\" a1=\"-c\" a2_len=8 a2[0]=6563686F\ntype=EXECVE a2[1]=2068690A a3=\"\""),
    );
    mutate(Format::Audit, &format!("{OPENED}\n{sockets}\n{exec}"), 2000);
}
