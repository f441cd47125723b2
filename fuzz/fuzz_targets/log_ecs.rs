//! JSON that speaks ECS, with nested objects, made of the fields that are read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::engine::decoder::log::Format;

const ALWAYS: &[(&str, &str)] = &[
    ("@timestamp", "\"2026-03-02T09:12:41.123Z\""),
    ("ecs.version", "\"8.11\""),
];

const KEYS: &[&str] = &[
    "@timestamp",
    "event.category",
    "event.type",
    "event.action",
    "event.outcome",
    "event.dataset",
    "event.duration",
    "event.start",
    "event.end",
    "event.sequence",
    "host.name",
    "host.ip",
    "user.name",
    "user.id",
    "user.domain",
    "user.target.name",
    "user.effective.name",
    "source.ip",
    "source.port",
    "source.bytes",
    "source.packets",
    "source.address",
    "source.mac",
    "destination.ip",
    "destination.port",
    "destination.bytes",
    "destination.address",
    "network.transport",
    "network.protocol",
    "network.bytes",
    "network.direction",
    "network.community_id",
    "dns.question.name",
    "dns.question.type",
    "dns.response_code",
    "dns.answers",
    "http.request.method",
    "http.response.status_code",
    "http.response.body.bytes",
    "url.path",
    "url.domain",
    "url.original",
    "user_agent.original",
    "tls.client.server_name",
    "tls.version",
    "process.name",
    "process.executable",
    "process.pid",
    "process.args",
    "process.command_line",
    "process.parent.name",
    "process.parent.pid",
    "process.hash.sha256",
    "file.path",
    "file.directory",
    "file.name",
    "file.size",
    "file.extension",
    "file.type",
    "service.name",
    "group.name",
    "related.ip",
    "message",
    "ecs.version",
];

fuzz_target!(|data: &[u8]| {
    stakeout_fuzz::lines(Format::Json, &stakeout_fuzz::documents(data, ALWAYS, KEYS));
});
