//! A server that answers each message with the same, and prints what it gets.

use std::io;
use std::net::TcpListener;

use futures_util::{SinkExt, StreamExt};
use sundown::background::{BackgroundThread, EventLoop};
use tokio::net::TcpStream;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Starts it, on a loop of its own. Gives its URL.
pub(crate) fn start() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let url = format!("ws://{}", listener.local_addr()?);
    BackgroundThread::builder()
        .name("server")
        .critical()
        .task(|ctx| serve(ctx, listener))
        .start()?;
    Ok(url)
}

async fn serve(ctx: EventLoop, listener: TcpListener) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    while let Ok(accepted) = ctx.until_stopped(listener.accept()).await {
        let (stream, _peer) = accepted?;
        // A task of its own: told to stop, the loop waits for it, for as long as the drain.
        drop(ctx.spawn(async {
            if let Err(error) = answer(stream).await {
                println!("server: the connection broke: {error}");
            }
        }));
    }
    Ok(())
}

async fn answer(stream: TcpStream) -> Result<(), Error> {
    let mut socket = accept_async(stream).await?;
    while let Some(message) = socket.next().await {
        match message? {
            Message::Text(text) => {
                println!("server: got {:?}", text.as_str());
                socket.send(Message::Text(text)).await?;
            }
            Message::Close(Some(frame)) => {
                println!("server: close {}: {}", u16::from(frame.code), frame.reason);
            }
            Message::Close(None) => println!("server: close without a code"),
            _ => {}
        }
    }
    Ok(())
}
