//! PAM's lines inside any program's log: `pam_unix(sshd:auth): authentication failure; ...`.
//!
//! What PAM refuses is an authentication event for programs that do not say it themselves (`su`, `login`, `vsftpd` ...).
//! sshd says itself what failed, sudo does so after its last try, and both would be told twice; so there PAM's line
//! keeps its fields and gets no category. Old systems (`sshd(pam_unix)[7]:`) put sshd's own lines into another file:
//! there PAM's refusal counts until sshd is heard in the same input.

use super::text::{Kind, add_kind, add_source, add_user, leading_number, split_once, word};
use crate::domain::{Event, Field};

const REFUSED: Kind = Kind {
    category: &["authentication"],
    type_: &["start"],
    action: "pam_authentication",
    outcome: "failure",
};
const OPENED: Kind = Kind {
    category: &["session"],
    type_: &["start"],
    action: "pam_session",
    outcome: "success",
};
const CLOSED: Kind = Kind {
    category: &["session"],
    type_: &["end"],
    action: "pam_session",
    outcome: "success",
};
const PASSWORD: Kind = Kind {
    category: &["iam"],
    type_: &["user", "change"],
    action: "changed_password",
    outcome: "success",
};

/// A PAM line: the service that asked, and what was said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pam<'a> {
    service: &'a [u8],
    message: &'a [u8],
}

/// Who is asking, as far as it decides what PAM's refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    /// The program tells failed logins itself.
    TellsItself,
    /// Only PAM tells them.
    Silent,
}

/// Reads `pam_unix(service:auth): message`. Old systems write `program(pam_unix)[7]: message`, where the program is the
/// service: `module` is `pam_unix` then.
pub(super) fn parse<'a>(message: &'a [u8], module: &[u8], program: &'a [u8]) -> Option<Pam<'a>> {
    if module.starts_with(b"pam_") {
        return Some(Pam {
            service: program,
            message,
        });
    }
    let (head, rest) = split_once(message.strip_prefix(b"pam_")?, b"): ")?;
    let (module, place) = split_once(head, b"(")?;
    if module.len() > 32 || place.len() > 128 {
        return None;
    }
    let (service, _) = split_once(place, b":").unwrap_or((place, b""));
    Some(Pam { service, message: rest })
}

impl Pam<'_> {
    /// Adds what is told. Gives whether there was anything.
    pub(super) fn add(&self, event: &mut Event, speaker: Speaker) {
        event.add_bytes(Field::EventProvider, self.service);
        let message = self.message;
        if let Some(rest) = message.strip_prefix(b"authentication failure;") {
            add_pairs(event, rest);
            refuse(event, speaker);
        } else if let Some(rest) = message.strip_prefix(b"session opened for user ") {
            // `root by alice(uid=1000)`, `root(uid=0) by (uid=0)`
            let (user, _) = split_once(rest, b" by ").unwrap_or((rest, b""));
            add_session_user(event, user);
            add_kind(event, OPENED);
        } else if let Some(user) = message.strip_prefix(b"session closed for user ") {
            add_session_user(event, user);
            add_kind(event, CLOSED);
        } else if let Some(user) = message.strip_prefix(b"password changed for ") {
            event.add_bytes(Field::UserTargetName, user);
            add_kind(event, PASSWORD);
        } else if message.starts_with(b"check pass; user unknown") {
            event.add_str(Field::EventAction, "pam_user_unknown");
        } else if let Some(rest) = message
            .strip_prefix(b"user [")
            .or(message.strip_prefix(b"could not identify user (from uid="))
        {
            event.add_bytes(
                Field::UserName,
                rest.split(|byte| matches!(byte, b']' | b')'))
                    .next()
                    .unwrap_or_default(),
            );
            event.add_str(Field::EventAction, "pam_error");
        } else if let Some((_, rest)) = split_once(message, b"received for user ") {
            // pam_sss and pam_winbind: `received for user alice: 7 (Authentication failure)`
            let (user, _) = split_once(rest, b":").unwrap_or((rest, b""));
            add_user(event, user);
            event.add_str(Field::EventAction, "pam_error");
        }
    }
}

fn refuse(event: &mut Event, speaker: Speaker) {
    add_kind(
        event,
        match speaker {
            Speaker::Silent => REFUSED,
            Speaker::TellsItself => Kind {
                category: &[],
                type_: &["info"],
                action: "pam_authentication_report",
                ..REFUSED
            },
        },
    );
}

/// `PAM 2 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=10.0.0.7  user=root`: failures that were
/// told one by one before.
pub(super) fn add_more_failures(event: &mut Event, message: &[u8]) -> Option<()> {
    let (count, rest) = leading_number(message.strip_prefix(b"PAM ")?)?;
    let (words, pairs) = split_once(rest, b";")?;
    if count == 0 || !words.starts_with(b" more authentication failure") {
        return None;
    }
    add_pairs(event, pairs);
    refuse(event, Speaker::TellsItself);
    Some(())
}

/// ` logname= uid=0 euid=0 tty=ssh ruser= rhost=10.0.0.7  user=root`
fn add_pairs(event: &mut Event, text: &[u8]) {
    let mut rest = text.trim_ascii_start();
    let mut asking: &[u8] = b"";
    let mut user: &[u8] = b"";
    let mut remote = false;
    while !rest.is_empty() {
        let (pair, behind) = word(rest);
        match split_once(pair, b"=") {
            Some((b"rhost", host)) => {
                remote = !host.is_empty();
                add_source(event, host);
            }
            Some((b"ruser", name)) if !name.is_empty() => asking = name,
            Some((b"logname", name)) if asking.is_empty() => asking = name,
            Some((b"tty", terminal)) => event.add_bytes(Field::ProcessTtyName, terminal),
            Some((b"uid", id)) => event.add_bytes(Field::UserEffectiveId, id),
            // The user's name comes last and may hold blanks.
            Some((b"user", _)) => {
                user = rest.get(b"user=".len()..).unwrap_or_default().trim_ascii();
                break;
            }
            _ => {}
        }
        rest = behind;
    }
    // Someone here who asks to be someone else is the user; from afar, the name asked for is all there is.
    if remote || asking.is_empty() || user.is_empty() {
        add_user(event, if user.is_empty() { asking } else { user });
    } else {
        add_user(event, asking);
        event.add_bytes(Field::UserEffectiveName, user);
    }
}

fn without_id(user: &[u8]) -> &[u8] {
    split_once(user, b"(").map_or(user, |(name, _)| name).trim_ascii()
}

fn add_session_user(event: &mut Event, user: &[u8]) {
    add_user(event, without_id(user));
    if let Some((_, rest)) = split_once(user, b"(uid=")
        && let Some((id, _)) = split_once(rest, b")")
    {
        event.add_bytes(Field::UserId, id);
    }
}
