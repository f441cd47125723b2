//! Programs that change accounts: useradd, usermod, userdel, groupadd and their relatives, passwd, chage, gpasswd.

use super::text::{Kind, add_kind, between, find, split_once};
use crate::domain::{Event, Field};

const fn iam(type_: &'static [&'static str], action: &'static str) -> Kind {
    Kind {
        category: &["iam"],
        type_,
        action,
        outcome: "success",
    }
}

/// Reads a message of the programs above.
pub(super) fn read(message: &[u8], event: &mut Event) -> Option<()> {
    let kind = if let Some(rest) = message.strip_prefix(b"new user: ") {
        add_named(event, Field::UserTargetName, rest, b"name=");
        add_named(event, Field::UserTargetId, rest, b"UID=");
        iam(&["user", "creation"], "added_user")
    } else if let Some(rest) = message.strip_prefix(b"new group: ") {
        add_named(event, Field::GroupName, rest, b"name=");
        add_named(event, Field::GroupId, rest, b"GID=");
        iam(&["group", "creation"], "added_group")
    } else if message.starts_with(b"failed adding user ") {
        event.add_bytes(Field::UserTargetName, between(message, b"'", b"'")?);
        Kind {
            outcome: "failure",
            ..iam(&["user", "creation"], "added_user")
        }
    } else if let Some(rest) = message.strip_prefix(b"delete user ") {
        event.add_bytes(Field::UserTargetName, between(rest, b"'", b"'")?);
        iam(&["user", "deletion"], "deleted_user")
    } else if message.starts_with(b"removed group ") || message.starts_with(b"group ") && message.ends_with(b" removed")
    {
        event.add_bytes(Field::GroupName, between(message, b"'", b"'")?);
        iam(&["group", "deletion"], "deleted_group")
    } else if find(message, b" to group ").is_some() || find(message, b" to shadow group ").is_some() {
        // `add 'bob' to group 'sudo'`, `user bob added by root to group sudo`
        add_member(event, message)?;
        iam(&["group", "change"], "added_user_to_group")
    } else if find(message, b" from group ").is_some() || find(message, b" from shadow group ").is_some() {
        add_member(event, message)?;
        iam(&["group", "change"], "removed_user_from_group")
    } else if let Some(user) = message.strip_prefix(b"password changed for ") {
        event.add_bytes(Field::UserTargetName, user);
        iam(&["user", "change"], "changed_password")
    } else if let Some(rest) = message.strip_prefix(b"change user ") {
        event.add_bytes(Field::UserTargetName, between(rest, b"'", b"'")?);
        iam(&["user", "change"], "changed_user")
    } else if let Some(rest) = message
        .strip_prefix(b"lock user ")
        .or(message.strip_prefix(b"unlock user "))
    {
        event.add_bytes(Field::UserTargetName, between(rest, b"'", b"'")?);
        iam(&["user", "change"], "changed_user")
    } else if message.starts_with(b"changed password expiry for ") {
        let (_, user) = split_once(message, b" for ")?;
        event.add_bytes(Field::UserTargetName, user);
        iam(&["user", "change"], "changed_user")
    } else {
        return None;
    };
    add_kind(event, kind);
    Some(())
}

fn add_named(event: &mut Event, field: Field, text: &[u8], key: &[u8]) {
    if let Some((_, rest)) = split_once(text, key) {
        event.add_bytes(
            field,
            rest.split(|byte| *byte == b',').next().unwrap_or_default().trim_ascii(),
        );
    }
}

fn add_member(event: &mut Event, message: &[u8]) -> Option<()> {
    let (before, group) = split_once(message, b"group ")?;
    let user = match between(before, b"'", b"'") {
        Some(user) => user,
        None => between(before, b"user ", b" ")?,
    };
    event.add_bytes(Field::UserTargetName, user);
    event.add_bytes(
        Field::GroupName,
        group
            .strip_prefix(b"'")
            .and_then(|group| group.strip_suffix(b"'"))
            .unwrap_or(group),
    );
    Some(())
}
