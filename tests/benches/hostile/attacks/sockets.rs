//! Sockets that never become a peer.

use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::attacker::Attacker;
use crate::link;

/// Sockets held open at the same time.
const SOCKETS: usize = 1_200;

/// Sockets that send long messages.
const TALKERS: usize = 40;

/// Bytes of a long message, and the head of its WebSocket frame: final, binary, masked with zeroes.
const MESSAGE: usize = 4 * 1024 * 1024;

/// Opens sockets and says nothing, half of a request, or nothing after the upgrade, in turn.
pub(crate) async fn silent(attacker: Attacker) -> Result<()> {
    let open = async |number: usize| -> Result<TcpStream> {
        let mut socket = link::connect(attacker.from(), attacker.port).await?;
        match number % 3 {
            0 => {}
            1 => socket.write_all(b"GET / HTTP/1.1\r\nHost: ").await?,
            _ => upgrade(&mut socket, attacker.port).await?,
        }
        Ok(socket)
    };
    while attacker.is_on() {
        let mut held = Vec::new();
        for batch in 0..SOCKETS / 100 {
            for socket in join_all((0..100).map(|number| open(batch * 100 + number))).await {
                attacker.count(socket.is_ok());
                held.extend(socket);
            }
        }
        // Those that the relay closed meanwhile are opened anew.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    Ok(())
}

/// Sends messages as long as may be over WebSockets that have not said who they are.
pub(crate) async fn long_messages(attacker: Attacker) -> Result<()> {
    let talk = async || -> Result<()> {
        let mut socket = link::connect(attacker.from(), attacker.port).await?;
        upgrade(&mut socket, attacker.port).await?;
        let mut message = vec![0x82, 0xff];
        message.extend((MESSAGE as u64).to_be_bytes());
        message.extend([0; 4]);
        // All but the last byte, so that the relay must wait for it.
        message.resize(message.len() + MESSAGE - 1, b'x');
        let is_taken = tokio::time::timeout(Duration::from_secs(3), socket.write_all(&message)).await;
        attacker.count(matches!(is_taken, Ok(Ok(()))));
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(())
    };
    while attacker.is_on() {
        join_all((0..TALKERS).map(|_| talk())).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn upgrade(socket: &mut TcpStream, port: u16) -> Result<()> {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut answer = [0; 256];
    let _some = socket.read(&mut answer).await?;
    Ok(())
}
