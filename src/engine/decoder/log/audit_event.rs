//! The facts of one audit event to ECS fields. Actions have the names that Auditbeat gives them.
//!
//! The user is the one who logged in (`auid`), whatever was become since; that is `user.effective`. Where no login is
//! known, as for daemons, there is no `user.name`. **One login is one event** of category `authentication`: USER_LOGIN for
//! programs that log people in, USER_AUTH for all others (su, sudo, polkit).
//!
//! A name relative to an open folder (`unlinkat(4, "a")`) is told with that folder's path where earlier events told it, see
//! `audit_folders`; else as relative to the working directory.

use super::audit::Open;
use super::audit_facts::{Facts, Path};
use super::audit_folders::{Folders, learn_folders, places, whole_path};
use super::audit_syscall::{Deed, by_name, by_number, machine};
use super::text::{Kind, add_host, add_kind, add_source, number};
use crate::domain::{Event, Field};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How many processes are remembered for the names of their children's parents.
const PROCESSES_MAX: usize = 8192;
/// How long a name of a process is remembered.
const NAME_BYTES_MAX: usize = 256;
/// How much of a command line is told.
const COMMAND_LINE_BYTES_MAX: usize = 16 * 1024;
/// How much of a path is told.
const PATH_BYTES_MAX: usize = 4096;

const fn kind(category: &'static [&'static str], type_: &'static [&'static str], action: &'static str) -> Kind {
    Kind {
        category,
        type_,
        action,
        outcome: "",
    }
}

/// What earlier events of an input tell about later ones.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Memory {
    parents: Parents,
    folders: Folders,
}

/// Processes by number, so that a process can be told with its parent's name. One that takes another's place makes it
/// forgotten.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Process>", into = "Vec<Process>")]
struct Parents {
    processes: Vec<Option<Process>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Process {
    key: u64,
    name: Vec<u8>,
    executable: Vec<u8>,
}

impl From<Parents> for Vec<Process> {
    fn from(parents: Parents) -> Self {
        parents.processes.into_iter().flatten().collect()
    }
}

impl From<Vec<Process>> for Parents {
    fn from(processes: Vec<Process>) -> Self {
        let mut parents = Parents::default();
        for process in processes {
            parents.put(process);
        }
        parents
    }
}

impl Parents {
    /// Puts a process into its slot.
    fn put(&mut self, process: Process) {
        if self.processes.is_empty() {
            self.processes.resize_with(PROCESSES_MAX, || None);
        }
        if let Some(slot) = self.processes.get_mut(process.key as usize % PROCESSES_MAX) {
            *slot = Some(process);
        }
    }

    fn key(node: &[u8], process_id: u64) -> u64 {
        xxh3_64_with_seed(node, process_id)
    }

    fn learn(&mut self, node: &[u8], process_id: u64, name: &[u8], executable: &[u8]) {
        if self.processes.is_empty() {
            self.processes.resize_with(PROCESSES_MAX, || None);
        }
        let key = Self::key(node, process_id);
        let Some(slot) = self.processes.get_mut(key as usize % PROCESSES_MAX) else {
            return;
        };
        let (name, executable) = (cut(name, NAME_BYTES_MAX), cut(executable, NAME_BYTES_MAX));
        match slot {
            Some(process) if process.key == key && process.name == name && process.executable == executable => {}
            _ => {
                *slot = Some(Process {
                    key,
                    name: name.to_vec(),
                    executable: executable.to_vec(),
                })
            }
        }
    }

