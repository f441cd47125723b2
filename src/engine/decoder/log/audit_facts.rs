//! What the records of one audit event say, gathered in one pass.

use super::audit::Open;
use super::audit_fields::{Pairs, Raw, hex_number};
use super::text::number;
use std::borrow::Cow;

/// How many arguments of a command are kept.
const ARGUMENTS_MAX: usize = 64;
/// How many bytes of one argument are kept.
const ARGUMENT_BYTES_MAX: usize = 4096;

/// The first value of each key that is read, over all records of an event.
#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    /// The kind of the event's first record.
    pub(super) kind: &'a [u8],
    pub(super) has_syscall: bool,
    pub(super) arch: Option<u64>,
    pub(super) arch_name: Option<&'a [u8]>,
    pub(super) syscall: Option<&'a [u8]>,
    pub(super) syscall_name: Option<&'a [u8]>,
    /// `success=` or `res=`.
    pub(super) result: Option<&'a [u8]>,
    pub(super) exit: Option<&'a [u8]>,
    /// `a0` to `a3` of a system call.
    pub(super) arguments: [Option<u64>; 4],
    pub(super) process_id: Option<u64>,
    pub(super) parent_id: Option<u64>,
    pub(super) command: Option<Cow<'a, [u8]>>,
    pub(super) executable: Option<Cow<'a, [u8]>>,
    pub(super) terminal: Option<&'a [u8]>,
    pub(super) session: Option<&'a [u8]>,
    pub(super) key: Option<Cow<'a, [u8]>>,
    pub(super) login: Id<'a>,
    pub(super) real: Id<'a>,
    pub(super) effective: Id<'a>,
    /// The account that a program speaks of, by number and name.
    pub(super) account: Id<'a>,
    pub(super) account_name: Option<Cow<'a, [u8]>>,
    pub(super) group: Option<Cow<'a, [u8]>>,
    pub(super) address: Option<&'a [u8]>,
    pub(super) host: Option<&'a [u8]>,
    pub(super) operation: Option<&'a [u8]>,
    pub(super) told_command: Option<Cow<'a, [u8]>>,
    pub(super) unit: Option<&'a [u8]>,
    pub(super) working_directory: Option<Cow<'a, [u8]>>,
    pub(super) title: Option<Cow<'a, [u8]>>,
    pub(super) socket: Option<Cow<'a, [u8]>>,
    pub(super) paths: Vec<Path<'a>>,
    pub(super) command_line: Vec<Vec<u8>>,
    pub(super) command_line_count: Option<u64>,
}

/// A user's number and, where auditd enriches its records, name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Id<'a> {
    pub(super) number: Option<&'a [u8]>,
    pub(super) name: Option<&'a [u8]>,
}

impl<'a> Id<'a> {
    /// The number and the best name there is, which may be the number; nothing where no user is set.
    pub(super) fn known(self) -> Option<(&'a [u8], &'a [u8])> {
        let number = self.number?;
        if matches!(number, b"4294967295" | b"-1" | b"unset") {
            return None;
        }
        let is_name = |name: &&[u8]| !matches!(*name, b"unset" | b"unknown") && !name.starts_with(b"unknown(");
        Some((number, self.name.filter(is_name).unwrap_or(number)))
    }
}

/// A PATH record.
#[derive(Debug, Default)]
pub(super) struct Path<'a> {
    pub(super) name: Option<Cow<'a, [u8]>>,
    pub(super) kind: &'a [u8],
    pub(super) mode: Option<u64>,
    pub(super) device: Option<&'a [u8]>,
    pub(super) inode: Option<&'a [u8]>,
    pub(super) owner: Option<&'a [u8]>,
}

impl<'a> Facts<'a> {
    pub(super) fn gather(open: &'a Open) -> Self {
        let mut facts = Facts::default();
        for (kind, body) in open.records() {
            if facts.kind.is_empty() {
                facts.kind = kind;
            }
            match kind {
                b"PATH" => facts.paths.push(path(body)),
                b"EXECVE" => facts.gather_arguments(body),
                b"SYSCALL" => {
                    facts.has_syscall = true;
                    facts.gather_pairs(body, true);
                }
                _ => facts.gather_pairs(body, false),
            }
        }
        facts
    }

