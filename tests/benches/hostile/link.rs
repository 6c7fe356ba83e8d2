//! A way to the relay that begins at another loopback address, so that the relay takes the attacker for another network
//! than the honest tabs.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use lichen_net::swarm::libp2p::Multiaddr;
use lichen_net::swarm::libp2p::multiaddr::Protocol;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Where attacks come from.
pub(crate) const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 6, 6, 6);

/// Opens a connection that the relay sees coming from this address.
pub(crate) async fn connect(from: Ipv4Addr, port: u16) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    Ok(socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?)
}

/// Forwards connections to the relay, each coming from this address; returns the relay's address by that way.
pub(crate) async fn forward(from: Ipv4Addr, relay: &Multiaddr, port: u16) -> Result<Multiaddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let own = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(pass(near, from, port));
        }
    });
    let at = |protocol: Protocol<'_>| matches!(protocol, Protocol::Tcp(_)).then_some(Protocol::Tcp(own));
    let place = relay.iter().position(|protocol| matches!(protocol, Protocol::Tcp(_)));
    relay
        .replace(place.context("the relay has no port")?, |protocol| at(protocol.clone()))
        .context("no address")
}

/// Bytes wait on either side where the other does not read.
async fn pass(mut near: TcpStream, from: Ipv4Addr, port: u16) -> Result<()> {
    let mut far = connect(from, port).await?;
    copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}