    fn get(&self, node: &[u8], process_id: u64) -> Option<&Process> {
        let key = Self::key(node, process_id);
        self.processes
            .get(key as usize % PROCESSES_MAX)?
            .as_ref()
            .filter(|process| process.key == key)
    }
}

fn cut(text: &[u8], bytes_max: usize) -> &[u8] {
    text.get(..bytes_max).unwrap_or(text)
}

/// The event of gathered records; `None` for records that tell nothing, such as a lone end.
pub(super) fn build(open: &Open, memory: &mut Memory) -> Option<Event> {
    let facts = Facts::gather(open);
    if facts.kind.is_empty() || facts.kind == b"EOE" {
        return None;
    }
    let mut event = Event::new(open.time);
    add_host(&mut event, &open.node);
    event.add_str(Field::EventModule, "auditd");
    event.add_str(Field::EventDataset, "auditd");
    event.add_u64(Field::EventSequence, open.serial);
    event.add_bytes(Field::AuditdMessageType, &facts.kind.to_ascii_lowercase());
    let (call, deed) = add_syscall(&mut event, &facts);
    add_process(&mut event, &facts, &open.node, &mut memory.parents);
    let logs_in = facts
        .executable
        .as_deref()
        .is_some_and(|executable| logs_people_in(base_name(executable)));
    let mut kind = match deed {
        Some(deed) if matches!(facts.kind, b"SYSCALL" | b"AVC" | b"SECCOMP") => {
            add_deed(&mut event, &facts, (call, deed), (&open.node, &mut memory.folders))
        }
        _ if facts.has_syscall && facts.kind == b"SYSCALL" => kind(&[], &["info"], "made-syscall"),
        _ => kind_of_record(facts.kind, logs_in),
    };
    add_users(&mut event, &facts, kind, logs_in);
    kind.outcome = facts.outcome();
    add_kind(&mut event, kind);
    if kind.outcome != "unknown" {
        event.add_str(
            Field::AuditdResult,
            if kind.outcome == "success" { "success" } else { "fail" },
        );
    }
    add_told(&mut event, &facts);
    add_command_line(&mut event, &facts);
    Some(event)
}

/// Adds the system call and gives its name and, if it is one that is read, what it does.
fn add_syscall<'a>(event: &mut Event, facts: &Facts<'a>) -> (&'a [u8], Option<Deed>) {
    let machine = facts.arch.and_then(machine);
    match (machine, facts.arch_name) {
        (Some((name, _)), _) => event.add_str(Field::AuditdDataArch, name),
        (None, Some(name)) => event.add_bytes(Field::AuditdDataArch, name),
        (None, None) => {}
    }
    // `ausearch` and some shippers write the name in place of the number.
    let Some(call) = facts.syscall else {
        return (b"", None);
    };
    let known = match (number(call), machine) {
        (Some(number), Some((_, column))) => by_number(column, number),
        _ => None,
    };
    if let Some(exit) = facts.exit {
        event.add_bytes(Field::AuditdDataExit, exit);
    }
    if let Some((name, deed)) = known {
        event.add_str(Field::AuditdDataSyscall, name);
        return (name.as_bytes(), Some(deed));
    }
    let name = facts.syscall_name.unwrap_or(call);
    event.add_bytes(Field::AuditdDataSyscall, name);
    (name, by_name(name))
}

fn add_process(event: &mut Event, facts: &Facts<'_>, node: &[u8], parents: &mut Parents) {
    let executable = facts.executable.as_deref().unwrap_or_default();
    let name = facts.command.as_deref().unwrap_or(base_name(executable));
    event.add_bytes(Field::ProcessName, name);
    event.add_bytes(Field::ProcessExecutable, cut(executable, PATH_BYTES_MAX));
    if let Some(process_id) = facts.process_id {
        event.add_u64(Field::ProcessPid, process_id);
    }
    if let Some(parent_id) = facts.parent_id {
        event.add_u64(Field::ProcessParentPid, parent_id);
        if let Some(parent) = parents.get(node, parent_id) {
            event.add_bytes(Field::ProcessParentName, &parent.name);
            event.add_bytes(Field::ProcessParentExecutable, &parent.executable);
        }
    }
    if let Some(process_id) = facts.process_id
        && !name.is_empty()
    {
        parents.learn(node, process_id, name, executable);
    }
    if let Some(terminal) = facts.terminal {
        event.add_bytes(Field::ProcessTtyName, terminal);
    }
    if let Some(directory) = &facts.working_directory {
        event.add_bytes(Field::ProcessWorkingDirectory, cut(directory, PATH_BYTES_MAX));
    }
}

/// Programs that log people in, and say so with USER_LOGIN.
fn logs_people_in(name: &[u8]) -> bool {
    matches!(
        name,
        b"sshd" | b"sshd-session" | b"sshd-auth" | b"login" | b"gdm-session-worker" | b"lightdm" | b"sddm-helper"
    )
}

