//! Sockets for datagrams, with as much room as the system gives, and what it dropped for want of it.

use prometheus::IntCounter;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

/// Bytes of datagrams that may wait in the system.
const RECEIVE_BYTES: usize = 16 << 20;
/// How often a busy collector asks what was dropped.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Binds a socket.
pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    // With the privilege the buffer may be larger than the system's bound; without it the bound holds.
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BYTES).is_err() {
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BYTES)?;
    }
    Ok(socket)
}

/// What the system dropped of a socket's datagrams, as `/proc/net/udp` and `udp6` tell it.
pub(super) struct Drops {
    inode: Option<String>,
    seen: u64,
    counter: IntCounter,
    looked: Instant,
}

impl Drops {
    pub(super) fn of(socket: &UdpSocket, counter: IntCounter) -> Drops {
        let link = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd()));
        let inode = link.ok().and_then(|link| {
            let name = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(name.to_owned())
        });
        Drops {
            inode,
            seen: 0,
            counter,
            looked: Instant::now(),
        }
    }

    /// Counts what was dropped since the last look.
    pub(super) fn look(&mut self) {
        self.looked = Instant::now();
        let Some(inode) = &self.inode else { return };
        let tables = ["/proc/net/udp", "/proc/net/udp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
        let Some(dropped) = tables.iter().find_map(|table| dropped(table, inode)) else {
            return;
        };
        self.counter.inc_by(dropped.saturating_sub(self.seen));
        self.seen = self.seen.max(dropped);
    }

    /// The same, at most once a second.
    pub(super) fn look_again(&mut self) {
        if self.looked.elapsed() >= LOOK_EVERY {
            self.look();
        }
    }
}

/// The last column of the socket's row; the inode is the tenth.
fn dropped(table: &str, inode: &str) -> Option<u64> {
    let row = table.lines().find(|row| row.split_whitespace().nth(9) == Some(inode))?;
    row.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_of_the_socket_tells_what_was_dropped() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
                     127: 0100007F:158A 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 17\n\
                     128: 0100007F:158B 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 47 2 0000000000000000 3\n";
        assert_eq!(dropped(table, "4711"), Some(17));
        assert_eq!(dropped(table, "47"), Some(3));
        assert_eq!(dropped(table, "471"), None);
    }

    #[tokio::test]
    async fn datagrams_that_nobody_fetches_are_counted() -> io::Result<()> {
        let socket = UdpSocket::from_std(bind("127.0.0.1:0".parse().expect("an address"))?)?;
        // The smallest room that the system allows.
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 1)?;
        let counter = IntCounter::new("drops", "drops").expect("a counter");
        let mut drops = Drops::of(&socket, counter.clone());
        let sender = UdpSocket::bind("127.0.0.1:0").await?;
        for _ in 0..100 {
            sender.send_to(&[0; 1000], socket.local_addr()?).await?;
        }
        drops.look();
        let counted = counter.get();
        assert!((50..=100).contains(&counted), "{counted}");
        drops.look();
        assert_eq!(counter.get(), counted, "counted once");
        Ok(())
    }
}
