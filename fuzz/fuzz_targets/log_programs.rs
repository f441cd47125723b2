//! Messages of sshd, sudo, su, PAM, cron, DHCP servers, the kernel's firewall and others, behind a whole header.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::engine::decoder::log::Format;

const PREFIXES: &[&str] = &[
    "Mar  2 09:12:41 web sshd[7]: ",
    "Mar  2 09:12:41 web sshd[7]: Failed password for ",
    "Mar  2 09:12:41 web sshd[7]: Accepted publickey for ",
    "Mar  2 09:12:41 web sshd[7]: Invalid user ",
    "Mar  2 09:12:41 web sshd[7]: Connection closed by ",
    "Mar  2 09:12:41 web sshd[7]: Disconnected from ",
    "Mar  2 09:12:41 web sshd[7]: message repeated 3 times: [ ",
    "Mar  2 09:12:41 web sshd[7]: pam_unix(sshd:auth): ",
    "Mar  2 09:12:41 web sshd[7]: PAM 2 more authentication failures; ",
    "Mar  2 09:12:41 web sudo: bob : ",
    "Mar  2 09:12:41 web sudo: pam_unix(sudo:session): ",
    "Mar  2 09:12:41 web su[7]: ",
    "Mar  2 09:12:41 web su[7]: (to root) ",
    "Mar  2 09:12:41 web login[7]: ",
    "Mar  2 09:12:41 web useradd[7]: new user: ",
    "Mar  2 09:12:41 web usermod[7]: ",
    "Mar  2 09:12:41 web CRON[7]: (root) CMD (",
    "Mar  2 09:12:41 web systemd-logind[7]: New session ",
    "Mar  2 09:12:41 web kernel: [ 7.1] IN=eth0 OUT= SRC=10.0.0.7 ",
    "Mar  2 09:12:41 web dnsmasq-dhcp[7]: DHCPACK(eth0) ",
    "Mar  2 09:12:41 web dhcpd[7]: DHCPACK on ",
    "Mar  2 09:12:41 web nginx: ",
    "Mar  2 09:12:41 web audit[7]: USER_AUTH pid=7 ",
    "Mar  2 09:12:41 web audispd: node=web type=SYSCALL msg=audit(1684329817.579:10): ",
    "Mar  2 09:12:41 web ",
];

fuzz_target!(|data: &[u8]| {
    stakeout_fuzz::lines(Format::Syslog, &stakeout_fuzz::prefixed(data, PREFIXES));
});