fn add_users(event: &mut Event, facts: &Facts<'_>, kind: Kind, logs_in: bool) {
    if let Some(session) = facts
        .session
        .filter(|session| !matches!(*session, b"4294967295" | b"-1" | b"unset"))
    {
        event.add_bytes(Field::AuditdSession, session);
    }
    let is_name = |name: &&[u8]| !name.starts_with(b"(") && !matches!(*name, b"unknown" | b"UNKNOWN");
    let named = facts.account_name.as_deref().filter(is_name);
    let account = facts.account.known();
    let login = facts.login.known();
    let is_iam = kind.category.contains(&"iam");
    if is_iam {
        if let Some(name) = named.or(account.map(|(_, name)| name)) {
            event.add_bytes(Field::UserTargetName, name);
        }
        if let Some((number, _)) = account {
            event.add_bytes(Field::UserTargetId, number);
        }
        if let Some(group) = &facts.group {
            event.add_bytes(Field::GroupName, group);
        }
    }
    let told = if is_iam {
        None
    } else {
        named.or(account.map(|(_, name)| name))
    };
    match (login, told) {
        // The daemon that lets someone in may itself have been started by someone who was logged in.
        (_, Some(name)) if logs_in => {
            super::text::add_user(event, name);
            let number = account
                .or(login.filter(|(_, login)| *login == name))
                .map(|(number, _)| number);
            event.add_bytes(Field::UserId, number.unwrap_or_default());
        }
        (Some((number, name)), told) => {
            super::text::add_user(event, name);
            event.add_bytes(Field::UserId, number);
            if let Some(told) = told {
                event.add_bytes(Field::UserEffectiveName, told);
            }
        }
        (None, Some(name)) => {
            super::text::add_user(event, name);
            if let Some((number, _)) = account {
                event.add_bytes(Field::UserId, number);
            }
        }
        (None, None) => {}
    }
    let effective = facts
        .effective
        .known()
        .or(if facts.has_syscall { None } else { facts.real.known() });
    if let Some((number, name)) = effective {
        event.add_bytes(Field::UserEffectiveId, number);
        if !event.has(Field::UserEffectiveName) && name != number {
            event.add_bytes(Field::UserEffectiveName, name);
        }
    }
}

/// What programs tell of themselves and of the other side, and the rule's key.
fn add_told(event: &mut Event, facts: &Facts<'_>) {
    if let Some(key) = &facts.key {
        // A rule with several keys writes them with 0x01 between.
        for key in key.split(|byte| *byte == 1).take(8) {
            event.add_bytes(Field::AuditdKey, cut(key, 256));
        }
    }
    if facts.has_syscall {
        return;
    }
    for (field, value) in [
        (Field::AuditdDataTerminal, facts.terminal),
        (Field::AuditdDataAddr, facts.address),
        (Field::AuditdDataHostname, facts.host),
        (Field::AuditdDataOp, facts.operation),
        (Field::AuditdDataAcct, facts.account_name.as_deref()),
        (Field::ServiceName, facts.unit),
    ] {
        event.add_bytes(field, cut(value.unwrap_or_default(), 1024));
    }
    if let Some(source) = facts.address.or(facts.host) {
        add_source(event, source);
    }
}

fn add_command_line(event: &mut Event, facts: &Facts<'_>) {
    if let Some(command) = &facts.told_command {
        event.add_bytes(Field::ProcessCommandLine, cut(command, COMMAND_LINE_BYTES_MAX));
    }
    if let Some(title) = &facts.title {
        let mut title = cut(title, COMMAND_LINE_BYTES_MAX).to_vec();
        title
            .iter_mut()
            .filter(|byte| **byte == 0)
            .for_each(|byte| *byte = b' ');
        event.add_bytes(Field::ProcessTitle, title.trim_ascii_end());
    }
    if facts.command_line.is_empty() {
        return;
    }
    let line = facts.command_line.join(&b' ');
    event.add_bytes(Field::ProcessCommandLine, cut(&line, COMMAND_LINE_BYTES_MAX));
    event.add_u64(
        Field::ProcessArgsCount,
        facts.command_line_count.unwrap_or(facts.command_line.len() as u64),
    );
    let mut room = COMMAND_LINE_BYTES_MAX;
    for argument in &facts.command_line {
        event.add_bytes(Field::ProcessArgs, cut(argument, room));
        room = room.saturating_sub(argument.len());
    }
}

