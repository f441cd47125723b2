//! Words that say what stands beside them.

/// What a word says of what follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Announces {
    /// Nothing.
    #[default]
    Nothing,
    /// The name of an account, unless a verb follows.
    Account,
    /// Whom something is done for, if `from` follows him.
    Whom,
    /// A command, in brackets.
    Command,
}

/// What a word says of what follows it.
pub(super) fn announces(word: &[u8]) -> Announces {
    match word {
        b"for" => Announces::Whom,
        b"user" | b"User" | b"USER" | b"account" | b"Account" | b"username" | b"Username" => Announces::Account,
        b"CMD" | b"COMMAND" | b"CMDEND" => Announces::Command,
        _ => Announces::Nothing,
    }
}

/// Words behind `user` that are no names: what the user is, has or did.
const NOT_NAMES: &[&str] = &[
    "access",
    "account",
    "accounts",
    "activity",
    "agent",
    "and",
    "as",
    "at",
    "attempt",
    "attempts",
    "authentication",
    "by",
    "can",
    "cannot",
    "change",
    "could",
    "creation",
    "credentials",
    "data",
    "deletion",
    "did",
    "does",
    "entry",
    "error",
    "failed",
    "failure",
    "for",
    "from",
    "group",
    "groups",
    "had",
    "has",
    "id",
    "in",
    "information",
    "input",
    "interface",
    "is",
    "level",
    "limit",
    "list",
    "lockout",
    "login",
    "logoff",
    "logon",
    "logout",
    "mode",
    "name",
    "names",
    "not",
    "of",
    "on",
    "or",
    "password",
    "process",
    "profile",
    "request",
    "requests",
    "rights",
    "service",
    "session",
    "sessions",
    "space",
    "status",
    "success",
    "successfully",
    "switch",
    "to",
    "type",
    "unknown",
    "via",
    "was",
    "will",
    "with",
];

/// Whether a word behind `user` may be a name.
pub(super) fn may_be_name(word: &[u8]) -> bool {
    let is_verb = (word.len() >= 5 && word.ends_with(b"ed")) || (word.len() >= 6 && word.ends_with(b"ing"));
    !is_verb
        && !NOT_NAMES
            .iter()
            .any(|other| word.eq_ignore_ascii_case(other.as_bytes()))
}

/// Whether a word behind a number is its unit. Units that are whole words (`bytes`, `seconds`) tell messages apart as other
/// words do, and stay.
pub(super) fn is_unit(word: &[u8]) -> bool {
    const UNITS: &[&[u8]] = &[
        b"a", b"b", b"bps", b"c", b"f", b"g", b"gb", b"gbps", b"ghz", b"gib", b"h", b"hrs", b"hz", b"k", b"kb",
        b"kbps", b"khz", b"kib", b"m", b"ma", b"mb", b"mbps", b"mhz", b"mib", b"min", b"mins", b"ms", b"mv", b"ns",
        b"pb", b"s", b"sec", b"secs", b"tb", b"tib", b"us", b"v", b"w",
    ];
    word.len() <= 4 && UNITS.iter().any(|unit| word.eq_ignore_ascii_case(unit))
}

/// Whether a word is a month or a day of the week, whole or its first three letters.
pub(super) fn is_of_calendar(word: &[u8]) -> bool {
    let Some(short) = word.first_chunk::<3>().filter(|short| short[0].is_ascii_uppercase()) else {
        return false;
    };
    let whole: &[u8] = match &short.map(|byte| byte.to_ascii_lowercase()) {
        b"jan" => b"january",
        b"feb" => b"february",
        b"mar" => b"march",
        b"apr" => b"april",
        b"may" => b"may",
        b"jun" => b"june",
        b"jul" => b"july",
        b"aug" => b"august",
        b"sep" => b"september",
        b"oct" => b"october",
        b"nov" => b"november",
        b"dec" => b"december",
        b"mon" => b"monday",
        b"tue" => b"tuesday",
        b"wed" => b"wednesday",
        b"thu" => b"thursday",
        b"fri" => b"friday",
        b"sat" => b"saturday",
        b"sun" => b"sunday",
        _ => return false,
    };
    word.len() == short.len() || word.eq_ignore_ascii_case(whole)
}

/// Whether a word behind a time is its zone, or its half of the day.
pub(super) fn is_zone(word: &[u8]) -> bool {
    const ZONES: &[&[u8]] = &[
        b"AM", b"BST", b"CDT", b"CEST", b"CET", b"CST", b"EDT", b"EST", b"GMT", b"IST", b"JST", b"MDT", b"MSK", b"MST",
        b"PDT", b"PM", b"PST", b"UTC", b"Z",
    ];
    word.len() <= 4 && ZONES.contains(&word)
}

/// Whether a word is a method of HTTP.
pub(super) fn is_method(word: &[u8]) -> bool {
    const METHODS: &[&[u8]] = &[
        b"CONNECT",
        b"DELETE",
        b"GET",
        b"HEAD",
        b"OPTIONS",
        b"PATCH",
        b"POST",
        b"PROPFIND",
        b"PUT",
        b"TRACE",
    ];
    METHODS.contains(&word)
}

/// Whether the value of a key says what happened, so that it is part of the message.
pub(super) fn tells(key: &[u8]) -> bool {
    const KEYS: &[&str] = &[
        "action",
        "error",
        "event",
        "level",
        "lvl",
        "message",
        "method",
        "msg",
        "op",
        "operation",
        "outcome",
        "reason",
        "res",
        "result",
        "severity",
        "state",
        "status",
        "success",
        "type",
    ];
    KEYS.iter().any(|other| key.eq_ignore_ascii_case(other.as_bytes()))
}

/// Whether a value is one of yes and no, which tells messages apart.
pub(super) fn is_yes_or_no(value: &[u8]) -> bool {
    [b"true".as_slice(), b"false", b"yes", b"no"]
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word))
}

/// Whether the value of a key is a command with its arguments, which goes on to the end of the line.
pub(super) fn is_command(key: &[u8]) -> bool {
    matches!(key, b"COMMAND" | b"CMD" | b"cmdline")
}