    fn gather_pairs(&mut self, body: &'a [u8], is_syscall: bool) {
        for (key, value) in Pairs::new(body) {
            match key {
                b"arch" => first(&mut self.arch, || hex_number(value.plain()?)),
                b"ARCH" => first(&mut self.arch_name, || value.plain()),
                b"syscall" => first(&mut self.syscall, || value.plain()),
                b"SYSCALL" => first(&mut self.syscall_name, || value.plain()),
                b"success" | b"res" | b"result" => first(&mut self.result, || value.plain()),
                b"exit" => first(&mut self.exit, || value.plain()),
                b"a0" if is_syscall => self.argument(0, value),
                b"a1" if is_syscall => self.argument(1, value),
                b"a2" if is_syscall => self.argument(2, value),
                b"a3" if is_syscall => self.argument(3, value),
                b"pid" => first(&mut self.process_id, || number(value.plain()?)),
                b"ppid" => first(&mut self.parent_id, || number(value.plain()?)),
                b"auid" => first(&mut self.login.number, || value.plain()),
                b"AUID" => first(&mut self.login.name, || value.plain()),
                b"uid" => first(&mut self.real.number, || value.plain()),
                b"UID" => first(&mut self.real.name, || value.plain()),
                b"euid" => first(&mut self.effective.number, || value.plain()),
                b"EUID" => first(&mut self.effective.name, || value.plain()),
                b"id" => first(&mut self.account.number, || value.plain()),
                b"ID" => first(&mut self.account.name, || value.plain()),
                b"tty" | b"terminal" => first(&mut self.terminal, || value.plain()),
                b"ses" => first(&mut self.session, || value.plain()),
                b"comm" => first(&mut self.command, || value.text()),
                b"exe" => first(&mut self.executable, || value.text()),
                b"key" => first(&mut self.key, || value.text()),
                b"acct" => first(&mut self.account_name, || value.text()),
                b"grp" => first(&mut self.group, || value.text()),
                b"addr" => first(&mut self.address, || value.plain()),
                b"hostname" => first(&mut self.host, || value.plain()),
                b"op" => first(&mut self.operation, || value.plain()),
                b"cmd" => first(&mut self.told_command, || value.text()),
                b"unit" => first(&mut self.unit, || value.plain()),
                b"cwd" => first(&mut self.working_directory, || value.text()),
                b"proctitle" => first(&mut self.title, || value.text()),
                b"saddr" => first(&mut self.socket, || value.text()),
                _ => {}
            }
        }
    }

    fn argument(&mut self, index: usize, value: Raw<'_>) {
        if let Some(slot) = self.arguments.get_mut(index) {
            first(slot, || hex_number(value.plain()?));
        }
    }

    /// `argc=3 a0="sh" a1="-c" a2=6563686F2068690A`; long arguments come as `a2_len=9000 a2[0]=... a2[1]=...`, over several
    /// records.
    fn gather_arguments(&mut self, body: &[u8]) {
        for (key, value) in Pairs::new(body) {
            if key == b"argc" {
                first(&mut self.command_line_count, || number(value.plain()?));
                continue;
            }
            let Some(name) = key.strip_prefix(b"a") else { continue };
            let digits = name.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let Some((index, piece)) = name.split_at_checked(digits) else {
                continue;
            };
            let Some(index) = number(index).and_then(|index| usize::try_from(index).ok()) else {
                continue;
            };
            if index >= ARGUMENTS_MAX || !(piece.is_empty() || piece.starts_with(b"[")) {
                continue;
            }
            // An argument may be empty, and `?` is a good one, so this is not `value.text()`.
            let text = match value {
                Raw::Quoted(text) => Cow::Borrowed(text),
                Raw::Bare(text) => super::audit_fields::unhex(text).map_or(Cow::Borrowed(text), Cow::Owned),
            };
            if self.command_line.len() <= index {
                self.command_line.resize(index + 1, Vec::new());
            }
            if let Some(argument) = self.command_line.get_mut(index) {
                let room = ARGUMENT_BYTES_MAX.saturating_sub(argument.len());
                argument.extend(text.iter().take(room));
            }
        }
    }

    /// Whether the deed succeeded, where that is told.
    pub(super) fn outcome(&self) -> &'static str {
        // A connection that is not waited for is under way: EINPROGRESS.
        if self.exit == Some(b"-115") || self.exit == Some(b"EINPROGRESS") {
            return "unknown";
        }
        match self.result {
            Some(b"yes" | b"success" | b"1") => "success",
            Some(b"no" | b"failed" | b"0") => "failure",
            _ => "unknown",
        }
    }
}

fn first<T>(slot: &mut Option<T>, value: impl FnOnce() -> Option<T>) {
    if slot.is_none() {
        *slot = value();
    }
}

fn path(body: &[u8]) -> Path<'_> {
    let mut path = Path::default();
    for (key, value) in Pairs::new(body) {
        match key {
            b"name" => first(&mut path.name, || value.text()),
            // The older name of the key is `objtype`.
            b"nametype" | b"objtype" => path.kind = value.plain().unwrap_or_default(),
            b"mode" => first(&mut path.mode, || {
                u64::from_str_radix(std::str::from_utf8(value.plain()?).ok()?, 8).ok()
            }),
            b"dev" => first(&mut path.device, || value.plain()),
            b"inode" => first(&mut path.inode, || value.plain()),
            b"OUID" => first(&mut path.owner, || value.plain()),
            _ => {}
        }
    }
    path
}