pub(super) fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// Adds what a system call was done to and gives what kind of deed it was.
fn add_deed(
    event: &mut Event,
    facts: &Facts<'_>,
    (call, deed): (&[u8], Deed),
    (node, folders): (&[u8], &mut Folders),
) -> Kind {
    const FILE: &[&str] = &["file"];
    const CHANGE: &[&str] = &["change"];
    let succeeded = facts.outcome() == "success";
    match deed {
        Deed::Execute if succeeded => return kind(&["process"], &["start"], "executed"),
        // A shell tries each folder of its path.
        Deed::Execute => return kind(&["process"], &["info"], "executed"),
        Deed::Connect | Deed::Accept | Deed::Bind | Deed::Send => return add_socket(event, facts, deed),
        Deed::Signal => return kind(&["process"], &["info"], "killed-pid"),
        Deed::Trace => return kind(&["process"], &["access"], "ptraced"),
        Deed::Module => return kind(&["driver"], &["start"], "loaded-kernel-module"),
        Deed::Identity => return kind(&["process"], CHANGE, "changed-identity-of"),
        Deed::Clock => return kind(&["configuration"], CHANGE, "changed-system-time"),
        Deed::HostName => return kind(&["configuration"], CHANGE, "changed-system-name"),
        _ => {}
    }
    let of_kind = |kind: &[u8]| facts.paths.iter().find(|path| path.kind == kind && path.name.is_some());
    let created = facts
        .paths
        .iter()
        .rev()
        .find(|path| path.kind == b"CREATE" && path.name.is_some());
    let other = facts
        .paths
        .iter()
        .find(|path| path.kind != b"PARENT" && path.name.is_some());
    let (path, target) = match deed {
        Deed::Rename => (of_kind(b"DELETE").or(other), created),
        Deed::Delete => (of_kind(b"DELETE").or(other), None),
        Deed::Link => (created, of_kind(b"NORMAL")),
        _ => (created.or(other), None),
    };
    let [first, second] = places(facts, call, deed);
    if let Some(path) = path {
        let place = if matches!(deed, Deed::Link) { second } else { first };
        let whole = whole_path(facts, path, place, (node, folders));
        add_file(event, path, &whole.path);
        if succeeded {
            learn_folders(facts, deed, (path, place), &whole, (node, folders));
        }
    }
    if let Some(target) = target {
        let place = if matches!(deed, Deed::Link) { first } else { second };
        let whole = whole_path(facts, target, place, (node, folders));
        event.add_bytes(Field::FileTargetPath, &whole.path);
        if succeeded && matches!(deed, Deed::Rename) {
            learn_folders(facts, deed, (target, place), &whole, (node, folders));
        }
    }
    let made = created.is_some() && succeeded;
    match deed {
        Deed::Open { flags } => {
            let flags = flags.and_then(|index| *facts.arguments.get(usize::from(index))?);
            kind(
                FILE,
                if made { &["creation"] } else { type_of_flags(flags) },
                "opened-file",
            )
        }
        Deed::Write => kind(FILE, if made { &["creation"] } else { CHANGE }, "opened-file"),
        Deed::Rename => kind(FILE, CHANGE, "renamed"),
        Deed::Delete => kind(FILE, &["deletion"], "deleted"),
        Deed::MakeDirectory => kind(FILE, &["creation"], "created-directory"),
        Deed::MakeNode => kind(FILE, &["creation"], "created-node"),
        Deed::Permissions => kind(FILE, CHANGE, "changed-file-permissions-of"),
        Deed::Owner => kind(FILE, CHANGE, "changed-file-ownership-of"),
        Deed::Attributes => kind(FILE, CHANGE, "changed-file-attributes-of"),
        Deed::Times => kind(FILE, CHANGE, "changed-timestamp-of"),
        Deed::Link => kind(FILE, &["creation"], "linked"),
        Deed::SymbolicLink => kind(FILE, &["creation"], "symlinked"),
        Deed::Mount => kind(FILE, CHANGE, "mounted"),
        _ => kind(FILE, &["info"], "checked-metadata-of"),
    }
}

/// Whether flags of `open` ask for writing. What is not told is taken as reading.
fn type_of_flags(flags: Option<u64>) -> &'static [&'static str] {
    const WRITE_ONLY: u64 = 0o1;
    const READ_WRITE: u64 = 0o2;
    const TRUNCATE: u64 = 0o1000;
    const PATH_ONLY: u64 = 0o10_000_000;
    match flags {
        Some(flags) if flags & PATH_ONLY != 0 => &["info"],
        Some(flags) if flags & (WRITE_ONLY | READ_WRITE | TRUNCATE) != 0 => &["change"],
        _ => &["access"],
    }
}

