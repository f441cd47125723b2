//! A receiver of requests over HTTP, for what a well one can't be made to show.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One request: its headers in lower case, and its body.
fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_lowercase();
    let length = head
        .split("content-length: ")
        .nth(1)?
        .lines()
        .next()?
        .trim()
        .parse()
        .ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).ok()?))
}

/// A request's headers, its body, and the status that it was answered with.
pub(crate) type Received = (String, String, u16);

/// A receiver of any number of connections. `answer` gives the status for a body and how often it has come before.
pub(crate) fn receiver(
    answer: impl Fn(&str, usize) -> u16 + Send + Sync + 'static,
) -> (u16, Arc<Mutex<Vec<Received>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let received = Arc::new(Mutex::new(Vec::new()));
    let (taken, answer) = (received.clone(), Arc::new(answer));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (taken, answer) = (taken.clone(), answer.clone());
            std::thread::spawn(move || serve(stream, &taken, &*answer));
        }
    });
    (port, received)
}

fn serve(stream: TcpStream, taken: &Mutex<Vec<Received>>, answer: &dyn Fn(&str, usize) -> u16) {
    let mut stream = BufReader::new(stream);
    while let Some((head, body)) = request(&mut stream) {
        let mut taken = taken.lock().expect("a list");
        let before = taken.iter().filter(|(_, held, _)| *held == body).count();
        let status = answer(&body, before);
        taken.push((head, body, status));
        let _ = write!(stream.get_mut(), "HTTP/1.1 {status} So\r\ncontent-length: 0\r\n\r\n");
    }
}
