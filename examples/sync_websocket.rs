//! A synchronous WebSocket client over an async implementation, whose users close nothing and just leave. However they do that (a
//! return, a panic, an exit, Ctrl-C, SIGTERM), the server gets all that was sent, and then a Close frame with code 1001.
//!
//!     cargo run --example sync_websocket --features example-websocket

#[path = "sync_websocket/args.rs"]
mod args;
#[path = "sync_websocket/server.rs"]
mod server;

use std::error::Error;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;
use std::{io, process};

use futures_util::{SinkExt, StreamExt};
use sundown::background::{BackgroundThread, EventLoop};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver, UnboundedSender};
use tokio_tungstenite::tungstenite::protocol::{frame::coding::CloseCode, CloseFrame};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{connect_async, MaybeTlsStream, WebSocketStream};

/// Text messages over a WebSocket, for code that knows nothing of async. There is no `close`: nobody has to remember it.
struct SyncWebSocket {
    outgoing: UnboundedSender<String>,
    incoming: Receiver<String>,
}

impl SyncWebSocket {
    /// Connects, and has a thread in the background keep up the connection.
    fn connect(url: &str) -> Result<SyncWebSocket, Box<dyn Error>> {
        let (outgoing, to_send) = unbounded_channel();
        let (received, incoming) = mpsc::channel();
        let (connected, connecting) = mpsc::channel();
        let url = url.to_owned();
        let settings = BackgroundThread::builder().name("websocket");
        let with_task = settings.task(|ctx| async move {
            match connect_async(url).await {
                Ok((socket, _response)) => {
                    let _ = connected.send(Ok(()));
                    converse(ctx, socket, to_send, received).await;
                }
                Err(error) => drop(connected.send(Err(error))),
            }
        });
        with_task.start()?; // the handle is dropped: the loop goes on, ends with the connection, or is told to
        connecting.recv()??;
        Ok(SyncWebSocket { outgoing, incoming })
    }

    /// Queues a message. An error once the connection is closed.
    fn send(&self, text: impl Into<String>) -> io::Result<()> {
        let sent = self.outgoing.send(text.into());
        sent.map_err(|_| io::ErrorKind::NotConnected.into())
    }

    /// Waits for the next message. `None` once the connection is closed.
    fn recv(&self) -> Option<String> {
        self.incoming.recv().ok()
    }

    /// Waits for the next message for so long.
    fn recv_timeout(&self, timeout: Duration) -> Result<String, RecvTimeoutError> {
        self.incoming.recv_timeout(timeout)
    }
}

/// The connection, on the loop's thread. The request to stop is one more event for it.
async fn converse(
    ctx: EventLoop,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    mut to_send: UnboundedReceiver<String>,
    received: Sender<String>,
) {
    let (mut sink, mut source) = socket.split();
    let write = async {
        while let Ok(Some(text)) = ctx.until_stopped(to_send.recv()).await {
            sink.send(Message::text(text)).await?;
        }
        // Told to stop, or the client was dropped. What has been sent goes out, and then the Close.
        to_send.close();
        while let Some(text) = to_send.recv().await {
            sink.send(Message::text(text)).await?;
        }
        let (code, reason) = (CloseCode::Away, "going away".into());
        let close = Message::Close(Some(CloseFrame { code, reason }));
        sink.send(close).await?;
        Ok::<(), tungstenite::Error>(())
    };
    let read = async {
        while let Some(Ok(message)) = source.next().await {
            if let Message::Text(text) = message {
                drop(received.send(text.to_string())); // it may be that nobody receives any more
            }
        }
    };
    tokio::pin!(read);
    tokio::select! {
        () = &mut read => {} // the server has closed the connection
        written = write => if written.is_ok() { read.await } // until the server answers the Close, as long as the drain allows
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = args::parse();
    let _guard = sundown::init()?; // the one line that a program needs for Ctrl-C and SIGTERM
    if args.serve {
        println!("server: listening on {}", server::start()?);
        println!("server: ends because of {}", sundown::wait_for_shutdown());
        return Ok(());
    }
    let socket = SyncWebSocket::connect(&args.url.map_or_else(server::start, Ok)?)?;
    for n in 1..=3 {
        socket.send(format!("message {n}"))?;
        match socket.recv_timeout(Duration::from_secs(1)) {
            Ok(text) => println!("client: got {text:?}"),
            Err(error) => println!("client: no answer: {error}"),
        }
    }
    socket.send("last words")?; // nobody waits for the answer
    match args.leave.as_str() {
        "panic" => panic!("as asked"),
        "exit" => process::exit(3),
        "wait" => {
            while let Some(text) = socket.recv() {
                println!("client: got {text:?}");
            }
        }
        _ => {}
    }
    Ok(())
}