fn add_file(event: &mut Event, path: &Path<'_>, full: &[u8]) {
    let name = base_name(full);
    event.add_bytes(Field::FilePath, full);
    let parent = full
        .get(..full.len().saturating_sub(name.len() + 1))
        .unwrap_or_default();
    event.add_bytes(
        Field::FileDirectory,
        if parent.is_empty() && full.starts_with(b"/") {
            b"/"
        } else {
            parent
        },
    );
    event.add_bytes(Field::FileName, name);
    if let Some(dot) = memchr::memrchr(b'.', name).filter(|dot| *dot > 0) {
        let extension = name.get(dot + 1..).unwrap_or_default();
        event.add_bytes(Field::FileExtension, &extension.to_ascii_lowercase());
    }
    if let Some(inode) = path.inode {
        event.add_bytes(Field::FileInode, inode);
    }
    if let Some(owner) = path.owner {
        event.add_bytes(Field::FileOwner, owner);
    }
    if let Some(mode) = path.mode {
        event.add_str(Field::FileMode, &format!("{:04o}", mode & 0o7777));
        let type_ = match mode & 0o170_000 {
            0o100_000 => "file",
            0o040_000 => "dir",
            0o120_000 => "symlink",
            0o020_000 => "char_device",
            0o060_000 => "block_device",
            0o010_000 => "fifo",
            0o140_000 => "socket",
            _ => "",
        };
        event.add_str(Field::FileType, type_);
    }
}

/// The path of a name, without `.`, `..` and empty parts.
pub(super) fn absolute(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let name = cut(name, PATH_BYTES_MAX);
    let relative = !name.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    let before: &[u8] = if relative { cut(directory, PATH_BYTES_MAX) } else { b"" };
    for part in before
        .split(|byte| *byte == b'/')
        .chain(name.split(|byte| *byte == b'/'))
    {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut path = Vec::with_capacity(before.len() + name.len() + 1);
    for (index, part) in parts.iter().enumerate() {
        // A relative name with no working directory told stays relative.
        if index > 0 || !relative || before.starts_with(b"/") {
            path.push(b'/');
        }
        path.extend_from_slice(part);
    }
    if path.is_empty() {
        path.push(b'/');
    }
    path
}

/// Adds a socket's address. Only internet addresses make a network event.
fn add_socket(event: &mut Event, facts: &Facts<'_>, deed: Deed) -> Kind {
    let action = match deed {
        Deed::Connect => "connected-to",
        Deed::Accept => "accepted-connection-from",
        Deed::Bind => "bound-socket",
        _ => "sent-to",
    };
    let none = kind(&[], &["info"], action);
    let Some(socket) = facts.socket.as_deref() else {
        return none;
    };
    let (address, port) = match socket_address(socket) {
        Some(Socket::Internet(address, port)) => (address, port),
        Some(Socket::Unix(path)) => {
            event.add_str(Field::NetworkType, "unix");
            event.add_bytes(Field::DestinationAddress, cut(path, PATH_BYTES_MAX));
            return none;
        }
        None => return none,
    };
    event.add_str(Field::NetworkType, if address.is_ipv4() { "ipv4" } else { "ipv6" });
    let (ip_field, port_field) = match deed {
        Deed::Accept => (Field::SourceIp, Field::SourcePort),
        Deed::Bind => (Field::ServerIp, Field::ServerPort),
        _ => (Field::DestinationIp, Field::DestinationPort),
    };
    event.add_ip(ip_field, address);
    // Port 0 is how libraries ask which way a packet would go: nothing is sent.
    if port == 0 {
        return none;
    }
    event.add_u64(port_field, u64::from(port));
    match deed {
        Deed::Bind => kind(&["network"], &["info"], action),
        _ => kind(&["network"], &["connection", "start"], action),
    }
}

enum Socket<'a> {
    Internet(IpAddr, u16),
    Unix(&'a [u8]),
}

/// Reads a `sockaddr`: the family in the machine's order (little-endian on all that are known here), then the rest.
fn socket_address(bytes: &[u8]) -> Option<Socket<'_>> {
    match bytes {
        [2, 0, p1, p2, a, b, c, d, ..] => {
            let address = Ipv4Addr::new(*a, *b, *c, *d);
            Some(Socket::Internet(address.into(), u16::from_be_bytes([*p1, *p2])))
        }
        [10, 0, p1, p2, _, _, _, _, rest @ ..] => {
            let address: [u8; 16] = rest.get(..16)?.try_into().ok()?;
            let address = Ipv6Addr::from(address).to_canonical();
            Some(Socket::Internet(address, u16::from_be_bytes([*p1, *p2])))
        }
        [1, 0, path @ ..] => {
            let path = path.strip_prefix(b"\0").unwrap_or(path);
            Some(Socket::Unix(path.split(|byte| *byte == 0).next().unwrap_or_default()))
        }
        _ => None,
    }
}

