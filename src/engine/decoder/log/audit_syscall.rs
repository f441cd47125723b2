//! The Linux system calls that audit events are read for: their numbers on the machines that matter, what they do.

/// What a system call does, as far as an event tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Execute,
    /// Opens a file, with the flags in this argument (0 to 3); `None` where they are not among the arguments.
    Open {
        flags: Option<u8>,
    },
    /// Makes or overwrites a file.
    Write,
    Rename,
    Delete,
    MakeDirectory,
    MakeNode,
    Permissions,
    Owner,
    Attributes,
    Times,
    Link,
    SymbolicLink,
    Connect,
    Accept,
    Bind,
    Send,
    Signal,
    Trace,
    Module,
    Mount,
    Identity,
    Clock,
    HostName,
    Look,
}

/// A system call with its number on x86_64, i386 and aarch64 (0 where it has none; 0 itself is none of these calls).
struct Call {
    name: &'static str,
    numbers: [u16; 3],
    deed: Deed,
}

const fn call(name: &'static str, numbers: [u16; 3], deed: Deed) -> Call {
    Call { name, numbers, deed }
}

const CALLS: &[Call] = &[
    call("execve", [59, 11, 221], Deed::Execute),
    call("execveat", [322, 358, 281], Deed::Execute),
    call("open", [2, 5, 0], Deed::Open { flags: Some(1) }),
    call("openat", [257, 295, 56], Deed::Open { flags: Some(2) }),
    call("openat2", [437, 437, 437], Deed::Open { flags: None }),
    call("open_by_handle_at", [304, 342, 265], Deed::Open { flags: Some(2) }),
    call("creat", [85, 8, 0], Deed::Write),
    call("truncate", [76, 92, 45], Deed::Write),
    call("ftruncate", [77, 93, 46], Deed::Write),
    call("truncate64", [0, 193, 0], Deed::Write),
    call("ftruncate64", [0, 194, 0], Deed::Write),
    call("rename", [82, 38, 0], Deed::Rename),
    call("renameat", [264, 302, 38], Deed::Rename),
    call("renameat2", [316, 353, 276], Deed::Rename),
    call("unlink", [87, 10, 0], Deed::Delete),
    call("unlinkat", [263, 301, 35], Deed::Delete),
    call("rmdir", [84, 40, 0], Deed::Delete),
    call("mkdir", [83, 39, 0], Deed::MakeDirectory),
    call("mkdirat", [258, 296, 34], Deed::MakeDirectory),
    call("mknod", [133, 14, 0], Deed::MakeNode),
    call("mknodat", [259, 297, 33], Deed::MakeNode),
    call("chmod", [90, 15, 0], Deed::Permissions),
    call("fchmod", [91, 94, 52], Deed::Permissions),
    call("fchmodat", [268, 306, 53], Deed::Permissions),
    call("fchmodat2", [452, 452, 452], Deed::Permissions),
    call("chown", [92, 182, 0], Deed::Owner),
    call("fchown", [93, 95, 55], Deed::Owner),
    call("lchown", [94, 16, 0], Deed::Owner),
    call("fchownat", [260, 298, 54], Deed::Owner),
    call("chown32", [0, 212, 0], Deed::Owner),
    call("fchown32", [0, 207, 0], Deed::Owner),
    call("lchown32", [0, 198, 0], Deed::Owner),
    call("setxattr", [188, 226, 5], Deed::Attributes),
    call("lsetxattr", [189, 227, 6], Deed::Attributes),
    call("fsetxattr", [190, 228, 7], Deed::Attributes),
    call("removexattr", [197, 235, 14], Deed::Attributes),
    call("lremovexattr", [198, 236, 15], Deed::Attributes),
    call("fremovexattr", [199, 237, 16], Deed::Attributes),
    call("utime", [132, 30, 0], Deed::Times),
    call("utimes", [235, 271, 0], Deed::Times),
    call("futimesat", [261, 299, 0], Deed::Times),
    call("utimensat", [280, 320, 88], Deed::Times),
    call("link", [86, 9, 0], Deed::Link),
    call("linkat", [265, 303, 37], Deed::Link),
    call("symlink", [88, 83, 0], Deed::SymbolicLink),
    call("symlinkat", [266, 304, 36], Deed::SymbolicLink),
    call("connect", [42, 362, 203], Deed::Connect),
    call("accept", [43, 0, 202], Deed::Accept),
    call("accept4", [288, 364, 242], Deed::Accept),
    call("bind", [49, 361, 200], Deed::Bind),
    call("sendto", [44, 369, 206], Deed::Send),
    call("kill", [62, 37, 129], Deed::Signal),
    call("tkill", [200, 238, 130], Deed::Signal),
    call("tgkill", [234, 270, 131], Deed::Signal),
    call("ptrace", [101, 26, 117], Deed::Trace),
    call("init_module", [175, 128, 105], Deed::Module),
    call("finit_module", [313, 350, 273], Deed::Module),
    call("delete_module", [176, 129, 106], Deed::Module),
    call("mount", [165, 21, 40], Deed::Mount),
    call("umount2", [166, 52, 39], Deed::Mount),
    call("setuid", [105, 23, 146], Deed::Identity),
    call("setgid", [106, 46, 144], Deed::Identity),
    call("setreuid", [113, 70, 145], Deed::Identity),
    call("setregid", [114, 71, 143], Deed::Identity),
    call("setresuid", [117, 164, 147], Deed::Identity),
    call("setresgid", [119, 170, 149], Deed::Identity),
    call("settimeofday", [164, 79, 170], Deed::Clock),
    call("adjtimex", [159, 124, 171], Deed::Clock),
    call("clock_settime", [227, 264, 112], Deed::Clock),
    call("sethostname", [170, 74, 161], Deed::HostName),
    call("setdomainname", [171, 121, 162], Deed::HostName),
    call("stat", [4, 106, 0], Deed::Look),
    call("lstat", [6, 107, 0], Deed::Look),
    call("newfstatat", [262, 0, 79], Deed::Look),
    call("statx", [332, 383, 291], Deed::Look),
    call("access", [21, 33, 0], Deed::Look),
    call("faccessat", [269, 307, 48], Deed::Look),
    call("readlink", [89, 85, 0], Deed::Look),
    call("readlinkat", [267, 305, 78], Deed::Look),
    call("chdir", [80, 12, 49], Deed::Look),
];

