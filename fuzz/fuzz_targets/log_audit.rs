//! Linux audit records, some lines with a whole beginning: every line is accounted for, whatever it holds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::engine::decoder::log::Format;

/// Records of few events, so that those of one are joined.
const PREFIXES: &[&str] = &[
    "type=SYSCALL msg=audit(1684329817.579:1): arch=c000003e syscall=257 success=yes exit=3 a0=3 a1=7f a2=0 pid=6 auid=1000 ",
    "type=SYSCALL msg=audit(1684329817.579:1): arch=c000003e syscall=59 success=yes exit=0 ppid=5 pid=6 ",
    "type=SYSCALL msg=audit(1684329817.579:2): arch=c000003e success=yes pid=6 comm=\"x\" syscall=",
    "type=SYSCALL msg=audit(1684329817.579:2): arch=c00000b7 success=yes pid=6 exit=4 a0=3 syscall=",
    "type=CWD msg=audit(1684329817.579:1): cwd=",
    "type=PATH msg=audit(1684329817.579:1): item=0 inode=7 dev=00:2b mode=040755 nametype=NORMAL name=",
    "type=PATH msg=audit(1684329817.579:2): item=0 inode=7 dev=00:2b mode=040755 nametype=PARENT name=",
    "type=PATH msg=audit(1684329817.579:2): item=1 inode=8 dev=00:2b mode=0100644 nametype=CREATE name=",
    "type=PATH msg=audit(1684329817.579:2): item=1 inode=8 dev=00:2b nametype=DELETE name=",
    "type=EXECVE msg=audit(1684329817.579:1): argc=3 a0=",
    "type=SOCKADDR msg=audit(1684329817.579:2): saddr=",
    "type=PROCTITLE msg=audit(1684329817.579:1): proctitle=",
    "type=EOE msg=audit(1684329817.579:2): ",
    "node=web type=USER_AUTH msg=audit(1684329817.579:3): pid=7 auid=1000 msg='op=PAM:authentication acct=",
    "type=UNKNOWN[1334] msg=audit(168432981",
    "",
];

fuzz_target!(|data: &[u8]| {
    stakeout_fuzz::lines(Format::Audit, data);
    stakeout_fuzz::lines(Format::Audit, &stakeout_fuzz::prefixed(data, PREFIXES));
});
