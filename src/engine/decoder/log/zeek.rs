//! What Zeek's logs say, whichever way they are written: one record of cells by column name, and one table a log that
//! tells what each column sets. `zeek_tsv` and `zeek_json` fill the record, so both forms give equal events.

use super::scanner::{Items, Json, QuotedKey, unescape};
use super::values::{address, interval, moment, whole};
use super::zeek_kinds::{KINDS, Kind};
use crate::domain::{Event, Field, Timestamp};
use std::borrow::Cow;
use std::net::IpAddr;

/// The largest number of columns that one log's table names.
pub(super) const COLUMNS_MAX: usize = 32;
/// How many items of a set or vector are taken.
const ITEMS_TAKEN_MAX: usize = 48;
/// How many bytes of one text are taken.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// What a column sets in the event.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sets {
    /// Nothing by itself: the log's own function looks at it, or it marks the log.
    Kept,
    /// Text as it stands.
    Text(Field),
    /// Text in lower case.
    Lower(Field),
    /// A whole number.
    Count(Field),
    /// An address.
    Address(Field),
    /// Yes or no.
    Flag(Field),
    /// Every item of a set or vector, as text.
    Items(Field),
}

/// A column of a log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    /// The name as JSON writes it before its value: in quotes, with a colon.
    pub(super) quoted: QuotedKey,
    pub(super) sets: Sets,
}

