//! sudo, su and login in their own words.

use super::text::{Kind, add_kind, add_source, add_user, rsplit_once, split_once};
use crate::domain::{Event, Field};

const RAN: Kind = Kind {
    category: &["process"],
    type_: &["start"],
    action: "sudo_command",
    outcome: "success",
};
const REFUSED: Kind = Kind {
    category: &["authentication"],
    type_: &["start"],
    action: "sudo_login",
    outcome: "failure",
};
const NOT_ALLOWED: Kind = Kind {
    category: &["process"],
    type_: &["denied"],
    action: "sudo_command",
    outcome: "failure",
};
const BECAME: Kind = Kind {
    category: &["authentication"],
    type_: &["start"],
    action: "su_login",
    outcome: "success",
};
const LOGGED_IN: Kind = Kind {
    category: &["authentication"],
    type_: &["start"],
    action: "login",
    outcome: "success",
};

/// `alice : TTY=pts/1 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/id`, with a reason in front of `TTY` where sudo
/// refused. Wrong passwords are one event, however many there were: sudo speaks once, at the end.
pub(super) fn read_sudo(message: &[u8], event: &mut Event) -> Option<()> {
    let (user, rest) = split_once(message, b" : ")?;
    let user = user.trim_ascii();
    if user.is_empty() || user.contains(&b' ') {
        return None;
    }
    add_user(event, user);
    let mut reason: &[u8] = b"";
    let mut rest = rest;
    loop {
        let (part, behind) = split_once(rest, b" ; ").unwrap_or((rest, b""));
        if let Some(terminal) = part.strip_prefix(b"TTY=") {
            event.add_bytes(Field::ProcessTtyName, terminal);
        } else if let Some(directory) = part.strip_prefix(b"PWD=") {
            event.add_bytes(Field::ProcessWorkingDirectory, directory);
        } else if let Some(target) = part.strip_prefix(b"USER=") {
            event.add_bytes(Field::UserEffectiveName, target);
        } else if let Some(group) = part.strip_prefix(b"GROUP=") {
            event.add_bytes(Field::GroupName, group);
        } else if rest.starts_with(b"COMMAND=") {
            // A command may hold semicolons: it is all that is left.
            let command = rest.get(b"COMMAND=".len()..).unwrap_or_default();
            event.add_bytes(Field::ProcessCommandLine, command);
            let program = command.split(|byte| *byte == b' ').next().unwrap_or_default();
            if program.starts_with(b"/") {
                event.add_bytes(Field::ProcessExecutable, program);
            }
            break;
        } else if reason.is_empty() && !part.starts_with(b"ENV=") && !part.starts_with(b"TSID=") {
            reason = part;
        }
        if behind.is_empty() {
            break;
        }
        rest = behind;
    }
    event.add_bytes(Field::EventReason, reason);
    let wrong_password = rsplit_once(reason, b" incorrect password attempt").is_some()
        || matches!(
            reason,
            b"a password is required" | b"no password was provided" | b"authentication failure"
        );
    add_kind(
        event,
        match reason {
            b"" => RAN,
            _ if wrong_password => REFUSED,
            _ => NOT_ALLOWED,
        },
    );
    Some(())
}

/// `Successful su for root by alice`, `FAILED su for root by alice`, `(to root) alice on pts/1`,
/// `FAILED SU (to root) alice on pts/1`. Whoever becomes is the user, whom they become the effective one.
pub(super) fn read_su(message: &[u8], event: &mut Event) -> Option<()> {
    let failed = message.starts_with(b"FAILED");
    let kind = if failed {
        Kind {
            outcome: "failure",
            ..BECAME
        }
    } else {
        BECAME
    };
    if let Some((_, rest)) = split_once(message, b"su for ") {
        let (target, user) = split_once(rest, b" by ")?;
        add_user(event, user.trim_ascii());
        event.add_bytes(Field::UserEffectiveName, target);
    } else {
        let (_, rest) = split_once(message, b"(to ")?;
        let (target, rest) = split_once(rest, b") ")?;
        let (user, terminal) = rsplit_once(rest, b" on ")?;
        add_user(event, user);
        event.add_bytes(Field::UserEffectiveName, target);
        event.add_bytes(Field::ProcessTtyName, terminal);
    }
    add_kind(event, kind);
    Some(())
}

/// `FAILED LOGIN 1 FROM tty1 FOR alice, Authentication failure`, `FAILED LOGIN (1) on '/dev/tty1' FOR 'alice', ...`,
/// `LOGIN ON tty1 BY alice`, `ROOT LOGIN ON tty1`, `ROOT LOGIN  on '/dev/tty1'`.
pub(super) fn read_login(message: &[u8], event: &mut Event) -> Option<()> {
    if message.starts_with(b"FAILED LOGIN") || message.starts_with(b"TOO MANY LOGIN TRIES") {
        let (_, rest) = split_once(message, b" FOR ")?;
        let (user, _) = split_once(rest, b", ").unwrap_or((rest, b""));
        add_user(event, bare(user));
        if let Some((_, from)) = split_once(message, b" FROM ") {
            let (from, _) = split_once(from, b" ").unwrap_or((from, b""));
            if from.starts_with(b"tty") || from.starts_with(b"/dev/") {
                event.add_bytes(Field::ProcessTtyName, from);
            } else {
                add_source(event, bare(from));
            }
        }
        add_kind(
            event,
            Kind {
                outcome: "failure",
                ..LOGGED_IN
            },
        );
    } else if message.starts_with(b"ROOT LOGIN") {
        event.add_str(Field::UserName, "root");
        add_kind(event, LOGGED_IN);
    } else {
        let (terminal, rest) = split_once(message.strip_prefix(b"LOGIN ON ")?, b" BY ")?;
        let (user, from) = split_once(rest, b" FROM ").unwrap_or((rest, b""));
        event.add_bytes(Field::ProcessTtyName, terminal);
        add_user(event, user);
        add_source(event, from);
        add_kind(event, LOGGED_IN);
    }
    Some(())
}

fn bare(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"'")
        .and_then(|text| text.strip_suffix(b"'"))
        .unwrap_or(text)
}