/// The machine of an `arch=` value: its name, and its column of the table where there is one.
pub(super) fn machine(arch: u64) -> Option<(&'static str, usize)> {
    Some(match arch {
        0xc000_003e => ("x86_64", 0),
        0x4000_0003 => ("i386", 1),
        0xc000_00b7 => ("aarch64", 2),
        _ => return None,
    })
}

/// The name and deed of a call's number on a machine of [`machine`].
pub(super) fn by_number(column: usize, number: u64) -> Option<(&'static str, Deed)> {
    if number == 0 {
        return None;
    }
    let is = |call: &&Call| call.numbers.get(column).is_some_and(|held| u64::from(*held) == number);
    CALLS.iter().find(is).map(|call| (call.name, call.deed))
}

/// The deed of a call by its name.
pub(super) fn by_name(name: &[u8]) -> Option<Deed> {
    CALLS
        .iter()
        .find(|call| call.name.as_bytes() == name)
        .map(|call| call.deed)
}

/// Which arguments of a call are the numbers of the open folders that its one or two names are relative to.
pub(super) fn folders(call: &[u8]) -> [Option<usize>; 2] {
    match call {
        b"openat" | b"openat2" | b"unlinkat" | b"mkdirat" | b"mknodat" | b"fchmodat" | b"fchmodat2" | b"fchownat"
        | b"futimesat" | b"utimensat" | b"newfstatat" | b"statx" | b"faccessat" | b"readlinkat" => [Some(0), None],
        b"renameat" | b"renameat2" | b"linkat" => [Some(0), Some(2)],
        b"symlinkat" => [Some(1), None],
        _ => [None, None],
    }
}
