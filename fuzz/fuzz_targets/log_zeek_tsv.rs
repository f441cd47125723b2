//! Zeek's own log files, bare and behind a header of each log: every line is accounted for, whatever it holds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::engine::decoder::log::Format;

const HEADERS: &[&str] = &[
    "#separator \\x09\n#path\tconn\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tconn_state\n",
    "#separator \\x09\n#set_separator\t,\n#path\tdns\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tquery\tqtype_name\tanswers\n",
    "#separator \\x09\n#path\thttp\n#fields\tts\tuid\tid.orig_h\tid.resp_h\tmethod\thost\turi\tuser_agent\tstatus_code\n",
    "#separator \\x09\n#path\tssl\n#fields\tts\tuid\tid.orig_h\tid.resp_h\tversion\tserver_name\tja3\n",
    "#separator \\x2c\n#path\tfiles\n#fields,ts,fuid,source,filename,mime_type,seen_bytes\n",
];

fuzz_target!(|data: &[u8]| {
    stakeout_fuzz::lines(Format::ZeekTsv, data);
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    // A line begins with a time; else none would get further than that.
    let mut text = HEADERS[usize::from(*choice) % HEADERS.len()].as_bytes().to_vec();
    text.extend(stakeout_fuzz::prefixed(
        rest,
        &["1772442761.5\t", "1772442761.5\tC1\t10.0.0.7\t4000\t10.0.0.9\t80\t", ""],
    ));
    stakeout_fuzz::lines(Format::ZeekTsv, &text);
});