/// What a record that is not a system call's tells.
fn kind_of_record(record: &[u8], logs_in: bool) -> Kind {
    const AUTHENTICATION: &[&str] = &["authentication"];
    const IAM: &[&str] = &["iam"];
    const SESSION: &[&str] = &["session"];
    match record {
        b"USER_LOGIN" => kind(AUTHENTICATION, &["start"], "logged-in"),
        b"USER_AUTH" if logs_in => kind(&[], &["info"], "authenticated"),
        b"USER_AUTH" => kind(AUTHENTICATION, &["start"], "authenticated"),
        b"USER_ACCT" => kind(&[], &["info"], "was-authorized"),
        b"USER_LOGOUT" => kind(SESSION, &["end"], "logged-out"),
        b"USER_START" => kind(SESSION, &["start"], "started-session"),
        b"USER_END" => kind(SESSION, &["end"], "ended-session"),
        b"USER_ERR" => kind(&[], &["info"], "error"),
        b"LOGIN" => kind(&[], &["info"], "changed-login-id-to"),
        b"CRED_ACQ" => kind(&[], &["info"], "acquired-credentials"),
        b"CRED_DISP" => kind(&[], &["info"], "disposed-credentials"),
        b"CRED_REFR" => kind(&[], &["info"], "refreshed-credentials"),
        b"USER_CMD" => kind(&["process"], &["start"], "ran-command"),
        b"USER_CHAUTHTOK" => kind(IAM, &["user", "change"], "changed-password"),
        b"ADD_USER" => kind(IAM, &["user", "creation"], "added-user-account"),
        b"DEL_USER" => kind(IAM, &["user", "deletion"], "deleted-user-account"),
        b"USER_MGMT" => kind(IAM, &["user", "change"], "modified-user-account"),
        b"ADD_GROUP" => kind(IAM, &["group", "creation"], "added-group-account"),
        b"DEL_GROUP" => kind(IAM, &["group", "deletion"], "deleted-group-account"),
        b"GRP_MGMT" | b"CHGRP_ID" => kind(IAM, &["group", "change"], "modified-group-account"),
        b"ACCT_LOCK" => kind(IAM, &["user", "change"], "locked-account"),
        b"ACCT_UNLOCK" => kind(IAM, &["user", "change"], "unlocked-account"),
        b"ROLE_ASSIGN" => kind(IAM, &["user", "change"], "assigned-user-role-to"),
        b"SERVICE_START" => kind(&[], &["start"], "started-service"),
        b"SERVICE_STOP" => kind(&[], &["end"], "stopped-service"),
        b"SYSTEM_BOOT" => kind(&["host"], &["start"], "booted-system"),
        b"SYSTEM_SHUTDOWN" => kind(&["host"], &["end"], "shutdown-system"),
        b"CONFIG_CHANGE" => kind(&["configuration"], &["change"], "changed-audit-configuration"),
        b"NETFILTER_CFG" => kind(&["configuration"], &["change"], "loaded-firewall-rule-to"),
        b"AVC" | b"USER_AVC" => kind(&[], &["info"], "violated-access-policy"),
        b"SECCOMP" => kind(&[], &["info"], "violated-seccomp-policy"),
        b"ANOM_ABEND" => kind(&["process"], &["end"], "crashed-program"),
        b"ANOM_PROMISCUOUS" => kind(&["configuration"], &["change"], "changed-promiscuous-mode-on-device"),
        b"ANOM_LOGIN_FAILURES"
        | b"ANOM_LOGIN_TIME"
        | b"ANOM_LOGIN_SESSIONS"
        | b"ANOM_LOGIN_LOCATION"
        | b"ANOM_LOGIN_ACCT" => kind(&[], &["info"], "attempted-log-in"),
        _ => kind(&[], &["info"], ""),
    }
}