/// One value of a record as it stands in the line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Cell<'a> {
    /// Unset, or a column that the line does not have.
    #[default]
    Missing,
    /// Text, a number or `T`/`F` without escapes.
    Plain(&'a str),
    /// A JSON string with escapes.
    JsonEscaped(&'a str),
    /// A JSON array.
    JsonArray(&'a str),
    /// A TSV value with `\x` escapes, or a set.
    Tsv(&'a str),
    /// A JSON boolean.
    Flag(bool),
}

impl<'a> From<Json<'a>> for Cell<'a> {
    #[inline]
    fn from(value: Json<'a>) -> Self {
        match value {
            Json::Text(text) | Json::Number(text) => Cell::Plain(text),
            Json::Escaped(text) => Cell::JsonEscaped(text),
            Json::Bool(yes) => Cell::Flag(yes),
            Json::Array(text) => Cell::JsonArray(text),
            Json::Null | Json::Object(_) => Cell::Missing,
        }
    }
}

/// The cells of one line in the order of its log's table.
#[derive(Clone, Debug)]
pub(super) struct Record<'a> {
    cells: [Cell<'a>; COLUMNS_MAX],
    /// What parts the items of a set, when the record comes from TSV.
    set_separator: Option<char>,
}

impl<'a> Record<'a> {
    pub(super) fn new(set_separator: Option<char>) -> Self {
        Record {
            cells: [Cell::Missing; COLUMNS_MAX],
            set_separator,
        }
    }

    #[inline]
    pub(super) fn set(&mut self, column: usize, cell: Cell<'a>) {
        if let Some(place) = self.cells.get_mut(column) {
            *place = cell;
        }
    }

    #[inline]
    pub(super) fn cell(&self, column: usize) -> Cell<'a> {
        self.cells.get(column).copied().unwrap_or_default()
    }

    /// A cell as text, within a bound; nothing when it is missing or empty.
    #[inline]
    pub(super) fn text(&self, column: usize) -> Option<Cow<'a, str>> {
        let text = match self.cell(column) {
            Cell::Plain(text) => Cow::Borrowed(text),
            Cell::JsonEscaped(text) => Cow::Owned(unescape(bounded(text))),
            Cell::Tsv(text) => unescape_tsv(bounded(text)),
            Cell::Flag(yes) => Cow::Borrowed(if yes { "T" } else { "F" }),
            Cell::Missing | Cell::JsonArray(_) => return None,
        };
        let text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(bounded(text)),
            owned => owned,
        };
        (!text.is_empty()).then_some(text)
    }

    #[inline]
    pub(super) fn count(&self, column: usize) -> Option<u64> {
        match self.cell(column) {
            Cell::Plain(text) => whole(text),
            _ => None,
        }
    }

    /// An interval in nanoseconds.
    #[inline]
    pub(super) fn interval(&self, column: usize) -> Option<crate::domain::Duration> {
        match self.cell(column) {
            Cell::Plain(text) => interval(text),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn address(&self, column: usize) -> Option<IpAddr> {
        match self.cell(column) {
            Cell::Plain(text) => address(text),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn flag(&self, column: usize) -> Option<bool> {
        match self.cell(column) {
            Cell::Flag(yes) => Some(yes),
            Cell::Plain("T" | "true") => Some(true),
            Cell::Plain("F" | "false") => Some(false),
            _ => None,
        }
    }

    /// Hands every item of a set or vector to `take`; a lone value is a set of one. Items that are unset are left out.
    pub(super) fn each(&self, column: usize, mut take: impl FnMut(&str)) {
        if let Cell::JsonArray(array) = self.cell(column) {
            let Ok(mut items) = Items::of(array) else { return };
            let mut taken = 0;
            while let Ok(Some(item)) = items.next() {
                if let Some(text) = item.text()
                    && taken < ITEMS_TAKEN_MAX
                {
                    take(bounded(&text));
                    taken += 1;
                }
            }
            return;
        }
        match (self.cell(column), self.set_separator) {
            (Cell::Plain(text) | Cell::Tsv(text), Some(separator)) => {
                let items = text
                    .split(separator)
                    .filter(|item| !matches!(*item, "-" | "(empty)" | ""));
                for item in items.take(ITEMS_TAKEN_MAX) {
                    take(&unescape_tsv(bounded(item)));
                }
            }
            _ => {
                if let Some(text) = self.text(column) {
                    take(&text);
                }
            }
        }
    }
}

#[inline]
fn bounded(text: &str) -> &str {
    if text.len() <= TEXT_BYTES_MAX {
        return text;
    }
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or(text)
}

/// Resolves the `\x` escapes of Zeek's text writer for ASCII characters. Escapes of other bytes stay as they are, as
/// they do in Zeek's JSON.
fn unescape_tsv(text: &str) -> Cow<'_, str> {
    if !text.contains("\\x") {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find("\\x") {
        let (before, escape) = rest.split_at_checked(place).unwrap_or((rest, ""));
        plain.push_str(before);
        let code = escape.get(2..4).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) if code.is_ascii() => plain.push(char::from(code)),
            _ => plain.push_str(escape.get(..2.min(escape.len())).unwrap_or("")),
        }
        let taken = if code.is_some_and(|code| code.is_ascii()) { 4 } else { 2 };
        rest = escape.get(taken..).unwrap_or("");
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// The place in the table of the log of a path, as `#path` or `_path` names it.
pub(super) fn place_of_path(path: &str) -> Option<usize> {
    KINDS.iter().position(|kind| kind.path == path)
}

/// Makes events of one log's records.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) kind: &'static Kind,
    /// What every event of the log begins with.
    opening: Event,
    /// Bit n is set when column n marks the log.
    marks: u32,
}

impl Reader {
    pub(super) fn new(kind: &'static Kind) -> Self {
        let mut opening = Event::new(Timestamp::from_nanos(0));
        opening.add_str(Field::EventKind, kind.event_kind);
        opening.add_str(Field::EventModule, "zeek");
        opening.add_str(Field::EventDataset, kind.dataset);
        for category in kind.categories {
            opening.add_str(Field::EventCategory, category);
        }
        for event_type in kind.types {
            opening.add_str(Field::EventType, event_type);
        }
        let marks = kind.columns.iter().zip(0u32..).map(|(column, place)| {
            let marks = kind.marks.contains(&column.name);
            u32::from(marks).checked_shl(place).unwrap_or(0)
        });
        let marks = marks.fold(0, |sum, bit| sum | bit);
        Reader { kind, opening, marks }
    }

    /// Whether a line that has this column is of this log.
    #[inline]
    pub(super) fn marks(&self, column: usize) -> bool {
        self.marks >> (column % COLUMNS_MAX) & 1 != 0
    }

    /// Makes the event of a record, or says why there is none.
    pub(super) fn event(&self, record: &Record<'_>) -> Result<Event, &'static str> {
        let time = match record.cell(0) {
            Cell::Plain(text) => moment(text).ok_or("zeek_bad_time")?,
            _ => return Err("zeek_no_time"),
        };
        let mut event = Event::like(&self.opening, time);
        for (number, (column, cell)) in self.kind.columns.iter().zip(&record.cells).enumerate() {
            match (cell, column.sets) {
                (Cell::Missing, _) | (_, Sets::Kept) => {}
                (Cell::Plain(text), Sets::Text(field)) => event.add_str(field, bounded(text)),
                (_, sets) => set(&mut event, record, number, sets),
            }
        }
        (self.kind.complete)(&mut event, record);
        // Without its two ends a connection is nobody's: a column is missing.
        if self.kind.path == "conn" && !(event.has(Field::SourceIp) && event.has(Field::DestinationIp)) {
            return Err("zeek_no_address");
        }
        Ok(event)
    }
}

#[inline]
fn set(event: &mut Event, record: &Record<'_>, column: usize, sets: Sets) {
    match sets {
        Sets::Kept => {}
        Sets::Text(field) => {
            if let Some(text) = record.text(column) {
                event.add_str(field, &text);
            }
        }
        Sets::Lower(field) => {
            if let Some(text) = record.text(column) {
                event.add_str(field, &super::values::lower(&text));
            }
        }
        Sets::Count(field) => {
            if let Some(number) = record.count(column) {
                event.add_u64(field, number);
            }
        }
        Sets::Address(field) => {
            if let Some(address) = record.address(column) {
                event.add_ip(field, address);
            }
        }
        Sets::Flag(field) => {
            if let Some(yes) = record.flag(column) {
                event.add_bool(field, yes);
            }
        }
        Sets::Items(field) => record.each(column, |item| event.add_str(field, item)),
    }
}

/// Sets when the thing began and moves the event to its completion.
pub(super) fn lasted(event: &mut Event, length: Option<crate::domain::Duration>) {
    let Some(length) = length else { return };
    let start: Timestamp = event.time();
    event.set_start(start);
    event.set_time(start.plus(length));
    event.add_i64(Field::EventDuration, length.nanos());
}

#[cfg(test)]
mod tests {
    use super::super::LineDecoder;
    use super::super::json::JsonLines;
    use super::super::zeek_tsv::ZeekTsv;
    use super::*;
    use crate::domain::Value;
    use crate::engine::decoder::Output;

    fn decode(decoder: &mut dyn LineDecoder, text: &str) -> Output {
        let mut output = Output::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            decoder.line(line.as_bytes(), &mut output);
        }
        output
    }

    fn show(event: &Event) -> Vec<String> {
        let mut shown: Vec<String> = event
            .fields()
            .map(|(field, value)| format!("{} {value:?}", field.name()))
            .collect();
        shown.push(format!(
            "time {} start {:?}",
            event.time().nanos(),
            event.start().map(Timestamp::nanos)
        ));
        shown
    }

    /// Decodes both forms and expects the same events from both.
    fn both(tsv: &str, json: &str) -> Vec<Event> {
        let one = decode(&mut ZeekTsv::new(), tsv);
        let other = decode(&mut JsonLines::without_envelopes(), json);
        assert_eq!(one.tally.refused, other.tally.refused);
        let shown: Vec<_> = one.events.iter().map(show).collect();
        assert_eq!(shown, other.events.iter().map(show).collect::<Vec<_>>());
        one.events
    }

    const CONN: &str = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n\
        #fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\t\
        conn_state\tlocal_orig\tlocal_resp\tmissed_bytes\thistory\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\t\
        label\tdetailedlabel\n\
        1676851329.767505\tCbsooB2mGC1sQzzzvl\t192.168.1.109\t68\t192.168.1.1\t67\tudp\tdhcp\t0.000890\t592\t600\tSF\tT\tF\t0\t\
        Dd\t2\t648\t2\t656\tMalicious\tSecret\n\
        10.678286\tCZy\tfe80::1\t135\tff02::1\t136\ticmp\t-\t-\t-\t-\tOTH\t-\t-\t0\t-\t1\t64\t0\t0\tMalicious\t(empty)\n";

    const CONN_JSON: &str = r#"
{"ts":1676851329.767505,"uid":"CbsooB2mGC1sQzzzvl","id.orig_h":"192.168.1.109","id.orig_p":68,"id.resp_h":"192.168.1.1","id.resp_p":67,"proto":"udp","service":"dhcp","duration":0.00089,"orig_bytes":592,"resp_bytes":600,"conn_state":"SF","local_orig":true,"local_resp":false,"missed_bytes":0,"history":"Dd","orig_pkts":2,"orig_ip_bytes":648,"resp_pkts":2,"resp_ip_bytes":656,"label":"Malicious"}
{"uid":"CZy","id.orig_h":"fe80::1","id.orig_p":135,"id.resp_h":"ff02::1","id.resp_p":136,"proto":"icmp","conn_state":"OTH","missed_bytes":0,"orig_pkts":1,"orig_ip_bytes":64,"resp_pkts":0,"resp_ip_bytes":0,"ts":"1970-01-01T00:00:10.678286Z"}
"#;

    #[test]
    fn a_connection_is_the_same_event_from_text_and_from_json() {
        let events = both(CONN, CONN_JSON);
        let event = events.first().expect("two events");
        assert_eq!(event.time().nanos(), 1_676_851_329_768_395_000);
        assert_eq!(event.start().map(Timestamp::nanos), Some(1_676_851_329_767_505_000));
        for (field, value) in [
            (Field::SourceIp, Value::Ip("192.168.1.109".parse().expect("an address"))),
            (Field::SourcePort, Value::U64(68)),
            (Field::SourceBytes, Value::U64(648)),
            (Field::DestinationBytes, Value::U64(656)),
            (Field::NetworkBytes, Value::U64(1304)),
            (Field::NetworkPackets, Value::U64(4)),
            (Field::NetworkTransport, Value::Str("udp")),
            (Field::NetworkProtocol, Value::Str("dhcp")),
            (Field::ZeekConnectionState, Value::Str("SF")),
            (Field::ZeekConnectionLocalOrig, Value::Bool(true)),
            (Field::EventDataset, Value::Str("zeek.conn")),
            (Field::EventDuration, Value::U64(890_000)),
        ] {
            assert_eq!(event.get(field), Some(value), "{}", field.name());
        }
        let ping = events.get(1).expect("two events");
        assert_eq!(ping.u64(Field::IcmpType), Some(135));
        assert!(!ping.has(Field::SourcePort) && !ping.has(Field::EventDuration));
    }

    #[test]
    fn labels_of_a_data_set_never_reach_an_event() {
        for event in both(CONN, CONN_JSON) {
            assert!(!show(&event).concat().contains("Malicious"));
            assert!(!show(&event).concat().contains("Secret"));
        }
    }

    #[test]
    fn columns_come_from_the_header_and_several_logs_may_follow_each_other() {
        let text = "#separator \\x09\n#path\tconn\n#fields\tconn_state\tts\tid.resp_h\tid.orig_h\nSF\t5.5\t10.0.0.2\t10.0.0.1\n#close\tx\n\
            #separator \\x20\n#path dns\n#fields ts query\n7 Www.Example.CO.uk\n\
            #separator \\x09\n#path\tconn\n#fields\tts\tduration\tuid\n9\t1\n#path\tntp\n#fields\tts\n1\n";
        let output = decode(&mut ZeekTsv::new(), text);
        let times: Vec<i64> = output.events.iter().map(|event| event.time().nanos()).collect();
        assert_eq!(times, [5_500_000_000, 7_000_000_000]);
        let dns = output.events.get(1).expect("two events");
        assert_eq!(dns.str(Field::DnsQuestionName), Some("www.example.co.uk"));
        assert_eq!(dns.str(Field::DnsQuestionRegisteredDomain), Some("example.co.uk"));
        assert_eq!(dns.str(Field::DnsQuestionSubdomain), Some("www"));
        assert_eq!(dns.str(Field::DnsQuestionTopLevelDomain), Some("co.uk"));
        assert_eq!(output.tally.refused.get("zeek_too_few_columns"), Some(&1));
        assert_eq!(output.tally.ignored.get("zeek_other"), Some(&1));
        assert_eq!(output.tally.records, 16);
    }

    #[test]
    fn a_dns_query_is_the_same_event_from_text_and_from_json() {
        let events = both(
            "#separator \\x09\n#set_separator\t,\n#path\tdns\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\t\
             proto\ttrans_id\trtt\tquery\tqclass\tqclass_name\tqtype\tqtype_name\trcode\trcode_name\tAA\tTC\tRD\tRA\tZ\tanswers\t\
             TTLs\trejected\n\
             5.5\tC1\t10.0.0.1\t53951\t8.8.8.8\t53\tudp\t25734\t0.5\tH1.example.com\t1\tC_INTERNET\t1\tA\t0\tNOERROR\tF\tF\tT\tT\t0\t\
             a\\x2cb.example.com,198.18.1.2\t300.000000,60.000000\tF\n",
            r#"{"ts":5.5,"uid":"C1","id.orig_h":"10.0.0.1","id.orig_p":53951,"id.resp_h":"8.8.8.8","id.resp_p":53,"proto":"udp","trans_id":25734,"rtt":0.5,"query":"H1.example.com","qclass":1,"qclass_name":"C_INTERNET","qtype":1,"qtype_name":"A","rcode":0,"rcode_name":"NOERROR","AA":false,"TC":false,"RD":true,"RA":true,"Z":0,"answers":["a,b.example.com","198.18.1.2"],"TTLs":[300.0,60.0],"rejected":false}"#,
        );
        let event = events.first().expect("one event");
        assert_eq!(event.str(Field::DnsQuestionType), Some("A"));
        assert_eq!(event.str(Field::DnsQuestionClass), Some("IN"));
        assert_eq!(event.str(Field::DnsResponseCode), Some("NOERROR"));
        assert_eq!(event.u64(Field::DnsAnswersCount), Some(2));
        assert_eq!(event.values(Field::DnsAnswersData).count(), 2);
        assert_eq!(event.ip(Field::DnsResolvedIp), "198.18.1.2".parse().ok());
        assert_eq!(event.u64(Field::DnsAnswersTtl), Some(300));
        assert_eq!(event.time(), Timestamp::from_seconds(6));
    }
}
